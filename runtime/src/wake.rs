//! Making goroutines runnable and finding a thread for them (Go: runtime/proc.go, `ready`, `wakep`, `startm`, `newm`,
//! `stopm`, `handoffp`, `injectglist`).
//!
//! ```text
//!   goready ─► ready ─► runqput(runnext) ─► wakep ─► startm ─► an idle M, or newm: a new thread
//!                    └─ no P here: global queue ┘
//!   a goroutine that yields ─► put_last: the end of this P's ring
//!   netpoll's harvest ─► injectglist ─► one idle P each, the rest local
//!   a P taken from a hog or a blocked M ─► handoffp ─► startm if there is work, else idle
//! ```
//! Whether somebody must be woken for new work is decided in spinning.rs.

use crate::checkdead::{Going, checkdead};
use crate::g::G;
use crate::glist::GQueue;
use crate::hook;
use crate::idle::{acquirep, enter_with_p, mget, mput, pidleget, pidleput};
use crate::m::{self, M};
use crate::netpoll;
use crate::p::P;
use crate::polltoken::Owes;
use crate::runq::runqput;
use crate::sched::{MSTART, SCHED};
use crate::sys;
use crate::timers::NEVER;
use crate::trace::point as trace;
use crate::waiter::{Waiter, WaiterKind};
use crate::{template, thread};
use std::sync::atomic::Ordering;

/// Stack of a scheduler thread: the g0 loop, pollers and timer functions run on it, no user code.
const M_STACK: usize = 256 << 10;

/// Ends the wait of a waiter; see `park::goready`.
///
/// # Safety
/// The caller owes this waiter its wake-up.
#[inline]
pub(crate) unsafe fn ready_waiter(w: Waiter) {
    match w.head().kind() {
        WaiterKind::Goroutine => ready(G::of_waiter(w)),
        WaiterKind::Thread => thread::wake(w),
        WaiterKind::World => hook::ready(w),
    }
}

/// Makes a goroutine that the caller owns runnable: it runs next on this P, or when a P gets to the global queue.
#[inline]
pub(crate) fn ready(gp: &'static G) {
    gp.set_runnable();
    match m::getg() {
        Some(me) => {
            let m = enter_with_p(me);
            trace::ready(gp);
            ready_on(m.p(), gp);
            m::leave(m);
        }
        None => {
            trace::ready(gp);
            ready_on(m::current_m().and_then(M::p), gp)
        }
    }
}

/// Queues a runnable goroutine as the next one of this P, or globally where the caller has none: a plain thread, a
/// goroutine whose P was taken, a poller.
#[inline]
pub(crate) fn ready_on(p: Option<&'static P>, gp: &'static G) {
    let Some(p) = p else {
        SCHED.lock().globrunqput(gp);
        return wakep();
    };
    runqput(&p.runq, gp.ptr(), true, runqputslow);
    // The only P ever made is this one, it is not idle.
    if SCHED.allp().len() > 1 {
        wakep();
    }
}

/// Queues a goroutine that gives way behind all others of this P, or globally where the M has none.
///
/// Go puts it into the global queue (`goschedImpl`). There all Ps meet at one lock, and with two of them a thousand
/// goroutines that only yield were four times as dear as with one. What a program can rely on is the same: all who are
/// runnable get their turn, those of the global queue every 61st time.
///
/// No wakep: this M takes one out of its queues next, so as many wait as before. Where that is any, somebody was woken when
/// they came, or all Ps were busy; and nobody falls asleep over a queue that is not empty (spinning.rs, I4).
pub(crate) fn put_last(p: Option<&'static P>, gp: &'static G) {
    match p {
        Some(p) => runqput(&p.runq, gp.ptr(), false, runqputslow),
        None => {
            SCHED.lock().globrunqput(gp);
            wakep();
        }
    }
}

/// What a full local queue hands on goes to everybody.
#[cold]
fn runqputslow(mut over: GQueue<G>) {
    SCHED.lock().globrunqputbatch(&mut over);
}

