//! fjall: a journal and log-structured merge trees, one fsync of the journal a commit.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{CACHE_BYTES, Failure, Op, Space, Store, Visit};

/// The least that fjall allows; the default is 512 MiB.
const JOURNALS_BYTES: u64 = 64 * 1024 * 1024;
/// Of each key space; the default of 64 MiB is too much for a board.
const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;

pub struct Fjall {
    db: Database,
    /// In the order of [`Space::ALL`]
    spaces: Vec<Keyspace>,
}

impl Fjall {
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let db = Database::builder(dir.join("store.fjall"))
            .cache_size(CACHE_BYTES as u64)
            .max_journaling_size(JOURNALS_BYTES)
            .worker_threads(1)
            .open()?;
        let spaces = Space::ALL
            .iter()
            .map(|space| {
                db.keyspace(space.name(), || {
                    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { db, spaces })
    }
}

impl Store for Fjall {
    fn commit(&mut self, ops: Vec<Op>) -> Result<(), Failure> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for op in ops {
            let space = &self.spaces[op.space as usize];
            match op.value {
                Some(value) => batch.insert(space, op.key, value),
                None => batch.remove(space, op.key),
            }
        }
        Ok(batch.commit()?)
    }

    fn scan(&self, space: Space, from: &[u8], visit: Visit<'_>) -> Result<(), Failure> {
        for entry in self.spaces[space as usize].range(from..) {
            let (key, value) = entry.into_inner()?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}
