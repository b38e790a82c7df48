//! Functions that are called at a time (Go: time/sleep.go, `AfterFunc`, `goFunc`; runtime/time.go, `stopTimer`).
//!
//! A function timer that waits is one entry in a timer heap and one allocation with the function in it: no thread, no
//! goroutine. When it is due, the callback on the scheduler's stack starts a goroutine, and that one calls the function.
//!
//! ## The protocol
//! ```text
//!   FuncTimer ──┐        ┌─ Inner<F> ───────────────┐        ┌ heap entry ─────────────┐
//!   goroutine ──┴─ Arc ─►│ lock: phase epoch f      │◄─ Arc ─┤ fire │ inner │ epoch    │
//!                        └──────────────────────────┘        └─────────────────────────┘
//!
//!            ┌───────── stop ─────────┐
//!            ▼                        │
//!          Idle ─── reset ─────────► Set ── fire(epoch) ──► Fired ── the goroutine takes f, and calls it
//!                                    └─┘ reset: the next epoch
//! ```
//!
//! | phase | who owns `f`                                       | the heap                                             |
//! |-------|----------------------------------------------------|------------------------------------------------------|
//! | Idle  | the handle: a reset may still want it              | no entry; callbacks of old epochs may be on their way |
//! | Set   | the callback of this epoch                         | an entry, or that callback on its way; for a time     |
//! |       |                                                    | beyond the end of the clock neither                   |
//! | Fired | the goroutine, until it has taken it; then nobody  | no entry; callbacks of old epochs may be on their way |
//!
//! Stopping races with firing in one place. An entry that has left its heap cannot be called back: its callback is on
//! its way to the lock. So the lock decides. Who finds `Set` under it may move on: a stop to `Idle`, a reset to the next
//! epoch, and both say "it was set"; the callback that comes later finds another phase or another epoch, and goes away.
//! The callback that comes first makes it `Fired`, and then stop and reset say "it was not". `Fired` is reached once and
//! never left, since a `FnOnce` is gone when it has been called: so nothing runs twice. And `Set` is left by those three
//! only, so nothing is lost.
//!
//! Each heap entry owns one count of the Arc. It goes to the callback; or, where `timer_del` says that the entry will
//! never be called, to whoever deleted it.
//!
//! No user code on the scheduler's stack: `f` is called by a goroutine, and dropped by one or by the handle's owner. For
//! whoever gives up the handle takes `f` along unless an entry or the goroutine owns it; so the count that a stale
//! callback drops is never the last one of an Inner with a function in it.
//!
//! Under the lock nothing parks and no user code runs. Lock order: Inner, then a heap, then the scheduler; callbacks run
//! with none of them held.

use crate::loom::lock::Mutex;
use crate::loom::sound;
use crate::newproc::go_at;
use crate::park;
use crate::starttimer::{TimerId, timer_add, timer_del};
use std::fmt;
use std::mem;
use std::panic::Location;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The states of the file's head. In `Set`: the entry, unless the time is beyond the end of the clock.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    Set(Option<TimerId>),
    Fired,
}

struct State<F> {
    phase: Phase,
    /// How often it was set. An entry carries the number of its own setting.
    epoch: u64,
    f: Option<F>,
}

struct Inner<F> {
    state: Mutex<State<F>>,
    /// Where the timer was made: the goroutine is shown as started there.
    site: &'static Location<'static>,
}

/// An `Inner` of whatever function.
trait Timed: Send + Sync {
    fn set(self: Arc<Self>, when: Option<Instant>) -> bool;
    fn stop(self: Arc<Self>) -> bool;
    fn abandon(&self);
    fn phase(&self) -> Phase;
}

impl<F: FnOnce() + Send + 'static> Timed for Inner<F> {
    /// Sets it anew, unless it has fired; whether it was set before.
    fn set(self: Arc<Self>, when: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Fired) {
            return false;
        }
        let was_set = self.unset(&mut state);
        state.epoch += 1;
        let id = when.map(|when| {
            let theirs = Arc::clone(&self);
            let arg = Arc::as_ptr(&theirs).cast_mut().cast();
            // SAFETY: `fire` takes over the count of `theirs`, once, wherever it is called. It may be called before
            // `theirs` is forgotten, and then it waits for the lock that we hold.
            let id = unsafe { timer_add(when, fire::<F>, arg, state.epoch) };
            mem::forget(theirs); // not before: timer_add may panic
            id
        });
        state.phase = Phase::Set(id);
        was_set
    }

    fn stop(self: Arc<Self>) -> bool {
        let mut state = self.state.lock();
        self.unset(&mut state)
    }

    /// The handle is given up.
    fn abandon(&self) {
        let mut state = self.state.lock();
        let f = match state.phase {
            Phase::Set(Some(_)) | Phase::Fired => None,
            Phase::Set(None) | Phase::Idle => state.f.take(),
        };
        drop(state);
        drop(f); // user code, and so without the lock
    }

    fn phase(&self) -> Phase {
        self.state.lock().phase
    }
}

impl<F> Inner<F> {
    /// Set to Idle; whether it was Set.
    fn unset(self: &Arc<Self>, state: &mut State<F>) -> bool {
        match state.phase {
            Phase::Idle | Phase::Fired => return false,
            Phase::Set(None) => {}
            Phase::Set(Some(id)) => {
                if timer_del(id) {
                    // SAFETY: `set` left this count to the entry, which is gone without having been called.
                    unsafe { Arc::decrement_strong_count(Arc::as_ptr(self)) };
                }
            }
        }
        state.phase = Phase::Idle;
        true
    }
}

