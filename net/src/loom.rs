//! The one place that chooses between `std`'s primitives and loom's, for the files whose protocol is modelled
//! (parkword.rs, alarm.rs). An ordinary build sees `std`; `RUSTFLAGS="--cfg gosched_loom"` swaps in loom's.

#[cfg(not(gosched_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(gosched_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) mod atomic {
    #[cfg(not(gosched_loom))]
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

    #[cfg(gosched_loom)]
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
}
