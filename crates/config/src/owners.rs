//! Which bridge reads what, and what the gateway reads itself.

use std::collections::BTreeMap;

use fieldgate_bridge::Place;

use crate::history::Choices;
use crate::yaml::Others;

/// The gateway's own keys of a bus.
pub(crate) const BUS_KEYS: Others = &[(&[], &["simulated", "protocol"])];
/// The gateway's own keys of a device type.
pub(crate) const TYPE_KEYS: Others = &[
    (&[], &["manufacturer", "model", "source", "protocol"]),
    (&["points", "*"], POINT_KEYS),
];
/// The gateway's own keys of a device.
pub(crate) const DEVICE_KEYS: Others = &[(&[], &["history"]), (&["points", "*"], POINT_KEYS)];
/// The gateway's own keys of a point.
pub(crate) const POINT_KEYS: &[&str] = &["counter", "history"];

/// Which bridge reads what, by name; and the buses whose units this process simulates, and where.
#[derive(Debug, Default)]
pub struct Owners {
    pub buses: BTreeMap<String, &'static str>,
    pub types: BTreeMap<String, &'static str>,
    pub devices: BTreeMap<String, &'static str>,
    pub simulated: BTreeMap<String, Place>,
    pub history: Choices,
}
