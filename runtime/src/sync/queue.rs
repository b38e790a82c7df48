//! A queue of waiters that lives inside a primitive: for those whose waiters have deadlines, bring a number along, or
//! must be woken all at once.
//!
//! The records lie on the waiters' stacks, in a list under the queue's own small lock. A record is in one of three
//! states, and the lock guards them all:
//!
//! ```text
//!               enqueue                       park                     claim (by a waker), or
//!   (no queue) ─────────► QUEUED, not parked ──────► QUEUED, parked ──► the deadline  ──► out
//!                               │                                                         ▲
//!                               └───────── taken out by a waker: it must not ready ───────┘
//!                                          the waiter, who finds itself out and does not park
//! ```
//! A `Condvar` needs the state in the middle: it must stand in the queue before it lets the mutex go, and may be woken
//! before it is asleep. The others go from enqueue to park under one hold of the lock.
//!
//! ## Deadlines
//! A parked waiter with a deadline has a ticket, and waker and clock race to claim it. The waker claims under the lock;
//! where it comes too late it drops the record from the queue and looks at the next one, so that no wake-up is spent on
//! somebody who has given up. The one whose time is up takes the lock before it leaves, so its record is alive for as
//! long as a waker can hold it in hand.

use crate::loom::lock::{Mutex, MutexGuard};
use crate::loom::sound;
use crate::park::{Ticket, WaitReason, Waiter, Woken, current, gopark, gopark_timeout, goready};
use parking_lot::lock_api::GuardNoSend;
use std::ptr::null_mut;
use std::time::Instant;

/// The record of one wait. Belongs to the queue's lock while `queued`; once claimed, to the claimer, up to its
/// `goready`; else to the waiter.
pub(super) struct Record {
    waiter: Waiter,
    /// There is a deadline, so wakers must claim this.
    ticket: Option<Ticket>,
    prev: *mut Record,
    next: *mut Record,
    queued: bool,
    parked: bool,
    /// How much the waiter asks for (`Semaphore`).
    pub(super) want: usize,
}

impl Record {
    pub(super) fn new(want: usize) -> Record {
        let (waiter, ticket) = (current(), None);
        Record { waiter, ticket, prev: null_mut(), next: null_mut(), queued: false, parked: false, want }
    }
}

/// The waiters, in order. Every record in it is alive.
pub(super) struct List {
    head: *mut Record,
    tail: *mut Record,
    len: usize,
}

// SAFETY: the pointers lead to records that belong to whoever holds the lock around the list (see Record).
unsafe impl Send for List {}

/// A list and its lock.
pub(super) type Queue = Mutex<List>;

/// An empty queue.
pub(super) const fn queue() -> Queue {
    Mutex::new(List { head: null_mut(), tail: null_mut(), len: 0 })
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How much the first waiter asks for.
    pub(super) fn first_want(&self) -> Option<usize> {
        // SAFETY: records in the list are alive, and ours with the lock.
        unsafe { self.head.as_ref() }.map(|r| r.want)
    }

    /// Puts `r` at the end.
    ///
    /// # Safety
    /// `r` is in no queue, and stays where it is until it is out again (by a waker or by `leave`).
    pub(super) unsafe fn enqueue(&mut self, r: *mut Record) {
        // SAFETY: `r` is the caller's, and what is in the list is ours with the lock.
        unsafe {
            (*r).prev = self.tail;
            (*r).next = null_mut();
            (*r).queued = true;
            match self.tail.is_null() {
                true => self.head = r,
                false => (*self.tail).next = r,
            }
        }
        self.tail = r;
        self.len += 1;
    }

    /// # Safety
    /// `r` is in this list.
    unsafe fn unlink(&mut self, r: *mut Record) {
        // SAFETY: `r` and its neighbours are in the list, so alive, and ours with the lock.
        unsafe {
            let (prev, next) = ((*r).prev, (*r).next);
            match prev.is_null() {
                true => self.head = next,
                false => (*prev).next = next,
            }
            match next.is_null() {
                true => self.tail = prev,
                false => (*next).prev = prev,
            }
            (*r).queued = false;
        }
        self.len -= 1;
    }

    /// Takes the caller's record out where it still is in the list.
    ///
    /// # Safety
    /// `r` was put in this list, and is not claimed.
    pub(super) unsafe fn leave(&mut self, r: *mut Record) {
        // SAFETY: the record is the caller's own or, while queued, ours with the lock.
        unsafe {
            if (*r).queued {
                self.unlink(r);
            }
        }
    }

    /// Whether a waker has taken `r` out.
    ///
    /// # Safety
    /// `r` is the caller's own record.
    pub(super) unsafe fn is_out(&self, r: *mut Record) -> bool {
        // SAFETY: as in leave.
        unsafe { !(*r).queued }
    }

    /// Takes the first waiter out; true where that ended its wait, false where it had given up already or where there
    /// is none. A waiter that sleeps goes to `woken`, whose owner owes it the wake-up.
    pub(super) fn wake_first(&mut self, woken: &mut WokenList) -> bool {
        let r = self.head;
        if r.is_null() {
            return false;
        }
        // SAFETY: the record is in the list, so alive, and ours with the lock; its owner cannot leave before it has had
        // the lock. A parked one is ours after the claim, and not touched after a lost one.
        unsafe {
            self.unlink(r);
            if !(*r).parked {
                return true; // finds out by itself: is_out
            }
            let claimed = (*r).ticket.is_none_or(|t| (*r).waiter.claim(t));
            if claimed {
                woken.push(r);
            }
            claimed || !sound("queue: who has given up does not count")
        }
    }
}

