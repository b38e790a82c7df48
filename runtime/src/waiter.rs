//! A waiter: what sits in a queue of sudogs, poll descriptors or a semaphore until somebody readies it.
//!
//! Either a goroutine or a plain thread (any thread of the program may use a channel). Both begin with the same head,
//! so a queue holds one thin pointer and never asks which it is; only `goready` does.
//!
//! ## The ticket
//! A goroutine in a `select` stands in several queues at once, and perhaps in a timer heap too; several wakers may find
//! it at the same moment, and exactly one may wake it. Go settles that by a CAS on `g.selectDone`, 0 to 1. Ours is the
//! same CAS on a counter, because a timer that has already left its heap cannot be recalled: it may still hold the
//! waiter's address when that waiter has long been woken and waits for something else. A counter tells the two waits
//! apart.
//!
//! ```text
//!   even: this wait is open          odd: claimed, whoever made it odd owes the waiter one goready
//!   open_ticket: next even number    claim(t): CAS t -> t | 1; fails for every ticket but the present one
//! ```
//!
//! ## Why heads are never freed
//! A waker touches the head after the waiter may have gone on (a stale timer's failed CAS). Goroutines and thread
//! parkers are recycled, so the address always holds a head. The memory of goroutines that nobody needs is given back
//! (allgs.rs), but stays mapped and reads as zero: a head whose ticket is 0, which nobody ever held. The goroutine that
//! is made there later begins with a ticket taken from the clock, at eight a nanosecond: no head before it can have
//! counted that far, so no stale ticket fits it.

use crate::loom::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::loom::sound;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32};

/// What a waiter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum WaiterKind {
    /// The head of a `G`.
    Goroutine,
    /// The head of a `ThreadParker`.
    Thread,
    /// The head of a `G` that runs in a world of its own (world.rs).
    World,
}

/// The common start of a `G` and of a `ThreadParker`; both are `repr(C)` with this as their first field.
#[repr(C)]
pub(crate) struct WaiterHead {
    /// See the file's head. Written by the waiter between waits, by one claimer during a wait.
    ticket: AtomicU64,
    /// A word from the waker to the waiter. Written before `goready`, read after `gopark`.
    param: AtomicPtr<()>,
    /// Written when nobody waits by it.
    kind: AtomicU8,
    /// Of a goroutine: counts how often it has become runnable (latency.rs). Written by whoever makes it so.
    pub(crate) turns: AtomicU8,
    /// Where the waiter has written what it waits for, or 0 (awaits.rs). Written by the waiter.
    pub(crate) awaits: AtomicU32,
}

