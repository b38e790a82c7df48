//! The scheduler of gosched: goroutines (G) run on threads (M) that hold a right to run (P).
//!
//! This crate is Go's `runtime` without memory management: the scheduler, its stacks and timers, and the seam (`park`)
//! through which channels, sockets and locks are built. Users take the crate `gosched`, which re-exports it.
//!
//! # The map
//! A file imports only files above it; an upward call is a function handed over at start. Read top down:
//!
//! ```text
//!   loom         std's or a model checker's primitives   sys/         the platform
//!   note         one thread sleeps, one wakes it         rand         the one source of chance
//!   godebug      what the environment asks for
//!   clock        three clocks                            fatal        the end, in Go's words
//!   slab         the address space of stacks             slotset      containers of slot numbers
//!   stackpool    stacks that no P has
//!   stack        stacks: alloc, free, caches             coro         resume and suspend
//!   waiter       goroutine or thread, and its ticket     thread       plain threads as waiters
//!   awaits       what a wait can be ended by
//!   hook         what is otherwise in an exploration
//!   glist        lists of G                              locals       a goroutine's own values
//!   g            G, its states, its orders               allgs        where Gs live
//!   runq         the local run queue                     timer        the timer heap
//!   traceback    what a goroutine is doing, in words
//!   latency      from runnable to running, counted        hogs         who has run for too long
//!   p            P and its caches                        trace/ring   what an M has seen, until it is fetched
//!   m            M, getg, the way into the runtime       trace/point  what the scheduler says while one listens
//!   handshake    how a P is taken away                   spinning     who wakes whom: the essay
//!   freeze       nobody resumes while somebody looks      polltoken    who waits in the poller
//!   rawlock      the lock of a channel
//!   sched        the shared state and its lock
//!   idle         idle Ps and Ms                          netpoll      what is asked of a poller
//!   scavenge     gives memory and threads back           template     the thread that makes threads
//!   checkdead    the deadlock detector
//!   wake         ready, wakep, startm, injectglist       procresize   changing GOMAXPROCS
//!   syscall      losing the P and coming back
//!   starttimer   timers for everybody
//!   findrunnable the search                              schedule     the loop
//!   park         THE SEAM: gopark, goready               packet       between a goroutine and its joiner
//!   newproc      go, spawn, JoinHandle
//!   sleep        sleep, sleep_until                      after_func   functions called at a time
//!   sema, sync/  locks over the seam
//!   scope        goroutines that borrow                  sysmon       the watchman
//!   trace/json   tracks and events, as text              trace/story  records become slices and arrows
//!   trace        start, stop, and the thread that writes  trace/recorder  its last moments
//!   leaks        goroutines that nobody can wake
//!   debug        stacks and numbers                      schedtrace   a line now and then
//!   snapshot     where everything is just now            debugger     a map of the memory for gdb
//!   boot         run, Config, procresize
//!   chooser      who chooses in an exploration            worldlog     what happened, in words
//!   world        goroutines by themselves, for tests      worlds       where worlds are kept
//! ```
//! Three journeys to follow: a goroutine (newproc → runq → wake → findrunnable → schedule → coro → park → schedule), a
//! value (the channel crate), readiness (the net crate).

// A build for the models holds the modelled files alone.
#![debugger_visualizer(gdb_script_file = "../gosched-gdb.py")]
#![cfg_attr(any(gosched_loom, gosched_shuttle), allow(dead_code, unused_imports))]

