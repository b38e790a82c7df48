//! The lock without the value: Go's mutex (internal/sync/mutex.go).
//!
//! ## Two modes
//! *Normal*: waiters queue first come first served, but one that is woken does not own the lock: it competes with those
//! that arrive, which run already and usually win. That is fast: a goroutine can take the lock again and again without
//! a switch. A waiter that loses goes back to the head of the queue.
//!
//! *Starving*: a waiter that did not get the lock within 1 ms of its first sleep switches the mutex over. Now unlock
//! hands the lock to the head of the queue; arrivals do not spin, do not try, and queue at the end. A waiter that gets
//! the lock and is the last in the queue, or has waited for less than 1 ms, switches back.
//!
//! ## Who has lost the P
//! A goroutine that computes for long loses its P and goes on beside those that have one (handshake.rs). In a loop around a
//! lock it would be in their way for as long as it runs: each keeps finding the lock taken, and once somebody waits no way
//! in or out is the fast one. So whoever comes to the slow path without a P first waits for its turn to have one again.
//!
//! ## The word
//! ```text
//!   bit   0      LOCKED     somebody owns the lock, or (normal mode) has it from the last CAS
//!         1      WOKEN      a waiter is awake and competes: unlock need not wake another
//!         2      STARVING   the lock passes from hand to hand
//!         3..32  the number of waiters, those on the way to or from their sleep included
//!
//!   arrive: free ──► LOCKED                      held ──► one waiter more, sleep in sema
//!   unlock: LOCKED off; normal mode, waiters and nobody WOKEN ──► WOKEN, one waiter less, wake the first
//!                       starving ──► wake the first with the lock in its hand; it sets LOCKED itself
//! ```
//! In starving mode LOCKED is off between unlock and the wake of the heir; STARVING alone keeps the lock from everybody
//! else. There is room for 2^29 waiters, each with a stack of its own: memory ends first.
//!
//! Who holds the lock sees all that was done under it before: every way in is an Acquire operation on the word, the way
//! out a Release, and what changes the word between them is read-modify-write, which hands the Release on.

use crate::loom::atomic::{AtomicU32, Ordering};
use crate::loom::sound;
use crate::park::{WaitReason, now};
use crate::sema::{semacquire, semrelease};
use std::hint::spin_loop;
use std::time::Duration;

const LOCKED: u32 = 1;
const WOKEN: u32 = 1 << 1;
const STARVING: u32 = 1 << 2;
const WAITER: u32 = 1 << 3;

/// How long a waiter stands losing before it makes the mutex starving.
const STARVES_AFTER: Duration = Duration::from_millis(1);

/// How often, and how long each time, an arrival spins before it sleeps (Go: `active_spin`, `active_spin_cnt`).
const SPINS: u32 = 4;
const SPIN_PAUSES: u32 = 30;

/// The word as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u32);

impl State {
    fn is_locked(self) -> bool {
        self.0 & LOCKED != 0
    }

    fn is_woken(self) -> bool {
        self.0 & WOKEN != 0
    }

    fn is_starving(self) -> bool {
        self.0 & STARVING != 0
    }

    fn waiters(self) -> u32 {
        self.0 / WAITER
    }

    /// Whether an arrival may take the lock.
    fn is_free(self) -> bool {
        self.0 & (LOCKED | STARVING) == 0
    }

    fn locked(self) -> State {
        State(self.0 | LOCKED)
    }

    fn woken(self) -> State {
        State(self.0 | WOKEN)
    }

    /// The word once somebody who found `self` has taken the lock (where it is free) or joined the waiters. `woken`: it
    /// is the one for whom WOKEN is set. `starves`: it has waited too long.
    fn arrive(self, woken: bool, starves: bool) -> State {
        let mut next = self.0;
        if !self.is_starving() {
            next |= LOCKED;
        }
        if !self.is_free() {
            next += WAITER;
        }
        // Where the lock is free it is ours now, and nobody need hand it over.
        if starves && self.is_locked() {
            next |= STARVING;
        }
        if woken {
            debug_assert!(self.is_woken(), "sync: inconsistent mutex state");
            next &= !WOKEN;
        }
        State(next)
    }

    /// The word once an unlock in normal mode has picked a waiter to wake; `None` where it owes nobody a wake-up: no
    /// waiters, or somebody has the lock again, or is awake for it, and will see to the waiters in turn.
    fn wake(self) -> Option<State> {
        if self.waiters() == 0 || self.0 & (LOCKED | WOKEN | STARVING) != 0 {
            return None;
        }
        Some(State((self.0 - WAITER) | WOKEN))
    }

