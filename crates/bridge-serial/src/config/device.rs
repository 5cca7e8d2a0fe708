//! A serial device.

use std::time::Duration;

use fieldgate_bridge::names::points;
use fieldgate_bridge::{Backoff, Claim, Defaults, Misfit, Period, Poll, Settings};
use fieldgate_field_line::PortSettings;
use fieldgate_model::Point;
use serde::Deserialize;

use super::frame::FrameEntry;
use super::parse::Pattern;
use super::{ParseConfig, PointConfig, PointEntry};
use crate::bytes::Escaped;
use crate::frame::FrameConfig;
use crate::talker::Script;

/// A device as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawDevice")]
pub struct SerialEntry {
    raw: RawDevice,
}

/// A device with everything decided. Two that are equal need no restart on a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct SerialConfig {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: PortSettings,
    /// How its frames are told apart.
    pub frame: FrameConfig,
    /// Sent once each time the port was opened; may be empty.
    pub start: Vec<u8>,
    /// What it is asked; empty if it streams.
    pub requests: Vec<RequestConfig>,
    /// How the frames of a streaming device are taken apart.
    pub parse: ParseConfig,
    /// After what time without a usable frame a streaming device is offline; absent: never.
    pub timeout: Option<Duration>,
    /// How long it may be silent before an answer that it owes counts as lost.
    pub late: Duration,
    /// When it is given up and tried again.
    pub offline: Offline,
    /// Whether bytes are handed through as they are.
    pub raw: bool,
    /// Its points, in the order of the file.
    pub points: Vec<(String, PointConfig)>,
}

/// One request of a polled device.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestConfig {
    /// Its name; empty if there is only one.
    pub name: String,
    /// What is sent.
    pub send: Vec<u8>,
    /// How often.
    pub every: Poll,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often it is sent again if there is no answer.
    pub retries: u32,
    /// How long the line is held in break before it.
    pub line_break: Option<Duration>,
    /// How many frames answer it, at least 1: all that fit `parse`.
    pub frames: usize,
    /// A frame that refuses it, or anything else that the device is asked.
    pub refused: Option<Pattern>,
    /// How its answer is taken apart.
    pub parse: ParseConfig,
}

/// When a device counts as offline, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    /// After how many failures in a row, at least 1.
    pub after: u32,
    /// The pauses between attempts.
    pub backoff: Backoff,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    serial: PortSettings,
    frame: Option<FrameEntry>,
    start: Option<Escaped>,
    request: Option<RawRequest>,
    #[serde(default, deserialize_with = "points")]
    requests: Vec<(String, RawRequest)>,
    parse: Option<ParseConfig>,
    timeout: Option<Period>,
    late: Option<Period>,
    #[serde(default)]
    offline: RawOffline,
    #[serde(default)]
    raw: bool,
    simulated: Option<Script>,
    #[serde(default, deserialize_with = "points")]
    points: Vec<(String, PointEntry)>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    send: Escaped,
    every: Option<Poll>,
    timeout: Option<Period>,
    retries: Option<u32>,
    #[serde(rename = "break")]
    line_break: Option<Period>,
    frames: Option<usize>,
    refused: Option<Pattern>,
    parse: Option<ParseConfig>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOffline {
    after: Option<u32>,
    backoff: Option<Backoff>,
}

const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const BREAK_MAX: Duration = Duration::from_secs(2);
/// How late an answer can be, if nothing else is said.
const LATE_TIMEOUTS: u32 = 10;
const LATE_LEAST: Duration = Duration::from_secs(10);
const LATE_MAX: Duration = Duration::from_secs(3600);
/// What a device may owe is bounded, and an answer may be owed twice.
const FRAMES_MAX: usize = 8;
const RETRIES: u32 = 1;
const RETRIES_MAX: u32 = 10;
/// A port that was pulled out is back when a person has put it back.
const BACKOFF_SECONDS: (u64, u64) = (1, 10);

impl TryFrom<RawDevice> for SerialEntry {
    type Error = String;

    fn try_from(raw: RawDevice) -> Result<Self, String> {
        let is_polled = raw.request.is_some() || !raw.requests.is_empty();
        if raw.request.is_some() && !raw.requests.is_empty() {
            return Err("requests: the device already has `request`".into());
        }
        if raw.timeout.is_some() && is_polled {
            return Err("timeout: a device that is asked has it in its request".into());
        }
        if raw.late.is_some_and(|late| late.get() > LATE_MAX) {
            return Err("late: must be at most 1h".into());
        }
        if raw.points.is_empty() && !raw.raw {
            return Err("points: expected at least one point, or `raw: true`".into());
        }
        if raw.offline.after == Some(0) {
            return Err("offline.after: must be at least 1".into());
        }
        if let Some(request) = &raw.request {
            request.check("request")?;
        }
        for (name, request) in &raw.requests {
            request.check(&format!("requests.{name}"))?;
        }
        Ok(Self { raw })
    }
}

