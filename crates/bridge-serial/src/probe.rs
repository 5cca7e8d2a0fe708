//! One look at a device, for people: its frames, what fits, and the values.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::late::{Asked, Verdict};
use fieldgate_bridge::{Cause, DriverError};
use fieldgate_field_line::Port;
use fieldgate_model::Value;
use tokio::time::{Instant, timeout_at};

use crate::config::{ParseConfig, SerialConfig};
use crate::counts::SerialSnapshot;
use crate::frame::Framer;
use crate::point::{self, Unusable};
use crate::question::{Debts, Question};

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

/// How long an answer is listened on for more frames than are taken.
const SURPLUS: Duration = Duration::from_millis(200);
/// The most frames that are kept.
const FRAMES_MAX: usize = 50;

/// Looks at a device: asks each request once, or listens for `listen` at most, until every point
/// was seen.
///
/// # Errors
///
/// If the port cannot be opened or is lost. Silence is no error here.
pub async fn probe(config: SerialConfig, listen: Duration) -> Result<Probe, DriverError> {
    let opened = Port::open(&config.port).await;
    let port = opened.map_err(|text| DriverError::new(Cause::Open, text))?;
    let mut look = Look {
        framer: Framer::new(config.frame.clone()),
        start: Instant::now(),
        bytes: 0,
        unmatched: 0,
        late: 0,
        seen: Vec::new(),
        found: VecDeque::new(),
        debts: Debts::default(),
        config: Arc::new(config),
        port,
    };
    if !look.config.start.is_empty() {
        look.send(&look.config.start.clone()).await?;
    }
    if look.config.requests.is_empty() {
        look.listen(look.start + listen).await?;
    }
    for index in 0..look.config.requests.len() {
        if !look.ask(index).await? {
            break;
        }
    }
    Ok(look.result())
}

struct Look {
    config: Arc<SerialConfig>,
    port: Port,
    framer: Framer,
    start: Instant,
    bytes: u64,
    unmatched: u64,
    late: u64,
    seen: Vec<Seen>,
    /// Frames that were not looked at yet.
    found: VecDeque<Vec<u8>>,
    debts: Debts,
}

