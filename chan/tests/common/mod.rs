//! What the tests share. A test here runs on plain threads; `run` and `spawn` are the places to put goroutines in.
#![allow(dead_code)]

use gosched_chan::Chan;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A wait that ends by a test's failure, not by the harness' patience.
pub const LONG: Duration = Duration::from_secs(20);

/// Runs `f` aside and fails the test where it has not ended in time: what would otherwise hang names itself.
#[track_caller]
pub fn in_time<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    let t = thread::spawn(move || {
        let r = f();
        let _ = tx.send(());
        r
    });
    match rx.recv_timeout(LONG * 3) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a waiter was not woken"),
        _ => t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)),
    }
}

/// Waits until `cond` holds; fails the test where it does not come to.
#[track_caller]
pub fn eventually(what: &str, mut cond: impl FnMut() -> bool) {
    let start = Instant::now();
    while !cond() {
        assert!(start.elapsed() < LONG, "never came: {what}");
        thread::yield_now();
    }
}

/// Time for others to get ahead. Tests that use it are right without, only weaker.
pub fn settle() {
    thread::sleep(Duration::from_millis(3));
}

/// Waits until so many senders and receivers wait on `c`.
#[track_caller]
pub fn until_waiting<T>(c: &Chan<T>, senders: usize, receivers: usize) {
    eventually("waiters", || c.__waiting() == (senders, receivers));
}

/// What a panic said.
pub fn message(r: thread::Result<impl Sized>) -> String {
    let e = r.err().expect("no panic");
    match e.downcast_ref::<&str>() {
        Some(s) => s.to_string(),
        None => e.downcast_ref::<String>().expect("a panic with words").clone(),
    }
}

/// Counts values: how many were made, how many dropped, and that none is dropped twice.
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
    pub fn dropped(&self) -> usize {
        self.0.1.load(SeqCst)
    }
    pub fn alive(&self) -> usize {
        self.made() - self.dropped()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(std::mem::replace(&mut self.alive, false), "dropped twice");
        self.census.0.1.fetch_add(1, SeqCst);
    }
}
