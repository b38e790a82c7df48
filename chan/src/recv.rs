//! Receiving (Go: runtime/chan.go, `chanrecv`, `recv`).
//!
//! ```text
//!                          ┌─ a value in the ring ───► take it; the room goes to the first waiting sender
//!                          ├─ a sender waits ────────► take the value from its stack, ready it      (ring empty)
//!   chanrecv ─ lock ─ look ┼─ closed ────────────────► None
//!                          ├─ the timer is due ──────► the time at which it was            (timer channels only)
//!                          └─ else: park on recvq ···► a sender writes into our slot; close; deadline
//! ```
//!
//! `chanrecv1` is what the handles call, as in send.rs.
//!
//! ## The promise
//! A `Select` that waits to send has no value yet: it is to be asked for one when it has been chosen. The receiver who
//! finds it, and nothing in a ring, has nothing to take. So they change places: the receiver wakes the selector, leaves
//! its own sudog with it, and sleeps until the selector has said what it sends. It is committed to that sender, in no
//! queue any more, and without a deadline: even `try_recv` waits here, for a selector that is already awake. (To answer
//! "empty" would be wrong for ever: a poll in a loop and a `Select` would never meet.)

use crate::hchan::{Block, Found, Hchan, Limit, earlier, wait_on_nil};
use crate::shuttle::sound;
use crate::sudog::{Sudog, Wake, WakeList};
use gosched_runtime::park::{self, WaitReason};
use std::mem::MaybeUninit;
use std::time::Instant;

/// How a receive ended. `Done`: the value is at the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Recvd {
    Done,
    Closed,
    /// It would have had to wait (longer).
    Empty,
}

/// Receives.
///
/// # Safety
/// `h` is a channel of `T`, `place` the `Ref::place` of a handle on it.
#[inline]
pub(crate) unsafe fn chanrecv1<T>(h: Option<&Hchan>, place: *const (), block: Block) -> Result<T, Recvd> {
    let Some(h) = h else {
        wait_on_nil(block, WaitReason::ChanReceiveNilChan);
        return Err(Recvd::Empty);
    };
    if matches!(block, Block::No) && h.empty() {
        return Err(Recvd::Empty);
    }
    h.lock();
    if h.ring.len() > 0 && h.sendq.is_empty() {
        // SAFETY: locked, and the ring has a value.
        return Ok(unsafe {
            let v = h.ring.take::<T>();
            h.unlock();
            v
        });
    }
    let mut slot = MaybeUninit::<T>::uninit();
    // SAFETY: locked; the slot is a place for the channel's type.
    match unsafe { chanrecv(h, place, slot.as_mut_ptr().cast(), block) } {
        // SAFETY: Done says that the slot was filled.
        Recvd::Done => Ok(unsafe { slot.assume_init() }),
        other => Err(other),
    }
}

/// `chanrecv1` where `T` is not known.
///
/// # Safety
/// `dst` is a place for the channel's type. It is filled where the result is `Done`. `place` as in `chanrecv1`.
pub(crate) unsafe fn chanrecv_raw(h: Option<&Hchan>, place: *const (), dst: *mut u8, block: Block) -> Recvd {
    let Some(h) = h else {
        wait_on_nil(block, WaitReason::ChanReceiveNilChan);
        return Recvd::Empty;
    };
    if matches!(block, Block::No) && h.empty() {
        return Recvd::Empty;
    }
    h.lock();
    // SAFETY: locked; the rest is the caller's promise.
    unsafe { chanrecv(h, place, dst, block) }
}

