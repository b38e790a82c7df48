//! What all connections share.

use crate::config::Config;
use crate::log::Log;
use crate::pubsub::Broker;
use crate::store::Store;
use gosched::net::TcpStream;
use gosched::sync::{Mutex, WaitGroup};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub struct Server {
    pub config: Config,
    pub store: Store,
    /// There once the log has been replayed, if there is one.
    pub log: OnceLock<Arc<Log>>,
    pub broker: Broker,
    pub stats: Stats,
    pub started: Instant,
    pub addr: OnceLock<SocketAddr>,
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
    /// The connections' goroutines.
    pub connections: WaitGroup,
    stopping: AtomicBool,
}

/// Counters for INFO.
#[derive(Default)]
pub struct Stats {
    commands: AtomicU64,
    expired: AtomicU64,
    connections: AtomicU64,
    rejected: AtomicU64,
    cut_off: AtomicU64,
}

impl Stats {
    /// Once a batch: a counter that every command wrote would be the one thing that all Ps want.
    pub fn commands(&self, n: u64) {
        self.commands.fetch_add(n, Relaxed);
    }
    pub fn expired(&self) {
        self.expired.fetch_add(1, Relaxed);
    }
    pub fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }
    pub fn cut_off(&self) {
        self.cut_off.fetch_add(1, Relaxed);
    }

    /// Names and values, for INFO.
    pub fn values(&self) -> [(&'static str, u64); 5] {
        [
            ("total_connections_received", self.connections.load(Relaxed)),
            ("total_commands_processed", self.commands.load(Relaxed)),
            ("rejected_connections", self.rejected.load(Relaxed)),
            ("expired_keys", self.expired.load(Relaxed)),
            ("subscribers_cut_off", self.cut_off.load(Relaxed)),
        ]
    }
}

impl Server {
    pub fn new(config: Config) -> Server {
        Server {
            config,
            store: Store::new(),
            log: OnceLock::new(),
            broker: Broker::default(),
            stats: Stats::default(),
            started: Instant::now(),
            addr: OnceLock::new(),
            open: Mutex::new(HashMap::new()),
            connections: WaitGroup::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Enters a connection, with a number of its own, unless there are too many.
    pub fn enter(&self, stream: &Arc<TcpStream>) -> Option<u64> {
        let mut open = self.open.lock();
        if open.len() >= self.config.max_clients {
            self.stats.rejected();
            return None;
        }
        let id = self.stats.connections.fetch_add(1, Relaxed) + 1;
        open.insert(id, stream.clone());
        Some(id)
    }

    pub fn leave(&self, id: u64) {
        self.open.lock().remove(&id);
    }

    pub fn clients(&self) -> usize {
        self.open.lock().len()
    }

    pub fn stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Ends every connection once it has answered what it has read. Who does not take his answers within `grace` is not
    /// waited for.
    pub fn stop(&self, grace: Duration) {
        // First the flag: whoever enters after the loop below looks at it before he reads.
        self.stopping.store(true, SeqCst);
        for stream in self.open.lock().values() {
            let _ = stream.set_read_deadline(Some(Instant::now()));
            let _ = stream.set_write_deadline(Some(Instant::now() + grace));
        }
        self.connections.wait();
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_millis() as u64)
}
