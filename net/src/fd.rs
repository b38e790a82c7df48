//! A socket: its descriptor, and the one loop in which everything that can block is done.
//!
//! An [`Fd`] owns a descriptor number, its lock (fdmutex.rs) and its poll descriptor (polldesc.rs). The sockets of
//! std's interface are thin handles on an `Arc<Fd>`; clones of a socket share it.
//!
//! ```text
//!   open ─► IN USE ──close()──► CLOSED ──last reference──► RELEASED ──last handle──► gone
//!             │                 everybody parked           the kernel's socket       the number is
//!             │                 is sent away               is let go of, the         closed too
//!             │                                            number stays ours
//!             └──────────────────────last handle──────────────────────────────────► gone
//! ```
//! The number outlives the socket because a `BorrowedFd` may: between RELEASED and the end it stands for a placeholder,
//! put there in one step by dup3, so it never means somebody else's file. Nobody is in a system call on the socket then:
//! all use goes through a reference of the lock.
//!
//! ## The loop
//! Try first, park where the kernel says "later", try again (`run`). The word is reset *before* the system call, so an
//! edge that comes after the call's look is still there when we come to park.
//!
//! Errors are made of errno, which each thread has its own of, and the thread may be another after a park. The compiler does
//! not know that: it may ask once where errno is, at the head of the loop. So the call is made in a function of its own
//! (`apart`), which cannot park.
//!
//! ## Drained: saving the read that only says "later"
//! A TCP read that brings less than was asked for has emptied the socket's queue: it copies what there is and stops. So
//! instead of asking once more, the next read parks straight away, unless the word is Ready. This loses nothing:
//! - The word was reset before the short read. Data that the read did not bring came after it looked, hence after the
//!   reset, and its edge makes the word Ready.
//! - The mark falls whenever a Ready is taken off the word, by whatever operation (a `peek`, say): an edge is spent
//!   either way, and without the word nothing but the kernel knows whether there is data.
//! - What a read can stop short of, other than emptiness, shows in an event of its own, and that event leaves a mark for
//!   good (READ_STICKY): the end of the stream and errors, which may have shared an edge with the last data, and urgent
//!   data, where a read stops with more behind it. That mark is made before the word becomes Ready, so a read that saw
//!   the word reset after that event sees it.
//! - Where a short read means something else (Unix sockets stop at passed descriptors; protocols over TCP that the kernel
//!   unpacks) or where urgent data makes no event, the mark is never set: `short_counts`.
//!
//! Writes likewise: a short write has filled the buffer, the kernel promises an edge when there is room (`full`).
//!
//! ## Other people's descriptors
//! The holder of the descriptor is a type parameter: sockets of ours hold an `OwnedFd`, a `PollFd` (pollfd.rs) whatever
//! its user has. That one is asked for its descriptor each time, no number of it is kept. What is special there is
//! decided once, when it is taken over:
//! - A file that the system cannot watch (`watched` is false) has a poll descriptor all the same, for its deadlines and
//!   its end, but no wait: it never has to.
//! - A mode that was changed (`restore`) is set back when the descriptor leaves the poller's care.
//! - `cancel` closes the door as `close` does, and leaves the descriptor open (`let_go` is false): its holder may be a
//!   mere borrower.

use crate::deadline::Timeout;
use crate::fderror::{Saved, closed};
use crate::fdmutex::{FdMutex, Sema};
use crate::polldesc::{self, Mode, PollDesc, PollError};
use crate::poller::poller;
use crate::sys;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

mod end;
mod limits;

/// What sort of socket it is, as far as that matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A connection. `close` ends it for duplicates of the descriptor too.
    Stream,
    /// Others.
    Other,
}

/// The marks of one direction. Read and written under that direction's lock: the atomics are for sharing only.
struct Side {
    /// The last transfer was short (file head). For the writer: the buffer is full.
    spent: AtomicBool,
    /// std's time limit per call. Set by anybody.
    timeout: Timeout,
}

impl Side {
    const fn new() -> Side {
        Side { spent: AtomicBool::new(false), timeout: Timeout::new() }
    }
}

