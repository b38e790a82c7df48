//! The database: one table, from a room's name and a message's id to the message. Everything here blocks the thread.
//!
//! After an error of its file a database of redb takes nothing more: it is dropped, and opened anew for the next call, which
//! brings it back to its last commit.

use crate::history::Kept;
use redb::{Database, ReadableDatabase, TableDefinition, TableError};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

const MESSAGES: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("messages");
/// What redb keeps in memory, in bytes. A room is read once, when it begins.
const CACHE: usize = 4 << 20;

pub struct Table {
    path: PathBuf,
    database: Option<Database>,
}

impl Table {
    pub fn new(path: &Path) -> Table {
        Table { path: path.into(), database: None }
    }

    /// Opens it, if it is not; the file is made, if there is none.
    pub fn open(&mut self) -> Result<(), String> {
        self.with(|_| Ok(()))
    }

    /// Writes all of it, and has it on disk, or nothing.
    pub fn write(&mut self, messages: &VecDeque<Kept>) -> Result<(), String> {
        self.with(|database| {
            let change = database.begin_write()?;
            {
                let mut table = change.open_table(MESSAGES)?;
                for Kept { room, id, json, oldest } in messages {
                    table.insert((&**room, *id), &**json)?;
                    table.retain_in((&**room, 0)..(&**room, *oldest), |_, _| false)?;
                }
            }
            change.commit()?;
            Ok(())
        })
    }

    /// The last `length` messages of a room, in order.
    pub fn read(&mut self, room: &str, length: usize) -> Result<Vec<(u64, String)>, String> {
        self.with(|database| {
            let table = match database.begin_read()?.open_table(MESSAGES) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                table => table?,
            };
            let rows = table.range((room, 0)..=(room, u64::MAX))?.rev().take(length);
            let mut messages = Vec::new();
            for row in rows {
                let (key, json) = row?;
                messages.push((key.value().1, json.value().to_owned()));
            }
            messages.reverse();
            Ok(messages)
        })
    }

    /// Closes it in order: the next start has nothing to repair.
    pub fn close(&mut self) {
        self.database = None;
    }

    fn with<T>(&mut self, call: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, String> {
        let result = match self.database.take() {
            Some(database) => Ok(database),
            None => Database::builder().set_cache_size(CACHE).create(&self.path).map_err(redb::Error::from),
        };
        let database = result.map_err(|e| e.to_string())?;
        let result = call(&database).map_err(|e| e.to_string())?;
        self.database = Some(database);
        Ok(result)
    }
}
