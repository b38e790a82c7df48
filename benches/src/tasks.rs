//! Goroutines without channels: starting, yielding, parking, sleeping, locking.

use crate::harness::{Bench, Usage, millis, peak_resident};
use crate::naps::{self, Naps};
use gosched::chan::Chan;
use gosched::net::TcpListener;
use gosched::sync::{Mutex, RwLock, WaitGroup};
use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Starts `tasks` goroutines that run `body`, and waits for them all.
fn all<F: Fn() + Send + Sync + 'static>(tasks: usize, body: F) {
    let shared = Arc::new((WaitGroup::new(), body));
    shared.0.add(tasks as isize);
    for _ in 0..tasks {
        let shared = shared.clone();
        gosched::go(move || {
            (shared.1)();
            shared.0.done();
        });
    }
    shared.0.wait();
}

/// Goroutines that end at once, a thousand at a time.
pub fn spawn(batches: u64) -> Duration {
    let began = Instant::now();
    let wg = WaitGroup::new();
    for _ in 0..batches {
        wg.add(1000);
        for _ in 0..1000 {
            let wg = wg.clone();
            gosched::go(move || wg.done());
        }
        wg.wait();
    }
    began.elapsed()
}

/// The same with nothing to count references of: closer to what Go does, which has a collector for that.
pub fn spawn_static(batches: u64) -> Duration {
    static WG: LazyLock<WaitGroup> = LazyLock::new(WaitGroup::new);
    let wg: &'static WaitGroup = &WG;
    let began = Instant::now();
    for _ in 0..batches {
        wg.add(1000);
        for _ in 0..1000 {
            gosched::go(move || wg.done());
        }
        wg.wait();
    }
    began.elapsed()
}

/// The same with `std::thread`'s interface.
pub fn spawn_join(batches: u64) -> Duration {
    let began = Instant::now();
    let mut handles = Vec::with_capacity(1000);
    for _ in 0..batches {
        handles.extend((0..1000).map(|_| gosched::spawn(|| ())));
        for h in handles.drain(..) {
            h.join().expect("it does nothing");
        }
    }
    began.elapsed()
}

pub fn yields(tasks: usize, times: u64) -> Duration {
    let began = Instant::now();
    all(tasks, move || {
        for _ in 0..times {
            gosched::yield_now();
        }
    });
    began.elapsed()
}

/// Eight goroutines want one lock.
pub fn mutex(times: u64) -> Duration {
    let counter = Arc::new(Mutex::new(0u64));
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

/// The same with std's lock, which holds up the thread.
pub fn mutex_std(times: u64) -> Duration {
    let counter = Arc::new(std::sync::Mutex::new(0u64));
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

/// A lock that nobody else wants.
pub fn mutex_solo(times: u64) -> Duration {
    let counter = black_box(Mutex::new(0u64));
    let began = Instant::now();
    for _ in 0..times {
        *black_box(&counter).lock() += 1;
    }
    let took = began.elapsed();
    assert_eq!(counter.into_inner(), times);
    took
}

pub fn mutex_solo_std(times: u64) -> Duration {
    let counter = black_box(std::sync::Mutex::new(0u64));
    let began = Instant::now();
    for _ in 0..times {
        *black_box(&counter).lock().expect("nobody panics") += 1;
    }
    let took = began.elapsed();
    assert_eq!(counter.into_inner().expect("nobody panics"), times);
    took
}

/// Eight goroutines read under one lock: nothing but a number, or a table of 1,000 numbers (about a quarter of a
/// microsecond).
pub fn rwlock(table: bool, times: u64) -> Duration {
    let lock = Arc::new(RwLock::new((0..1000).collect::<Vec<u64>>()));
    let began = Instant::now();
    all(8, move || {
        for _ in 0..times {
            let numbers = lock.read();
            let sum: u64 = if table { black_box(&*numbers).iter().sum() } else { numbers[7] };
            black_box(sum);
        }
    });
    began.elapsed()
}

/// The same with std's lock.
pub fn rwlock_std(table: bool, times: u64) -> Duration {
    let lock = Arc::new(std::sync::RwLock::new((0..1000).collect::<Vec<u64>>()));
    let began = Instant::now();
    all(8, move || {
        for _ in 0..times {
            let numbers = lock.read().expect("nobody panics");
            let sum: u64 = if table { black_box(&*numbers).iter().sum() } else { numbers[7] };
            black_box(sum);
        }
    });
    began.elapsed()
}

/// Very many goroutines that wait on one channel: what each takes of memory, to start, and to wake by a close.
pub fn parked(b: &Bench) {
    struct Crowd {
        ready: WaitGroup,
        done: WaitGroup,
        gate: Chan<()>,
    }
    let n = b.options.n.unwrap_or(1_000_000);
    let crowd = Arc::new(Crowd { ready: WaitGroup::new(), done: WaitGroup::new(), gate: Chan::new(0) });
    crowd.ready.add(n as isize);
    crowd.done.add(n as isize);

    let (empty, began) = (peak_resident(), Instant::now());
    for _ in 0..n {
        let crowd = crowd.clone();
        gosched::go(move || {
            crowd.ready.done();
            crowd.gate.recv();
            crowd.done.done();
        });
    }
    crowd.ready.wait();
    let (started, full) = (began.elapsed(), peak_resident());

    let began = Instant::now();
    crowd.gate.close();
    crowd.done.wait();
    let woken = began.elapsed();

    let each = |total: f64| total / n as f64;
    b.report("n", "", n as f64, "tasks");
    b.report("rss", "", each((full - empty) as f64), "B/task");
    b.report("spawn", "", each(started.as_nanos() as f64), "ns/task");
    b.report("wake", "", each(woken.as_nanos() as f64), "ns/task");
}

/// Very many goroutines that sleep again and again: how much longer than the longest sleeper it takes, and of what CPU.
pub fn timers(b: &Bench) {
    let n = b.options.n.unwrap_or(100_000);
    let ideal = naps::longest(n);
    let wg = WaitGroup::new();
    let (usage, began) = (Usage::now(), Instant::now());
    for task in 0..n {
        wg.add(1);
        let wg = wg.clone();
        gosched::go(move || {
            Naps::of(task).for_each(gosched::time::sleep);
            wg.done();
        });
    }
    wg.wait();
    let (wall, used) = (began.elapsed(), Usage::now().since(usage));
    b.report("n", "", n as f64, "tasks");
    b.report("wall", "", millis(wall), "ms");
    b.report("over", "", millis(wall) - millis(ideal), "ms_over_ideal");
    b.report("cpu", "", millis(used.cpu), "ms_cpu");
}

/// A server nobody calls and ten thousand goroutines that nobody wakes: what they cost in five seconds.
pub fn idle(b: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    gosched::go(move || drop(listener.accept()));
    let gate = Chan::<()>::new(0);
    for _ in 0..b.options.n.unwrap_or(10_000) {
        let gate = gate.clone();
        gosched::go(move || {
            gate.recv();
        });
    }
    gosched::time::sleep(Duration::from_millis(1500)); // until the start is over
    let usage = Usage::now();
    gosched::time::sleep(Duration::from_secs(5));
    let used = Usage::now().since(usage);
    b.report("cpu", "", millis(used.cpu), "ms_cpu/5s");
    b.report("ctxsw", "", used.switches as f64, "switches/5s");
    gate.close();
}

/// Into the runtime and out again, `n` times.
pub fn handshake(n: u64) -> Duration {
    let began = Instant::now();
    gosched_runtime::testing::handshakes(n);
    began.elapsed()
}
