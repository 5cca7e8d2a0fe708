//! One request and its answer on an open line.
//!
//! Before a request is sent, the line is read until it is silent: what comes then answers nothing
//! that will be asked. While an answer is awaited, frames that cannot be it are counted and passed
//! over.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use fieldgate_field_line::Io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::counts::MbusSnapshot;
use crate::link::{FRAME_MAX, Frame, Framer};

/// The times of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// How long a character takes.
    pub(crate) character: Duration,
    /// How long an answer may take to begin.
    pub(crate) timeout: Duration,
    /// How long a frame may pause.
    pub(crate) gap: Duration,
    /// How long all that answers a request may take: twice the longest frame, as another meter
    /// may talk first.
    pub(crate) frame: Duration,
    /// How long the line must be silent before a request.
    pub(crate) silence: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing came in time.
    Timeout,
    /// Only bytes that are no frame came.
    Garbled,
    /// Another meter answered.
    Foreign(String),
    /// The meter answers, and has nothing to say.
    Empty,
    /// The answer is no reading.
    Unreadable(crate::app::Unreadable),
    /// The line is gone.
    Lost(String),
    /// More comes than could have been asked for.
    Flood,
}

impl Fault {
    /// Whether the line has to be opened anew.
    pub(crate) fn ends_line(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Flood)
    }
}

/// What a frame is to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its answer.
    Own,
    /// The answer to an earlier request.
    Late,
    /// Of another meter.
    Foreign,
    /// The meter has nothing to say, unless something follows.
    Empty,
}

/// Bytes that may come between two requests, or for one: some frames.
const BYTES_MAX: usize = 8 * FRAME_MAX;
const CHUNK: usize = 512;
/// How long a port may take to take a request, besides the time that it takes on the wire.
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// An open line.
pub(crate) struct Line {
    io: Box<dyn Io>,
    times: Times,
    framer: Framer,
    frames: VecDeque<Frame>,
    /// What happened since this was last taken.
    pub(crate) tally: MbusSnapshot,
    /// Requests in a row without a single byte.
    pub(crate) mute: u32,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    pub(crate) fn new(io: Box<dyn Io>, times: Times) -> Self {
        Self {
            io,
            times,
            framer: Framer::default(),
            frames: VecDeque::new(),
            tally: MbusSnapshot::default(),
            mute: 0,
        }
    }

    /// How long its meters may take to begin an answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.times.timeout
    }

    /// Sends a request, and waits for the frame that `judge` calls its own.
    pub(crate) async fn ask(
        &mut self,
        request: &Frame,
        limit: Duration,
        judge: impl Fn(&Frame) -> Verdict + Send,
    ) -> Result<Frame, Fault> {
        let begun = Instant::now();
        let result = self.exchange(request, limit, judge).await;
        let rejected = self.framer.take_rejected();
        self.tally.reject(rejected);
        self.tally.busy += begun.elapsed();
        match &result {
            Ok(_) => self.tally.answers += 1,
            Err(Fault::Timeout | Fault::Garbled | Fault::Foreign(_)) => self.tally.timeouts += 1,
            Err(Fault::Empty) => self.tally.empty += 1,
            Err(Fault::Flood) => self.tally.floods += 1,
            Err(Fault::Lost(_) | Fault::Unreadable(_)) => {}
        }
        match result {
            Err(Fault::Timeout) if rejected.is_any() => Err(Fault::Garbled),
            other => other,
        }
    }

    async fn exchange(
        &mut self,
        request: &Frame,
        limit: Duration,
        judge: impl Fn(&Frame) -> Verdict + Send,
    ) -> Result<Frame, Fault> {
        self.drain().await?;
        self.tally.requests += 1;
        let bytes = request.encode();
        let wire = self.times.character * u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let written = async {
            self.io.write_all(&bytes).await?;
            self.io.flush().await
        };
        match timeout(WRITE_LIMIT + wire, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Fault::Lost(error.to_string())),
            Err(_) => return Err(Fault::Lost("it takes no bytes".into())),
        }
        let begins = Instant::now() + wire + limit;
        let ends = begins + self.times.frame;
        let (mut came, mut other, mut is_empty) = (0, None, false);
        loop {
            while let Some(frame) = self.frames.pop_front() {
                if frame == *request {
                    self.tally.echoes += 1;
                    continue;
                }
                match judge(&frame) {
                    Verdict::Own => return Ok(frame),
                    Verdict::Late => self.tally.late += 1,
                    Verdict::Empty => is_empty = true,
                    Verdict::Foreign => {
                        self.tally.foreign += 1;
                        other = Some(named(&frame));
                    }
                }
            }
            let until = if self.framer.is_inside() {
                Instant::now() + self.times.gap
            } else {
                begins
            };
            let count = self.read_until(until.min(ends)).await?;
            came += count;
            if came > BYTES_MAX {
                return Err(Fault::Flood);
            }
            let is_over = count == 0 && Instant::now() >= begins;
            if count == 0 {
                self.framer.cut();
            }
            if is_over || Instant::now() >= ends {
                self.framer.cut();
                break;
            }
        }
        if came == 0 {
            self.mute = self.mute.saturating_add(1);
        }
        Err(match (is_empty, other) {
            (true, _) => Fault::Empty,
            (false, Some(other)) => Fault::Foreign(other),
            (false, None) => Fault::Timeout,
        })
    }

    /// Reads until the line is silent.
    async fn drain(&mut self) -> Result<(), Fault> {
        let mut came = 0;
        let ends = Instant::now() + self.times.frame;
        loop {
            let until = Instant::now() + self.times.silence;
            let count = self.read_until(until).await?;
            came += count;
            if count == 0 {
                break;
            }
            if came > BYTES_MAX || Instant::now() >= ends {
                return Err(Fault::Flood);
            }
        }
        self.framer.reset();
        let late = self.frames.drain(..).filter(Frame::is_response).count();
        self.tally.late += late as u64;
        Ok(())
    }

    /// Reads once; 0 if nothing came in time.
    async fn read_until(&mut self, until: Instant) -> Result<usize, Fault> {
        let mut chunk = [0; CHUNK];
        match timeout_at(until, self.io.read(&mut chunk)).await {
            Err(_) => Ok(0),
            Ok(Ok(0)) => Err(Fault::Lost("the other end closed it".into())),
            Ok(Err(error)) => Err(Fault::Lost(error.to_string())),
            Ok(Ok(count)) => {
                self.mute = 0;
                let mut frames = Vec::new();
                let bytes = chunk.get(..count).unwrap_or_default();
                self.framer.feed(bytes, &mut frames);
                self.frames.extend(frames);
                Ok(count)
            }
        }
    }
}

/// Whose frame it is, for people.
fn named(frame: &Frame) -> String {
    match frame {
        Frame::Ack => "an acknowledgement".into(),
        Frame::Short { address, .. } => format!("a request for {address}"),
        Frame::Long {
            address, ci, data, ..
        } => {
            let header = crate::app::parse(*ci, data)
                .ok()
                .and_then(|read| read.header);
            match header.and_then(|header| header.address) {
                Some(secondary) => format!("the meter {secondary} at address {address}"),
                None => format!("the meter at address {address}"),
            }
        }
    }
}
