//! One open serial device: streams are listened to, polled devices asked, commands sent.

mod ask;
mod commands;

mod samples;
mod schedule;

use std::collections::VecDeque;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Cause, Driver, DriverError, Session};
use fieldgate_field_line::Port;
use fieldgate_model::{Command, Outcome, Sample, Value};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

use crate::bytes::shown;
use crate::config::SerialConfig;
use crate::counts::SerialCounts;
use crate::flood::Flow;
use crate::frame::{FrameKind, Framer, Rejected};
use crate::line::Line;
use crate::parse::Parser;
use crate::question::Debts;
use ask::{QUIET, QUIET_BYTES};
use schedule::Schedule;

/// Runs one device on a port of its own.
#[derive(Debug)]
pub struct SerialDriver {
    config: Arc<SerialConfig>,
    counts: Arc<SerialCounts>,
    debts: Debts,
}

/// Bytes of one read. The kernel holds at most 4096 for a port.
const CHUNK: usize = 4096;
/// How often it is looked whether a port is there again: one system call.
const LOOK: Duration = Duration::from_secs(1);
/// How long a port may take to take bytes, besides the time that they take on the wire.
const WRITE_LIMIT: Duration = Duration::from_secs(1);

impl SerialDriver {
    /// A driver for one device.
    pub fn new(config: SerialConfig) -> Self {
        Self {
            config: Arc::new(config),
            counts: Arc::default(),
            debts: Debts::default(),
        }
    }

    /// What came over the port.
    pub fn counts(&self) -> Arc<SerialCounts> {
        Arc::clone(&self.counts)
    }
}

impl Driver for SerialDriver {
    type Session = SerialSession;

    async fn open(&mut self) -> Result<SerialSession, DriverError> {
        let opened = Port::open(&self.config.port).await;
        let port = opened.map_err(|text| DriverError::new(Cause::Open, text))?;
        let (config, counts) = (Arc::clone(&self.config), Arc::clone(&self.counts));
        SerialSession::start(port, config, counts, self.debts.clone()).await
    }

    /// A port that was pulled out is looked for, so that it is served within a second when it is
    /// back.
    async fn recovered(&mut self) {
        let is_there = |path: &str| Path::new(path).exists();
        if is_there(&self.config.port.port) {
            return pending().await;
        }
        while !is_there(&self.config.port.port) {
            sleep(LOOK).await;
        }
    }
}

/// An open device.
#[derive(Debug)]
pub struct SerialSession<L = Port> {
    config: Arc<SerialConfig>,
    counts: Arc<SerialCounts>,
    port: L,
    framer: Framer,
    chunk: Vec<u8>,
    /// What the framer rejected up to the last look.
    rejected: Rejected,
    /// Frames that were found and not looked at yet: of one read.
    frames: VecDeque<Vec<u8>>,
    /// What was read and not handed out yet: of one read.
    samples: Vec<Sample>,
    schedule: Schedule,
    /// The port is gone.
    lost: Option<DriverError>,
    flow: Flow,
    /// When a streaming device last said something usable.
    heard: Instant,
    /// A device that need not send anything is online when its port is open.
    is_new: bool,
    /// What the device owes.
    debts: Debts,
    /// The last request that was made.
    asked: Option<usize>,
    /// Bytes that came while nothing was asked, of no frame so far.
    idle_bytes: u64,
    /// Something came that was not asked for.
    is_unsettled: bool,
    /// The port was opened while an answer was owed: a part of it may be on its way.
    is_new_line: bool,
    /// Points whose fault is in the log already.
    reported: Vec<bool>,
    /// That frames do not fit is in the log already.
    has_reported_frame: bool,
    /// That a frame broke off is in the log already.
    has_reported_gap: bool,
    /// That an answer has more frames than are taken is in the log already.
    has_reported_surplus: bool,
    /// That an answer was late is in the log already.
    has_reported_late: bool,
}

impl<L: Line> SerialSession<L> {
    /// Serves a device on a line that is open.
    async fn start(
        mut port: L,
        config: Arc<SerialConfig>,
        counts: Arc<SerialCounts>,
        debts: Debts,
    ) -> Result<Self, DriverError> {
        if !config.start.is_empty() {
            let limit = WRITE_LIMIT + config.port.time_of(config.start.len());
            port.write(&config.start, limit).await?;
        }
        let now = Instant::now();
        let mut framer = Framer::new(config.frame.clone());
        let is_owing = !debts.is_clear();
        // A device that is asked says nothing before, if it owes nothing; a sentence has its own
        // start and checksum.
        let talks = config.requests.is_empty() && config.parse.parser != Parser::Nmea;
        if is_owing || talks {
            framer.doubt((now + pause(&config, is_owing)).into_std());
        }
        Ok(Self {
            framer,
            chunk: vec![0; CHUNK],
            rejected: Rejected::default(),
            frames: VecDeque::new(),
            samples: Vec::new(),
            schedule: Schedule::new(&config.requests, now),
            lost: None,
            flow: Flow::new(now),
            heard: now,
            is_new: true,
            debts,
            asked: None,
            idle_bytes: 0,
            is_unsettled: is_owing || !config.start.is_empty(),
            is_new_line: is_owing,
            reported: vec![false; config.points.len()],
            has_reported_frame: false,
            has_reported_gap: false,
            has_reported_surplus: false,
            has_reported_late: false,
            port,
            counts,
            config,
        })
    }

    fn is_polled(&self) -> bool {
        !self.config.requests.is_empty()
    }

    /// When a streaming device has been silent for too long.
    fn silent_at(&self) -> Option<Instant> {
        self.heard.checked_add(self.config.timeout?)
    }

