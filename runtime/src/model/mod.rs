//! What the modelled files find in place of the scheduler, in a build for loom or shuttle.
//!
//! A goroutine is a thread of the model checker. It parks by sleeping on a condition variable of its own. Under shuttle its
//! commit runs on another thread, as on the scheduler's stack, under loom on its own, as a plain thread's does. All that stands above the seam, the semaphore, the locks, channels and contexts, runs
//! unchanged, and the checker has its say between any two of its atomic operations and locks.
//!
//! ```text
//!   lock         a RawMutex that may be released by another hand             over loom's or shuttle's
//!   hook         chance and the clock                                        replaces hook.rs
//!   park         gopark, goready; the deadlines of park/until.rs are real    replaces park.rs
//!   newproc      go                                                          replaces newproc.rs
//!   starttimer   the heap of timers.rs is real, its hand is a thread         replaces starttimer.rs
//!   explore      how shuttle is run
//!   fails        how loom is seen to find a planted bug
//! ```
//!
//! ## Time
//! The clock stands still until a hand moves it: each timer that is started brings a thread along that, whenever the checker
//! lets it, moves the clock to the timer's time and calls all that is due. So a deadline can come between any two steps, as
//! early or as late as the checker likes; under shuttle the hand waits for a random number of steps first, or else it would
//! nearly always be the first to run.
//!
//! ## What is not modelled
//! The scheduler: run queues, who wakes whom, the switch between stacks (their own models see to that). Reference counts:
//! `Arc` is std's, and changes without a step between. Under shuttle, orderings: all is sequentially consistent.

pub mod lock;

#[cfg(all(test, gosched_loom))]
mod fails;
#[cfg(all(test, gosched_loom))]
pub(crate) use fails::fails;

#[cfg(gosched_shuttle)]
mod explore;
#[cfg(gosched_shuttle)]
pub use explore::{check, check_with};

#[cfg(gosched_shuttle)]
pub use crate::loom::{atomic, sound, with_bug};
#[cfg(gosched_shuttle)]
pub use crate::newproc::settle;
#[cfg(gosched_shuttle)]
pub use crate::park::assert_quiet;

/// A step for the checker where there is none: before an operation of a type that it does not know.
#[cfg(gosched_shuttle)]
pub fn step() {
    use crate::loom::atomic::{AtomicBool, Ordering};
    let nothing = AtomicBool::new(true);
    assert!(nothing.load(Ordering::SeqCst));
}
