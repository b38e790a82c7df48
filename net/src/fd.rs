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

use crate::deadline::Timeout;
use crate::fdmutex::{After, Closed, FdMutex, Sema};
use crate::polldesc::{self, Mode, PollDesc, PollError};
use crate::poller::poller;
use crate::sys;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What a closed socket says (Go: net.ErrClosed).
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "use of closed network connection")
}

impl From<Closed> for io::Error {
    fn from(_: Closed) -> io::Error {
        closed()
    }
}

impl From<PollError> for io::Error {
    fn from(e: PollError) -> io::Error {
        match e {
            PollError::Closing => closed(),
            PollError::Deadline => io::Error::new(io::ErrorKind::TimedOut, "i/o timeout"),
            PollError::Limit => sys::timed_out_like_std(),
        }
    }
}

/// An error that can be given out again and again.
#[derive(Clone, Copy)]
struct Saved {
    kind: io::ErrorKind,
    os: Option<i32>,
}

impl From<io::Error> for Saved {
    fn from(e: io::Error) -> Saved {
        Saved { kind: e.kind(), os: e.raw_os_error() }
    }
}

impl From<Saved> for io::Error {
    fn from(e: Saved) -> io::Error {
        e.os.map_or(e.kind.into(), io::Error::from_raw_os_error)
    }
}

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
pub(crate) struct Fd {
    /// Open until drop, whatever it stands for.
    sock: OwnedFd,
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
    read: Side,
    write: Side,
}

/// A reference of the lock, with the poll descriptor.
struct Use<'a>(&'a Fd);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        let after = self.0.mutex.decref();
        self.0.settle(after);
    }
}

/// The lock of one direction.
struct Locked<'a>(&'a Fd, Mode);

