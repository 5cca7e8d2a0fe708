//! Framing: from a stream of bytes to frames. Pure; the caller says what time it is.
//!
//! A stream may begin in the middle of a frame, lose bytes and hold garbage. Whatever comes, a
//! framer holds no more bytes than its frame may have, counts what it rejects by cause, and finds
//! the next good frame. What a frame means is none of its business.

mod marked;
mod scan;

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use crate::check::{ByteOrder, Check};
use marked::Marked;

/// How frames are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A line of text: it ends in these bytes, and empty lines are skipped. An end of `\n` alone
    /// also takes a `\r` before it away.
    Line {
        /// 1 to 8 bytes.
        end: Vec<u8>,
    },
    /// Ends in these bytes, and may be empty.
    Delimiter {
        /// 1 to 8 bytes.
        end: Vec<u8>,
    },
    /// Always of the same length.
    Length {
        /// In bytes, with start and check.
        length: usize,
        /// The bytes that every frame begins with; may be empty. They stay in the frame.
        start: Vec<u8>,
    },
    /// Its length is a number in it.
    Prefix {
        /// Where the number is, from 0.
        offset: usize,
        /// Of how many bytes it is: 1, 2 or 4.
        width: usize,
        /// Which of them comes first.
        order: ByteOrder,
        /// What is added to the number to get the length of the whole frame.
        adjust: i64,
        /// The bytes that every frame begins with; may be empty. They stay in the frame.
        start: Vec<u8>,
    },
    /// Between two bytes such as STX and ETX, which do not stay in the frame.
    Marked {
        /// Begins the frame.
        start: u8,
        /// Ends it. If both are the same byte, the check is the last of what is between them,
        /// else it comes after the end.
        end: u8,
        /// How these bytes are written when they are a part of what is between them.
        escape: Escape,
    },
    /// Ends when nothing has come for so long.
    Silence {
        /// The shortest pause between two frames.
        gap: Duration,
    },
}

/// How a start or an end byte is written inside a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Not at all: it cannot be a part of the frame.
    None,
    /// The frame begins with this byte (mostly DLE, 0x10) and the start, ends with it and the
    /// end, and the byte itself is written twice.
    Double(u8),
    /// This byte comes before it; the byte after is exclusive-or'ed with `xor`.
    Before {
        /// The byte that announces another, which means something else then.
        byte: u8,
        /// 0 leaves the other as it is; PPP and HDLC have 0x20.
        xor: u8,
    },
}

/// All about the frames of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameConfig {
    /// How they are told apart.
    pub kind: FrameKind,
    /// The longest in bytes, 1 to [`MAX`], without the bytes that mark its start and end.
    pub max: usize,
    /// After what silence the beginning of a frame is given up; absent: never.
    pub gap: Option<Duration>,
    /// The check at the end of each, which is taken off.
    pub check: Option<Check>,
}

/// The longest frame that can be asked for.
pub const MAX: usize = 8192;

macro_rules! rejected {
    ($($(#[doc = $doc:literal])+ $name:ident: $text:literal,)*) => {
        /// What was rejected, by cause.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Rejected {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl Rejected {
            /// Each count with its name for people.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($text, self.$name),)*].into_iter()
            }

            /// Each count with its name for programs.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl AddAssign for Rejected {
            fn add_assign(&mut self, other: Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }
        }
    };
}

rejected! {
    /// Frames longer than allowed.
    too_long: "too long",
    /// Frames whose check is wrong, or that are too short to have one.
    bad_check: "with a wrong check",
    /// Length fields with a number that cannot be.
    bad_length: "with an impossible length",
    /// Frames that broke off: a new one began, or nothing came any more.
    incomplete: "broken off",
    /// Frames with an escape that means nothing.
    bad_escape: "with a wrong escape",
    /// Bytes outside of frames.
    garbage: "bytes outside of frames",
}

impl Rejected {
    /// What was rejected since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            too_long: self.too_long.saturating_sub(before.too_long),
            bad_check: self.bad_check.saturating_sub(before.bad_check),
            bad_length: self.bad_length.saturating_sub(before.bad_length),
            incomplete: self.incomplete.saturating_sub(before.incomplete),
            bad_escape: self.bad_escape.saturating_sub(before.bad_escape),
            garbage: self.garbage.saturating_sub(before.garbage),
        }
    }
}

/// Finds the frames of one stream.
#[derive(Debug)]
pub struct Framer {
    config: FrameConfig,
    /// The frame so far.
    buffer: Vec<u8>,
    /// The frame was too long, and its rest is being skipped.
    skips: bool,
    marked: Marked,
    rejected: Rejected,
    /// When the last byte came.
    last: Option<Instant>,
    /// What comes before may begin inside of a frame.
    doubtful_until: Option<Instant>,
}

impl Framer {
    /// A framer that has seen nothing.
    pub fn new(config: FrameConfig) -> Self {
        Self {
            config,
            buffer: Vec::new(),
            skips: false,
            marked: Marked::default(),
            rejected: Rejected::default(),
            last: None,
            doubtful_until: None,
        }
    }

