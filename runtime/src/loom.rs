//! The one place that chooses between `std`'s primitives and loom's.
//!
//! A file that is model-checked takes its atomics, mutexes, condition variables and threads from here, and nowhere
//! else. An ordinary build sees `std`; `RUSTFLAGS="--cfg gosched_loom"` swaps in loom's, whose scheduler then runs a
//! model through every interleaving that the memory model allows. Only the files with a protocol worth a model are
//! built in that mode (see `lib.rs`), because loom's atomics cannot live in a `static`.

#[cfg(not(gosched_loom))]
pub(crate) use std::sync::Mutex;

/// Only the portable futex needs one.
#[cfg(all(not(gosched_loom), not(target_os = "linux")))]
pub(crate) use std::sync::Condvar;

#[cfg(gosched_loom)]
pub(crate) use loom::sync::{Condvar, Mutex};

#[cfg(not(gosched_loom))]
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
}

#[cfg(gosched_loom)]
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
}

/// Planted bugs: each model must fail when the ordering or check that it is about is taken out, and stays with that proof
/// as a test. An ordinary build knows nothing of it: `sound` is the constant true, and goes away.
#[cfg(not(gosched_loom))]
#[inline(always)]
pub(crate) const fn sound(_what: &str) -> bool {
    true
}

#[cfg(gosched_loom)]
pub(crate) use planting::sound;

#[cfg(gosched_loom)]
mod planting {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// False where a test has planted the bug of this name. A model runs on one thread of the system, so a thread-local
    /// will do.
    pub(crate) fn sound(what: &str) -> bool {
        PLANTED.with(Cell::get) != Some(what)
    }

    /// Runs a model with a bug planted.
    #[cfg(test)]
    pub(crate) fn with_bug(what: &'static str, model: impl FnOnce()) {
        PLANTED.with(|p| p.set(Some(what)));
        model();
        PLANTED.with(|p| p.set(None));
    }
}
#[cfg(all(test, gosched_loom))]
pub(crate) use planting::with_bug;