    /// When there is something to do if nothing comes.
    fn due(&self) -> Option<Instant> {
        if self.is_polled() {
            let dues = self.schedule.dues().map(|(index, due)| {
                // What cannot be asked before the device has rested is due then.
                let rested = self.rested_at().filter(|_| !self.can_ask(index));
                rested.map_or(due, |rested| rested.max(due))
            });
            return dues.min();
        }
        let frame = self.framer.deadline().map(Instant::from_std);
        [frame, self.silent_at()].into_iter().flatten().min()
    }

    /// Reads once and feeds the framer.
    async fn read(&mut self) {
        match self.port.read(&mut self.chunk).await {
            Ok(count) => {
                if !self.flow.take(count, Instant::now()) {
                    return self.flooded();
                }
                let bytes = self.chunk.get(..count).unwrap_or_default();
                self.idle_bytes += count as u64;
                let mut frames = Vec::new();
                self.framer
                    .feed(bytes, Instant::now().into_std(), &mut frames);
                if self.config.raw {
                    let value = Value::Bytes(bytes.to_vec());
                    let at = Timestamp::now();
                    self.samples
                        .push(Sample::good(self.config.raw_index(), value, at));
                }
                self.count(count, &frames);
                self.frames.extend(frames);
            }
            Err(error) => self.lost = Some(error),
        }
    }

    /// The port is given up, so that other devices keep their pace.
    fn flooded(&mut self) {
        let mut floods = 0;
        self.counts.change(|counts| {
            counts.floods += 1;
            floods = counts.floods;
        });
        let text = format!("{} sends without end", self.config.port.port);
        if floods == 1 {
            let device = self.config.name.as_str();
            log::warn!(DEVICE = device; "{text}: more than any serial line carries; the port is closed and tried again. `floods` counts how often");
        }
        self.lost = Some(DriverError::new(Cause::Lost, text));
    }

    /// Lets silence end a frame.
    fn tick(&mut self) {
        let mut frames = Vec::new();
        self.framer.tick(Instant::now().into_std(), &mut frames);
        self.count(0, &frames);
        self.frames.extend(frames);
    }

    fn count(&mut self, bytes: usize, frames: &[Vec<u8>]) {
        let now = self.framer.rejected();
        let news = now.since(&self.rejected);
        self.rejected = now;
        if let Some(gap) = self.config.frame.gap
            && news.incomplete > 0
            && !std::mem::replace(&mut self.has_reported_gap, true)
        {
            let device = self.config.name.as_str();
            log::info!(DEVICE = device; "a frame broke off, or paused for {gap:?} (`frame.gap`); further ones are only counted");
        }
        self.counts.change(|counts| {
            counts.bytes += bytes as u64;
            counts.frames += frames.len() as u64;
            counts.rejected += news;
        });
    }
}

impl<L: Line> Session for SerialSession<L> {
    async fn ready(&mut self) {
        loop {
            let announces = self.is_new && !self.is_polled() && self.config.timeout.is_none();
            if announces || self.lost.is_some() || !self.samples.is_empty() {
                return;
            }
            self.flow.give_way().await;
            let due = self.due();
            if due.is_some_and(|due| due <= Instant::now()) {
                self.tick();
                self.take_if_streaming();
                let is_silent = self.silent_at().is_some_and(|at| at <= Instant::now());
                if self.is_polled() || is_silent {
                    return;
                }
                continue;
            }
            match due {
                Some(due) => drop(timeout_at(due, self.read()).await),
                None => self.read().await,
            }
            if self.is_polled() {
                self.take_unasked();
            } else {
                self.take_if_streaming();
            }
        }
    }

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        self.is_new = false;
        out.append(&mut self.samples);
        if !out.is_empty() && !self.is_polled() {
            return Ok(());
        }
        if let Some(error) = self.lost.take() {
            return Err(error);
        }
        let (now, late) = (Instant::now(), self.config.late);
        if self.debts.with(|owed| owed.write_off(now, late)) {
            let device = self.config.name.as_str();
            log::debug!(DEVICE = device; "nothing came for {late:?}: what it owed is lost");
        }
        let can_ask: Vec<bool> = (0..self.config.requests.len())
            .map(|index| self.can_ask(index))
            .collect();
        let can_ask = |index: usize| can_ask.get(index) == Some(&true);
        if let Some(index) = self.schedule.take_due(now, can_ask) {
            let result = self.ask(index, out).await;
            if result.is_ok() {
                self.schedule.answered(index);
            }
            return result;
        }
        match (self.silent_at(), self.config.timeout) {
            (Some(at), Some(timeout)) if at <= Instant::now() => {
                let faults = self.counts.snapshot().faults();
                let seen = if faults.is_empty() {
                    String::new()
                } else {
                    format!(" (in all: {faults})")
                };
                let text = format!("nothing usable within {timeout:?}{seen}");
                Err(DriverError::new(Cause::Timeout, text))
            }
            _ => Ok(()),
        }
    }

    async fn apply(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        self.command(command, out).await
    }
}

/// For how long a frame that has begun may pause. A part of an answer that is owed must not be
/// taken for a whole one, so then it is all of `gap`.
fn pause(config: &SerialConfig, is_owing: bool) -> Duration {
    let own = match config.frame.kind {
        FrameKind::Silence { gap } => Some(gap),
        _ => config.frame.gap.filter(|_| is_owing),
    };
    own.unwrap_or(QUIET + config.port.time_of(QUIET_BYTES))
}

/// The beginning of a frame, for a message.
fn cut(frame: &[u8]) -> String {
    const LENGTH_MAX: usize = 80;
    match frame.get(..LENGTH_MAX) {
        Some(start) if frame.len() > LENGTH_MAX => format!("{}…", shown(start)),
        _ => shown(frame),
    }
}

#[cfg(test)]
mod tests;
