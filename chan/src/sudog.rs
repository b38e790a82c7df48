//! A sudog: one waiter standing in the queue of one channel (Go: runtime/runtime2.go `sudog`, runtime/chan.go `waitq`).
//!
//! A waiter in a `select` stands in many queues, so it is not the waiter that is linked into a queue but a record of it.
//! The record lives on the waiter's own stack, which does not move and does not go away while it waits:
//!
//! ```text
//!   Hchan                 stack of receiver A            stack of receiver B
//!   recvq.first ────────► sudog{waiter A, next} ───────► sudog{waiter B}
//!                           elem ──► slot for the value    elem ──► slot
//! ```
//!
//! So a channel operation allocates nothing, and the value goes from stack to stack in one copy.
//!
//! ## Who may touch a sudog
//! * queued: whoever holds the lock of the channel it is queued on;
//! * dequeued, and claimed where it has a ticket: the one who dequeued it, until it calls `goready` on the waiter;
//! * after that, and before it was queued: the waiter alone.
//!
//! The last step of the second owner is `goready`. From then on the sudog may be gone: a chain of dequeued sudogs is
//! walked by reading `next` first.

use crate::shuttle::atomic::{AtomicPtr, Ordering};
use gosched_runtime::park::{self, Ticket, Waiter};
use std::cell::Cell;
use std::ptr;

/// What the waker has to say to the waiter. Go has one bit for it, `sudog.success`; we have a third word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// Nothing yet: still waiting.
    Waiting,
    /// The value has passed (or, for a sender whose value comes later, is now owed: see `partner`).
    Done,
    /// The channel was closed.
    Closed,
    /// Nothing has passed: look again. What the waiter was promised has been withdrawn.
    Again,
}

/// The record. Fields that are not in a `Cell` are set by the waiter before the sudog is queued.
pub(crate) struct Sudog {
    pub(crate) waiter: Waiter,
    /// Some: several wakers compete for this wait, and who dequeues the sudog must also claim it.
    ticket: Option<Ticket>,
    /// The waiter stands in several queues: it wants the sudog that fired as its param.
    is_select: bool,
    /// The value's place on the waiter's stack: a sender's source, a receiver's destination. Null: a sender whose value
    /// comes later (`Select`).
    pub(crate) elem: *mut u8,
    wake: Cell<Wake>,
    /// Where the handle lies by which the waiter waits, where it has said so (`Hchan::wait_on`).
    pub(crate) place: *const (),
    /// For a sender whose value comes later and whom a receiver on an unbuffered channel has found: that receiver.
    pub(crate) partner: Cell<*const Sudog>,
    next: Cell<*const Sudog>,
    prev: Cell<*const Sudog>,
    queued: Cell<bool>,
}

impl Sudog {
    pub(crate) fn new(waiter: Waiter, ticket: Option<Ticket>, is_select: bool, elem: *mut u8) -> Sudog {
        Sudog {
            waiter,
            ticket,
            is_select,
            elem,
            wake: Cell::new(Wake::Waiting),
            place: ptr::null(),
            partner: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            queued: Cell::new(false),
        }
    }

    /// A sender with no value yet.
    #[inline]
    pub(crate) fn is_hollow(&self) -> bool {
        self.elem.is_null()
    }

    /// What the waker said. Read by the waiter after its park.
    #[inline]
    pub(crate) fn wake(&self) -> Wake {
        self.wake.get()
    }

    /// Says it. Called by the one who dequeued the sudog, before the `goready` that it owes.
    #[inline]
    pub(crate) fn complete(&self, wake: Wake) {
        self.wake.set(wake);
        if self.is_select {
            self.waiter.set_param(ptr::from_ref(self).cast_mut().cast());
        }
    }
}

