//! The frames of EN 13757-2: short, long, control, and the single character. Pure.
//!
//! What comes over a line may be anything: two meters at once, an echo, noise. A [`Framer`] finds
//! the frames in it, never holds more than one of them, and counts what it rejects.

/// Starts and ends of frames.
const SHORT: u8 = 0x10;
const LONG: u8 = 0x68;
const STOP: u8 = 0x16;
const ACK: u8 = 0xE5;
/// A short frame: start, control, address, check, stop.
const SHORT_LENGTH: usize = 5;
/// What a long frame has around its control, address and data: start, length twice, start, check, stop.
const AROUND: usize = 6;
/// Bytes of the longest frame.
pub const FRAME_MAX: usize = 255 + AROUND;

/// `SND_NKE`: resets the link of a meter.
pub const SND_NKE: u8 = 0x40;
/// `SND_UD`: data for a meter.
pub const SND_UD: u8 = 0x53;
/// `REQ_UD2` without its frame count bit: asks for readings.
pub const REQ_UD2: u8 = 0x5B;
/// The frame count bit.
pub const FCB: u8 = 0x20;
/// `RSP_UD`: readings.
pub const RSP_UD: u8 = 0x08;
/// What a meter may set in the control field of an answer: access demand, and data flow control.
const ACD_DFC: u8 = 0x30;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The single character `E5`: understood, or nothing to say.
    Ack,
    /// A request without data.
    Short {
        /// The control field.
        control: u8,
        /// The address field.
        address: u8,
    },
    /// A long frame; without data it is a control frame.
    Long {
        /// The control field.
        control: u8,
        /// The address field.
        address: u8,
        /// The control information field: what the data is.
        ci: u8,
        /// At most 252 bytes.
        data: Vec<u8>,
    },
}

impl Frame {
    /// Its bytes on the line. Data beyond 252 bytes is left out.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ack => vec![ACK],
            Self::Short { control, address } => {
                vec![SHORT, *control, *address, sum(&[*control, *address]), STOP]
            }
            Self::Long {
                control,
                address,
                ci,
                data,
            } => {
                let mut body = vec![*control, *address, *ci];
                body.extend(data.iter().take(252));
                let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
                let mut bytes = vec![LONG, length, length, LONG];
                let check = sum(&body);
                bytes.append(&mut body);
                bytes.extend([check, STOP]);
                bytes
            }
        }
    }

    /// Whether it is readings.
    pub fn is_response(&self) -> bool {
        matches!(self, Self::Long { control, .. } if control & !ACD_DFC == RSP_UD)
    }
}

/// What was rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Frames whose check or last byte is wrong.
    pub checks: u64,
    /// Starts of frames whose length is none.
    pub headers: u64,
    /// Bytes of no frame.
    pub noise: u64,
    /// Frames that broke off.
    pub cut: u64,
}

impl Rejected {
    /// Whether there is anything.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// Finds frames in bytes.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
    rejected: Rejected,
    /// Bytes of no frame have come since the last reset: an `E5` among them is one of them.
    is_noisy: bool,
}

/// What the bytes at the start of a buffer are.
enum Found {
    /// A frame of so many bytes.
    Whole(Frame, usize),
    /// The start of one.
    Part,
    WrongCheck,
    WrongHeader,
    Noise,
}

impl Framer {
    /// Takes bytes, and appends the frames that they complete.
    pub fn feed(&mut self, bytes: &[u8], frames: &mut Vec<Frame>) {
        // In pieces, so that what is held stays small.
        for piece in bytes.chunks(FRAME_MAX) {
            self.held.extend_from_slice(piece);
            let mut at = 0;
            while let Some(rest) = self.held.get(at..).filter(|rest| !rest.is_empty()) {
                match look(rest, self.is_noisy) {
                    Found::Whole(frame, length) => {
                        frames.push(frame);
                        at += length;
                        continue;
                    }
                    Found::Part => break,
                    Found::WrongCheck => self.rejected.checks += 1,
                    // The second start byte of a frame that was rejected looks like a header, too.
                    Found::WrongHeader if !self.is_noisy => self.rejected.headers += 1,
                    Found::WrongHeader | Found::Noise => self.rejected.noise += 1,
                }
                self.is_noisy = true;
                at += 1;
            }
            self.held.drain(..at.min(self.held.len()));
        }
    }

    /// Whether a frame has begun and is not over.
    pub fn is_inside(&self) -> bool {
        !self.held.is_empty()
    }

    /// The line is silent: what has begun is not continued.
    pub fn cut(&mut self) {
        if !self.held.is_empty() {
            self.rejected.cut += 1;
            self.is_noisy = true;
            self.held.clear();
        }
    }

    /// A new request is made: what was on the line before it does not count any more.
    pub fn reset(&mut self) {
        self.cut();
        self.is_noisy = false;
    }

    /// What was rejected since this was last asked.
    pub fn take_rejected(&mut self) -> Rejected {
        std::mem::take(&mut self.rejected)
    }
}

fn look(bytes: &[u8], is_noisy: bool) -> Found {
    match bytes {
        [ACK, ..] if is_noisy => Found::Noise,
        [ACK, ..] => Found::Whole(Frame::Ack, 1),
        [SHORT, control, address, check, STOP, ..] if sum(&[*control, *address]) == *check => {
            let frame = Frame::Short {
                control: *control,
                address: *address,
            };
            Found::Whole(frame, SHORT_LENGTH)
        }
        [SHORT, rest @ ..] if rest.len() + 1 < SHORT_LENGTH => Found::Part,
        [SHORT, ..] => Found::WrongCheck,
        [LONG, first, second, LONG, rest @ ..] if first == second && *first >= 3 => {
            long(rest, usize::from(*first))
        }
        [LONG] => Found::Part,
        [LONG, length] if *length >= 3 => Found::Part,
        [LONG, first, second] if first == second && *first >= 3 => Found::Part,
        [LONG, ..] => Found::WrongHeader,
        _ => Found::Noise,
    }
}

/// What follows the second start byte: `length` bytes, their sum, and the stop byte.
fn long(bytes: &[u8], length: usize) -> Found {
    let (Some(body), Some([check, stop])) = (bytes.get(..length), bytes.get(length..length + 2))
    else {
        return Found::Part;
    };
    let [control, address, ci, data @ ..] = body else {
        return Found::WrongHeader;
    };
    if sum(body) != *check || *stop != STOP {
        return Found::WrongCheck;
    }
    let frame = Frame::Long {
        control: *control,
        address: *address,
        ci: *ci,
        data: data.to_vec(),
    };
    Found::Whole(frame, length + AROUND)
}

/// The arithmetic sum without carries.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests;
