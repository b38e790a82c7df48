//! What the tests across crates share.
#![allow(dead_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test may take before it counts as hanging: `GOSCHED_TEST_PATIENCE` seconds. Generous; it decides nothing
/// else.
pub fn patience() -> Duration {
    let secs = std::env::var("GOSCHED_TEST_PATIENCE").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(secs.unwrap_or(90))
}

/// A program of this machine, or `None` with a line that says what is not tested. In CI, which installs them, a
/// missing one is an error.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("GOSCHED_CI").is_none(), "this machine has no {name}");
        println!("skipped: this machine has no {name}");
    }
    found
}

/// Runs `f` as a main goroutine and fails the test where it has not ended in time.
#[track_caller]
pub fn rt<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    rt_with(gosched::Config::new(), f)
}

/// As `rt`, with a configuration.
#[track_caller]
pub fn rt_with<T: Send + 'static>(config: gosched::Config, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    let t = thread::spawn(move || {
        // SAFETY: no goroutine of these tests holds a borrow of a thread-local, or a value tied to a thread, across a
        // call that parks.
        let r = unsafe { config.run(f) };
        let _ = tx.send(());
        r
    });
    match rx.recv_timeout(patience()) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)),
    }
}

/// Waits until `cond` holds; fails the test where it does not come to.
#[track_caller]
pub fn eventually(what: &str, mut cond: impl FnMut() -> bool) {
    let start = Instant::now();
    while !cond() {
        assert!(start.elapsed() < patience(), "never came about: {what}");
        gosched::time::sleep(Duration::from_micros(200));
    }
}

/// Time for others to have parked. Tests that use it are right without, only weaker.
pub fn settle() {
    gosched::time::sleep(Duration::from_millis(2));
}

/// A loopback address with port 0 that no other process' test has, nor the last 250 callers in this one: a port that was
/// freed stays free, and nobody else answers on it. (Linux has the whole of 127/8; elsewhere chance must do.)
pub fn loopback() -> SocketAddr {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = (CALLS.fetch_add(1, SeqCst) % 250 + 1) as u8;
    let own = Ipv4Addr::new(127, high, low, last);
    (if cfg!(target_os = "linux") { own } else { Ipv4Addr::LOCALHOST }, 0).into()
}

/// What a panic said.
#[track_caller]
pub fn message<T>(r: thread::Result<T>) -> String {
    let Err(e) = r else { panic!("no panic") };
    match e.downcast_ref::<&str>() {
        Some(s) => s.to_string(),
        None => e.downcast_ref::<String>().expect("a panic with words").clone(),
    }
}

/// xorshift: the same numbers in every run.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Counts values: how many were made and dropped, and that none is dropped twice.
#[derive(Clone, Default)]
pub struct Census(Arc<(AtomicUsize, AtomicUsize)>);

pub struct Counted {
    census: Census,
    pub id: usize,
    alive: bool,
}

impl Census {
    pub fn make(&self, id: usize) -> Counted {
        self.0.0.fetch_add(1, SeqCst);
        Counted { census: self.clone(), id, alive: true }
    }
    pub fn made(&self) -> usize {
        self.0.0.load(SeqCst)
    }
    pub fn alive(&self) -> usize {
        self.made() - self.0.1.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(std::mem::replace(&mut self.alive, false), "dropped twice");
        self.census.0.1.fetch_add(1, SeqCst);
    }
}