#[cfg(not(gosched_loom))]
mod after_func;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod allgs;
mod awaits;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod boot;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod checkdead;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod chooser;
mod clock;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod coro;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub mod debug;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod debugger;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod fatal;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod findrunnable;
#[cfg(not(gosched_shuttle))]
mod freeze;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod g;
#[cfg(not(gosched_shuttle))]
mod glist;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod godebug;
#[cfg(not(gosched_shuttle))]
mod handshake;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod hogs;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod hook;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod idle;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod latency;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod leaks;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod local;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod locals;
mod loom;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod m;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod netpoll;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod newproc;
#[cfg(not(gosched_shuttle))]
mod note;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod p;
#[cfg(not(gosched_shuttle))]
mod packet;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub mod park;
#[cfg(not(gosched_shuttle))]
mod polltoken;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod procresize;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod rand;
#[cfg(all(any(target_os = "linux", gosched_loom), not(gosched_shuttle)))]
mod rawlock;
#[cfg(all(not(any(target_os = "linux", gosched_loom)), not(gosched_shuttle)))]
#[path = "sys/lock_portable.rs"]
mod rawlock;
mod readers;
mod reason;
#[cfg(not(gosched_shuttle))]
mod runq;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod scavenge;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod sched;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod schedtrace;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod schedule;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod scope;
mod sema;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod slab;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod sleep;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod slotset;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod snapshot;
#[cfg(not(gosched_shuttle))]
mod spinning;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod stack;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod stackpool;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod starttimer;
#[cfg(not(gosched_loom))]
pub mod sync;
#[cfg(not(gosched_shuttle))]
mod sys;
#[cfg(gosched_shuttle)] // which needs no more of the platform
mod sys {
    pub(crate) mod clock;
}
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod syscall;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod sysmon;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod template;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod thread;
mod timers;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod trace;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod traceback;
mod waiter;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod wake;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod world;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod worldlog;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
mod worlds;

// What stands in for the scheduler in a model.
#[cfg(any(gosched_loom, gosched_shuttle))]
#[path = "model/hook.rs"]
mod hook;
#[doc(hidden)]
#[cfg(any(gosched_loom, gosched_shuttle))]
pub mod model;
#[cfg(any(gosched_loom, gosched_shuttle))]
#[path = "model/newproc.rs"]
mod newproc;
#[cfg(any(gosched_loom, gosched_shuttle))]
#[path = "model/park.rs"]
pub mod park;
#[cfg(any(gosched_loom, gosched_shuttle))]
#[path = "model/starttimer.rs"]
mod starttimer;

/// What a network poller sees of the scheduler.
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
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

/// Timers for other crates: a callback on the scheduler's stack, or a function in a goroutine of its own; and the clock that
/// they go by.
#[cfg(not(gosched_loom))]
pub mod timer {
    pub use crate::after_func::{FuncTimer, after_func, after_func_at};
    pub use crate::clock::{instant_of, nanos_of, passed};
    pub use crate::starttimer::{TimerFn, TimerId, timer_add, timer_del};
}

/// Running goroutines by themselves, in an order that is chosen: what `gosched::testing` is built on.
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub mod explore {
    pub use crate::chooser::{Chooser, Crossroads, End, Limits, Ran};
    pub use crate::world::run;
}

/// What gosched-debug's page is drawn from. Not part of the interface.
#[doc(hidden)]
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub mod seen {
    pub use crate::snapshot::{SeenM, SeenP, Snapshot, snapshot};
}

#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use boot::{Config, gomaxprocs, num_cpu, run, set_gomaxprocs};
pub use hook::{cheaprandn, cheapshuffle};
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use local::{AccessError, LocalKey};
#[cfg(gosched_shuttle)]
pub use newproc::go;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use newproc::{Builder, GoroutineId, JoinHandle, go, goexit, goid, num_goroutine, spawn, yield_now};
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use rand::cheaprand;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use scope::{Scope, ScopedJoinHandle, scope};
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use sleep::{sleep, sleep_until};
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub use syscall::{OsThreadLock, lock_os_thread, syscall};

// The loom models: RUSTFLAGS="--cfg gosched_loom" cargo test -p gosched-runtime --release --lib loom
#[cfg(all(test, gosched_loom))]
#[path = "tests"]
mod models {
    mod loom_freeze;
    mod loom_handshake;
    mod loom_note;
    mod loom_packet;
    mod loom_polltoken;
    mod loom_rawlock;
    mod loom_readers;
    mod loom_runq;
    mod loom_sema;
    mod loom_spinning;
    mod loom_ticket;
}

// The shuttle models: RUSTFLAGS="--cfg gosched_shuttle" cargo test -p gosched-runtime -p gosched-chan --release --lib shuttle
#[cfg(all(test, gosched_shuttle))]
#[path = "tests"]
mod models {
    mod shuttle_after_func;
    mod shuttle_sync;
}

/// Calls of the system that fail on demand: with the feature `faults`, for this project's own tests. Not part of the
/// interface.
#[doc(hidden)]
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub mod faults {
    pub use crate::sys::faults::*;
}

/// What this project's own tests look at. Not part of the interface.
#[doc(hidden)]
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
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
