//! A meter.

use std::time::Duration;

use fieldgate_bridge::names::points;
use fieldgate_bridge::{Backoff, Defaults, Misfit, Period, Settings};
use fieldgate_model::Point;
use serde::Deserialize;

use super::{PointConfig, PointEntry};
use crate::address::{Address, PRIMARY_MAX};

/// A meter as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MbusEntry {
    /// The name of its bus.
    pub bus: String,
    /// The name of its type, if it has one.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    address: Option<i64>,
    secondary: Option<String>,
    poll: Option<Period>,
    telegrams: Option<i64>,
    #[serde(default)]
    offline: RawOffline,
    #[serde(default, deserialize_with = "points")]
    points: Vec<(String, PointEntry)>,
}

/// A type of meter as written: what many meters have in common.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MbusType {
    poll: Option<Period>,
    telegrams: Option<i64>,
    #[serde(default, deserialize_with = "points")]
    points: Vec<(String, PointEntry)>,
}

/// A meter with everything decided. Two that are equal need no restart on a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct MbusConfig {
    /// Its name.
    pub name: String,
    /// The name of its bus.
    pub bus: String,
    /// Where it is on the bus.
    pub address: Address,
    /// How often it is read.
    pub poll: Duration,
    /// How many telegrams it is asked for at most.
    pub telegrams: usize,
    /// When it is given up and tried again.
    pub offline: Offline,
    /// Its points, in the order of the file; those of its type first.
    pub points: Vec<(String, PointConfig)>,
}

/// When a meter counts as offline, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    /// After how many failures in a row, at least 1.
    pub after: u32,
    /// The pauses between attempts.
    pub backoff: Backoff,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffline {
    after: Option<u32>,
    backoff: Option<Backoff>,
}

/// The default of other bridges, a second, would keep a line busy without end, and empty the
/// battery of a meter.
const POLL: Duration = Duration::from_secs(300);
/// Telegrams of one meter: enough for any that is known.
const TELEGRAMS: usize = 8;
const TELEGRAMS_MAX: i64 = 32;
const OFFLINE_AFTER: u32 = 3;
/// A meter is not back at once, and a line is slow.
const BACKOFF_SECONDS: (u64, u64) = (5, 300);

impl MbusEntry {
    /// Decides everything. Points of the device replace those of its type with the same name.
    ///
    /// # Errors
    ///
    /// All parts that do not fit each other. Those of points that come from the type have the
    /// keys that they have there.
    pub fn resolve(
        &self,
        name: &str,
        kind: Option<&MbusType>,
        defaults: &Defaults,
    ) -> Result<MbusConfig, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let address = self.address(&mut misfits);
        let telegrams = self
            .telegrams
            .or(kind.and_then(|kind| kind.telegrams))
            .map_or(Some(TELEGRAMS), |telegrams| {
                let number = usize::try_from(telegrams).ok();
                number.filter(|_| (1..=TELEGRAMS_MAX).contains(&telegrams))
            });
        if telegrams.is_none() {
            let message = format!("expected 1 to {TELEGRAMS_MAX}");
            misfits.push(Misfit::new(&["telegrams"], message));
        }
        if self.offline.after == Some(0) {
            misfits.push(Misfit::new(&["offline", "after"], "must be at least 1"));
        }
        let own = |point: &str| self.points.iter().any(|(name, _)| name == point);
        let inherited = kind.map_or(&[][..], |kind| &kind.points);
        let inherited = inherited.iter().filter(|(name, _)| !own(name));
        let mut resolved = Vec::new();
        for (point, entry) in inherited.chain(&self.points) {
            if let Some(config) = entry.resolve(point, defaults, &mut misfits) {
                resolved.push((point.clone(), config));
            }
        }
        if resolved.is_empty() && misfits.is_empty() {
            misfits.push(Misfit::new(&["points"], "expected at least one point"));
        }
        let poll = self.poll.or(kind.and_then(|kind| kind.poll));
        match (address, telegrams) {
            (Some(address), Some(telegrams)) if misfits.is_empty() => Ok(MbusConfig {
                name: name.to_owned(),
                bus: self.bus.clone(),
                address,
                poll: poll.map_or(POLL, Period::get),
                telegrams,
                offline: Offline {
                    after: self.offline.after.unwrap_or(OFFLINE_AFTER),
                    backoff: self.offline.backoff.unwrap_or_else(usual_backoff),
                },
                points: resolved,
            }),
            _ => Err(misfits),
        }
    }

    fn address(&self, misfits: &mut Vec<Misfit>) -> Option<Address> {
        let misfit = match (self.address, &self.secondary) {
            (Some(address), None) => match u8::try_from(address) {
                Ok(address) if address <= PRIMARY_MAX => return Some(Address::Primary(address)),
                _ => {
                    let message = format!("{address} is outside 0..={PRIMARY_MAX}");
                    Misfit::new(&["address"], message)
                }
            },
            (None, Some(text)) => match text.parse() {
                Ok(secondary) => return Some(Address::Secondary(secondary)),
                Err(why) => Misfit::new(&["secondary"], why),
            },
            (Some(_), Some(_)) => Misfit::new(&["secondary"], "the device already has `address`"),
            (None, None) => Misfit::new(&[], "expected `address` or `secondary`"),
        };
        misfits.push(misfit);
        None
    }
}

fn usual_backoff() -> Backoff {
    let (min, max) = BACKOFF_SECONDS;
    let [min, max] = [min, max].map(|seconds| Period::new(Duration::from_secs(seconds)));
    min.zip(max)
        .and_then(|(min, max)| Backoff::new(min, max))
        .unwrap_or_default()
}

impl MbusConfig {
    /// What topics and payloads need to know of its points, in the same order.
    pub fn model_points(&self) -> Vec<Point> {
        let points = self.points.iter();
        points.map(|(name, point)| point.to_model(name)).collect()
    }

    /// How it is run.
    pub fn settings(&self, seed: u64) -> Settings {
        Settings {
            device: self.name.clone(),
            rules: self.points.iter().map(|(_, point)| point.rule).collect(),
            backoff: self.offline.backoff,
            offline_after: self.offline.after,
            command_expiry: fieldgate_bridge::COMMAND_EXPIRY,
            seed,
        }
    }
}
