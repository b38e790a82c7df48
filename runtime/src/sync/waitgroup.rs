//! `WaitGroup`: wait until a counter is back at zero (Go: sync/waitgroup.go).
//!
//! ## The word
//! ```text
//!   bits 32..64  the counter, 0 ..= i32::MAX
//!   bits  0..32  the number of waiters
//!
//!   add          counter + delta; refused, the word untouched, where it would leave its range
//!   to zero      (0, w): the word belongs to the add that got there, until it has made it (0, 0)
//!   wait         counter 0: done.  Else one waiter more, and sleep in sema
//! ```
//! The add that brings the counter to zero lets all waiters go, one unit of the semaphore for each. While the word is
//! (0, w) no other operation changes it: an `add` that would is the misuse that Go describes, an `add` from zero that
//! does not happen before the `wait`.

use crate::loom::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::park::{Awaited, Awaits, WaitReason, current, point};
use crate::sema::{semacquire, semrelease};
use std::fmt;
use std::sync::Arc;

const COUNTER_SHIFT: u32 = 32;

/// The word as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(u64);

/// Why an `add` was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Misuse {
    Negative,
    Overflow,
    AddDuringWait,
}

impl State {
    const ZERO: State = State(0);

    fn counter(self) -> i64 {
        (self.0 >> COUNTER_SHIFT) as i64
    }

    fn waiters(self) -> u32 {
        self.0 as u32
    }

    fn add(self, delta: isize) -> Result<State, Misuse> {
        let counter = self.counter().saturating_add(delta as i64);
        if counter < 0 {
            return Err(Misuse::Negative);
        }
        if counter > i64::from(i32::MAX) {
            return Err(Misuse::Overflow);
        }
        if self.counter() == 0 && self.waiters() != 0 && delta > 0 {
            return Err(Misuse::AddDuringWait);
        }
        Ok(State((counter as u64) << COUNTER_SHIFT | u64::from(self.waiters())))
    }

    /// With one waiter more. Cannot run over: waiters are live goroutines and threads.
    fn joined(self) -> State {
        State(self.0 + 1)
    }
}

#[derive(Default)]
struct Inner {
    /// The word of the file's head.
    state: AtomicU64,
    /// Where the waiters sleep.
    sema: AtomicU32,
}

/// What a waiter waits for: whoever has a handle can count down.
///
/// # Safety
/// `of` is the `inner` of the handle that the parked waiter has borrowed.
unsafe fn handles(of: *const (), f: &mut dyn FnMut(Awaited)) {
    // SAFETY: the caller's promise.
    let inner = unsafe { &*of.cast::<Arc<Inner>>() };
    let what = Arc::as_ptr(inner).cast();
    f(Awaited::Handle { what, handles: Arc::strong_count(inner), place: of });
}

/// Waits for a set of goroutines or threads to finish. Go: `sync.WaitGroup`.
///
/// [`add`](Self::add) counts up, [`done`](Self::done) down, and [`wait`](Self::wait) parks until the counter is zero.
/// A clone is another handle on the same counter. What was done before `done` is seen after the `wait` that it ended.
///
/// Count up *before* the work that will count down can start, and before `wait`: not in the new goroutine itself.
///
/// ```
/// use gosched_runtime::sync::WaitGroup;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::sync::Arc;
///
/// let (wg, sum) = (WaitGroup::new(), Arc::new(AtomicU32::new(0)));
/// for n in 1..=4 {
///     wg.add(1);
///     let (wg, sum) = (wg.clone(), sum.clone());
///     std::thread::spawn(move || {
///         sum.fetch_add(n, Ordering::Relaxed);
///         wg.done();
///     });
/// }
/// wg.wait();
/// assert_eq!(sum.load(Ordering::Relaxed), 10);
/// ```
#[derive(Clone, Default)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

impl WaitGroup {
    /// A group whose counter is zero.
    ///
    /// ```
    /// gosched_runtime::sync::WaitGroup::new().wait(); // nothing to wait for
    /// ```
    pub fn new() -> WaitGroup {
        WaitGroup::default()
    }

