//! The one thread that writes: frames to the journal, parts to files, days of hours; and what it removes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use fieldgate_spool::{Log, STAMP};
use jiff::Timestamp;

use crate::build::{self, HOUR};
use crate::counters::store::Store;
use crate::events::intake::ClockWatch;
use crate::events::{self, Event, Kind};
use crate::file::Level;
use crate::folder::{self, Kept};
use crate::head::READING;
use crate::journal;
use crate::room::{Pressure, Steady, victim};
use crate::settings::{Now, Settings};
use crate::shared::Shared;
use crate::tap::{Batch, Message};

/// How often it is looked whether the clock was set, while something comes in.
const LOOK: Duration = Duration::from_secs(1);
/// Counters have at most one part in so many of the room: readings need most of it.
const COUNTERS_SHARE: u64 = 2;

pub(crate) type Clock = Box<dyn Fn() -> Now + Send>;

pub(crate) struct Keeper {
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    pub(crate) messages: Receiver<Message>,
    pub(crate) clock: Clock,
    /// `None` if it cannot be used at the moment.
    pub(crate) journal: Option<Log>,
    pub(crate) counters: Store,
    pub(crate) events: events::store::Store,
    pub(crate) watch: ClockWatch,
    /// Places that were found damaged, of which an event tells.
    pub(crate) damage_told: u64,
    /// The newest part that a file has.
    pub(crate) done: u64,
    /// The hour that the head is of, since 1970.
    pub(crate) hour: i64,
    /// Whether the head must go to a file.
    pub(crate) is_due: bool,
    /// The journal has not got all that is in the head: only a file makes that safe.
    pub(crate) is_owing: bool,
    pub(crate) next_flush: Instant,
    pub(crate) is_ended: bool,
    pub(crate) steady: Steady,
}