    /// What the heir of a starving mutex adds to the word: the lock, one waiter less, and perhaps the end of starving.
    fn inherit(self, starves: bool) -> u32 {
        debug_assert!(
            !self.is_locked() && !self.is_woken() && self.waiters() != 0,
            "sync: inconsistent mutex state"
        );
        let mut change = LOCKED.wrapping_sub(WAITER);
        if !starves || self.waiters() == 1 {
            change = change.wrapping_sub(STARVING);
        }
        change
    }
}

/// The lock without the value.
pub(in crate::sync) struct RawMutex {
    /// The word of the file's head.
    state: AtomicU32,
    /// Where the waiters sleep.
    sema: AtomicU32,
}

impl RawMutex {
    pub(in crate::sync) const fn new() -> RawMutex {
        RawMutex { state: AtomicU32::new(0), sema: AtomicU32::new(0) }
    }

    /// Relaxed: a guess, which the CAS that follows confirms.
    fn load(&self) -> State {
        State(self.state.load(Ordering::Relaxed))
    }

    /// Acquire where it takes the lock: pairs with the Release in `unlock`.
    fn swap(&self, old: State, new: State) -> bool {
        self.state.compare_exchange(old.0, new.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(in crate::sync) fn lock(&self, reason: WaitReason) {
        // Acquire: pairs with the Release in `unlock`.
        if self.state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_slow(reason);
        }
    }

    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        let mut old = self.load();
        while old.is_free() {
            if self.swap(old, old.locked()) {
                return true;
            }
            old = self.load();
        }
        false
    }

    #[cold]
    fn lock_slow(&self, reason: WaitReason) {
        let mut waiting_since = None;
        let mut starves = false;
        // WOKEN is set, and for us.
        let mut woken = false;
        let mut spins = 0;
        crate::park::back_to_a_p();
        let mut old = self.load();
        loop {
            if old.is_locked() && !old.is_starving() && can_spin(spins) {
                // Tell the owner that it need not wake anybody: we are awake.
                if !woken && !old.is_woken() && old.waiters() != 0 && self.swap(old, old.woken()) {
                    woken = true;
                }
                (0..SPIN_PAUSES).for_each(|_| spin_loop());
                spins += 1;
                old = self.load();
                continue;
            }
            if !self.swap(old, old.arrive(woken, starves)) {
                old = self.load();
                continue;
            }
            if old.is_free() {
                return;
            }
            // Who has slept before goes to the head of the queue.
            let slept = waiting_since.is_some();
            let since = *waiting_since.get_or_insert_with(now);
            semacquire(&self.sema, slept, reason);
            starves = starves || now() - since > STARVES_AFTER;
            old = self.load();
            if old.is_starving() {
                // The lock was handed to us. An addition, not a CAS: others may join the waiters meanwhile, but
                // STARVING keeps all else in the word as it is. Acquire: pairs with the Release in `unlock`.
                self.state.fetch_add(old.inherit(starves), Ordering::Acquire);
                return;
            }
            // The unlock that woke us set WOKEN in our name.
            woken = sound("mutex: who was woken says so in the word");
            spins = 0;
        }
    }

    #[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
    pub(in crate::sync) fn has_waiters(&self) -> bool {
        crate::sema::waiting(&self.sema) != 0
    }

    /// # Safety
    /// The caller owns the lock (not necessarily from the same thread or goroutine that took it).
    #[inline]
    pub(in crate::sync) unsafe fn unlock(&self) {
        // Release: publishes what was done under the lock to the next owner; pairs with every Acquire above.
        let old = self.state.fetch_sub(LOCKED, Ordering::Release);
        if old != LOCKED {
            self.unlock_slow(State(old - LOCKED));
        }
    }

    #[cold]
    fn unlock_slow(&self, mut old: State) {
        if old.is_starving() {
            // Nobody can take the lock before the heir does: see the file's head.
            semrelease(&self.sema, true);
            return;
        }
        while let Some(new) = old.wake() {
            if self.swap(old, new) {
                semrelease(&self.sema, false);
                return;
            }
            old = self.load();
        }
    }
}