/// See the file's head.
pub(crate) struct Fd<S: AsFd = OwnedFd> {
    /// Open until drop, whatever it stands for.
    sock: S,
    /// Or why there is none. Used with a reference of `mutex` in hand.
    pd: Result<&'static PollDesc, Saved>,
    mutex: FdMutex,
    /// A unit once the socket is released: what `close` waits for.
    released: Sema,
    kind: Kind,
    /// Short transfers mean empty or full. Fixed.
    short_counts: bool,
    /// std's `set_nonblocking`.
    nonblocking: AtomicBool,
    /// The number was shown to somebody, who may have duplicated it.
    shown: AtomicBool,
    /// The poller knows of it. Fixed.
    watched: bool,
    /// It was in blocking mode before. Fixed.
    restore: bool,
    /// Its end is to let go of the kernel's socket, not only of the users. Set by `close`, who has closed the lock.
    let_go: AtomicBool,
    read: Side,
    write: Side,
}

/// A reference of the lock, with the poll descriptor.
struct Use<'a, S: AsFd>(&'a Fd<S>);

impl<S: AsFd> Drop for Use<'_, S> {
    fn drop(&mut self) {
        let after = self.0.mutex.decref();
        self.0.settle(after);
    }
}

/// The lock of one direction.
struct Locked<'a, S: AsFd>(&'a Fd<S>, Mode);

impl<S: AsFd> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        let after = self.0.mutex.rwunlock(self.1);
        self.0.settle(after);
    }
}

impl Fd {
    /// Takes a non-blocking socket into the poller's care. `tcp`: it is a TCP stream for sure.
    pub(crate) fn new(sock: OwnedFd, kind: Kind, tcp: bool) -> io::Result<Fd> {
        let fd = Fd::new_or_broken(sock, kind, tcp);
        match fd.pd {
            Ok(_) => Ok(fd),
            Err(e) => Err(e.into()),
        }
    }

    /// As `new`; where the poller cannot take it, every operation on the socket will say why.
    pub(crate) fn new_or_broken(sock: OwnedFd, kind: Kind, tcp: bool) -> Fd {
        let pd = register(sock.as_fd()).map_err(Saved::from);
        Fd::assemble(sock, kind, tcp, pd)
    }

    /// A socket of which every operation gives `e`.
    pub(crate) fn broken(sock: OwnedFd, kind: Kind, e: io::Error) -> Fd {
        Fd::assemble(sock, kind, false, Err(e.into()))
    }

    /// Takes over the time limits that std's methods have left in the kernel.
    pub(crate) fn adopt_timeouts(&self) {
        let sock = socket2::SockRef::from(&self.sock);
        self.read.timeout.set(sock.read_timeout().unwrap_or(None));
        self.write.timeout.set(sock.write_timeout().unwrap_or(None));
    }

    /// The descriptor, for somebody outside, out of the poller's care. The last handle gives its own, in blocking mode
    /// unless `set_nonblocking(true)` was called; others give a duplicate.
    pub(crate) fn into_owned(this: Arc<Fd>) -> io::Result<OwnedFd> {
        let (sock, nonblocking) = match Arc::try_unwrap(this) {
            Ok(fd) => {
                let nonblocking = fd.nonblocking.load(Ordering::Relaxed);
                (fd.into_holder(), nonblocking)
            }
            Err(shared) => {
                let dup = shared.show().try_clone_to_owned()?;
                // The mode belongs to the open file, which ours shares. A stream's calls do not depend on it (sys), an
                // accept would block the thread.
                (dup, shared.nonblocking.load(Ordering::Relaxed) || shared.kind == Kind::Other)
            }
        };
        if !nonblocking {
            socket2::SockRef::from(&sock).set_nonblocking(false)?;
        }
        Ok(sock)
    }
}

impl<S: AsFd> Fd<S> {
    /// Takes a descriptor that somebody else has made. `restore`: it was in blocking mode before.
    pub(crate) fn foreign(io: S, restore: bool) -> io::Result<Fd<S>> {
        let (pd, watched) = match register(io.as_fd()) {
            Err(e) if sys::cannot_be_watched(&e) => (polldesc::alloc()?, false),
            r => (r?, true),
        };
        let mut fd = Fd::assemble(io, Kind::Other, false, Ok(pd));
        (fd.watched, fd.restore) = (watched, restore);
        // Its holder has had it before us, and may have duplicated it.
        fd.shown.store(true, Ordering::Relaxed);
        Ok(fd)
    }

