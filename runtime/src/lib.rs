//! The scheduler of gosched: goroutines (G) run on threads (M) that hold a right to run (P).
//!
//! This crate is Go's `runtime` without memory management: the scheduler, its stacks and timers, and the seam (`park`)
//! through which channels, sockets and locks are built. Users take the crate `gosched`, which re-exports it.
//!
//! # The map
//! A file imports only files above it; an upward call is a function handed over at start. Read top down:
//!
//! ```text
//!   loom         std's or loom's primitives              sys/         the platform
//!   note         one thread sleeps, one wakes it         rand         the one source of chance
//!   godebug      what the environment asks for
//!   clock        two clocks                              fatal        the end, in Go's words
//!   slab         the address space of stacks             slotset      containers of slot numbers
//!   stackpool    stacks that no P has
//!   stack        stacks: alloc, free, caches             coro         resume and suspend
//!   waiter       goroutine or thread, and its ticket     thread       plain threads as waiters
//!   hook         what is otherwise in an exploration
//!   glist        lists of G                              locals       a goroutine's own values
//!   g            G, its states, its orders               allgs        where Gs live
//!   runq         the local run queue                     timer        the timer heap
//!   traceback    what a goroutine is doing, in words
//!   p            P and its caches                        m            M, getg, the way into the runtime
//!   freeze       nobody resumes while somebody looks
//!   handshake    how a P is taken away                   spinning     who wakes whom: the essay
//!   sched        the shared state and its lock
//!   idle         idle Ps and Ms                          netpoll      what is asked of a poller
//!   scavenge     gives memory and threads back           checkdead    the deadlock detector
//!   wake         ready, wakep, startm, injectglist       procresize   changing GOMAXPROCS
//!   syscall      losing the P and coming back
//!   starttimer   timers for everybody
//!   findrunnable the search                              schedule     the loop
//!   park         THE SEAM: gopark, goready               newproc      go, spawn, JoinHandle
//!   sleep        sleep, sleep_until                      after_func   functions called at a time
//!   sema, sync/  locks over the seam
//!   scope        goroutines that borrow                  sysmon       the watchman
//!   debug        stacks and numbers                      schedtrace   a line now and then
//!   boot         run, Config, procresize
//!   world        goroutines by themselves, for tests      worlds       where worlds are kept
//! ```
//! Three journeys to follow: a goroutine (newproc → runq → wake → findrunnable → schedule → coro → park → schedule), a
//! value (the channel crate), readiness (the net crate).

#[cfg(not(gosched_loom))]
mod after_func;
#[cfg(not(gosched_loom))]
mod allgs;
#[cfg(not(gosched_loom))]
mod boot;
#[cfg(not(gosched_loom))]
mod checkdead;
#[cfg(not(gosched_loom))]
mod clock;
#[cfg(not(gosched_loom))]
mod coro;
#[cfg(not(gosched_loom))]
pub mod debug;
#[cfg(not(gosched_loom))]
mod fatal;
#[cfg(not(gosched_loom))]
mod findrunnable;
#[cfg(not(gosched_loom))]
mod freeze;
#[cfg(not(gosched_loom))]
mod g;
mod glist;
#[cfg(not(gosched_loom))]
mod godebug;
mod handshake;
#[cfg(not(gosched_loom))]
mod hook;
#[cfg(not(gosched_loom))]
mod idle;
#[cfg(not(gosched_loom))]
mod local;
#[cfg(not(gosched_loom))]
mod locals;
mod loom;
#[cfg(not(gosched_loom))]
mod m;
#[cfg(not(gosched_loom))]
mod netpoll;
#[cfg(not(gosched_loom))]
mod newproc;
mod note;
#[cfg(not(gosched_loom))]
mod p;
#[cfg(not(gosched_loom))]
pub mod park;
#[cfg(not(gosched_loom))]
mod procresize;
#[cfg(not(gosched_loom))]
mod rand;
mod reason;
mod runq;
#[cfg(not(gosched_loom))]
mod scavenge;
#[cfg(not(gosched_loom))]
mod sched;
#[cfg(not(gosched_loom))]
mod schedtrace;
#[cfg(not(gosched_loom))]
mod schedule;
#[cfg(not(gosched_loom))]
mod scope;
#[cfg(not(gosched_loom))]
mod sema;
#[cfg(not(gosched_loom))]
mod slab;
#[cfg(not(gosched_loom))]
mod sleep;
#[cfg(not(gosched_loom))]
mod slotset;
mod spinning;
#[cfg(not(gosched_loom))]
mod stack;
#[cfg(not(gosched_loom))]
mod stackpool;
#[cfg(not(gosched_loom))]
mod starttimer;
#[cfg(not(gosched_loom))]
pub mod sync;
mod sys;
#[cfg(not(gosched_loom))]
mod syscall;
#[cfg(not(gosched_loom))]
mod sysmon;
#[cfg(not(gosched_loom))]
mod thread;
#[cfg(not(gosched_loom))]
mod timers;
#[cfg(not(gosched_loom))]
mod traceback;
mod waiter;
#[cfg(not(gosched_loom))]
mod wake;
#[cfg(not(gosched_loom))]
mod world;
#[cfg(not(gosched_loom))]
mod worlds;

