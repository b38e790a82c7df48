//! Futex from a mutex and a condition variable: every platform without one of its own, and loom's models.

use crate::loom::atomic::{AtomicU32, Ordering};
use crate::loom::{Condvar, Mutex, sound};
use std::time::Duration;

/// A 32-bit word that threads can sleep on until it changes; the contract is that of the Linux file.
///
/// The mutex orders `wait`'s look at the word against `wake_one`: a waker changes the word first and then passes
/// through the mutex, so a waiter either sees the new word or is already in the condition variable's queue.
pub(crate) struct Futex {
    word: AtomicU32,
    lock: Mutex<()>,
    cond: Condvar,
}

impl Futex {
    pub(crate) fn new(v: u32) -> Futex {
        Futex { word: AtomicU32::new(v), lock: Mutex::new(()), cond: Condvar::new() }
    }

    #[inline]
    pub(crate) fn load(&self, o: Ordering) -> u32 {
        self.word.load(o)
    }

    #[inline]
    pub(crate) fn swap(&self, v: u32, o: Ordering) -> u32 {
        self.word.swap(v, o)
    }

    #[inline]
    pub(crate) fn store(&self, v: u32, o: Ordering) {
        self.word.store(v, o)
    }

    /// Puts `new` in place of `old`, with this ordering; whether it was there. (rawlock.rs, which is for Linux and loom.)
    #[cfg(gosched_loom)]
    #[inline]
    pub(crate) fn compare_exchange(&self, old: u32, new: u32, o: Ordering) -> bool {
        self.word.compare_exchange(old, new, o, Ordering::Relaxed).is_ok()
    }

    /// Sleeps while the word is `expected`, at most for `timeout`. May return at any time without cause.
    pub(crate) fn wait(&self, expected: u32, timeout: Option<Duration>) {
        let guard = self.lock.lock().unwrap();
        // Relaxed: the mutex orders this look after the change of any waker that has already been through it.
        if self.word.load(Ordering::Relaxed) == expected || !sound("futex: word checked under the lock") {
            match timeout {
                Some(d) => drop(self.cond.wait_timeout(guard, d)),
                None => drop(self.cond.wait(guard)),
            }
        }
    }

    /// Wakes one sleeper, if there is one.
    pub(crate) fn wake_one(&self) {
        drop(self.lock.lock().unwrap());
        self.cond.notify_one();
    }
}
