//! redb: one file, copy-on-write B-trees, one fsync a commit.

use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition};

use crate::store::{CACHE_BYTES, Failure, Op, Space, Store, Visit};

const fn table(space: Space) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(space.name())
}

pub struct Redb(Database);

impl Redb {
    pub fn open(dir: &Path, check: bool) -> Result<Self, Failure> {
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(check)
            .create(dir.join("store.redb"))?;
        let first = db.begin_write()?;
        for space in Space::ALL {
            first.open_table(table(space))?;
        }
        first.commit()?;
        Ok(Self(db))
    }
}

impl Store for Redb {
    fn commit(&mut self, batch: Vec<Op>) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        for space in Space::ALL {
            let mut ops = batch
                .iter()
                .filter(|op| op.space as u8 == space as u8)
                .peekable();
            if ops.peek().is_none() {
                continue;
            }
            let mut table = transaction.open_table(table(space))?;
            for op in ops {
                match &op.value {
                    Some(value) => table.insert(op.key.as_slice(), value.as_slice())?,
                    None => table.remove(op.key.as_slice())?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn scan(&self, space: Space, from: &[u8], visit: Visit<'_>) -> Result<(), Failure> {
        let table = self.0.begin_read()?.open_table(table(space))?;
        for entry in table.range(from..)? {
            let (key, value) = entry?;
            visit(key.value(), value.value())?;
        }
        Ok(())
    }
}
