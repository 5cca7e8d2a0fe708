//! The file: its tables, what a batch does to them, and how damage shows.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fieldgate_mqtt::PacketId;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::batch::{Batch, Queued};
use super::record::{
    Clock, Malformed, SessionRecord, decode_entry, decode_grant, decode_retained, encode_entry,
    encode_grant, encode_retained,
};
use crate::journal::Entry;
use crate::router::{Grant, Kept};

/// Of the file in memory, in bytes: little, for a board with 1 GB.
const CACHE: usize = 4 << 20;

/// What the tables hold, in which form. A file with another number is set aside.
const FORMAT: u64 = 1;

/// Damaged files that are kept for whoever wants to look at them.
const ASIDE_MAX: usize = 3;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SESSIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sessions");
const SUBSCRIPTIONS: TableDefinition<'_, (u64, &str), [u8; 5]> =
    TableDefinition::new("subscriptions");
/// A session and the number of a message.
const QUEUE: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("queue");
/// A session and the identifier of a QoS 2 message from its client.
const RECEIVED: TableDefinition<'_, (u64, u16), ()> = TableDefinition::new("received");
const RETAINED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("retained");

/// Everything that was in a store when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) sessions: Vec<RecoveredSession>,
    pub(crate) retained: Vec<Kept>,
}

#[derive(Debug)]
pub(crate) struct RecoveredSession {
    pub(crate) number: u64,
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: Vec<(Box<str>, Grant)>,
    /// By their numbers; `None` is one that was released.
    pub(crate) queue: Vec<(u64, Option<Entry>)>,
    pub(crate) received: Vec<PacketId>,
}

/// Why there is no store.
#[derive(Debug)]
pub(super) enum Failure {
    /// What is in the file is not what was written.
    Damaged(String),
    /// The system does not let us.
    System(String),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let damaged = match &error {
            redb::Error::Io(error) => {
                matches!(
                    error.kind(),
                    ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                )
            }
            redb::Error::DatabaseAlreadyOpen => {
                return Self::System("another process has it open".into());
            }
            redb::Error::PreviousIo | redb::Error::LockPoisoned(_) => false,
            _ => true,
        };
        match damaged {
            true => Self::Damaged(error.to_string()),
            false => Self::System(error.to_string()),
        }
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Damaged("an entry that means nothing".into())
    }
}

/// An open file.
pub(super) struct File(Database);

impl File {
    /// Opens the file, which may not exist, and checks all of it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let open = || -> Result<Self, Failure> {
            let database = Database::builder()
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(true)
                .create(path)?;
            let first = database.begin_write()?;
            let is_other = {
                let mut meta = first.open_table(META)?;
                let format = meta.get("format")?.map(|format| format.value());
                if format.is_none() {
                    meta.insert("format", FORMAT)?;
                    first.open_table(SESSIONS)?;
                    first.open_table(SUBSCRIPTIONS)?;
                    first.open_table(QUEUE)?;
                    first.open_table(RECEIVED)?;
                    first.open_table(RETAINED)?;
                }
                format.filter(|&format| format != FORMAT)
            };
            if let Some(format) = is_other {
                let message = format!("format {format}, and this version reads {FORMAT}");
                return Err(Failure::Damaged(message));
            }
            first.commit()?;
            Ok(Self(database))
        };
        guard(open)
    }

    /// Reads everything.
    pub(super) fn load(&self, clock: &Clock) -> Result<Recovered, Failure> {
        guard(|| self.read(clock))
    }

    fn read(&self, clock: &Clock) -> Result<Recovered, Failure> {
        let read = self.0.begin_read()?;
        let mut sessions = BTreeMap::new();
        for entry in read.open_table(SESSIONS)?.iter()? {
            let (number, record) = entry?;
            let number = number.value();
            let session = RecoveredSession {
                number,
                record: SessionRecord::decode(record.value(), clock)?,
                subscriptions: Vec::new(),
                queue: Vec::new(),
                received: Vec::new(),
            };
            sessions.insert(number, session);
        }
        for entry in read.open_table(SUBSCRIPTIONS)?.iter()? {
            let (key, grant) = entry?;
            let (number, filter) = key.value();
            if let Some(session) = sessions.get_mut(&number) {
                let grant = decode_grant(grant.value())?;
                session.subscriptions.push((filter.into(), grant));
            }
        }
        let mut shared = Shared::default();
        for entry in read.open_table(QUEUE)?.iter()? {
            let (key, entry) = entry?;
            let (session, number) = key.value();
            if let Some(session) = sessions.get_mut(&session) {
                let entry = shared.entry(entry.value(), clock)?;
                session.queue.push((number, entry));
            }
        }
        for entry in read.open_table(RECEIVED)?.iter()? {
            let (session, id) = entry?.0.value();
            if let Some(session) = sessions.get_mut(&session) {
                session.received.extend(PacketId::new(id));
            }
        }
        let mut retained = Vec::new();
        for entry in read.open_table(RETAINED)?.iter()? {
            retained.push(decode_retained(entry?.1.value(), clock)?);
        }
        Ok(Recovered {
            sessions: sessions.into_values().collect(),
            retained,
        })
    }

    /// Writes all of `batch` or nothing of it; it is on disk when this returns.
    pub(super) fn commit(
        &self,
        batch: &Batch,
        retained: impl Fn(&str) -> Option<Kept>,
        clock: &Clock,
    ) -> Result<(), Failure> {
        guard(|| {
            let write = self.0.begin_write()?;
            put_sessions(&write, batch, clock)?;
            put_messages(&write, batch, clock)?;
            if !batch.retained.is_empty() {
                let mut table = write.open_table(RETAINED)?;
                for topic in &batch.retained {
                    match retained(topic) {
                        Some(kept) => {
                            let bytes = encode_retained(&kept, clock);
                            table.insert(&**topic, bytes.as_slice())?;
                        }
                        None => drop(table.remove(&**topic)?),
                    }
                }
            }
            write.commit()?;
            Ok(())
        })
    }
}

