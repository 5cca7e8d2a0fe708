//! What the broker asks of a store, and which engines are asked.

use std::error::Error;
use std::path::Path;

use crate::{engine_fjall, engine_redb, engine_sqlite};

pub type Failure = Box<dyn Error + Send + Sync>;

/// What every engine may keep of the file in memory, in bytes: little, since the target is a board with 1 GB.
pub const CACHE_BYTES: usize = 8 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub enum Space {
    /// Session and sequence number to body identifier and flags
    Queue,
    /// Body identifier to topic and payload
    Bodies,
    /// Session and packet identifier of a QoS 2 PUBLISH that was received and not yet released
    Qos2,
    /// Topic to value
    Retained,
}

impl Space {
    pub const ALL: [Self; 4] = [Self::Queue, Self::Bodies, Self::Qos2, Self::Retained];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Bodies => "bodies",
            Self::Qos2 => "qos2",
            Self::Retained => "retained",
        }
    }
}

/// A put, or, without a value, a delete.
pub struct Op {
    pub space: Space,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<(), Failure>;

pub trait Store {
    /// All of the batch or nothing of it, and on disk when this returns.
    fn commit(&mut self, batch: Vec<Op>) -> Result<(), Failure>;

    /// Shows every entry of the space whose key is at least `from`, in the order of the keys.
    fn scan(&self, space: Space, from: &[u8], visit: Visit<'_>) -> Result<(), Failure>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Redb,
    Fjall,
    Sqlite,
}

impl Engine {
    pub const ALL: [Self; 3] = [Self::Redb, Self::Fjall, Self::Sqlite];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Sqlite => "sqlite",
        }
    }

    /// Whether [`Self::open`] can check the whole store.
    pub const fn has_check(self) -> bool {
        !matches!(self, Self::Fjall)
    }

    /// `check` asks for the engine's own check of the whole store, where it has one.
    pub fn open(self, dir: &Path, check: bool) -> Result<Box<dyn Store>, Failure> {
        Ok(match self {
            Self::Redb => Box::new(engine_redb::Redb::open(dir, check)?),
            Self::Fjall => Box::new(engine_fjall::Fjall::open(dir)?),
            Self::Sqlite => Box::new(engine_sqlite::Sqlite::open(dir, check)?),
        })
    }
}