impl Look {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        let limit = Duration::from_secs(1) + self.config.port.time_of(bytes.len());
        self.port.send(bytes, limit).await
    }

    /// Asks one request. False if it makes no sense to ask more: nothing comes.
    async fn ask(&mut self, index: usize) -> Result<bool, DriverError> {
        let config = Arc::clone(&self.config);
        let Some(request) = config.requests.get(index) else {
            return Ok(false);
        };
        let question = Question::request(&config, index);
        if !self.rest(&question).await? {
            return Ok(false);
        }
        if let Some(length) = request.line_break {
            self.port.line_break(length).await?;
        }
        self.debts.sent();
        self.send(&request.send).await?;
        let mut end = Instant::now() + config.port.time_of(request.send.len()) + request.timeout;
        let mut missing = request.frames;
        let mut first = self.seen.len();
        while missing > 0
            && let Some(frame) = self.next_frame(end).await?
        {
            match self.debts.judge(Some(&question), &frame) {
                Verdict::Late => self.note_late(frame),
                Verdict::Own => {
                    first = self.seen.len();
                    missing -= 1;
                    end = Instant::now() + request.timeout;
                    self.look_at(frame, Some(index), &request.parse);
                }
                Verdict::Repeat | Verdict::Stray => {
                    self.look_at(frame, Some(index), &request.parse);
                    self.forget_values("an echo");
                }
            }
        }
        self.debts.gave_up(&question, missing);
        if missing == 0 {
            self.look_on(&question, first, request.timeout).await?;
        }
        Ok(true)
    }

    /// Lets what is owed come before a request whose answer looks like it. False if the device
    /// has said nothing at all.
    async fn rest(&mut self, question: &Question) -> Result<bool, DriverError> {
        let late = self.config.late;
        let is_confusable = |debts: &Debts| debts.with(|owed| owed.is_confusable(question));
        while is_confusable(&self.debts) {
            let now = Instant::now();
            let end = self.debts.with(|owed| owed.rested_at(late)).unwrap_or(now);
            match self.next_frame(end).await? {
                Some(frame) => {
                    self.debts.judge(None, &frame);
                    self.note_late(frame);
                }
                None => drop(self.debts.with(|owed| owed.write_off(Instant::now(), late))),
            }
            if self.bytes == 0 && Instant::now() >= end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks whether an answer is followed by more frames than are taken, or by another answer.
    async fn look_on(
        &mut self,
        question: &Question,
        first: usize,
        limit: Duration,
    ) -> Result<(), DriverError> {
        let is_wary = self.debts.with(|owed| owed.is_wary(question));
        let end = Instant::now() + if is_wary { limit } else { SURPLUS };
        while let Some(frame) = self.next_frame(end).await? {
            let is_answer = question.accepts(&frame);
            self.note(
                frame,
                "comes after the answer, and is dropped: `frames` says how many are taken",
            );
            if is_answer
                && is_wary
                && let Some(seen) = self.seen.get_mut(first)
            {
                seen.values.clear();
                seen.unfit = Some("two answers came: one is from before".to_owned());
            }
        }
        self.debts.with(|owed| owed.trust());
        Ok(())
    }

    fn note_late(&mut self, frame: Vec<u8>) {
        self.late += 1;
        self.note(frame, "too late: the answer to an earlier request");
    }

    /// Shows a frame without what is in it.
    fn note(&mut self, frame: Vec<u8>, why: &str) {
        self.seen.push(Seen {
            after: self.start.elapsed(),
            request: self.seen.last().and_then(|seen| seen.request),
            frame,
            unfit: Some(why.to_owned()),
            values: Vec::new(),
        });
    }

    /// What was looked at last is no answer.
    fn forget_values(&mut self, why: &str) {
        if let Some(seen) = self.seen.last_mut() {
            seen.values.clear();
            seen.unfit.get_or_insert_with(|| why.to_owned());
        }
    }

    /// The next frame before `end`; none once enough were seen.
    async fn next_frame(&mut self, end: Instant) -> Result<Option<Vec<u8>>, DriverError> {
        while self.found.is_empty() && self.seen.len() < FRAMES_MAX {
            let silence = self.framer.deadline().map(Instant::from_std);
            let until = silence.map_or(end, |silence| silence.min(end));
            let mut chunk = vec![0; 4096];
            let mut frames = Vec::new();
            match timeout_at(until, self.port.receive(&mut chunk)).await {
                Ok(count) => {
                    let bytes = chunk.get(..count?).unwrap_or_default();
                    self.bytes += bytes.len() as u64;
                    self.framer
                        .feed(bytes, Instant::now().into_std(), &mut frames);
                }
                Err(_) => self.framer.tick(Instant::now().into_std(), &mut frames),
            }
            self.found.extend(frames);
            if Instant::now() >= end {
                break;
            }
        }
        Ok(self.found.pop_front())
    }

    /// Listens to a device that talks by itself, until `end` or until there is nothing more to
    /// see.
    async fn listen(&mut self, end: Instant) -> Result<(), DriverError> {
        let config = Arc::clone(&self.config);
        while !self.is_done()
            && let Some(frame) = self.next_frame(end).await?
        {
            self.look_at(frame, None, &config.parse);
        }
        Ok(())
    }

    fn look_at(&mut self, frame: Vec<u8>, request: Option<usize>, parse: &ParseConfig) {
        let after = self.start.elapsed();
        let (mut unfit, mut values) = (None, Vec::new());
        match parse.parse(&frame) {
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
    fn is_done(&self) -> bool {
        let mut points = self.config.points.iter().enumerate();
        let is_seen = |index| self.has_seen(index);
        !self.seen.is_empty()
            && points.all(|(index, (_, point))| point.source.is_none() || is_seen(index))
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
            late: self.late,
            floods: 0,
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