/// A FIFO of sudogs. All methods but [`WaitQ::looks_empty`] want the channel's lock held, and the sudogs in it alive:
/// that is the contract of their `unsafe`.
pub(crate) struct WaitQ {
    /// Atomic only so that it may be compared with null without the lock.
    first: AtomicPtr<Sudog>,
    last: Cell<*const Sudog>,
}

impl WaitQ {
    pub(crate) const fn new() -> WaitQ {
        WaitQ { first: AtomicPtr::new(ptr::null_mut()), last: Cell::new(ptr::null()) }
    }

    #[inline]
    fn first(&self) -> *const Sudog {
        // Relaxed: under the lock.
        self.first.load(Ordering::Relaxed)
    }

    #[inline]
    fn set_first(&self, sg: *const Sudog) {
        // Release: pairs with the Acquire in looks_empty.
        self.first.store(sg.cast_mut(), Ordering::Release);
    }

    /// Under the lock.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_null()
    }

    /// Without the lock: whether it was empty at some moment of late (hchan.rs, `empty` and `full`, say what for).
    #[inline]
    pub(crate) fn looks_empty(&self) -> bool {
        // Acquire: pairs with set_first.
        self.first.load(Ordering::Acquire).is_null()
    }

    /// How many stand in it.
    ///
    /// # Safety
    /// The lock is held.
    pub(crate) unsafe fn count(&self) -> usize {
        let (mut n, mut at) = (0, self.first());
        // SAFETY: a queued sudog is alive.
        while let Some(sg) = unsafe { at.as_ref() } {
            (n, at) = (n + 1, sg.next.get());
        }
        n
    }

    /// Appends `sg`, or puts it first again where it had been first already and was sent back.
    ///
    /// # Safety
    /// The lock is held. `sg` stays where it is, alive, until it is dequeued or removed.
    pub(crate) unsafe fn enqueue(&self, sg: &Sudog, front: bool) {
        debug_assert!(!sg.queued.get());
        sg.queued.set(true);
        let (prev, next) = if front { (ptr::null(), self.first()) } else { (self.last.get(), ptr::null()) };
        sg.prev.set(prev);
        sg.next.set(next);
        // SAFETY: both ends of the queue are queued, hence alive.
        unsafe { self.link(prev, sg, next) };
    }

    /// Makes `sg` the neighbour of `prev` and `next`, of which null stands for the end of the queue.
    unsafe fn link_ends(&self, prev: *const Sudog, next: *const Sudog) {
        // SAFETY: the caller's: neighbours of a queued sudog are queued, hence alive.
        match unsafe { prev.as_ref() } {
            Some(p) => p.next.set(next),
            None => self.set_first(next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(n) => n.prev.set(prev),
            None => self.last.set(prev),
        }
    }

    unsafe fn link(&self, prev: *const Sudog, sg: *const Sudog, next: *const Sudog) {
        // SAFETY: handed on.
        match unsafe { prev.as_ref() } {
            Some(p) => p.next.set(sg),
            None => self.set_first(sg),
        }
        // SAFETY: handed on.
        match unsafe { next.as_ref() } {
            Some(n) => n.prev.set(sg),
            None => self.last.set(sg),
        }
    }

    /// Takes the first waiter out who is still to be had. The caller now owes it [`Sudog::complete`] and one `goready`.
    /// Those whose wait somebody else has claimed meanwhile (another case of their select, their deadline) are dropped
    /// from the queue on the way; they expect that (`remove`).
    ///
    /// # Safety
    /// The lock is held.
    #[inline]
    #[must_use = "a dequeued waiter sleeps until it is readied"]
    pub(crate) unsafe fn dequeue(&self) -> Option<&Sudog> {
        loop {
            // SAFETY: a queued sudog is alive.
            let sg = unsafe { self.first().as_ref() }?;
            // SAFETY: sg is queued on this queue.
            unsafe { self.unlink(sg) };
            match sg.ticket {
                Some(t) if !sg.waiter.claim(t) => continue,
                _ => return Some(sg),
            }
        }
    }

    #[inline]
    unsafe fn unlink(&self, sg: &Sudog) {
        sg.queued.set(false);
        // SAFETY: handed on.
        unsafe { self.link_ends(sg.prev.get(), sg.next.get()) };
        sg.prev.set(ptr::null());
        sg.next.set(ptr::null());
    }

    /// Takes `sg` out where it is still in: its waiter has been woken by something else. (Go: `dequeueSudoG`.)
    ///
    /// # Safety
    /// The lock is held. `sg` was put in this queue and no other.
    pub(crate) unsafe fn remove(&self, sg: &Sudog) {
        if sg.queued.get() {
            // SAFETY: it is queued here.
            unsafe { self.unlink(sg) };
        }
    }
}

