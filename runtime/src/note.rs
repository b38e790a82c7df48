//! A note: one thread sleeps on it, once; one thread wakes it, once (Go: runtime/lock_futex.go).
//!
//! ```text
//!   clear (0) ──notewakeup──► woken (1) ──noteclear──► clear
//!      │                         ▲
//!      └─ notesleep: sleeps while 0, returns at 1
//! ```
//!
//! Ms sleep on a note when they have no work, and plain threads when they wait for a channel. The wake-up may come
//! before the sleep: the word remembers it. What the waker wrote before `notewakeup` is seen after `notesleep`.
//!
//! After `notewakeup` has set the word the sleeper may be gone, and its memory with it. That is why a note must live in
//! memory that is never given back (Ms and thread parkers are recycled, not freed): the portable futex still passes
//! through its mutex after the word is set.

use crate::loom::atomic::Ordering;
use crate::loom::sound;
use crate::sys::Futex;
use std::time::{Duration, Instant};

const CLEAR: u32 = 0;
const WOKEN: u32 = 1;

pub(crate) struct Note {
    key: Futex,
}

impl Note {
    #[cfg(not(any(not(target_os = "linux"), gosched_loom)))]
    pub(crate) const fn new() -> Note {
        Note { key: Futex::new(CLEAR) }
    }

    #[cfg(any(not(target_os = "linux"), gosched_loom))]
    pub(crate) fn new() -> Note {
        Note { key: Futex::new(CLEAR) }
    }

    /// Makes the note usable again. Only the sleeper calls it, and only while no wake-up can be under way.
    pub(crate) fn noteclear(&self) {
        // Relaxed: the next waker learns of this note from something the sleeper publishes later (a list under a
        // lock, a channel's queue), which carries this store along.
        self.key.store(CLEAR, Ordering::Relaxed);
    }

    /// Wakes the sleeper, now or when it comes to sleep.
    ///
    /// # Panics
    /// On the second wake-up since the last `noteclear`: two wakers believed to be the one.
    pub(crate) fn notewakeup(&self) {
        // Release: what the waker did before is seen by the sleeper; pairs with the Acquire in `is_woken`.
        let release = if sound("note: wake-up releases") { Ordering::Release } else { Ordering::Relaxed };
        let old = self.key.swap(WOKEN, release);
        assert_eq!(old, CLEAR, "notewakeup - double wakeup");
        self.key.wake_one();
    }

    /// Sleeps until woken; returns at once where the wake-up has come already.
    pub(crate) fn notesleep(&self) {
        while !self.is_woken() {
            self.key.wait(CLEAR, None);
        }
    }

    /// Sleeps until woken or until `deadline`; true when woken.
    pub(crate) fn notetsleep(&self, deadline: Instant) -> bool {
        loop {
            if self.is_woken() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.key.wait(CLEAR, Some(left.min(Duration::from_secs(3600))));
        }
    }

    /// Whether the wake-up has come.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        // Acquire: pairs with the Release in `notewakeup`.
        self.key.load(Ordering::Acquire) == WOKEN
    }
}
