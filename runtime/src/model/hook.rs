//! hook.rs for models: chance is the checker's, and so is the clock (mod.rs).

use crate::clock::instant_of;
use crate::loom::per_run;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// When the models' clock begins: an hour on the runtime's.
const START: u64 = 3_600_000_000_000;

// Not the checker's atomic: to read the clock is no step.
per_run! {
    static CLOCK: AtomicU64 = AtomicU64::new(START);
}

/// Nothing: the checker comes in at each step anyway.
pub fn point(_what: &'static str, _on: *const ()) {}

/// Nobody watches locks here.
pub(crate) fn hooked() -> bool {
    false
}

/// As `hooked`.
pub(crate) fn watching() -> bool {
    false
}

/// The models' time.
pub fn now() -> Instant {
    // Now and then 2 ms pass by themselves: long enough for a mutex to starve its waiters.
    #[cfg(gosched_shuttle)]
    if cheaprandn(8) == 0 {
        CLOCK.fetch_add(2_000_000, Relaxed);
    }
    instant_of(CLOCK.load(Relaxed))
}

/// Moves the clock on to `when`, unless it is there; gives what it shows.
pub(crate) fn pass(when: u64) -> u64 {
    CLOCK.fetch_max(when, Relaxed).max(when)
}

/// A random number below `n`: a choice of the checker's. loom makes none: 0.
pub fn cheaprandn(n: u32) -> u32 {
    #[cfg(gosched_shuttle)]
    if n > 1 {
        return shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 0..n);
    }
    let _ = n;
    0
}

/// A random order: choices of the checker's.
pub fn cheapshuffle(items: &mut [u32]) {
    for i in 1..items.len() {
        items.swap(i, cheaprandn(i as u32 + 1) as usize);
    }
}
