//! Coroutines without channels.

use gosched_compare::harness::{Bench, Usage};
use gosched_compare::naps::Naps;
use gosched_compare::{Parked, look, report_idle, report_timers, table};
use may::coroutine::{self, JoinHandle};
use may::go;
use may::net::TcpListener;
use may::sync::{Mutex, RwLock, WaitGroup, mpmc};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Coroutines that end at once, a thousand at a time, each with its handle.
pub fn spawn(batches: u64) -> Duration {
    let began = Instant::now();
    let mut handles = Vec::with_capacity(1000);
    for _ in 0..batches {
        handles.extend((0..1000).map(|_| go!(|| ())));
        for h in handles.drain(..) {
            h.join().expect("it does nothing");
        }
    }
    began.elapsed()
}

/// Starts `n` coroutines and waits for them all.
fn all<F: Fn() + Clone + Send + 'static>(n: usize, body: F) {
    let handles: Vec<JoinHandle<()>> = (0..n).map(|_| go!(body.clone())).collect();
    for h in handles {
        h.join().expect("no panic");
    }
}

pub fn yields(tasks: usize, times: u64) -> Duration {
    let began = Instant::now();
    all(tasks, move || (0..times).for_each(|_| coroutine::yield_now()));
    began.elapsed()
}

/// Eight coroutines want one lock.
pub fn mutex(times: u64) -> Duration {
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

/// Eight coroutines read under one lock.
pub fn rwlock(whole: bool, times: u64) -> Duration {
    let lock = Arc::new(RwLock::new(table()));
    let began = Instant::now();
    all(8, move || {
        for _ in 0..times {
            look(&lock.read().expect("nobody panics"), whole);
        }
    });
    began.elapsed()
}

/// Very many coroutines that wait on one channel.
pub fn parked(n: u64) -> Parked {
    let (ready, done) = (WaitGroup::new(), WaitGroup::new());
    let (open, gate) = mpmc::channel::<()>();
    let mut parked = Parked::begin(n);
    for _ in 0..n {
        let (ready, done, gate) = (ready.clone(), done.clone(), gate.clone());
        go!(move || {
            drop(ready);
            assert!(gate.recv().is_err());
            drop(done);
        });
    }
    ready.wait();
    parked.all_started();
    drop(open);
    done.wait();
    parked
}

/// Very many coroutines that sleep again and again.
pub fn timers(b: &Bench, n: u64) {
    let (usage, began) = (Usage::now(), Instant::now());
    super::on(move || {
        let done = WaitGroup::new();
        for task in 0..n {
            let done = done.clone();
            go!(move || {
                Naps::of(task).for_each(coroutine::sleep);
                drop(done);
            });
        }
        done.wait();
    });
    report_timers(b, n, began.elapsed(), Usage::now().since(usage).cpu);
}

/// A server nobody calls and coroutines that nobody wakes.
pub fn idle(b: &Bench, n: u64) {
    let used = super::on(move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        go!(move || drop(listener.accept()));
        let (open, gate) = mpmc::channel::<()>();
        for _ in 0..n {
            let gate = gate.clone();
            go!(move || gate.recv().is_err());
        }
        coroutine::sleep(Duration::from_millis(1500)); // until the start is over
        let usage = Usage::now();
        coroutine::sleep(Duration::from_secs(5));
        let used = Usage::now().since(usage);
        drop(open);
        used
    });
    report_idle(b, used);
}
