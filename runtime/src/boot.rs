//! Start-up (Go: runtime/proc.go, `schedinit`, `rt0_go`): `run` and `Config`.
//!
//! ```text
//!   run(main) ─► schedinit (once): environment · stacks · fault handler · panic hook · Ps · sysmon
//!             ─► main goroutine into the global queue ─► wakep ─► first M
//!             ─► the caller waits for main's end
//! ```
//! The thread that calls `run` only waits. It could be the first M itself, as in Go; but then a goroutine that spins or
//! blocks on it would keep `run` from returning when main has ended. A thread that waits costs nothing.
//!
//! After `run` has returned the scheduler's threads stay: goroutines that are still alive go on, and a later `run` finds
//! everything in place.

use crate::g::G;
use crate::godebug::{self, Godebug};
use crate::m;
use crate::newproc::{GoExit, spawn_unchecked};
use crate::procresize::{MAX_PROCS, procresize};
use crate::sched::{MSTART, SCHED};
use crate::sync::owners;
use crate::sys::Regs;
use crate::{
    allgs, clock, debug, debugger, fatal, hook, procresize, rand, scavenge, schedtrace, schedule, stack, sys,
    sysmon, traceback,
};
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::Location;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `main` as the main goroutine and blocks the calling thread until it returns. Starts the scheduler if need be,
/// with GOMAXPROCS threads running goroutines at a time (environment variable `GOMAXPROCS`, else the CPUs that the
/// process may use, or what its cgroup's quota leaves of them).
///
/// Goroutines still alive when `main` returns go on; the process ends when the program's `main` does. May be called
/// again later; two calls at once each get a main goroutine.
///
/// # Safety
/// Goroutines move between threads when they park. The caller promises, for the whole program, that no goroutine holds a
/// borrow of a `thread_local!`, or a value tied to a thread (a `std::sync::MutexGuard`, an `Rc` that a thread-local
/// shares), across a call that can park. This is the one `unsafe` of the interface.
///
/// # Panics
/// A panic of `main` is resumed in the caller. Where `main` calls [`goexit`](crate::goexit), `run` panics with
/// `main goroutine called goexit`.
///
/// ```
/// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
/// let n = unsafe { gosched_runtime::run(|| gosched_runtime::spawn(|| 21).join().unwrap() * 2) };
/// assert_eq!(n, 42);
/// ```
#[track_caller]
pub unsafe fn run<F, T>(main: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: handed on.
    unsafe { Config::new().run(main) }
}

/// How the scheduler is started. What is set here wins over the environment.
///
/// The first `run` of the process starts the scheduler; a later one finds it running: `procs` and `max_threads` then
/// change it for everybody, the size of stacks stays as it is.
///
/// ```
/// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
/// let procs = unsafe { gosched_runtime::Config::new().procs(2).run(gosched_runtime::gomaxprocs) };
/// assert_eq!(procs, 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config {
    procs: Option<usize>,
    stack_size: Option<usize>,
    max_threads: Option<usize>,
    sigquit: Option<bool>,
}

impl Config {
    /// The defaults, which the environment may change.
    ///
    /// ```
    /// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
    /// assert_eq!(unsafe { gosched_runtime::Config::new().run(|| 1) }, 1);
    /// ```
    pub fn new() -> Config {
        Config::default()
    }

    /// GOMAXPROCS: how many threads run goroutines at a time. 0 counts as unset.
    ///
    /// ```
    /// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
    /// let procs = unsafe { gosched_runtime::Config::new().procs(3).run(gosched_runtime::gomaxprocs) };
    /// assert_eq!(procs, 3);
    /// ```
    pub fn procs(mut self, n: usize) -> Config {
        self.procs = Some(n);
        self
    }

    /// The standard size of a goroutine's stack in bytes, rounded up to whole pages, 64 KiB at least (256 KiB by
    /// default). Address space; memory is used only as far as the stack is. Fixed by the first `run`.
    ///
    /// ```
    /// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
    /// unsafe {
    ///     gosched_runtime::Config::new().stack_size(4 << 20).run(|| {
    ///         let large = std::hint::black_box([0u8; 300 << 10]);
    ///         assert_eq!(large[1], 0);
    ///     })
    /// }
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Config {
        self.stack_size = Some(bytes);
        self
    }