fn put_sessions(write: &WriteTransaction, batch: &Batch, clock: &Clock) -> Result<(), Failure> {
    if !batch.sessions.is_empty() {
        let mut table = write.open_table(SESSIONS)?;
        for (&number, fate) in &batch.sessions {
            match &fate.value {
                Some(record) => {
                    table.insert(number, record.encode(clock).as_slice())?;
                }
                None => {
                    table.remove(number)?;
                    let next = number + 1;
                    let mut subscriptions = write.open_table(SUBSCRIPTIONS)?;
                    subscriptions.retain_in((number, "")..(next, ""), |_, _| false)?;
                    let mut queue = write.open_table(QUEUE)?;
                    queue.retain_in((number, 0)..(next, 0), |_, _| false)?;
                    let mut received = write.open_table(RECEIVED)?;
                    received.retain_in((number, 0)..(next, 0), |_, ()| false)?;
                }
            }
        }
    }
    if !batch.subscriptions.is_empty() {
        let mut table = write.open_table(SUBSCRIPTIONS)?;
        for ((number, filter), fate) in &batch.subscriptions {
            let key = (*number, &**filter);
            match fate.value {
                Some(grant) => drop(table.insert(key, encode_grant(grant))?),
                None => drop(table.remove(key)?),
            }
        }
    }
    Ok(())
}

fn put_messages(write: &WriteTransaction, batch: &Batch, clock: &Clock) -> Result<(), Failure> {
    if !batch.queue.is_empty() {
        let mut table = write.open_table(QUEUE)?;
        for (key, fate) in &batch.queue {
            let entry = match &fate.value {
                Some(Queued::Whole(entry)) => Some(entry),
                Some(Queued::Released) => None,
                None => {
                    table.remove(key)?;
                    continue;
                }
            };
            table.insert(key, encode_entry(entry, clock).as_slice())?;
        }
    }
    if !batch.received.is_empty() {
        let mut table = write.open_table(RECEIVED)?;
        for ((session, id), fate) in &batch.received {
            let key = (*session, id.get());
            match fate.value {
                Some(()) => drop(table.insert(key, ())?),
                None => drop(table.remove(key)?),
            }
        }
    }
    Ok(())
}

/// Messages that many sessions wait for are one in memory, though each has its own on disk.
#[derive(Default)]
struct Shared(HashMap<Vec<u8>, Entry>);

impl Shared {
    fn entry(&mut self, bytes: &[u8], clock: &Clock) -> Result<Option<Entry>, Malformed> {
        if let Some(known) = self.0.get(bytes) {
            return Ok(Some(known.clone()));
        }
        let entry = decode_entry(bytes, clock)?;
        if let Some(entry) = &entry {
            self.0.insert(bytes.into(), entry.clone());
        }
        Ok(entry)
    }
}

/// A file that is damaged in a way that nobody thought of may make the library panic. That must
/// not take the broker with it.
fn guard<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure::Damaged("it cannot be made sense of".into())))
}

/// Puts a damaged file out of the way, beside its place, and returns where it is now. Of those
/// the newest few are kept.
pub(super) fn set_aside(path: &Path, clock: &Clock) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.damaged-");
    let aside = path.with_file_name(format!("{prefix}{}", clock.millis()));
    fs::rename(path, &aside)?;
    let Some(folder) = path.parent() else {
        return Ok(aside);
    };
    let is_old = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    let mut old: Vec<_> = fs::read_dir(folder)?
        .flatten()
        .filter(is_old)
        .map(|entry| entry.path())
        .collect();
    old.sort();
    for path in old.iter().rev().skip(ASIDE_MAX) {
        fs::remove_file(path)?;
    }
    Ok(aside)
}
