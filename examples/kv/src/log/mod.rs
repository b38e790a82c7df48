//! The log: what connections and the one goroutine that writes it have in common.
//!
//! ```text
//!   connections                                  the writer (writer.rs)
//!   append: under their shards' locks            take all that is pending
//!   append                                       write it as one batch; with `always`: fdatasync, announced to the scheduler
//!   settle: park ─────────┐                      tell how far it has come
//!   settle: park ─────────┴──────── wake ◄───────┘ again
//! ```
//! Whoever comes while the disk is busy is in the next batch: with `always` a hundred connections cost one fdatasync,
//! not a hundred, and none is answered before it.
//!
//! Changes are counted in bytes, since the start of the process. `appended` is how many there were, `settled` how many
//! are as safe as the policy promises: on disk (`always`), or handed to the system. `settle` waits for what was appended
//! when it was called, not for its own changes alone: a reply must not tell of somebody else's change that a crash would
//! take back. Without `always` it waits only where the disk has fallen far behind.
//!
//! ## A disk that refuses
//! The writer keeps the batch, cuts off what was written of it, and tries again until it succeeds; meanwhile `broken` is set.
//! Those who wait get an error, and so does every further change, before anything is changed. What was refused while it waited
//! has been done in memory, and will be in the log as soon as there is room: "not known to be safe", not "undone".
//! Reading goes on.

mod file;
mod rewrite;
mod writer;

use crate::config::{Config, Fsync};
use crate::server::Server;
use crate::store::Delta;
use gosched::sync::{Condvar, Mutex};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Without `always`: how many bytes may wait for the disk.
const SLACK: u64 = 64 << 20;

pub struct Log {
    state: Mutex<State>,
    /// There is something for the writer.
    work: Condvar,
    /// `settled` has moved, or the disk refuses.
    done: Condvar,
    /// Copies of what is in the state, to be looked at without the lock. A copy is never ahead of it.
    appended: AtomicU64,
    settled: AtomicU64,
    broken: AtomicBool,
    fsync: Fsync,
}

struct State {
    /// A batch with room for its header, and nothing else where nothing is pending.
    pending: Vec<u8>,
    /// The same for the new file, while the log is being rewritten.
    next: Option<Vec<u8>>,
    appended: u64,
    settled: u64,
    /// Why the disk refuses.
    broken: Option<String>,
    /// The writer waits for `work`.
    sleeping: bool,
    rewrite_wanted: bool,
    closing: bool,
    closed: bool,
    status: Status,
}

/// Numbers for INFO.
#[derive(Clone, Copy, Default)]
pub struct Status {
    pub size: u64,
    /// What it was after it was written anew, or at the start.
    pub base: u64,
    pub rewriting: bool,
    pub rewrites: u64,
    pub fsyncs: u64,
}

impl Log {
    fn new(fsync: Fsync) -> Log {
        Log {
            state: Mutex::new(State {
                pending: file::empty_batch(),
                next: None,
                appended: 0,
                settled: 0,
                broken: None,
                sleeping: false,
                rewrite_wanted: false,
                closing: false,
                closed: false,
                status: Status::default(),
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            appended: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            fsync,
        }
    }

    /// Takes what is in `delta`. Called with the shards' locks.
    pub fn append(&self, delta: &mut Delta) {
        let mut state = self.state.lock();
        state.pending.extend_from_slice(&delta.all);
        if let Some(next) = &mut state.next {
            next.extend_from_slice(&delta.moved);
        }
        state.appended += delta.all.len() as u64;
        // Release: who sees what was changed, through the shard's lock, sees this.
        self.appended.store(state.appended, Ordering::Release);
        let wake = std::mem::take(&mut state.sleeping);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        for buf in [&mut delta.all, &mut delta.moved] {
            buf.clear();
            buf.shrink_to(64 << 10);
        }
        delta.wrote = true;
    }

    /// Parks until all that was appended before is safe. The error is for the client.
    pub fn settle(&self) -> Result<(), String> {
        let slack = if self.fsync == Fsync::Always { 0 } else { SLACK };
        let target = self.appended.load(Ordering::Acquire).saturating_sub(slack);
        if self.settled.load(Ordering::Acquire) >= target {
            return Ok(());
        }
        let mut state = self.state.lock();
        loop {
            if state.settled >= target {
                return Ok(());
            }
            if let Some(e) = &state.broken {
                return Err(refusal(e));
            }
            if state.closed {
                return Err(refusal("the server has stopped"));
            }
            state = self.done.wait(state);
        }
    }

    /// An error for the client where changes cannot be kept at present.
    pub fn check(&self) -> Result<(), String> {
        if !self.broken.load(Ordering::Relaxed) {
            return Ok(());
        }
        match &self.state.lock().broken {
            Some(e) => Err(refusal(e)),
            None => Ok(()),
        }
    }

    pub fn want_rewrite(&self) {
        self.state.lock().rewrite_wanted = true;
        self.work.notify_one();
    }

    pub fn status(&self) -> Status {
        self.state.lock().status
    }

    /// Ends the writer, once all is on disk, whatever the policy is. An error: not all is.
    pub fn close(&self) -> Result<(), String> {
        let mut state = self.state.lock();
        state.closing = true;
        self.work.notify_all();
        let state = self.done.wait_while(state, |s| !s.closed);
        match &state.broken {
            Some(e) => Err(e.clone()),
            None => Ok(()),
        }
    }
}

fn refusal(e: &str) -> String {
    format!("MISCONF Changes cannot be written to the log at present: {e}")
}

/// Opens the log, brings `server` to where it ends, and starts the writer. The error is for the user.
pub fn start(server: &Arc<Server>, path: &Path, config: &Config) -> Result<(), String> {
    let (file, len) = file::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let len =
        file::replay(server, &file, len, config.repair).map_err(|e| format!("{}: {e}", path.display()))?;
    rewrite::clean_up(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let log = Arc::new(Log::new(config.fsync));
    let writer = writer::Writer::new(server.clone(), log.clone(), file, path, len);
    if server.log.set(log).is_err() {
        unreachable!("started once");
    }
    gosched::go!({ writer.run() });
    Ok(())
}
