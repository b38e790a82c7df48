//! `Condvar`: wait for a change that somebody else makes under the same mutex (Go: sync/cond.go, and notifyList in
//! runtime/sema.go).
//!
//! ## Why no notification is lost
//! ```text
//!   waiter (holds the mutex)                  notifier
//!   enqueue; waiters = 1                      take the mutex, make the change, release it (before or after notifying)
//!   release the mutex                         waiters == 0? done
//!   lock the queue                            lock the queue, take the first out, unlock
//!     out already? back                       it was parked? ready it
//!     park, unlocking the queue
//!   take the mutex
//! ```
//! The waiter stands in the queue *before* it lets the mutex go. A notifier whose change the waiter did not see took the
//! mutex after that, and so finds it there, asleep or not (queue.rs has the state between). Go gets the same from a
//! ticket drawn before the unlock; a ticket, though, cannot be handed back by somebody whose time is up.
//!
//! The order is that of the calls to `wait`: first come, first notified.

use super::deadline_in;
use super::mutex::MutexGuard;
use super::queue::{Queue, Record, WokenList, park, queue};
use crate::loom::atomic::{AtomicUsize, Ordering};
use crate::loom::sound;
use crate::park::{WaitReason, Woken, point};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// A condition variable: `std::sync::Condvar`'s shape, first come first notified.
///
/// It goes with a [`Mutex`](super::Mutex) around what the condition is about. It may be used with several, one after the
/// other or at once: a waiter just comes back with the mutex that it gave.
///
/// There are no wake-ups without cause, but between a notification and the return of `wait` others may have had the
/// mutex: wait in a loop, or with [`wait_while`](Self::wait_while).
///
/// ```
/// use gosched_runtime::sync::{Condvar, Mutex};
///
/// static READY: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
/// let t = std::thread::spawn(|| {
///     *READY.0.lock() = true;
///     READY.1.notify_one();
/// });
/// let mut ready = READY.0.lock();
/// while !*ready {
///     ready = READY.1.wait(ready);
/// }
/// # t.join().unwrap();
/// ```
pub struct Condvar {
    queue: Queue,
    /// The length of `queue`. Written under its lock, read without it by notifiers.
    waiters: AtomicUsize,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

/// Whether a wait with a timeout ended by the timeout.
///
/// ```
/// use gosched_runtime::sync::{Condvar, Mutex};
/// let (m, cv) = (Mutex::new(()), Condvar::new());
/// let (_guard, result) = cv.wait_timeout(m.lock(), std::time::Duration::ZERO);
/// assert!(result.timed_out());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// True where the time was up before a notification came.
    ///
    /// ```
    /// use gosched_runtime::sync::{Condvar, Mutex};
    /// let (m, cv) = (Mutex::new(()), Condvar::new());
    /// let (_guard, result) = cv.wait_timeout(m.lock(), std::time::Duration::from_millis(1));
    /// assert!(result.timed_out());
    /// ```
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition variable that nobody waits for.
    ///
    /// ```
    /// static CV: gosched_runtime::sync::Condvar = gosched_runtime::sync::Condvar::new();
    /// CV.notify_all(); // nobody there: nothing happens
    /// ```
    pub const fn new() -> Condvar {
        Condvar { queue: queue(), waiters: AtomicUsize::new(0) }
    }

