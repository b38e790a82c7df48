//! What all loads share: the count of what was done, chance, and the loud end.
//!
//! A load's numbers are only ever added to, by its runners; the watch reads them. A failure may come on any goroutine or
//! thread, also in the middle of a panic: `fail` prints and ends the process, and nobody returns from it.
//!
//! Panics are of two sorts. *Planned* ones carry [`Planned`] and are a load's business: no hook prints them. Any other is a
//! check that did not hold, or a bug, and a failure of the soak.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One round of a load: how many operations it did.
pub type Round = fn(&mut Rng) -> u64;

pub struct Load {
    pub name: &'static str,
    pub runners: usize,
    pub round: Round,
    rounds: AtomicU64,
    ops: AtomicU64,
}

impl Load {
    pub const fn new(name: &'static str, runners: usize, round: Round) -> Load {
        Load { name, runners, round, rounds: AtomicU64::new(0), ops: AtomicU64::new(0) }
    }

    /// A round of so many operations is over.
    pub fn ended(&self, ops: u64) {
        self.ops.fetch_add(ops, Ordering::Relaxed);
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Rounds and operations.
    pub fn so_far(&self) -> (u64, u64) {
        (self.rounds.load(Ordering::Relaxed), self.ops.load(Ordering::Relaxed))
    }
}

/// The end: what is wrong, every goroutine, status 1. The first failure speaks; others wait for its end.
pub fn fail(what: &str) -> ! {
    static FAILED: AtomicBool = AtomicBool::new(false);
    if FAILED.swap(true, Ordering::Relaxed) {
        loop {
            std::thread::park();
        }
    }
    eprintln!("\nsoak: FAILED: {what}\n");
    // The stacks are asked for by a thread of their own: where the scheduler is in so bad a state that it cannot give
    // them, the process must end all the same.
    let asked = std::thread::spawn(|| eprintln!("{}", gosched::debug::stacks()));
    for _ in 0..200 {
        if asked.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::process::exit(1)
}

/// Fails where `holds` is false.
#[track_caller]
pub fn check(holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        fail(&format!("{} ({})", what(), std::panic::Location::caller()));
    }
}

/// The payload of a panic that belongs to the load.
pub struct Planned(pub u64);

/// Whether a goroutine ended by a planned panic with this number.
pub fn planned(end: &Result<u64, Box<dyn Any + Send>>, number: u64) -> bool {
    matches!(end, Err(payload) if payload.downcast_ref::<Planned>().is_some_and(|p| p.0 == number))
}

/// Makes every panic that is not planned a failure.
pub fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Planned>() {
            before(info);
            fail("a panic that nobody had planned");
        }
    }));
}

/// splitmix64: the same numbers for the same seed.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn micros(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.below(below))
    }
}
