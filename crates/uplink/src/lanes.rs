//! Which message is sent next. Pure: time and acknowledgements come as arguments.
//!
//! A message is first in a window in memory. Acknowledged there, it never was on the card. What the
//! window cannot hold long enough goes to the ring and comes back in blocks, as backlog, beside the
//! messages of now. Between two connections everything that was sent and not acknowledged waits again.

mod backlog;
mod card;
mod settings;
mod slots;
mod window;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fieldgate_mqtt::{PacketId, QoS};
use fieldgate_spool::ring::Record;

use crate::item::qos_of;
use crate::rate::Rate;
use backlog::Backlog;
pub use settings::{Order, Settings};
use slots::{Place, Slots};
use window::Window;

/// How long the oldest message under way may be unacknowledged before the connection is given up.
pub const WATCHDOG: Duration = Duration::from_secs(20);
/// A backlog that is gone within this goes before new messages.
const SOON: Duration = Duration::from_secs(60);
/// What is assumed of a connection without a limit, in messages a second.
const ASSUMED: f64 = 1_000.0;
/// Bytes of a message's packet beside its record, about.
const OVERHEAD: usize = 60;

/// Which lane a message is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// New.
    Live,
    /// From the ring.
    Backlog,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Send this.
    Send(Sending<'a>),
    /// Nothing before this time, unless something happens.
    Wait(Option<Instant>),
}

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending<'a> {
    /// Which lane it is in.
    pub lane: Lane,
    /// `None` with QoS 0.
    pub id: Option<PacketId>,
    /// Its record's epoch.
    pub epoch: u32,
    /// The message.
    pub record: &'a Record,
    /// It was sent before and not acknowledged.
    pub again: bool,
}

/// What became of an acknowledged message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which lane it was in.
    pub lane: Lane,
    /// How long after it was sent.
    pub took: Duration,
    /// If it was refused: its record, and its epoch.
    pub record: Option<(u32, Record)>,
}

/// A message's number.
pub type Key = (u32, u64);

/// Both lanes.
#[derive(Debug)]
pub struct Lanes {
    settings: Settings,
    epoch: u32,
    window: Window,
    backlog: Backlog,
    slots: Slots,
    rate: Rate,
    share: Rate,
    is_connected: bool,
    /// Since when the backlog goes first.
    first_since: Option<Instant>,
    /// A message that may be what ends connections: it is sent alone.
    suspect: Option<Key>,
    /// The oldest under way when the remote ended the connection, and how often that was so.
    ended_with: Option<(Key, u32)>,
    /// Records in the ring that are not in memory.
    on_disk: u64,
    /// Numbers of messages that went to the card while they were under way and were answered since.
    answered: BTreeSet<u64>,
}

impl Lanes {
    /// Empty, for records of `epoch`.
    pub fn new(settings: Settings, epoch: u32, now: Instant) -> Self {
        Self {
            settings,
            epoch,
            window: Window::default(),
            backlog: Backlog::default(),
            slots: Slots::default(),
            rate: Rate::new(settings.messages, settings.bytes, now),
            share: settings.backlog_rate(now),
            is_connected: false,
            first_since: None,
            suspect: None,
            ended_with: None,
            on_disk: 0,
            answered: BTreeSet::new(),
        }
    }

    /// Other settings from now on.
    pub fn set(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        self.rate = Rate::new(settings.messages, settings.bytes, now);
        self.share = settings.backlog_rate(now);
    }

    /// Messages a second that are allowed now; `None` without a limit.
    pub fn rate(&self) -> Option<f64> {
        self.rate.now()
    }

    /// Takes a new message. Returns how many others were dropped for it, as neither the remote nor the disk takes any.
    pub fn offer(&mut self, record: Record, now: Instant) -> u64 {
        if qos_of(&record.bytes) == QoS::AtMostOnce && !self.is_connected {
            return 1;
        }
        self.window.push(record, now);
        self.window
            .trim(2 * self.settings.window_bytes, &mut self.slots)
    }

    /// Tells how many records the ring has that are not in memory.
    pub fn set_on_disk(&mut self, records: u64) {
        self.on_disk = records;
    }

    /// Messages in memory that are not acknowledged: of the window and of the backlog.
    pub fn waiting(&self) -> (usize, usize) {
        (self.window.len(), self.backlog.len())
    }

    /// Bytes of the window.
    pub fn window_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// When the oldest message that is new was taken.
    pub fn oldest_live(&self) -> Option<u64> {
        self.window.oldest()
    }

