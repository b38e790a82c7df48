//! The network poller: mio's epoll (or kqueue) behind the scheduler's [`Netpoll`] seam (Go: runtime/netpoll_epoll.go).
//!
//! There is one, made with the first socket and kept for the rest of the process. It owns the epoll instance, the waker
//! and the buffer of events; it owns no socket.
//!
//! ```text
//!   open a socket ─► register: one epoll_ctl, both directions, edge-triggered, for the socket's life
//!   the scheduler ─► netpoll: epoll_wait ─► events ─► polldesc::deliver ─► waiters on the ReadyList
//!   any thread    ─► netpoll_break: eventfd ─► ends the wait above
//! ```
//! Edges are enough, and the only kind that costs nothing while nobody waits: a word remembers an edge (Ready) until
//! somebody uses it, and whoever finds a socket not ready has reset the word before it looked (parkword.rs).
//!
//! ## Breaking a wait
//! `wake_pending` says that a wake-up was asked for and no waiting poll has returned for it yet; it keeps a crowd of
//! breakers from writing to the eventfd once each (Go: netpollWakeSig).
//! - A *waiting* poll looks at it after taking the lock, and does not wait where it is set. So it does not matter if a
//!   poll that does not wait has swallowed the eventfd's edge meanwhile: that one leaves the mark alone.
//! - It clears the mark only when it is about to return at once. A break that comes after the clearing writes to the
//!   eventfd again: the next wait ends early, for nothing, which is allowed; none is missed, which is not.

use crate::polldesc::{self, PollDesc, Readiness, Tag};
use crate::sys;
use gosched_runtime::faults::{self, Point};
use gosched_runtime::poller::{Netpoll, PollWait, ReadyList, install, wanted};
use mio::{Events, Poll, Registry, Token, Waker};
use parking_lot::Mutex;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Events harvested in one poll. What is left over stays in the kernel for the next.
const EVENTS_PER_POLL: usize = 1024;

/// Below this a wait is exact to the nanosecond, where the system can; above it mio's milliseconds do.
const FINE_WAIT: Duration = Duration::from_millis(20);

/// The waker's events. No tag packs to it.
const WAKER: Token = Token(usize::MAX);

pub(crate) struct Poller {
    registry: Registry,
    waker: Waker,
    /// See the file's head. Set by breakers, cleared by the waiting poll.
    wake_pending: AtomicBool,
    /// Registered sockets. Written at open and close only.
    registered: AtomicUsize,
    /// Held while polling, waiting included.
    state: Mutex<State>,
}

struct State {
    poll: Poll,
    events: Events,
}

static POLLER: OnceLock<Poller> = OnceLock::new();

/// The poller. The first call makes it and hands it to the scheduler; where that fails, the next call tries again.
pub(crate) fn poller() -> io::Result<&'static Poller> {
    match POLLER.get() {
        Some(p) => Ok(p),
        None => make_slow(),
    }
}

#[cold]
fn make_slow() -> io::Result<&'static Poller> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock();
    if let Some(p) = POLLER.get() {
        return Ok(p);
    }
    let made = Poller::new()?;
    let p = POLLER.get_or_init(|| made);
    install(p);
    Ok(p)
}

impl Poller {
    fn new() -> io::Result<Poller> {
        faults::check(Point::Poller)?;
        let poll = Poll::new()?;
        faults::check(Point::Poller)?;
        let registry = poll.registry().try_clone()?;
        faults::check(Point::Poller)?;
        let waker = Waker::new(&registry, WAKER)?;
        Ok(Poller {
            registry,
            waker,
            wake_pending: AtomicBool::new(false),
            registered: AtomicUsize::new(0),
            state: Mutex::new(State { poll, events: Events::with_capacity(EVENTS_PER_POLL) }),
        })
    }

    /// Watches `fd`; its events go to `pd`. What is ready already counts as an edge.
    pub(crate) fn register(&self, fd: RawFd, pd: &PollDesc) -> io::Result<()> {
        sys::register(&self.registry, fd, Token(pd.tag().pack()))?;
        // Relaxed: an M that goes idle asks `is_active` behind a fence, and `wanted` has the other.
        if self.registered.fetch_add(1, Ordering::Relaxed) == 0 {
            wanted();
        }
        Ok(())
    }

    /// Stops watching a descriptor that lives on, here or as a duplicate elsewhere.
    pub(crate) fn deregister(&self, fd: RawFd) {
        // An error says that it is not watched any more, and that is the aim.
        let _ = sys::deregister(&self.registry, fd);
        self.forget();
    }

    /// A watched descriptor was closed, and with it the kernel's watch.
    pub(crate) fn forget(&self) {
        self.registered.fetch_sub(1, Ordering::Relaxed);
    }

