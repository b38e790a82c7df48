//! The watch: a plain thread that sees from outside whether everything goes on, and says so once a second.
//!
//! It must not depend on what it watches: it sleeps as threads do, and asks the scheduler for numbers only.
//!
//! **Nothing moves.** A round of every load takes well below a second where the machine has time for it. A load none of
//! whose rounds has ended for a minute hangs. That is the only time that is checked.
//!
//! **Something grows.** The loads are bounded: so many runners, and bounds for what a round makes. So descriptors and memory
//! have a peak, which they come near to soon. A quarter of the time (a minute at most) is given to that; what is half as much
//! again as the peak until then, and some slack, for ten seconds on end, is growth.

use crate::ledger::{Load, fail};
use gosched::debug::stats;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const STANDSTILL: Duration = Duration::from_secs(60);
const BEGINNING: Duration = Duration::from_secs(60);
/// Seconds on end beyond the limit that are growth.
const TOO_LONG: u64 = 10;

/// Open descriptors of this process, but for the one that looks.
pub fn descriptors() -> u64 {
    let dir = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    dir.count() as u64 - 1
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    pages.expect("the second word is a number of pages") * 4096
}

/// One quantity that must not grow.
struct Quantity {
    name: &'static str,
    slack: u64,
    /// The peak in the beginning, and the peak of all time.
    first: AtomicU64,
    peak: AtomicU64,
    last: AtomicU64,
    beyond: AtomicU64,
}

impl Quantity {
    const fn new(name: &'static str, slack: u64) -> Quantity {
        Quantity {
            name,
            slack,
            first: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            last: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
        }
    }

    fn see(&self, now: u64, beginning: bool) {
        self.last.store(now, Ordering::Relaxed);
        self.peak.fetch_max(now, Ordering::Relaxed);
        if beginning {
            self.first.fetch_max(now, Ordering::Relaxed);
            return;
        }
        let limit = self.first.load(Ordering::Relaxed) * 3 / 2 + self.slack;
        if now <= limit {
            self.beyond.store(0, Ordering::Relaxed);
        } else if self.beyond.fetch_add(1, Ordering::Relaxed) + 1 == TOO_LONG {
            fail(&format!("{} grow: {now}, and {limit} would be much", self.name));
        }
    }
}

/// What there was of everything.
pub struct Peaks {
    descriptors: Quantity,
    bytes: Quantity,
    goroutines: AtomicU64,
    threads: AtomicU64,
}

impl Peaks {
    pub fn in_words(&self) -> String {
        let mib = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed) >> 20;
        format!(
            "at most {} goroutines, {} threads, {} descriptors; resident: {} MiB at most in the beginning, {} MiB at \
             most at all, {} MiB last",
            self.goroutines.load(Ordering::Relaxed),
            self.threads.load(Ordering::Relaxed),
            self.descriptors.peak.load(Ordering::Relaxed),
            mib(&self.bytes.first),
            mib(&self.bytes.peak),
            mib(&self.bytes.last),
        )
    }
}

/// What the watch remembers of a load.
#[derive(Clone, Copy)]
struct Seen {
    rounds: u64,
    ops: u64,
    moved: Instant,
}

/// Starts the watch. It never ends; the process does.
pub fn start(loads: Vec<&'static Load>, start: Instant, time: Duration) -> Arc<Peaks> {
    let peaks = Arc::new(Peaks {
        descriptors: Quantity::new("descriptors", 64),
        bytes: Quantity::new("bytes in memory", 64 << 20),
        goroutines: AtomicU64::new(0),
        threads: AtomicU64::new(0),
    });
    let ours = peaks.clone();
    let watch = move || {
        let mut seen = vec![Seen { rounds: 0, ops: 0, moved: start }; loads.len()];
        for second in 1u64.. {
            let next = start + Duration::from_secs(second);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let beginning = start.elapsed() < BEGINNING.min(time / 4);
            let line = look(&loads, &mut seen, &ours, beginning);
            println!("{second:5} s  {line}");
        }
    };
    std::thread::Builder::new().name("soak-watch".into()).spawn(watch).expect("a thread");
    peaks
}

/// One look at everything: the line about it.
fn look(loads: &[&Load], seen: &mut [Seen], peaks: &Peaks, beginning: bool) -> String {
    let now = Instant::now();
    let mut line = String::new();
    for (load, s) in loads.iter().zip(seen) {
        let (rounds, ops) = load.so_far();
        line += &format!("{} {}  ", load.name, ops - s.ops);
        if rounds != s.rounds {
            s.moved = now;
        } else if now - s.moved > STANDSTILL {
            fail(&format!("{}: no round has ended for {} s", load.name, STANDSTILL.as_secs()));
        }
        (s.rounds, s.ops) = (rounds, ops);
    }
    let (fds, bytes, s) = (descriptors(), resident(), stats());
    peaks.descriptors.see(fds, beginning);
    peaks.bytes.see(bytes, beginning);
    peaks.goroutines.fetch_max(s.goroutines as u64, Ordering::Relaxed);
    peaks.threads.fetch_max(s.threads as u64, Ordering::Relaxed);
    let (goroutines, procs, threads) = (s.goroutines, s.procs, s.threads);
    line + &format!("| {goroutines} goroutines {procs} procs {threads} threads {fds} fds {} MiB", bytes >> 20)
}