    /// The connection is up. The remote lets so many messages be unacknowledged.
    pub fn connect(&mut self, in_flight: u16, now: Instant) {
        self.is_connected = true;
        self.slots.reset(in_flight.min(self.settings.in_flight));
        self.first_since = Some(now);
    }

    /// The connection is gone. `by_remote` if it was up and the remote ended it. Returns how many messages may have
    /// arrived without an acknowledgement, how many of QoS 0 are dropped, and a message that has ended too many
    /// connections.
    pub fn disconnect(&mut self, by_remote: bool) -> (usize, u64, Option<(u32, Record)>) {
        self.is_connected = false;
        let under_way = self.slots.len();
        let oldest = self.slots.oldest().and_then(|place| self.key(place));
        self.slots.reset(0);
        self.window.again();
        self.backlog.again();
        let dropped = self.window.drop_qos0();
        let mut poison = None;
        if let (true, Some(key)) = (by_remote, oldest) {
            if self.suspect == Some(key) {
                poison = self.take_out(key);
                self.suspect = None;
                self.ended_with = None;
            } else {
                let times = match self.ended_with {
                    Some((same, times)) if same == key => times + 1,
                    _ => 1,
                };
                self.ended_with = Some((key, times));
                if times >= 3 {
                    self.suspect = Some(key);
                }
            }
        }
        (under_way, dropped, poison)
    }

    fn key(&self, place: Place) -> Option<Key> {
        match place {
            Place::Window(at) => self.window.get(at).map(|record| (self.epoch, record.seq)),
            Place::Backlog(at) => self
                .backlog
                .get(at)
                .map(|(epoch, record)| (epoch, record.seq)),
            Place::Card(_) | Place::Elsewhere => None,
        }
    }

    fn take_out(&mut self, (epoch, seq): Key) -> Option<(u32, Record)> {
        let found = (epoch == self.epoch)
            .then(|| self.window.take_out(seq))
            .flatten();
        let found = found.or_else(|| self.backlog.take_out(epoch, seq));
        found.map(|record| (epoch, record))
    }

