//! Device types and devices.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldgate_bridge::{Defaults, Misfit, Period, Poll, Settings, Together, names};
use fieldgate_model::check_name;
use serde::Deserialize;
use serde::de::Deserializer;

use super::bus::SETTLE_MAX;
use super::{Offline, Order, PointConfig, PointEntry, Points};

/// A shared register map.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeConfig {
    /// How its registers are laid out and asked for.
    #[serde(default)]
    pub modbus: Layout,
    /// Its points, in the order of the file. Names are checked and unique.
    #[serde(deserialize_with = "points")]
    pub points: Vec<(String, PointEntry)>,
}

/// How the registers of a device are laid out, and how they may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawLayout")]
pub struct Layout {
    /// The byte order of points that do not name theirs.
    pub order: Option<Order>,
    /// How many registers that no point needs may be read to join two requests. A gap of bits
    /// may be 16 times as long, which costs the wire the same.
    pub max_gap: Option<u16>,
    /// The most registers in one request, 1 to 125.
    pub max_registers: Option<u16>,
    /// The most bits in one request, 1 to 2000.
    pub max_bits: Option<u16>,
    /// Whether bits of registers may be written with function 22, which is learned if absent.
    pub mask_write: Option<bool>,
    /// Whether a write and its read-back are one request, function 23.
    pub read_write: Option<bool>,
    /// How long the device is left alone after a connection to it was made.
    pub settle: Option<Period>,
}

/// A device, or several of one kind, as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawDevice")]
pub struct DeviceEntry {
    /// The name of its device type.
    pub kind: Option<String>,
    /// The name of its bus.
    pub bus: String,
    /// Its unit, or one unit for each device; never empty.
    pub units: Vec<u8>,
    /// Whether it was written as `units`, so that the device's name needs `{unit}`.
    pub many: bool,
    /// Overrides single keys of its type's `modbus`.
    pub modbus: Layout,
    /// Added to the points of its type; one of the same name replaces the type's.
    pub points: Vec<(String, PointEntry)>,
}

/// A device with everything decided. Two that are equal need no restart on a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Its name.
    pub name: String,
    /// The name of its bus.
    pub bus: String,
    /// Its unit identifier, 0 to 255. 0 is a server itself, not a unit behind it.
    pub unit: u8,
    /// The most unused registers between two points of one request.
    pub max_gap: u16,
    /// The most registers in one request, at least as many as its longest point.
    pub max_registers: u16,
    /// The most bits in one request.
    pub max_bits: u16,
    /// Whether function 22 may be tried.
    pub mask_write: bool,
    /// Whether function 23 is used.
    pub read_write: bool,
    /// How long it is left alone after a connection to it was made.
    pub settle: Duration,
    /// With which other devices it is polled in one moment.
    pub together: Option<Together>,
    /// Its points, in the order of the file; never empty.
    pub points: Points,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLayout {
    order: Option<Order>,
    max_gap: Option<u16>,
    max_registers: Option<u16>,
    max_bits: Option<u16>,
    mask_write: Option<bool>,
    read_write: Option<bool>,
    settle: Option<Period>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    #[serde(rename = "type")]
    kind: Option<String>,
    bus: String,
    unit: Option<u8>,
    units: Option<Vec<u8>>,
    #[serde(default)]
    modbus: Layout,
    #[serde(default, deserialize_with = "points")]
    points: Vec<(String, PointEntry)>,
}

/// The specification's limits: an answer is at most 253 bytes.
const REGISTERS_MAX: u16 = 125;
const BITS_MAX: u16 = 2000;
/// An extra register costs 2 bytes; a request of its own costs 20 and a round trip.
const GAP: u16 = 8;

impl TryFrom<RawLayout> for Layout {
    type Error = String;

    fn try_from(raw: RawLayout) -> Result<Self, String> {
        for (key, value, min, max) in [
            ("max_gap", raw.max_gap, 0, REGISTERS_MAX),
            ("max_registers", raw.max_registers, 1, REGISTERS_MAX),
            ("max_bits", raw.max_bits, 1, BITS_MAX),
        ] {
            if let Some(value) = value
                && !(min..=max).contains(&value)
            {
                return Err(format!("{key}: {value} is outside {min}..={max}"));
            }
        }
        if raw.settle.is_some_and(|settle| settle.get() > SETTLE_MAX) {
            return Err("settle: must be at most 60s".into());
        }
        Ok(Self {
            order: raw.order,
            max_gap: raw.max_gap,
            max_registers: raw.max_registers,
            max_bits: raw.max_bits,
            mask_write: raw.mask_write,
            read_write: raw.read_write,
            settle: raw.settle,
        })
    }
}

