//! A coroutine: a function on a stack of its own that can be left and entered again. The only file that names
//! corosensei.
//!
//! ```text
//!   M's own stack (g0)                     the goroutine's stack
//!   resume() ───────────────────────────►  body(suspender)
//!            ◄── Left(order) ───────────── suspender.suspend(order)
//!   resume() ───────────────────────────►  …goes on
//!            ◄── Finished(stack) ───────── body returns
//! ```
//! `O` is what the goroutine asks of the scheduler when it leaves (g.rs, `Order`).
//!
//! **Threads.** corosensei's coroutine is `!Send` because what is on its stack may not be. Ours may resume on another
//! thread than before: the promise that nothing tied to a thread lies on the stack across a suspension is the one that
//! the caller of `run` makes for the whole program. corosensei itself keeps nothing in thread-local storage and rewrites
//! the link to its resumer at each resume.
//!
//! **Never dropped while suspended.** corosensei would unwind the stack by force, which user code can swallow; a
//! suspended goroutine is leaked instead, as threads are at exit.

use crate::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// A started or startable coroutine.
pub(crate) struct Coro<O: 'static>(ManuallyDrop<Coroutine<(), O, (), Stack>>);

// SAFETY: file head, "Threads".
unsafe impl<O> Send for Coro<O> {}

/// How a `resume` ended.
pub(crate) enum Left<O> {
    /// The goroutine left its stack with an order.
    Suspended(O),
    /// Its function returned.
    Finished,
}

/// The way out of a coroutine, used from inside. Valid while the coroutine's body runs, on any thread.
pub(crate) struct Suspender<O: 'static>(NonNull<Yielder<(), O>>);

impl<O> Clone for Suspender<O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O> Copy for Suspender<O> {}

impl<O> Suspender<O> {
    /// Leaves the stack with `order`; returns when the coroutine is resumed.
    ///
    /// # Safety
    /// Called on the stack of the coroutine that this suspender was made for, while its body runs.
    #[inline]
    pub(crate) unsafe fn suspend(self, order: O) {
        // SAFETY: the yielder lies at the base of the coroutine's stack as long as its body runs (the caller's promise).
        unsafe { self.0.as_ref().suspend(order) }
    }
}

impl<O> Coro<O> {
    /// A coroutine that will run `body` on `stack`. `body` must not unwind.
    #[inline]
    pub(crate) fn new(stack: Stack, body: impl FnOnce(Suspender<O>) + 'static) -> Coro<O> {
        Coro(ManuallyDrop::new(Coroutine::with_stack(stack, move |yielder: &Yielder<(), O>, ()| {
            body(Suspender(NonNull::from(yielder)));
        })))
    }

    /// Runs the coroutine until it leaves. Must not be called again after `Finished`.
    #[inline]
    pub(crate) fn resume(&mut self) -> Left<O> {
        match self.0.resume(()) {
            CoroutineResult::Yield(order) => Left::Suspended(order),
            CoroutineResult::Return(()) => Left::Finished,
        }
    }

    /// The stack of a coroutine that has finished.
    #[inline]
    pub(crate) fn into_stack(self) -> Stack {
        // SAFETY: `self` is consumed and ManuallyDrop does not drop again.
        unsafe { std::ptr::read(&*self.0) }.into_stack()
    }
}
