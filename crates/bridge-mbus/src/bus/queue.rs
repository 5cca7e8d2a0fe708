//! What waits for a line, and whose turn it is. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Job;
use crate::address::Address;

/// Meters that do not answer get this part of the line.
const SHARE: u32 = 10;

/// The readouts that wait. What fills it sees to its bounds.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Box<Job>>,
    /// Meters that did not answer last time.
    silent: BTreeSet<Address>,
    /// When the next of those may be asked.
    again_at: Option<Instant>,
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Turn {
    Now(Box<Job>),
    /// None before that.
    At(Instant),
    Idle,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn push(&mut self, job: Box<Job>) {
        self.jobs.push_back(job);
    }

    /// Takes the next readout out: the one that waits longest of the meters that answer, or of
    /// the others once they may have the line again. What nothing waits for any more is dropped.
    pub(super) fn take(&mut self, now: Instant) -> Turn {
        self.jobs.retain(|job| !job.reply.is_closed());
        let may_try = self.again_at.is_none_or(|at| at <= now);
        let is_silent = |job: &Job| self.silent.contains(&job.who);
        // Those that may be tried take their turn in order, so that a busy line does not keep a
        // meter out that is back.
        let next = self.jobs.iter().position(|job| may_try || !is_silent(job));
        match next.and_then(|at| self.jobs.remove(at)) {
            Some(job) => Turn::Now(job),
            None if self.jobs.is_empty() => Turn::Idle,
            None => self.again_at.map_or(Turn::Idle, Turn::At),
        }
    }

    /// Notes what became of a readout, and how long it took.
    pub(super) fn judge(&mut self, who: Address, has_answered: bool, cost: Duration) {
        if has_answered {
            self.silent.remove(&who);
            return;
        }
        // The first failure says little, so it costs the others nothing yet.
        if !self.silent.insert(who) {
            self.again_at = Some(Instant::now() + cost * (SHARE - 1));
        }
    }
}