    /// Releases the mutex and parks until a notification; then takes the mutex again. Go: `Cond.Wait`.
    ///
    /// No notification that comes after the mutex was released is missed.
    ///
    /// ```
    /// use gosched_runtime::sync::{Condvar, Mutex};
    /// let (m, cv) = (Mutex::new(false), Condvar::new());
    /// std::thread::scope(|s| {
    ///     let mut told = m.lock();
    ///     s.spawn(|| {
    ///         *m.lock() = true; // only once the other waits
    ///         cv.notify_one();
    ///     });
    ///     told = cv.wait(told);
    ///     assert!(*told);
    /// });
    /// ```
    pub fn wait<'a, T: ?Sized>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(&mut guard, None);
        guard
    }

    /// Waits as long as `condition` gives true, asked under the mutex, at first before any waiting.
    ///
    /// ```
    /// use gosched_runtime::sync::{Condvar, Mutex};
    /// let (m, cv) = (Mutex::new(0), Condvar::new());
    /// std::thread::scope(|s| {
    ///     s.spawn(|| (0..3).for_each(|_| { *m.lock() += 1; cv.notify_one() }));
    ///     let n = cv.wait_while(m.lock(), |n| *n < 3);
    ///     assert_eq!(*n, 3);
    /// });
    /// ```
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> MutexGuard<'a, T>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Waits as [`wait`](Self::wait) does, but gives up after `d`. The mutex is taken again in any case, however long
    /// that takes.
    ///
    /// ```
    /// use gosched_runtime::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    /// let (m, cv) = (Mutex::new(()), Condvar::new());
    /// let (_guard, result) = cv.wait_timeout(m.lock(), Duration::from_millis(1));
    /// assert!(result.timed_out());
    /// ```
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        d: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let timed_out = self.wait_until(&mut guard, deadline_in(d));
        (guard, WaitTimeoutResult(timed_out))
    }

    /// Waits as [`wait_while`](Self::wait_while) does, but no longer than `d` in all. `timed_out` tells that the
    /// condition was still true when the time was up.
    ///
    /// ```
    /// use gosched_runtime::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    /// let (m, cv) = (Mutex::new(1), Condvar::new());
    /// let (n, result) = cv.wait_timeout_while(m.lock(), Duration::from_millis(1), |n| *n == 1);
    /// assert!(*n == 1 && result.timed_out());
    /// ```
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        d: Duration,
        mut condition: F,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult)
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = deadline_in(d);
        let mut timed_out = false;
        // After the time is up the condition is asked once more: a change counts even where its notification came late.
        while condition(&mut *guard) {
            if timed_out {
                return (guard, WaitTimeoutResult(true));
            }
            timed_out = self.wait_until(&mut guard, deadline);
        }
        (guard, WaitTimeoutResult(false))
    }

    /// Ends the wait of the one who has waited longest; without waiters nothing happens. Never parks. Go: `Cond.Signal`.
    ///
    /// It may be called with the mutex held or not.
    ///
    /// ```
    /// gosched_runtime::sync::Condvar::new().notify_one();
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        point("Condvar notify_one", std::ptr::from_ref(self).cast());
        if self.has_waiters() {
            self.notify_slow(1);
        }
    }

    /// Ends the waits of all who wait now, in the order in which they came. Never parks. O(those who wait). Go:
    /// `Cond.Broadcast`.
    ///
    /// ```
    /// gosched_runtime::sync::Condvar::new().notify_all();
    /// ```
    #[inline]
    pub fn notify_all(&self) {
        point("Condvar notify_all", std::ptr::from_ref(self).cast());
        if self.has_waiters() {
            self.notify_slow(usize::MAX);
        }
    }

    #[inline]
    fn has_waiters(&self) -> bool {
        // Relaxed: a waiter that must see our notification enqueued before it released the mutex, and we had that mutex
        // since; so this load sees its store, or a later one.
        self.waiters.load(Ordering::Relaxed) != 0
    }

    #[cold]
    fn notify_slow(&self, most: usize) {
        let mut woken = WokenList::new(); // before the lock, so dropped after it
        let mut list = self.queue.lock();
        let mut left = most;
        while left != 0 && list.len() != 0 {
            // One that had given up already does not count.
            left -= usize::from(list.wake_first(&mut woken));
        }
        self.waiters.store(list.len(), Ordering::Relaxed);
    }

    /// True where the deadline ended it.
    fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, deadline: Option<Instant>) -> bool {
        point("Condvar wait", std::ptr::from_ref(self).cast());
        let mut record = Record::new(0);
        // From here on the record is reached through this pointer alone.
        let me = &raw mut record;
        let mut list = self.queue.lock();
        // SAFETY: we hold the lock; the record is on this stack, and out of the queue before we return: taken by a
        // notifier, or by `leave` in sleep.
        unsafe { list.enqueue(me) };
        self.waiters.store(list.len(), Ordering::Relaxed);
        drop(list);
        // SAFETY: `sleep` does not unwind (and the record is queued, in what it asks for).
        unsafe { MutexGuard::unlocked(guard, || self.sleep(me, deadline)) }
    }

    /// From the queue to the end of the wait; true where the deadline ended it.
    ///
    /// # Safety
    /// `me` was put in our queue by the caller, whose own it is.
    unsafe fn sleep(&self, me: *mut Record, deadline: Option<Instant>) -> bool {
        let list = self.queue.lock();
        // SAFETY: the record is the caller's own.
        if unsafe { list.is_out(me) } && sound("condvar: looks whether it is out already") {
            return false;
        }
        // SAFETY: the record is in the queue, which we have locked; where the time is up we leave it below.
        if unsafe { park(&self.queue, list, me, WaitReason::SyncCondWait, deadline) } == Woken::Readied {
            return false;
        }
        let mut list = self.queue.lock();
        // SAFETY: the time was up, so nobody has claimed the record.
        unsafe { list.leave(me) };
        self.waiters.store(list.len(), Ordering::Relaxed);
        true
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_notification_before_the_sleep_ends_the_wait_all_the_same() {
        let cv = Condvar::new();
        for all in [false, true] {
            let mut record = Record::new(0);
            let me = &raw mut record;
            // What wait_until does before it lets the mutex go.
            let mut list = cv.queue.lock();
            // SAFETY: the record outlives its time in the queue, which the notification or `sleep` ends.
            unsafe { list.enqueue(me) };
            cv.waiters.store(list.len(), Ordering::Relaxed);
            drop(list);
            match all {
                true => cv.notify_all(),
                false => cv.notify_one(),
            }
            assert!(!cv.has_waiters());
            // SAFETY: it was put in the queue, and is ours.
            let timed_out = unsafe { cv.sleep(me, deadline_in(Duration::from_secs(20))) };
            assert!(!timed_out, "the notification was lost");
        }
    }
}
