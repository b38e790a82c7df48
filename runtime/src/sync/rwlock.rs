//! `RwLock`: many readers or one writer (Go: sync/rwmutex.go).
//!
//! Writers exclude each other by a mutex; how a writer and the readers do is in readers.rs.
//!
//! ```text
//!   read     readers.enter()                   parks while a writer is in or waits
//!   write    writers.lock(); readers.bar()     parks until the writers before it, then the readers have left
//!   unwrite  readers.unbar(); writers.unlock() in this order: the readers that wait go before the next writer
//! ```

use super::mutex::RawMutex;
use crate::park::{WaitReason, point};
use crate::readers::{Pass, Readers};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// The lock without the value.
struct RawRwLock {
    /// Held by the writer that is in or waits for the readers to leave; the other writers wait here.
    writers: RawMutex,
    readers: Readers,
}

impl RawRwLock {
    const fn new() -> RawRwLock {
        RawRwLock { writers: RawMutex::new(), readers: Readers::new() }
    }

    #[inline]
    fn write(&self) {
        self.writers.lock(WaitReason::SyncRWMutexLock);
        self.readers.bar();
    }

    #[inline]
    fn try_write(&self) -> bool {
        if !self.writers.try_lock() {
            return false;
        }
        if self.readers.try_bar() {
            return true;
        }
        // SAFETY: we have just locked it.
        unsafe { self.writers.unlock() };
        false
    }

    /// # Safety
    /// The caller has the write lock, and gives it up; where it goes on `reading` it has a read lock instead.
    #[inline]
    unsafe fn unlock_write(&self, reading: bool) {
        // SAFETY: the writer has barred the readers, and holds the mutex. In this order: see the file head.
        unsafe {
            self.readers.unbar(reading);
            self.writers.unlock();
        }
    }
}

/// A lock that many may read under or one may write under: `std::sync::RwLock`'s shape, Go's rules, no poisoning.
///
/// A writer that waits blocks readers that come later, and the readers that queued behind a writer go before the next
/// writer. So neither starves; but who holds a read lock and asks for a second one can deadlock with a writer that came
/// between, as in Go. Where several Ps read at once, reading touches nothing that they share, and a write costs a look at
/// each P instead. Goroutines park, plain threads block; guards may be held across parks and sent elsewhere.
///
/// ```
/// use gosched_runtime::sync::RwLock;
///
/// let lock = RwLock::new(5);
/// {
///     let (a, b) = (lock.read(), lock.read());
///     assert_eq!(*a + *b, 10);
/// }
/// *lock.write() += 1;
/// assert_eq!(*lock.read(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    data: UnsafeCell<T>,
}

// SAFETY: the lock owns its T and goes where that may go.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers share the T, hence Sync; a writer may take it away to another thread, hence Send.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    /// A free lock around `value`.
    ///
    /// ```
    /// static LOCK: gosched_runtime::sync::RwLock<u8> = gosched_runtime::sync::RwLock::new(1);
    /// assert_eq!(*LOCK.read(), 1);
    /// ```
    #[inline]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { raw: RawRwLock::new(), data: UnsafeCell::new(value) }
    }

    /// The value; the lock is used up. Never parks.
    ///
    /// ```
    /// assert_eq!(gosched_runtime::sync::RwLock::new(7).into_inner(), 7);
    /// ```
    #[inline]
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading; parks while a writer is in or waits. Go: `RWMutex.RLock`.
    ///
    /// ```
    /// let lock = gosched_runtime::sync::RwLock::new("a");
    /// assert_eq!(*lock.read(), "a");
    /// ```
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        point("RwLock read", std::ptr::from_ref(self).cast());
        RwLockReadGuard { pass: self.raw.readers.enter(), lock: self }
    }

    /// Locks for writing; parks while others are in. Go: `RWMutex.Lock`.
    ///
    /// ```
    /// let lock = gosched_runtime::sync::RwLock::new(1);
    /// *lock.write() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        point("RwLock write", std::ptr::from_ref(self).cast());
        self.raw.write();
        RwLockWriteGuard { lock: self }
    }

    /// Locks for reading where no writer is in or waits. Never parks.
    ///
    /// ```
    /// let lock = gosched_runtime::sync::RwLock::new(1);
    /// let writing = lock.write();
    /// assert!(lock.try_read().is_none());
    /// drop(writing);
    /// assert!(lock.try_read().is_some());
    /// ```
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        point("RwLock try_read", std::ptr::from_ref(self).cast());
        self.raw.readers.try_enter().map(|pass| RwLockReadGuard { lock: self, pass })
    }

    /// Locks for writing where nobody is in. Never parks.
    ///
    /// ```
    /// let lock = gosched_runtime::sync::RwLock::new(1);
    /// let reading = lock.read();
    /// assert!(lock.try_write().is_none());
    /// drop(reading);
    /// assert!(lock.try_write().is_some());
    /// ```
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        point("RwLock try_write", std::ptr::from_ref(self).cast());
        self.raw.try_write().then(|| RwLockWriteGuard { lock: self })
    }

    /// The value, without locking: the `&mut` proves that nobody else is here. Never parks.
    ///
    /// ```
    /// let mut lock = gosched_runtime::sync::RwLock::new(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

