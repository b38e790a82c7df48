//! What the scheduler is doing, for the person who runs it (Go: `runtime.Stack`, `runtime/metrics`).

use crate::g::{G, Gstatus};
use crate::m::M;
use crate::sched::SCHED;
use crate::traceback::Dump;
use crate::{allgs, freeze, newproc};
use std::collections::HashSet;
use std::ptr;

/// Everything the scheduler does, written down while it runs; [`start`](trace::start) says what a trace shows.
///
/// ```
/// gosched_runtime::debug::trace::start(std::io::sink()).unwrap();
/// gosched_runtime::debug::trace::stop().unwrap();
/// ```
pub mod trace {
    pub use crate::trace::recorder::FlightRecorder;
    pub use crate::trace::{start, stop};
}

/// Every goroutine, with its id, name, wait reason, since when (from a minute on), where it is and where it was started,
/// in Go's format. The calling goroutine comes first.
///
/// Goroutines that wait are not woken for it: their stacks are unwound from outside, while nothing that rests is resumed.
/// What runs runs on; it is listed as `running`, without its frames. A thousand and more that are at the same place are
/// shown once, with the ids of all. It takes some 20 µs a goroutine, most of it while no goroutine can be resumed.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let gate = std::sync::Arc::new(gosched_runtime::sync::Semaphore::new(0));
/// let theirs = gate.clone();
/// let h = gosched_runtime::Builder::new().name("waits".into()).spawn(move || drop(theirs.acquire())).unwrap();
/// gosched_runtime::yield_now();
/// let all = gosched_runtime::debug::stacks();
/// assert!(all.starts_with("goroutine 1 [running]:"), "{all}");
/// assert!(all.contains("\"waits\" [semacquire]:"), "{all}");
/// gate.add_permits(1);
/// h.join().unwrap();
/// # }) };
/// ```
pub fn stacks() -> String {
    let mut dump = Dump::default();
    let me = crate::m::getg();
    {
        let _frozen = freeze::freeze();
        let mut current: HashSet<*const G> = HashSet::new();
        // A goroutine that sleeps on its thread is at rest, too.
        M::for_each(|m| current.extend(m.curg().filter(|_| !m.quiet()).map(ptr::from_ref)));
        if let Some(me) = me {
            // SAFETY: this very goroutine, which runs.
            unsafe { dump.add(me, false) };
        }
        allgs::for_each(|g| {
            if g.status() == Gstatus::Dead || me.is_some_and(|me| ptr::eq(me, g)) {
                return;
            }
            // One that has finished and waits at the gate to be buried is `Running` still, and nowhere.
            let at_rest = g.status() != Gstatus::Running && !current.contains(&ptr::from_ref(g));
            // SAFETY: nothing ends or is resumed now (freeze.rs), so what is alive stays so, and what no M has as its
            // current goroutine is at rest.
            unsafe { dump.add(g, at_rest) };
        });
    }
    let mut text = String::new();
    let _ = dump.write(&mut text);
    text.split_off(text.len().min(1)) // without the first empty line
}

/// Numbers about the scheduler; see [`stats`].
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let s = gosched_runtime::debug::stats();
/// assert_eq!(s.local_runqs.len(), s.procs);
/// assert!(s.idle_threads <= s.threads);
/// # }) };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Goroutines alive.
    pub goroutines: usize,
    /// Of those: on a processor, or in code that holds a thread.
    pub running: usize,
    /// Of those: in a run queue.
    pub runnable: usize,
    /// Of those: parked.
    pub waiting: usize,
    /// GOMAXPROCS.
    pub procs: usize,
    /// Of those Ps: without work.
    pub idle_procs: usize,
    /// Threads of the scheduler (Ms).
    pub threads: usize,
    /// Of those: asleep.
    pub idle_threads: usize,
    /// Of those: looking for work.
    pub spinning_threads: usize,
    /// Goroutines in the global run queue.
    pub global_runq: usize,
    /// Goroutines in each P's run queue.
    pub local_runqs: Vec<usize>,
    /// Timers in the Ps' heaps.
    pub timers: usize,
    /// Goroutines put on a processor so far.
    pub switches: u64,
    /// Successful thefts from another P's queue so far.
    pub steals: u64,
    /// Ps handed from one thread to another so far.
    pub handoffs: u64,
}

/// Numbers about the scheduler. Each is read by itself, while everything goes on: they fit together only nearly.
/// Never parks. O(goroutines).
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let s = gosched_runtime::debug::stats();
/// assert!(s.goroutines >= 1 && s.procs == gosched_runtime::gomaxprocs());
/// # }) };
/// ```
pub fn stats() -> Stats {
    let mut s = Stats { goroutines: newproc::num_goroutine(), ..Stats::default() };
    allgs::for_each(|g| match g.status() {
        Gstatus::Dead => {}
        Gstatus::Runnable => s.runnable += 1,
        Gstatus::Running => s.running += 1,
        Gstatus::Waiting => s.waiting += 1,
    });
    s.procs = SCHED.procs() as usize;
    s.idle_procs = SCHED.spin.idle_ps() as usize;
    s.spinning_threads = SCHED.spin.spinners() as usize;
    s.global_runq = SCHED.runqsize();
    {
        let locked = SCHED.lock();
        (s.threads, s.idle_threads) = (locked.mcount as usize, locked.nmidle);
    }
    for p in SCHED.allp() {
        s.local_runqs.push(p.runq.len() as usize);
        s.timers += p.timers.len();
        s.switches += u64::from(p.switches());
        s.steals += u64::from(p.steals.load(std::sync::atomic::Ordering::Relaxed));
    }
    s.local_runqs.truncate(s.procs);
    s.handoffs = SCHED.handoffs.load(std::sync::atomic::Ordering::Relaxed);
    s
}
