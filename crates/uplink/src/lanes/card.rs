//! What goes to the ring and comes back of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fieldgate_spool::ring::{Block, Record};

use super::Lanes;
use super::slots::Place;
use crate::promises;

/// Blocks of the ring that are in memory at a time.
const BLOCKS: usize = 2;
/// Numbers of messages at most that were answered when they were on the card. What is on the card beyond these goes again.
const ANSWERED_MAX: usize = 10_000;

impl Lanes {
    /// Whether the next block of the ring is wanted.
    pub fn wants_block(&self) -> bool {
        self.is_connected && self.on_disk > 0 && self.backlog.blocks() < BLOCKS
    }

    /// The next block of the ring. What of it was under way when it went there does not go again over this connection,
    /// and not at all once it was answered.
    pub fn add_block(&mut self, block: Block) {
        let (epoch, records) = (self.epoch, block.records.iter());
        self.on_disk = self.on_disk.saturating_sub(records.len() as u64);
        let is_ours = block.epoch == epoch;
        let seqs = records.map(|record| record.seq).filter(|_| is_ours);
        let answered: Vec<u64> = seqs.filter(|seq| self.answered.remove(seq)).collect();
        self.backlog.push(block);
        self.slots.rename(|place| match place {
            Place::Card(seq) => self.backlog.take_over((epoch, seq)).map(Place::Backlog),
            _ => None,
        });
        for seq in answered {
            self.backlog.take_out(epoch, seq);
        }
    }

    /// The remote has what is on the card.
    pub(super) fn note_answered(&mut self, seq: u64) {
        if self.answered.len() < ANSWERED_MAX {
            self.answered.insert(seq);
        }
    }

    /// Neither memory nor the ring has a message, and none is being written.
    pub(crate) fn forget(&mut self) {
        self.answered.clear();
    }

    /// What of the ring is acknowledged since the last call: the number of a block, and how many records more of what
    /// was left of it. All of the blocks before it are, too.
    pub fn progress(&mut self) -> Option<(u64, usize)> {
        self.backlog.progress()
    }

    /// Records that shall go to the ring now: one block of them, or none. They are out of the window.
    pub fn spill(&mut self, now: Instant, all: bool) -> Vec<Record> {
        let limit = match all {
            true => Duration::ZERO,
            false => self.settings.window,
        };
        let is_due =
            self.window.age(now) >= limit || self.window.bytes() > self.settings.window_bytes;
        if !(is_due || all) {
            return Vec::new();
        }
        let spilled = self.window.spill(self.is_connected && !all);
        spilled.into_iter().map(|(_, record)| record).collect()
    }

    /// The same for messages that are promised: the oldest, however new. With `under_way` also those for which an answer
    /// of the remote is still waited, as it is from then on.
    pub(crate) fn spill_promised(&mut self, under_way: bool) -> Vec<Record> {
        let spilled = self.window.spill(!under_way);
        let seqs = spilled.iter().map(|(place, record)| (*place, record.seq));
        let seqs: BTreeMap<u64, u64> = seqs.collect();
        self.slots.rename(|place| match place {
            Place::Window(at) => seqs.get(&at).copied().map(Place::Card),
            _ => None,
        });
        spilled.into_iter().map(|(_, record)| record).collect()
    }

    /// Where a new message is; `None` if it is not in memory any more.
    pub(crate) fn place(&self, seq: u64) -> Option<promises::Place> {
        self.window.is_under_way(seq).map(|is| match is {
            true => promises::Place::UnderWay,
            false => promises::Place::Idle,
        })
    }

    /// The disk did not take them. Returns how many messages were dropped, as memory takes no more either.
    pub fn give_back(&mut self, mut records: Vec<Record>, now: Instant) -> u64 {
        records.retain(|record| !self.answered.remove(&record.seq));
        self.window.give_back(records, now);
        self.slots.rename(|place| match place {
            Place::Card(seq) => self.window.take_over(seq).map(Place::Window),
            _ => None,
        });
        self.window
            .trim(2 * self.settings.window_bytes, &mut self.slots)
    }

    /// Whether nothing more can be sent before something is acknowledged, or of the ring nothing more can be read.
    pub fn needs_answer(&mut self) -> bool {
        let is_full = self.slots.is_full() || self.suspect.is_some();
        let has_more = self.on_disk > 0 && self.backlog.blocks() >= BLOCKS;
        is_full || (has_more && !self.backlog.has_next())
    }
}
