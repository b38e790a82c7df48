//! What the scheduler asks of a network poller (Go: runtime/netpoll.go). The poller itself lives in `gosched-net`; this
//! crate knows no socket.
//!
//! The scheduler calls `netpoll` from three places: `findrunnable` without waiting, the last M that goes idle with
//! waiting, and sysmon when nobody has polled for 10 ms. At most one thread *waits* in it at any time (polltoken.rs), though another may poll without waiting meanwhile.

use crate::glist::GQueue;
use crate::note::Note;
use crate::waiter::{Waiter, WaiterKind};
use crate::{g, thread};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a poll may wait for the first event.
///
/// ```
/// use gosched_runtime::poller::PollWait;
/// let d = std::time::Duration::from_millis(5);
/// assert_ne!(PollWait::For(d), PollWait::Forever);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PollWait {
    /// Only harvest what is there.
    No,
    /// Wait this long at most.
    For(Duration),
    /// Wait for an event or for [`Netpoll::netpoll_break`].
    Forever,
}

/// A network poller. Installed once with [`install`].
///
/// ```
/// use gosched_runtime::poller::{Netpoll, PollWait, ReadyList, install};
/// # use std::sync::{Condvar, Mutex};
///
/// /// Knows no descriptor: only timers end its waits.
/// # #[derive(Default)]
/// struct Sleeper { broken: Mutex<bool>, end: Condvar }
///
/// impl Netpoll for Sleeper {
///     fn netpoll(&self, wait: PollWait, _ready: &mut ReadyList) {
///         let broken = self.broken.lock().unwrap();
///         *match wait {
///             PollWait::No => return,
///             PollWait::For(d) => self.end.wait_timeout_while(broken, d, |b| !*b).unwrap().0,
///             PollWait::Forever => self.end.wait_while(broken, |b| !*b).unwrap(),
///         } = false;
///     }
///     fn netpoll_break(&self) {
///         *self.broken.lock().unwrap() = true;
///         self.end.notify_one();
///     }
///     fn is_active(&self) -> bool {
///         false
///     }
///     fn has_waiters(&self) -> bool {
///         false
///     }
/// }
/// install(Box::leak(Box::<Sleeper>::default()));
/// # unsafe { gosched_runtime::run(|| gosched_runtime::sleep(std::time::Duration::from_millis(1))) };
/// ```
pub trait Netpoll: Sync {
    /// Waits for readiness and pushes every waiter whose socket became ready on `ready`.
    ///
    /// ```
    /// use gosched_runtime::poller::{Netpoll, PollWait, ReadyList};
    /// fn harvest(poller: &dyn Netpoll, into: &mut ReadyList) {
    ///     poller.netpoll(PollWait::No, into);
    /// }
    /// ```
    fn netpoll(&self, wait: PollWait, ready: &mut ReadyList);

    /// Ends a waiting `netpoll` of another thread; if none waits, the next one returns at once.
    ///
    /// ```
    /// use gosched_runtime::poller::Netpoll;
    /// fn new_deadline(poller: &dyn Netpoll) {
    ///     poller.netpoll_break(); // whoever waits looks again
    /// }
    /// ```
    fn netpoll_break(&self);

    /// Whether polling can bring anything: some descriptor is registered. Cheap, asked in every search for work.
    ///
    /// ```
    /// use gosched_runtime::poller::Netpoll;
    /// fn worth_asking(poller: &dyn Netpoll) -> bool {
    ///     poller.is_active()
    /// }
    /// ```
    fn is_active(&self) -> bool;

    /// Whether anybody waits for a socket now. May be slow (a scan): asked only before a deadlock is declared. Not a
    /// counter, because that would be one word written by all Ps at every park.
    ///
    /// ```
    /// use gosched_runtime::poller::Netpoll;
    /// fn is_deadlock(poller: &dyn Netpoll, all_parked: bool) -> bool {
    ///     all_parked && !poller.has_waiters()
    /// }
    /// ```
    fn has_waiters(&self) -> bool;
}

/// The waiters that a poll made ready, in the order of their events.
///
/// ```
/// use gosched_runtime::poller::{Netpoll, PollWait, ReadyList};
/// fn harvest(poller: &dyn Netpoll) -> ReadyList {
///     let mut ready = ReadyList::default();
///     poller.netpoll(PollWait::No, &mut ready);
///     ready
/// }
/// ```
#[derive(Default)]
pub struct ReadyList {
    pub(crate) gs: GQueue<g::G>,
}

/// Goroutines that polls have made runnable.
static READIED: AtomicU64 = AtomicU64::new(0);

/// Polls, and counts what that brings.
pub(crate) fn poll(wait: PollWait) -> ReadyList {
    let mut ready = ReadyList::default();
    poller().netpoll(wait, &mut ready);
    if !ready.gs.is_empty() {
        // Relaxed: a number. One addition for a harvest, by whoever has made it.
        READIED.fetch_add(ready.gs.len() as u64, Ordering::Relaxed);
    }
    ready
}

