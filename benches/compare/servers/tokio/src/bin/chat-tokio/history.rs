//! What was said, on disk: one task, which commits for all rooms what has come during the commit before. The database is
//! called in `spawn_blocking`.

use redb::{Database, ReadableDatabase, TableDefinition, TableError};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

const MESSAGES: TableDefinition<'_, (&str, u64), &str> = TableDefinition::new("messages");
/// What redb keeps in memory, in bytes.
const CACHE: usize = 4 << 20;
/// What the channel holds, and what goes into one commit at the most.
const BATCH: usize = 1024;

/// A message that is to be kept.
pub struct Kept {
    pub room: Arc<str>,
    pub id: u64,
    pub json: String,
    /// What is older is to be forgotten.
    pub oldest: u64,
}

type Failure = Box<dyn Error + Send + Sync>;
/// The messages of a room, in order, with their ids.
type Loaded = Result<Vec<(u64, String)>, Failure>;

enum Request {
    Keep(Kept),
    Load(Arc<str>, oneshot::Sender<Loaded>),
}

pub struct History {
    requests: mpsc::Sender<Request>,
}

impl History {
    /// Opens the database, and starts the task; that ends when the history has been dropped and all is written.
    pub async fn open(
        path: &Path,
        length: usize,
    ) -> Result<(History, JoinHandle<Result<(), Failure>>), Failure> {
        let at = path.to_owned();
        let database = spawn_blocking(move || Database::builder().set_cache_size(CACHE).create(at)).await?;
        let database = Arc::new(database.map_err(|e| format!("{}: {e}", path.display()))?);
        let (requests, theirs) = mpsc::channel(BATCH);
        Ok((History { requests }, tokio::spawn(work(database, length, theirs))))
    }

    /// Keeps a message.
    pub async fn keep(&self, kept: Kept) {
        let _ = self.requests.send(Request::Keep(kept)).await;
    }

    /// The last messages of a room.
    pub async fn load(&self, room: &Arc<str>) -> Loaded {
        let (answer, loaded) = oneshot::channel();
        let _ = self.requests.send(Request::Load(room.clone(), answer)).await;
        loaded.await?
    }
}

async fn work(
    database: Arc<Database>,
    length: usize,
    mut requests: mpsc::Receiver<Request>,
) -> Result<(), Failure> {
    let (mut batch, mut waiting, mut loads) = (Vec::new(), Vec::new(), Vec::new());
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        for request in batch.drain(..) {
            match request {
                Request::Keep(kept) => waiting.push(kept),
                Request::Load(room, answer) => loads.push((room, answer)),
            }
        }
        if !waiting.is_empty() {
            let database = database.clone();
            let (messages, written) = spawn_blocking(move || {
                let written = write(&database, &waiting);
                (waiting, written)
            })
            .await?;
            waiting = messages;
            match written {
                Ok(()) => waiting.clear(),
                Err(e) => {
                    eprintln!(
                        "chat: the history cannot be written: {e}; messages are delivered all the same"
                    );
                    waiting.drain(..waiting.len().saturating_sub(8 * BATCH));
                }
            }
        }
        for (room, answer) in loads.drain(..) {
            let database = database.clone();
            let _ = answer.send(spawn_blocking(move || read(&database, &room, length)).await?);
        }
    }
    match waiting.len() {
        0 => Ok(()),
        n => Err(format!("not all that was said is in the history: {n} messages are lost").into()),
    }
}

/// Writes all of it, and has it on disk, or nothing.
fn write(database: &Database, messages: &[Kept]) -> Result<(), redb::Error> {
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
}

/// The last `length` messages of a room, in order.
fn read(database: &Database, room: &str, length: usize) -> Loaded {
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
}
