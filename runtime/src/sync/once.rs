//! `Once`: something is done once, and whoever comes meanwhile waits until it is (Go: sync/once.go).
//!
//! One flag says that it is done; a mutex, held while it is being done, makes the others wait and one of them take over
//! where it came to nothing. `OnceLock` puts a value next to the same `RawOnce`.
//!
//! ```text
//!   done    running   waiters
//!   false   free      n        not begun, or begun and given up (OnceLock); n wait who will not do it themselves
//!   false   held      n        being done by the holder
//!   true    any       0        done
//! ```

use super::mutex::RawMutex;
use crate::loom::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::park::{WaitReason, point};
use crate::sema::{semacquire, semrelease};
use std::fmt;

/// What `Once` and `OnceLock` have in common.
pub(super) struct RawOnce {
    /// Set once, under `running`.
    done: AtomicBool,
    running: RawMutex,
    /// How many sleep in `wait`. Belongs to who holds `running`.
    waiters: AtomicU32,
    /// Where they sleep.
    sema: AtomicU32,
}

/// The end of a run, whichever way: releases `running`, and lets the waiters go where it is done.
struct End<'a> {
    once: &'a RawOnce,
    done: bool,
}

impl RawOnce {
    pub(super) const fn new() -> RawOnce {
        RawOnce {
            done: AtomicBool::new(false),
            running: RawMutex::new(),
            waiters: AtomicU32::new(0),
            sema: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(super) fn is_done(&self) -> bool {
        // Acquire: what was done is seen; pairs with the Release in End::drop.
        self.done.load(Ordering::Acquire)
    }

    /// Runs `f` unless it is done, which it is then; where `f` panics, `panic_counts` says whether.
    ///
    /// `f` runs at most once at a time, and never again once it is done.
    #[cold]
    pub(super) fn run_slow(&self, panic_counts: bool, f: impl FnOnce()) {
        self.running.lock(WaitReason::SyncMutexLock);
        let mut end = End { once: self, done: panic_counts };
        // Relaxed: it is set under the lock that we hold.
        if !self.done.load(Ordering::Relaxed) {
            f();
        }
        end.done = true;
    }

    /// Waits until it is done by somebody else.
    pub(super) fn wait(&self) {
        if self.is_done() {
            return;
        }
        self.running.lock(WaitReason::SyncMutexLock);
        // Relaxed, all three: these belong to the lock.
        let done = self.done.load(Ordering::Relaxed);
        if !done {
            self.waiters.store(self.waiters.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        // SAFETY: we have just locked it.
        unsafe { self.running.unlock() };
        if !done {
            semacquire(&self.sema, false, WaitReason::SyncCondWait);
        }
    }

    /// With `&mut`: makes it undone; true where it was done.
    pub(super) fn reset(&mut self) -> bool {
        std::mem::take(self.done.get_mut())
    }

    /// With `&mut`: whether it is done.
    pub(super) fn is_done_mut(&mut self) -> bool {
        *self.done.get_mut()
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut waiters = 0;
        if self.done {
            // Release: publishes what was done; pairs with the Acquire in is_done.
            self.once.done.store(true, Ordering::Release);
            // Relaxed: it belongs to the lock that we hold.
            waiters = self.once.waiters.load(Ordering::Relaxed);
            self.once.waiters.store(0, Ordering::Relaxed);
        }
        // SAFETY: run_slow locked it, for the one End that there is.
        unsafe { self.once.running.unlock() };
        for _ in 0..waiters {
            semrelease(&self.once.sema, true);
        }
    }
}

/// Does something once: `std::sync::Once`'s shape, Go's meaning.
///
/// A closure that panics, or is ended by `goexit`, counts as done: later calls return at once. (`std`'s would be
/// poisoned.) Calling `call_once` of the same `Once` from within its closure is a deadlock.
///
/// ```
/// use gosched_runtime::sync::Once;
///
/// static START: Once = Once::new();
/// let mut started = 0;
/// for _ in 0..3 {
///     START.call_once(|| started += 1);
/// }
/// assert_eq!(started, 1);
/// ```
pub struct Once {
    raw: RawOnce,
}

impl Once {
    /// Nothing is done yet.
    ///
    /// ```
    /// assert!(!gosched_runtime::sync::Once::new().is_completed());
    /// ```
    pub const fn new() -> Once {
        Once { raw: RawOnce::new() }
    }

    /// Runs `f` where this is the first call; when it returns, the first call's closure is through. Parks while that
    /// runs elsewhere. Go: `Once.Do`.
    ///
    /// What the closure did is seen by every caller.
    ///
    /// # Panics
    /// Where `f` does; only in the call that ran it.
    ///
    /// ```
    /// let once = gosched_runtime::sync::Once::new();
    /// once.call_once(|| println!("now"));
    /// once.call_once(|| unreachable!());
    /// ```
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        point("Once call_once", std::ptr::from_ref(self).cast());
        if !self.raw.is_done() {
            self.raw.run_slow(true, f);
        }
    }

    /// Whether the closure is through. Never parks.
    ///
    /// ```
    /// let once = gosched_runtime::sync::Once::new();
    /// once.call_once(|| assert!(!once.is_completed()));
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        point("Once is_completed", std::ptr::from_ref(self).cast());
        self.raw.is_done()
    }

    /// Parks until somebody else has done it.
    ///
    /// ```
    /// static ONCE: gosched_runtime::sync::Once = gosched_runtime::sync::Once::new();
    /// let t = std::thread::spawn(|| ONCE.call_once(|| ()));
    /// ONCE.wait();
    /// assert!(ONCE.is_completed());
    /// # t.join().unwrap();
    /// ```
    pub fn wait(&self) {
        point("Once wait", std::ptr::from_ref(self).cast());
        self.raw.wait();
    }
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
