//! Who has nothing to do: the lists of idle Ps and of idle Ms (Go: `pidleput`, `pidleget`, `mput`, `mget`).
//!
//! Both are LIFO, so that the warmest comes back first, and both are under the scheduler's lock. An idle P is owned by
//! its list, an idle M sleeps in `m.park` until whoever took it out of the list has given it a P and woken it. An M that
//! is woken without a P ends its thread (the scavenger does that); the M itself waits in `mfree` for another.

use crate::clock;
use crate::g::{G, Gstatus};
use crate::m::{self, M};
use crate::p::P;
use crate::sched::{Locked, SCHED};
use crate::trace::point as trace;
use std::sync::atomic::Ordering;

/// Puts a P that nobody holds on the idle list; one beyond GOMAXPROCS is put away instead.
pub(crate) fn pidleput(locked: &mut Locked, p: &'static P) {
    if SCHED.is_retired(p) {
        return put_away(locked, p);
    }
    p.link.set(locked.pidle.replace(p));
    p.flushed.set(false);
    SCHED.spin.p_idle();
}

/// Empties a P that is no longer in use: its goroutines and caches go to everybody. Its timers stay, others run them.
fn put_away(locked: &mut Locked, p: &'static P) {
    p.retired.store(true, Ordering::Relaxed);
    while let Some(got) = p.runq.runqget() {
        locked.globrunqput(G::of(got.g));
    }
    // SAFETY: nobody holds this P, and the caller took it from whoever did.
    unsafe { flush(locked, p) };
}

/// Gives what a P keeps to everybody.
///
/// # Safety
/// The caller owns `p`.
unsafe fn flush(locked: &mut Locked, p: &'static P) {
    // SAFETY: as promised; the reference ends here.
    let local = unsafe { p.local() };
    locked.gfput(&mut local.gfree);
    local.stacks.flush();
}

/// For the scavenger: Ps that have been idle since it last asked give up what they keep.
pub(crate) fn flush_idle(locked: &mut Locked) {
    let mut next = locked.pidle;
    while let Some(p) = next {
        next = p.link.get();
        // Once marked and once found still so: it has not been in use in between.
        match p.unused_since.replace(p.switches()) == p.switches() {
            true if !p.flushed.replace(true) => {
                // SAFETY: it stands in the list, whose lock we have.
                unsafe { flush(locked, p) };
            }
            _ => {}
        }
    }
}

/// Takes all idle Ps beyond GOMAXPROCS out of the list and puts them away.
pub(crate) fn retire_idle(locked: &mut Locked) {
    let mut list = locked.pidle.take();
    while let Some(p) = list {
        list = p.link.take();
        SCHED.spin.p_busy();
        pidleput(locked, p);
    }
}

/// Takes an idle P. The caller owns it and must give it to an M or put it back.
#[must_use]
pub(crate) fn pidleget(locked: &mut Locked) -> Option<&'static P> {
    let p = locked.pidle?;
    locked.pidle = p.link.take();
    SCHED.spin.p_busy();
    if locked.sysmonwait {
        // The process is no longer idle: somebody may hog or block from now on.
        locked.sysmonwait = false;
        clock::set_coarse(clock::nanotime());
        SCHED.sysmon_note.get().notewakeup();
    }
    Some(p)
}

/// Puts an M on the idle list; it goes to sleep in `m.park` next.
pub(crate) fn mput(locked: &mut Locked, m: &'static M) {
    SCHED.asleep.fetch_add(1, Ordering::Relaxed);
    m.link.set(locked.midle.replace(m));
    locked.nmidle += 1;
}

/// Takes an idle M. The caller must give it a P and wake it.
#[must_use]
pub(crate) fn mget(locked: &mut Locked) -> Option<&'static M> {
    let m = locked.midle?;
    locked.midle = m.link.take();
    locked.nmidle -= 1;
    locked.nmidle_low = locked.nmidle_low.min(locked.nmidle);
    SCHED.asleep.fetch_sub(1, Ordering::Relaxed);
    Some(m)
}

/// How many idle Ms are kept whatever happens: as many as can ever run at once, for the next burst.
fn ms_to_keep() -> usize {
    SCHED.procs() as usize + 1
}

/// For the scavenger: takes the idle Ms that it could do without since it last asked, linked. The caller must wake each.
#[must_use]
pub(crate) fn take_unused_ms(locked: &mut Locked) -> Option<&'static M> {
    let unused = std::mem::replace(&mut locked.nmidle_low, locked.nmidle).min(locked.nmidle);
    let keep = (locked.nmidle - unused).max(ms_to_keep());
    let surplus = locked.nmidle.checked_sub(keep).filter(|&n| n > 0)?;
    // The others have been idle for longer.
    let last = std::iter::successors(locked.midle, |m| m.link.get()).nth(keep - 1)?;
    locked.nmidle = keep;
    locked.nmidle_low = keep;
    SCHED.asleep.fetch_sub(surplus as i64, Ordering::Relaxed);
    last.link.take()
}

/// For sysmon: whether the scavenger's rounds will find threads to let go. What idle Ps keep is no reason for a round, but
/// goes in one that has another.
pub(crate) fn has_surplus(locked: &Locked) -> bool {
    locked.nmidle > ms_to_keep()
}

/// Gives `p` to `m`, for good until `releasep` or the thief. The caller owns `p`, and `m` holds none.
pub(crate) fn acquirep(m: &'static M, p: &'static P) {
    debug_assert!(m.p().is_none() && p.m_raw().is_null());
    m.set_p(Some(p));
    p.hold(m.raw());
}

/// Takes the P from the calling M, which is inside the runtime.
pub(crate) fn releasep(m: &'static M) -> &'static P {
    let p = m.the_p();
    m.set_p(None);
    p.hold(std::ptr::null_mut());
    p
}

/// Into the runtime (m.rs, `enter`), and where the P was taken meanwhile, an idle one if there is one.
#[inline(always)]
pub(crate) fn enter_with_p(g: &'static G) -> &'static M {
    let m = m::enter(g);
    // A pinned goroutine commits on its own stack (syscall.rs): it is about to sleep, and must not take a P along.
    if m.p().is_none() && g.status() == Gstatus::Running {
        regain_p_slow(m);
    }
    m
}

/// Takes an idle P for an M that has none. True: it has one now.
#[cold]
pub(crate) fn regain_p_slow(m: &'static M) -> bool {
    if SCHED.spin.idle_ps() == 0 {
        return false;
    }
    let p = pidleget(&mut SCHED.lock());
    if let Some(p) = p {
        trace::got_p(p);
        acquirep(m, p);
    }
    p.is_some()
}
