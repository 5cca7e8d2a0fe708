//! What the keeper and its readers share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::counters::Counters;
use crate::events::intake::Intake;
use crate::events::store::Piece;
use crate::folder::Kept;
use crate::head::{Chunks, Head};

/// Figures of history since the start, and how much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Readings that were kept.
    pub kept: u64,
    /// Readings that were not, as there was no room for them in memory or on the card.
    pub dropped: u64,
    /// Events that were kept.
    pub events: u64,
    /// Events that were not, as there were too many of one kind, or no room for them.
    pub events_left_out: u64,
    /// Bytes that were written to the card.
    pub written: u64,
    /// Bytes of its files now.
    pub bytes: u64,
    /// Its files now.
    pub files: u64,
    /// Files that were removed to make room, or for their age.
    pub removed: u64,
    /// Blocks, frames and indexes that were found damaged.
    pub damaged: u64,
    /// Since when there are readings, in milliseconds since 1970.
    pub since: Option<i64>,
    /// The card takes nothing at the moment.
    pub is_stuck: bool,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) head: Head,
    /// A part that is being written to a file, and its number.
    pub(crate) closing: Option<(u64, Arc<Chunks>)>,
    /// In the order of their parts.
    pub(crate) files: Vec<Arc<Kept>>,
    pub(crate) counters: Counters,
    /// Events that are in no file yet.
    pub(crate) events: Intake,
    /// Files of events, the oldest first.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) figures: Figures,
}

impl State {
    /// Counts the files, and since when there are readings.
    pub(crate) fn measure(&mut self) {
        let files = self.files.iter();
        let since = files.clone().map(|kept| kept.times.0).min();
        let figures = &mut self.figures;
        let pieces = self.pieces.iter().map(|piece| piece.bytes);
        let beside = self.counters.bytes + pieces.sum::<u64>();
        figures.bytes = files.clone().map(|kept| kept.bytes).sum::<u64>() + beside;
        figures.files = files.count() as u64;
        figures.since = since.or_else(|| self.head.first());
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) folder: PathBuf,
    /// Readings that wait for the keeper.
    pub(crate) pending: AtomicUsize,
    /// Readings that it was too slow for.
    pub(crate) dropped: AtomicU64,
    /// Events that it was too slow for.
    pub(crate) events_left_out: AtomicU64,
    /// Damage that readers found.
    pub(crate) damaged: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        head: Head,
        files: Vec<Arc<Kept>>,
        counters: Counters,
        folder: &Path,
    ) -> Self {
        let state = State {
            head,
            counters,
            events: Intake::default(),
            pieces: Vec::new(),
            closing: None,
            files,
            figures: Figures::default(),
        };
        Self {
            state: Mutex::new(state),
            folder: folder.to_owned(),
            pending: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            events_left_out: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    /// What has been counted.
    pub(crate) fn figures(&self) -> Figures {
        let (figures, events, left_out) = {
            let state = self.lock();
            (state.figures, state.events.kept, state.events.left_out())
        };
        Figures {
            events,
            events_left_out: left_out + self.events_left_out.load(Ordering::Relaxed),
            dropped: figures.dropped + self.dropped.load(Ordering::Relaxed),
            damaged: figures.damaged + self.damaged.load(Ordering::Relaxed),
            ..figures
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