/// After work was queued: wakes an M for it if there is an idle P and nobody looks for work already.
#[inline]
pub(crate) fn wakep() {
    if SCHED.spin.must_wake() {
        wakep_slow();
    }
}

#[cold]
fn wakep_slow() {
    // Not where a world's goroutine was queued: that is none for us.
    if !hook::explored() {
        wakep_now();
    }
}

/// As `wakep`, from inside an exploration, where a goroutine of ours was queued.
pub(crate) fn wakep_outside() {
    if SCHED.spin.must_wake() {
        wakep_now();
    }
}

fn wakep_now() {
    if !SCHED.spin.claim() {
        return;
    }
    let p = {
        let mut locked = SCHED.lock();
        let p = pidleget(&mut locked);
        if p.is_none() {
            SCHED.spin.unclaim(); // under the lock: spinning.rs
        }
        p
    };
    if let Some(p) = p {
        // For the one who is woken: findrunnable.rs, `worth_taking_runnext`.
        let me = m::current_m();
        me.inspect(|m| m.wakes.set(true));
        startm(p, true);
        me.inspect(|m| m.wakes.set(false));
    }
}

/// Finds a thread for a P that the caller owns. `spinning`: it starts out looking for work, and is counted already.
pub(crate) fn startm(p: &'static P, spinning: bool) {
    let idle = mget(&mut SCHED.lock());
    match idle {
        Some(m) => {
            m.spinning.set(spinning);
            m.nextp.set(Some(p));
            m.wake();
        }
        None => newm(p, spinning),
    }
}

/// A new thread, for a P that the caller owns.
#[cold]
fn newm(p: &'static P, spinning: bool) {
    let (m, id, count, max) = {
        let mut locked = SCHED.lock();
        locked.mcount += 1;
        locked.mnext += 1;
        let m = locked.mfree;
        locked.mfree = m.and_then(|m| m.link.take());
        (m, locked.mnext - 1, locked.mcount, locked.max_ms)
    };
    if count > max {
        crate::fatal::fatal_with(
            format_args!("runtime: program exceeds {max}-thread limit"),
            "thread exhaustion",
        );
    }
    let m = m.unwrap_or_else(M::new);
    m.set_id(id);
    m.spinning.set(spinning);
    m.nextp.set(Some(p));
    let mstart = *MSTART.get().expect("handed over at start");
    template::on_template(move || {
        if let Err(e) = sys::thread::start(&format!("gosched-m{id}"), M_STACK, move || mstart(m)) {
            crate::fatal::no_thread(count - 1, &e);
        }
    });
}

/// Sleeps without a P until somebody hands one over. On g0, not spinning. False: the thread is to end.
#[must_use]
pub(crate) fn stopm(m: &'static M) -> bool {
    debug_assert!(m.p().is_none() && !m.spinning.get());
    mput(&mut SCHED.lock(), m);
    // Counted first, then asked: the last of several that fall asleep at once sees the others counted.
    if SCHED.spin.idle_ps() == SCHED.procs() {
        checkdead(Going::ToSleep);
    }
    sleep_for_p(m)
}

/// Sleeps in `m.park`, and takes the P that the waker left. False: it left none.
#[must_use]
pub(crate) fn sleep_for_p(m: &'static M) -> bool {
    m.set_quiet(true);
    m.park.notesleep();
    m.park.noteclear();
    m.set_quiet(false);
    let p = m.nextp.take();
    if let Some(p) = p {
        acquirep(m, p);
    }
    p.is_some()
}

/// The end of an M's thread: the M waits for another one. The caller's last touch of it.
pub(crate) fn mexit(m: &'static M) {
    m::set_current_m(None);
    m.set_quiet(true);
    // A thief that looked at it earlier leaves no flag behind.
    m.handshake.quiesce();
    {
        let mut locked = SCHED.lock();
        locked.mcount -= 1;
        m.link.set(locked.mfree.replace(m));
    }
    checkdead(Going::ToSleep);
}