/// Waiters taken out of their queues under a lock, to be readied when it is released: a chain through `next`.
pub(crate) struct WakeList {
    first: *const Sudog,
    last: *const Sudog,
}

impl WakeList {
    #[inline]
    pub(crate) const fn new() -> WakeList {
        WakeList { first: ptr::null(), last: ptr::null() }
    }

    /// Adds a dequeued, completed sudog.
    #[inline]
    pub(crate) fn push(&mut self, sg: &Sudog) {
        debug_assert!(!sg.queued.get() && sg.wake() != Wake::Waiting);
        sg.next.set(ptr::null());
        // SAFETY: `last` is dequeued and not yet readied, so its waiter still sleeps and it is alive.
        match unsafe { self.last.as_ref() } {
            Some(l) => l.next.set(sg),
            None => self.first = sg,
        }
        self.last = sg;
    }

    /// Readies them all, in order.
    ///
    /// # Safety
    /// No lock is held that their channels' waiters need, and the caller owes each of them its wake-up.
    #[inline]
    pub(crate) unsafe fn ready(self) {
        let mut at = self.first;
        // SAFETY: not yet readied, so alive.
        while let Some(sg) = unsafe { at.as_ref() } {
            at = sg.next.get(); // before goready: after it the sudog may be gone
            let waiter = sg.waiter;
            // SAFETY: dequeue made us the one who owes this wake-up; sg is not touched again.
            unsafe { park::goready(waiter) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sudog(ticket: Option<Ticket>) -> Sudog {
        Sudog::new(park::current(), ticket, false, ptr::null_mut())
    }

    fn same(a: Option<&Sudog>, b: &Sudog) -> bool {
        a.is_some_and(|a| ptr::eq(a, b))
    }

    #[test]
    fn first_in_first_out_and_removal_anywhere() {
        let (a, b, c, d) = (sudog(None), sudog(None), sudog(None), sudog(None));
        let q = WaitQ::new();
        // SAFETY: one thread, the sudogs outlive the queue.
        unsafe {
            for sg in [&a, &b, &c] {
                q.enqueue(sg, false);
            }
            q.enqueue(&d, true);
            q.remove(&b);
            q.remove(&b);
            assert!(same(q.dequeue(), &d));
            assert!(same(q.dequeue(), &a));
            q.enqueue(&a, false);
            assert!(same(q.dequeue(), &c));
            q.remove(&a);
            assert!(q.dequeue().is_none() && q.is_empty() && q.looks_empty());
            q.enqueue(&b, true);
            assert!(same(q.dequeue(), &b));
        }
    }

    #[test]
    fn a_waiter_whose_wait_is_claimed_is_passed_over() {
        let w = park::current();
        let t = w.open_ticket();
        let (a, b) = (sudog(Some(t)), sudog(None));
        let q = WaitQ::new();
        // SAFETY: as above.
        unsafe {
            q.enqueue(&a, false);
            q.enqueue(&b, false);
            assert!(w.claim(t));
            assert!(same(q.dequeue(), &b));
            q.remove(&a); // harmless: it is out already
            assert!(q.is_empty());
        }
    }
}
