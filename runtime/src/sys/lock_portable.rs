//! rawlock.rs where there is no futex that wakes by an address alone: parking_lot's lock.

use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;

/// A lock for short critical sections; as in rawlock.rs.
///
/// ```
/// use gosched_runtime::park::Lock;
///
/// static LOCK: Lock = Lock::new();
/// LOCK.lock();
/// // SAFETY: it is held, by us, and a static stays.
/// unsafe { LOCK.unlock() };
/// ```
pub struct Lock(RawMutex);

impl Lock {
    /// A lock that is free.
    pub const fn new() -> Lock {
        Lock(RawMutex::INIT)
    }

    /// Takes the lock; blocks the thread until it can.
    #[inline]
    pub fn lock(&self) {
        // The guard is stateless: what it stands for is given back by `unlock`, maybe by another's hand.
        let _ = self.0.lock();
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// It is held, and the caller acts for who holds it.
    #[inline]
    pub unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.0.unlock(Default::default()) };
    }

    /// The same.
    ///
    /// # Safety
    /// As for `unlock`.
    #[inline]
    pub unsafe fn unlock_last(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.unlock() };
    }
}

impl Default for Lock {
    fn default() -> Lock {
        Lock::new()
    }
}
