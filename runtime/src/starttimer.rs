//! Starting and stopping timers, wherever the caller is (Go: runtime/time.go, `newtimer`, `stop`).
//!
//! A timer goes to the heap of the P that starts it, or of the first P where the caller has none: a plain thread, a
//! goroutine whose P was taken. If it is the earliest there, whoever waits in the poller must not wait beyond it.

use crate::clock::nanos_of;
use crate::idle::enter_with_p;
use crate::p::P;
use crate::sched::SCHED;
use crate::timers::SlotId;
pub use crate::timers::TimerFn;
use crate::{m, wake, worlds};
use std::time::Instant;

/// A timer that was started. `Copy`; harmless when stale.
///
/// ```
/// use gosched_runtime::timer::{TimerId, timer_add, timer_del};
/// use std::time::{Duration, Instant};
///
/// unsafe fn due(_: *mut (), _: u64) {}
/// # unsafe { gosched_runtime::run(|| {
/// let in_an_hour = Instant::now() + Duration::from_secs(3600);
/// // SAFETY: `due` looks at nothing.
/// let id: TimerId = unsafe { timer_add(in_an_hour, due, std::ptr::null_mut(), 0) };
/// assert!(timer_del(id));
/// assert!(!timer_del(id), "stale");
/// # }) };
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    p: u32,
    slot: SlotId,
}

/// Starts a timer: `f(arg, seq)` is called once, at `when` or soon after, on a thread of the scheduler. See [`TimerFn`]
/// for what it may do. Never parks. O(log n) in the timers of one P.
///
/// # Safety
/// `f` may be called with `arg` and `seq`, from any thread, until it has been called or [`timer_del`] gave true.
///
/// # Panics
/// Where the scheduler was never started.
///
/// ```
/// use gosched_runtime::{sync::Semaphore, timer::timer_add};
/// use std::time::Instant;
///
/// static CALLED: Semaphore = Semaphore::new(0);
/// unsafe fn due(_: *mut (), seq: u64) {
///     CALLED.add_permits(seq as usize);
/// }
/// # unsafe { gosched_runtime::run(|| {
/// // SAFETY: `due` may be called from anywhere.
/// unsafe { timer_add(Instant::now(), due, std::ptr::null_mut(), 2) };
/// CALLED.acquire_many(2).forget();
/// # }) };
/// ```
pub unsafe fn timer_add(when: Instant, f: TimerFn, arg: *mut (), seq: u64) -> TimerId {
    assert!(
        SCHED.started.load(std::sync::atomic::Ordering::Acquire),
        "gosched: a timer needs the scheduler, and no run is in progress"
    );
    let when = nanos_of(when);
    match m::getg() {
        Some(g) => {
            let m = enter_with_p(g);
            let id = add_to(m.p().map_or(0, |p| p.id), when, f, arg, seq);
            m::leave(m);
            id
        }
        None => {
            let p = m::current_m().and_then(m::M::p).map_or(0, |p| p.id);
            add_to(p, when, f, arg, seq)
        }
    }
}

fn add_to(p: u32, when: u64, f: TimerFn, arg: *mut (), seq: u64) -> TimerId {
    let (slot, earliest) = p_of(p).expect("it exists").timers.add(when, f, arg, seq);
    if earliest && p < worlds::FIRST_P {
        wake::wake_netpoller(when);
    }
    TimerId { p, slot }
}

/// Stops a timer. True: it will never be called. False: it has been called, or is being called now. Never parks, and
/// does not wait for the call. O(log n) in the timers of one P.
///
/// ```
/// use gosched_runtime::timer::{timer_add, timer_del};
/// use std::time::{Duration, Instant};
///
/// unsafe fn due(_: *mut (), _: u64) {}
/// # unsafe { gosched_runtime::run(|| {
/// let in_an_hour = Instant::now() + Duration::from_secs(3600);
/// // SAFETY: `due` looks at nothing.
/// let id = unsafe { timer_add(in_an_hour, due, std::ptr::null_mut(), 0) };
/// assert!(timer_del(id), "it is never called");
/// # }) };
/// ```
pub fn timer_del(id: TimerId) -> bool {
    p_of(id.p).is_some_and(|p| p.timers.del(id.slot))
}

/// The P of that number, perhaps one of a world (worlds.rs).
#[inline]
fn p_of(id: u32) -> Option<&'static P> {
    SCHED.allp().get(id as usize).copied().or_else(|| worlds::p(id))
}

/// As `timer_add` on g0, and writes the id to `note` before the timer can fire.
///
/// # Safety
/// As for `timer_add`; `note` is writable.
pub(crate) unsafe fn timer_add_noting(
    when: Instant,
    f: TimerFn,
    arg: *mut (),
    seq: u64,
    note: *mut Option<TimerId>,
) -> TimerId {
    let when = nanos_of(when);
    let p = m::current_m().and_then(m::M::p).map_or(0, |p| p.id);
    let (slot, earliest) = p_of(p).expect("it exists").timers.add_with(when, f, arg, seq, |slot| {
        // SAFETY: the caller's promise; under the heap's lock, without which the timer cannot fire.
        unsafe { *note = Some(TimerId { p, slot }) };
    });
    if earliest && p < worlds::FIRST_P {
        wake::wake_netpoller(when);
    }
    TimerId { p, slot }
}
