//! parking_lot's mutex over the checker's: the same face (`lock_api`), with a `RawMutex` whose lock may be given up by
//! another hand than took it, as the seam's commits do.

use parking_lot::lock_api::{self, GuardNoSend};

/// A mutex with parking_lot's face.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// Its guard.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

#[cfg(gosched_shuttle)]
mod chosen {
    use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};

    /// One permit: whoever has it has the lock.
    pub struct RawMutex(BatchSemaphore);

    impl RawMutex {
        pub(super) const fn free() -> RawMutex {
            RawMutex(BatchSemaphore::const_new(1, Fairness::Unfair))
        }

        pub(super) fn take(&self) {
            self.0.acquire_blocking(1).expect("never closed");
        }

        pub(super) fn try_take(&self) -> bool {
            self.0.try_acquire(1).is_ok()
        }

        pub(super) fn is_taken(&self) -> bool {
            self.0.available_permits() == 0
        }

        pub(super) fn give_up(&self) {
            self.0.release(1);
        }
    }
}

#[cfg(gosched_loom)]
mod chosen {
    use loom::sync::{Mutex, MutexGuard};
    use std::cell::UnsafeCell;
    use std::sync::OnceLock;

    /// loom's mutex, with its guard kept inside. Made at first use, for loom makes none in a constant.
    pub struct RawMutex {
        /// Above `mutex`, so that it is dropped before it. Belongs to whoever has the mutex.
        guard: UnsafeCell<Option<MutexGuard<'static, ()>>>,
        mutex: OnceLock<Box<Mutex<()>>>,
    }

    // SAFETY: `guard` is touched under the mutex only. (loom runs all its threads on one thread of the system.)
    unsafe impl Send for RawMutex {}
    // SAFETY: as above.
    unsafe impl Sync for RawMutex {}

    impl RawMutex {
        pub(super) const fn free() -> RawMutex {
            RawMutex { guard: UnsafeCell::new(None), mutex: OnceLock::new() }
        }

        fn keep(&self, guard: MutexGuard<'_, ()>) {
            // SAFETY: the mutex is in a box, made once, and dropped after the guard. We have it, so the place is ours.
            unsafe {
                let guard = std::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard);
                *self.guard.get() = Some(guard);
            }
        }

        fn mutex(&self) -> &Mutex<()> {
            self.mutex.get_or_init(|| Box::new(Mutex::new(())))
        }

        pub(super) fn take(&self) {
            self.keep(self.mutex().lock().unwrap());
        }

        pub(super) fn try_take(&self) -> bool {
            self.mutex().try_lock().map(|guard| self.keep(guard)).is_ok()
        }

        pub(super) fn is_taken(&self) -> bool {
            self.mutex().try_lock().is_err()
        }

        pub(super) fn give_up(&self) {
            // SAFETY: the caller has the mutex.
            let guard = unsafe { (*self.guard.get()).take() };
            drop(guard.expect("it is taken"));
        }
    }
}

pub use chosen::RawMutex;

// SAFETY: the checker's primitive excludes, acquires and releases.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait's way of making one")]
    const INIT: RawMutex = RawMutex::free();

    type Guard = GuardNoSend;

    fn lock(&self) -> GuardNoSend {
        self.take();
        GuardNoSend::new()
    }

    fn try_lock(&self) -> Option<GuardNoSend> {
        self.try_take().then(GuardNoSend::new)
    }

    unsafe fn unlock(&self, _: GuardNoSend) {
        self.give_up();
    }

    fn is_locked(&self) -> bool {
        self.is_taken()
    }
}

/// rawlock.rs for models.
pub struct Lock(RawMutex);

impl Lock {
    /// A lock that is free.
    pub const fn new() -> Lock {
        Lock(RawMutex::free())
    }

    /// Takes it.
    pub fn lock(&self) {
        self.0.take();
    }

    /// Gives it back.
    ///
    /// # Safety
    /// It is held, and the caller acts for who holds it.
    pub unsafe fn unlock(&self) {
        self.0.give_up();
    }

    /// The same.
    ///
    /// # Safety
    /// As for `unlock`.
    pub unsafe fn unlock_last(&self) {
        self.0.give_up();
    }
}
