//! Running without a P, and coming back (Go: runtime/proc.go, `exitsyscall`, `lockOSThread`, `startlockedm`).
//!
//! Whoever stays away from the runtime for long loses the P to sysmon (handshake.rs). `syscall(f)` announces that it will, and
//! when `f` is done sees to it that the goroutine has a P again. A goroutine whose last `f` took a millisecond or more does not
//! wait for sysmon: it gives its P away before it begins (Go: `entersyscallblock`, where the runtime itself knows that a call
//! will block). That costs a thread's wake-up, some 15 µs; but sysmon may be in one of its long sleeps.
//!
//! ```text
//!   exitsyscall:   still its own?   go on
//!                  an idle P?       take it, go on
//!                  none:            the goroutine goes to the global queue, its M sleeps
//! ```
//! (Go prefers the P that it had before among the idle ones. Here the last to become idle is taken, which is the same one
//! where only one is.) Code that lost its P without having announced anything goes on without, until it parks.
//!
//! ## Goroutines that may not leave their thread
//! `lock_os_thread`, and a goroutine that parks while a panic unwinds it: std counts panics per thread, so it must finish
//! the unwinding where it began. Such a goroutine does not leave its stack when it parks: its thread sleeps with it, and
//! the P is handed to another M. When a P's M takes it out of a run queue, it hands the P over and wakes the thread
//! instead of switching stacks:
//!
//! ```text
//!   locked goroutine on M1                       M2
//!   handoffp; commit; sleep in M1.park
//!                                                execute(g): g.lockedm is M1
//!                                                startlockedm: P to M1, wake it; M2 stops
//!   ◄── goes on, on M1, with that P
//! ```

use crate::checkdead::{Going, checkdead};
use crate::clock::nanotime;
use crate::g::{Commit, G, Gstatus, Order};
use crate::idle::{enter_with_p, releasep};
use crate::m::{self, M};
use crate::sched::SCHED;
use crate::trace::point as trace;
use crate::{freeze, hook, sysmon, template, wake};
use std::marker::PhantomData;
use std::sync::atomic::Ordering;

/// The end of `syscall(f)`: see the file head.
pub(crate) fn exitsyscall(g: &'static G) {
    let m = enter_with_p(g);
    if m.p().is_some() || pinned(g) {
        return m::leave(m);
    }
    // SAFETY: on g's stack, inside the runtime; `syscall` is a call that can park.
    unsafe { g.suspend(Order::Yield) };
}

/// Whether the goroutine may not leave its thread now.
#[inline]
pub(crate) fn pinned(g: &'static G) -> bool {
    g.locks.get() != 0 || std::thread::panicking()
}

fn pin(g: &'static G, m: &'static M) {
    // Relaxed: published with the goroutine, by the queue it is put in.
    g.lockedm.store(m.raw(), Ordering::Relaxed);
}

/// The end of a pinned goroutine's wait: its thread sleeps until an M hands over a P. Comes back outside the runtime.
fn wait_for_p(g: &'static G, m: &'static M) {
    // The commit may have left the runtime, after a call of its own: the P that comes must not be taken from us here.
    m::enter(g);
    // Whoever wakes it has taken it off the count before, perhaps before this.
    SCHED.asleep.fetch_add(1, Ordering::Relaxed);
    checkdead(Going::ToSleep);
    let got = wake::sleep_for_p(m);
    debug_assert!(got, "a locked M is not let go");
    freeze::gate(m);
    g.lockedm.store(std::ptr::null_mut(), Ordering::Relaxed);
    trace::start(m, g);
    g.set_status(Gstatus::Running);
    m.the_p().tick();
    m.handshake.leave();
}

/// Parks a pinned goroutine; see the file head. Called inside the runtime, comes back outside.
///
/// # Safety
/// As for `park::gopark`.
#[cold]
pub(crate) unsafe fn park_on_thread_slow(g: &'static G, commit: Commit, arg: *mut ()) {
    if hook::explored() {
        // A world has one thread, so nobody leaves it; but a panic's unwinding cannot wait while others run on it.
        if std::thread::panicking() {
            hook::unwinding();
        }
        // SAFETY: the caller's promise; on g's stack, inside the runtime.
        return unsafe { g.suspend(Order::Park { commit, arg }) };
    }
    let m = m::m_of(g);
    g.set_regs();
    trace::park(g);
    pin(g, m);
    if m.p().is_some() {
        let p = releasep(m);
        // The commit may call into the runtime, and must find things quiet.
        m.handshake.quiesce();
        wake::handoffp(p);
    }
    // SAFETY: the caller's promise. From here on the goroutine may be readied, and an M may wake this thread.
    if unsafe { commit(g.waiter(), arg) } {
        wait_for_p(g, m);
    } else {
        // Called off: it goes on, without a P.
        trace::start(m, g);
        g.lockedm.store(std::ptr::null_mut(), Ordering::Relaxed);
        g.set_status(Gstatus::Running);
        m::leave(m);
    }
}

