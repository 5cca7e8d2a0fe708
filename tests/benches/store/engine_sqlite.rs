//! SQLite: one file and its write-ahead log, one fsync of the log a commit, more when the log goes into the file.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::store::{CACHE_BYTES, Failure, Op, Space, Store, Visit};

/// To what the log is cut after a checkpoint, in bytes; a checkpoint comes every 1,000 pages of 4 KiB.
const LOG_BYTES: usize = 4 * 1024 * 1024;

pub struct Sqlite(Connection);

impl Sqlite {
    pub fn open(dir: &Path, check: bool) -> Result<Self, Failure> {
        let db = Connection::open(dir.join("store.sqlite"))?;
        // No other process opens the file, so that the index of the log needs no shared memory.
        db.execute_batch(&format!(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA cache_size = -{}; PRAGMA journal_size_limit = {LOG_BYTES};",
            CACHE_BYTES / 1024
        ))?;
        if check {
            let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            if said != "ok" {
                return Err(said.into());
            }
        }
        for space in Space::ALL {
            db.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {} (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
                space.name()
            ))?;
        }
        Ok(Self(db))
    }
}

impl Store for Sqlite {
    fn commit(&mut self, batch: Vec<Op>) -> Result<(), Failure> {
        let transaction = self.0.transaction()?;
        for op in &batch {
            let space = op.space.name();
            match &op.value {
                Some(value) => transaction
                    .prepare_cached(&format!("INSERT OR REPLACE INTO {space} VALUES (?1, ?2)"))?
                    .execute(params![op.key, value])?,
                None => transaction
                    .prepare_cached(&format!("DELETE FROM {space} WHERE k = ?1"))?
                    .execute(params![op.key])?,
            };
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, space: Space, from: &[u8], visit: Visit<'_>) -> Result<(), Failure> {
        let mut statement = self.0.prepare(&format!(
            "SELECT k, v FROM {} WHERE k >= ?1 ORDER BY k",
            space.name()
        ))?;
        let mut rows = statement.query(params![from])?;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?)?;
        }
        Ok(())
    }
}
