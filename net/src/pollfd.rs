//! Readiness for descriptors that are not sockets of ours: pipes, timers, event counters, a child's ends, a socket of
//! some other crate.
//!
//! A [`PollFd`] owns a value that has a descriptor, and the poller's interest in that descriptor. It knows nothing of what
//! the descriptor is: the user says which call to make, the loop of fd.rs makes it and parks where it says `WouldBlock`.
//!
//! There are three sorts of descriptor, told apart once, when the value is taken over:
//!
//! ```text
//!   Calls        mode          how a call finds out that it must wait     and when it has not to
//!   ─────        ────          ──────────────────────────────────────     ──────────────────────
//!   Itself       non-blocking  it says so itself                          here and now
//!   AskFirst     as it was     poll(2) says so before the call            announced (syscall): it may block after all
//!   Never        as it was     it never has to (a file on a disk)         announced (syscall)
//! ```
//! AskFirst is for open files that other processes share, a terminal above all: non-blocking mode belongs to the open
//! file, and would be theirs too.
//!
//! ## What is not relied upon
//! That the value gives the same descriptor each time, or keeps it open: it is asked anew for every call, and an event of
//! a descriptor that it has let go of is a readiness without cause.

use crate::fd::Fd;
use crate::polldesc::Mode;
use crate::sys;
use gosched_runtime::syscall;
use socket2::SockRef;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

mod traits;

/// See the file's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Calls {
    Itself,
    AskFirst,
    Never,
}

impl Calls {
    /// Makes one call, or says `WouldBlock`.
    #[inline]
    fn make<R>(self, mode: Mode, fd: BorrowedFd<'_>, op: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Calls::Itself => op(),
            Calls::AskFirst => {
                sys::ready_now(fd, mode == Mode::Write)?;
                syscall(op)
            }
            Calls::Never => syscall(op),
        }
    }
}

/// A value with a descriptor whose calls park the goroutine where they would block the thread.
///
/// Any [`AsFd`] value will do: a pipe, a timerfd, an eventfd, a pidfd, a child's stdin, a socket of another crate, a
/// reference to one of these. `Read` and `Write` are there for `PollFd<T>` where `T` has them, and for `&PollFd<T>` where
/// `&T` has them; any other call goes through [`read_with`](PollFd::read_with) and
/// [`write_with`](PollFd::write_with). One reader and one writer are inside at a time; others wait for their turn.
///
/// A file that never has to be waited for (on a disk, /dev/null) is taken too: its calls block the thread, announced to
/// the scheduler by [`syscall`]. Its deadlines hold between calls only.
///
/// One descriptor can be in one `PollFd` at a time, and in none while it is one of this crate's sockets: the second
/// [`new`](PollFd::new) fails with `AlreadyExists`.
///
/// # Examples
/// ```
/// use gosched_net::PollFd;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let (reader, writer) = std::io::pipe()?;
///         let (mut reader, mut writer) = (PollFd::new(reader)?, PollFd::new(writer)?);
///         let reading = gosched_runtime::spawn(move || {
///             let mut all = String::new();
///             reader.read_to_string(&mut all).map(|_| all) // parks until the writer is dropped
///         });
///         writer.write_all(b"hello")?;
///         drop(writer);
///         assert_eq!(reading.join().unwrap()?, "hello");
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct PollFd<T: AsFd> {
    fd: Fd<T>,
    calls: Calls,
}