impl RawRequest {
    fn check(&self, key: &str) -> Result<(), String> {
        if self.send.0.is_empty() {
            return Err(format!("{key}.send: there is nothing to send"));
        }
        if self
            .timeout
            .is_some_and(|timeout| timeout.get() > TIMEOUT_MAX)
        {
            return Err(format!("{key}.timeout: must be at most 60s"));
        }
        if self
            .line_break
            .is_some_and(|length| length.get() > BREAK_MAX)
        {
            return Err(format!("{key}.break: must be at most 2s"));
        }
        if self
            .frames
            .is_some_and(|frames| !(1..=FRAMES_MAX).contains(&frames))
        {
            return Err(format!("{key}.frames: expected 1 to {FRAMES_MAX}"));
        }
        if self.retries.is_some_and(|retries| retries > RETRIES_MAX) {
            return Err(format!("{key}.retries: must be at most {RETRIES_MAX}"));
        }
        Ok(())
    }

    fn resolve(&self, name: &str, parse: &ParseConfig, defaults: &Defaults) -> RequestConfig {
        RequestConfig {
            name: name.to_owned(),
            send: self.send.0.clone(),
            every: self.every.unwrap_or(defaults.poll),
            timeout: self.timeout.map_or(TIMEOUT, Period::get),
            retries: self.retries.unwrap_or(RETRIES),
            line_break: self.line_break.map(Period::get),
            frames: self.frames.unwrap_or(1),
            refused: self.refused.clone(),
            parse: self.parse.clone().unwrap_or_else(|| parse.clone()),
        }
    }
}

impl SerialEntry {
    /// What only one device or bus can have: its port.
    pub fn claims(&self) -> Vec<Claim> {
        vec![Claim::new(
            &["serial", "port"],
            "port",
            &*self.raw.serial.port,
        )]
    }

    /// What it says if it is simulated, in the place of its port.
    pub fn simulated(&self) -> Option<&Script> {
        self.raw.simulated.as_ref()
    }

    /// Decides everything.
    ///
    /// # Errors
    ///
    /// All parts that do not fit each other.
    pub fn resolve(&self, name: &str, defaults: &Defaults) -> Result<SerialConfig, Vec<Misfit>> {
        let raw = &self.raw;
        let parse = raw.parse.clone().unwrap_or_default();
        let single = raw.request.iter().map(|request| ("", request));
        let several = raw
            .requests
            .iter()
            .map(|(name, request)| (name.as_str(), request));
        let requests: Vec<RequestConfig> = single
            .chain(several)
            .map(|(name, request)| request.resolve(name, &parse, defaults))
            .collect();
        let mut misfits = Vec::new();
        let mut resolved = Vec::with_capacity(raw.points.len());
        for (point, entry) in &raw.points {
            if let Some(config) = entry.resolve(point, &requests, &parse, defaults, &mut misfits) {
                resolved.push((point.clone(), config));
            }
        }
        let is_polled = !requests.is_empty();
        for (at, request) in requests.iter().enumerate() {
            let is_used = resolved.iter().any(|(_, point)| point.request == Some(at));
            if !is_used && misfits.is_empty() {
                let path: &[&str] = match request.name.as_str() {
                    "" => &["request"],
                    name => &["requests", name],
                };
                misfits.push(Misfit::new(path, "no point shows what it answers"));
            }
        }
        if !misfits.is_empty() {
            return Err(misfits);
        }
        // Silence and unplugging are told at once: a streaming device has had its time by then.
        let after = if is_polled { 3 } else { 1 };
        Ok(SerialConfig {
            name: name.to_owned(),
            port: raw.serial.clone(),
            frame: raw
                .frame
                .clone()
                .unwrap_or_else(FrameEntry::lines)
                .resolve(&raw.serial),
            start: raw.start.clone().unwrap_or_default().0,
            parse,
            timeout: raw.timeout.map(Period::get),
            late: raw
                .late
                .map_or_else(|| usual_late(&requests, &resolved), Period::get),
            offline: Offline {
                after: raw.offline.after.unwrap_or(after),
                backoff: raw.offline.backoff.unwrap_or_else(usual_backoff),
            },
            raw: raw.raw,
            requests,
            points: resolved,
        })
    }
}

/// How late an answer is thought to be at most.
fn usual_late(requests: &[RequestConfig], points: &[(String, PointConfig)]) -> Duration {
    let asked = requests.iter().map(|request| request.timeout);
    let set = points.iter().filter_map(|(_, point)| point.write.as_ref());
    let longest = asked.chain(set.map(|rule| rule.timeout)).max();
    LATE_LEAST.max(longest.unwrap_or_default() * LATE_TIMEOUTS)
}

fn usual_backoff() -> Backoff {
    let (min, max) = BACKOFF_SECONDS;
    let [min, max] = [min, max].map(|seconds| Period::new(Duration::from_secs(seconds)));
    min.zip(max)
        .and_then(|(min, max)| Backoff::new(min, max))
        .unwrap_or_default()
}

impl SerialConfig {
    /// What topics and payloads need to know of its points, in the same order.
    pub fn model_points(&self) -> Vec<Point> {
        let points = self.points.iter();
        points.map(|(name, point)| point.to_model(name)).collect()
    }

    /// The index that stands for the raw bytes, in samples (read) and commands (to write); no
    /// point has it.
    pub fn raw_index(&self) -> usize {
        self.points.len()
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