    fn assemble(sock: S, kind: Kind, tcp: bool, pd: Result<&'static PollDesc, Saved>) -> Fd<S> {
        Fd {
            sock,
            pd,
            mutex: FdMutex::new(),
            released: Sema::new(),
            kind,
            short_counts: tcp && sys::SHORT_READS_COUNT,
            nonblocking: AtomicBool::new(false),
            shown: AtomicBool::new(false),
            watched: true,
            restore: false,
            let_go: AtomicBool::new(false),
            read: Side::new(),
            write: Side::new(),
        }
    }

    /// The value that holds the descriptor.
    pub(crate) fn holder(&self) -> &S {
        &self.sock
    }

    /// Whether `close` or `cancel` was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.mutex.is_closed()
    }

    /// Whether the poller knows of it: see the file's head.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    fn side(&self, mode: Mode) -> &Side {
        match mode {
            Mode::Read => &self.read,
            Mode::Write => &self.write,
        }
    }

    fn raw(&self) -> RawFd {
        self.sock.as_fd().as_raw_fd()
    }

    /// The number, for somebody outside. Stays open as long as the handle that it is borrowed from.
    pub(crate) fn show(&self) -> BorrowedFd<'_> {
        self.shown.store(true, Ordering::Relaxed);
        self.sock.as_fd()
    }

    /// The number, for printing.
    pub(crate) fn number(&self) -> RawFd {
        self.raw()
    }

    fn enter(&self) -> io::Result<(Use<'_, S>, &'static PollDesc)> {
        self.mutex.incref()?;
        let held = Use(self);
        Ok((held, self.pd?))
    }

    /// Something that does not block, an option for instance.
    pub(crate) fn with<T>(&self, f: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let _in_use = self.enter()?;
        f(self.sock.as_fd())
    }

    // ---------------------------------------------------------------------------------------------- the loop

    /// The loop of the file's head. `op` is a system call; `short` says of its result that it has drained (filled) the
    /// socket.
    #[inline]
    fn run<T>(
        &self,
        mode: Mode,
        mut op: impl FnMut(&S) -> io::Result<T>,
        short: impl FnOnce(&T) -> bool,
    ) -> io::Result<T> {
        if self.nonblocking.load(Ordering::Relaxed) {
            return self.run_nonblocking(op);
        }
        self.mutex.rwlock(mode)?;
        let _locked = Locked(self, mode);
        let pd = self.pd?;
        let side = self.side(mode);
        let mut limit = None;
        if pd.prepare(mode)? {
            side.spent.store(false, Ordering::Relaxed);
        } else if side.spent.load(Ordering::Relaxed) {
            self.park(pd, mode, &mut limit)?;
        }
        loop {
            match apart(|| op(&self.sock)) {
                Ok(v) => {
                    if self.short_counts && short(&v) && pd.short_means_empty(mode) {
                        side.spent.store(true, Ordering::Relaxed);
                    }
                    return Ok(v);
                }
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock => self.park(pd, mode, &mut limit)?,
                    io::ErrorKind::Interrupted => {}
                    // What `close` does to the connection looks like an error of its own to those who are in here.
                    _ if self.mutex.is_closed() => return Err(closed()),
                    _ => return Err(e),
                },
            }
        }
    }

    /// Parks until the direction is ready. The call's own time limit begins with its first park.
    #[cold]
    fn park(&self, pd: &'static PollDesc, mode: Mode, limit: &mut Option<Instant>) -> io::Result<()> {
        if !self.watched {
            // A file says this only where somebody else's lock or quota does, and no event would follow.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let side = self.side(mode);
        if limit.is_none() {
            *limit = side.timeout.counted_from_now();
        }
        pd.wait(mode, *limit)?;
        side.spent.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The loop for a holder that its operations change. Nobody else is in, and nobody can come.
    pub(crate) fn run_mut<T>(
        &mut self,
        mode: Mode,
        mut op: impl FnMut(&mut S) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.mutex.is_closed() {
            return Err(closed());
        }
        let pd = self.pd?;
        pd.prepare(mode)?;
        loop {
            match apart(|| op(&mut self.sock)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.park(pd, mode, &mut None)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Where the user asked for `WouldBlock`: no word, no marks, no turn to wait for, just the call.
    #[cold]
    fn run_nonblocking<T>(&self, mut op: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        let _in_use = self.enter()?;
        loop {
            match apart(|| op(&self.sock)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Reads up to `len` bytes from a stream.
    #[inline]
    pub(crate) fn read(&self, len: usize, op: impl FnMut(RawFd) -> io::Result<usize>) -> io::Result<usize> {
        self.read_or_peek(len, op, |&n| 0 < n && n < len)
    }

    /// Reads up to `len` bytes without taking them off the stream: says nothing about what is behind them.
    pub(crate) fn peek(&self, len: usize, op: impl FnMut(RawFd) -> io::Result<usize>) -> io::Result<usize> {
        self.read_or_peek(len, op, |_| false)
    }

    #[inline]
    fn read_or_peek(
        &self,
        len: usize,
        op: impl FnMut(RawFd) -> io::Result<usize>,
        short: impl FnOnce(&usize) -> bool,
    ) -> io::Result<usize> {
        if len == 0 {
            // Nothing to wait for, and nobody's turn.
            self.enter()?;
            return Ok(0);
        }
        match self.run(Mode::Read, by_number(op), short)? {
            // The end that `close` has made is not the other side's.
            0 if self.mutex.is_closed() => Err(closed()),
            n => Ok(n),
        }
    }

    /// Writes up to `len` bytes to a stream.
    #[inline]
    pub(crate) fn write(&self, len: usize, op: impl FnMut(RawFd) -> io::Result<usize>) -> io::Result<usize> {
        self.run(Mode::Write, by_number(op), |&n| 0 < n && n < len)
    }

    /// Anything else that may have to wait.
    pub(crate) fn call<T>(&self, mode: Mode, op: impl FnMut(RawFd) -> io::Result<T>) -> io::Result<T> {
        self.run(mode, by_number(op), |_| false)
    }

    /// As `call`, with the holder of the descriptor.
    pub(crate) fn call_holder<T>(&self, mode: Mode, op: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        self.run(mode, op, |_| false)
    }

    /// A wait for the other side of `connect`: until `done` says so, or `limit` passes.
    pub(crate) fn wait_connected(
        &self,
        limit: Option<Instant>,
        mut done: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.mutex.rwlock(Mode::Write)?;
        let _locked = Locked(self, Mode::Write);
        let pd = self.pd?;
        loop {
            match pd.wait(Mode::Write, limit) {
                Ok(()) => {}
                Err(PollError::Limit) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
                }
                Err(e) => return Err(e.into()),
            }
            if apart(|| done(self.sock.as_fd()))? {
                return Ok(());
            }
        }
    }

    /// Sleeps; ended early by `close` and by the deadline of the direction.
    pub(crate) fn pause(&self, mode: Mode, d: Duration) -> io::Result<()> {
        self.mutex.rwlock(mode)?;
        let _locked = Locked(self, mode);
        Ok(self.pd?.pause(mode, Instant::now() + d)?)
    }
}

impl<S: AsFd> Drop for Fd<S> {
    fn drop(&mut self) {
        if !self.mutex.is_closed() {
            self.unwatch(self.shown.load(Ordering::Relaxed));
        }
    }
}

/// A system call and what it leaves in errno: see the file's head.
#[inline(never)]
fn apart<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Makes the poller watch a descriptor.
fn register(sock: BorrowedFd<'_>) -> io::Result<&'static PollDesc> {
    let poller = poller()?;
    // So that `close` will not need a descriptor when there is none left.
    placeholder()?;
    let pd = polldesc::alloc()?;
    if let Err(e) = poller.register(sock.as_raw_fd(), pd) {
        // SAFETY: from alloc; not registered, so nobody knows of it.
        unsafe { polldesc::free(pd) };
        return Err(e);
    }
    Ok(pd)
}

/// An operation that wants no more than the number.
#[inline]
fn by_number<S: AsFd, T>(mut op: impl FnMut(RawFd) -> io::Result<T>) -> impl FnMut(&S) -> io::Result<T> {
    move |s| op(s.as_fd().as_raw_fd())
}

/// The descriptor that closed sockets' numbers stand for. Made at the first `close` and kept.
fn placeholder() -> io::Result<BorrowedFd<'static>> {
    static PLACEHOLDER: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(p) = PLACEHOLDER.get() {
        return Ok(p.as_fd());
    }
    let made = sys::placeholder()?;
    // Where two make one, the second is closed again.
    Ok(PLACEHOLDER.get_or_init(|| made).as_fd())
}
