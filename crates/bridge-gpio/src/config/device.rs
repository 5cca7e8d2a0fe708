//! A device: points on the lines of one chip, or of any.

use std::collections::BTreeMap;

use fieldgate_bridge::names::points;
use fieldgate_bridge::{Backoff, Claim, Defaults, Misfit, Period, Settings};
use fieldgate_model::Point;
use serde::Deserialize;

use super::{Kind, LineRef, PointConfig, PointEntry};

/// A device as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawDevice")]
pub struct GpioEntry {
    raw: RawDevice,
}

/// A device with everything decided. Two that are equal need no restart on a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct GpioConfig {
    /// Its name.
    pub name: String,
    /// The label of the chip; absent: lines are looked for by name on all chips.
    pub chip: Option<String>,
    /// Whether there are no lines, and the gateway plays them.
    pub simulated: bool,
    /// Simulated outputs by the inputs that they drive.
    pub wires: BTreeMap<LineRef, LineRef>,
    /// When lines that cannot be had are tried again.
    pub offline: Offline,
    /// Its points, in the order of the file.
    pub points: Vec<(String, PointConfig)>,
}

/// When a device counts as offline, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    /// The pauses between attempts.
    pub backoff: Backoff,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    gpio: Gpio,
    #[serde(deserialize_with = "points")]
    points: Vec<(String, PointEntry)>,
}

/// Where its lines are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawGpio")]
struct Gpio(RawGpio);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGpio {
    chip: Option<String>,
    #[serde(default)]
    simulated: bool,
    wires: Option<BTreeMap<LineRef, LineRef>>,
}

const NUMBERED: &str = "the numbers of gpiochips change between kernels and starts (the header of a \
                        Raspberry Pi 5 was gpiochip4 and became gpiochip0); write the chip's label, \
                        which `gpiodetect` shows in brackets";
const BACKOFF_SECONDS: (u64, u64) = (1, 10);

impl TryFrom<RawGpio> for Gpio {
    type Error = String;

    fn try_from(raw: RawGpio) -> Result<Self, String> {
        if let Some(chip) = &raw.chip {
            let name = chip.rsplit('/').next().unwrap_or_default();
            let number = name.strip_prefix("gpiochip");
            if number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
                return Err(format!("chip: {NUMBERED}"));
            }
            if chip.is_empty() || chip.len() > 31 {
                return Err("chip: expected a label of 1 to 31 bytes".into());
            }
        }
        if raw.wires.is_some() && !raw.simulated {
            return Err("wires: only lines with `simulated: true` have them".into());
        }
        Ok(Self(raw))
    }
}

impl TryFrom<RawDevice> for GpioEntry {
    type Error = String;

    fn try_from(raw: RawDevice) -> Result<Self, String> {
        if raw.points.is_empty() {
            return Err("points: expected at least one point".into());
        }
        Ok(Self { raw })
    }
}

impl GpioEntry {
    /// Decides everything.
    ///
    /// # Errors
    ///
    /// All parts that do not fit each other.
    pub fn resolve(&self, name: &str, defaults: &Defaults) -> Result<GpioConfig, Vec<Misfit>> {
        let raw = &self.raw;
        let mut misfits = Vec::new();
        let mut resolved = Vec::with_capacity(raw.points.len());
        for (point, entry) in &raw.points {
            if let Some(config) = entry.resolve(point, &raw.points, defaults, &mut misfits) {
                resolved.push((point.clone(), config));
            }
        }
        if misfits.is_empty() {
            self.check_lines(&resolved, &mut misfits);
            check_initials(&resolved, &mut misfits);
        }
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let (min, max) = BACKOFF_SECONDS;
        let seconds = |seconds| Period::new(std::time::Duration::from_secs(seconds));
        let backoff = seconds(min).zip(seconds(max));
        Ok(GpioConfig {
            name: name.to_owned(),
            chip: raw.gpio.0.chip.clone(),
            simulated: raw.gpio.0.simulated,
            wires: raw.gpio.0.wires.clone().unwrap_or_default(),
            offline: Offline {
                backoff: backoff
                    .and_then(|(min, max)| Backoff::new(min, max))
                    .unwrap_or_default(),
            },
            points: resolved,
        })
    }

    /// What only one device can have: its lines and channels.
    pub fn claims(&self) -> Vec<Claim> {
        let RawGpio {
            chip, simulated, ..
        } = &self.raw.gpio.0;
        let points = self.raw.points.iter();
        points
            .filter_map(|(name, point)| point.claim(name, chip.as_deref(), *simulated))
            .collect()
    }

    /// A line by its number needs a chip.
    fn check_lines(&self, points: &[(String, PointConfig)], misfits: &mut Vec<Misfit>) {
        for (name, point) in points {
            let line = point.kind.line().map(|line| &line.line);
            if matches!(line, Some(LineRef::Offset(_))) && self.raw.gpio.0.chip.is_none() {
                let message = "a line by its number needs `gpio.chip`, the label of its chip";
                let path = ["points", name.as_str(), point.kind.key()];
                misfits.push(Misfit::new(&path, message));
            }
        }
    }
}

/// Outputs that exclude each other are not switched on together at the start or at the end.
fn check_initials(points: &[(String, PointConfig)], misfits: &mut Vec<Misfit>) {
    for (name, point) in points {
        let Kind::Out(out) = &point.kind else {
            continue;
        };
        for other in &out.interlock {
            let Some((other, Kind::Out(excluded))) =
                points.get(*other).map(|(name, point)| (name, &point.kind))
            else {
                continue;
            };
            for (key, own, others) in [
                ("initial", out.initial, excluded.initial),
                ("safe", out.safe, excluded.safe),
            ] {
                if own == Some(true) && others == Some(true) && name < other {
                    let message = format!("the interlocked output \"{other}\" is then on too");
                    misfits.push(Misfit::new(&["points", name, key], message));
                }
            }
        }
    }
}

impl GpioConfig {
    /// How the run loop treats it. `seed` makes the jitter of its pauses repeatable.
    pub fn settings(&self, seed: u64) -> Settings {
        Settings {
            device: self.name.clone(),
            rules: self.points.iter().map(|(_, point)| point.rule).collect(),
            backoff: self.offline.backoff,
            // Lines are there or they are not: nothing is gained by asking again.
            offline_after: 1,
            command_expiry: fieldgate_bridge::COMMAND_EXPIRY,
            seed,
        }
    }

    /// What topics and payloads need to know of its points.
    pub fn model_points(&self) -> Vec<Point> {
        let points = self.points.iter();
        points
            .map(|(name, point)| Point {
                name: name.clone(),
                unit: point.unit.clone(),
                writable: point.kind.is_writable(),
                labels: point.labels.clone(),
            })
            .collect()
    }
}
