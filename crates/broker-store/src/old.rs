//! Reads the one file in which version 0.1 kept what outlives the process.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fieldgate_mqtt::PacketId;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::clock::Clock;
use super::load::{Recovered, RecoveredSession};
use super::ops::Malformed;
use super::record::{decode_grant, decode_message, decode_session};
use fieldgate_broker_core::budget::Pot;
use fieldgate_broker_core::journal::Entry;
use fieldgate_broker_core::router::Kept;

/// The form of the tables that is known here.
const FORMAT: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SESSIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sessions");
const SUBSCRIPTIONS: TableDefinition<'_, (u64, &str), [u8; 5]> =
    TableDefinition::new("subscriptions");
/// A session and the number of a message.
const QUEUE: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("queue");
/// A session and the identifier of a QoS 2 message from its client.
const RECEIVED: TableDefinition<'_, (u64, u16), ()> = TableDefinition::new("received");
const RETAINED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("retained");

/// Why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0}")]
    Engine(String),
    #[error("an entry that means nothing")]
    Entry,
    #[error("format {0}, which is not known")]
    Format(u64),
    #[error("it cannot be made sense of")]
    Panic,
}

impl<E: Into<redb::Error>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Engine(error.into().to_string())
    }
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self::Entry
    }
}

/// Reads everything, checked. Times in the file are those of the calendar; those of the result are the
/// store's, whose time is `now`.
pub(crate) fn read(path: &Path, now: &Clock, pot: &Arc<Pot>) -> Result<Recovered, Unreadable> {
    let read = || -> Result<Recovered, Unreadable> {
        let database = Database::builder()
            .set_check_integrity_on_open(true)
            .open(path)?;
        tables(&database, now, pot)
    };
    // A file that is damaged in a way that was not foreseen may make the library panic.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(Unreadable::Panic))
}

fn tables(database: &Database, now: &Clock, pot: &Arc<Pot>) -> Result<Recovered, Unreadable> {
    let calendar = Clock::calendar();
    let read = database.begin_read()?;
    let format = read.open_table(META)?.get("format")?;
    let format = format.map_or(0, |format| format.value());
    if format != FORMAT {
        return Err(Unreadable::Format(format));
    }
    let mut sessions = BTreeMap::new();
    for entry in read.open_table(SESSIONS)?.iter()? {
        let (number, record) = entry?;
        let number = number.value();
        let mut record = decode_session(record.value(), &calendar, pot)?;
        record.away_since = record.away_since.map(|since| {
            let passed = calendar.millis().saturating_sub(since);
            now.millis().saturating_sub(passed).max(1)
        });
        let session = RecoveredSession {
            number,
            record,
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
    for entry in read.open_table(QUEUE)?.iter()? {
        let (key, bytes) = entry?;
        let (session, number) = key.value();
        if let Some(session) = sessions.get_mut(&session) {
            let entry = queued(bytes.value(), &calendar, pot)?;
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
        retained.push(kept(entry?.1.value(), &calendar, pot)?);
    }
    Ok(Recovered {
        sessions: sessions.into_values().collect(),
        retained,
    })
}

/// `None` is a message that was released.
fn queued(bytes: &[u8], calendar: &Clock, pot: &Arc<Pot>) -> Result<Option<Entry>, Malformed> {
    match bytes.split_first() {
        Some((0, [])) => Ok(None),
        Some((1, bytes)) => {
            let (message, ids) = decode_message(bytes, calendar, pot)?;
            Ok(Some(Entry {
                qos: message.qos(),
                retain: message.retain(),
                message,
                ids,
            }))
        }
        _ => Err(Malformed),
    }
}

/// A retained message behind the name of its publisher.
fn kept(bytes: &[u8], calendar: &Clock, pot: &Arc<Pot>) -> Result<Kept, Malformed> {
    let (len, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Malformed)?;
    let (publisher, message) = rest.split_at_checked(len).ok_or(Malformed)?;
    let publisher = std::str::from_utf8(publisher).map_err(|_| Malformed)?;
    Ok(Kept {
        publisher: Arc::new(publisher.into()),
        message: decode_message(message, calendar, pot)?.0,
    })
}
