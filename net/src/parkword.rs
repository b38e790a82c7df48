//! The word of one direction of a descriptor: `rg` or `wg` of a poll descriptor (Go: runtime/netpoll.go).
//!
//! It joins one waiter (the reader, or the writer: the fd mutex lets one of each in) with everything that can end its
//! wait: a readiness event, a close, a deadline that is moved, and its own time limit. It knows no socket and no
//! scheduler, so that loom can run it (tests/loom_polldesc.rs).
//!
//! ```text
//!   state      the word            who may move it on
//!   ─────      ────────            ──────────────────
//!   Nil        0                   waiter: begin ─► Wait             event: fire(true) ─► Ready
//!   Ready      1                   waiter: reset, begin, finish ─► Nil
//!   Wait       2                   waiter: commit ─► Parked, cancel ─► Nil
//!                                  event: ─► Ready     close, deadline: fire(false) ─► Nil; commit then fails
//!   Parked     address of waiter   event: ─► Ready     close, deadline: ─► Nil; whoever does it owes the wake-up
//!              | 4: with a limit   the waiter itself, once its limit has passed: finish ─► Nil
//!
//!   waiter                                      waker
//!   reset          Ready ─► Nil
//!   read(2)        EAGAIN                       data arrives
//!   begin          Nil ─► Wait                  fire(true): Wait or Parked ─► Ready, and wake
//!   look at closing, deadline                   (close: set closing, then fire(false))
//!   gopark         commit: Wait ─► Parked
//!   finish         whatever ─► Nil; was it Ready?
//! ```
//!
//! ## Why no wake-up is lost
//! Every step, of a waker above all, is a read-modify-write of this one word, also where it leaves the value as it is
//! (Ready over Ready, Nil over Nil). So of a waiter's step and a waker's step one reads what the other wrote:
//! - The waker comes later: it finds Wait or Parked and ends the wait.
//! - The waiter comes later: its acquiring step reads from the waker's releasing one, so all that the waker did before
//!   is seen: the data by the read(2) that follows `reset`, the `closing` mark by the look that follows `begin`.
//!
//! A waker that returned without writing because it *saw* Ready would break the first half: the waiter's `reset` and
//! the load of the socket's queue in its read(2) could both come before the event and yet be seen after it.
//!
//! ## A wait with a limit
//! There the waiter may leave by itself, and it must not happen that a waker, which has taken it out of the word, wakes
//! it in its next wait. The ticket decides (`Waiter::claim`). It lies beside the word under a lock: the waiter lays it down
//! before it commits, a waker holds the lock while it takes both out, so it never gets the ticket of a later wait. Waits
//! without a limit never touch the lock.

use crate::loom::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::loom::{Mutex, MutexGuard};

const NIL: usize = 0;
const READY: usize = 1;
const WAIT: usize = 2;
/// Beside a waiter's address: its wait has a limit, and its ticket lies in `ticket`.
const TIMED: usize = 4;
/// Waiters are aligned to this.
const ALIGN: usize = 8;

/// What a word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Nil,
    Ready,
    Wait,
    Parked { waiter: usize, timed: bool },
}

fn state(word: usize) -> State {
    match word {
        NIL => State::Nil,
        READY => State::Ready,
        WAIT => State::Wait,
        w => State::Parked { waiter: w & !(ALIGN - 1), timed: w & TIMED != 0 },
    }
}

/// How a wait begins.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    /// The descriptor was ready; the mark is taken off, there is nothing to wait for.
    Ready,
    /// The caller is announced. It owes a `finish`, after parking with `commit`, or a `cancel`.
    Waiting,
}

/// A waiter taken out of its word. With a ticket it must be claimed first, and is woken only where that succeeds.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owed<T> {
    pub(crate) waiter: usize,
    pub(crate) ticket: Option<T>,
}

/// See the file's head. `T` is a ticket.
pub(crate) struct ParkWord<T> {
    word: AtomicUsize,
    /// The ticket of a wait with a limit. Written by the waiter between `begin` and `commit`; TIMED says that it is one's.
    ticket: Mutex<T>,
}

impl<T: Copy + Default> ParkWord<T> {
    pub(crate) fn new() -> ParkWord<T> {
        ParkWord { word: AtomicUsize::new(NIL), ticket: Mutex::new(T::default()) }
    }

    fn ticket(&self) -> MutexGuard<'_, T> {
        // Nothing under this lock panics, so it cannot be poisoned.
        self.ticket.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Forgets a readiness of the past, before the system call that looks for itself. True: there was one. Waiter only.
    #[inline]
    pub(crate) fn reset(&self) -> bool {
        // Relaxed: from Nil nothing is overwritten, and an event that comes now stays as Ready.
        if self.word.load(Ordering::Relaxed) == NIL {
            return false;
        }
        // Acquire: pairs with the Release of the last fire(true); the read(2) that follows sees the data it reported.
        self.word.swap(NIL, Ordering::Acquire) == READY
    }

