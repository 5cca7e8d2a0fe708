//! The ring, on the runtime's blocking threads: one job at a time, in order.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fieldgate_spool::Error;
use fieldgate_spool::ring::{Block, Bounds, Figures, Record, Ring};
use tokio::task::JoinHandle;

use crate::item::topic_of;

/// How long to wait before a ring that cannot be used is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// The cursor is saved so often while blocks are acknowledged,
const SAVE: Duration = Duration::from_millis(250);
/// and after so many of them. After a kill no more than these come again.
const SAVE_BLOCKS: usize = 2;

/// What a job has come to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The ring is open; its epoch.
    Opened,
    /// Records are on the disk, or were dropped and counted.
    Appended,
    /// Records are not on the disk.
    NotAppended(Vec<Record>),
    /// The next block, if there is one.
    Read(Option<Block>),
    /// The cursor was written, or could not be.
    Saved,
}

#[derive(Debug)]
enum Job {
    Append(u32, Vec<Record>),
    Read(u64),
    Save,
}

type Finished = (Option<Ring>, Outcome, Option<Error>);

/// The ring of an uplink.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    bounds: Bounds,
    ring: Option<Ring>,
    running: Option<JoinHandle<Finished>>,
    queue: VecDeque<Job>,
    acknowledged: VecDeque<(u64, usize)>,
    saved: Instant,
    /// Blocks of which something was acknowledged since.
    unsaved: Vec<u64>,
    is_reading: bool,
    is_appending: bool,
    again: Option<Instant>,
    figures: Figures,
    /// Why it cannot be used now.
    trouble: Option<String>,
}

impl Disk {
    /// Opens the ring, at once: the epoch of all identifiers depends on it.
    pub(crate) async fn open(folder: &Path, bounds: Bounds) -> (Self, Option<u32>) {
        let mut disk = Self {
            folder: folder.to_owned(),
            bounds,
            ring: None,
            running: None,
            queue: VecDeque::new(),
            acknowledged: VecDeque::new(),
            saved: Instant::now(),
            unsaved: Vec::new(),
            is_reading: false,
            is_appending: false,
            again: None,
            figures: Figures::default(),
            trouble: None,
        };
        disk.begin_opening();
        disk.done().await;
        let epoch = disk.ring.as_ref().map(Ring::epoch);
        (disk, epoch)
    }

    fn begin_opening(&mut self) {
        let (folder, bounds) = (self.folder.clone(), self.bounds);
        self.running = Some(tokio::task::spawn_blocking(move || {
            match Ring::open(&folder, bounds) {
                Ok(mut ring) => {
                    ring.set_key(topic_of);
                    (Some(ring), Outcome::Opened, None)
                }
                Err(error) => (None, Outcome::Opened, Some(error)),
            }
        }));
    }

    pub(crate) fn figures(&self) -> Figures {
        self.figures
    }

    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether records can be given to it now.
    pub(crate) fn takes(&self) -> bool {
        !self.is_appending
            && (self.ring.is_some() || self.running.is_some())
            && self.again.is_none()
    }

    pub(crate) fn can_read(&self) -> bool {
        !self.is_reading && self.again.is_none()
    }

    pub(crate) fn append(&mut self, epoch: u32, records: Vec<Record>) {
        self.is_appending = true;
        self.queue.push_back(Job::Append(epoch, records));
    }

    pub(crate) fn read(&mut self, now: u64) {
        self.is_reading = true;
        self.queue.push_back(Job::Read(now));
    }

    /// See [`Ring::acknowledge`]. The cursor is saved before long.
    pub(crate) fn acknowledge(&mut self, number: u64, count: usize) {
        match self.acknowledged.back_mut() {
            Some((last, more)) if *last == number => *more += count,
            _ => self.acknowledged.push_back((number, count)),
        }
    }

    pub(crate) fn save(&mut self) {
        self.queue.push_back(Job::Save);
    }

