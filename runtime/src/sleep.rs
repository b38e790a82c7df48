//! Sleeping, and timers for other crates (Go: runtime/time.go, `timeSleep`).
//!
//! A timer goes to the heap of the P that starts it, or of the first P when a plain thread does. It is started in the
//! *commit* of a park, when the goroutine has left its stack: it could fire before otherwise, and ready a goroutine that
//! still runs.

use crate::clock::nanos_of;
use crate::g::Commit;
use crate::idle::enter_with_p;
use crate::park::{self, Ticket, WaitReason, Waiter, Woken, gopark, goready};
use crate::sched::SCHED;
use crate::timers::SlotId;
pub use crate::timers::TimerFn;
use crate::{m, wake};
use std::time::{Duration, Instant};

/// A timer that was started. `Copy`; harmless when stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    p: u32,
    slot: SlotId,
}

/// Starts a timer: `f(arg, seq)` is called once, at `when` or soon after, on a thread of the scheduler. See [`TimerFn`]
/// for what it may do. O(log n) in the timers of one P.
///
/// # Safety
/// `f` may be called with `arg` and `seq`, from any thread, until it has been called or [`timer_del`] gave true.
///
/// # Panics
/// Where the scheduler was never started.
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
    let (slot, earliest) = SCHED.allp()[p as usize].timers.add(when, f, arg, seq);
    if earliest {
        wake::wake_netpoller(when);
    }
    TimerId { p, slot }
}

/// Stops a timer. True: it will never be called. False: it has been called, or is being called now.
pub fn timer_del(id: TimerId) -> bool {
    SCHED.allp().get(id.p as usize).is_some_and(|p| p.timers.del(id.slot))
}

/// Parks the goroutine for at least `d`; on a plain thread, the thread sleeps (Go: `time.Sleep`). Zero returns at once.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let t = std::time::Instant::now();
/// gosched_runtime::sleep(std::time::Duration::from_millis(5));
/// assert!(t.elapsed().as_millis() >= 5);
/// # }) };
/// ```
pub fn sleep(d: Duration) {
    if d.is_zero() {
        return;
    }
    if !park::on_goroutine() {
        return std::thread::sleep(d);
    }
    match Instant::now().checked_add(d) {
        Some(t) => sleep_g(t),
        // Beyond the clock's range: for ever.
        None => loop {
            sleep_g(Instant::now() + Duration::from_secs(1 << 30));
        },
    }
}

/// Parks the goroutine until `t`; returns at once where that is past.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let t = std::time::Instant::now() + std::time::Duration::from_millis(3);
/// gosched_runtime::sleep_until(t);
/// assert!(std::time::Instant::now() >= t);
/// # }) };
/// ```
pub fn sleep_until(t: Instant) {
    if !park::on_goroutine() {
        return std::thread::sleep(t.saturating_duration_since(Instant::now()));
    }
    if t > Instant::now() {
        sleep_g(t);
    }
}

fn sleep_g(t: Instant) {
    unsafe fn commit(w: Waiter, when: *mut ()) -> bool {
        unsafe fn fire(w: *mut (), _: u64) {
            // SAFETY: the word is the waiter that `commit` started this timer for; it is parked, and nobody else wakes it.
            unsafe { goready(Waiter::from_raw(w)) };
        }
        // SAFETY: points into the sleeper's frame; read before the timer, which alone can wake it, is started.
        let when = unsafe { *when.cast::<Instant>() };
        // SAFETY: `fire` may run once, from anywhere, from now on: the goroutine has left its stack.
        unsafe { timer_add(when, fire, w.into_raw(), 0) };
        true
    }
    let when = t;
    // SAFETY: the timer readies it, once.
    unsafe { gopark(commit, (&raw const when).cast_mut().cast(), WaitReason::Sleep) };
    debug_assert!(Instant::now() >= t);
}

/// Left in the waiter's word by a deadline that won. No waker leaves this address.
const TIMED_OUT: *mut () = std::ptr::without_provenance_mut(1);

/// What `commit_until` needs of the parked goroutine's frame.
struct Until {
    commit: Commit,
    arg: *mut (),
    ticket: Ticket,
    when: Instant,
    /// Written by the commit before anything can wake the goroutine.
    timer: Option<TimerId>,
}

/// `park::gopark_timeout` on a goroutine.
///
/// # Safety
/// As for that.
pub(crate) unsafe fn gopark_until(
    commit: Commit,
    arg: *mut (),
    reason: WaitReason,
    ticket: Ticket,
    when: Instant,
) -> Woken {
    let mut until = Until { commit, arg, ticket, when, timer: None };
    // SAFETY: the caller's promise for its commit, and the deadline goes through the ticket like every other waker.
    unsafe { gopark(commit_until, (&raw mut until).cast(), reason) };
    let w = park::current();
    if w.param() == TIMED_OUT {
        w.take_param();
        return Woken::TimedOut;
    }
    if let Some(id) = until.timer {
        // If it is too late, the timer fails to claim the ticket.
        timer_del(id);
    }
    Woken::Readied
}

/// Starts the timer, then commits. The timer comes first, because after the caller's commit the frame may be gone.
unsafe fn commit_until(w: Waiter, until: *mut ()) -> bool {
    let until = until.cast::<Until>();
    // SAFETY: the frame of the parked goroutine: nothing can wake it yet.
    let (commit, arg, ticket, when) =
        unsafe { ((*until).commit, (*until).arg, (*until).ticket, (*until).when) };
    // Held back until the id is in the frame: it must not fire before.
    // SAFETY: `time_out` may be called once from anywhere; it goes through the ticket.
    let id =
        unsafe { timer_add_noting(when, time_out, w.into_raw(), ticket.to_raw(), &raw mut (*until).timer) };
    // SAFETY: gopark_timeout's caller promised.
    if unsafe { commit(w, arg) } {
        return true;
    }
    // Called off. If the timer has claimed the wait already, the goroutine must be parked until its goready.
    if timer_del(id) || w.claim(ticket) {
        return false;
    }
    true
}

/// The deadline's side: one of the wakers that compete for the ticket.
unsafe fn time_out(w: *mut (), ticket: u64) {
    // SAFETY: the word came from `into_raw`; heads are never freed, so a late timer finds one.
    let w = unsafe { Waiter::from_raw(w) };
    if w.claim(Ticket::from_raw(ticket)) {
        w.set_param(TIMED_OUT);
        // SAFETY: claimed, so the wake-up is ours to give.
        unsafe { goready(w) };
    }
}

/// As `timer_add` on g0, and writes the id to `note` before the timer can fire.
///
/// # Safety
/// As for `timer_add`; `note` is writable.
unsafe fn timer_add_noting(
    when: Instant,
    f: TimerFn,
    arg: *mut (),
    seq: u64,
    note: *mut Option<TimerId>,
) -> TimerId {
    let when = nanos_of(when);
    let p = m::current_m().and_then(m::M::p).map_or(0, |p| p.id);
    let (slot, earliest) = SCHED.allp()[p as usize].timers.add_with(when, f, arg, seq, |slot| {
        // SAFETY: the caller's promise; under the heap's lock, without which the timer cannot fire.
        unsafe { *note = Some(TimerId { p, slot }) };
    });
    if earliest {
        wake::wake_netpoller(when);
    }
    TimerId { p, slot }
}
