//! What the scheduler asks of a network poller (Go: runtime/netpoll.go). The poller itself lives in `gosched-net`; this
//! crate knows no socket.
//!
//! The scheduler calls `netpoll` from three places: `findrunnable` without waiting, the last M that goes idle with
//! waiting, and sysmon when nobody has polled for 10 ms. At most one thread *waits* in it at any time (`Sched.lastpoll`
//! is the token), though another may poll without waiting meanwhile.

use crate::glist::GQueue;
use crate::note::Note;
use crate::waiter::{Waiter, WaiterKind};
use crate::{g, thread};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a poll may wait for the first event.
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
pub trait Netpoll: Sync {
    /// Waits for readiness and pushes every waiter whose socket became ready on `ready`.
    fn netpoll(&self, wait: PollWait, ready: &mut ReadyList);

    /// Ends a waiting `netpoll` of another thread; if none waits, the next one returns at once.
    fn netpoll_break(&self);

    /// Whether polling can bring anything: some descriptor is registered. Cheap, asked in every search for work.
    fn is_active(&self) -> bool;

    /// Whether anybody waits for a socket now. May be slow (a scan): asked only before a deadlock is declared. Not a
    /// counter, because that would be one word written by all Ps at every park.
    fn has_waiters(&self) -> bool;
}

/// The waiters that a poll made ready, in the order of their events.
#[derive(Default)]
pub struct ReadyList {
    pub(crate) gs: GQueue<g::G>,
}

impl ReadyList {
    /// Adds a waiter: a goroutine is queued for the scheduler, a plain thread is woken here and now.
    ///
    /// # Safety
    /// As for [`crate::park::goready`]: the caller owes this waiter its wake-up.
    pub unsafe fn push(&mut self, w: Waiter) {
        match w.head().kind {
            // SAFETY: a head of this kind is a goroutine's; the caller owns its wake-up, so it is in no other list.
            WaiterKind::Goroutine => unsafe { g::G::of_waiter(w).push_ready(&mut self.gs) },
            WaiterKind::Thread => thread::wake(w),
        }
    }
}

static INSTALLED: OnceLock<&'static dyn Netpoll> = OnceLock::new();

/// Gives the scheduler its poller, for the rest of the process. Works before, during and without a `run`.
///
/// # Panics
/// When there is one already.
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
