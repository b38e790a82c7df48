//! What was said, on disk: one goroutine, which commits for all rooms.
//!
//! ```text
//!   room ── Keep ──┐
//!   room ── Keep ──┼─► chan ─► take all that has come ─► one commit ─► again        what comes during a commit is
//!   room ── Load ──┘                                        │                       the next one
//!                                                           └─► answer the loads
//! ```
//! A commit is a call of the database's that writes and syncs: `syscall`, so that the others have the P meanwhile. A message
//! is delivered before it is on disk; a crash loses what the last commit had not got.
//!
//! **A disk that refuses** stops nobody: what cannot be written waits, as far as there is room for it (`WAITING`), the
//! oldest is given up first, and once a second the commit is tried again. What is said about it is one line when it begins
//! and one when it ends. (While a commit hangs, rooms may say as much as the channel holds, and then they wait.)

use crate::table::Table;
use gosched::Builder;
use gosched::JoinHandle;
use gosched::chan::{Chan, RecvTimeoutError};
use gosched::sync::Mutex;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the disk is left alone after it has refused.
const RETRY: Duration = Duration::from_secs(1);
/// So many bytes may wait for a disk that refuses.
const WAITING: usize = 8 << 20;
/// What the channel holds, and what goes into one commit at the most.
const BATCH: usize = 1024;
/// The database's calls go deep.
const STACK: usize = 1 << 20;

/// A message that is to be kept.
pub struct Kept {
    pub room: Arc<str>,
    pub id: u64,
    pub json: String,
    /// What is older is to be forgotten.
    pub oldest: u64,
}

/// The messages of a room, in order, with their ids; or what the disk says.
type Loaded = Result<Vec<(u64, String)>, String>;

enum Request {
    Keep(Kept),
    Load(Arc<str>, Chan<Loaded>),
}

pub struct History {
    requests: Chan<Request>,
    worker: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

impl History {
    /// Opens the database, and starts the goroutine.
    pub fn open(path: &Path, length: usize) -> Result<History, String> {
        let requests = Chan::new(BATCH);
        let mut worker = Worker {
            table: Table::new(path),
            length,
            requests: requests.clone(),
            waiting: VecDeque::new(),
            bytes: 0,
            lost: 0,
            retry: None,
        };
        let opened = Chan::new(1);
        let answer = opened.clone();
        let builder = Builder::new().name("history".into()).stack_size(STACK);
        let started = builder.spawn(move || {
            let open = gosched::syscall(|| worker.table.open());
            let failed = open.is_err();
            answer.send(open);
            if failed { Ok(()) } else { worker.run() }
        });
        let worker = Mutex::new(Some(started.map_err(|e| e.to_string())?));
        match opened.recv() {
            Some(Ok(())) => Ok(History { requests, worker }),
            Some(Err(e)) => Err(format!("{}: {e}", path.display())),
            None => Err(format!("{}: the history has failed", path.display())),
        }
    }

    /// Keeps a message.
    pub fn keep(&self, room: &Arc<str>, id: u64, json: String, oldest: u64) {
        // Refused only where the goroutine has panicked, and said so; the room goes on.
        let _ = self.requests.send_checked(Request::Keep(Kept { room: room.clone(), id, json, oldest }));
    }

    /// The last messages of a room, those included that wait still.
    pub fn load(&self, room: &Arc<str>) -> Loaded {
        let answer = Chan::new(1);
        let gone = || Err("the history has failed".to_string());
        if self.requests.send_checked(Request::Load(room.clone(), answer.clone())).is_err() {
            return gone();
        }
        answer.recv().unwrap_or_else(gone)
    }

    /// Writes what waits, for the last time. Nobody may say anything after this.
    pub fn close(&self) -> Result<(), String> {
        self.requests.close();
        match self.worker.lock().take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(_)) => Err("the history has failed".into()),
            None => Ok(()),
        }
    }
}

struct Worker {
    table: Table,
    length: usize,
    requests: Chan<Request>,
    /// What is not written.
    waiting: VecDeque<Kept>,
    bytes: usize,
    /// How many were given up since the disk has refused.
    lost: u64,
    /// When it is to be tried again, while the disk refuses.
    retry: Option<Instant>,
}

impl Worker {
    fn run(mut self) -> Result<(), String> {
        let mut loads = Vec::new();
        loop {
            let next = match self.retry {
                None => self.requests.recv(),
                Some(at) => match self.requests.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(request) => Some(request),
                    Err(RecvTimeoutError::Closed) => None,
                    Err(RecvTimeoutError::Timeout) => {
                        self.commit();
                        continue;
                    }
                },
            };
            let closing = next.is_none();
            let more = self.requests.clone();
            for request in next.into_iter().chain(more.try_iter().take(BATCH)) {
                match request {
                    Request::Keep(kept) => self.put(kept),
                    Request::Load(room, answer) => loads.push((room, answer)),
                }
            }
            if !self.waiting.is_empty() && (closing || self.retry.is_none_or(|at| at <= Instant::now())) {
                self.commit();
            }
            for (room, answer) in loads.drain(..) {
                answer.send(self.load(&room));
            }
            if closing {
                let n = self.waiting.len() as u64 + self.lost;
                let table = &mut self.table;
                gosched::syscall(|| table.close());
                return if n == 0 { Ok(()) } else { Err(format!("{n} messages are lost")) };
            }
        }
    }

    fn put(&mut self, kept: Kept) {
        self.bytes += kept.json.len();
        self.waiting.push_back(kept);
        while self.bytes > WAITING {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.json.len();
            self.lost += 1;
        }
    }

    fn commit(&mut self) {
        let (table, waiting) = (&mut self.table, &self.waiting);
        match gosched::syscall(|| table.write(waiting)) {
            Ok(()) => {
                self.waiting.clear();
                self.bytes = 0;
                if self.retry.take().is_some() {
                    say!("the history can be written again; {} messages are not in it", self.lost);
                }
                self.lost = 0;
            }
            Err(e) => {
                if self.retry.replace(Instant::now() + RETRY).is_none() {
                    say!("the history cannot be written: {e}; messages are delivered all the same");
                }
            }
        }
    }

    fn load(&mut self, room: &str) -> Loaded {
        let (table, length) = (&mut self.table, self.length);
        let mut messages = gosched::syscall(|| table.read(room, length))?;
        let waiting = self.waiting.iter().filter(|kept| *kept.room == *room);
        messages.extend(waiting.map(|kept| (kept.id, kept.json.clone())));
        messages.drain(..messages.len().saturating_sub(length));
        Ok(messages)
    }
}

impl Drop for Worker {
    /// Where it has panicked, nobody shall wait for it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.requests.close();
        }
    }
}