/// Whether work lies in any queue, or a timer is due.
pub(crate) fn work_anywhere(now: u64) -> bool {
    SCHED.runqsize() > 0 || SCHED.allp().iter().any(|p| !p.runq.runqempty() || p.timers.first() <= now)
}

/// Finds a new M for a P whose M blocks, or lets it be idle. The caller owns the P.
pub(crate) fn handoffp(p: &'static P) {
    SCHED.handoffs.fetch_add(1, Ordering::Relaxed);
    trace::handoff(p);
    if SCHED.is_retired(p) {
        // Put away; what it had is in the global queue now.
        pidleput(&mut SCHED.lock(), p);
        return wakep();
    }
    if !p.runq.runqempty() || SCHED.runqsize() > 0 {
        return startm(p, false);
    }
    // Nobody is idle and nobody looks for work: somebody should.
    if SCHED.spin.idle_ps() == 0 && SCHED.spin.claim() {
        return startm(p, true);
    }
    {
        let mut locked = SCHED.lock();
        if SCHED.runqsize() == 0 {
            // The last P to go idle leaves somebody in the poller, for timers and the network.
            let last = SCHED.spin.idle_ps() + 1 == SCHED.procs();
            let wants_poller = last
                && SCHED.poll.last().is_some()
                && (netpoll::is_active() || SCHED.allp().iter().any(|p| p.timers.first() != NEVER));
            if !wants_poller {
                pidleput(&mut locked, p);
                drop(locked);
                // As every M that gives its P up: look once more (spinning.rs, I3 and I4).
                SCHED.spin.went_idle(false);
                if work_anywhere(0) {
                    wakep();
                }
                let first = p.timers.first();
                if first != NEVER {
                    wake_netpoller(first);
                }
                return;
            }
        }
    }
    startm(p, false);
}

/// A timer for `when` was started: whoever waits in the poller must not wait longer; where nobody does, an idle P gets
/// an M, which will.
pub(crate) fn wake_netpoller(when: u64) {
    match SCHED.poll.timer_started(when) {
        Owes::Nothing => {}
        Owes::Break => netpoll::poller().netpoll_break(),
        Owes::Wake => wakep(),
    }
}

/// The first descriptor was registered: somebody must wait in the poller from now on. Where an M does already, or one is
/// awake that will when it goes idle, there is nothing to do; but a plain thread may have registered it while all slept.
pub(crate) fn poller_wanted() {
    // wakep's fence orders the registration before the look at the idle Ps; an M that goes to sleep looks at the poller
    // after its own (spinning.rs).
    if SCHED.poll.last().is_some() {
        wakep();
    }
}

/// Queues what the poller made ready. Called by an M with or without a P, by sysmon, by any thread.
pub(crate) fn injectglist(p: Option<&'static P>, list: &mut GQueue<G>) {
    if list.is_empty() {
        return;
    }
    let idle = SCHED.spin.idle_ps() as usize;
    match p {
        None => {
            let n = list.len();
            SCHED.lock().globrunqputbatch(list);
            start_idle(n);
        }
        Some(p) => {
            // One for each idle P, the rest for this one.
            let n = idle.min(list.len().saturating_sub(1));
            if n > 0 {
                let mut out = list.split_front(n);
                SCHED.lock().globrunqputbatch(&mut out);
                start_idle(n);
            }
            p.runq.runqputbatch(list);
            if !list.is_empty() {
                SCHED.lock().globrunqputbatch(list);
            }
            if SCHED.allp().len() > 1 {
                wakep();
            }
        }
    }
}

/// Starts Ms for up to `n` idle Ps.
fn start_idle(n: usize) {
    for _ in 0..n {
        // Orders the look at the idle list after the queueing (spinning.rs, S2).
        std::sync::atomic::fence(Ordering::SeqCst);
        let p = {
            let mut locked = SCHED.lock();
            pidleget(&mut locked)
        };
        match p {
            Some(p) => startm(p, false),
            None => break,
        }
    }
}
