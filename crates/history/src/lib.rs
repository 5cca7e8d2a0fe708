//! Readings kept on the card: for trends, for export, for counters of months.
//!
//! `chunk` and `cells` code readings and roll-ups, `file` lays them out, `head` holds what no file has yet, `room` says
//! what goes when there is no more room: all pure. `keeper` is the one thread that writes; `tap` is where readings come
//! in, and never waits; `query` reads, also while it is written; `export` makes files for other programs of what it
//! reads. `events` keeps what happened beside readings, and `happened` reads that.
//!
//! Readings go to the journal once a minute, to a file once an hour, and to another once a day. A file is written once,
//! under a name that it gets when it is whole, and removed as a whole. Nothing here knows devices, MQTT or YAML.

mod bits;
mod build;
pub mod cells;
pub mod chunk;
mod column;
mod consumption;
pub mod counters;
pub mod csv;
pub mod events;
pub mod export;
pub mod file;
mod folder;
mod happened;
mod head;
mod journal;
mod jsonl;
mod keeper;
mod layout;
mod line;
mod parquet;
mod query;
mod reading;
mod room;
mod settings;
mod shared;
mod tap;
mod write;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

pub use cells::{Cell, Numbers};
pub use consumption::{Consumption, Question};
pub use events::{Event, Kind};
pub use file::Series;
pub use happened::{Asked, Happened};
pub use query::{Columns, Error, Range, Reader, WIDTH_MAX};
pub use reading::{Number, Reading};
pub use settings::{Now, Settings};
pub use shared::Figures;
pub use tap::{DeviceTap, Keeps, Tap};

use build::HOUR;
use counters::Counters;
use counters::store::Store;
use events::intake::ClockWatch;
use events::store::{self as pieces, Bounds};
use head::Head;
use keeper::Keeper;
use room::Steady;
use shared::Shared;
use tap::{BATCHES_MAX, Message};

/// Events have at most one part in so many of the room.
const EVENTS_SHARE: u64 = 4;

/// History that is being kept. It is written to the end when this is dropped.
#[derive(Debug)]
pub struct History {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl History {
    /// Opens the folder, which is made if it is missing, and keeps what comes in. `clock` is asked for the time.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or the system gives no thread.
    pub fn start(settings: Settings, clock: impl Fn() -> Now + Send + 'static) -> io::Result<Self> {
        let folder = &settings.folder;
        fs::create_dir_all(folder)?;
        let found = folder::look(folder)?;
        let now = clock();
        tell(&found, now);
        for path in &found.leftover {
            folder::remove(path)?;
        }
        let done = found
            .files
            .iter()
            .map(|kept| kept.parts().1)
            .max()
            .unwrap_or(0);
        let mut head = Head::new(done + 1);
        let opened = journal::open(folder, done, &mut head);
        let (log, replayed) = opened.map_err(io::Error::other)?;
        if replayed.readings > 0 {
            log::debug!(
                "history: {} readings were taken over from the journal",
                replayed.readings
            );
        }
        let mut counters = Counters::new(settings.zone.clone());
        let (store, damaged) = Store::open(folder, &mut counters)?;
        counters.replay(head.chunks());
        let events = pieces::Store::open(folder, bounds(&settings))?;
        let files = found.files.into_iter().map(Arc::new).collect();
        let shared = Shared::new(head, files, counters, folder);
        let damaged = damaged + events.damaged;
        shared.lock().figures.damaged = (replayed.damaged + found.damaged.len()) as u64 + damaged;
        shared.lock().pieces.clone_from(&events.files);
        let shared = Arc::new(shared);
        let (sender, messages) = sync_channel(BATCHES_MAX);
        let mut keeper = Keeper {
            shared: Arc::clone(&shared),
            messages,
            journal: Some(log),
            counters: store,
            events,
            watch: ClockWatch::new(Instant::now(), now.at, now.is_set),
            damage_told: 0,
            done,
            hour: now.at.div_euclid(HOUR),
            is_due: false,
            is_owing: false,
            next_flush: Instant::now() + settings.flush,
            is_ended: false,
            steady: Steady::new(Instant::now(), now.at),
            clock: Box::new(clock),
            settings,
        };
        keeper.make_room(0);
        keeper.begin();
        let thread = std::thread::Builder::new().name("history".to_owned());
        let thread = thread.spawn(move || keeper.run())?;
        Ok(Self {
            sender,
            shared,
            thread: Some(thread),
        })
    }

    /// Where readings come in.
    pub fn tap(&self) -> Tap {
        Tap {
            sender: self.sender.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Answers questions.
    pub fn reader(&self) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
            is_foreign: false,
        }
    }

    /// Waits until everything that came in before is in the journal.
    pub fn flush(&self) {
        self.ask(Message::Flush);
    }

    /// Waits until everything that came in before is in a file.
    pub fn close(&self) {
        self.ask(Message::Close);
    }

    fn ask(&self, message: impl FnOnce(SyncSender<()>) -> Message) {
        let (done, answer) = sync_channel(1);
        if self.sender.send(message(done)).is_ok() {
            // A keeper that has ended does nothing more.
            let _ = answer.recv();
        }
    }
}

/// How much is kept of events: they leave most of the room to readings.
fn bounds(settings: &Settings) -> Bounds {
    Bounds {
        bytes: settings.events.min(settings.max / EVENTS_SHARE),
        keep: settings.keep,
    }
}

/// Says which files are not read as they should be.
fn tell(found: &folder::Found, now: Now) {
    for (path, fault) in &found.foreign {
        log::warn!("history: {}: {fault}; it is left as it is", path.display());
    }
    for path in &found.damaged {
        log::warn!(
            "history: {}: its index is damaged; what is whole of it is read",
            path.display()
        );
    }
    for kept in found
        .files
        .iter()
        .filter(|kept| now.is_set && room::is_from_future(kept, now.at))
    {
        log::warn!(
            "history: {} has times that are still to come; it is left as it is",
            kept.path.display()
        );
    }
}

impl Drop for History {
    fn drop(&mut self) {
        // It has ended already if it is not told.
        let _ = self.sender.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            // It has said why if it panicked.
            let _ = thread.join();
        }
    }
}
