//! The one place that chooses between `std`'s primitives and loom's.
//!
//! A file that is model-checked takes its atomics, mutexes, condition variables and threads from here, and nowhere
//! else. An ordinary build sees `std`; `RUSTFLAGS="--cfg gosched_loom"` swaps in loom's, whose scheduler then runs a
//! model through every interleaving that the memory model allows. Only the files with a protocol worth a model are
//! built in that mode (see `lib.rs`), because loom's atomics cannot live in a `static`.

#[cfg(all(not(gosched_loom), not(target_os = "linux")))]
pub(crate) use std::sync::{Condvar, Mutex};

#[cfg(gosched_loom)]
pub(crate) use loom::sync::{Condvar, Mutex};

#[cfg(not(gosched_loom))]
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
}

#[cfg(gosched_loom)]
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
}
