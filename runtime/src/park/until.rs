//! A goroutine that parks with a deadline: the timer is one of the wakers that compete for the ticket (waiter.rs).
//!
//! ```text
//!   goroutine                                     timer, on any thread, perhaps long after it was stopped
//!   the commit: start the timer, then commit      claim the ticket? leave TIMED_OUT, ready it
//!   park
//!   TIMED_OUT? the deadline won                   another waker claimed it: nothing
//!   else: stop the timer, as far as that goes
//! ```
//! The timer is started before the caller's commit, because after it the frame may be gone. A commit that is called off
//! must still reckon with a timer that has the ticket already: then the goroutine stays parked for its `goready`.

use super::{Commit, Woken, current, gopark, goready};
use crate::loom::sound;
use crate::reason::WaitReason;
use crate::starttimer::{TimerId, timer_add_noting, timer_del};
use crate::waiter::{Ticket, Waiter};
use std::time::Instant;

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

/// `gopark_timeout` on a goroutine: a timer is one of the wakers.
///
/// # Safety
/// As for that.
pub(super) unsafe fn gopark_until(
    commit: Commit,
    arg: *mut (),
    reason: WaitReason,
    ticket: Ticket,
    when: Instant,
) -> Woken {
    let mut until = Until { commit, arg, ticket, when, timer: None };
    // SAFETY: the caller's promise for its commit, and the deadline goes through the ticket like every other waker.
    unsafe { gopark(commit_until, (&raw mut until).cast(), reason) };
    let w = current();
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
    if w.claim(Ticket::from_raw(ticket)) || !sound("deadline: it claims the ticket") {
        w.set_param(TIMED_OUT);
        // SAFETY: claimed, so the wake-up is ours to give.
        unsafe { goready(w) };
    }
}
