//! Who waits in the poller, and until when: one M at most, and never beyond the earliest timer of all.
//!
//! ```text
//!   starts a timer (wake.rs)                   goes idle (findrunnable.rs)
//!   T1  put it in a heap                       I1..I3 of spinning.rs: give the P up, full fence
//!   T2  full fence                             I4  the earliest timer of all heaps: `until`
//!   T3  the token is taken?                    I5  take the token; or, if somebody has it and his `until` is later
//!         his `until` is later: break him           than ours: break him, and sleep
//!       else: wakep, as for any work           I6  publish `until`, wait in the poller, take the P back
//! ```
//! ## Why no timer is slept through
//! One of T2 and I3 comes first. T2 before I3: the timer is seen in I4. I3 before T2: the starter sees the P idle. If the
//! token is free, it wakes an M, which comes to I4 itself (or sees a spinner, who does: spinning.rs). If the token is taken,
//! it sees in `until` what is there now, or 0, which stands for "for ever" and for "not published yet": then it breaks, and
//! a break that finds nobody waiting ends the next wait at once.
//!
//! A holder who comes out early enough is relied upon: by starters who see that, and by Ms that sleep because of it. He takes
//! a P and looks everywhere again, so that the same holds for him. He clears `until` before he gives the token back, and so
//! before his next I3: a starter who comes after that does not believe what he has left.
//!
//! With one exception, as in Go: he who comes out with a goroutine in hand runs that, and not many can be woken for each
//! event of a socket only to take his place. Then nobody waits in the poller, though some may rely on it; and should that
//! goroutine run on for long, a timer is due and nobody comes by it, while a P is idle. sysmon sees to that (sysmon.rs).
//!
//! Model: tests/loom_polltoken.rs.

use crate::loom::atomic::{AtomicU64, Ordering, fence};
use crate::loom::sound;
use crate::timers::NEVER;

pub(crate) struct PollToken {
    /// When the network was last polled (nanotime); 0: the token is taken.
    last: AtomicU64,
    /// Until when the holder will wait; 0: for ever, or not known yet. Written by the holder.
    until: AtomicU64,
}

/// What whoever has started a timer owes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Owes {
    /// Nothing: the one who waits in the poller comes out early enough.
    Nothing,
    /// A `netpoll_break`.
    Break,
    /// A `wakep`: nobody waits in the poller.
    Wake,
}

impl PollToken {
    #[cfg(not(gosched_loom))]
    pub(crate) const fn new() -> PollToken {
        PollToken { last: AtomicU64::new(1), until: AtomicU64::new(0) }
    }

    #[cfg(gosched_loom)]
    pub(crate) fn new() -> PollToken {
        PollToken { last: AtomicU64::new(1), until: AtomicU64::new(0) }
    }

    /// When the network was last polled; `None` while somebody waits in the poller. A hint.
    #[inline]
    pub(crate) fn last(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|&last| last != 0)
    }

    /// Notes that somebody polls without waiting at `now`, where nothing has changed since it was found to be `last`. False:
    /// somebody else polls, or has the token.
    pub(crate) fn polls(&self, last: u64, now: u64) -> bool {
        self.last.compare_exchange(last, now, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// I5: takes the token. True: the caller may wait in the poller, and must `give_back`.
    #[must_use]
    pub(crate) fn take(&self) -> bool {
        // AcqRel: what the last holder did is over; pairs with `give_back`. Where it fails, it pairs with the holder's own
        // taking: what an earlier one has left is not seen in `until`.
        self.last.swap(0, Ordering::AcqRel) != 0
    }

    /// I6: the holder is about to wait until then.
    pub(crate) fn waits_until(&self, until: u64) {
        // Relaxed: who sees the 0 before it breaks.
        self.until.store(if until == NEVER { 0 } else { until }, Ordering::Relaxed);
    }

    /// The holder is out of the poller.
    pub(crate) fn give_back(&self, now: u64) {
        if sound("poll token: a holder clears what it has left") {
            self.until.store(0, Ordering::Relaxed);
        }
        // Release: pairs with `take`. (A store would do, but loom would not put it in one order with a `take` that fails at
        // the same time.)
        self.last.swap(now, Ordering::Release);
    }

    /// For who has found the token taken: whether the holder may wait beyond `when`.
    pub(crate) fn is_waiting_beyond(&self, when: u64) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until == 0 || until > when
    }

    /// T2 and T3, after a timer for `when` was put in a heap and is the earliest there.
    pub(crate) fn timer_started(&self, when: u64) -> Owes {
        // Pairs with the fence in `went_idle` (spinning.rs). The timer was published under its heap's lock.
        if sound("poll token: the starter fences") {
            fence(Ordering::SeqCst);
        }
        if self.last.load(Ordering::Relaxed) != 0 {
            Owes::Wake
        } else if self.is_waiting_beyond(when) {
            Owes::Break
        } else {
            Owes::Nothing
        }
    }
}
