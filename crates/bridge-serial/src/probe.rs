//! One look at a device, for people: its frames, what fits, and the values.

use std::time::Duration;

use fieldgate_bridge::DriverError;
use fieldgate_model::Value;
use tokio::time::{Instant, timeout_at};

use crate::config::{ParseConfig, SerialConfig};
use crate::counts::SerialSnapshot;
use crate::frame::Framer;
use crate::point::{self, Unusable};
use crate::port::Port;

/// What was seen.
#[derive(Debug)]
pub struct Probe {
    /// The frames in the order of their coming.
    pub seen: Vec<Seen>,
    /// Points that no frame said anything about, by index.
    pub missing: Vec<usize>,
    /// What came, in numbers.
    pub counts: SerialSnapshot,
    /// Bytes behind the last frame.
    pub rest: usize,
}

/// One frame and what is in it.
#[derive(Debug)]
pub struct Seen {
    /// When it came, after the port was opened.
    pub after: Duration,
    /// The request that it answers, by index.
    pub request: Option<usize>,
    /// Its bytes, without what marked it.
    pub frame: Vec<u8>,
    /// Why it does not fit `parse`.
    pub unfit: Option<String>,
    /// The points, by index, and what they hold.
    pub values: Vec<(usize, Result<Value, Unusable>)>,
}

/// The most frames that are kept.
const FRAMES_MAX: usize = 50;

/// Looks at a device: asks each request once, or listens for `listen` at most, until every point
/// was seen.
///
/// # Errors
///
/// If the port cannot be opened or is lost. Silence is no error here.
pub async fn probe(config: SerialConfig, listen: Duration) -> Result<Probe, DriverError> {
    let port = config.port.clone();
    let opened = tokio::task::spawn_blocking(move || Port::open(&port)).await;
    let port = opened
        .map_err(|error| DriverError::new(fieldgate_bridge::Cause::Open, error.to_string()))??;
    let mut look = Look {
        framer: Framer::new(config.frame.clone()),
        start: Instant::now(),
        bytes: 0,
        unmatched: 0,
        seen: Vec::new(),
        config,
        port,
    };
    if !look.config.start.is_empty() {
        look.send(&look.config.start.clone()).await?;
    }
    if look.config.requests.is_empty() {
        let parse = look.config.parse.clone();
        look.collect(None, &parse, look.start + listen).await?;
    }
    for (index, request) in look.config.requests.clone().iter().enumerate() {
        if let Some(length) = request.line_break {
            look.port.line_break(length).await?;
        }
        look.framer.clear();
        look.send(&request.send).await?;
        let end = Instant::now() + look.config.port.time_of(request.send.len()) + request.timeout;
        look.collect(Some(index), &request.parse, end).await?;
    }
    Ok(look.result())
}

struct Look {
    config: SerialConfig,
    port: Port,
    framer: Framer,
    start: Instant,
    bytes: u64,
    unmatched: u64,
    seen: Vec<Seen>,
}

impl Look {
    async fn send(&self, bytes: &[u8]) -> Result<(), DriverError> {
        let limit = Duration::from_secs(1) + self.config.port.time_of(bytes.len());
        self.port.write(bytes, limit).await
    }

    /// Reads frames until `end`, or until there is nothing more to see.
    async fn collect(
        &mut self,
        request: Option<usize>,
        parse: &ParseConfig,
        end: Instant,
    ) -> Result<(), DriverError> {
        let mut chunk = vec![0; 4096];
        while self.seen.len() < FRAMES_MAX && !self.is_done(request) {
            let silence = self.framer.deadline().map(Instant::from_std);
            let until = silence.map_or(end, |silence| silence.min(end));
            let mut frames = Vec::new();
            match timeout_at(until, self.port.read(&mut chunk)).await {
                Ok(count) => {
                    let bytes = chunk.get(..count?).unwrap_or_default();
                    self.bytes += bytes.len() as u64;
                    self.framer
                        .feed(bytes, Instant::now().into_std(), &mut frames);
                }
                Err(_) => self.framer.tick(Instant::now().into_std(), &mut frames),
            }
            for frame in frames {
                self.look_at(frame, request, parse);
            }
            if Instant::now() >= end {
                break;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, frame: Vec<u8>, request: Option<usize>, parse: &ParseConfig) {
        let after = self.start.elapsed();
        let (mut unfit, mut values) = (None, Vec::new());
        match parse.parser.parse(&frame) {
            Ok(record) => {
                for (index, (_, point)) in self.config.points.iter().enumerate() {
                    if point.request == request
                        && let Some(value) = point::read(point, &record, parse.numbers)
                    {
                        values.push((index, value));
                    }
                }
            }
            Err(why) => {
                self.unmatched += 1;
                unfit = Some(why);
            }
        }
        self.seen.push(Seen {
            after,
            request,
            frame,
            unfit,
            values,
        });
    }

    /// Whether every point that can be seen was seen.
    fn is_done(&self, request: Option<usize>) -> bool {
        let is_missing = |(index, (_, point)): (usize, &(String, crate::PointConfig))| {
            point.request == request && point.source.is_some() && !self.has_seen(index)
        };
        let is_answered = request.is_some()
            && self
                .seen
                .iter()
                .any(|seen| seen.request == request && !seen.values.is_empty());
        let points = self.config.points.iter().enumerate();
        is_answered || (!self.seen.is_empty() && !points.into_iter().any(is_missing))
    }

    fn has_seen(&self, point: usize) -> bool {
        let values = self.seen.iter().flat_map(|seen| &seen.values);
        values.into_iter().any(|(index, _)| *index == point)
    }

    fn result(self) -> Probe {
        let points = self.config.points.iter().enumerate();
        let readable = points.filter(|(_, (_, point))| point.source.is_some());
        let missing = readable
            .map(|(index, _)| index)
            .filter(|index| !self.has_seen(*index));
        let missing = missing.collect();
        let counts = SerialSnapshot {
            bytes: self.bytes,
            frames: self.seen.len() as u64,
            unmatched: self.unmatched,
            unasked: 0,
            late: 0,
            rejected: self.framer.rejected(),
        };
        Probe {
            missing,
            counts,
            rest: self.framer.held(),
            seen: self.seen,
        }
    }
}
