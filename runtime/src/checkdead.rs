//! Who is alive: the deadlock detector (Go: runtime/proc.go, `checkdead`).
//!
//! Asked by every M that goes to sleep while all Ps are idle, when it has nothing in hand and is counted as asleep. It is a deadlock when, under the scheduler's lock,
//! all of this is true:
//!
//! ```text
//!   every P is idle and the global queue is empty          nothing is runnable
//!   every other M sleeps in its `park`                     nobody runs user code without a P, or comes from the poller
//!   no P has a timer                                       nobody will be woken by time
//!   nobody waits for a socket                              nor by the network
//!   a `run` is in progress                                 somebody waits for all this
//!   the process has no thread but ours                     a foreign thread could still send
//! ```
//! Ours are the Ms, sysmon, the scavenger, and the threads that wait in `run`. While only the last point is missing, sysmon counts the
//! threads now and then, and sends an M on a round when there might be none but ours any more: so a deadlock is reported
//! after the last foreign thread has ended, too. A thread of ours that is on its way out is such a thread.
//!
//! The check is exact because everything that could make a goroutine runnable is a thread that one of these points sees:
//! an M that is about to be woken has left the list of sleepers under the lock before; an M that is being made is counted
//! before it exists; a main goroutine that ends takes its `run` off the count before its caller wakes. Where the number
//! of threads cannot be had, nothing is ever reported.

use crate::g::Gstatus;
use crate::netpoll;
use crate::sched::{Locked, SCHED};
use crate::timers::NEVER;
use crate::traceback::Dump;
use crate::{allgs, scavenge, sys, template};
use std::io::Write;
use std::sync::atomic::Ordering;

/// Whether the threads that are left are all ours. `None`: the system does not tell.
fn only_ours(locked: &Locked) -> Option<bool> {
    let ours = locked.mcount as usize
        + 1 // sysmon
        + scavenge::threads()
        + template::threads()
        + SCHED.mains_on_threads.load(Ordering::Relaxed);
    // More than ours: some are foreign. Fewer cannot be, but for threads of ours that are just being made.
    sys::cpu::num_threads().map(|n| n <= ours)
}

/// Where the M that asks is on its way to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// To its `park`, and counted as asleep *already*: of two that fall asleep at once, one sees the other counted. Or to
    /// its thread's end, and not counted any more.
    ToSleep,
    /// To the poller, whose token it has.
    ToPoll,
}

/// Called by an M without a P and with no goroutine in hand. Does not return where all are dead.
pub(crate) fn checkdead(me: Going) {
    {
        let mut locked = SCHED.lock();
        let asleep = SCHED.asleep.load(Ordering::Relaxed);
        // Besides this M, at most one is awake: the one that waits in the poller.
        let awake = locked.mcount as i64 - i64::from(me == Going::ToPoll) - asleep;
        let polling = i64::from(me == Going::ToSleep && SCHED.poll.last().is_none());
        if SCHED.mains.load(Ordering::Relaxed) == 0
            || awake > polling
            || SCHED.spin.idle_ps() != SCHED.procs()
            || SCHED.runqsize() > 0
            || SCHED.allp().iter().any(|p| p.timers.first() != NEVER || !p.runq.runqempty())
            || netpoll::has_waiters()
        {
            SCHED.only_foreign.store(false, Ordering::Relaxed);
            return;
        }
        if awake > 0 {
            // It may be on its way out with something in hand. It shall come out, find nothing, and look itself.
            drop(locked);
            return netpoll::poller().netpoll_break();
        }
        match only_ours(&locked) {
            Some(true) => {}
            known => {
                SCHED.only_foreign.store(known.is_some(), Ordering::Relaxed);
                if std::mem::take(&mut locked.sysmonwait) {
                    // It may have gone to sleep for good already: now it has threads to count.
                    SCHED.sysmon_note.get().notewakeup();
                }
                return;
            }
        }
        // The lock stays: nothing moves any more.
        std::mem::forget(locked);
    }
    report()
}

/// For sysmon: whether a deadlock may be complete by now, since the last foreign thread has gone.
pub(crate) fn foreigners_gone() -> bool {
    SCHED.only_foreign.load(Ordering::Relaxed) && only_ours(&SCHED.lock()) == Some(true)
}

fn report() -> ! {
    let mut dump = Dump::default();
    allgs::for_each(|g| {
        if g.status() != Gstatus::Dead {
            // SAFETY: it is alive, and nothing runs any more.
            unsafe { dump.add(g, true) };
        }
    });
    let mut text = String::from("fatal error: all goroutines are asleep - deadlock!\n");
    let _ = dump.write(&mut text);
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes());
    let _ = err.flush();
    std::process::exit(2)
}
