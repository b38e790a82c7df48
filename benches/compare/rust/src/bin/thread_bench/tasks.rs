//! Threads without channels.

use crossbeam_channel::{Receiver, bounded};
use gosched_compare::harness::{Bench, Usage};
use gosched_compare::{Parked, look, report_idle, table};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Threads that end at once, a thousand at a time.
pub fn spawn(batches: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..batches {
        join((0..1000).map(|_| thread::spawn(|| ())).collect());
    }
    began.elapsed()
}

fn join(handles: Vec<JoinHandle<()>>) {
    for h in handles {
        h.join().expect("no panic");
    }
}

/// Starts `n` threads and waits for them all.
fn all<F: Fn() + Clone + Send + 'static>(n: usize, body: F) {
    join((0..n).map(|_| thread::spawn(body.clone())).collect());
}

pub fn yields(tasks: usize, times: u64) -> Duration {
    let began = Instant::now();
    all(tasks, move || (0..times).for_each(|_| thread::yield_now()));
    began.elapsed()
}

/// Eight threads want one lock.
pub fn mutex_std(times: u64) -> Duration {
    let counter = Arc::new(Mutex::new(0u64));
    let began = Instant::now();
    let c = counter.clone();
    all(8, move || {
        for _ in 0..times {
            *c.lock().expect("nobody panics") += 1;
        }
    });
    let took = began.elapsed();
    assert_eq!(*counter.lock().expect("nobody panics"), 8 * times);
    took
}

pub fn mutex_parking_lot(times: u64) -> Duration {
    let counter = Arc::new(parking_lot::Mutex::new(0u64));
    let began = Instant::now();
    let c = counter.clone();
    all(8, move || {
        for _ in 0..times {
            *c.lock() += 1;
        }
    });
    let took = began.elapsed();
    assert_eq!(*counter.lock(), 8 * times);
    took
}

/// Eight threads read under one lock.
pub fn rwlock_std(whole: bool, times: u64) -> Duration {
    let lock = Arc::new(RwLock::new(table()));
    let began = Instant::now();
    all(8, move || {
        for _ in 0..times {
            look(&lock.read().expect("nobody panics"), whole);
        }
    });
    began.elapsed()
}

pub fn rwlock_parking_lot(whole: bool, times: u64) -> Duration {
    let lock = Arc::new(parking_lot::RwLock::new(table()));
    let began = Instant::now();
    all(8, move || {
        for _ in 0..times {
            look(&lock.read(), whole);
        }
    });
    began.elapsed()
}

/// `n` threads that wait on one channel, until it has no sender. Each says so before.
fn wait_for(gate: &Receiver<()>, n: u64, say: impl Fn() + Clone + Send + 'static) -> Vec<JoinHandle<()>> {
    (0..n)
        .map(|_| {
            let (gate, say) = (gate.clone(), say.clone());
            thread::spawn(move || {
                say();
                assert!(gate.recv().is_err());
            })
        })
        .collect()
}

pub fn parked(b: &Bench, n: u64) {
    let (open, gate) = bounded(0);
    let (ready, all_ready) = bounded(n as usize);
    let mut parked = Parked::begin(n);
    let threads = wait_for(&gate, n, move || ready.send(()).expect("it is received"));
    assert_eq!(all_ready.iter().take(n as usize).count() as u64, n);
    parked.all_started();
    drop(open);
    join(threads);
    parked.all_woken(b);
}

/// A server nobody calls and threads that nobody wakes.
pub fn idle(b: &Bench, n: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    thread::spawn(move || drop(listener.accept()));
    let (_open, gate) = bounded(0);
    wait_for(&gate, n, || ());
    thread::sleep(Duration::from_millis(1500)); // until the start is over
    let usage = Usage::now();
    thread::sleep(Duration::from_secs(5));
    report_idle(b, Usage::now().since(usage));
}