/// Whether spinning for the `spins`-th time can be worth it: the owner must be able to run meanwhile.
fn can_spin(spins: u32) -> bool {
    spins < SPINS && crate::park::others_can_run()
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::super::Mutex;
    use super::*;
    use crate::sema::waiting;
    use std::sync::Arc;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn arriving_takes_a_free_lock_and_joins_the_waiters_of_a_held_one() {
        assert_eq!(State(0).arrive(false, false), State(LOCKED));
        assert_eq!(State(2 * WAITER).arrive(false, true), State(LOCKED | (2 * WAITER)));
        assert_eq!(State(LOCKED).arrive(false, false), State(LOCKED | WAITER));
        assert_eq!(
            State(LOCKED | WOKEN | WAITER).arrive(true, true),
            State(LOCKED | STARVING | (2 * WAITER))
        );
        assert_eq!(State(WOKEN).arrive(true, false), State(LOCKED));
        // Between unlock and heir the lock looks unlocked, and is not free.
        assert_eq!(State(STARVING | WAITER).arrive(false, false), State(STARVING | (2 * WAITER)));
    }

    #[test]
    fn unlocking_wakes_one_waiter_unless_somebody_is_awake_already() {
        assert_eq!(State(0).wake(), None);
        assert_eq!(State(3 * WAITER).wake(), Some(State(WOKEN | (2 * WAITER))));
        assert_eq!(State(WAITER | LOCKED).wake(), None);
        assert_eq!(State(WAITER | WOKEN).wake(), None);
    }

    #[test]
    fn the_heir_ends_starving_when_it_is_last_or_was_quick() {
        let inherit = |old: u32, starves| State(old.wrapping_add(State(old).inherit(starves)));
        assert_eq!(inherit(STARVING | (2 * WAITER), true), State(LOCKED | STARVING | WAITER));
        assert_eq!(inherit(STARVING | (2 * WAITER), false), State(LOCKED | WAITER));
        assert_eq!(inherit(STARVING | WAITER, true), State(LOCKED));
    }

    /// Starts threads that note their number under the lock, one after the other is asleep; the caller holds it.
    fn queue_up(m: &Arc<Mutex<Vec<usize>>>, n: usize) -> Vec<thread::JoinHandle<()>> {
        let start = |me| {
            let shared = Arc::clone(m);
            let t = thread::spawn(move || shared.lock().push(me));
            while waiting(&m.raw.sema) <= me {
                thread::yield_now();
            }
            t
        };
        (0..n).map(start).collect()
    }

    #[test]
    fn a_waiter_that_is_overtaken_goes_back_to_the_head_of_the_queue() {
        let mut overtaken = 0;
        for _ in 0..100 {
            let m = Arc::new(Mutex::new(Vec::new()));
            let held = m.lock();
            let threads = queue_up(&m, 3);
            drop(held);
            if let Some(again) = m.try_lock().filter(|served| served.is_empty()) {
                overtaken += 1;
                while waiting(&m.raw.sema) < 3 {
                    thread::yield_now();
                }
                drop(again);
            }
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*m.lock(), [0, 1, 2]);
            assert_eq!(m.raw.load(), State(0));
        }
        assert!(overtaken > 0, "a waking thread was never overtaken");
    }

    #[test]
    fn one_that_is_overtaken_after_a_millisecond_makes_the_mutex_starve() {
        let mut overtaken = 0;
        for _ in 0..50 {
            let m = Arc::new(Mutex::new(Vec::new()));
            let held = m.lock();
            let threads = queue_up(&m, 2);
            let since = Instant::now();
            while since.elapsed() <= STARVES_AFTER {
                spin_loop();
            }
            drop(held);
            if let Some(again) = m.try_lock().filter(|served| served.is_empty()) {
                overtaken += 1;
                while waiting(&m.raw.sema) < 2 {
                    thread::yield_now();
                }
                assert!(m.raw.load().is_starving());
                drop(again);
                let served = m.try_lock().map(|served| served.len());
                assert!(served.is_none_or(|n| n >= 1), "an arrival came before the heir");
            }
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*m.lock(), [0, 1]);
            assert_eq!(m.raw.load(), State(0));
        }
        assert!(overtaken > 0, "a waking thread was never overtaken");
    }

    #[test]
    fn a_starving_mutex_is_refused_to_arrivals_and_goes_down_the_queue() {
        for _ in 0..50 {
            let m = Arc::new(Mutex::new(Vec::new()));
            let held = m.lock();
            let threads = queue_up(&m, 4);
            // As the first waiter would, had it woken after a millisecond and found the lock taken.
            m.raw.state.fetch_or(STARVING, Ordering::Relaxed);
            drop(held);
            // Whether the heirs are through by now or not, what is free must not be starving.
            let arrival = m.try_lock();
            let served = arrival.as_ref().map(|v| v.len());
            drop(arrival);
            assert!(served.is_none_or(|n| n >= 1), "an arrival came before the heir");
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*m.lock(), [0, 1, 2, 3]);
            assert_eq!(m.raw.load(), State(0));
        }
    }
}
