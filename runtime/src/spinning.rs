//! Who wakes whom: the handshake between those who submit work and those who are about to sleep.
//!
//! ## The problem
//! Work is submitted to queues without a common lock, and threads that find nothing go to sleep. A lost wake-up is work
//! that lies in a queue while a P is idle and nobody is going to look. The opposite, waking a thread for every goroutine,
//! costs the waker 10 µs each. Between the two stands the *spinning* M: one that holds a P and looks for work. While
//! there is one, submitters wake nobody.
//!
//! ## The protocol
//! ```text
//!   submitter (`must_wake`)                     going idle (`went_idle`)
//!   S1  put the work in a queue                 I1  idle_ps += 1        (give the P up)
//!   S2  full fence                              I2  spinners -= 1       (if it was spinning)
//!   S3  if idle_ps > 0 and spinners == 0:       I3  full fence
//!         claim: spinners 0 -> 1 (CAS)          I4  look at every queue and every timer once more;
//!         take an idle P, wake an M spinning        found: take an idle P back, become spinning, search again
//! ```
//!
//! ## Why no wake-up is lost
//! Take a submitter and an M that goes idle. One of the two fences comes first.
//!
//! - S2 before I3: the work of S1 is visible in I4. The M finds it, or somebody else has taken it already.
//! - I3 before S2: the submitter sees I1, so idle_ps > 0 (or somebody took that P in the meantime, and looks: below). If
//!   it sees spinners == 0 it wakes. If it sees a spinner, that is an M which has not yet done its own I2. It either
//!   finds the work while it searches, or does I2, I3 and I4 later, with S1 long visible.
//!
//! A *claim* is a spinner too, before its M runs. It may fail: there is no idle P after all. Then it is taken back under
//! the scheduler's lock, the one under which Ps become idle. So if a P becomes idle after that failure, whoever submits
//! after having seen that P idle also sees the claim gone; it is not misled by it.
//!
//! An M that stops spinning because it *found* work wakes another if it was the last (`found_work`): there may be more
//! where that came from, and its submitters relied on a spinner.
//!
//! The fence is the whole point: S1 and S3 are a store and a load of different words, I2 and I4 too, and without it a
//! processor may let each load overtake the store before it, on both sides at once. loom's model
//! (tests/loom_spinning.rs) finds that execution when one fence is taken out.
//!
//! Go's version of this essay is in runtime/proc.go ("Worker thread parking/unparking"). Ours differs in one point: every
//! M looks once more in I4, not only those that were spinning. Go lets the others sleep without a look and repairs the
//! rare miss by `sched.needspinning`; the look costs little next to going to sleep.

use crate::loom::atomic::{AtomicU32, Ordering, fence};
use crate::loom::sound;

/// The two counters.
pub(crate) struct Spinning {
    /// Ms that look for work, and claims. Changed by anyone.
    spinners: AtomicU32,
    /// Ps in the idle list. Changed under the scheduler's lock, read by anyone.
    idle_ps: AtomicU32,
}

impl Spinning {
    #[cfg(not(gosched_loom))]
    pub(crate) const fn new() -> Spinning {
        Spinning { spinners: AtomicU32::new(0), idle_ps: AtomicU32::new(0) }
    }

    #[cfg(gosched_loom)]
    pub(crate) fn new() -> Spinning {
        Spinning { spinners: AtomicU32::new(0), idle_ps: AtomicU32::new(0) }
    }

    /// Spinners now, claims included. A hint.
    #[inline]
    pub(crate) fn spinners(&self) -> u32 {
        self.spinners.load(Ordering::Relaxed)
    }

    /// Idle Ps now. A hint, except under the scheduler's lock.
    #[inline]
    pub(crate) fn idle_ps(&self) -> u32 {
        self.idle_ps.load(Ordering::Relaxed)
    }

    /// S2 and the looks of S3: after work was queued, whether somebody must be woken for it.
    #[inline]
    #[must_use]
    pub(crate) fn must_wake(&self) -> bool {
        // Pairs with the fence in `went_idle`.
        if sound("spinning: submitter fences") {
            fence(Ordering::SeqCst);
        }
        self.idle_ps.load(Ordering::Relaxed) > 0 && self.spinners.load(Ordering::Relaxed) == 0
    }

    /// The claim of S3. True: the caller must start a spinning M, or `unclaim` under the scheduler's lock.
    #[inline]
    #[must_use]
    pub(crate) fn claim(&self) -> bool {
        // AcqRel: orders the waker after the last spinner's leaving; a failed claim needs no order.
        self.spinners.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes a claim back: there was no idle P. Under the scheduler's lock (file head).
    pub(crate) fn unclaim(&self) {
        self.spinners.fetch_sub(1, Ordering::Release);
    }

    /// An M begins to look for work.
    pub(crate) fn begin(&self) {
        self.spinners.fetch_add(1, Ordering::AcqRel);
    }

    /// An M stops spinning because it found work. True: it was the last, so the caller must see to another.
    #[must_use]
    pub(crate) fn found_work(&self) -> bool {
        self.spinners.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// A P entered the idle list. Under the scheduler's lock. (I1)
    pub(crate) fn p_idle(&self) {
        self.idle_ps.fetch_add(1, Ordering::Release);
    }

    /// A P left the idle list. Under the scheduler's lock.
    pub(crate) fn p_busy(&self) {
        self.idle_ps.fetch_sub(1, Ordering::Release);
    }

    /// I2 and I3: an M has given its P up. The caller must look everywhere once more (I4).
    pub(crate) fn went_idle(&self, was_spinning: bool) {
        if was_spinning {
            self.spinners.fetch_sub(1, Ordering::Release);
        }
        // Pairs with the fence in `must_wake`.
        if sound("spinning: sleeper fences") {
            fence(Ordering::SeqCst);
        }
    }
}
