//! The thread that writes: batches to the log, and what is still wanted of its oldest part.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fieldgate_spool::{Error, Log};

use super::batch::{Batch, Queued};
use super::index::Index;
use super::open::{make, replace, set_aside};
use super::ops::{Body, Encoder, Op};
use super::record::{Malformed, encode_grant, encode_message, entry_parts};
use super::{Clock, LOST_MAX, Shared, lock};
use crate::message::Message;
use crate::router::Kept;
use crate::session_slot::{SessionSlot, Sink, wake};

/// How often a disk that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a folder is tried that could not be used at the start.
const RETRY_FOLDER: Duration = Duration::from_secs(5);

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
pub(super) enum Failure {
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
pub(super) struct Book {
    pub(super) log: Log,
    pub(super) index: Index,
}

impl Book {
    /// Reads a log; `found` sees every frame.
    pub(super) fn read(
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
    pub(super) fn write(&mut self, shared: &Shared, payload: &[u8]) -> Result<(), Failure> {
        let stamp = shared.time.stamp();
        let number = self.log.append(payload, stamp)?;
        self.index.apply(number, payload)?;
        *lock(&shared.stamp) = stamp;
        Ok(())
    }

    /// Gives old segments back if the log has more than it needs: twice what is alive.
    fn tidy(&mut self, shared: &Shared) -> Result<(), Failure> {
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
pub(super) fn encode(
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
                let record = &record.encode(clock);
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

/// The thread's own.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// `None` after a failure.
    pub(super) book: Option<Book>,
    /// The log holds something.
    pub(super) has_content: bool,
    /// When a folder that cannot be used was last tried.
    pub(super) tried: Instant,
}

impl Writer {
    pub(super) fn run(mut self) {
        while let Some((batch, number)) = self.shared.next() {
            let was_without = self.shared.is_without.load(Ordering::Relaxed);
            if was_without && !self.begins(&batch) {
                self.succeed(batch, number);
                self.look_for_folder();
                continue;
            }
            let result = match batch.is_empty() && self.book.is_some() {
                true => Ok(()),
                false => self.write(&batch),
            };
            match result {
                Ok(()) => {
                    if was_without {
                        let path = self.shared.config.path.display();
                        log::info!(
                            "{path}: can be used now; sessions and retained messages are kept"
                        );
                    }
                    self.succeed(batch, number);
                }
                Err(failure) => {
                    self.fail(batch, number, &failure);
                    if self.shared.inbox().stop {
                        return;
                    }
                }
            }
            self.tidy();
        }
    }

    /// Whether a store that had no folder so far has one from this batch on, as it is everything
    /// that is held.
    fn begins(&mut self, batch: &Batch) -> bool {
        if !batch.is_all {
            return false;
        }
        let path = &self.shared.config.path;
        match replace(path) {
            Ok(book) => {
                self.book = Some(book);
                self.shared.is_without.store(false, Ordering::Relaxed);
                true
            }
            Err(Failure::Damaged(detail) | Failure::System(detail)) => {
                log::error!("{}: still cannot be used: {detail}", path.display());
                false
            }
        }
    }

    /// Tries now and then whether a folder that could not be used can be. Then everything that is
    /// held is asked for, and waited for: what changes meanwhile is written behind it.
    fn look_for_folder(&mut self) {
        if self.tried.elapsed() < RETRY_FOLDER {
            return;
        }
        self.tried = Instant::now();
        let path = &self.shared.config.path;
        match make(path) {
            Ok(_) | Err(Error::Damaged(_)) => {
                self.shared.wants_all.store(true, Ordering::Release);
                self.shared.wait_for_all();
            }
            Err(error) => log::debug!("{}: still cannot be used: {error}", path.display()),
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let mut book = match self.book.take() {
            Some(book) => book,
            None => reopen(&shared.config.path)?,
        };
        if self.has_content && book.index.is_empty() && !batch.is_all {
            shared.wants_all.store(true, Ordering::Release);
            return Err(Failure::System("what was there has been removed".into()));
        }
        let retained = |topic: &str| lock(&shared.retained).get(topic).cloned();
        for payload in encode(batch, retained, &shared.time.now()) {
            book.write(&shared, &payload)?;
        }
        shared.commits.fetch_add(1, Ordering::Relaxed);
        self.has_content = !book.index.is_empty();
        self.book = Some(book);
        Ok(())
    }

    /// A failure shows again at the next batch.
    fn tidy(&mut self) {
        if let Some(mut book) = self.book.take()
            && book.tidy(&self.shared).is_ok()
        {
            self.book = Some(book);
        }
    }

    fn succeed(&self, batch: Batch, number: u64) {
        let shared = &self.shared;
        if shared.failing.swap(false, Ordering::Relaxed) {
            shared.inbox().not_before = None;
            let path = shared.config.path.display();
            log::info!("{path}: sessions and retained messages are kept again");
        }
        shared.decide(number);
        batch.parts().for_each(wake);
        for (cell, number) in batch.awaited {
            cell_kept(&cell, number);
        }
    }

    fn fail(&mut self, batch: Batch, number: u64, failure: &Failure) {
        let shared = &self.shared;
        self.book = None;
        let (Failure::Damaged(detail) | Failure::System(detail)) = failure;
        if !shared.failing.swap(true, Ordering::Relaxed) {
            let path = shared.config.path.display();
            log::error!(
                "{path}: {detail}; until it can be written again, messages of QoS 1 and 2 that \
                 would have to be kept are refused"
            );
        }
        let mut lost = lock(&shared.lost);
        lost.insert(number);
        while lost.len() > LOST_MAX {
            lost.pop_first();
        }
        drop(lost);
        let now = Instant::now();
        let mut inbox = shared.inbox();
        inbox.not_before = Some(now + RETRY);
        let forgotten = inbox.batch.put_before(batch, now);
        drop(inbox);
        for (cell, number) in forgotten {
            cell.lock().session.not_kept(number);
        }
        shared.decide(number);
    }
}

/// Opens the log after a failure. What is damaged now was good at the start, and all of it is in memory
/// still.
fn reopen(path: &Path) -> Result<Book, Failure> {
    let read = || Book::read(Log::open(path)?, |_| Ok(()));
    read().or_else(|failure| {
        let Failure::Damaged(detail) = failure else {
            return Err(failure);
        };
        set_aside(path, &detail, "everything is written again")?;
        read()
    })
}

/// Lets a session send what is on disk now.
fn cell_kept(cell: &SessionSlot, number: u64) {
    let mut inner = cell.lock();
    let waker = match (inner.session.kept(number), &mut inner.sink) {
        (true, Sink::Wire(wire)) => wire.waker.take(),
        _ => None,
    };
    drop(inner);
    wake(waker);
}