/// What a network poller sees of the scheduler.
#[cfg(not(gosched_loom))]
pub mod poller {
    pub use crate::netpoll::{Netpoll, PollWait, ReadyList, install};

    /// To be called by the poller when its first descriptor is registered ([`Netpoll::is_active`] turns true): sees to it
    /// that somebody waits for events from now on, also where all of the scheduler sleeps.
    ///
    /// ```
    /// gosched_runtime::poller::wanted(); // nothing to do where no scheduler runs
    /// ```
    pub fn wanted() {
        crate::wake::poller_wanted();
    }
}

/// Timers for other crates: a callback on the scheduler's stack, or a function in a goroutine of its own.
#[cfg(not(gosched_loom))]
pub mod timer {
    pub use crate::after_func::{FuncTimer, after_func, after_func_at};
    pub use crate::starttimer::{TimerFn, TimerId, timer_add, timer_del};
}

/// Running goroutines by themselves, in an order that is chosen: what `gosched::testing` is built on.
#[cfg(not(gosched_loom))]
pub mod explore {
    pub use crate::world::{Chooser, Crossroads, End, Limits, Ran, run};
}

#[cfg(not(gosched_loom))]
pub use boot::{Config, gomaxprocs, num_cpu, run, set_gomaxprocs};
#[cfg(not(gosched_loom))]
pub use local::{AccessError, LocalKey};
#[cfg(not(gosched_loom))]
pub use newproc::{Builder, GoroutineId, JoinHandle, go, goexit, goid, num_goroutine, spawn, yield_now};
#[cfg(not(gosched_loom))]
pub use scope::{Scope, ScopedJoinHandle, scope};
#[cfg(not(gosched_loom))]
pub use sleep::{sleep, sleep_until};
#[cfg(not(gosched_loom))]
pub use syscall::{OsThreadLock, lock_os_thread, syscall};
#[cfg(not(gosched_loom))]
pub use {hook::cheaprandn, rand::cheaprand};

// The models: RUSTFLAGS="--cfg gosched_loom" cargo test -p gosched-runtime --release --lib loom
#[cfg(all(test, gosched_loom))]
#[path = "tests"]
mod models {
    mod loom_handshake;
    mod loom_note;
    mod loom_runq;
    mod loom_spinning;
}

/// Calls of the system that fail on demand: with the feature `faults`, for this project's own tests. Not part of the
/// interface.
#[doc(hidden)]
#[cfg(not(gosched_loom))]
pub mod faults {
    pub use crate::sys::faults::*;
}

/// What this project's own tests look at. Not part of the interface.
#[doc(hidden)]
#[cfg(not(gosched_loom))]
pub mod testing {
    use std::sync::atomic::Ordering;

    /// How often the caller's P has put a goroutine on the processor. On a goroutine.
    pub fn switches() -> u32 {
        let m = crate::m::enter(crate::m::getg().expect("on a goroutine"));
        let tick = m.p().map_or(0, |p| p.switches());
        crate::m::leave(m);
        tick
    }

    /// `n` times into the runtime and out of it: what every call costs beside what it does. On a goroutine.
    pub fn handshakes(n: u64) {
        let g = crate::m::getg().expect("on a goroutine");
        for _ in 0..n {
            let m = crate::m::enter(g);
            crate::m::leave(m);
        }
    }

    /// Ps handed from one M to another so far.
    pub fn handoffs() -> u64 {
        crate::sched::SCHED.handoffs.load(Ordering::Relaxed)
    }

    /// Work stolen so far, by all Ps.
    pub fn steals() -> u64 {
        crate::sched::SCHED.allp().iter().map(|p| u64::from(p.steals.load(Ordering::Relaxed))).sum()
    }
}
