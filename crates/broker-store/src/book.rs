//! The log: batches become its frames, and what is still wanted of its oldest part is written again.

use fieldgate_spool::{Error, Log};

use super::batch::{Batch, Queued};
use super::index::Index;
use super::ops::{Body, Encoder, Malformed, Op};
use super::record::{encode_grant, encode_message, encode_session, entry_parts};
use super::{Clock, Shared, lock};
use fieldgate_broker_core::message::Message;
use fieldgate_broker_core::router::Kept;

/// Bytes that a segment of the log holds.
const SEGMENT: u64 = 256 * 1024;
/// Segments that a log may always have.
const SEGMENTS_MIN: u64 = 4;
/// Segments whose remains are written again after one batch at most, so that others hardly wait.
const TIDY_MAX: u32 = 2;
/// Bytes of one frame of such remains.
const TIDY_FRAME: usize = 64 * 1024;
/// Bytes of retained messages in one frame, about.
const RETAINED_FRAME: usize = 512 * 1024;

/// Why nothing can be written, or read.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What is on disk is not what was written.
    Damaged(String),
    /// The system does not let us.
    System(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Damaged(detail) => Self::Damaged(detail),
            other => Self::System(other.to_string()),
        }
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Damaged("an entry that means nothing".into())
    }
}

/// The log, and what of it still says something.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) log: Log,
    pub(crate) index: Index,
}

impl Book {
    /// Reads a log; `found` sees every frame.
    pub(crate) fn read(
        log: Log,
        mut found: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<Self, Failure> {
        let mut index = Index::reading();
        log.replay(|number, payload| {
            index.apply(number, payload)?;
            Ok::<_, Failure>(found(payload)?)
        })?;
        index.has_read();
        Ok(Self { log, index })
    }

    /// Writes one frame, which is durable when this returns.
    pub(crate) fn write(&mut self, shared: &Shared, payload: &[u8]) -> Result<(), Failure> {
        let stamp = shared.time.stamp();
        let number = self.log.append(payload, stamp)?;
        self.index.apply(number, payload)?;
        *lock(&shared.stamp) = stamp;
        Ok(())
    }

    /// Gives old segments back if the log has more than it needs: twice what is alive.
    pub(crate) fn tidy(&mut self, shared: &Shared) -> Result<(), Failure> {
        for _ in 0..TIDY_MAX {
            let wanted = SEGMENTS_MIN + 2 * self.index.live().div_ceil(SEGMENT);
            if self.log.segments() as u64 <= wanted {
                return Ok(());
            }
            let mut frames = self.remains()?;
            let last = frames.pop();
            for frame in frames {
                self.write(shared, &frame)?;
            }
            self.log.retire_oldest();
            if let Some(last) = last {
                self.write(shared, &last)?;
            }
        }
        Ok(())
    }

    /// What the oldest segment holds that still says something, as new frames.
    fn remains(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let mut frames = Vec::new();
        let mut encoder = Encoder::default();
        let mut read = 0;
        let index = &self.index;
        self.log.read_oldest(|number, payload| {
            read += 1;
            index.living(number, payload, |op| {
                copy(op, read, &mut encoder);
                if encoder.bytes.len() >= TIDY_FRAME {
                    frames.push(std::mem::take(&mut encoder).bytes);
                }
            })?;
            Ok::<_, Failure>(())
        })?;
        if !encoder.bytes.is_empty() {
            frames.push(encoder.bytes);
        }
        Ok(frames)
    }
}

/// Writes a change of the `read`th frame again.
fn copy(op: &Op<'_>, read: usize, encoder: &mut Encoder) {
    let mut op = *op;
    if let Op::Queued { message, .. } | Op::Retained { message, .. } = &mut op {
        // Frames have fewer messages than that: each takes some bytes.
        let key = read << 32 | message.index;
        message.index = encoder.message(key, |bytes| bytes.extend_from_slice(message.bytes));
    }
    encoder.push(&op);
}

/// The payloads of frames with all of `batch`. Retained messages may be written without the rest, and before it, so that
/// no frame has to hold all that there are.
pub(crate) fn encode(
    batch: &Batch,
    retained: impl Fn(&str) -> Option<Kept>,
    clock: &Clock,
) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut encoder = Encoder::default();
    // Kept to the end of the frame: messages are told apart by where they are in memory.
    let mut held = Vec::new();
    for topic in &batch.retained {
        if encoder.bytes.len() >= RETAINED_FRAME {
            frames.push(std::mem::take(&mut encoder).bytes);
            held.clear();
        }
        match retained(topic) {
            Some(kept) => {
                let message = put_message(&kept.message, &mut encoder, clock);
                let publisher = &kept.publisher;
                encoder.push(&Op::Retained { publisher, message });
                held.push(kept);
            }
            None => encoder.push(&Op::Cleared { topic }),
        }
    }
    for (&session, fate) in &batch.sessions {
        match &fate.value {
            Some(record) => {
                let record = &encode_session(record, clock);
                encoder.push(&Op::Session { session, record });
            }
            None => encoder.push(&Op::Ended { session }),
        }
    }
    for ((session, filter), fate) in &batch.subscriptions {
        let session = *session;
        encoder.push(&match fate.value {
            Some(grant) => Op::Subscribed {
                session,
                filter,
                grant: encode_grant(grant),
            },
            None => Op::Unsubscribed { session, filter },
        });
    }
    encode_queue(batch, &mut encoder, clock);
    for (&(session, id), fate) in &batch.received {
        let id = id.get();
        encoder.push(&match fate.value {
            Some(()) => Op::Received { session, id },
            None => Op::Completed { session, id },
        });
    }
    frames.push(encoder.bytes);
    frames
}

fn encode_queue(batch: &Batch, encoder: &mut Encoder, clock: &Clock) {
    for (&(session, number), fate) in &batch.queue {
        match &fate.value {
            Some(Queued::Whole(entry)) => {
                let message = put_message(&entry.message, encoder, clock);
                let (flags, ids) = &entry_parts(entry);
                encoder.push(&Op::Queued {
                    session,
                    number,
                    flags: *flags,
                    ids,
                    message,
                });
            }
            Some(Queued::Released) => encoder.push(&Op::Released { session, number }),
            None => encoder.push(&Op::Gone { session, number }),
        }
    }
}

fn put_message<'a>(message: &Message, encoder: &mut Encoder, clock: &Clock) -> Body<'a> {
    let write = |bytes: &mut Vec<u8>| encode_message(bytes, message, clock);
    Body {
        index: encoder.message(message.address(), write),
        bytes: &[],
    }
}