    /// Adds `delta`, which may be negative, to the counter. At zero all waiters go on. Never parks. O(1), and
    /// O(waiters) at zero.
    ///
    /// # Panics
    /// - `sync: negative WaitGroup counter` where the counter would fall below zero;
    /// - `sync: WaitGroup counter overflow` where it would rise above `i32::MAX`;
    /// - `sync: WaitGroup misuse: Add called concurrently with Wait` where it counts up from zero while waiters are
    ///   being let go.
    ///
    /// The counter stays as it was, in all three cases.
    ///
    /// ```
    /// let wg = gosched_runtime::sync::WaitGroup::new();
    /// wg.add(2);
    /// wg.add(-2);
    /// wg.wait();
    /// ```
    #[inline]
    pub fn add(&self, delta: isize) {
        point("WaitGroup add", std::ptr::from_ref(&*self.inner).cast());
        let state = &self.inner.state;
        let mut old = State(state.load(Ordering::Relaxed));
        let new = loop {
            let new = old.add(delta).unwrap_or_else(|misuse| refuse(misuse));
            // Release: what was done before this `done` is seen by who finds the counter at zero; pairs with the
            // Acquire loads in `wait`, through the read-modify-writes of the other `done`s. Acquire: what the others
            // did goes through this one's semrelease to the waiters.
            match state.compare_exchange_weak(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break new,
                Err(now) => old = State(now),
            }
        };
        if new.counter() == 0 && new.waiters() != 0 {
            self.release(new.waiters());
        }
    }

    /// Lets the waiters go. The word is (0, `waiters`), which we made it, and ours.
    #[cold]
    fn release(&self, waiters: u32) {
        // Release: as in add, for a `wait` that finds this zero.
        self.inner.state.store(State::ZERO.0, Ordering::Release);
        for _ in 0..waiters {
            semrelease(&self.inner.sema, true);
        }
    }

    /// Takes one off the counter. Never parks. Go: `WaitGroup.Done`.
    ///
    /// # Panics
    /// `sync: negative WaitGroup counter` where the counter is zero.
    ///
    /// ```
    /// let wg = gosched_runtime::sync::WaitGroup::new();
    /// wg.add(1);
    /// wg.done();
    /// wg.wait();
    /// ```
    #[inline]
    pub fn done(&self) {
        self.add(-1);
    }

    /// Parks until the counter is zero. Any number of goroutines and threads may wait. Go: `WaitGroup.Wait`.
    ///
    /// # Panics
    /// `sync: WaitGroup is reused before previous Wait has returned` where the group is counting again when this waiter
    /// wakes. The group may be used again, but only once every `wait` has returned.
    ///
    /// ```
    /// let wg = gosched_runtime::sync::WaitGroup::new();
    /// wg.add(1);
    /// let other = wg.clone();
    /// let t = std::thread::spawn(move || other.done());
    /// wg.wait();
    /// # t.join().unwrap();
    /// ```
    pub fn wait(&self) {
        point("WaitGroup wait", std::ptr::from_ref(&*self.inner).cast());
        let Inner { state, sema } = &*self.inner;
        // Acquire, here and below: pairs with the Release in add and in release.
        let mut old = State(state.load(Ordering::Acquire));
        while old.counter() != 0 {
            match state.compare_exchange_weak(old.0, old.joined().0, Ordering::Relaxed, Ordering::Acquire) {
                Err(now) => old = State(now),
                Ok(_) => {
                    let (me, awaits) = (current(), Awaits::new(handles, (&raw const self.inner).cast()));
                    // SAFETY: the record is on this stack until the wait is over, and the handle is borrowed.
                    unsafe { me.set_awaits(&awaits) };
                    semacquire(sema, false, WaitReason::SyncWaitGroupWait);
                    me.awaits_nothing();
                    let now = State(state.load(Ordering::Acquire));
                    assert!(
                        now == State::ZERO,
                        "sync: WaitGroup is reused before previous Wait has returned"
                    );
                    return;
                }
            }
        }
    }

