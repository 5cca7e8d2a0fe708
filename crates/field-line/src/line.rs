//! The open line of a bus, and when it may be opened again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::backoff::Delays;
use fieldgate_bridge::{Backoff, Outage, Period};
use tokio::time::Instant;

use crate::breaker::Tolerance;
use crate::shared::Shared;

/// Failed attempts to connect that make an outage, the end of which is news to devices that are
/// offline. A server that takes one connection only can refuse the one after a time limit; were
/// that news, a dead unit would be tried again, and its time limit would drop the connection.
const RECOVERY: u32 = 2;
/// Someone who plugs a cable back in watches. An attempt costs next to nothing.
const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// A flood goes on for as long as the other end is not repaired: it is told no more often than so.
const FLOOD_TOLD: Duration = Duration::from_secs(3600);

/// How a bus treats its line and its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// When a unit is given up, and what it may take then.
    pub tolerance: Tolerance,
    /// The pauses of a unit that is offline. Those between attempts to connect are as short, and 5 s at most.
    pub backoff: Backoff,
    /// How long the other end is left alone after a port or a connection was opened.
    pub settle: Duration,
    /// After how long without a request a connection is closed; `None` for never.
    pub close_after: Option<Duration>,
    /// How long after a connection on which no usable answer came the next one is made.
    pub reconnect: Duration,
}

/// The bus cannot be reached since the last attempt.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) detail: String,
    /// With why the first attempt failed.
    began: Outage,
    /// Failed in a row.
    attempts: u32,
    /// When the next attempt may be made.
    pub(crate) retry_at: Instant,
}

/// The open line, if there is one, and what is known of it.
#[derive(Debug)]
pub struct Line<U, L> {
    /// What is open. Taken while it is used, so that every way out that forgets to put it back closes it.
    pub link: Option<L>,
    name: String,
    manners: Manners,
    pub(crate) shared: Arc<Shared<U>>,
    /// The pauses between attempts to connect.
    delays: Delays,
    pub(crate) outage: Option<Failing>,
    /// Nothing is sent before that, and nothing opened.
    silent_until: Instant,
    /// When the link was opened, and whether a usable answer has come on it.
    connected: Option<Instant>,
    has_answered: bool,
    /// When something was last asked.
    last_used: Instant,
    /// When it was last told that the other end sends without end.
    flood_told: Option<Instant>,
}

impl<U: Ord + Copy, L> Line<U, L> {
    pub(crate) fn new(name: &str, manners: Manners, shared: Arc<Shared<U>>) -> Self {
        let now = Instant::now();
        Self {
            link: None,
            name: name.to_owned(),
            manners,
            shared,
            delays: Delays::new(reconnect_pauses(manners.backoff), 0),
            outage: None,
            silent_until: now,
            connected: None,
            has_answered: false,
            last_used: now,
            flood_told: None,
        }
    }

    /// The name of the bus, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The unit has answered; with an error, perhaps.
    pub fn answered(&mut self, unit: U) {
        self.shared.breaker().answered(unit, Instant::now());
    }

    /// There was no usable answer, and waiting for it took `cost` of the bus's time. True if the unit is given up by
    /// that.
    pub fn failed(&mut self, unit: U, cost: Duration) -> bool {
        self.shared.breaker().failed(unit, cost, Instant::now())
    }

    /// A usable answer has come on this link, of whichever unit.
    pub fn is_of_use(&mut self) {
        self.has_answered = true;
    }

    /// A transaction has ended: the line is left silent for so long.
    pub fn rest(&mut self, silence: Duration) {
        let now = Instant::now();
        self.last_used = now;
        self.silent_until = self.silent_until.max(now + silence);
    }

    /// The link is of no use any more. If no usable answer ever came on it, the next one has to wait.
    pub fn lose(&mut self) {
        self.link = None;
        if let Some(connected) = self.connected.take()
            && !self.has_answered
        {
            let reconnect = self.manners.reconnect;
            self.silent_until = self.silent_until.max(connected + reconnect);
        }
    }

    /// The other end, at `place`, sends without end. That is told now and then.
    pub fn tell_flood(&mut self, place: impl fmt::Display) {
        let now = Instant::now();
        let is_told = |told: Instant| now.saturating_duration_since(told) < FLOOD_TOLD;
        if !self.flood_told.is_some_and(is_told) {
            self.flood_told = Some(now);
            log::warn!(
                BUS = self.name.as_str();
                "{place} sends what it was not asked for, without end; the connection is closed, and \
                 made anew for the next request. `floods` counts how often"
            );
        }
    }

    /// Until when nothing is sent, if that is not over.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        Some(self.silent_until).filter(|until| *until > Instant::now())
    }

    /// It was opened.
    pub(crate) fn opened(&mut self, place: impl fmt::Display) {
        let now = Instant::now();
        let settle = self.shared.settle();
        (self.connected, self.has_answered) = (Some(now), false);
        (self.last_used, self.silent_until) = (now, now + settle);
        self.delays.reset();
        if let Some(outage) = self.outage.take() {
            log::info!(BUS = self.name.as_str(); "connected to {place}");
            self.shared.set_outage(None);
            if outage.attempts >= RECOVERY {
                self.shared.breaker().reset();
                self.shared.recovered();
            }
        }
    }

    /// It could not be opened.
    pub(crate) fn failed_to_open(&mut self, detail: &str) {
        if self.outage.is_none() {
            log::warn!(BUS = self.name.as_str(); "{detail}");
        }
        let before = self.outage.take();
        let attempts = before.as_ref().map_or(0, |outage| outage.attempts);
        let attempts = attempts.saturating_add(1);
        let began = before.map_or_else(|| Outage::begins(detail), |outage| outage.began);
        if attempts == RECOVERY {
            self.shared.set_outage(Some(began.clone()));
        }
        self.outage = Some(Failing {
            detail: detail.to_owned(),
            began,
            attempts,
            retry_at: Instant::now() + self.delays.next_delay(),
        });
    }

    /// When the connection is closed if nothing is asked until then. To be asked while nothing is.
    pub(crate) fn closes_at(&self) -> Option<Instant> {
        let close_after = self.manners.close_after?;
        self.link.is_some().then(|| self.last_used + close_after)
    }
}

/// From the shortest pause of a unit to 5 s, or to the longest pause of a unit if that is less.
fn reconnect_pauses(backoff: Backoff) -> Backoff {
    let max = backoff.max().min(RECONNECT_MAX).max(backoff.min());
    Period::new(backoff.min())
        .zip(Period::new(max))
        .and_then(|(min, max)| Backoff::new(min, max))
        .unwrap_or(backoff)
}