    /// Tells that the stream may begin inside of a frame if it begins before `until`: the port was
    /// just opened. Then what comes up to the first end is dropped, as it could look like a whole
    /// frame. A frame that has a check or a mark at its start needs no such care.
    pub fn doubt(&mut self, until: Instant) {
        let is_plain = matches!(
            self.config.kind,
            FrameKind::Line { .. } | FrameKind::Delimiter { .. } | FrameKind::Silence { .. }
        );
        self.doubtful_until = Some(until).filter(|_| is_plain && self.config.check.is_none());
    }

    /// Takes bytes that came at `now`, and appends the frames that they complete to `out`, without
    /// what marked them.
    pub fn feed(&mut self, bytes: &[u8], now: Instant, out: &mut Vec<Vec<u8>>) {
        if bytes.is_empty() {
            return;
        }
        self.tick(now, out);
        self.last = Some(now);
        if self.doubtful_until.take().is_some_and(|until| now < until) {
            self.rejected.incomplete += 1;
            self.skips = true;
        }
        match self.config.kind {
            FrameKind::Line { .. } | FrameKind::Delimiter { .. } => {
                bytes.iter().for_each(|byte| self.ended(*byte, out));
            }
            FrameKind::Length { .. } | FrameKind::Prefix { .. } => self.scan(bytes, out),
            FrameKind::Marked { start, end, escape } => {
                for byte in bytes {
                    self.marked(*byte, start, end, escape, out);
                }
            }
            FrameKind::Silence { .. } => self.silent(bytes),
        }
    }

    /// When [`Self::tick`] completes a frame if nothing comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let FrameKind::Silence { gap } = self.config.kind else {
            return None;
        };
        let has_some = self.skips || !self.buffer.is_empty();
        self.last.filter(|_| has_some)?.checked_add(gap)
    }

    /// Tells that it is `now`: completes or gives up what the silence has ended.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let Some(last) = self.last else { return };
        let silence = now.saturating_duration_since(last);
        if let FrameKind::Silence { gap } = self.config.kind {
            if silence >= gap && !std::mem::take(&mut self.skips) && !self.buffer.is_empty() {
                let frame = std::mem::take(&mut self.buffer);
                self.finish(frame, out);
            }
            return;
        }
        if self.config.gap.is_some_and(|gap| silence >= gap) {
            let is_underway = !self.buffer.is_empty() || self.marked.is_inside();
            if is_underway && !self.skips {
                self.rejected.incomplete += 1;
            }
            self.clear();
        }
    }

    /// Forgets a frame that has begun.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.skips = false;
        self.marked = Marked::default();
        self.last = None;
    }

    /// Whether a frame has begun and not ended.
    pub fn is_underway(&self) -> bool {
        !self.buffer.is_empty() || self.skips || self.marked.is_inside()
    }

    /// What was rejected since the start.
    pub fn rejected(&self) -> Rejected {
        self.rejected
    }

    /// How many bytes it holds: never more than the longest frame and what marks it.
    pub fn held(&self) -> usize {
        self.buffer.len() + self.marked.held()
    }

    /// One byte of a frame that ends in certain bytes.
    fn ended(&mut self, byte: u8, out: &mut Vec<Vec<u8>>) {
        let (end, is_line) = match &self.config.kind {
            FrameKind::Line { end } => (end.as_slice(), true),
            FrameKind::Delimiter { end } => (end.as_slice(), false),
            _ => return,
        };
        self.buffer.push(byte);
        if self.buffer.ends_with(end) {
            let length = self.buffer.len() - end.len();
            let mut frame = std::mem::take(&mut self.buffer);
            frame.truncate(length);
            if is_line && end == b"\n" && frame.last() == Some(&b'\r') {
                frame.pop();
            }
            if std::mem::take(&mut self.skips) || (is_line && frame.is_empty()) {
                return;
            }
            return self.finish(frame, out);
        }
        // The last bytes may be the beginning of the end.
        let tail = end.len() - 1;
        let limit = if self.skips { 0 } else { self.config.max };
        if self.buffer.len() > limit + tail {
            if !std::mem::replace(&mut self.skips, true) {
                self.rejected.too_long += 1;
            }
            let surplus = self.buffer.len() - tail;
            self.buffer.drain(..surplus);
        }
    }

    fn silent(&mut self, bytes: &[u8]) {
        if self.skips {
            return;
        }
        if self.buffer.len() + bytes.len() > self.config.max {
            self.rejected.too_long += 1;
            self.skips = true;
            self.buffer.clear();
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Checks a frame whose check is its end, takes the check off and hands the frame out.
    fn finish(&mut self, mut frame: Vec<u8>, out: &mut Vec<Vec<u8>>) {
        match checked(self.config.check.as_ref(), &frame) {
            Some(length) => {
                frame.truncate(length);
                out.push(frame);
            }
            None => self.rejected.bad_check += 1,
        }
    }
}

/// How long a frame is without the check at its end; `None` if that is wrong.
fn checked(check: Option<&Check>, frame: &[u8]) -> Option<usize> {
    let Some(check) = check else {
        return Some(frame.len());
    };
    let length = frame.len().checked_sub(check.width())?;
    let (covered, written) = frame.split_at_checked(length)?;
    let covered = covered.iter().skip(check.from).copied();
    check.holds(covered, written).then_some(length)
}

#[cfg(test)]
mod tests;
