//! THE SEAM. Every place where a goroutine can wait goes through `gopark` here and comes back through `goready`: find
//! their callers and you have the full list of places where a goroutine can block. Channels, sockets, locks, timers and
//! primitives made outside this project see nothing else of the scheduler.
//!
//! ## The protocol
//! ```text
//!   waiter                                          waker
//!   ──────                                          ─────
//!   lock the structure
//!   look: nothing for me
//!   put a record (a sudog) with `current()` in it
//!   gopark(commit, arg, reason)
//!     └ leaves its stack; then, on the scheduler's
//!       stack:  commit(w, arg): unlock         ──►  lock, take the record out, write the result through it, unlock
//!                                                   goready(w)      ◄ after this nothing of the waiter's is touched
//!   ◄── gopark returns, maybe on another thread
//! ```
//! The structure is unlocked only when the goroutine has left its stack: from then on another thread may run it. That is
//! why the last step before sleeping is a function and one word, not a closure on the waiter's stack, which could be
//! freed under its own feet the moment it unlocks (Go: `gopark`'s unlockf; DESIGN of this project, 3.4).
//!
//! One `gopark` is ended by exactly one `goready`. Where several wakers compete (select, time-outs), the ticket decides:
//! see [`Waiter::claim`].
//!
//! A waiter is a goroutine or a plain thread; the protocol is the same, a thread merely blocks where a goroutine parks.

pub use crate::awaits::{Awaited, Awaits, EachAwaited};
pub use crate::g::Commit;
use crate::g::{G, Order};
pub use crate::hook::{now, point};
pub use crate::rawlock::Lock;
use crate::readers::Slots;
pub use crate::reason::WaitReason;
use crate::sched::SCHED;
pub use crate::waiter::{Ticket, Waiter};
use crate::{hook, m, rand, sys, syscall, thread, wake, worlds};
use std::sync::OnceLock;
use std::time::Instant;

mod until;

/// How a wait with a deadline ended.
///
/// ```
/// use gosched_runtime::park::{WaitReason, Waiter, Woken, current, gopark_timeout};
/// use std::{ptr, time::Instant};
///
/// unsafe fn commit(_: Waiter, _: *mut ()) -> bool {
///     true // nobody is told: the deadline ends it
/// }
/// let ticket = current().open_ticket();
/// // SAFETY: the commit does nothing, and no other waker has the ticket.
/// let woken = unsafe {
///     gopark_timeout(commit, ptr::null_mut(), WaitReason::Sleep, ticket, Some(Instant::now()))
/// };
/// assert_eq!(woken, Woken::TimedOut);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// By a `goready`.
    Readied,
    /// By the deadline: the ticket is claimed, nobody else will ready this wait.
    TimedOut,
}

/// The waiter that this code runs as: the goroutine, or else the thread. Stays the same across parks.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let me = gosched_runtime::park::current();
/// gosched_runtime::yield_now();
/// assert_eq!(gosched_runtime::park::current(), me);
/// # }) };
/// ```
#[inline]
pub fn current() -> Waiter {
    match m::getg() {
        Some(g) => g.waiter(),
        None => thread::current(),
    }
}

/// Whether this code runs on a goroutine. On any other thread, waiting blocks the thread.
///
/// ```
/// use gosched_runtime::park::on_goroutine;
/// assert!(!on_goroutine());
/// # unsafe { gosched_runtime::run(|| {
/// assert!(on_goroutine());
/// # }) };
/// ```
#[inline]
pub fn on_goroutine() -> bool {
    m::getg().is_some()
}

/// Whether anything can run while the caller spins: another CPU, and another P to be on it (without a scheduler, any
/// thread).
pub(crate) fn others_can_run() -> bool {
    SCHED.procs() != 1 && !hook::explored() && *CPUS.get_or_init(sys::cpu::num_cpu) > 1
}

/// For calls that can park, where they are slow anyway: a goroutine whose P was taken waits for its turn to have one
/// again, instead of going on as a thread beside those that have one.
pub(crate) fn back_to_a_p() {
    if let Some(g) = m::getg()
        && !hook::explored()
    {
        crate::syscall::exitsyscall(g);
    }
}

/// The slots of the caller's P for locks that it reads under; none on a thread that is not ours, without a P, or in an
/// exploration, whose Ps are not among those of `all_slots`. The P may be gone at once: a slot is taken as if others did so.
#[inline]
pub(crate) fn my_slots() -> Option<&'static Slots> {
    let p = m::m_of(m::getg()?).p()?;
    (p.id < worlds::FIRST_P).then_some(&p.readers)
}

/// The slots of every P that there has been.
pub(crate) fn all_slots() -> impl Iterator<Item = &'static Slots> {
    SCHED.allp_now().iter().map(|p| &p.readers)
}

/// A draw that comes up once in `n` times the number of Ps; never where there is no other to meet.
pub(crate) fn seldom(n: u32) -> bool {
    others_can_run() && rand::below(n.saturating_mul(SCHED.procs())) == 0
}

static CPUS: OnceLock<usize> = OnceLock::new();