    /// The most threads the scheduler may have (10,000 by default); one more ends the process with
    /// `fatal error: thread exhaustion` (Go: `debug.SetMaxThreads`).
    ///
    /// ```
    /// let config = gosched_runtime::Config::new().max_threads(100);
    /// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
    /// let threads = unsafe { config.run(|| gosched_runtime::debug::stats().threads) };
    /// assert!(threads <= 100);
    /// ```
    pub fn max_threads(mut self, n: usize) -> Config {
        self.max_threads = Some(n);
        self
    }

    /// Whether SIGQUIT prints every goroutine's stack and ends the process with status 2, as in Go (it does, unless the
    /// program has a handler for it). Fixed by the first `run`.
    ///
    /// ```
    /// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
    /// unsafe { gosched_runtime::Config::new().sigquit(false).run(|| ()) }; // SIGQUIT does what it did before
    /// ```
    pub fn sigquit(mut self, on: bool) -> Config {
        self.sigquit = Some(on);
        self
    }

    /// [`run`](crate::run) with this configuration: blocks the calling thread until `main` returns. On a goroutine it
    /// parks.
    ///
    /// # Safety
    /// As for [`run`](crate::run).
    ///
    /// # Panics
    /// As [`run`](crate::run).
    ///
    /// ```
    /// let config = gosched_runtime::Config::new().procs(2);
    /// // SAFETY: no goroutine here touches a thread-local or holds a thread's value while it parks.
    /// let one = unsafe { config.run(|| gosched_runtime::spawn(|| 1).join().unwrap()) };
    /// assert_eq!(one, 1);
    /// ```
    #[track_caller]
    pub unsafe fn run<F, T>(self, main: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        schedinit(&self);
        if let Some(n) = self.procs.filter(|&n| n > 0) {
            set_gomaxprocs(n);
        }
        if let Some(n) = self.max_threads {
            SCHED.lock().max_ms = n as u64;
        }
        /// Counts this call, whatever way it ends.
        struct Running;
        impl Drop for Running {
            fn drop(&mut self) {
                SCHED.runs.fetch_sub(1, Ordering::Relaxed);
            }
        }
        SCHED.runs.fetch_add(1, Ordering::Relaxed);
        let _running = Running;
        let on_thread = usize::from(m::getg().is_none());
        /// Counts the main goroutine, from its first step to its last: for checkdead.
        struct Main(usize);
        impl Drop for Main {
            fn drop(&mut self) {
                SCHED.mains_on_threads.fetch_sub(self.0, Ordering::Relaxed);
                SCHED.mains.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let counted = move || {
            SCHED.mains.fetch_add(1, Ordering::Relaxed);
            SCHED.mains_on_threads.fetch_add(on_thread, Ordering::Relaxed);
            let _main = Main(on_thread);
            main()
        };
        // SAFETY: what `main` borrows outlives this call, which does not return before `main` has ended and its result
        // is here.
        let handle = unsafe { spawn_unchecked(counted, None, Location::caller(), None, ()) };
        match handle.join() {
            Ok(v) => v,
            Err(payload) if payload.is::<GoExit>() => panic!("main goroutine called goexit"),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    }
}

/// GOMAXPROCS: how many threads run goroutines at a time. Before the first `run`, what it would be. Never parks.
///
/// ```
/// assert!(gosched_runtime::gomaxprocs() >= 1);
/// ```
pub fn gomaxprocs() -> usize {
    match SCHED.procs() {
        0 => wanted_procs(None).0,
        n => n as usize,
    }
}

/// Sets GOMAXPROCS and gives the value before; 0 only asks. Works at any time, under load, in both directions: a P that
/// is too many is given up when its thread next comes by the scheduler (Go: `runtime.GOMAXPROCS`). At most 1,024. Never
/// parks, and does not wait for that. O(GOMAXPROCS).
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let old = gosched_runtime::set_gomaxprocs(3);
/// assert_eq!(gosched_runtime::set_gomaxprocs(0), 3);
/// gosched_runtime::set_gomaxprocs(old);
/// # }) };
/// ```
pub fn set_gomaxprocs(n: usize) -> usize {
    if n == 0 {
        return gomaxprocs();
    }
    procresize::set_follow(false);
    if SCHED.procs() == 0 {
        // Not started yet: remembered for the start.
        let before = gomaxprocs();
        BEFORE_START.store(n, Ordering::Relaxed);
        return before;
    }
    procresize(n)
}

/// What `set_gomaxprocs` was told before the start; 0: nothing.
static BEFORE_START: AtomicUsize = AtomicUsize::new(0);

/// How many CPUs the process may use (its affinity mask). Never parks.
///
/// ```
/// assert!(gosched_runtime::num_cpu() >= 1);
/// ```
pub fn num_cpu() -> usize {
    sys::cpu::num_cpu()
}

/// GOMAXPROCS at the start, and whether somebody has said it: the Config, `set_gomaxprocs`, the environment.
fn wanted_procs(config: Option<usize>) -> (usize, bool) {
    let valid = |n: &usize| *n > 0;
    let from_env = || godebug::gomaxprocs(&std::env::var("GOMAXPROCS").ok()?);
    let set = Some(BEFORE_START.load(Ordering::Relaxed));
    let said = config.filter(valid).or(set.filter(valid)).or_else(from_env);
    (said.unwrap_or_else(sys::cpu::default_procs).min(MAX_PROCS), said.is_some())
}

/// Starts the scheduler, once. (Go: `schedinit` and what follows it in `rt0_go`.)
fn schedinit(config: &Config) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let godebug = Godebug::get();
        if let Some(seed) = godebug.seed {
            rand::seed(seed);
        }
        if godebug.mprotect_guards {
            sys::mem::force_mprotect_guards();
        }
        if let Some(us) = godebug.slice {
            sysmon::TEST_SLICE.store(us, Ordering::Relaxed);
        }
        clock::set_coarse(clock::nanotime());
        sys::barrier::register(!godebug.no_membarrier);
        if let Some(ms) = godebug.scavenge {
            scavenge::set_interval(ms);
        }
        if let Some(ms) = godebug.schedtrace {
            schedtrace::set(ms, godebug.scheddetail);
        }
        if godebug.lockcycles {
            owners::watch(true);
        }
        if let Some(n) = godebug.cpus {
            sys::cpu::set_test_cpus(n);
        }
        if let Some(root) = godebug.cgrouproot {
            sys::cpu::set_cgroup_root(root);
        }
        stack::init(config.stack_size.unwrap_or(stack::DEFAULT_SIZE));
        allgs::init(stack::slots());
        debugger::init();
        traceback::init();
        sys::fault::install(on_fault);
        name_goroutines_in_panics();
        MSTART.set(schedule::mstart).expect("once");
        // SAFETY: no thread of the scheduler runs yet.
        unsafe { SCHED.sysmon_note.init() };
        let (procs, said) = wanted_procs(config.procs);
        procresize::set_follow(!said);
        procresize(procs);
        if scavenge::start(print_stacks_at_quit) && config.sigquit.unwrap_or(true) {
            sys::quit::install(scavenge::quit);
        }
        // Release: pairs with the Acquire in `timer_add`.
        SCHED.started.store(true, Ordering::Release);
        if let Err(e) = sys::thread::start("gosched-sysmon", 0, sysmon::sysmon) {
            fatal::no_thread(0, &e);
        }
    });
}

