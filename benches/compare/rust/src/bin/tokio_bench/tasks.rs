//! Tasks without channels.

use gosched_compare::harness::{Bench, Usage};
use gosched_compare::naps::Naps;
use gosched_compare::{Parked, look, report_idle, report_timers, table};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Notify, RwLock, Semaphore};

/// Tasks that end at once, a thousand at a time, each with its handle.
pub async fn spawn(batches: u64) -> Duration {
    let began = Instant::now();
    let mut handles = Vec::with_capacity(1000);
    for _ in 0..batches {
        handles.extend((0..1000).map(|_| tokio::spawn(async {})));
        for h in handles.drain(..) {
            h.await.expect("it does nothing");
        }
    }
    began.elapsed()
}

/// Starts `n` tasks and waits for them all.
async fn all<F: Future<Output = ()> + Send + 'static>(n: usize, task: impl Fn() -> F) {
    let handles: Vec<_> = (0..n).map(|_| tokio::spawn(task())).collect();
    for h in handles {
        h.await.expect("no panic");
    }
}

pub async fn yields(tasks: usize, times: u64) -> Duration {
    let began = Instant::now();
    all(tasks, || async move {
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    })
    .await;
    began.elapsed()
}

/// Eight tasks want one lock.
pub async fn mutex(times: u64) -> Duration {
    let counter = Arc::new(Mutex::new(0u64));
    let began = Instant::now();
    all(8, || {
        let counter = counter.clone();
        async move {
            for _ in 0..times {
                *counter.lock().await += 1;
            }
        }
    })
    .await;
    let took = began.elapsed();
    assert_eq!(*counter.lock().await, 8 * times);
    took
}

/// Eight tasks read under one lock.
pub async fn rwlock(whole: bool, times: u64) -> Duration {
    let lock = Arc::new(RwLock::new(table()));
    let began = Instant::now();
    all(8, || {
        let lock = lock.clone();
        async move {
            for _ in 0..times {
                look(&lock.read().await, whole);
            }
        }
    })
    .await;
    began.elapsed()
}

/// So many are awaited.
struct Countdown(AtomicU64, Notify);

impl Countdown {
    fn new(n: u64) -> Countdown {
        Countdown(AtomicU64::new(n), Notify::new())
    }

    fn done(&self) {
        if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.1.notify_one();
        }
    }
}

/// Very many tasks that wait. A channel of tokio's has one receiver; a semaphore without permits can be closed as well.
pub async fn parked(n: u64) -> Parked {
    struct Crowd {
        ready: Countdown,
        done: Countdown,
        gate: Semaphore,
    }
    let crowd =
        Arc::new(Crowd { ready: Countdown::new(n), done: Countdown::new(n), gate: Semaphore::new(0) });
    let mut parked = Parked::begin(n);
    for _ in 0..n {
        let crowd = crowd.clone();
        tokio::spawn(async move {
            crowd.ready.done();
            assert!(crowd.gate.acquire().await.is_err());
            crowd.done.done();
        });
    }
    crowd.ready.1.notified().await;
    parked.all_started();
    crowd.gate.close();
    crowd.done.1.notified().await;
    parked
}

/// Very many tasks that sleep again and again.
pub fn timers(b: &Bench, rt: &Runtime, n: u64) {
    let (usage, began) = (Usage::now(), Instant::now());
    super::on(rt, async move {
        let left = Arc::new(Countdown::new(n));
        for task in 0..n {
            let left = left.clone();
            tokio::spawn(async move {
                for nap in Naps::of(task) {
                    tokio::time::sleep(nap).await;
                }
                left.done();
            });
        }
        left.1.notified().await;
    });
    report_timers(b, n, began.elapsed(), Usage::now().since(usage).cpu);
}

/// A server nobody calls and tasks that nobody wakes.
pub fn idle(b: &Bench, rt: &Runtime, n: u64) {
    let used = super::on(rt, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        tokio::spawn(async move { listener.accept().await });
        let gate = Arc::new(Semaphore::new(0));
        for _ in 0..n {
            let gate = gate.clone();
            tokio::spawn(async move { gate.acquire().await.is_err() });
        }
        tokio::time::sleep(Duration::from_millis(1500)).await; // until the start is over
        let usage = Usage::now();
        tokio::time::sleep(Duration::from_secs(5)).await;
        Usage::now().since(usage)
    });
    report_idle(b, used);
}
