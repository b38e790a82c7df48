//! `Mutex`: a value, and Go's mutex around it (mutex/raw.rs).
//!
//! A lock says what it does to whoever listens: an exploration (`park::point`), or the watch on who has which lock
//! (owners.rs). That somebody does is one word, which each way in and out asks once.

use super::owners;
use crate::hook::{hooked, watching};
use crate::park::{WaitReason, point};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

mod raw;

pub(super) use raw::RawMutex;

/// For whoever listens.
impl RawMutex {
    /// `lock` of the mutex at `on`, where somebody listens.
    #[cold]
    fn lock_hooked(&self, on: *const (), site: &'static Location<'static>) {
        point("Mutex lock", on);
        if !watching() {
            self.lock(WaitReason::SyncMutexLock);
        } else if self.try_lock() {
            owners::taken(self.address(), site);
        } else {
            owners::wait(self.address(), site, || self.lock(WaitReason::SyncMutexLock));
        }
    }

    /// As `lock_hooked`.
    #[cold]
    fn try_lock_hooked(&self, on: *const (), site: &'static Location<'static>) -> bool {
        point("Mutex try_lock", on);
        let got = self.try_lock();
        if got && watching() {
            owners::taken(self.address(), site);
        }
        got
    }

    /// Before an unlock, where somebody listens.
    #[cold]
    fn unlock_hooked(&self, on: *const ()) {
        point("Mutex unlock", on);
        if watching() {
            owners::given(self.address());
        }
    }

    /// By which owners.rs knows it.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// A mutual exclusion lock around a value: `std::sync::Mutex`'s shape, Go's algorithm, no poisoning.
///
/// A goroutine that has to wait parks; its thread goes on with others. A plain thread blocks. Both may use one mutex.
/// The guard may be held across anything that parks, and may move to another goroutine or thread.
///
/// Taking a free lock is one atomic operation, releasing it another. Waiters are served first come first served, with
/// one liberty: who is running may take the lock before a waiter that is just being woken, until a waiter has waited for
/// a millisecond; from then on the lock passes down the queue from hand to hand (see Go's sync.Mutex).
///
/// A panic under the lock just releases it. Locking it twice from one goroutine is a deadlock.
///
/// ```
/// use gosched_runtime::sync::Mutex;
///
/// static TOTAL: Mutex<u32> = Mutex::new(0);
/// std::thread::scope(|s| {
///     for n in 1..=4 {
///         s.spawn(move || *TOTAL.lock() += n);
///     }
/// });
/// assert_eq!(*TOTAL.lock(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    data: UnsafeCell<T>,
}

// SAFETY: the mutex owns its T and goes where that may go.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: of all who share the mutex one at a time gets at the T, which thus moves between them as if sent.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free mutex around `value`.
    ///
    /// ```
    /// let m = gosched_runtime::sync::Mutex::new(1);
    /// assert_eq!(*m.lock(), 1);
    /// ```
    #[inline]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawMutex::new(), data: UnsafeCell::new(value) }
    }

    /// The value; the mutex is used up. Never parks.
    ///
    /// ```
    /// assert_eq!(gosched_runtime::sync::Mutex::new(7).into_inner(), 7);
    /// ```
    #[inline]
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; parks until it is free. Go: `Mutex.Lock`.
    ///
    /// ```
    /// let m = gosched_runtime::sync::Mutex::new(vec![1]);
    /// m.lock().push(2);
    /// assert_eq!(*m.lock(), [1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match hooked() {
            false => self.raw.lock(WaitReason::SyncMutexLock),
            true => self.raw.lock_hooked(std::ptr::from_ref(self).cast(), Location::caller()),
        }
        MutexGuard { lock: self }
    }

    /// Takes the lock where it is free and nobody has a right to it before us. Never parks. Go: `Mutex.TryLock`.
    ///
    /// ```
    /// let m = gosched_runtime::sync::Mutex::new(0);
    /// let held = m.lock();
    /// assert!(m.try_lock().is_none());
    /// drop(held);
    /// assert!(m.try_lock().is_some());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let got = match hooked() {
            false => self.raw.try_lock(),
            true => self.raw.try_lock_hooked(std::ptr::from_ref(self).cast(), Location::caller()),
        };
        got.then(|| MutexGuard { lock: self })
    }

    /// The value, without locking: the `&mut` proves that nobody else is here. Never parks.
    ///
    /// ```
    /// let mut m = gosched_runtime::sync::Mutex::new(1);
    /// *m.get_mut() += 1;
    /// assert_eq!(m.into_inner(), 2);
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    /// Shows the value where the lock is free, `<locked>` where it is not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => d.field("data", &&*guard),
            None => d.field("data", &format_args!("<locked>")),
        };
        d.finish_non_exhaustive()
    }
}

/// The lock of a [`Mutex`], held; dropping it releases it, and never parks. It may be held across a park.
///
/// `Send` where `T` is: a mutex belongs to no goroutine and no thread, only to its guard.
///
/// ```
/// use gosched_runtime::sync::{Mutex, MutexGuard};
/// fn bump(mut n: MutexGuard<'_, u32>) {
///     *n += 1;
/// } // released
/// let m = Mutex::new(1);
/// bump(m.lock());
/// assert_eq!(*m.lock(), 2);
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    /// Locked, by this guard.
    lock: &'a Mutex<T>,
}

// SAFETY: a shared guard gives out &T and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> MutexGuard<'_, T> {
    /// For `Condvar`: runs `f` with the lock released, and takes it again.
    ///
    /// # Safety
    /// `f` does not unwind.
    pub(super) unsafe fn unlocked<R>(guard: &mut Self, f: impl FnOnce() -> R) -> R {
        let raw = &guard.lock.raw;
        // It is taken again at the place where it was taken before.
        let site = if watching() { owners::given(raw.address()) } else { None };
        // SAFETY: the guard owns the lock; nobody gets at the T through the guard, which is borrowed, before it owns
        // the lock again.
        unsafe { raw.unlock() };
        let r = f();
        match site {
            Some(site) => owners::wait(raw.address(), site, || raw.lock(WaitReason::SyncMutexLock)),
            None => raw.lock(WaitReason::SyncMutexLock),
        }
        r
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard owns the lock, so nobody else has a reference to the T.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in deref; the guard itself is borrowed exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if hooked() {
            self.lock.raw.unlock_hooked(std::ptr::from_ref(self.lock).cast());
        }
        // SAFETY: the guard owns the lock, and gives it up once.
        unsafe { self.lock.raw.unlock() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