/// Starts the scheduler where it is not, as `run` would.
pub(crate) fn start() {
    schedinit(&Config::new());
}

/// What SIGQUIT shows before the end.
fn print_stacks_at_quit() {
    let text = format!("SIGQUIT: quit\n\n{}\n", debug::stacks());
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Puts the goroutine's header in front of what the panic hook prints.
fn name_goroutines_in_panics() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook::panicking(|| info.to_string());
        if let Some(g) = m::getg() {
            let mut text = String::from("\n");
            // SAFETY: called by the goroutine itself.
            let _ = unsafe { traceback::write_header(&mut text, g) };
            let _ = traceback::write_creator(&mut text, g);
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
        previous(info);
    }));
}

/// The report of a goroutine that ran into its guard. In a signal handler: no allocation, no lock, until the last part.
fn on_fault(addr: usize, regs: Regs) {
    let Some(stack::InGuard { owner, size }) = stack::fault_in_guard(addr) else { return };
    let Some(g) = std::ptr::NonNull::new(owner.cast::<G>()).map(G::of) else { return };
    let mut err = sys::fault::RawErr::new();
    let _ = writeln!(err, "runtime: goroutine {} stack exceeds {size}-byte limit", g.goid());
    let _ = writeln!(err, "fatal error: stack overflow\n");
    // SAFETY: the goroutine that faulted runs on this very thread, so it is alive; and it is interrupted here.
    let pcs = unsafe {
        let _ = traceback::write_header(&mut err, g);
        traceback::pcs_in_handler(regs)
    };
    err.flush();
    // Names and lines need memory and locks. Where the fault came in the middle of malloc they do not come.
    sys::fault::abort_soon();
    let _ = traceback::Symbols::new().write_stack(&mut err, &pcs);
    let _ = traceback::write_creator(&mut err, g);
    err.flush();
    std::process::abort();
}
