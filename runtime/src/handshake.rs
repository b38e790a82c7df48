//! The retake handshake: how sysmon takes the P from an M that stays away from the runtime.
//!
//! Rust code has no point at which it could be preempted safely, so *all* user code counts as if it were in a system
//! call: sysmon may take the P away from an M that is outside the runtime, and hand it to another thread. The goroutine
//! goes on where it is, as a thread among others; it learns of it at its next call into the runtime. So each such call
//! begins and ends:
//!
//! ```text
//!   owner                                        thief (sysmon)
//!   enter:   in_rt = true                        take:   lock `deciding`
//!            compiler fence                              retaken = true
//!            retaken? ── settle ──┐                      membarrier   ◄ a full fence on every running thread
//!   … touches its P …             │                      if in_rt: retaken = false, give up
//!   leave:   in_rt = false        │                      else: take the P; `retaken` stays
//!                                 │                      unlock
//!   settle:  in_rt = false; lock `deciding`; retaken = false; in_rt = true; unlock; look whether the P is still there
//! ```
//! Each side writes its own flag and then reads the other's: the classic pair of which at least one sees the other,
//! provided that a full fence lies between write and read on both sides. The thief's membarrier executes the owner's
//! fence for it, at the moment where it is needed; so the owner pays two plain stores and a load, on every call, instead
//! of 8 ns. Whatever order the owner's processor had its store and load in, the barrier falls before the store is
//! visible (then the load, later, sees `retaken`) or after (then the thief sees `in_rt`). Where the kernel offers no
//! membarrier the owner fences for itself.
//!
//! The final decision is the thief's, under `deciding`; an owner that saw `retaken` waits for it there. While `in_rt` is
//! true, the P that the M holds is its own; while it is false, only the thief may take it.
//!
//! Model: tests/loom_handshake.rs, with real fences on both sides, for loom knows no membarrier.

use crate::loom::atomic::{AtomicBool, Ordering, fence};
use crate::loom::{Mutex, sound};

pub(crate) struct Handshake {
    /// Inside the runtime. Written by the owner, read by the thief.
    in_rt: AtomicBool,
    /// The P is being taken, or was. Written under `deciding`, read by the owner.
    retaken: AtomicBool,
    /// Held by the thief for a whole attempt, by the owner to learn its outcome.
    deciding: Mutex<()>,
}

/// The owner's fence, or what stands for it. `what`: the bug of leaving it out.
#[inline(always)]
pub(crate) fn owner_fence(what: &'static str) {
    #[cfg(not(gosched_loom))]
    if crate::sys::barrier::registered() {
        // The processor may still reorder; the thief's membarrier deals with that.
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        return;
    }
    if sound(what) {
        // Pairs with the fence in `thief_fence`.
        fence(Ordering::SeqCst);
    }
}

/// The other side's fence, which is the owner's too where the kernel has membarrier.
pub(crate) fn thief_fence() {
    #[cfg(not(gosched_loom))]
    crate::sys::barrier::membarrier();
    #[cfg(gosched_loom)]
    fence(Ordering::SeqCst);
}

impl Handshake {
    /// Of a new owner, inside the runtime.
    pub(crate) fn new() -> Handshake {
        Handshake { in_rt: AtomicBool::new(true), retaken: AtomicBool::new(false), deciding: Mutex::new(()) }
    }

    /// Owner: into the runtime. True: a thief is at it or was; the owner must `settle` before it touches its P.
    #[inline(always)]
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        self.in_rt.store(true, Ordering::Relaxed);
        owner_fence("handshake: owner fences");
        self.retaken.load(Ordering::Relaxed)
    }

    /// Owner: out of the runtime.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        // Release: what the owner did to its P is seen by the thief that takes it; pairs with the Acquire in `take`.
        self.in_rt.store(false, Ordering::Release);
    }

    /// Anyone: whether the owner is inside the runtime. (freeze.rs)
    pub(crate) fn inside(&self) -> bool {
        // Acquire: pairs with the Release in `leave`.
        self.in_rt.load(Ordering::Acquire)
    }

    /// Owner, after `enter` said so: waits for the thief's decision. Inside the runtime afterwards; whether it still has
    /// its P is settled.
    #[cold]
    pub(crate) fn settle(&self) {
        self.leave();
        let _decided = self.deciding.lock().unwrap();
        self.retaken.store(false, Ordering::Relaxed);
        // Inside again before the next thief gets the lock: it will find us inside.
        self.in_rt.store(true, Ordering::Relaxed);
    }

    /// Owner, inside the runtime and without a P any more: waits until a thief that began before has given up, so that no
    /// flag of its is left behind. (Later ones see that there is nothing to take.)
    pub(crate) fn quiesce(&self) {
        drop(self.deciding.lock().unwrap());
    }

    /// Thief: takes the P unless the owner is inside the runtime. `still_held` says whether there is something to take;
    /// `take` takes it. True when taken.
    pub(crate) fn take(&self, still_held: impl Fn() -> bool, take: impl FnOnce()) -> bool {
        let _deciding = self.deciding.lock().unwrap();
        if !still_held() {
            return false;
        }
        self.retaken.store(true, Ordering::Relaxed);
        thief_fence();
        // Acquire: pairs with the Release in `leave`.
        let inside = self.in_rt.load(Ordering::Acquire) && sound("handshake: thief looks");
        if inside || !still_held() {
            self.retaken.store(false, Ordering::Relaxed);
            return false;
        }
        // `retaken` stays: the owner finds it at its next call.
        take();
        true
    }
}