/// Parks the calling goroutine (blocks the calling thread) until [`goready`]. Go: `runtime.gopark`.
///
/// # Safety
/// - `commit` and `arg` must keep the promises of [`Commit`].
/// - Somebody readies this waiter exactly once for this call, unless `commit` gives false; and not before `commit` has
///   made the waiter reachable.
/// - The caller holds nothing tied to its thread across the call.
///
/// ```
/// use gosched_runtime::park::{WaitReason, Waiter, gopark, goready};
/// use std::sync::atomic::{AtomicPtr, Ordering};
///
/// static WHO: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
///
/// unsafe fn commit(w: Waiter, _: *mut ()) -> bool {
///     WHO.store(w.into_raw(), Ordering::Release);
///     true
/// }
/// # unsafe { gosched_runtime::run(|| {
/// gosched_runtime::spawn(|| {
///     let mut who = WHO.load(Ordering::Acquire);
///     while who.is_null() {
///         gosched_runtime::yield_now();
///         who = WHO.load(Ordering::Acquire);
///     }
///     // SAFETY: the commit left it there; it is readied once.
///     unsafe { goready(Waiter::from_raw(who)) };
/// });
/// // SAFETY: the goroutine above readies this waiter once, after the commit.
/// unsafe { gopark(commit, std::ptr::null_mut(), WaitReason::Other) };
/// # }) };
/// ```
#[inline]
pub unsafe fn gopark(commit: Commit, arg: *mut (), reason: WaitReason) {
    match m::getg() {
        // SAFETY: handed on.
        Some(g) => unsafe { gopark_g(g, commit, arg, reason) },
        None => {
            let w = thread::current();
            // SAFETY: the caller's promise; a thread's stack is its own, so committing on it is no different.
            if unsafe { commit(w, arg) } {
                thread::sleep(w);
            }
        }
    }
}

/// The goroutine's way of parking.
///
/// # Safety
/// As for `gopark`; `g` is the calling goroutine.
#[inline]
unsafe fn gopark_g(g: &'static G, commit: Commit, arg: *mut (), reason: WaitReason) {
    m::enter(g);
    g.set_waiting(reason);
    if syscall::pinned(g) {
        // SAFETY: handed on.
        return unsafe { syscall::park_on_thread_slow(g, commit, arg) };
    }
    // SAFETY: on g's stack, inside the runtime; the caller holds nothing tied to the thread.
    unsafe { g.suspend(Order::Park { commit, arg }) };
}

/// Ends the wait of `w`: puts the goroutine in a run queue, or wakes the thread. Go: `runtime.goready`.
///
/// What the caller wrote before is seen by the waiter after its `gopark`. Works from any thread, and in a [`Commit`].
///
/// Never parks its caller. Still better not called with a lock held: whoever is woken will want that lock next.
///
/// # Safety
/// The caller is the one who owes `w` this wake-up: `w` is in a `gopark` whose commit made it reachable to the caller,
/// and nobody else readies that wait. The caller touches nothing that the waiter owns afterwards.
///
/// ```
/// use gosched_runtime::park::{WaitReason, Waiter, gopark, goready};
///
/// unsafe fn commit(w: Waiter, _: *mut ()) -> bool {
///     // SAFETY: nobody else knows of this wait.
///     unsafe { goready(w) };
///     true
/// }
/// # unsafe { gosched_runtime::run(|| {
/// // SAFETY: the commit readies the waiter, once.
/// unsafe { gopark(commit, std::ptr::null_mut(), WaitReason::Other) };
/// # }) };
/// ```
#[inline]
pub unsafe fn goready(w: Waiter) {
    // SAFETY: handed on.
    unsafe { wake::ready_waiter(w) }
}

/// Parks like [`gopark`], but not beyond `deadline` (`None`: no deadline). The wait is one for which `ticket` was
/// opened; every other waker must [`Waiter::claim`] it before it readies.
///
/// # Safety
/// As for [`gopark`], and wakers go through the ticket.
///
/// ```
/// use gosched_runtime::park::{Ticket, WaitReason, Waiter, Woken, current, gopark_timeout, goready};
/// use std::time::{Duration, Instant};
///
/// unsafe fn commit(w: Waiter, ticket: *mut ()) -> bool {
///     // SAFETY: the ticket of the call below, which waits.
///     if w.claim(unsafe { *ticket.cast::<Ticket>() }) {
///         // SAFETY: claimed.
///         unsafe { goready(w) };
///     }
///     true
/// }
/// # unsafe { gosched_runtime::run(|| {
/// let mut ticket = current().open_ticket();
/// let arg = (&raw mut ticket).cast();
/// let limit = Instant::now() + Duration::from_secs(60);
/// // SAFETY: whoever claims the ticket readies the waiter.
/// let woken = unsafe { gopark_timeout(commit, arg, WaitReason::Other, ticket, Some(limit)) };
/// assert_eq!(woken, Woken::Readied);
/// # }) };
/// ```
pub unsafe fn gopark_timeout(
    commit: Commit,
    arg: *mut (),
    reason: WaitReason,
    ticket: Ticket,
    deadline: Option<Instant>,
) -> Woken {
    let Some(deadline) = deadline else {
        // SAFETY: handed on.
        unsafe { gopark(commit, arg, reason) };
        return Woken::Readied;
    };
    if on_goroutine() {
        // SAFETY: handed on.
        return unsafe { until::gopark_until(commit, arg, reason, ticket, deadline) };
    }
    let w = thread::current();
    // SAFETY: the caller's promise.
    if !unsafe { commit(w, arg) } || thread::sleep_until(w, deadline) {
        return Woken::Readied;
    }
    if w.claim(ticket) {
        return Woken::TimedOut;
    }
    // Somebody claimed it first, so a goready is under way.
    thread::sleep(w);
    Woken::Readied
}