    fn poll(&self, state: &mut State, wait: PollWait, ready: &mut ReadyList) {
        let State { poll, events } = state;
        let mut timeout = match wait {
            PollWait::No => Some(Duration::ZERO),
            PollWait::For(d) => Some(d),
            PollWait::Forever => None,
        };
        let waiting = timeout != Some(Duration::ZERO);
        // Acquire: pairs with the Release in netpoll_break; what the breaker changed is seen after this poll.
        if waiting && self.wake_pending.swap(false, Ordering::Acquire) {
            timeout = Some(Duration::ZERO);
        }
        if let Some(d) = timeout
            && d < FINE_WAIT
            && d.subsec_nanos() % 1_000_000 != 0
            && sys::wait_readable(poll, d)
        {
            timeout = Some(Duration::ZERO);
        }
        match faults::check(Point::Wait).and_then(|()| poll.poll(events, timeout)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return,
            Err(e) => {
                // Nothing that can be done about it, and nobody to tell: every goroutine on a socket would hang.
                eprintln!("fatal error: gosched: polling the network failed: {e}");
                std::process::abort();
            }
        }
        for event in events.iter() {
            if event.token() == WAKER {
                if waiting {
                    // Acquire: as above.
                    self.wake_pending.swap(false, Ordering::Acquire);
                }
                continue;
            }
            let (r, w, e) = (event.is_read_closed(), event.is_write_closed(), event.is_error());
            let what = Readiness {
                read: event.is_readable() || r || e,
                write: event.is_writable() || w || e,
                read_sticky: r || e || event.is_priority(),
                write_sticky: w || e,
            };
            polldesc::deliver(Tag::unpack(event.token().0), what, ready);
        }
    }
}

impl Netpoll for Poller {
    fn netpoll(&self, wait: PollWait, ready: &mut ReadyList) {
        // Who holds the lock harvests, or waits and is woken by the same events.
        if let Some(mut state) = self.state.try_lock() {
            self.poll(&mut state, wait, ready);
            return;
        }
        match wait {
            PollWait::No => {}
            PollWait::Forever => self.poll(&mut self.state.lock(), wait, ready),
            // Only one thread is to wait at a time, but one may be on its way out still. Not beyond our time, in any case.
            PollWait::For(d) => {
                let start = Instant::now();
                if let Some(mut state) = self.state.try_lock_for(d) {
                    self.poll(&mut state, PollWait::For(d.saturating_sub(start.elapsed())), ready);
                }
            }
        }
    }

    fn netpoll_break(&self) {
        // Release: pairs with the Acquire of the waiting poll. AcqRel so that breakers pass on each other's writes.
        if self.wake_pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(e) = self.waker.wake() {
            eprintln!("fatal error: gosched: waking the network poller failed: {e}");
            std::process::abort();
        }
    }

    fn is_active(&self) -> bool {
        self.registered.load(Ordering::Relaxed) != 0
    }

    fn has_waiters(&self) -> bool {
        polldesc::has_waiters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(p: &Poller, d: Duration) -> Duration {
        let start = Instant::now();
        p.netpoll(PollWait::For(d), &mut ReadyList::default());
        start.elapsed()
    }

    #[test]
    fn a_short_wait_is_exact_below_a_millisecond() {
        let p = Poller::new().unwrap();
        let asked = Duration::from_micros(300);
        let best = (0..20).map(|_| wait(&p, asked)).min().unwrap();
        assert!(best >= asked && best < Duration::from_millis(1), "{best:?}");
    }

    #[test]
    fn a_wait_behind_another_ones_ends_in_time() {
        let p = Poller::new().unwrap();
        std::thread::scope(|s| {
            s.spawn(|| p.netpoll(PollWait::Forever, &mut ReadyList::default()));
            while !p.state.is_locked() {
                std::thread::yield_now();
            }
            let asked = Duration::from_millis(10);
            let waited = wait(&p, asked);
            p.netpoll_break();
            assert!(waited >= asked && waited < Duration::from_secs(10), "{waited:?}");
        });
    }

    #[test]
    fn a_break_ends_the_wait_of_another_thread() {
        let p = Poller::new().unwrap();
        for _ in 0..200 {
            std::thread::scope(|s| {
                s.spawn(|| p.netpoll_break());
                assert!(wait(&p, Duration::from_secs(30)) < Duration::from_secs(10));
            });
        }
    }

    #[test]
    fn a_break_that_a_nonwaiting_poll_swallowed_still_ends_the_next_wait() {
        let p = Poller::new().unwrap();
        p.netpoll_break();
        p.netpoll_break();
        p.netpoll(PollWait::No, &mut ReadyList::default());
        assert!(wait(&p, Duration::from_secs(30)) < Duration::from_secs(10));
        // And ends only that one.
        let asked = Duration::from_millis(30);
        assert!(wait(&p, asked) >= asked);
    }
}
