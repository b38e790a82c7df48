//! Sending (Go: runtime/chan.go, `chansend`, `send`).
//!
//! ```text
//!                          ┌─ closed ────────────────► the value stays with the caller, who panics or hands it back
//!   chansend ─ lock ─ look ┼─ a receiver waits ──────► value into its slot, unlock, ready it
//!                          ├─ room ──────────────────► value into the ring
//!                          └─ else: park on sendq ···► a receiver takes the value from our stack; close; deadline
//! ```
//!
//! `chansend1` is what the handles call: it knows `T`, and does a send into a ring with room by itself, in the caller's code. All
//! else is `chansend`, one function for all types (it is where one stops in a debugger).
//!
//! The value passes by moving its bytes; `Sent::Done` means that it has, and that the caller must forget its copy.

use crate::hchan::{Block, Found, Hchan, Limit, wait_on_nil};
use crate::shuttle::sound;
use crate::sudog::{Wake, WakeList};
use gosched_runtime::park::WaitReason;
use std::mem::ManuallyDrop;

/// How a send ended. But for `Done` the value is still the caller's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Sent {
    Done,
    Closed,
    /// It would have had to wait (longer).
    Full,
}

/// Sends `*v`, which has moved out when the result is `Done`.
///
/// # Safety
/// `h` is a channel of `T`, `place` the `Ref::place` of a handle on it.
#[inline]
pub(crate) unsafe fn chansend1<T>(
    h: Option<&Hchan>,
    place: *const (),
    v: &mut ManuallyDrop<T>,
    block: Block,
) -> Sent {
    let Some(h) = h else {
        wait_on_nil(block, WaitReason::ChanSendNilChan);
        return Sent::Full;
    };
    if matches!(block, Block::No) && h.full() {
        return Sent::Full;
    }
    h.lock();
    if h.has_room() && h.recvq.is_empty() && !h.is_closed() {
        // SAFETY: locked, and there is room; the caller forgets its copy.
        unsafe {
            h.ring.put::<T>(&raw const **v);
            h.unlock();
        }
        return Sent::Done;
    }
    // SAFETY: locked; `v` is a value of the channel's type.
    unsafe { chansend(h, place, (&raw mut **v).cast(), block) }
}

/// `chansend1` where `T` is not known.
///
/// # Safety
/// `src` points to a value of the channel's type. It has moved out when the result is `Done`. `place` as in `chansend1`.
pub(crate) unsafe fn chansend_raw(h: Option<&Hchan>, place: *const (), src: *mut u8, block: Block) -> Sent {
    let Some(h) = h else {
        wait_on_nil(block, WaitReason::ChanSendNilChan);
        return Sent::Full;
    };
    if matches!(block, Block::No) && h.full() {
        return Sent::Full;
    }
    h.lock();
    // SAFETY: locked; the rest is the caller's promise.
    unsafe { chansend(h, place, src, block) }
}

/// Sends if that can be done at once.
///
/// # Safety
/// The lock is held; `src` points to a value of the channel's type, which has moved out when the result is `Passed`;
/// `wakes` is readied after the lock is released.
#[inline]
pub(crate) unsafe fn look(h: &Hchan, src: *const u8, wakes: &mut WakeList) -> Found {
    if h.is_closed() && sound("send: looks for a close under the lock") {
        return Found::Closed;
    }
    // SAFETY: the lock is held.
    if let Some(r) = unsafe { h.recvq.dequeue() } {
        // SAFETY: r is dequeued and claimed; its waiter sleeps until `wakes` is readied, so its slot is alive and ours.
        unsafe { h.ring.elemtype.copy(src, r.elem) };
        r.complete(Wake::Done);
        wakes.push(r);
        return Found::Passed;
    }
    if h.has_room() {
        // SAFETY: the lock is held, there is room.
        unsafe { h.ring.put_raw(src) };
        return Found::Passed;
    }
    Found::Nothing
}

/// # Safety
/// The lock is held; it is released here. Else as for `chansend_raw`.
#[inline(never)]
unsafe fn chansend(h: &Hchan, place: *const (), src: *mut u8, block: Block) -> Sent {
    let mut limit = Limit::new(block);
    loop {
        let mut wakes = WakeList::new();
        // SAFETY: the lock is held, wakes is readied below.
        let sent = match unsafe { look(h, src, &mut wakes) } {
            Found::Passed => Some(Sent::Done),
            Found::Closed => Some(Sent::Closed),
            Found::Promise(_) | Found::Nothing => None,
        };
        let Some(deadline) = sent.is_none().then(|| limit.wait_until().ok()).flatten() else {
            // SAFETY: we hold it. And who is in wakes was dequeued by look.
            unsafe {
                h.unlock();
                wakes.ready();
            }
            return sent.unwrap_or(Sent::Full);
        };
        // SAFETY: the lock is held; src stays, for we wait.
        match unsafe { h.wait_on(&h.sendq, src, place, WaitReason::ChanSend, deadline, false) } {
            Some(Wake::Done) => return Sent::Done,
            Some(Wake::Closed) => return Sent::Closed,
            Some(Wake::Waiting | Wake::Again) => h.lock(),
            None => {} // timed out: one more look, with the lock held
        }
    }
}

/// Fills the room that was reserved for this send. `Closed` where the channel was closed since.
///
/// # Safety
/// `src` points to a value of the channel's type, which has moved out when the result is `Done`. One reservation is the
/// caller's, and ends here.
pub(crate) unsafe fn chansend_reserved(h: &Hchan, src: *const u8) -> Sent {
    let mut wakes = WakeList::new();
    h.lock();
    h.reserved.set(h.reserved.get() - 1);
    // SAFETY: the lock is held, wakes is readied below.
    let sent = match unsafe { look(h, src, &mut wakes) } {
        Found::Closed => Sent::Closed,
        _ => Sent::Done, // the reserved room is there
    };
    // SAFETY: as above. Where a receiver took the value, or nobody may any more, the room is free again. Who is in wakes
    // was dequeued.
    unsafe {
        h.settle(&mut wakes);
        h.unlock();
        wakes.ready();
    }
    sent
}

/// Gives up the room that was reserved.
///
/// # Safety
/// One reservation is the caller's, and ends here.
pub(crate) unsafe fn release_reserved(h: &Hchan) {
    let mut wakes = WakeList::new();
    h.lock();
    h.reserved.set(h.reserved.get() - 1);
    // SAFETY: the lock is held until the unlock; who is in wakes was dequeued.
    unsafe {
        h.settle(&mut wakes);
        h.unlock();
        wakes.ready();
    }
}