    /// What to send at `now`.
    pub fn next(&mut self, now: Instant) -> Next<'_> {
        if !self.is_connected {
            return Next::Wait(None);
        }
        if let Some(at) = self.rate.wait(now) {
            return Next::Wait(Some(at));
        }
        let alone = self.suspect.filter(|_| self.slots.len() > 0);
        if alone.is_some() {
            return Next::Wait(None);
        }
        let (lane, wait) = self.choose(now);
        match lane {
            None => Next::Wait(wait),
            Some(lane) => self.send(lane, now),
        }
    }

    /// The lane whose turn it is.
    fn choose(&mut self, now: Instant) -> (Option<Lane>, Option<Instant>) {
        let is_free = !self.slots.is_full();
        let has_live = self.window.has_next(is_free);
        let has_backlog = is_free && self.backlog.has_next();
        if let Some(key) = self.suspect {
            return match (self.window.find(key.1), self.backlog.find(key)) {
                (Some(_), _) if key.0 == self.epoch => (Some(Lane::Live), None),
                (_, true) => (Some(Lane::Backlog), None),
                _ => {
                    // It was acknowledged or spilled.
                    self.suspect = None;
                    (None, Some(now))
                }
            };
        }
        if self.backlog_goes_first(now) {
            return (has_backlog.then_some(Lane::Backlog), None);
        }
        if !has_backlog {
            return (has_live.then_some(Lane::Live), None);
        }
        if !has_live {
            return (Some(Lane::Backlog), None);
        }
        // Of the places for unacknowledged messages, too, the backlog has its share and no more.
        let places = f64::from(self.slots.most()) * self.settings.share;
        let is_within = (self.slots.backlog() as f64) < places.max(1.0);
        if !is_within || self.share.wait(now).is_some() {
            return (Some(Lane::Live), None);
        }
        match self.backlog.owes(self.settings.share) {
            true => (Some(Lane::Backlog), None),
            false => (Some(Lane::Live), None),
        }
    }

    fn backlog_goes_first(&mut self, now: Instant) -> bool {
        let left = self.on_disk + self.backlog.len() as u64;
        if left == 0 {
            self.first_since = None;
            return false;
        }
        match self.settings.order {
            Order::InOrder => true,
            Order::FreshFirst => false,
            Order::Auto => {
                let Some(since) = self.first_since else {
                    return false;
                };
                let rate = self.rate.now().unwrap_or(ASSUMED);
                let is_short = left as f64 / rate <= SOON.as_secs_f64();
                if !is_short || now.saturating_duration_since(since) > SOON {
                    self.first_since = None;
                    return false;
                }
                true
            }
        }
    }

    fn send(&mut self, lane: Lane, now: Instant) -> Next<'_> {
        let suspect = self.suspect;
        let sent = match lane {
            Lane::Live => self
                .window
                .send(suspect.map(|key| key.1))
                .map(Place::Window),
            Lane::Backlog => self.backlog.send(suspect).map(Place::Backlog),
        };
        let Some(place) = sent else {
            return Next::Wait(None);
        };
        let (epoch, again, record) = match place {
            Place::Window(at) => match self.window.sent(at) {
                Some((again, record)) => (self.epoch, again, record),
                None => return Next::Wait(None),
            },
            Place::Backlog(at) => match self.backlog.sent(at) {
                Some((epoch, again, record)) => (epoch, again, record),
                None => return Next::Wait(None),
            },
            Place::Card(_) | Place::Elsewhere => return Next::Wait(None),
        };
        let bytes = record.bytes.len() + OVERHEAD;
        self.rate.take(bytes, now);
        if lane == Lane::Backlog {
            self.share.take(bytes, now);
        }
        let id = match qos_of(&record.bytes) {
            QoS::AtMostOnce => None,
            _ => self.slots.take(place, now),
        };
        Next::Send(Sending {
            lane,
            id,
            epoch,
            record,
            again,
        })
    }

    /// An identifier for a message of `bytes` bytes that is not one of the lanes'. `None` if it must wait; `wake` is
    /// then when, if that is known.
    pub fn reserve(
        &mut self,
        bytes: usize,
        now: Instant,
        wake: &mut Option<Instant>,
    ) -> Option<PacketId> {
        if !self.is_connected || self.slots.is_full() || self.suspect.is_some() {
            return None;
        }
        if let Some(at) = self.rate.wait(now) {
            *wake = Some(at);
            return None;
        }
        self.rate.take(bytes + OVERHEAD, now);
        self.slots.take(Place::Elsewhere, now)
    }

    /// A message of QoS 0 that was sent, or one that is not sent at all, is done with.
    pub fn settle(&mut self, epoch: u32, seq: u64) -> Option<(u32, Record)> {
        let found = self.take_out((epoch, seq));
        self.slots.forget(|place| match place {
            Place::Window(at) => self.window.get(at).is_none(),
            Place::Backlog(at) => self.backlog.get(at).is_none(),
            Place::Card(_) | Place::Elsewhere => false,
        });
        found
    }

    /// The remote has answered `id`. With `refused` the record comes back; with `later` it is sent again, and less is
    /// sent from now on. `None` if nothing was sent with it.
    pub fn acknowledge(
        &mut self,
        id: PacketId,
        refused: bool,
        later: bool,
        now: Instant,
    ) -> Option<Done> {
        let (place, sent) = self.slots.free(id)?;
        if later {
            self.rate.complain(now);
            match place {
                Place::Window(at) => self.window.retry(at),
                Place::Backlog(at) => self.backlog.retry(at),
                // It goes again from the card.
                Place::Card(_) | Place::Elsewhere => {}
            }
            return None;
        }
        let key = self.key(place);
        if key.is_some() && key == self.suspect {
            self.suspect = None;
        }
        if key.is_some() && self.ended_with.map(|(ended, _)| ended) == key {
            self.ended_with = None;
        }
        let (lane, record) = match place {
            Place::Window(at) => (
                Lane::Live,
                self.window.done(at).map(|record| (self.epoch, record)),
            ),
            Place::Backlog(at) => (Lane::Backlog, self.backlog.done(at)),
            Place::Card(seq) => {
                // What is refused goes again: its record is needed to tell it.
                if !refused {
                    self.note_answered(seq);
                }
                (Lane::Live, None)
            }
            Place::Elsewhere => (Lane::Live, None),
        };
        Some(Done {
            lane,
            took: now.saturating_duration_since(sent),
            record: record.filter(|_| refused),
        })
    }

    /// Whether the oldest message under way is unacknowledged for too long. Less is sent from then on.
    pub fn is_stuck(&mut self, now: Instant) -> bool {
        let since = self.slots.oldest_time();
        let is_stuck = since.is_some_and(|since| now.saturating_duration_since(since) >= WATCHDOG);
        if is_stuck {
            self.rate.complain(now);
        }
        is_stuck
    }
}