    /// Announces a wait, or takes the readiness that is there. Waiter only.
    ///
    /// # Panics
    /// When there is a waiter already: the fd mutex is to see to that.
    pub(crate) fn begin(&self) -> Begin {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let (next, begin) = match state(seen) {
                State::Nil => (WAIT, Begin::Waiting),
                State::Ready => (NIL, Begin::Ready),
                State::Wait | State::Parked { .. } => {
                    panic!("gosched: two waiters for one direction of a socket")
                }
            };
            // Acquire: pairs with the Release of the last fire; the caller's look at `closing` and the deadline sees
            // what was set before it. Release: a waker that finds Wait comes after all this waiter did.
            match self.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return begin,
                Err(now) => seen = now,
            }
        }
    }

    /// Takes back an announcement. A readiness that came meanwhile stays. Waiter only.
    pub(crate) fn cancel(&self) {
        // Relaxed: nothing is handed over in either direction; a failure means that the word is Ready or Nil.
        let _ = self.word.compare_exchange(WAIT, NIL, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Lays the ticket of a wait with a limit down. Waiter only, between `begin` and parking.
    pub(crate) fn lay_ticket(&self, t: T) {
        *self.ticket() = t;
    }

    /// The last step before the waiter sleeps: makes it reachable. False: something came, do not sleep.
    pub(crate) fn commit(&self, waiter: usize, timed: bool) -> bool {
        debug_assert!(waiter & (ALIGN - 1) == 0 && waiter > WAIT);
        let parked = waiter | if timed { TIMED } else { 0 };
        // Release: the waiter's state, its stack first of all, is seen by the waker that takes it out.
        self.word.compare_exchange(WAIT, parked, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Ends a wait, however it ended. True: the descriptor is ready. Waiter only.
    pub(crate) fn finish(&self) -> bool {
        // Acquire: pairs with the Release of the fire that ended the wait. A waiter that left by itself may still be
        // in the word; then this takes it out, and a ticket left beside it is looked at by nobody.
        self.word.swap(NIL, Ordering::Acquire) == READY
    }

    /// Ends the wait that is on, if any, and gives its waiter out. `ready`: by an event, which the word remembers;
    /// otherwise only so that the waiter looks again at what the caller has set before. Any thread.
    pub(crate) fn fire(&self, ready: bool) -> Option<Owed<T>> {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let before = state(seen);
            let next = if ready || before == State::Ready { READY } else { NIL };
            let held = match before {
                State::Parked { timed: true, .. } => Some(self.ticket()),
                _ => None,
            };
            // Always a write, also of the value that is there. Release: pairs with the Acquire of reset, begin and
            // finish. Acquire: pairs with the Release of commit.
            match self.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    let State::Parked { waiter, .. } = before else { return None };
                    return Some(Owed { waiter, ticket: held.map(|t| *t) });
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Whether somebody waits here, or will without having seen what the caller did before. A write, as all steps (alarm.rs).
    pub(crate) fn touch(&self) -> bool {
        // Acquire: pairs with the Release of begin and commit. Release: pairs with the Acquire of the next begin.
        matches!(state(self.word.fetch_or(0, Ordering::AcqRel)), State::Wait | State::Parked { .. })
    }

    /// Whether somebody waits here now.
    pub(crate) fn is_waited_for(&self) -> bool {
        // Acquire: no pairing is needed; a waiter that parked before the caller's question was asked is seen through
        // whatever ordered the two.
        matches!(state(self.word.load(Ordering::Acquire)), State::Wait | State::Parked { .. })
    }
}

#[cfg(gosched_loom)]
impl<T: Copy + Default> ParkWord<T> {
    /// For the mutant of the model that looks where it ought to write.
    pub(crate) fn peeks_ready(&self) -> bool {
        self.word.load(Ordering::Acquire) == READY
    }

    /// For the mutant of the model that fetches the ticket only after it has taken the waiter out.
    pub(crate) fn fire_and_look_for_the_ticket_later(&self) -> Option<Owed<T>> {
        let old = self.word.swap(READY, Ordering::AcqRel);
        let State::Parked { waiter, timed } = state(old) else { return None };
        Some(Owed { waiter, ticket: timed.then(|| *self.ticket()) })
    }
}

/// Which use of a descriptor's memory is the present one: poll descriptors are recycled, and an event that was
/// harvested for the last use must not reach the next.
pub(crate) struct UseSeq(AtomicU32);

impl UseSeq {
    pub(crate) fn new() -> UseSeq {
        UseSeq(AtomicU32::new(0))
    }

    /// The present use, `bits` wide.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends the present use. Owner only. An event that has passed `admits` before may still fire afterwards: that is a
    /// readiness without cause, which every waiter is prepared for (it looks at its socket, and waits again).
    pub(crate) fn retire(&self) {
        // Release: pairs with the Acquire in `admits`.
        self.0.fetch_add(1, Ordering::Release);
    }

    /// Whether an event tagged `tag` (the low bits of the use, cut off by `mask`) belongs to the present use.
    pub(crate) fn admits(&self, tag: u32, mask: u32) -> bool {
        self.0.load(Ordering::Acquire) & mask == tag
    }
}
