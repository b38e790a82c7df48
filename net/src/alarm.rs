//! The alarm of a poll descriptor: one timer, for the deadlines of both directions (Go: runtime/netpoll.go, `rt` and `wt` of
//! the pollDesc, `netpollDeadline`).
//!
//! A server pushes a connection's deadline on with every request, and nearly no deadline ever passes. So the timer is not
//! started and stopped with each wait. It stays where it is while deadlines move away from it; when it rings too early it is
//! started again, for the deadline that is the waiter's then. A connection with a deadline of a minute has one timer a minute,
//! whatever it does meanwhile. (Go moves its timer lazily in the same way, but inside the heap.)
//!
//! ```text
//!   at: when it rings; NEVER: there is no timer
//!
//!   waiter (parkword.rs)                          alarm, on a thread of the scheduler
//!   begin         the word: Nil ─► Wait           rings(at)    at = NEVER
//!   cover(d)      at ≤ d? nothing to do           touch        each word: is there a waiter?
//!                 else: a timer for d               no         nothing
//!   gopark                                          passed     fire(false): the waiter looks for itself
//!                                                   not yet    cover(d)
//! ```
//! ## Why no deadline is slept through
//! It is the argument of parkword.rs: `begin` and `touch` both write to the word, so one of them comes first in its order.
//! - `begin` first: `touch` finds the waiter, and with it the deadline that it has; it wakes or covers it.
//! - `touch` first: `begin` reads from it, so that `cover` sees `at` as `rings` has left it, and starts a timer.
//!
//! A deadline that is moved to an earlier moment fires the word (polldesc.rs), and the waiter covers the new one. One that is
//! taken away leaves a timer which rings for nobody. (So a deadlock of all goroutines beside an open socket that nobody reads is
//! reported only after it has rung.)
//!
//! A timer may be late for all that, and ring in the descriptor's next use. It finds no waiter there, or one whose deadline it
//! looks at.
//!
//! Waits with a limit of their own (`set_read_timeout`), and those of plain threads, do not use it: `gopark_timeout`.

use crate::loom::atomic::{AtomicU64, Ordering};
use crate::loom::{Mutex, MutexGuard};

const NEVER: u64 = u64::MAX;

/// See the file's head. `T` is a started timer.
pub(crate) struct Alarm<T> {
    /// Written under the lock.
    at: AtomicU64,
    timer: Mutex<Option<T>>,
}

impl<T> Alarm<T> {
    pub(crate) fn new() -> Alarm<T> {
        Alarm { at: AtomicU64::new(NEVER), timer: Mutex::new(None) }
    }

    fn timer(&self) -> MutexGuard<'_, Option<T>> {
        // Starting a timer may panic before it has done anything.
        self.timer.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Sees to it that it rings at `when`, or before.
    #[inline]
    pub(crate) fn cover(&self, when: u64, start: impl FnOnce(u64) -> T, stop: impl FnOnce(T)) {
        // Relaxed: ordered by the word, see the file's head.
        if self.at.load(Ordering::Relaxed) > when {
            self.cover_slow(when, start, stop);
        }
    }

    #[cold]
    fn cover_slow(&self, when: u64, start: impl FnOnce(u64) -> T, stop: impl FnOnce(T)) {
        let mut timer = self.timer();
        if self.at.load(Ordering::Relaxed) <= when {
            return;
        }
        let later = timer.replace(start(when));
        self.at.store(when, Ordering::Relaxed);
        if let Some(later) = later {
            stop(later);
        }
    }

    /// The timer for `when` is being called: it does not stand for anybody any more.
    pub(crate) fn rings(&self, when: u64) {
        let mut timer = self.timer();
        // Otherwise it is one that was stopped too late.
        if self.at.load(Ordering::Relaxed) == when {
            self.at.store(NEVER, Ordering::Relaxed);
            *timer = None;
        }
    }

    /// It need not ring any more: nobody waits, nor will before a `cover`.
    pub(crate) fn silence(&self, stop: impl FnOnce(T)) {
        if self.at.load(Ordering::Relaxed) == NEVER {
            return;
        }
        let mut timer = self.timer();
        self.at.store(NEVER, Ordering::Relaxed);
        if let Some(t) = timer.take() {
            stop(t);
        }
    }
}

#[cfg(gosched_loom)]
impl<T> Alarm<T> {
    /// When it rings, if it does.
    pub(crate) fn rings_at(&self) -> Option<u64> {
        let timer = self.timer();
        timer.is_some().then(|| self.at.load(Ordering::Relaxed))
    }
}
