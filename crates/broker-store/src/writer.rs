//! The thread that writes: when, and what follows if it cannot.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use fieldgate_broker_core::router::KeptRef;
use fieldgate_spool::{Error, Log};

use super::batch::Batch;
use super::book::{Book, Failure, encode};
use super::open::{make, replace, set_aside};
use super::{LOST_MAX, Shared, lock};

/// How often a disk that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a folder is tried that could not be used at the start.
const RETRY_FOLDER: Duration = Duration::from_secs(5);

/// The thread's own.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// `None` after a failure.
    pub(crate) book: Option<Book>,
    /// The log holds something.
    pub(crate) has_content: bool,
    /// When a folder that cannot be used was last tried.
    pub(crate) tried: Instant,
}

impl Writer {
    pub(crate) fn run(mut self) {
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
        let retained = |topic: &str| lock(&shared.retained).get(topic).map(KeptRef::cloned);
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
        batch.parts().flatten().for_each(Waker::wake);
        for (session, number) in batch.awaited {
            session.is_kept(number);
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
        for (session, number) in forgotten {
            session.is_lost(number);
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
