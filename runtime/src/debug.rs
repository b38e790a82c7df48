//! What the scheduler is doing, for the person who runs it (Go: `runtime.Stack`, `runtime/metrics`).

use crate::g::{G, Gstatus};
pub use crate::hogs::Hog;
pub use crate::latency::SchedLatencies;
pub use crate::leaks::Leak;
use crate::m::M;
use crate::sched::SCHED;
use crate::sync::owners;
pub use crate::sync::owners::{LockCycle, LockWait};
use crate::traceback::Dump;
use crate::{allgs, freeze, hogs, leaks, netpoll, newproc, stackpool};
use std::collections::HashSet;
use std::ptr;
use std::time::{Duration, Instant};

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

/// The goroutines that nobody can wake any more, though the program goes on, by id. Go 1.26: the `goroutineleak` profile.
///
/// Each of them waits on a channel or a `WaitGroup` all of whose handles are with goroutines that wait like it; on the nil
/// channel; in `select!` on nothing but such; for the end of such a goroutine; or for the lock of one, where
/// [locks are watched](watch_locks). One that is reported has leaked. Not all that have are reported: a handle in an `Arc`, a
/// `Box` or a static may be reached by somebody, and one that a goroutine merely has while it waits for something else counts as
/// one that can be used.
///
/// It takes line tables (`debug = "line-tables-only"`) to see that a goroutine lends nothing to threads: in a build without
/// them none is reported of those that wait by a handle.
///
/// Never parks. O(goroutines), while no goroutine can be resumed.
///
/// ```
/// use gosched_runtime::{debug, sync::WaitGroup};
/// # unsafe { gosched_runtime::run(|| {
/// gosched_runtime::Builder::new().name("forgotten".into()).spawn(|| {
///     let wg = WaitGroup::new();
///     wg.add(1);
///     wg.wait(); // and nobody else has it
/// }).unwrap();
/// while debug::stats().waiting == 0 {
///     gosched_runtime::yield_now();
/// }
/// for leak in debug::leaks() { // with line tables, one
///     assert_eq!(leak.name(), Some("forgotten"));
///     assert!(leak.to_string().contains("[sync.WaitGroup.Wait (leaked)]:"));
/// }
/// # }) };
/// ```
pub fn leaks() -> Vec<Leak> {
    leaks::leaks()
}

/// How long [`assert_no_leaks`] waits for goroutines that still run.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// Panics where [`leaks`] finds any, and shows them: for the end of a test. Lets the others run first, until all of them
/// wait or have ended (a second at most: one that goes on for ever has not leaked in this sense).
///
/// It looks at the whole process: where tests run beside each other, another one's leak is found as well.
///
/// # Panics
/// Where a goroutine has leaked.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// gosched_runtime::spawn(|| 1).join().unwrap();
/// gosched_runtime::debug::assert_no_leaks();
/// # }) };
/// ```
#[track_caller]
pub fn assert_no_leaks() {
    let until = Instant::now() + SETTLES_WITHIN;
    let me = crate::m::getg();
    let runs = |g: &G| matches!(g.status(), Gstatus::Runnable | Gstatus::Running);
    loop {
        let mut busy = false;
        allgs::for_each(|g| busy |= runs(g) && !me.is_some_and(|me| ptr::eq(me, g)));
        if !busy || Instant::now() >= until {
            break;
        }
        newproc::yield_now();
    }
    let leaks = leaks();
    let all: Vec<String> = leaks.iter().map(Leak::to_string).collect();
    assert!(leaks.is_empty(), "goroutines have leaked: {}\n\n{}", leaks.len(), all.join("\n"));
}

/// Begins to watch locks, or stops: which goroutine has which [`Mutex`](crate::sync::Mutex), and who waits for it. Where a
/// goroutine is about to wait for a lock whose owner waits, perhaps through others, for one of its own, that is reported on
/// stderr there and then, and kept for [`lock_cycles`]. `GODEBUG=lockcycles=1` does the same from the start.
///
/// A lock is held to be with the goroutine that took it: where guards are sent to others, a report may be wrong, one of
/// [`leaks`] too. Watched locks cost a look-up in a map each, and all of them meet at one lock; where nothing is watched
/// they cost what they did. Locks taken before it begins have no owner. Never parks.
///
/// ```
/// use gosched_runtime::debug;
/// debug::watch_locks(true);
/// assert!(debug::lock_cycles().is_empty());
/// debug::watch_locks(false);
/// ```
pub fn watch_locks(on: bool) {
    owners::watch(on);
}

/// The rings of goroutines waiting for each other's locks that have closed while [locks were watched](watch_locks), the
/// first 100. Never parks.
///
/// ```
/// for cycle in gosched_runtime::debug::lock_cycles() {
///     println!("{cycle}"); // goroutine 18 "a" waits at … for the lock that goroutine 19 "b" took at …
/// }
/// ```
pub fn lock_cycles() -> Vec<LockCycle> {
    owners::rings()
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
    /// Goroutines that the network poller has made runnable so far.
    pub netpoll_wakeups: u64,
    /// Stacks of the usual size that goroutines have, or that Ps keep for their next ones; a larger stack counts for as many
    /// as it is large.
    pub stacks: usize,
    /// Stacks that lie in the pool and hold memory still.
    pub stacks_cached: usize,
    /// Ps taken so far from goroutines that ran for longer than a time slice while others waited.
    pub retakes: u64,
    /// The last of those goroutines, 16 at most, the oldest first.
    pub hogs: Vec<Hog>,
    /// How long goroutines have waited from when they could run until they did: one in 32.
    pub latencies: SchedLatencies,
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
        p.latencies.add_to(&mut s.latencies);
    }
    s.local_runqs.truncate(s.procs);
    (s.retakes, s.hogs) = hogs::retakes();
    s.netpoll_wakeups = netpoll::readied();
    (s.stacks, s.stacks_cached) = stackpool::census();
    s.handoffs = SCHED.handoffs.load(std::sync::atomic::Ordering::Relaxed);
    s
}