impl Drop for Locked<'_> {
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
        let pd = Fd::register(&sock).map_err(Saved::from);
        Fd::assemble(sock, kind, tcp, pd)
    }

    /// Takes over the time limits that std's methods have left in the kernel.
    pub(crate) fn adopt_timeouts(&self) {
        let sock = socket2::SockRef::from(&self.sock);
        self.read.timeout.set(sock.read_timeout().unwrap_or(None));
        self.write.timeout.set(sock.write_timeout().unwrap_or(None));
    }

    /// A socket of which every operation gives `e`.
    pub(crate) fn broken(sock: OwnedFd, kind: Kind, e: io::Error) -> Fd {
        Fd::assemble(sock, kind, false, Err(e.into()))
    }

    fn assemble(sock: OwnedFd, kind: Kind, tcp: bool, pd: Result<&'static PollDesc, Saved>) -> Fd {
        Fd {
            sock,
            pd,
            mutex: FdMutex::new(),
            released: Sema::new(),
            kind,
            short_counts: tcp && sys::SHORT_READS_COUNT,
            nonblocking: AtomicBool::new(false),
            shown: AtomicBool::new(false),
            read: Side::new(),
            write: Side::new(),
        }
    }

    fn register(sock: &OwnedFd) -> io::Result<&'static PollDesc> {
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

    fn side(&self, mode: Mode) -> &Side {
        match mode {
            Mode::Read => &self.read,
            Mode::Write => &self.write,
        }
    }

    fn raw(&self) -> RawFd {
        self.sock.as_raw_fd()
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

    fn enter(&self) -> io::Result<(Use<'_>, &'static PollDesc)> {
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
        mut op: impl FnMut(RawFd) -> io::Result<T>,
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
            match op(self.raw()) {
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
    fn park(&self, pd: &PollDesc, mode: Mode, limit: &mut Option<Instant>) -> io::Result<()> {
        let side = self.side(mode);
        if limit.is_none() {
            *limit = side.timeout.counted_from_now();
        }
        pd.wait(mode, *limit)?;
        side.spent.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Where the user asked for `WouldBlock`: no word, no marks, no turn to wait for, just the call.
    #[cold]
    fn run_nonblocking<T>(&self, mut op: impl FnMut(RawFd) -> io::Result<T>) -> io::Result<T> {
        let _in_use = self.enter()?;
        loop {
            match op(self.raw()) {
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
        match self.run(Mode::Read, op, short)? {
            // The end that `close` has made is not the other side's.
            0 if self.mutex.is_closed() => Err(closed()),
            n => Ok(n),
        }
    }

    /// Writes up to `len` bytes to a stream.
    #[inline]
    pub(crate) fn write(&self, len: usize, op: impl FnMut(RawFd) -> io::Result<usize>) -> io::Result<usize> {
        self.run(Mode::Write, op, |&n| 0 < n && n < len)
    }

    /// Anything else that may have to wait.
    pub(crate) fn call<T>(&self, mode: Mode, op: impl FnMut(RawFd) -> io::Result<T>) -> io::Result<T> {
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
            if done(self.sock.as_fd())? {
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

    // --------------------------------------------------------------------------------------- limits and modes

    pub(crate) fn set_deadline(&self, modes: &[Mode], to: Option<Instant>) -> io::Result<()> {
        let (_in_use, pd) = self.enter()?;
        for &mode in modes {
            pd.set_deadline(mode, to);
        }
        Ok(())
    }

    pub(crate) fn set_timeout(&self, mode: Mode, d: Option<Duration>) -> io::Result<()> {
        if d == Some(Duration::ZERO) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        let _in_use = self.enter()?;
        self.side(mode).timeout.set(d);
        // The kernel does not use it on a non-blocking socket, but keeps it for std's, should this one become that.
        let sock = socket2::SockRef::from(&self.sock);
        match mode {
            Mode::Read => sock.set_read_timeout(d),
            Mode::Write => sock.set_write_timeout(d),
        }
    }

    pub(crate) fn timeout(&self, mode: Mode) -> io::Result<Option<Duration>> {
        let _in_use = self.enter()?;
        Ok(self.side(mode).timeout.get())
    }

    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        let _in_use = self.enter()?;
        self.nonblocking.store(on, Ordering::Relaxed);
        Ok(())
    }

    /// When a call that starts now must end by the time limit per call.
    pub(crate) fn limit(&self, mode: Mode) -> Option<Instant> {
        self.side(mode).timeout.counted_from_now()
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    // --------------------------------------------------------------------------------------------- the end

    /// Closes the socket under everybody who uses it; returns once it is released.
    pub(crate) fn close(&self) -> io::Result<()> {
        // Before anything is done that cannot be taken back.
        placeholder()?;
        self.mutex.incref_and_close()?;
        let held = Use(self);
        if let Ok(pd) = self.pd {
            pd.evict();
        }
        if self.kind == Kind::Stream {
            sys::shutdown_both(self.sock.as_fd());
        }
        drop(held);
        self.released.acquire();
        Ok(())
    }

    #[inline]
    fn settle(&self, after: After) {
        if after == After::Release {
            self.release_slow();
        }
    }

    /// Closed, and nobody uses it any more: lets go of the kernel's socket. Runs once.
    #[cold]
    fn release_slow(&self) {
        self.unwatch(true);
        if let Ok(p) = placeholder() {
            // It cannot fail with two open descriptors; if it did, the socket would live until the last handle drops.
            let _ = sys::replace(self.sock.as_fd(), p);
        }
        self.released.release();
    }

    /// Takes the socket out of the poller. `open`: the kernel's socket may live on.
    fn unwatch(&self, open: bool) {
        let (Ok(pd), Ok(poller)) = (self.pd, poller()) else { return };
        if open {
            poller.deregister(self.raw());
        } else {
            // The kernel stops watching with the close of the only descriptor, at no extra call.
            poller.forget();
        }
        // SAFETY: called once per Fd, where nobody has a reference nor can get one: after Release, or by the last
        // handle of a socket that was never closed.
        unsafe { polldesc::free(pd) };
    }

    /// The descriptor, for somebody outside, out of the poller's care. The last handle gives its own, in blocking mode
    /// unless `set_nonblocking(true)` was called; others give a duplicate.
    pub(crate) fn into_owned(this: Arc<Fd>) -> io::Result<OwnedFd> {
        let (sock, nonblocking) = match Arc::try_unwrap(this) {
            Ok(fd) => {
                if !fd.mutex.is_closed() {
                    fd.unwatch(true);
                }
                let fd = ManuallyDrop::new(fd);
                // SAFETY: `fd` is never dropped nor used again, so this is a move. Its other fields own nothing.
                (unsafe { std::ptr::read(&fd.sock) }, fd.nonblocking.load(Ordering::Relaxed))
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

impl Drop for Fd {
    fn drop(&mut self) {
        if !self.mutex.is_closed() {
            self.unwatch(self.shown.load(Ordering::Relaxed));
        }
    }
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