    /// Starts a goroutine that the group counts until it ends: by returning, by a panic or by `goexit`. Never parks.
    /// Go: `sync.WaitGroup.Go`.
    ///
    /// # Panics
    /// As [`go`](fn@crate::go).
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let wg = gosched_runtime::sync::WaitGroup::new();
    /// for i in 0..3 {
    ///     wg.go(move || println!("{i}"));
    /// }
    /// wg.wait();
    /// # }) };
    /// ```
    #[track_caller]
    pub fn go<F: FnOnce() + Send + 'static>(&self, f: F) {
        crate::go(self.counted(f));
    }

    /// Counts one up and gives `f` a wrapping that counts it down again when it has run, or panicked, or was ended by
    /// `goexit`, or was dropped without having run. What `go` starts.
    pub(crate) fn counted<F: FnOnce() + Send + 'static>(&self, f: F) -> impl FnOnce() + Send + 'static {
        self.add(1);
        let done = DoneOnDrop(self.clone());
        move || {
            let _done = done;
            f();
        }
    }
}

#[cold]
#[inline(never)]
fn refuse(misuse: Misuse) -> ! {
    match misuse {
        Misuse::Negative => panic!("sync: negative WaitGroup counter"),
        Misuse::Overflow => panic!("sync: WaitGroup counter overflow"),
        Misuse::AddDuringWait => panic!("sync: WaitGroup misuse: Add called concurrently with Wait"),
    }
}

/// One unit of a group's counter, given back on the way out, whichever way that is.
struct DoneOnDrop(WaitGroup);

impl Drop for DoneOnDrop {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = State(self.inner.state.load(Ordering::Relaxed));
        f.debug_struct("WaitGroup").field("counter", &state.counter()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn state(counter: u64, waiters: u64) -> State {
        State(counter << COUNTER_SHIFT | waiters)
    }

    #[test]
    fn adding_keeps_the_waiters_and_refuses_what_leaves_the_range() {
        assert_eq!(state(0, 0).add(3), Ok(state(3, 0)));
        assert_eq!(state(3, 7).add(-3), Ok(state(0, 7)));
        assert_eq!(state(3, 7).add(1), Ok(state(4, 7)));
        assert_eq!(state(3, 7).add(-4), Err(Misuse::Negative));
        assert_eq!(state(0, 7).add(1), Err(Misuse::AddDuringWait));
        assert_eq!(state(0, 7).add(0), Ok(state(0, 7)));
        assert_eq!(state(0, 0).add(i32::MAX as isize), Ok(state(i32::MAX as u64, 0)));
        assert_eq!(state(1, 0).add(i32::MAX as isize), Err(Misuse::Overflow));
        assert_eq!(state(1, 0).add(isize::MAX), Err(Misuse::Overflow));
        assert_eq!(state(1, 0).add(isize::MIN), Err(Misuse::Negative));
        assert_eq!(state(0, u32::MAX as u64 - 1).joined(), state(0, u32::MAX as u64));
    }

    #[test]
    fn adding_from_zero_while_waiters_are_let_go_is_refused() {
        let wg = WaitGroup::new();
        // The word in the middle of the last `done`.
        wg.inner.state.store(state(0, 1).0, Ordering::Relaxed);
        let refused = catch_unwind(AssertUnwindSafe(|| wg.add(1))).unwrap_err();
        assert_eq!(
            refused.downcast_ref::<&str>(),
            Some(&"sync: WaitGroup misuse: Add called concurrently with Wait")
        );
        assert_eq!(wg.inner.state.load(Ordering::Relaxed), state(0, 1).0);
    }

    #[test]
    fn counted_work_counts_down_however_it_ends() {
        let wg = WaitGroup::new();
        let counter = || State(wg.inner.state.load(Ordering::Relaxed)).counter();
        let (runs, panics, unrun) =
            (wg.counted(|| ()), wg.counted(|| panic!("on purpose")), wg.counted(|| ()));
        assert_eq!(counter(), 3);
        runs();
        assert_eq!(counter(), 2);
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(counter(), 1);
        drop(unrun);
        assert_eq!(counter(), 0);
    }
}
