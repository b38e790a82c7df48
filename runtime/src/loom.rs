//! The one place that chooses between `std`'s primitives and those of a model checker.
//!
//! A file that is modelled takes its atomics, locks, threads and statics from here, and nowhere else. There are three
//! builds:
//!
//! ```text
//!                    atomics, mutex, condvar   lock::   what it finds
//!   ordinary         std                       parking_lot
//!   gosched_loom     loom                      over loom's       every interleaving that the memory model allows, of a
//!                                                                small program: what an ordering that is too weak does
//!   gosched_shuttle  shuttle                   over shuttle's    some thousand schedules of a larger one, by chance and by
//!                                                                PCT, sequentially consistent: what an order of steps does
//! ```
//! Only the files with a protocol worth a model are built for loom or shuttle (see `lib.rs`); what they find in place of the
//! scheduler is in `model/`.

#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(gosched_loom)]
pub(crate) use ::loom::{
    sync::{Condvar, Mutex, MutexGuard},
    thread, thread_local,
};

#[cfg(gosched_shuttle)]
pub(crate) use ::shuttle::{
    sync::{Condvar, Mutex},
    thread, thread_local,
};

/// Atomics: std's or the checker's.
pub mod atomic {
    #[cfg(not(any(gosched_loom, gosched_shuttle)))]
    use std::sync::atomic as chosen;

    #[cfg(gosched_loom)]
    use ::loom::sync::atomic as chosen;

    #[cfg(gosched_shuttle)]
    use ::shuttle::sync::atomic as chosen;

    #[allow(unused_imports, reason = "not every build needs every one")]
    pub use chosen::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Lets others get on, in a loop that waits for them.
pub(crate) fn pause() {
    #[cfg(not(any(gosched_loom, gosched_shuttle)))]
    std::thread::sleep(std::time::Duration::from_micros(20));
    #[cfg(any(gosched_loom, gosched_shuttle))]
    thread::yield_now();
}

/// A cell to each of whose accesses loom comes: std's, with loom's face.
pub(crate) mod cell {
    #[cfg(gosched_loom)]
    pub(crate) use ::loom::cell::UnsafeCell;

    #[cfg(not(gosched_loom))]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(gosched_loom))]
    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(v: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(v))
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// Locks that may be released by another hand than the one that took them: parking_lot's, or what has their face.
pub mod lock {
    #[cfg(any(gosched_loom, gosched_shuttle))]
    pub use crate::model::lock::{Mutex, MutexGuard};
    #[cfg(not(any(gosched_loom, gosched_shuttle)))]
    pub use parking_lot::{Mutex, MutexGuard};
}

/// A `static` that is made anew for each run of a model.
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
macro_rules! per_run {
    (static $name:ident: $t:ty = $init:expr;) => {
        static $name: $t = $init;
    };
}

#[cfg(gosched_loom)]
macro_rules! per_run {
    (static $name:ident: $t:ty = $init:expr;) => {
        ::loom::lazy_static! { static ref $name: $t = $init; }
    };
}

#[cfg(gosched_shuttle)]
macro_rules! per_run {
    (static $name:ident: $t:ty = $init:expr;) => {
        ::shuttle::lazy_static! { static ref $name: $t = $init; }
    };
}
pub(crate) use per_run;

/// Stands between two sequentially consistent operations of one thread: nothing, but for loom, which takes such
/// operations for AcqRel ones and knows the order of SeqCst fences only. `what`: the bug of leaving that order out.
#[inline(always)]
pub(crate) fn seq_cst(_what: &str) {
    #[cfg(gosched_loom)]
    if sound(_what) {
        atomic::fence(atomic::Ordering::SeqCst);
    }
}

/// Planted bugs: each model must fail when the ordering or check that it is about is taken out, and stays with that proof
/// as a test. An ordinary build knows nothing of it: `sound` is the constant true, and goes away.
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
#[inline(always)]
pub(crate) const fn sound(_what: &str) -> bool {
    true
}

#[cfg(any(gosched_loom, gosched_shuttle))]
pub use planting::sound;

#[cfg(any(gosched_loom, gosched_shuttle))]
mod planting {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// False where a test has planted the bug of this name. A model runs on one thread of the system, so a thread-local
    /// will do.
    pub fn sound(what: &str) -> bool {
        PLANTED.with(Cell::get) != Some(what)
    }

    /// Runs a model with a bug planted.
    pub fn with_bug(what: &'static str, model: impl FnOnce()) {
        PLANTED.with(|p| p.set(Some(what)));
        model();
        PLANTED.with(|p| p.set(None));
    }
}
#[cfg(any(gosched_loom, gosched_shuttle))]
pub use planting::with_bug;