/// `yield_now` of a pinned goroutine.
#[cold]
pub(crate) fn yield_on_thread_slow(g: &'static G) {
    if hook::explored() {
        if std::thread::panicking() {
            return m::leave(m::m_of(g));
        }
        // SAFETY: on g's stack, inside the runtime.
        return unsafe { g.suspend(Order::Yield) };
    }
    unsafe fn commit(w: crate::waiter::Waiter, _: *mut ()) -> bool {
        let g = G::of_waiter(w);
        g.set_runnable();
        SCHED.lock().globrunqput(g);
        wake::wakep();
        true
    }
    // SAFETY: the commit makes the goroutine reachable by the run queue only, which runs it once.
    unsafe { park_on_thread_slow(g, commit, std::ptr::null_mut()) };
}

/// Hands the P of `m` to the thread of a locked goroutine, which `m` has taken out of a run queue; `m` must stop next.
pub(crate) fn startlockedm(m: &'static M, lockedm: &'static M) {
    let p = releasep(m);
    SCHED.asleep.fetch_sub(1, Ordering::Relaxed);
    lockedm.nextp.set(Some(p));
    lockedm.wake();
}

/// Runs a function that is known to block: a system call, a C library, a slow file (Go: `entersyscall`, `exitsyscall`).
///
/// It runs here and now, on this goroutine. Announcing it only tells sysmon that it need not wait 10 ms before it takes
/// the P away for others; after one that took a millisecond, the goroutine's next gives the P away at once. Blocking
/// without announcing is safe too, just slower to be noticed. When `f` is done and there is no P to go on with, the
/// goroutine parks until it is its turn. Off a goroutine it merely calls `f`.
///
/// ```
/// let n = gosched_runtime::syscall(|| std::fs::read("Cargo.toml").map(|v| v.len()));
/// assert!(n.unwrap() > 0);
/// ```
pub fn syscall<F: FnOnce() -> R, R>(f: F) -> R {
    /// Back to what it was: announcements nest.
    struct Announced {
        g: &'static G,
        nested: bool,
        since: u64,
    }
    impl Drop for Announced {
        fn drop(&mut self) {
            trace::exitsyscall();
            self.g.in_syscall.store(self.nested, Ordering::Relaxed);
            self.g.blocks.set(nanotime() - self.since >= BLOCKS_NS);
            exitsyscall(self.g);
        }
    }
    let _announced = m::getg().map(|g| {
        trace::entersyscall();
        // Relaxed: a hint for sysmon.
        let nested = g.in_syscall.swap(true, Ordering::Relaxed);
        if g.blocks.get() && !nested && !hook::explored() {
            entersyscallblock(g);
        }
        Announced { g, nested, since: nanotime() }
    });
    apart(f)
}

/// An `f` that takes this long is worth handing the P over before the next one of its goroutine.
const BLOCKS_NS: u64 = 1_000_000;

/// Gives the P away as sysmon would take it: outside the runtime, so that there is one way to lose a P (handshake.rs).
#[cold]
fn entersyscallblock(g: &'static G) {
    let m = m::m_of(g);
    if let Some(p) = m.p() {
        sysmon::retake_p(p, m);
    }
}

/// What `f` leaves in errno is this thread's, and the compiler may keep errno's address for all of a function: so `f` is in
/// one in which nothing parks.
#[inline(never)]
fn apart<F: FnOnce() -> R, R>(f: F) -> R {
    f()
}

/// Keeps the calling goroutine on its present thread until dropped; nests. See [`lock_os_thread`].
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let outer = gosched_runtime::lock_os_thread();
/// let inner = gosched_runtime::lock_os_thread();
/// drop(outer); // still locked
/// drop(inner);
/// # }) };
/// ```
#[must_use = "the goroutine is unlocked when this is dropped"]
pub struct OsThreadLock(Option<&'static G>, PhantomData<*const ()>);

/// Locks the calling goroutine to its thread (Go: `runtime.LockOSThread`): no other thread runs it, and the thread runs
/// nothing else, until the lock is dropped. For libraries that tie state to a thread. A park then costs a thread switch.
/// On a plain thread it does nothing. Never parks.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let lock = gosched_runtime::lock_os_thread();
/// let before = std::thread::current().id();
/// gosched_runtime::yield_now();
/// assert_eq!(std::thread::current().id(), before);
/// drop(lock);
/// # }) };
/// ```
pub fn lock_os_thread() -> OsThreadLock {
    let g = m::getg();
    if let Some(g) = g {
        template::start();
        g.locks.set(
            g.locks.get().checked_add(1).expect("gosched: a goroutine locked to its thread 65,535 times"),
        );
    }
    OsThreadLock(g, PhantomData)
}

impl Drop for OsThreadLock {
    fn drop(&mut self) {
        if let Some(g) = self.0 {
            debug_assert!(m::getg().is_some_and(|me| std::ptr::eq(me, g)));
            g.locks.set(g.locks.get() - 1);
        }
    }
}