/// How many goroutines polls have made runnable so far.
pub(crate) fn readied() -> u64 {
    READIED.load(Ordering::Relaxed)
}

impl ReadyList {
    /// Adds a waiter: a goroutine is queued for the scheduler, a plain thread is woken here and now.
    ///
    /// # Safety
    /// As for [`crate::park::goready`]: the caller owes this waiter its wake-up.
    ///
    /// ```
    /// use gosched_runtime::park::{WaitReason, Waiter, gopark};
    /// use gosched_runtime::poller::ReadyList;
    ///
    /// unsafe fn commit(w: Waiter, _: *mut ()) -> bool {
    ///     // SAFETY: a plain thread, which nobody else knows to wait.
    ///     unsafe { ReadyList::default().push(w) };
    ///     true
    /// }
    /// // SAFETY: the commit readies this thread, once.
    /// unsafe { gopark(commit, std::ptr::null_mut(), WaitReason::Other) };
    /// ```
    pub unsafe fn push(&mut self, w: Waiter) {
        match w.head().kind() {
            // SAFETY: a head of this kind is a goroutine's; the caller owns its wake-up, so it is in no other list.
            WaiterKind::Goroutine => unsafe { g::G::of_waiter(w).push_ready(&mut self.gs) },
            WaiterKind::Thread => thread::wake(w),
            WaiterKind::World => crate::hook::ready(w),
        }
    }
}

static INSTALLED: OnceLock<&'static dyn Netpoll> = OnceLock::new();

/// Gives the scheduler its poller, for the rest of the process. Works before, during and without a `run`.
///
/// # Panics
/// When there is one already.
///
/// # Examples
/// ```
/// use gosched_runtime::poller::{Netpoll, PollWait, ReadyList, install};
/// # struct Mine;
/// # impl Netpoll for Mine {
/// #     fn netpoll(&self, wait: PollWait, _: &mut ReadyList) {
/// #         match wait {
/// #             PollWait::No => {}
/// #             _ => std::thread::sleep(std::time::Duration::from_millis(1)),
/// #         }
/// #     }
/// #     fn netpoll_break(&self) {}
/// #     fn is_active(&self) -> bool { false }
/// #     fn has_waiters(&self) -> bool { false }
/// # }
/// static POLLER: Mine = Mine; // implements Netpoll
/// install(&POLLER);
/// # unsafe { gosched_runtime::run(|| gosched_runtime::sleep(std::time::Duration::from_millis(1))) };
/// ```
pub fn install(poller: &'static dyn Netpoll) {
    assert!(INSTALLED.set(poller).is_ok(), "gosched: a network poller is already installed");
    // Whoever waits in the old one must come out and wait in the new one.
    if let Some(idle) = IDLE_POLLER.get() {
        idle.netpoll_break();
    }
}

/// The poller: the installed one, or the one that only waits for timers.
#[inline]
pub(crate) fn poller() -> &'static dyn Netpoll {
    match INSTALLED.get() {
        Some(p) => *p,
        None => IDLE_POLLER.get_or_init(IdlePoller::new),
    }
}

/// Whether polling can bring anything.
#[inline]
pub(crate) fn is_active() -> bool {
    INSTALLED.get().is_some_and(|p| p.is_active())
}

/// Whether anybody waits for a socket. Slow.
pub(crate) fn has_waiters() -> bool {
    INSTALLED.get().is_some_and(|p| p.has_waiters())
}

/// The poller of a program without sockets: waits for the next timer on a note, which `netpoll_break` ends.
struct IdlePoller {
    note: Note,
    /// The note has been or is being woken; whoever changes it to true does so.
    broken: AtomicBool,
}

static IDLE_POLLER: OnceLock<IdlePoller> = OnceLock::new();

impl IdlePoller {
    fn new() -> IdlePoller {
        IdlePoller { note: Note::new(), broken: AtomicBool::new(false) }
    }
}

impl Netpoll for IdlePoller {
    fn netpoll(&self, wait: PollWait, _ready: &mut ReadyList) {
        let woken = match wait {
            PollWait::No => return,
            PollWait::For(d) => self.note.notetsleep(Instant::now() + d),
            PollWait::Forever => {
                self.note.notesleep();
                true
            }
        };
        if woken {
            self.note.noteclear();
            // Release: the cleared note is seen by the next breaker, who acquires this word.
            self.broken.store(false, Ordering::Release);
        }
    }

    fn netpoll_break(&self) {
        if !self.broken.swap(true, Ordering::AcqRel) {
            self.note.notewakeup();
        }
    }

    fn is_active(&self) -> bool {
        false
    }

    fn has_waiters(&self) -> bool {
        false
    }
}
