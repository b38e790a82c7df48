//! The soak: everything at once, for minutes, with checks all the way.
//!
//! ```text
//! cargo run --release -p gosched-benches --bin soak -- --minutes 30     # or --seconds; --seed N, --procs N, --only LOAD, --fail-after SECONDS
//! ```
//! A *load* is a kind of work, told in a function that does one round of it: starts goroutines, waits for all of them,
//! and checks what came out. Several *runners* of each load do round after round, all of them beside each other, while one
//! of the loads changes GOMAXPROCS under the rest:
//!
//! ```text
//!   main ── a round of each, alone: what is made once is made now, and the descriptors at rest are counted
//!     ├── runners: spawn ×3  panic ×2  baton ×2  select ×3  order ×2  locks ×3  socket ×3  clock ×3  context ×2  hog  procs
//!     │      └── round, round, round … until the time is up; each ends with nothing left of it
//!     └── waits for the runners, then for the last goroutine, and counts descriptors and goroutines again
//!   watch (a plain thread) ── a line a second; ends the process where a load has not moved for a minute, or where
//!                             descriptors or memory grow beyond what they were when everything had begun
//! ```
//! What must hold is checked where it can be said exactly: each value that is sent arrives once, in the order of its
//! sender; sums of locked additions are exact; each byte comes back from the echo; a wait of the scheduler's seam ends once,
//! and by the one who owes it the end; a timer that was stopped never fires; every closure and result is dropped once.
//! No time is checked but the minute.
//!
//! The seed decides what the loads do, not how they are scheduled (`GODEBUG=seed=N` for that, on one P).
//! A failure prints what failed and all stacks, and ends the process with status 1.

mod channels;
mod clocks;
mod hogs;
mod ledger;
mod locks;
mod sockets;
mod spawns;
mod watch;

use gosched::debug::stats;
use gosched::sync::WaitGroup;
use ledger::{Load, Rng, check, fail};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// All loads: name, runners, round.
static LOADS: [Load; 11] = [
    Load::new("spawn", 3, spawns::storm),
    Load::new("panic", 2, spawns::panics),
    Load::new("baton", 2, spawns::batons),
    Load::new("select", 3, channels::selects),
    Load::new("order", 2, channels::order),
    Load::new("locks", 3, locks::locks),
    Load::new("socket", 3, sockets::sockets),
    Load::new("clock", 3, clocks::clocks),
    Load::new("context", 2, clocks::contexts),
    Load::new("hog", 1, hogs::hogs),
    Load::new("procs", 1, hogs::procs),
];

/// The time is up: no runner begins another round.
static OVER: AtomicBool = AtomicBool::new(false);

struct Options {
    time: Duration,
    seed: u64,
    procs: usize,
    /// One load instead of all, for the search of a fault.
    only: Option<String>,
    /// Fails after this time, to show that a failure is loud.
    fail_after: Option<Duration>,
}

impl Options {
    fn loads(&self) -> impl Iterator<Item = &'static Load> {
        LOADS.iter().filter(|load| self.only.as_ref().is_none_or(|only| only == load.name))
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { time: Duration::from_secs(60), seed: 1, procs: 0, only: None, fail_after: None };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        if word == "--only" {
            LOADS
                .iter()
                .find(|load| load.name == value)
                .ok_or_else(|| format!("there is no load {value}"))?;
            options.only = Some(value);
            continue;
        }
        let n: u64 = value.parse().map_err(|_| format!("{word} {value}: not a number"))?;
        match word.as_str() {
            "--minutes" => options.time = Duration::from_secs(n.saturating_mul(60)),
            "--seconds" => options.time = Duration::from_secs(n),
            "--seed" => options.seed = n,
            "--fail-after" => options.fail_after = Some(Duration::from_secs(n)),
            "--procs" => options.procs = n as usize,
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(options)
}

fn main() {
    let options = options(std::env::args().skip(1)).unwrap_or_else(|wrong| {
        eprintln!(
            "soak: {wrong}\nusage: soak [--minutes N | --seconds N] [--seed N] [--procs N] [--only LOAD] \
             [--fail-after SECONDS]"
        );
        std::process::exit(2)
    });
    let config = gosched::Config::new().procs(options.procs);
    // SAFETY: no goroutine of this program borrows from a thread-local, or holds a value tied to a thread, across a call
    // that can park. (println's lock is released before it returns.)
    unsafe { config.run(move || soak(&options)) }
}

fn soak(options: &Options) {
    ledger::watch_panics();
    println!("soak: {} s, seed {}, {} procs", options.time.as_secs(), options.seed, gosched::gomaxprocs());
    let procs = gosched::gomaxprocs();
    for load in options.loads() {
        (load.round)(&mut Rng::new(options.seed));
    }
    alone();
    let at_rest = watch::descriptors();

    let start = Instant::now();
    let watcher = watch::start(options.loads().collect(), start, options.time);
    let runners = WaitGroup::new();
    let mut lot = Rng::new(options.seed);
    for load in options.loads() {
        for _ in 0..load.runners {
            let mut rng = Rng::new(lot.next());
            runners.go(move || {
                while !OVER.load(Ordering::Relaxed) {
                    let done = (load.round)(&mut rng);
                    load.ended(done);
                }
            });
        }
    }
    if let Some(time) = options.fail_after {
        gosched::time::sleep(time);
        fail("as it was asked to");
    }
    gosched::time::sleep(options.time);
    OVER.store(true, Ordering::Relaxed);
    runners.wait();

    gosched::set_gomaxprocs(procs);
    alone();
    let left = watch::descriptors();
    check(left <= at_rest, || format!("{at_rest} descriptors at the start, {left} at the end"));
    totals(options, start.elapsed(), &watcher);
}

/// Waits until the main goroutine is the only one. What ends by itself does so soon: the last steps of goroutines whose
/// work has been waited for.
fn alone() {
    let patience = Instant::now() + Duration::from_secs(60);
    while gosched::num_goroutine() > 1 {
        if Instant::now() > patience {
            fail(&format!("{} goroutines are left over", gosched::num_goroutine()));
        }
        gosched::time::sleep(Duration::from_millis(1));
    }
}

fn totals(options: &Options, time: Duration, watcher: &Arc<watch::Peaks>) {
    let s = stats();
    println!("\nsoak: passed; {:.1} s", time.as_secs_f64());
    for load in options.loads() {
        let (rounds, ops) = load.so_far();
        println!("  {:8} {rounds:>9} rounds {ops:>13} operations", load.name);
    }
    println!(
        "  {} switches, {} steals, {} handoffs, {} threads at the end",
        s.switches, s.steals, s.handoffs, s.threads
    );
    println!("  {}", watcher.in_words());
}