    /// Waits for the end of a job; for ever if there is none. Dropping the future loses nothing.
    pub(crate) async fn done(&mut self) -> Outcome {
        self.start();
        let Some(running) = &mut self.running else {
            return match self.again {
                Some(at) => {
                    tokio::time::sleep_until(at.into()).await;
                    self.again = None;
                    self.begin_opening();
                    Outcome::Saved
                }
                None => std::future::pending().await,
            };
        };
        let finished = running.await;
        self.running = None;
        let (ring, outcome, error) = match finished {
            Ok(finished) => finished,
            Err(error) => (
                None,
                Outcome::Saved,
                Some(std::io::Error::other(error).into()),
            ),
        };
        match outcome {
            Outcome::Appended | Outcome::NotAppended(_) => self.is_appending = false,
            Outcome::Read(_) => self.is_reading = false,
            Outcome::Opened | Outcome::Saved => {}
        }
        self.note(error, ring.is_none());
        if let Some(ring) = ring {
            self.figures = ring.figures();
            self.ring = Some(ring);
        }
        outcome
    }

    fn note(&mut self, error: Option<Error>, is_gone: bool) {
        let before = self.trouble.take();
        self.trouble = error.map(|error| error.to_string());
        let folder = self.folder.display();
        match (&before, &self.trouble) {
            (None, Some(trouble)) => {
                log::error!(
                    "{folder}: {trouble}; messages that wait are in memory only, and few of them"
                );
            }
            (Some(_), None) => log::info!("{folder} can be used again"),
            _ => {}
        }
        if self.trouble.is_some() {
            self.again = Some(Instant::now() + AGAIN);
            if is_gone {
                self.is_reading = false;
                self.is_appending = false;
            }
        }
    }

    /// Begins the next job, if there is one and the ring is free.
    fn start(&mut self) {
        if self.running.is_some() || self.again.is_some() {
            return;
        }
        let Some(mut ring) = self.ring.take() else {
            return;
        };
        for (number, count) in self.acknowledged.drain(..) {
            if self.unsaved.last() != Some(&number) {
                self.unsaved.push(number);
            }
            ring.acknowledge(number, count);
        }
        self.figures = ring.figures();
        let is_due = !self.unsaved.is_empty()
            && (self.unsaved.len() >= SAVE_BLOCKS || self.saved.elapsed() >= SAVE);
        let job = match self.queue.pop_front() {
            Some(job) => job,
            None if is_due => Job::Save,
            None => {
                self.ring = Some(ring);
                return;
            }
        };
        let is_saving = is_due || matches!(job, Job::Save);
        if is_saving {
            self.saved = Instant::now();
            self.unsaved.clear();
        }
        self.running = Some(tokio::task::spawn_blocking(move || {
            let (outcome, mut error) = run(&mut ring, job);
            if is_saving && error.is_none() {
                error = ring.save().err();
            }
            (Some(ring), outcome, error)
        }));
    }

    /// Does all that is queued, and saves the cursor. Records that could not be written come back.
    pub(crate) async fn finish(mut self) -> Vec<Record> {
        let mut lost = Vec::new();
        self.save();
        // What is in trouble now is not waited for.
        while !self.queue.is_empty() || self.running.is_some() {
            if self.again.is_some() || (self.ring.is_none() && self.running.is_none()) {
                break;
            }
            if let Outcome::NotAppended(records) = self.done().await {
                lost.extend(records);
            }
        }
        for job in self.queue {
            if let Job::Append(_, records) = job {
                lost.extend(records);
            }
        }
        lost
    }
}

fn run(ring: &mut Ring, job: Job) -> (Outcome, Option<Error>) {
    match job {
        Job::Append(epoch, records) => match ring.append(epoch, &records) {
            Ok(_) => (Outcome::Appended, None),
            Err(error) => (Outcome::NotAppended(records), Some(error)),
        },
        Job::Read(now) => match ring.read(now) {
            Ok(block) => (Outcome::Read(block), None),
            Err(error) => (Outcome::Read(None), Some(error)),
        },
        Job::Save => (Outcome::Saved, None),
    }
}