impl Keeper {
    /// Keeps until it is told to stop.
    pub(crate) fn run(mut self) {
        while !self.is_ended {
            let left = self.next_flush.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.stop();
        self.flush();
        self.shared.lock().counters.end();
        self.count();
    }

    /// Says that it has begun, and how the run before ended. That is on the card at once: a run that ends soon without a
    /// word is noticed, too.
    pub(crate) fn begin(&mut self) {
        let kind = match self.events.was_ended {
            Some(false) => Kind::StartedAgain,
            Some(true) | None => Kind::Started,
        };
        self.happened(Event::new(kind, self.now()));
        self.flush();
    }

    /// Says that it ends in order.
    fn stop(&mut self) {
        let stopped = Event::new(Kind::Stopped, self.now());
        self.shared.lock().events.end();
        self.happened(stopped);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond((self.clock)().at).unwrap_or_default()
    }

    fn happened(&mut self, event: Event) {
        let is_clock_set = (self.clock)().is_set;
        let event = Event {
            is_clock_set,
            ..event
        };
        self.shared.lock().events.take(event, Instant::now());
    }

    /// Notices what nothing else tells of.
    fn look(&mut self) {
        let (now, shown) = (Instant::now(), (self.clock)());
        for event in self.watch.look(now, shown.at, shown.is_set) {
            self.happened(event);
        }
        let found = self.shared.lock().figures.damaged;
        let found = found + self.shared.damaged.load(Ordering::Relaxed);
        let new = found.saturating_sub(self.damage_told);
        if new > 0 {
            self.damage_told = found;
            let event = Event::new(Kind::Damaged, self.now());
            self.happened(event.with(&new.to_string()));
        }
    }

    fn take(&mut self, message: Message) {
        if self.watch.looked().elapsed() >= LOOK {
            self.look();
        }
        match message {
            Message::Batch(batch) => self.push(batch),
            Message::Event(event) => self.happened(*event),
            Message::Flush(done) => {
                self.flush();
                if self.is_due {
                    self.tick();
                }
                // Who has gone needs no answer.
                let _ = done.send(());
            }
            Message::Close(done) => {
                self.is_due = true;
                self.tick();
                let _ = done.send(());
            }
            Message::Stop => self.is_ended = true,
        }
        if self.is_due || Instant::now() >= self.next_flush {
            self.tick();
        }
    }

    /// What came in while it wrote, up to the first that asks for an answer: one who asks again and again must not keep
    /// it from writing.
    fn catch_up(&mut self) {
        loop {
            match self.messages.try_recv() {
                Ok(Message::Batch(batch)) => self.push(batch),
                Ok(Message::Event(event)) => self.happened(*event),
                Ok(Message::Flush(done) | Message::Close(done)) => {
                    self.flush();
                    let _ = done.send(());
                    break;
                }
                Ok(Message::Stop) => self.is_ended = true,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        if Instant::now() >= self.next_flush {
            self.flush();
        }
    }

    fn push(&mut self, batch: Batch) {
        let count = batch.readings.len();
        let mut state = self.shared.lock();
        self.shared.pending.fetch_sub(count, Ordering::Relaxed);
        let is_full = state.head.bytes + count * READING > self.settings.memory;
        if is_full && state.closing.is_some() {
            state.figures.dropped += count as u64;
            return;
        }
        self.is_due |= is_full;
        let places = batch.names.places.get_or_init(|| {
            let points = batch.names.points.iter();
            let places = points.map(|kept| {
                let series = kept.series.as_ref();
                let counter = kept.counter.as_ref();
                (
                    series.map(|series| state.head.place(series)),
                    counter.map(|named| state.counters.place(named)),
                )
            });
            places.collect()
        });
        for (point, reading) in batch.readings {
            let Some((series, counter)) = places.get(point) else {
                continue;
            };
            if let Some(counter) = counter {
                state.counters.take(*counter, &reading);
            }
            if let Some(series) = series {
                state.head.push(*series, reading);
            }
        }
        state.figures.kept += count as u64;
    }

    /// Everything that is due.
    fn tick(&mut self) {
        self.look();
        self.flush();
        self.count();
        let hour = (self.clock)().at.div_euclid(HOUR);
        self.is_due |= hour != self.hour || self.is_owing;
        if self.is_due {
            self.close(hour);
        }
        if !self.is_ended {
            self.compact();
        }
        self.make_room(0);
    }

    /// Writes new events to their file.
    fn write_events(&mut self) {
        let events: Vec<Event> = {
            let mut state = self.shared.lock();
            state.events.due(Instant::now());
            state.events.pending.iter().cloned().collect()
        };
        if events.is_empty() {
            return;
        }
        match self.events.append(&events) {
            Ok(bytes) => {
                let mut state = self.shared.lock();
                state.events.written(events.len());
                state.pieces.clone_from(&self.events.files);
                drop(state);
                self.written(bytes);
            }
            Err(error) => self.stuck(&error.to_string()),
        }
    }

    /// Writes new readings to the journal, and what happened.
    fn flush(&mut self) {
        self.next_flush = Instant::now() + self.settings.flush;
        self.write_events();
        let frame = self.shared.lock().head.frame();
        let Some(frame) = frame else { return };
        if self.journal.is_none() {
            self.journal = Log::open(&self.settings.folder.join(folder::JOURNAL)).ok();
        }
        let appended = match &mut self.journal {
            Some(log) => log
                .append(&frame, [0; STAMP])
                .map_err(|error| error.to_string()),
            None => Err("the journal cannot be opened".to_owned()),
        };
        match appended {
            Ok(_) => self.written(frame.len() as u64),
            Err(error) => {
                // Whether the frame is there is not known; its readings wait in memory for the file.
                self.journal = None;
                self.is_owing = true;
                self.stuck(&error);
            }
        }
    }

    /// Writes what counters showed in hours that are over.
    fn count(&mut self) {
        let now = (self.clock)();
        let due = {
            let mut state = self.shared.lock();
            if now.is_set && !self.is_ended {
                state.counters.turn(now.at);
            }
            state.counters.take_due()
        };
        if due.is_empty() {
            return;
        }
        let written = self.counters.append(&due);
        self.shared.lock().counters.bytes = self.counters.bytes();
        match written {
            Ok(bytes) => self.written(bytes),
            Err(error) => {
                self.shared.lock().counters.give_back(due);
                self.stuck(&error.to_string());
            }
        }
    }

    fn written(&self, bytes: u64) {
        let mut state = self.shared.lock();
        state.figures.written += bytes;
        if std::mem::take(&mut state.figures.is_stuck) {
            log::info!("history: the card takes readings again");
        }
    }

    fn stuck(&self, error: &str) {
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut state.figures.is_stuck, true) {
            log::error!(
                "history: {}: {error}; readings are kept in memory as far as they fit there",
                self.settings.folder.display()
            );
        }
    }

    /// Hands the head to a file.
    fn close(&mut self, hour: i64) {
        let closing = {
            let mut state = self.shared.lock();
            if state.closing.is_none() && !state.head.is_empty() {
                let part = state.head.part;
                state.closing = Some((part, Arc::new(state.head.close())));
                self.is_owing = false;
            }
            state.closing.clone()
        };
        let Some((part, chunks)) = closing else {
            (self.hour, self.is_due) = (hour, false);
            return;
        };
        let size: usize = chunks.values().flatten().map(|chunk| chunk.count * 2).sum();
        self.make_room(size as u64);
        let folder = self.settings.folder.clone();
        let day = folder::day(self.hour * HOUR);
        let written = build::hour(&folder, part, day, &chunks, || self.catch_up());
        // Tried again at the next tick.
        let kept = match written {
            Ok(kept) => kept,
            Err(error) => return self.stuck(&error.to_string()),
        };
        self.written(kept.bytes);
        let mut state = self.shared.lock();
        state.files.push(Arc::new(kept));
        state.closing = None;
        drop(state);
        // What came while the card took nothing does not wait for the end of the hour.
        (self.hour, self.is_due, self.done) = (hour, self.is_owing, part);
        if let Some(log) = &mut self.journal
            && let Err(error) = journal::release(log, part)
        {
            log::warn!("history: the journal: {error}");
            self.journal = None;
        }
    }

    /// Makes a file of each day that is over.
    fn compact(&mut self) {
        let today = folder::day((self.clock)().at);
        let files = self.shared.lock().files.clone();
        let hours = files.iter().filter(|kept| kept.header.level == Level::Hour);
        let hours: Vec<Kept> = hours.map(|kept| Kept::clone(kept)).collect();
        let follow = |a: &Kept, b: &Kept| a.day == b.day && a.parts().1 + 1 == b.parts().0;
        for run in hours.chunk_by(follow) {
            let is_over = run.first().is_some_and(|first| first.day != today);
            if is_over && !self.is_ended {
                self.merge(run);
            }
        }
    }

    fn merge(&mut self, hours: &[Kept]) {
        self.make_room(hours.iter().map(|kept| kept.bytes).sum());
        let folder = self.settings.folder.clone();
        let merged = build::day(&folder, hours, || self.catch_up());
        let days = match merged {
            Ok(days) => days,
            Err(error) => return self.stuck(&error.to_string()),
        };
        self.written(days.day.bytes + days.rollup.bytes);
        let is_merged = |kept: &Kept| hours.iter().any(|hour| hour.path == kept.path);
        let mut state = self.shared.lock();
        state.figures.damaged += days.damaged;
        state.files.retain(|kept| !is_merged(kept));
        state
            .files
            .extend([Arc::new(days.day), Arc::new(days.rollup)]);
        state
            .files
            .sort_by_key(|kept| (kept.parts(), kept.header.level as u32));
        drop(state);
        for hour in hours {
            self.remove(hour);
        }
    }

    fn remove(&self, kept: &Kept) {
        if let Err(error) = folder::remove(&kept.path) {
            log::warn!("history: {}: {error}", kept.path.display());
        }
    }

    /// Removes the oldest files until the bounds hold when `more` bytes are written.
    pub(crate) fn make_room(&mut self, more: u64) {
        self.make_room_of_counters();
        self.make_room_of_events();
        loop {
            let pressure = match self.pressure(more) {
                Ok(pressure) => pressure,
                Err(error) => return self.stuck(&error.to_string()),
            };
            let mut state = self.shared.lock();
            let Some(place) = victim(&state.files, &pressure) else {
                break;
            };
            let kept = state.files.remove(place);
            state.figures.removed += 1;
            drop(state);
            log::info!(
                "history: {} is removed to keep the bounds",
                kept.path.display()
            );
            self.remove(&kept);
        }
        self.shared.lock().measure();
    }

    /// Removes months of counters that are too old, or that leave readings too little of the room.
    fn make_room_of_counters(&mut self) {
        let keep = i64::try_from(self.settings.keep_counters.as_millis()).unwrap_or(i64::MAX);
        let before = self.trusted().map(|now| now.saturating_sub(keep));
        let removed = self
            .counters
            .make_room(before, self.settings.max / COUNTERS_SHARE);
        let mut state = self.shared.lock();
        state.figures.removed += removed;
        state.counters.bytes = self.counters.bytes();
    }

    /// Removes files of events that are too old, or too many.
    fn make_room_of_events(&mut self) {
        let keep = i64::try_from(self.settings.keep.as_millis()).unwrap_or(i64::MAX);
        let before = self.trusted().map(|now| now.saturating_sub(keep));
        let removed = self.events.make_room(before);
        if removed > 0 {
            let mut state = self.shared.lock();
            state.figures.removed += removed;
            state.pieces.clone_from(&self.events.files);
        }
    }

    /// The time, if it is so sure that it tells what is old.
    fn trusted(&mut self) -> Option<i64> {
        let now = (self.clock)();
        let is_steady = self.steady.look(Instant::now(), now.at) >= self.settings.trust;
        Some(now.at).filter(|_| now.is_set && is_steady)
    }

    fn pressure(&mut self, more: u64) -> io::Result<Pressure> {
        let now = self.trusted();
        let keep = i64::try_from(self.settings.keep.as_millis()).unwrap_or(i64::MAX);
        let (all, free) = folder::room(&self.settings.folder)?;
        let journal = folder::bytes_of(&self.settings.folder.join(folder::JOURNAL));
        let reserve = all / 100 * u64::from(self.settings.reserve);
        Ok(Pressure {
            room: self
                .settings
                .max
                .saturating_sub(journal)
                .saturating_sub(self.counters.bytes())
                .saturating_sub(self.events.bytes())
                .saturating_sub(more),
            missing: (reserve + more).saturating_sub(free),
            now,
            keep,
        })
    }
}