impl<T: AsFd> PollFd<T> {
    /// Takes the value over and makes its descriptor non-blocking. It is set back, if it was blocking, by
    /// [`into_inner`](PollFd::into_inner), by [`cancel`](PollFd::cancel), and when this is dropped. Does not park.
    ///
    /// The mode belongs to the open file: it holds for every duplicate of the descriptor, in other processes too. Where
    /// that is not wanted, take [`new_blocking`](PollFd::new_blocking).
    ///
    /// # Errors
    /// `AlreadyExists` where the descriptor is watched already; the system's, where its mode cannot be changed or there
    /// is no room to watch it. The value is dropped then.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, _writer) = std::io::pipe()?;
    ///     let first = gosched_net::PollFd::new(&reader)?;
    ///     assert_eq!(gosched_net::PollFd::new(&reader).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    ///     drop(first);
    ///     gosched_net::PollFd::new(reader)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn new(io: T) -> io::Result<PollFd<T>> {
        let was_blocking = !SockRef::from(&io).nonblocking()?;
        let fd = Fd::foreign(io, was_blocking)?;
        if !fd.is_watched() {
            return Ok(PollFd { fd, calls: Calls::Never });
        }
        if was_blocking {
            SockRef::from(fd.holder()).set_nonblocking(true)?;
        }
        Ok(PollFd { fd, calls: Calls::Itself })
    }

    /// Takes the value over and leaves its mode alone: for open files that others share, such as a terminal or an
    /// inherited stdin. Before each call poll(2) is asked whether it would have to wait. Does not park.
    ///
    /// A call may block the thread all the same: where another reader was faster, or where less can be written than is
    /// asked for. It is announced to the scheduler, so that it holds nobody else up.
    ///
    /// # Errors
    /// As for [`new`](PollFd::new).
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let mut reader = gosched_net::PollFd::new_blocking(reader)?;
    ///     gosched_runtime::go(move || std::io::Write::write_all(&mut writer, b"x").unwrap());
    ///     assert_eq!(reader.read(&mut [0; 8])?, 1);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn new_blocking(io: T) -> io::Result<PollFd<T>> {
        let fd = Fd::foreign(io, false)?;
        let calls = if fd.is_watched() { Calls::AskFirst } else { Calls::Never };
        Ok(PollFd { fd, calls })
    }

    /// Calls `op` until it gives something other than `WouldBlock` (or `Interrupted`); parks before each further call
    /// until the descriptor can be read from. `op` must not itself use this `PollFd` for reading: it would wait for
    /// itself.
    ///
    /// # Errors
    /// Those of `op`; `TimedOut` when the read deadline passes; `use of closed network connection` after
    /// [`close`](PollFd::close) or [`cancel`](PollFd::cancel).
    ///
    /// # Examples
    /// ```
    /// use gosched_net::PollFd;
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = std::os::unix::net::UnixStream::pair()?;
    ///     let (a, b) = (PollFd::new(a)?, PollFd::new(b)?);
    ///     a.write_with(|mut a| a.write_all(b"hi"))?;
    ///     let mut buf = [0; 8];
    ///     assert_eq!(b.read_with(|mut b| b.read(&mut buf))?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.call(Mode::Read, op)
    }

    /// As [`read_with`](PollFd::read_with), for writing: parks until the descriptor can be written to.
    ///
    /// # Errors
    /// As for that, with the write deadline.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     let writer = gosched_net::PollFd::new(writer)?;
    ///     assert_eq!(writer.write_with(|mut w| w.write(b"hi"))?, 2);
    /// #     drop(reader);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn write_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.call(Mode::Write, op)
    }

    /// As [`read_with`](PollFd::read_with), for a call that needs the value to itself. Parks as that does.
    ///
    /// # Errors
    /// As for that.
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     let mut reader = gosched_net::PollFd::new(reader)?;
    ///     drop(writer);
    ///     assert_eq!(reader.read_with_mut(|r| r.read(&mut [0; 8]))?, 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn read_with_mut<R>(&mut self, op: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        self.call_mut(Mode::Read, op)
    }

    /// As [`write_with`](PollFd::write_with), for a call that needs the value to itself. Parks as that does.
    ///
    /// # Errors
    /// As for that.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     let mut writer = gosched_net::PollFd::new(writer)?;
    ///     assert_eq!(writer.write_with_mut(|w| w.write(b"hi"))?, 2);
    /// #     drop(reader);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn write_with_mut<R>(&mut self, op: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        self.call_mut(Mode::Write, op)
    }

    fn call<R>(&self, mode: Mode, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.fd.call_holder(mode, |io| self.calls.make(mode, io.as_fd(), || op(io)))
    }

    fn call_mut<R>(&mut self, mode: Mode, mut op: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        let calls = self.calls;
        self.fd.run_mut(mode, |io| match calls {
            Calls::Itself => op(io),
            Calls::AskFirst => {
                sys::ready_now(io.as_fd(), mode == Mode::Write)?;
                syscall(|| op(io))
            }
            Calls::Never => syscall(|| op(io)),
        })
    }

    /// Parks until the descriptor can be read from, or is at its end, or has an error. Takes nothing: where another
    /// reader is faster, the next call may have to wait after all. A file that never has to be waited for is ready.
    ///
    /// # Errors
    /// `TimedOut` when the read deadline passes; `use of closed network connection` after [`close`](PollFd::close) or
    /// [`cancel`](PollFd::cancel).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     let (reader, writer) = (gosched_net::PollFd::new(reader)?, gosched_net::PollFd::new(writer)?);
    ///     writer.wait_writable()?;
    ///     std::io::Write::write_all(&mut &writer, b"x")?;
    ///     reader.wait_readable()?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(Mode::Read)
    }

    /// Parks until the descriptor can be written to, or has an error. See [`wait_readable`](PollFd::wait_readable).
    ///
    /// # Errors
    /// As for that, with the write deadline.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     gosched_net::PollFd::new(writer)?.wait_writable()?; // an empty pipe has room
    /// #     drop(reader);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait(Mode::Write)
    }

    fn wait(&self, mode: Mode) -> io::Result<()> {
        // An edge may have been spent by a call that took a part only: so the descriptor itself is asked.
        self.fd.call_holder(mode, |io| match self.calls {
            Calls::Never => Ok(()),
            _ => sys::ready_now(io.as_fd(), mode == Mode::Write),
        })
    }

    /// The moment after which calls fail with `TimedOut`, `None` for never. It holds for calls that are parked already
    /// and for all later ones, until it is moved; it wins over a descriptor that is ready. Setting it never parks.
    ///
    /// # Errors
    /// After [`close`](PollFd::close) or [`cancel`](PollFd::cancel).
    ///
    /// # Examples
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::time::{Duration, Instant};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, _writer) = std::io::pipe()?;
    ///     let mut reader = gosched_net::PollFd::new(reader)?;
    ///     reader.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    ///     assert_eq!(reader.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.fd.set_deadline(&[Mode::Read, Mode::Write], deadline)
    }

    /// As [`set_deadline`](PollFd::set_deadline), for calls that read. Never parks.
    ///
    /// # Errors
    /// As for that.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     let reader = gosched_net::PollFd::new(reader)?;
    ///     reader.set_read_deadline(Some(std::time::Instant::now()))?;
    ///     assert_eq!(reader.wait_readable().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// #     drop(writer);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.fd.set_deadline(&[Mode::Read], deadline)
    }

    /// As [`set_deadline`](PollFd::set_deadline), for calls that write. Never parks.
    ///
    /// # Errors
    /// As for that.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, writer) = std::io::pipe()?;
    ///     let writer = gosched_net::PollFd::new(writer)?;
    ///     writer.set_write_deadline(Some(std::time::Instant::now()))?;
    ///     assert_eq!(writer.wait_writable().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// #     drop(reader);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.fd.set_deadline(&[Mode::Write], deadline)
    }

    /// Ends every call that is parked here, and all later ones, with `use of closed network connection`
    /// (`ErrorKind::ConnectionAborted`). The descriptor stays open, and leaves the poller. For values that only borrow
    /// theirs; owners have [`close`](PollFd::close). Parks until the calls that were under way have left.
    ///
    /// # Errors
    /// The same error, where it was cancelled or closed before.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let readable = gosched_net::PollFd::new(&reader)?;
    ///     gosched_runtime::scope(|s| {
    ///         let waiting = s.spawn(|| readable.wait_readable());
    ///         readable.cancel().unwrap();
    ///         assert!(waiting.join().unwrap().is_err());
    ///     });
    ///     writer.write_all(b"the pipe is as it was")?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn cancel(&self) -> io::Result<()> {
        self.fd.cancel()
    }

    /// The value. What blocks on it blocks the thread, or gives `WouldBlock`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let socket = gosched_net::PollFd::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    ///     assert!(socket.get_ref().local_addr()?.ip().is_loopback());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn get_ref(&self) -> &T {
        self.fd.holder()
    }

    /// The value, out of the poller's care, in blocking mode if that is how it came. After [`close`](PollFd::close) its
    /// descriptor stands for a socket that is not connected.
    ///
    /// # Examples
    /// ```
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let mut reader = gosched_net::PollFd::new(reader)?.into_inner();
    ///     writer.write_all(b"x")?;
    ///     assert_eq!(reader.read(&mut [0; 8])?, 1);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn into_inner(self) -> T {
        self.fd.into_holder()
    }
}

impl<T: AsFd> PollFd<T>
where
    OwnedFd: From<T>,
{
    /// Closes the descriptor at once: the other end of a pipe sees the end, parked and later calls fail with
    /// `use of closed network connection` (`ErrorKind::ConnectionAborted`). Its number stays reserved until this is
    /// dropped. Parks until the calls that were under way have left.
    ///
    /// For values that can be turned into an [`OwnedFd`], so that the descriptor is theirs to close.
    ///
    /// # Errors
    /// The same error, where it was closed before. The system's, where no descriptor is left to stand in for this one:
    /// then nothing has happened.
    ///
    /// # Examples
    /// ```
    /// use std::io::{ErrorKind, Read};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (mut reader, writer) = std::io::pipe()?;
    ///     let writer = gosched_net::PollFd::new(writer)?;
    ///     writer.close()?;
    ///     assert_eq!(reader.read(&mut [0; 8])?, 0);
    ///     assert_eq!(writer.wait_writable().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    ///     assert!(writer.close().is_err());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.fd.close()
    }
}