/// Receives if that can be done at once.
///
/// # Safety
/// The lock is held; `dst` is a place for the channel's type, filled when the result is `Passed`; `wakes` is readied after
/// the lock is released; a promise is answered by `await_promise`.
#[inline]
pub(crate) unsafe fn look(h: &Hchan, dst: *mut u8, wakes: &mut WakeList) -> Found {
    if h.ring.len() > 0 {
        // SAFETY: the lock is held, the ring has a value.
        unsafe { h.ring.take_raw(dst) };
        if !h.sendq.is_empty() && sound("receive: gives the room on") {
            // SAFETY: the lock is held.
            unsafe { h.settle(wakes) };
        }
        return Found::Passed;
    }
    // The ring is empty, and yet a sender waits: there is no ring, or all its room is reserved.
    // SAFETY: the lock is held.
    if let Some(s) = unsafe { h.sendq.dequeue() } {
        if s.is_hollow() {
            return Found::Promise(s);
        }
        // SAFETY: s is dequeued and claimed; its waiter sleeps until `wakes` is readied, so its value is there, and it
        // will count it as sent.
        unsafe { h.ring.elemtype.copy(s.elem, dst) };
        s.complete(Wake::Done);
        wakes.push(s);
        return Found::Passed;
    }
    if h.is_closed() {
        return Found::Closed;
    }
    if let Some(at) = h.timer.as_ref().and_then(|t| t.take_due(park::now())) {
        // SAFETY: a timer channel is one of Instants.
        unsafe { dst.cast::<Instant>().write(at) };
        return Found::Passed;
    }
    Found::Nothing
}

/// Has the sender `s` say what it sends. `Done`, or `Again` where it thought better of it. The lock is not held then.
///
/// # Safety
/// The lock of `h` is held, and no other; `s` is a `Found::Promise` of it; `dst` is a place for its type.
pub(crate) unsafe fn await_promise(h: &Hchan, s: *const Sudog, dst: *mut u8, reason: WaitReason) -> Wake {
    /// What the commit needs; in our frame, which is ours until the sender answers.
    struct Ask {
        h: *const Hchan,
        sender: park::Waiter,
    }
    /// Unlocks, and wakes the sender: in this order, for nobody is readied with a lock held. The sender answers when we
    /// have left our stack.
    unsafe fn commit(_: park::Waiter, ask: *mut ()) -> bool {
        // SAFETY: the frame of the one who parks, who is unreachable until the goready; copied out before. It holds the
        // lock. The sender is parked, dequeued and claimed by it.
        unsafe {
            let Ask { h, sender } = ask.cast::<Ask>().read();
            (*h).unlock();
            park::goready(sender);
        }
        true
    }
    let me = Sudog::new(park::current(), None, false, dst);
    // SAFETY: s is dequeued and claimed by us, and sleeps until the goready in our commit; after which it is not touched.
    unsafe {
        let mut ask = Ask { h, sender: (*s).waiter };
        (*s).partner.set(&me);
        (*s).complete(Wake::Done);
        park::gopark(commit, (&raw mut ask).cast(), reason);
    }
    me.wake()
}

/// # Safety
/// The lock is held; it is released here. Else as for `chanrecv_raw`.
#[inline(never)]
unsafe fn chanrecv(h: &Hchan, place: *const (), dst: *mut u8, block: Block) -> Recvd {
    let mut limit = Limit::new(block);
    // Who was first in the queue and is sent back is first again.
    let mut front = false;
    loop {
        let mut wakes = WakeList::new();
        // SAFETY: the lock is held, wakes is readied below, the promise is answered.
        let recvd = match unsafe { look(h, dst, &mut wakes) } {
            Found::Passed => Some(Recvd::Done),
            Found::Closed => Some(Recvd::Closed),
            Found::Promise(s) => {
                // SAFETY: the lock is held, s is what look found.
                match unsafe { await_promise(h, s, dst, WaitReason::ChanReceive) } {
                    Wake::Done => return Recvd::Done,
                    _ => {
                        front = true;
                        h.lock();
                        continue;
                    }
                }
            }
            Found::Nothing => None,
        };
        let Some(deadline) = recvd.is_none().then(|| limit.wait_until().ok()).flatten() else {
            // SAFETY: we hold it. And who is in wakes was dequeued by look.
            unsafe {
                h.unlock();
                wakes.ready();
            }
            return recvd.unwrap_or(Recvd::Empty);
        };
        let deadline = earlier(deadline, h.timer.as_ref().and_then(|t| t.next_due()));
        // SAFETY: the lock is held; dst stays, for we wait.
        match unsafe { h.wait_on(&h.recvq, dst, place, WaitReason::ChanReceive, deadline, front) } {
            Some(Wake::Done) => return Recvd::Done,
            Some(Wake::Closed) => return Recvd::Closed,
            Some(Wake::Waiting | Wake::Again) => {
                front = true;
                h.lock();
            }
            None => {} // a deadline: one more look, with the lock held
        }
    }
}