/// The callback of a heap entry.
///
/// # Safety
/// `inner` is an `Arc<Inner<F>>` whose count is handed over.
unsafe fn fire<F: FnOnce() + Send + 'static>(inner: *mut (), epoch: u64) {
    // SAFETY: the caller's promise.
    let inner = unsafe { Arc::from_raw(inner.cast_const().cast::<Inner<F>>()) };
    {
        let mut state = inner.state.lock();
        let old = state.epoch != epoch && sound("function timer: an old callback goes away");
        if old || !matches!(state.phase, Phase::Set(_)) {
            return;
        }
        state.phase = Phase::Fired;
    }
    let site = inner.site;
    go_at(site, move || {
        let f = inner.state.lock().f.take();
        drop(inner);
        if let Some(f) = f {
            f();
        }
    });
}

/// A function that will be called in a goroutine of its own at a certain time; from [`after_func`]. Dropping it changes
/// nothing: the function is called. Nothing here parks. Go: the `*time.Timer` that `time.AfterFunc` gives.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// use gosched_runtime::timer::after_func;
/// use std::time::Duration;
/// let t = after_func(Duration::from_secs(3600), || unreachable!("it was stopped"));
/// assert!(t.stop());
/// assert!(!t.stop());
/// # }) };
/// ```
pub struct FuncTimer {
    inner: Arc<dyn Timed>,
}

impl FuncTimer {
    /// Sees to it that the function is not called; whether that was still to come. False: it was stopped before, or it
    /// has been started; then it may be running, and `stop` does not wait for it. Go: `Timer.Stop`.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_runtime::{sync::Semaphore, timer::after_func};
    /// # use std::{sync::Arc, time::Duration};
    /// let called = Arc::new(Semaphore::new(0));
    /// let theirs = called.clone();
    /// let t = after_func(Duration::ZERO, move || theirs.add_permits(1));
    /// drop(called.acquire());
    /// assert!(!t.stop());
    /// # }) };
    /// ```
    pub fn stop(&self) -> bool {
        self.inner.clone().stop()
    }

    /// Has the function called `d` from now instead; whether it was still to be called. A stopped timer is set again,
    /// which gives false, as in Go. One whose function has been started stays as it is, which also gives false: a
    /// `FnOnce` cannot be called again. Never parks. O(log n) in the timers of one P. Go: `Timer.Reset`, which would.
    ///
    /// # Panics
    /// Where the scheduler was never started.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_runtime::{sync::Semaphore, timer::after_func};
    /// # use std::{sync::Arc, time::Duration};
    /// let called = Arc::new(Semaphore::new(0));
    /// let theirs = called.clone();
    /// let t = after_func(Duration::MAX, move || theirs.add_permits(1));
    /// assert!(t.reset(Duration::from_secs(3600)), "it was set");
    /// assert!(t.stop());
    /// assert!(!t.reset(Duration::from_millis(1)), "it was stopped, and is set now");
    /// drop(called.acquire());
    /// assert!(!t.reset(Duration::ZERO), "it has been called");
    /// # }) };
    /// ```
    pub fn reset(&self, d: Duration) -> bool {
        self.inner.clone().set(park::now().checked_add(d))
    }
}

impl Drop for FuncTimer {
    fn drop(&mut self) {
        self.inner.abandon();
    }
}

// A panic never leaves one half changed: no user code runs under its lock.
impl UnwindSafe for FuncTimer {}
impl RefUnwindSafe for FuncTimer {}

impl fmt::Debug for FuncTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.inner.phase() {
            Phase::Idle => "stopped",
            Phase::Set(_) => "set",
            Phase::Fired => "fired",
        };
        f.debug_struct("FuncTimer").field("state", &format_args!("{phase}")).finish_non_exhaustive()
    }
}

/// Calls `f` in a goroutine of its own, `d` from now or soon after. A `d` beyond the end of the clock never comes.
/// O(log n) in the timers of one P. Works on goroutines, and on plain threads while a `run` is in progress. Never parks.
/// Go: `time.AfterFunc`.
///
/// # Panics
/// Where the scheduler was never started.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// use gosched_runtime::{sync::Semaphore, timer::after_func};
/// use std::{sync::Arc, time::Duration};
/// let called = Arc::new(Semaphore::new(0));
/// let theirs = called.clone();
/// after_func(Duration::from_millis(1), move || theirs.add_permits(1));
/// drop(called.acquire());
/// # }) };
/// ```
#[track_caller]
pub fn after_func<F: FnOnce() + Send + 'static>(d: Duration, f: F) -> FuncTimer {
    start(park::now().checked_add(d), f)
}

/// [`after_func`] for a point in time. One that is past is due at once. Never parks.
///
/// # Panics
/// Where the scheduler was never started.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// use gosched_runtime::{sync::Semaphore, timer::after_func_at};
/// use std::{sync::Arc, time::Instant};
/// let called = Arc::new(Semaphore::new(0));
/// let theirs = called.clone();
/// after_func_at(Instant::now(), move || theirs.add_permits(1));
/// drop(called.acquire());
/// # }) };
/// ```
#[track_caller]
pub fn after_func_at<F: FnOnce() + Send + 'static>(when: Instant, f: F) -> FuncTimer {
    start(Some(when), f)
}

#[track_caller]
fn start<F: FnOnce() + Send + 'static>(when: Option<Instant>, f: F) -> FuncTimer {
    let state = Mutex::new(State { phase: Phase::Idle, epoch: 0, f: Some(f) });
    let inner = Arc::new(Inner { state, site: Location::caller() });
    inner.clone().set(when);
    FuncTimer { inner }
}