/// What this project's own tests look at. Not part of the interface.
#[doc(hidden)]
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
impl<T> RwLock<T> {
    /// Biases it to its readers (readers.rs). By a reader that is in.
    pub fn __begin_bias(_in: &RwLockReadGuard<'_, T>) {
        _in.lock.raw.readers.begin_bias();
    }

    pub fn __is_biased(&self) -> bool {
        self.raw.readers.is_biased()
    }

    /// How many readers sleep behind a writer, and writers behind readers.
    pub fn __asleep(&self) -> (usize, usize) {
        self.raw.readers.asleep()
    }

    /// Nobody is in, and nobody has been forgotten.
    pub fn __assert_free(&self) {
        self.raw.readers.assert_free();
    }

    pub fn __in_slot(guard: &RwLockReadGuard<'_, T>) -> bool {
        guard.pass.in_slot()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    /// Shows the value where it can be read at once, `<locked>` where not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => d.field("data", &&*guard),
            None => d.field("data", &format_args!("<locked>")),
        };
        d.finish_non_exhaustive()
    }
}

/// A read lock of a [`RwLock`]; dropping it releases it, and never parks.
///
/// `Send` where `T` is `Send` and `Sync`: two of these are two `&T`, in different places perhaps.
///
/// ```
/// let lock = gosched_runtime::sync::RwLock::new(1);
/// let (a, b) = (lock.read(), lock.read());
/// assert_eq!(*a + *b, 2);
/// assert!(lock.try_write().is_none());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// Read-locked, once, by this guard. (`&RwLock<T>` is Send where T is Send + Sync, and so is the guard.)
    lock: &'a RwLock<T>,
    pass: Pass,
}

// SAFETY: a shared guard gives out &T and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

/// The write lock of a [`RwLock`]; dropping it releases it, and never parks.
///
/// `Send` where `T` is `Send` and `Sync`.
///
/// ```
/// let lock = gosched_runtime::sync::RwLock::new(1);
/// let mut writing = lock.write();
/// *writing += 1;
/// assert!(lock.try_read().is_none());
/// drop(writing);
/// assert_eq!(*lock.read(), 2);
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    /// Write-locked, by this guard.
    lock: &'a RwLock<T>,
}

// SAFETY: a shared guard gives out &T and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Makes a read lock of the write lock; no writer comes between. Readers that wait go on.
    ///
    /// ```
    /// use gosched_runtime::sync::{RwLock, RwLockWriteGuard};
    /// let lock = RwLock::new(1);
    /// let mut writing = lock.write();
    /// *writing = 2;
    /// let reading = RwLockWriteGuard::downgrade(writing);
    /// assert_eq!((*reading, *lock.read()), (2, 2));
    /// ```
    pub fn downgrade(s: Self) -> RwLockReadGuard<'a, T> {
        let lock = s.lock;
        std::mem::forget(s);
        // SAFETY: the write lock was s's; the read lock that is left becomes the new guard's.
        unsafe { lock.raw.unlock_write(true) };
        RwLockReadGuard { lock, pass: Readers::READING }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a reader is in, so that no writer is.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the writer is in, so that nobody else is.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in deref; the guard itself is borrowed exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        point("RwLock unlock_read", std::ptr::from_ref(self.lock).cast());
        // SAFETY: the guard has a read lock, and gives it up once.
        unsafe { self.lock.raw.readers.leave(self.pass) }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        point("RwLock unlock_write", std::ptr::from_ref(self.lock).cast());
        // SAFETY: the guard has the write lock, and gives it up once.
        unsafe { self.lock.raw.unlock_write(false) }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex as StdMutex};
    use std::thread::{self, JoinHandle};

    #[test]
    fn a_waiting_writer_blocks_later_readers_and_they_go_before_the_next_writer() {
        for _ in 0..50 {
            let lock = Arc::new(RwLock::new(()));
            let order = Arc::new(StdMutex::new(String::new()));
            let start = |what: char, ready: &dyn Fn(&RawRwLock) -> bool| -> JoinHandle<()> {
                let (shared, order) = (Arc::clone(&lock), Arc::clone(&order));
                let t = thread::spawn(move || {
                    let note = || order.lock().unwrap().push(what);
                    match what {
                        'r' => drop((shared.read(), note())),
                        _ => drop((shared.write(), note())),
                    }
                });
                while !ready(&lock.raw) {
                    thread::yield_now();
                }
                t
            };
            let reading = lock.read();
            let threads = [
                start('1', &|raw| raw.readers.asleep().1 == 1),
                start('r', &|raw| raw.readers.asleep().0 == 1),
                start('2', &|raw| raw.writers.has_waiters()),
                start('r', &|raw| raw.readers.asleep().0 == 2),
            ];
            assert!(lock.try_read().is_none() && lock.try_write().is_none());
            drop(reading);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*order.lock().unwrap(), "1rr2");
            lock.raw.readers.assert_free();
        }
    }
}
