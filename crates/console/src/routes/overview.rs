//! What a person wants to know first.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fieldgate_plant::State as DeviceState;
use jiff::Timestamp;
use serde::Serialize;

use super::buses::{self, ShownBus};
use super::logs::{self, ShownLine};
use super::system::{self, Figures};
use crate::answer::Json;
use crate::app::App;
use crate::shown::{ShownDevice, quality, time};

/// Devices that are named.
const DEVICES: usize = 20;
/// Lines of the log.
const LINES: usize = 10;

#[derive(Serialize)]
struct Overview<'a> {
    gateway: &'a str,
    version: &'a str,
    now: String,
    started: String,
    clock_is_set: bool,
    warnings: Vec<String>,
    devices: Counts,
    points: usize,
    /// Points by the quality of their value.
    qualities: BTreeMap<&'static str, usize>,
    /// Devices that do not answer.
    troubled: Vec<ShownDevice<'a>>,
    buses: Vec<ShownBus>,
    broker: Figures,
    troubles: Vec<ShownLine>,
}

#[derive(Default, Serialize)]
struct Counts {
    online: usize,
    offline: usize,
    starting: usize,
}

/// All of it.
pub(crate) async fn all(State(app): State<Arc<App>>) -> Response {
    let layout = app.plant().layout();
    let mut counts = Counts::default();
    let mut troubled = Vec::new();
    let mut points = 0;
    let mut qualities = BTreeMap::new();
    for device in layout.devices.values() {
        points += device.points().len();
        for reading in device.readings() {
            *qualities.entry(quality(reading.as_ref())).or_default() += 1;
        }
        match device.state() {
            DeviceState::Online => counts.online += 1,
            DeviceState::Starting => counts.starting += 1,
            DeviceState::Offline { .. } => {
                counts.offline += 1;
                if troubled.len() < DEVICES {
                    troubled.push(ShownDevice::new(device));
                }
            }
        }
    }
    let house = &app.around.house;
    Json(Overview {
        gateway: &app.settings.gateway,
        version: &app.settings.version,
        now: time(Timestamp::now()),
        started: time(app.started),
        clock_is_set: house.clock_is_set(),
        warnings: house.warnings(),
        devices: counts,
        points,
        qualities,
        troubled,
        buses: buses::all(&app),
        broker: system::figures(&app),
        troubles: logs::troubles(&app, LINES),
    })
    .into_response()
}
