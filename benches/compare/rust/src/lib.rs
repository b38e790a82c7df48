//! What the programs for tokio, may and threads have in common. Calibration, repetition and output are those of
//! gosched-bench: the same file.

#[path = "../../../src/harness.rs"]
pub mod harness;
#[path = "../../../src/naps.rs"]
pub mod naps;

use harness::{Bench, millis, peak_resident};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const BODY: &str = "Hello, World!";
/// The size of the ring.
pub const RING: u64 = 1000;
/// Where the sieve ends: the 2000th prime.
pub const LAST_PRIME: u64 = 17_389;
pub const PRIMES: usize = 2000;

/// What the locks of `rwlock` guard.
pub fn table() -> Vec<u64> {
    (0..1000).collect()
}

/// One read of it: all its numbers, or just one.
pub fn look(numbers: &[u64], all: bool) {
    black_box(if all { black_box(numbers).iter().sum() } else { numbers[7] });
}

/// A server ends after this many seconds, in whatever state its runtime may be.
pub fn end_after(secs: u64) {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(secs));
        std::process::exit(0);
    });
}

/// True once: for who has given the first answer, and now starts the hogs.
pub fn first_answer() -> bool {
    static GIVEN: AtomicBool = AtomicBool::new(false);
    !GIVEN.swap(true, Ordering::Relaxed)
}

/// 15 seconds of computing.
pub fn spin() {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(15) {
        (0..10_000).for_each(|i| {
            black_box(i);
        });
    }
}

/// 15 seconds of calls that block the thread.
pub fn block() {
    (0..300).for_each(|_| std::thread::sleep(Duration::from_millis(50)));
}

/// The result of `parked1m`: `n` tasks that were started, and then woken.
pub struct Parked {
    n: u64,
    empty: u64,
    began: Instant,
    started: Option<(Duration, u64, Instant)>,
}

impl Parked {
    pub fn begin(n: u64) -> Parked {
        Parked { n, empty: peak_resident(), began: Instant::now(), started: None }
    }

    /// All of them wait now.
    pub fn all_started(&mut self) {
        let took = self.began.elapsed();
        self.started = Some((took, peak_resident(), Instant::now()));
    }

    /// All of them have woken up.
    pub fn all_woken(self, b: &Bench) {
        let (took, full, opened) = self.started.expect("they have started");
        let woken = opened.elapsed();
        let each = |total: f64| total / self.n as f64;
        b.report("n", "", self.n as f64, "tasks");
        b.report("rss", "", each((full - self.empty) as f64), "B/task");
        b.report("spawn", "", each(took.as_nanos() as f64), "ns/task");
        b.report("wake", "", each(woken.as_nanos() as f64), "ns/task");
    }
}

/// The result of `timers`: `n` tasks have slept, which took `wall` and so much CPU time.
pub fn report_timers(b: &Bench, n: u64, wall: Duration, cpu: Duration) {
    b.report("n", "", n as f64, "tasks");
    b.report("wall", "", millis(wall), "ms");
    b.report("over", "", millis(wall) - millis(naps::longest(n)), "ms_over_ideal");
    b.report("cpu", "", millis(cpu), "ms_cpu");
}

/// The result of `idle`.
pub fn report_idle(b: &Bench, used: harness::Usage) {
    b.report("cpu", "", millis(used.cpu), "ms_cpu/5s");
    b.report("ctxsw", "", used.switches as f64, "switches/5s");
}