impl TryFrom<RawDevice> for DeviceEntry {
    type Error = String;

    fn try_from(raw: RawDevice) -> Result<Self, String> {
        let many = raw.units.is_some();
        let units = match (raw.unit, raw.units) {
            (Some(unit), None) => vec![unit],
            (None, Some(units)) => units,
            (None, None) => return Err("unit: missing; expected `unit` or `units`".into()),
            (Some(_), Some(_)) => return Err("units: the device already has `unit`".into()),
        };
        if units.is_empty() {
            return Err("units: expected at least one unit".into());
        }
        for (index, unit) in units.iter().enumerate() {
            if units.iter().skip(index + 1).any(|other| other == unit) {
                return Err(format!("units: duplicate unit {unit}"));
            }
        }
        if raw.kind.is_none() && raw.points.is_empty() {
            return Err("points: expected at least one point, or a `type`".into());
        }
        Ok(Self {
            kind: raw.kind,
            bus: raw.bus,
            units,
            many,
            modbus: raw.modbus,
            points: raw.points,
        })
    }
}

impl DeviceEntry {
    /// Decides everything for one of its units.
    ///
    /// # Errors
    ///
    /// All parts that do not fit each other. Those about points that come from its type have the keys that they have
    /// there.
    pub fn resolve(
        &self,
        name: &str,
        unit: u8,
        kind: Option<&TypeConfig>,
        defaults: &Defaults,
    ) -> Result<DeviceConfig, Vec<Misfit>> {
        let layout = self
            .modbus
            .or(kind.map(|kind| kind.modbus).unwrap_or_default());
        let inherited = kind.map(|kind| kind.points.as_slice()).unwrap_or_default();
        let mut own: BTreeMap<&str, &PointEntry> = self
            .points
            .iter()
            .map(|(name, point)| (name.as_str(), point))
            .collect();
        let mut points = Vec::with_capacity(inherited.len() + own.len());
        let mut entries = Vec::with_capacity(points.capacity());
        for (name, point) in inherited {
            entries.push((name, own.remove(name.as_str()).unwrap_or(point)));
        }
        let added = self.points.iter().map(|(name, point)| (name, point));
        entries.extend(added.filter(|(name, _)| own.contains_key(name.as_str())));
        let mut misfits = Vec::new();
        for (name, entry) in &entries {
            let mut point = entry.resolve(&layout, defaults);
            point.scale_from = factor(name, entry, &entries, &mut misfits);
            points.push(((*name).clone(), point));
        }
        let max_registers = layout.max_registers.unwrap_or(REGISTERS_MAX);
        self.check_lengths(&points, max_registers, &mut misfits);
        if points.is_empty() {
            misfits.push(Misfit::new(&["points"], "expected at least one point"));
        }
        if !misfits.is_empty() {
            return Err(misfits);
        }
        Ok(DeviceConfig {
            name: name.to_owned(),
            bus: self.bus.clone(),
            unit,
            max_gap: layout.max_gap.unwrap_or(GAP),
            max_registers,
            max_bits: layout.max_bits.unwrap_or(BITS_MAX),
            mask_write: layout.mask_write.unwrap_or(true),
            read_write: layout.read_write.unwrap_or(false),
            settle: layout.settle.map_or(Duration::ZERO, Period::get),
            together: defaults.together,
            points: Points::new(points),
        })
    }

    /// Whether nothing of this device needs an answer, as none of the units of a line gives one to a request for all.
    ///
    /// # Errors
    ///
    /// The key that needs one.
    pub fn check_broadcast(&self) -> Result<(), Misfit> {
        let key = if self.many { "units" } else { "unit" };
        let all = "unit 0 is all units of the line, and none of them answers";
        if self.many {
            let message = format!("{all}: give it a device of its own");
            return Err(Misfit::new(&[key], message));
        }
        if self.kind.is_some() {
            let message = format!(
                "{all}: such a device has points of its own, which are only written, and no type"
            );
            return Err(Misfit::new(&["type"], message));
        }
        if self.modbus.read_write == Some(true) {
            let path = ["modbus", "read_write"];
            return Err(Misfit::new(
                &path,
                format!("{all}: function 23 needs an answer"),
            ));
        }
        for (name, point) in &self.points {
            if let Some((key, needed)) = point.needs_answer() {
                let message = format!("{all}: {needed}");
                return Err(Misfit::new(&["points", name, key], message));
            }
        }
        Ok(())
    }

