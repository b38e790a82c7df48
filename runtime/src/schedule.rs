//! The loop of an M: find a goroutine, run it until it leaves its stack, obey its order, again
//! (Go: runtime/proc.go, `mstart`, `schedule`, `execute`, `goexit0`).
//!
//! ```text
//!   mstart ─► schedule ─► findrunnable ─► execute ══ resume ══► the goroutine
//!                ▲                                                │
//!                └── obey:  Yield    to the end of the P's queue (wake.rs, put_last)
//!                           Park     commit; if it declines, run it again
//!                           (return) goexit0: stack and G go back to the P's caches
//! ```
//! The P may have been taken while the goroutine ran: then the M has none here, and gets another or sleeps before the next
//! round.
//!
//! This is g0: the thread's own stack, inside the runtime all the time. The goroutine is outside of it from the moment
//! of `resume` until it calls in again (m.rs).

use crate::coro::Left;
use crate::findrunnable::{Found, findrunnable, stop_spinning};
use crate::g::{G, Gstatus, Order};
use crate::glist::GQueue;
use crate::idle::{acquirep, regain_p_slow};
use crate::m::{self, M};
use crate::p::P;
use crate::sched::SCHED;
use crate::trace::point as trace;
use crate::{freeze, stack, sys, syscall, wake};
use std::sync::atomic::Ordering;

/// Dead Gs that a P keeps.
const GFREE_MAX: usize = 64;

/// What a thread of the scheduler runs. Its maker left a P in `nextp`.
pub(crate) fn mstart(m: &'static M) {
    let never_dropped = crate::fatal::FatalOnUnwind;
    m::set_current_m(Some(m));
    m.set_quiet(false); // and to the gate before the first goroutine
    trace::thread(m);
    m.altstack.set(sys::fault::thread_init(m.altstack.get()));
    acquirep(m, m.nextp.take().expect("a new M is given a P"));
    // Where it has no P the last goroutine's was taken: another, or sleep.
    while (m.p().is_some() || regain_p_slow(m) || wake::stopm(m)) && (schedule(m) || wake::stopm(m)) {}
    wake::mexit(m);
    std::mem::forget(never_dropped);
}

/// One round. False: nothing is left to do, and the P is gone: the M must sleep.
#[inline]
fn schedule(m: &'static M) -> bool {
    let Some(Found { g, inherit_time }) = findrunnable(m) else { return false };
    if m.spinning.get() {
        stop_spinning(m);
    }
    if let Some(lockedm) = M::of_raw(g.lockedm.load(Ordering::Relaxed)) {
        syscall::startlockedm(m, lockedm);
        return false;
    }
    let p = m.the_p();
    if !inherit_time {
        p.tick();
    }
    p.switched();
    if let Some(ns) = g.runnable_for() {
        p.latencies.record(ns);
    }
    execute(m, g);
    true
}

/// Runs `g` until it leaves, and does what it asks.
#[inline]
fn execute(m: &'static M, g: &'static G) {
    debug_assert_eq!(g.status(), Gstatus::Runnable);
    // SAFETY: taken out of a run queue, so the goroutine is ours until its order is obeyed.
    unsafe {
        if !g.started() {
            g.bind(stackalloc(m.the_p(), g));
        }
    }
    loop {
        freeze::gate(m);
        trace::start(m, g);
        g.set_m_raw(m.raw());
        m.set_curg(Some(g));
        g.set_status(Gstatus::Running);
        // From here to the goroutine's next call into the runtime a thief may take the P. The switch itself needs none.
        m.handshake.leave();
        // SAFETY: we are the M that runs it, on g0.
        let left = unsafe { g.coro() }.as_mut().expect("bound above").resume();
        match left {
            Left::Suspended(Order::Park { commit, arg }) => {
                trace::park(g);
                m.set_curg(None);
                // SAFETY: gopark's caller promised. From here on g may be running elsewhere: nothing of it is touched
                // unless the commit declines.
                if unsafe { commit(g.waiter(), arg) } {
                    return;
                }
            }
            Left::Suspended(Order::Yield) => {
                trace::park(g);
                m.set_curg(None);
                g.set_runnable();
                return wake::put_last(m.p(), g);
            }
            Left::Finished => {
                freeze::gate(m);
                trace::goexit(g);
                m.set_curg(None);
                return goexit0(m.p(), g);
            }
        }
    }
}

#[inline]
pub(crate) fn stackalloc(p: &'static P, g: &'static G) -> stack::Stack {
    // SAFETY: g is ours (execute), and so is the P, on g0; no other reference into its local part is alive.
    let s = unsafe {
        match g.own_stack() {
            None => p.local().stacks.stackalloc(),
            Some(stack) => Ok(stack),
        }
    };
    s.unwrap_or_else(|e| {
        crate::fatal::fatal_with(
            format_args!("runtime: cannot allocate a goroutine stack: {e}"),
            "out of memory",
        )
    })
}

/// The end of a goroutine: its stack and its G go to the P, or to everybody where the M has none.
pub(crate) fn goexit0(p: Option<&'static P>, g: &'static G) {
    // SAFETY: it has finished, and we are the M that ran it.
    let s = unsafe {
        g.clear();
        g.coro().take().expect("it ran").into_stack()
    };
    s.set_owner(std::ptr::null_mut());
    g.locks.set(0);
    g.set_status(Gstatus::Dead);
    let Some(p) = p else {
        stack::stackfree_to_pool(s);
        SCHED.gcount.fetch_sub(1, Ordering::Relaxed);
        let mut one = GQueue::new();
        one.push_back(g.ptr());
        SCHED.lock().gfput(&mut one);
        return;
    };
    p.gcount_add(-1);
    // SAFETY: the P is ours, on g0, and this is the only reference into it.
    let local = unsafe { p.local() };
    local.stacks.stackfree(s);
    local.gfree.push_front(g.ptr());
    if local.gfree.len() > GFREE_MAX {
        let mut surplus = local.gfree.split_front(GFREE_MAX / 2);
        SCHED.lock().gfput(&mut surplus);
    }
}
