//! Changing GOMAXPROCS while everything runs (Go: runtime/proc.go, `procresize`, but without stopping the world).
//!
//! ```text
//!   more:   Ps that were put away come back, new ones are made; each becomes idle, and an M is woken for it
//!   fewer:  a P with an id of GOMAXPROCS or more is *retired*:
//!             idle              put away at once: its goroutines to the global queue, its caches to everybody
//!             held by an M      the M gives it up at its next round (findrunnable), and it is put away
//!             held by a hog     sysmon takes it as any other, and handoffp puts it away
//! ```
//! A retired P stays in the list of all Ps: until it is put away, thieves empty its queue as they would any other's. Its
//! timers stay in its heap, whose id the timers' owners know; whoever looks at the global queue first (every 61st time)
//! or steals runs the due ones, and whoever goes idle counts them in.
//!
//! Where the user has not said how many there shall be, their number follows what the process may use: sysmon looks at
//! the affinity mask and the cgroup's quota once a second, as long as anything runs (Go 1.25: `updateGOMAXPROCS`).

use crate::idle::{pidleput, retire_idle};
use crate::p::P;
use crate::sched::SCHED;
use crate::{sys, wake};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, Ordering};

/// The most Ps there can be: beyond this many the shared lists need another design.
pub(crate) const MAX_PROCS: usize = 1024;

/// Whether nobody has said how many Ps there shall be.
static FOLLOW: AtomicBool = AtomicBool::new(false);

/// Says whether GOMAXPROCS follows what the process may use.
pub(crate) fn set_follow(follow: bool) {
    FOLLOW.store(follow, Ordering::Relaxed);
}

/// Makes GOMAXPROCS what it would be at a start now, if it is to follow. By sysmon.
pub(crate) fn follow_limits() {
    if !FOLLOW.load(Ordering::Relaxed) {
        return;
    }
    let n = sys::cpu::default_procs().min(MAX_PROCS);
    let one = RESIZING.lock();
    // Once more: whoever sets the number says so before he comes to the lock, and then has the last word.
    if FOLLOW.load(Ordering::Relaxed) && n != SCHED.procs() as usize {
        resize(n, one);
    }
}

/// One resize at a time.
static RESIZING: Mutex<()> = Mutex::new(());

/// Sets the number of Ps in use. Gives the number before.
pub(crate) fn procresize(n: usize) -> usize {
    resize(n.clamp(1, MAX_PROCS), RESIZING.lock())
}

fn resize(n: usize, _one: MutexGuard<'_, ()>) -> usize {
    let old = SCHED.procs() as usize;
    let mut added = Vec::new();
    {
        let mut locked = SCHED.lock();
        let mut all = SCHED.allp().to_vec();
        let grown = (n > all.len()).then(|| {
            (all.len()..n).for_each(|id| all.push(P::new(id as u32)));
            all.clone()
        });
        SCHED.set_allp(grown, n as u32);
        if n < old {
            retire_idle(&mut locked);
        } else {
            // New ones, and those that were put away. A retired P that an M still holds is simply no longer retired.
            added.extend(all[old..n].iter().copied().filter(|p| p.retired.swap(false, Ordering::Relaxed)));
            // The first P on top.
            added.iter().rev().for_each(|p| pidleput(&mut locked, p));
        }
    }
    if old > 0 {
        for _ in added {
            wake::wakep();
        }
    }
    old
}
