//! Opening a store: what is read, what version 0.1 left, what is set aside.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use fieldgate_spool::{Error, Log};

use super::batch::Batch;
use super::book::{Book, Failure, encode};
use super::load::Loading;
use super::{Clock, Recovered, Shared, StoreTime, lock, old};
use fieldgate_broker_core::budget::Pot;
use fieldgate_broker_core::journal::Journal;

/// Damaged stores that are kept for a look at them.
const ASIDE_MAX: usize = 3;

/// Takes over what version 0.1 left beside a log that is new.
pub(crate) fn import(mut book: Book, recovered: Recovered, shared: &Shared) -> (Book, Recovered) {
    let path = shared.config.path.with_extension("redb");
    if book.log.stamp().is_some() || !path.exists() {
        return (book, recovered);
    }
    let clock = shared.time.now();
    let text = path.display();
    let pot = Arc::clone(lock(&shared.retained).pot());
    let found = match old::read(&path, &clock, &pot) {
        Ok(found) => found,
        Err(error) => {
            log::error!(
                "{text}: {error}; it stays where it is, and the broker starts without the sessions \
                 and retained messages of before"
            );
            return (book, recovered);
        }
    };
    let mut batch = Batch::default();
    batch.add(found.changes(), &mut Journal::default(), Instant::now());
    let retained: HashMap<_, _> = found
        .retained
        .iter()
        .map(|kept| (kept.message.topic(), kept))
        .collect();
    let retained = |topic: &str| retained.get(topic).copied().cloned();
    let payloads = encode(&batch, retained, &clock);
    let mut payloads = payloads.iter();
    let taken = payloads.try_for_each(|payload| book.write(shared, payload));
    let taken = taken.and_then(|()| {
        let renamed = fs::rename(&path, path.with_extension("redb.imported"));
        renamed.map_err(|error| Failure::System(error.to_string()))
    });
    match taken {
        Ok(()) => log::info!("{text}: its sessions and retained messages are taken over"),
        // The next start takes it over again.
        Err(Failure::Damaged(detail) | Failure::System(detail)) => {
            log::error!("{text}: cannot be taken over: {detail}");
        }
    }
    (book, found)
}

/// A store that was opened.
pub(crate) struct Opened {
    /// `None` if nothing can be written.
    pub(crate) book: Option<Book>,
    pub(crate) time: StoreTime,
    pub(crate) recovered: Recovered,
}

/// Opens the store in the folder `path`. What is damaged is set aside. The broker starts without a
/// folder that cannot be used: what can be read of it counts, and it is tried again later.
///
/// Only a store that another process has open is an error.
pub(crate) fn open(path: &Path, pot: &Arc<Pot>) -> Result<Opened, String> {
    let read = |log| read(log, pot);
    let log = match make(path) {
        Err(error @ Error::InUse) => return Err(error.to_string()),
        log => log.map_err(Failure::from),
    };
    let found = log.and_then(read).or_else(|failure| {
        let Failure::Damaged(detail) = failure else {
            return Err(failure);
        };
        let then = "the broker starts without the sessions and retained messages of before";
        set_aside(path, &detail, then)?;
        read(make(path)?)
    });
    let (Failure::Damaged(detail) | Failure::System(detail)) = match found {
        Ok((book, time, recovered)) => {
            return Ok(Opened {
                book: Some(book),
                time,
                recovered,
            });
        }
        Err(failure) => failure,
    };
    let text = path.display();
    let then =
        "NOTHING IS KEPT over a restart until that can be used; it is tried again all the time";
    let found = Log::open_read_only(path)
        .map_err(Failure::from)
        .and_then(read);
    let (time, recovered) = match found {
        Ok((_, time, recovered)) => {
            log::error!("{text}: {detail}; what is there was read, but {then}");
            (time, recovered)
        }
        Err(_) => {
            log::error!("{text}: {detail}; {then}");
            (StoreTime::resume(None), Recovered::default())
        }
    };
    Ok(Opened {
        book: None,
        time,
        recovered,
    })
}

/// Opens the log in the folder `path`, which is made if it is missing.
pub(crate) fn make(path: &Path) -> Result<Log, Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Log::open(path)
}

/// A log to write everything to, in the place of one that could not be used at the start. What is
/// in that one is older than what the broker holds.
pub(crate) fn replace(path: &Path) -> Result<Book, Failure> {
    let detail = match make(path) {
        Ok(log) if log.stamp().is_none() => return Book::read(log, |_| Ok(())),
        Ok(_) => "it could not be used at the start".to_owned(),
        Err(Error::Damaged(detail)) => detail,
        Err(error) => return Err(error.into()),
    };
    set_aside(path, &detail, "everything is written anew")?;
    Book::read(make(path)?, |_| Ok(()))
}

/// Reads a log.
fn read(log: Log, pot: &Arc<Pot>) -> Result<(Book, StoreTime, Recovered), Failure> {
    let time = StoreTime::resume(log.stamp());
    let mut loading = Loading::new(time.now(), pot);
    let book = Book::read(log, |payload| loading.apply(payload))?;
    Ok((book, time, loading.finish()))
}

/// Puts a damaged store out of the way, beside its place. Of those the newest few are kept.
/// `then` says what becomes of what was in it.
pub(crate) fn set_aside(path: &Path, detail: &str, then: &str) -> Result<(), Failure> {
    let moved = || -> io::Result<PathBuf> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{name}.damaged-");
        let aside = path.with_file_name(format!("{prefix}{}", Clock::calendar().millis()));
        fs::rename(path, &aside)?;
        let Some(folder) = path.parent() else {
            return Ok(aside);
        };
        let is_old =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
        let entries = fs::read_dir(folder)?.flatten().filter(is_old);
        let mut old: Vec<_> = entries.map(|entry| entry.path()).collect();
        old.sort();
        for path in old.iter().rev().skip(ASIDE_MAX) {
            fs::remove_dir_all(path)?;
        }
        Ok(aside)
    };
    let aside = moved().map_err(|error| {
        let text = format!("it is damaged ({detail}), and cannot be set aside: {error}");
        Failure::System(text)
    })?;
    let (path, aside) = (path.display(), aside.display());
    log::error!("{path}: {detail}; it is set aside as {aside}, and {then}");
    Ok(())
}
