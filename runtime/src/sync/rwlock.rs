//! `RwLock`: many readers or one writer (Go: sync/rwmutex.go).
//!
//! ## Who waits for whom
//! A writer that waits blocks the readers that come after it, so that writers do not starve; the readers that queued up
//! behind a writer go before the next writer, so that readers do not either.
//!
//! ```text
//!   readers: AtomicI64     r            r readers are in
//!                          r - WRITER   a writer has come: of the r some are in, the others wait behind it
//!   leaving: AtomicI64     while a writer waits: how many of the readers that it found must still leave
//!
//!   read     readers += 1;  below zero? sleep in reader_sema
//!   unread   readers -= 1;  below zero? leaving -= 1, and who makes it 0 wakes the writer
//!   write    take `writers`;  readers -= WRITER, r were in;  leaving += r;  not 0? sleep in writer_sema
//!   unwrite  readers += WRITER, r wait;  wake them all;  release `writers`
//! ```
//! `leaving` may be below zero for a moment: readers leave between the two steps of `write`. It comes out at zero for
//! exactly one of those who change it, who wakes the writer or is the writer.
//!
//! The counters have 64 bits because a guard that is forgotten counts for ever: nobody can forget 2^62 of them.
//!
//! A writer sees what earlier readers and writers did: read-modify-writes of `readers` that Release on the way out and
//! Acquire on the way in; the last reader hands it on through `leaving` (both) and the semaphore. A reader sees what the
//! last writer did, by `readers` or by the semaphore.

use super::mutex::RawMutex;
use crate::loom::atomic::{AtomicI64, AtomicU32, Ordering};
use crate::loom::sound;
use crate::park::{WaitReason, point};
use crate::sema::{semacquire, semrelease};
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Taken off `readers` by a writer.
const WRITER: i64 = 1 << 62;

/// The lock without the value.
struct RawRwLock {
    /// Held by the writer that is in or waits for the readers to leave; the other writers wait here.
    writers: RawMutex,
    readers: AtomicI64,
    leaving: AtomicI64,
    /// Where readers sleep that wait for a writer.
    reader_sema: AtomicU32,
    /// Where the writer sleeps that waits for readers.
    writer_sema: AtomicU32,
}

impl RawRwLock {
    const fn new() -> RawRwLock {
        RawRwLock {
            writers: RawMutex::new(),
            readers: AtomicI64::new(0),
            leaving: AtomicI64::new(0),
            reader_sema: AtomicU32::new(0),
            writer_sema: AtomicU32::new(0),
        }
    }

    #[inline]
    fn read(&self) {
        // Acquire: pairs with the Release in unlock_write.
        if self.readers.fetch_add(1, Ordering::Acquire) < 0 {
            self.read_slow();
        }
    }

    #[cold]
    fn read_slow(&self) {
        semacquire(&self.reader_sema, false, WaitReason::SyncRWMutexRLock);
    }

    #[inline]
    fn try_read(&self) -> bool {
        let mut r = self.readers.load(Ordering::Relaxed);
        while r >= 0 {
            // Acquire: as in read.
            match self.readers.compare_exchange_weak(r, r + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => r = now,
            }
        }
        false
    }

    /// # Safety
    /// The caller has a read lock, and gives it up.
    #[inline]
    unsafe fn unlock_read(&self) {
        // Release: our reads are over before the next writer writes; pairs with the Acquires in write and try_write.
        if self.readers.fetch_sub(1, Ordering::Release) < 0 {
            self.unlock_read_slow();
        }
    }

    #[cold]
    fn unlock_read_slow(&self) {
        // AcqRel: the last one collects the others' Releases and hands them to the writer.
        if self.leaving.fetch_sub(1, Ordering::AcqRel) == 1 {
            semrelease(&self.writer_sema, true);
        }
    }

    #[inline]
    fn write(&self) {
        self.writers.lock(WaitReason::SyncRWMutexLock);
        // Acquire: pairs with the Release of every reader that has left.
        let r = self.readers.fetch_sub(WRITER, Ordering::Acquire);
        if r != 0 {
            self.write_slow(r);
        }
    }

    #[cold]
    fn write_slow(&self, r: i64) {
        // Acquire: where all r have left by now, pairs with their AcqRel in unlock_read_slow.
        let some_are_in = self.leaving.fetch_add(r, Ordering::AcqRel) + r != 0;
        if some_are_in || !sound("rwlock: the writer sees that all have left") {
            semacquire(&self.writer_sema, false, WaitReason::SyncRWMutexLock);
        }
    }

    #[inline]
    fn try_write(&self) -> bool {
        if !self.writers.try_lock() {
            return false;
        }
        // Acquire: as in write.
        if self.readers.compare_exchange(0, -WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return true;
        }
        // SAFETY: we have just locked it.
        unsafe { self.writers.unlock() };
        false
    }

    /// # Safety
    /// The caller has the write lock, and gives it up; for `keep_reading` 1 it has a read lock instead, for 0 none.
    #[inline]
    unsafe fn unlock_write(&self, keep_reading: i64) {
        // Release: publishes what was written to the readers, and through `writers` to the next writer.
        let waiting = self.readers.fetch_add(WRITER + keep_reading, Ordering::Release) + WRITER;
        for _ in 0..waiting {
            semrelease(&self.reader_sema, true);
        }
        // SAFETY: the writer holds it. Only now: the waiting readers are in before the next writer comes.
        unsafe { self.writers.unlock() };
    }
}

/// A lock that many may read under or one may write under: `std::sync::RwLock`'s shape, Go's rules, no poisoning.
///
/// A writer that waits blocks readers that come later, and the readers that queued behind a writer go before the next
/// writer. So neither starves; but who holds a read lock and asks for a second one can deadlock with a writer that came
/// between, as in Go. Goroutines park, plain threads block; guards may be held across parks and sent elsewhere.
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
        self.raw.read();
        RwLockReadGuard { lock: self }
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
        self.raw.try_read().then(|| RwLockReadGuard { lock: self })
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
        unsafe { lock.raw.unlock_write(1) };
        RwLockReadGuard { lock }
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
        unsafe { self.lock.raw.unlock_read() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        point("RwLock unlock_write", std::ptr::from_ref(self.lock).cast());
        // SAFETY: the guard has the write lock, and gives it up once.
        unsafe { self.lock.raw.unlock_write(0) }
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
    use crate::sema::waiting;
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
                start('1', &|raw| waiting(&raw.writer_sema) == 1),
                start('r', &|raw| waiting(&raw.reader_sema) == 1),
                start('2', &|raw| raw.writers.has_waiters()),
                start('r', &|raw| waiting(&raw.reader_sema) == 2),
            ];
            assert!(lock.try_read().is_none() && lock.try_write().is_none());
            drop(reading);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*order.lock().unwrap(), "1rr2");
            assert_eq!(lock.raw.readers.load(Ordering::Relaxed), 0);
            assert_eq!(lock.raw.leaving.load(Ordering::Relaxed), 0);
        }
    }
}
