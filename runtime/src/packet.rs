//! The packet between a goroutine and whoever joins it: the result, and one waiter.
//!
//! ```text
//!   goroutine                                  joiner (one at most: `join` consumes the handle)
//!   result = …                                 DONE?  ── yes ─────────────────────────────► take the result
//!   old = swap(state, DONE)                    park; commit: state null → waiter, or DONE by now: called off
//!   old is a waiter? ready it            ──►   … woken: DONE ─────────────────────────────► take the result
//! ```
//! `state` is null while the goroutine runs, the joiner's waiter while one waits, DONE afterwards. `result` belongs to the
//! goroutine until DONE, to the joiner from then on, and to the last reference where nobody takes it: a handle may be dropped
//! at any time.
//!
//! Model: tests/loom_packet.rs.

use crate::loom::atomic::{AtomicPtr, Ordering};
use crate::loom::cell::UnsafeCell;
use crate::loom::sound;
use crate::park::{WaitReason, Waiter, gopark, goready};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Drops a panic's payload. Its destructor may panic, and so may that of the new payload: after a few of them the last is
/// given up.
pub(crate) fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    std::mem::forget(payload);
}

/// See the file's head.
pub(crate) struct Packet<T> {
    state: AtomicPtr<()>,
    result: UnsafeCell<Option<std::thread::Result<T>>>,
    /// Of a scope: set where a panic was never joined.
    unseen_panic: Option<Arc<AtomicBool>>,
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        // SAFETY: the last reference: nobody else is here.
        let result = self.result.with_mut(|r| unsafe { (*r).take() });
        if let (Some(Err(_)), Some(unseen)) = (&result, &self.unseen_panic) {
            // Relaxed: the scope's WaitGroup orders it.
            unseen.store(true, Ordering::Relaxed);
        }
        // A destructor of the result may panic: not into whoever happens to hold the last reference.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            discard(payload);
        }
    }
}

const DONE: *mut () = ptr::without_provenance_mut(1);

// SAFETY: `state` hands `result` over from one side to the other (above); T moves between them.
unsafe impl<T: Send> Sync for Packet<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Packet<T> {}

impl<T> Packet<T> {
    pub(crate) fn new(unseen_panic: Option<Arc<AtomicBool>>) -> Packet<T> {
        Packet { state: AtomicPtr::new(ptr::null_mut()), result: UnsafeCell::new(None), unseen_panic }
    }

    pub(crate) fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `complete`.
        self.state.load(Ordering::Acquire) == DONE
    }

    pub(crate) fn complete(&self, r: std::thread::Result<T>) {
        // SAFETY: the goroutine's side, before DONE.
        self.result.with_mut(|result| unsafe { *result = Some(r) });
        // AcqRel: publishes the result, to `is_done` and to a commit that comes too late; acquires the waiter.
        let order =
            if sound("packet: DONE releases the result") { Ordering::AcqRel } else { Ordering::Acquire };
        let waiter = self.state.swap(DONE, order);
        if !waiter.is_null() {
            // SAFETY: `wait` put it there in its commit, and parks until we ready it.
            unsafe { goready(Waiter::from_raw(waiter)) };
        }
    }

    /// Waits for DONE. One waiter at most: `join` consumes the handle.
    pub(crate) fn wait(&self) {
        unsafe fn commit(w: Waiter, state: *mut ()) -> bool {
            // SAFETY: the state of a packet that the joiner holds; it stays alive while the joiner is parked, and after
            // the exchange it is not touched here.
            let state = unsafe { &*state.cast::<AtomicPtr<()>>() };
            // Release: the waiter is seen whole by `complete`. Acquire: DONE already, so the result is there.
            let found =
                state.compare_exchange(ptr::null_mut(), w.into_raw(), Ordering::AcqRel, Ordering::Acquire);
            found.is_ok() || !sound("packet: the joiner looks once more as it parks")
        }
        if !self.is_done() {
            let state = (&raw const self.state).cast_mut().cast();
            // SAFETY: `complete` readies the waiter once; it finds it only through the commit's exchange.
            unsafe { gopark(commit, state, WaitReason::Join) };
        }
    }

    pub(crate) fn take(&self) -> std::thread::Result<T> {
        debug_assert!(self.is_done());
        // SAFETY: DONE, and there is one joiner.
        self.result.with_mut(|r| unsafe { (*r).take() }).expect("joined once")
    }
}
