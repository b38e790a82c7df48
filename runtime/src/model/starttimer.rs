//! starttimer.rs for models: one heap, whose timers are called by threads of the checker (mod.rs, Time).

use crate::clock::nanos_of;
use crate::hook;
use crate::loom::per_run;
use crate::newproc::go;
pub use crate::timers::TimerFn;
use crate::timers::{SlotId, Timers};
use std::time::Instant;

/// A timer that was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId(SlotId);

per_run! {
    static TIMERS: Timers = Timers::new();
}

/// The hand of one timer: time passes, up to `when`, and all that is due is called.
fn hand(when: u64) {
    #[cfg(gosched_shuttle)]
    for _ in 0..hook::cheaprandn(30) {
        crate::model::step();
    }
    let now = hook::pass(when);
    while let Some(due) = TIMERS.take_due(now) {
        // SAFETY: whoever started the timer promised that it may be called once; it was taken out, so nobody else does.
        unsafe { (due.f)(due.arg, due.seq) };
    }
}

/// Starts a timer.
///
/// # Safety
/// As in starttimer.rs.
pub unsafe fn timer_add(when: Instant, f: TimerFn, arg: *mut (), seq: u64) -> TimerId {
    let when = nanos_of(when);
    let (id, _) = TIMERS.add(when, f, arg, seq);
    go(move || hand(when));
    TimerId(id)
}

/// As `timer_add`, and writes the id to `note` before the timer can fire.
///
/// # Safety
/// As in starttimer.rs.
pub(crate) unsafe fn timer_add_noting(
    when: Instant,
    f: TimerFn,
    arg: *mut (),
    seq: u64,
    note: *mut Option<TimerId>,
) -> TimerId {
    let when = nanos_of(when);
    let (id, _) = TIMERS.add_with(when, f, arg, seq, |id| {
        // SAFETY: the caller's promise; under the heap's lock, without which the timer cannot fire.
        unsafe { *note = Some(TimerId(id)) };
    });
    go(move || hand(when));
    TimerId(id)
}

/// Stops a timer; false where it has fired already, or is firing.
pub fn timer_del(id: TimerId) -> bool {
    TIMERS.del(id.0)
}