/// Waiters whose wait is claimed, and whom the owner of this list owes a `goready`: dropping it pays. To be dropped
/// after the queue's lock, or else they wake only to wait for that.
pub(super) struct WokenList {
    head: *mut Record,
    tail: *mut Record,
}

impl WokenList {
    pub(super) fn new() -> WokenList {
        WokenList { head: null_mut(), tail: null_mut() }
    }

    /// # Safety
    /// `r` is claimed, by the caller.
    unsafe fn push(&mut self, r: *mut Record) {
        // SAFETY: claimed records are ours.
        unsafe {
            (*r).next = null_mut();
            match self.tail.is_null() {
                true => self.head = r,
                false => (*self.tail).next = r,
            }
        }
        self.tail = r;
    }
}

impl Drop for WokenList {
    fn drop(&mut self) {
        let mut r = self.head;
        while !r.is_null() {
            // SAFETY: claimed and parked, so alive and ours until its goready, the one that we owe; all that we need of
            // it is read before.
            unsafe {
                let (waiter, next) = ((*r).waiter, (*r).next);
                goready(waiter);
                r = next;
            }
        }
    }
}

/// Parks until a waker takes `r` out or until `deadline`. Unlocks the queue, once nobody can miss us.
///
/// # Safety
/// `list` locks `queue`, and `r` is in it and the caller's own. After `TimedOut` the caller locks the queue and calls
/// `leave` before the record goes out of scope.
pub(super) unsafe fn park(
    queue: &Queue,
    list: MutexGuard<'_, List>,
    r: *mut Record,
    reason: WaitReason,
    deadline: Option<Instant>,
) -> Woken {
    // SAFETY: the record is ours with the lock. The commit unlocks as its last step, which is what makes the record
    // reachable; wakers claim where there is a ticket, and ready once. Nothing here is tied to the thread: a lock of
    // parking_lot may be released by another one.
    unsafe {
        (*r).parked = true;
        (*r).ticket = deadline.map(|_| (*r).waiter.open_ticket());
        let ticket = (*r).ticket;
        MutexGuard::leak(list);
        let arg = std::ptr::from_ref(queue).cast_mut().cast();
        match ticket {
            None => {
                gopark(unlock, arg, reason);
                Woken::Readied
            }
            Some(ticket) => gopark_timeout(unlock, arg, reason, ticket, deadline),
        }
    }
}

/// The commit of `park`.
///
/// # Safety
/// `queue` is a `Queue` that the waiter has locked.
unsafe fn unlock(_: Waiter, queue: *mut ()) -> bool {
    // SAFETY: the caller's promise; the guard was leaked.
    unsafe { (*queue.cast::<Queue>()).force_unlock(GuardNoSend::new()) };
    true
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
pub(super) mod tests {
    use super::*;

    /// A record like that of a waiter whose deadline has claimed its ticket, but who has not left the queue yet.
    pub(in super::super) fn given_up(want: usize) -> Record {
        let mut r = Record::new(want);
        let ticket = r.waiter.open_ticket();
        assert!(r.waiter.claim(ticket));
        (r.parked, r.ticket) = (true, Some(ticket));
        r
    }

    #[test]
    fn a_waiter_that_has_given_up_is_dropped_and_not_woken() {
        let queue = queue();
        let (mut late, mut next) = (given_up(1), Record::new(2));
        let (late, next) = (&raw mut late, &raw mut next);
        let mut woken = WokenList::new();
        let mut list = queue.lock();
        // SAFETY: the records outlive the list, and are reached through these pointers alone.
        unsafe {
            list.enqueue(late);
            list.enqueue(next);
            assert_eq!((list.len(), list.first_want()), (2, Some(1)));
            assert!(!list.wake_first(&mut woken));
            assert!(list.is_out(late) && !list.is_out(next));
            list.leave(late); // already out: nothing
            assert_eq!((list.len(), list.first_want()), (1, Some(2)));
            assert!(list.wake_first(&mut woken)); // not parked: finds out by itself
            assert!(list.is_out(next));
        }
        assert!(woken.head.is_null(), "nobody was asleep");
        assert!(!list.wake_first(&mut woken));
        assert_eq!((list.len(), list.first_want()), (0, None));
    }

    #[test]
    fn anybody_may_leave_and_the_rest_stay_in_order() {
        for gone in 0..4 {
            let queue = queue();
            let mut records = [0, 1, 2, 3].map(Record::new);
            let all = records.each_mut().map(|r| &raw mut *r);
            let mut list = queue.lock();
            let mut order = Vec::new();
            // SAFETY: as above.
            unsafe {
                all.iter().for_each(|&r| list.enqueue(r));
                list.leave(all[gone]);
                while let Some(want) = list.first_want() {
                    order.push(want);
                    assert!(list.wake_first(&mut WokenList::new()));
                }
            }
            assert_eq!(order, (0..4).filter(|&i| i != gone).collect::<Vec<_>>());
        }
    }
}
