//! Plain threads as waiters: a thread that the scheduler does not own parks here when it uses a channel, a lock or a
//! socket of ours.
//!
//! Each thread borrows a `ThreadParker` from a pool at its first wait and returns it when the thread ends. Parkers are
//! recycled and never freed (waiter.rs says why), so there are as many as there were ever threads waiting at once.

use crate::note::Note;
use crate::waiter::{Waiter, WaiterHead, WaiterKind};
use parking_lot::Mutex;
use std::cell::Cell;
use std::ptr::NonNull;
use std::time::Instant;

#[repr(C)] // the head first: see WaiterHead
pub(crate) struct ThreadParker {
    head: WaiterHead,
    note: Note,
}

struct Pool(Vec<NonNull<ThreadParker>>);
// SAFETY: the pool owns the parkers in it, nobody else uses them.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool(Vec::new()));

/// A thread's hold on its parker; gives it back when the thread ends.
struct Hold(NonNull<ThreadParker>);

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.with(|h| h.set(None));
        POOL.lock().0.push(self.0);
    }
}

thread_local! {
    // No destructor of its own, so it can be read at any time of the thread's life.
    static HELD: Cell<Option<NonNull<ThreadParker>>> = const { Cell::new(None) };
    static RETURN: Cell<Option<Hold>> = const { Cell::new(None) };
}

fn take() -> NonNull<ThreadParker> {
    if let Some(p) = POOL.lock().0.pop() {
        return p;
    }
    let parker = ThreadParker { head: WaiterHead::new(WaiterKind::Thread, 0), note: Note::new() };
    NonNull::from(Box::leak(Box::new(parker)))
}

/// This thread's parker. Not to be called on a goroutine's stack.
#[inline(never)] // reaches a thread-local
pub(crate) fn current() -> Waiter {
    let parker = HELD.with(|h| {
        h.get().unwrap_or_else(|| {
            let p = take();
            h.set(Some(p));
            // Where the thread's destructors already run the parker stays with the dead thread: a small leak, once.
            let _ = RETURN.try_with(|r| r.set(Some(Hold(p))));
            p
        })
    });
    Waiter(parker.cast())
}

fn parker(w: Waiter) -> &'static ThreadParker {
    debug_assert_eq!(w.head().kind(), WaiterKind::Thread);
    // SAFETY: a head of kind Thread is the first field of a ThreadParker (repr(C)), and parkers are never freed.
    unsafe { w.0.cast::<ThreadParker>().as_ref() }
}

/// Blocks this thread until `wake`. Called with this thread's own waiter.
pub(crate) fn sleep(w: Waiter) {
    let note = &parker(w).note;
    note.notesleep();
    note.noteclear();
}

/// As `sleep`, but not beyond `deadline`; true when woken. Where it gives false, the wake-up may still come, and the
/// caller must either make sure that it does not or `sleep` for it.
pub(crate) fn sleep_until(w: Waiter, deadline: Instant) -> bool {
    let note = &parker(w).note;
    let woken = note.notetsleep(deadline);
    if woken {
        note.noteclear();
    }
    woken
}

/// Ends the `sleep` of a waiter of kind Thread.
pub(crate) fn wake(w: Waiter) {
    parker(w).note.notewakeup();
}
