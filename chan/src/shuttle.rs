//! The one place that chooses between `std`'s and parking_lot's primitives and shuttle's, for all files of this crate.
//!
//! An ordinary build sees the former; `RUSTFLAGS="--cfg gosched_shuttle"` swaps in shuttle's, by way of the runtime's
//! `model`, which says what is modelled and what is not. `sound` is true but where a test has planted a bug.

#[cfg(not(gosched_shuttle))]
mod chosen {
    pub(crate) use gosched_runtime::park::Lock;
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::OnceLock;

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
    }

    #[inline(always)]
    pub(crate) const fn sound(_what: &str) -> bool {
        true
    }

    macro_rules! per_run {
        (static $name:ident: $t:ty = $init:expr;) => {
            static $name: $t = $init;
        };
    }
    pub(crate) use per_run;
}

#[cfg(gosched_shuttle)]
mod chosen {
    pub(crate) use gosched_runtime::model::lock::{Lock, Mutex, MutexGuard};
    pub(crate) use gosched_runtime::model::{atomic, sound, step};

    /// std's, with a step for shuttle before each look at it and each change.
    pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

    impl<T> OnceLock<T> {
        pub(crate) const fn new() -> OnceLock<T> {
            OnceLock(std::sync::OnceLock::new())
        }

        pub(crate) fn get(&self) -> Option<&T> {
            step();
            self.0.get()
        }

        pub(crate) fn set(&self, v: T) -> Result<(), T> {
            step();
            self.0.set(v)
        }

        /// Nobody is kept waiting while another one makes the value, for that may take steps; so two may make one, and
        /// the first counts.
        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if let Some(v) = self.get() {
                return v;
            }
            let _first = self.set(make());
            self.0.get().expect("set by us or by another")
        }

        pub(crate) fn take(&mut self) -> Option<T> {
            self.0.take()
        }
    }

    macro_rules! per_run {
        (static $name:ident: $t:ty = $init:expr;) => {
            ::shuttle::lazy_static! { static ref $name: $t = $init; }
        };
    }
    pub(crate) use per_run;
}

pub(crate) use chosen::*;
