//! What all goroutines share.

use crate::config::Config;
use crate::door::Asked;
use crate::history::History;
use crate::rooms::Rooms;
use gosched::chan::Chan;
use gosched::context::Context;
use gosched::sync::WaitGroup;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub struct Server {
    pub config: Config,
    /// Done when the server ends.
    pub ctx: Context,
    pub rooms: Rooms,
    pub history: History,
    /// To the doormen.
    pub asked: Chan<Asked>,
    /// The goroutines of connections, of rooms, and of outboxes.
    pub tasks: WaitGroup,
    open: AtomicUsize,
    /// Numbers for members.
    last: AtomicU64,
    started: Instant,
}

/// A connection that counts, until this is dropped.
pub struct Entered(pub Arc<Server>);

impl Server {
    pub fn new(config: Config, ctx: Context, history: History) -> Server {
        let (rooms, asked, tasks) = (Rooms::default(), Chan::new(0), WaitGroup::new());
        let (open, last, started) = (AtomicUsize::new(0), AtomicU64::new(0), Instant::now());
        Server { config, ctx, rooms, history, asked, tasks, open, last, started }
    }

    /// Counts a connection, unless there are too many.
    pub fn enter(self: &Arc<Server>) -> Option<Entered> {
        // One goroutine accepts, so nobody else comes between.
        if self.open.load(Relaxed) >= self.config.connections {
            return None;
        }
        self.open.fetch_add(1, Relaxed);
        Some(Entered(self.clone()))
    }

    /// A number that no other member of this process has.
    pub fn number(&self) -> u64 {
        self.last.fetch_add(1, Relaxed)
    }

    /// The time since the start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