impl WaiterHead {
    /// `nanos`: now, at a place that held a head before; else any number.
    pub(crate) fn new(kind: WaiterKind, nanos: u64) -> WaiterHead {
        WaiterHead {
            ticket: AtomicU64::new(nanos.wrapping_mul(8) | 1),
            param: AtomicPtr::new(std::ptr::null_mut()),
            kind: AtomicU8::new(kind as u8),
            turns: AtomicU8::new(0),
            awaits: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn kind(&self) -> WaiterKind {
        // Relaxed: whoever owes the waiter a wake-up has synchronised with it since it was written.
        match self.kind.load(Ordering::Relaxed) {
            0 => WaiterKind::Goroutine,
            1 => WaiterKind::Thread,
            _ => WaiterKind::World,
        }
    }

    #[cfg(not(gosched_loom))]
    pub(crate) fn set_kind(&self, kind: WaiterKind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }
}

/// A handle on whoever waits: a goroutine, or a plain thread. Thin, `Copy`, and valid for ever (heads are recycled,
/// never freed); whether a *wait* is still on is what the [`Ticket`] tells.
///
/// ```
/// let w = gosched_runtime::park::current();
/// assert_eq!(w, gosched_runtime::park::current());
/// assert_ne!(w, std::thread::spawn(gosched_runtime::park::current).join().unwrap());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter(pub(crate) NonNull<WaiterHead>);

// SAFETY: a Waiter gives access to the atomics of a head only, and heads live for ever.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

/// One wait of one waiter: of all that try to end it, [`Waiter::claim`] lets exactly one through.
///
/// ```
/// let w = gosched_runtime::park::current();
/// let (old, new) = (w.open_ticket(), w.open_ticket());
/// assert_ne!(old, new);
/// assert!(!w.claim(old), "that wait is over");
/// ```
/// The default one is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ticket(u64);

impl Ticket {
    pub(crate) fn to_raw(self) -> u64 {
        self.0
    }

    pub(crate) fn from_raw(t: u64) -> Ticket {
        Ticket(t)
    }
}

impl Waiter {
    #[inline]
    pub(crate) fn head(&self) -> &WaiterHead {
        // SAFETY: heads are never freed (file head).
        unsafe { self.0.as_ref() }
    }

    /// The waiter as one word, for structures that keep it in an atomic. Aligned to 8 at least, so the three low bits
    /// are free for marks.
    ///
    /// ```
    /// let w = gosched_runtime::park::current();
    /// assert!(w.into_raw().addr() % 8 == 0);
    /// ```
    #[inline]
    pub fn into_raw(self) -> *mut () {
        self.0.as_ptr().cast()
    }

    /// The inverse of [`Waiter::into_raw`].
    ///
    /// # Safety
    /// `p` came from `into_raw`.
    ///
    /// ```
    /// use gosched_runtime::park::{Waiter, current};
    /// let raw = current().into_raw();
    /// // SAFETY: from into_raw.
    /// assert_eq!(unsafe { Waiter::from_raw(raw) }, current());
    /// ```
    #[inline]
    pub unsafe fn from_raw(p: *mut ()) -> Waiter {
        // SAFETY: the caller's promise; into_raw gives no null.
        Waiter(unsafe { NonNull::new_unchecked(p.cast()) })
    }

    /// Opens a new wait. Called by the waiter itself, before it publishes the ticket to any waker; every ticket it had
    /// before can no longer be claimed.
    ///
    /// ```
    /// let w = gosched_runtime::park::current();
    /// let ticket = w.open_ticket();
    /// assert!(w.claim(ticket));
    /// ```
    #[inline]
    pub fn open_ticket(&self) -> Ticket {
        let head = self.head();
        // Relaxed: only stale claimers can race, and their CAS fails whatever it sees, since no ticket value comes
        // twice. The new ticket reaches its claimers through the lock of the queue it is put in.
        let last = head.ticket.load(Ordering::Relaxed);
        let next = if sound("ticket: no value comes twice") { (last | 1) + 1 } else { last & !1 };
        head.ticket.store(next, Ordering::Relaxed);
        Ticket(next)
    }

    /// Tries to be the one who ends this wait. True once per ticket at most; who gets it owes the waiter one `goready`
    /// (or, where the waiter claims its own wait, must not park).
    ///
    /// ```
    /// let w = gosched_runtime::park::current();
    /// let ticket = w.open_ticket();
    /// assert!(w.claim(ticket));
    /// assert!(!w.claim(ticket), "once");
    /// ```
    #[inline]
    pub fn claim(&self, t: Ticket) -> bool {
        // AcqRel: what the claimer saw before is ordered before what the loser does after; the value's way to the
        // waiter itself goes through goready.
        self.head().ticket.compare_exchange(t.0, t.0 | 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Leaves a word for the waiter. Only the claimer calls it, before `goready`.
    ///
    /// ```
    /// let w = gosched_runtime::park::current();
    /// let mut word = 7;
    /// w.set_param((&raw mut word).cast());
    /// assert_eq!(w.take_param(), (&raw mut word).cast());
    /// ```
    #[inline]
    pub fn set_param(&self, p: *mut ()) {
        // Relaxed: goready publishes it.
        self.head().param.store(p, Ordering::Relaxed);
    }

    /// The word that the waker left, without taking it.
    #[inline]
    pub(crate) fn param(&self) -> *mut () {
        self.head().param.load(Ordering::Relaxed)
    }

    /// The word that the waker left. Called by the waiter, after `gopark`; null where nothing was left since the last
    /// call.
    ///
    /// ```
    /// let w = gosched_runtime::park::current();
    /// w.take_param();
    /// assert!(w.take_param().is_null());
    /// ```
    #[inline]
    pub fn take_param(&self) -> *mut () {
        let head = self.head();
        let p = head.param.load(Ordering::Relaxed);
        head.param.store(std::ptr::null_mut(), Ordering::Relaxed);
        p
    }
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;

    fn waiter() -> Waiter {
        Waiter(NonNull::from(Box::leak(Box::new(WaiterHead::new(WaiterKind::Thread, 0)))))
    }

    #[test]
    fn a_ticket_is_claimed_once() {
        let w = waiter();
        let t = w.open_ticket();
        assert!(w.claim(t));
        assert!(!w.claim(t));
    }

    #[test]
    fn a_stale_ticket_never_wins_a_later_wait() {
        let w = waiter();
        let old = w.open_ticket();
        assert!(w.claim(old));
        let new = w.open_ticket();
        assert!(!w.claim(old));
        assert!(w.claim(new));
        let unclaimed = w.open_ticket();
        let last = w.open_ticket();
        assert!(!w.claim(unclaimed));
        assert!(w.claim(last));
    }
}