    /// A request has to hold each point.
    fn check_lengths(
        &self,
        points: &[(String, PointConfig)],
        max_registers: u16,
        misfits: &mut Vec<Misfit>,
    ) {
        for (name, point) in points {
            let needed = point.kind.registers();
            if point.table.is_bits() || needed <= max_registers {
                continue;
            }
            let is_own = self.points.iter().any(|(own, _)| own == name);
            // A device may set a limit that is too low for a point of its type.
            let misfit = match self.modbus.max_registers {
                Some(_) if !is_own => {
                    let message = format!("the point `{name}` needs {needed} registers");
                    Misfit::new(&["modbus", "max_registers"], message)
                }
                _ => {
                    let message = format!(
                        "needs {needed} registers, more than max_registers {max_registers}"
                    );
                    Misfit::new(&["points", name, "as"], message)
                }
            };
            misfits.push(misfit);
        }
    }
}

/// Where the point is that scales this one.
fn factor(
    name: &str,
    entry: &PointEntry,
    entries: &[(&String, &PointEntry)],
    misfits: &mut Vec<Misfit>,
) -> Option<usize> {
    let wanted = entry.scale_from()?;
    let path = ["points", name, "scale_from"];
    let Some(index) = entries.iter().position(|(other, _)| *other == wanted) else {
        let able = entries.iter();
        let able = able.filter(|(other, entry)| *other != name && entry.can_scale());
        let known = able.map(|(other, _)| (*other).clone()).collect();
        misfits.push(Misfit::unknown(&path, "point", wanted, known));
        return None;
    };
    if entries
        .get(index)
        .is_some_and(|(_, other)| !other.can_scale())
    {
        let message = format!("`{wanted}` is no plain integer");
        misfits.push(Misfit::new(&path, message));
    }
    Some(index)
}

impl Layout {
    fn or(self, other: Self) -> Self {
        Self {
            order: self.order.or(other.order),
            max_gap: self.max_gap.or(other.max_gap),
            max_registers: self.max_registers.or(other.max_registers),
            max_bits: self.max_bits.or(other.max_bits),
            mask_write: self.mask_write.or(other.mask_write),
            read_write: self.read_write.or(other.read_write),
            settle: self.settle.or(other.settle),
        }
    }
}

impl DeviceConfig {
    /// How it is run. `offline` is its bus's.
    pub fn settings(&self, offline: &Offline, seed: u64) -> Settings {
        Settings {
            device: self.name.clone(),
            rules: self.points.rules(),
            backoff: offline.backoff,
            offline_after: offline.after,
            command_expiry: fieldgate_bridge::COMMAND_EXPIRY,
            seed,
        }
    }

    /// How much earlier than those of others its periods begin; see [`Together`]. `alone` says how many devices have
    /// their bus for themselves, if this is one of them: it keeps no other waiting, so it need not avoid them.
    pub fn phase(&self, seed: u64, alone: Option<usize>) -> Duration {
        let together = match (self.together, alone) {
            (Some(together), _) => together,
            (None, None) => Together::default(),
            (None, Some(devices)) => Together::of_many(devices, self.shortest()),
        };
        together.phase(seed)
    }

    /// The shortest period of its points.
    fn shortest(&self) -> Duration {
        let periods = self
            .points
            .iter()
            .filter_map(|(_, point)| match point.poll {
                Some(Poll::Every(period)) => Some(period.get()),
                Some(Poll::Once) | None => None,
            });
        periods.min().unwrap_or(Duration::MAX)
    }
}

/// Reads a mapping of points, in order.
fn points<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, PointEntry)>, D::Error> {
    names::ordered::<PointName, _, _>(deserializer, "a table of points")
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct PointName(String);

impl TryFrom<String> for PointName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match check_name(&name) {
            Ok(()) if matches!(name.as_str(), "set" | "result") => Err(format!(
                "`{name}` cannot be the name of a point: commands for the device go there"
            )),
            Ok(()) => Ok(Self(name)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl From<PointName> for String {
    fn from(name: PointName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests;
