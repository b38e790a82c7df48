//! Copying between sockets, and from a file to a socket, without taking the bytes through this process where the system
//! can do that.
//!
//! ```text
//!   plain     source ──recv──► buffer ──send──► sink                     everywhere
//!   spliced   source ─splice─► pipe ──splice──► sink                     Linux: pages move, nothing is copied here
//!   file      page cache ─────sendfile────────► sink                     Linux
//! ```
//! Both ends park. A pipe is held only while there are bytes in it: an idle connection costs none. It comes from a pool and
//! goes back empty; one that still holds bytes, because its sink has failed, is thrown away.
//!
//! ## When which
//! A splice saves the copying and costs a second look at the pages; it pays where reads are large, and the pipe large
//! enough to take them whole. So a copy begins plain, goes over to splicing after a read that filled its buffer, and comes
//! back after a splice that moved little. Where the kernel refuses (`EINVAL`: a socket type without it) it stays plain.
//!
//! On loopback, where the two ends do their own copying on the same CPUs, four transfers at once took 0.72 of the plain
//! way's time and CPU; one alone 0.9 of the CPU, but no less time: it moves in larger steps, which overlap less.
//! (tests/copying.rs has the measurement.)
//!
//! splice(2) and sendfile(2) have no flag against SIGPIPE, which writing to a connection that the other side has reset
//! raises. Rust programs ignore that signal from the start, and get the error as usual.

use crate::dial::Conn;
use crate::fd::Fd;
use crate::fderror::closed;
use crate::polldesc::Mode;
use crate::sys::{
    self,
    transfer::{self, Pipe},
};
use crate::tcp::TcpStream;
use crate::unix::UnixStream;
use gosched_runtime::syscall;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// The buffer of the plain way.
const BUFFER: usize = 64 << 10;
/// What a pipe is asked to hold, and what one splice is asked to move.
const PIPE: usize = 1 << 20;
/// A splice that moves less does not pay.
const WORTH_IT: usize = 16 << 10;
/// Empty pipes that are kept.
const POOL: usize = 32;
/// The most that one sendfile is asked for: the goroutine's thread is away for so long at most.
const FILE_CHUNK: usize = 4 << 20;

mod sealed {
    pub trait Sealed {}
}

/// A connection that [`copy`] and [`send_file`] know how to get at: [`TcpStream`], [`UnixStream`], [`Conn`].
///
/// Sealed: other types are copied by [`std::io::copy`].
///
/// # Examples
/// ```
/// use gosched_net::{CopyStream, copy};
///
/// fn pass_on(from: &impl CopyStream, to: &impl CopyStream) -> std::io::Result<u64> {
///     copy(from, to)
/// }
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let (a, b) = gosched_net::UnixStream::pair()?;
///     let (c, d) = gosched_net::UnixStream::pair()?;
///     std::io::Write::write_all(&mut &a, b"hi")?;
///     drop(a);
///     assert_eq!(pass_on(&b, &c)?, 2);
///     assert_eq!(std::io::Read::read(&mut &d, &mut [0; 8])?, 2);
///     Ok(())
/// }) }
/// # }
/// ```
pub trait CopyStream: sealed::Sealed {
    #[doc(hidden)]
    fn __fd(&self) -> FdRef<'_>;
}

/// What the methods of [`CopyStream`] hand over.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct FdRef<'a>(&'a Fd);

macro_rules! copy_streams {
    ($($ours:ty: $this:ident => $fd:expr;)*) => {$(
        impl sealed::Sealed for $ours {}
        impl CopyStream for $ours {
            fn __fd(&self) -> FdRef<'_> {
                let $this = self;
                FdRef($fd)
            }
        }
    )*};
}

copy_streams! {
    TcpStream: s => &s.fd;
    UnixStream: s => &s.fd;
    Conn: s => match s {
        Conn::Tcp(s) => &s.fd,
        Conn::Udp(s) => &s.fd,
        Conn::Unix(s) => &s.fd,
        Conn::UnixDatagram(s) => &s.fd,
    };
}

/// Reads from one connection to its end and writes all of it to another; gives the number of bytes: [`std::io::copy`] for
/// connections, in either direction between TCP and Unix sockets. Parks on both sides. On Linux large transfers do not
/// pass through this process's memory.
///
/// # Errors
/// Of the reading or the writing. What was read and not written then is lost.
///
/// # Examples
/// ```
/// use gosched_net::{UnixStream, copy};
/// use std::io::{Read, Write};
/// use std::net::Shutdown;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let (mut client, mut inbound) = UnixStream::pair()?;
///         let (mut outbound, mut server) = UnixStream::pair()?;
///         let proxy = gosched_runtime::spawn(move || copy(&mut inbound, &mut outbound));
///         client.write_all(b"hello")?;
///         client.shutdown(Shutdown::Write)?;
///         let mut got = String::new();
///         server.read_to_string(&mut got)?; // the proxy drops its ends when it is done
///         assert_eq!((got.as_str(), proxy.join().unwrap()?), ("hello", 5));
///         Ok(())
///     })
/// }
/// # }
/// ```
pub fn copy<R, W>(reader: &R, writer: &W) -> io::Result<u64>
where
    R: CopyStream + ?Sized,
    W: CopyStream + ?Sized,
{
    copy_fds(reader.__fd().0, writer.__fd().0)
}

fn copy_fds(from: &Fd, to: &Fd) -> io::Result<u64> {
    let (mut buf, mut may_splice) = (Vec::new(), true);
    let (mut total, mut large) = (0, false);
    loop {
        let n = if large && may_splice {
            let round = splice_once(from, to)?;
            may_splice = !round.refused;
            match round.moved {
                Some(n) => n,
                None => {
                    large = false;
                    continue;
                }
            }
        } else {
            buf.resize(BUFFER, 0);
            let n = from.read(BUFFER, |fd| sys::recv(fd, &mut buf, 0))?;
            write_all(to, &buf[..n])?;
            n
        };
        if n == 0 {
            return Ok(total);
        }
        total += n as u64;
        large = n >= if large { WORTH_IT } else { BUFFER };
        if large && may_splice {
            // It will not be needed soon.
            buf = Vec::new();
        }
    }
}

fn write_all(to: &Fd, mut buf: &[u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match to.write(buf.len(), |fd| sys::send(fd, buf))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => buf = &buf[n..],
        }
    }
    Ok(())
}

/// What a round of splicing has done.
struct Round {
    /// 0: the source is at its end. `None`: nothing was tried, or nothing came of it.
    moved: Option<usize>,
    /// The kernel does not do it for these two.
    refused: bool,
}

/// Moves what the source has, once.
fn splice_once(from: &Fd, to: &Fd) -> io::Result<Round> {
    // The pipe is taken inside: while the source has nothing and this parks, it is in the pool.
    let filled = from.call(Mode::Read, |fd| {
        let Some(pipe) = take_pipe() else { return Ok(None) };
        match transfer::splice(fd, pipe.write.as_raw_fd(), PIPE) {
            Ok(n) => Ok(Some((n, pipe))),
            Err(e) => {
                give_back(pipe);
                Err(e)
            }
        }
    });
    let (n, pipe) = match filled {
        Ok(Some(filled)) => filled,
        // No descriptors are left for a pipe: the plain way, this time.
        Ok(None) => return Ok(Round { moved: None, refused: false }),
        Err(e) if transfer::is_refused(&e) => return Ok(Round { moved: None, refused: true }),
        Err(e) => return Err(e),
    };
    if n == 0 && from.is_closed() {
        // The end that `close` has made is not the other side's.
        return Err(closed());
    }
    let mut left = n;
    while left > 0 {
        match to.call(Mode::Write, |fd| transfer::splice(pipe.read.as_raw_fd(), fd, left)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(k) => left -= k,
            Err(e) if transfer::is_refused(&e) => {
                // What is in the pipe goes the other way. (The pipe's own descriptor, which is given up: for a duplicate
                // there may be none left.)
                let mut buf = vec![0; left];
                File::from(pipe.read).read_exact(&mut buf)?;
                write_all(to, &buf)?;
                return Ok(Round { moved: Some(n), refused: true });
            }
            Err(e) => return Err(e),
        }
    }
    give_back(pipe);
    Ok(Round { moved: Some(n), refused: false })
}

static PIPES: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

fn take_pipe() -> Option<Pipe> {
    let pooled = PIPES.lock().pop();
    pooled.or_else(|| transfer::pipe(PIPE).ok())
}

/// Takes an empty pipe.
fn give_back(pipe: Pipe) {
    let mut pipes = PIPES.lock();
    if pipes.len() < POOL {
        pipes.push(pipe);
    }
    // Otherwise `pipe` is closed: declared before the guard, it goes after it.
}

/// Sends `len` bytes of `file` from `offset` on; gives how many were sent, fewer where the file ends before
/// (`u64::MAX`: all that there is). Parks on the connection. Reading the disk may block the thread, announced to the
/// scheduler. The file's own position is neither used nor moved.
///
/// On Linux this is sendfile(2). A file that cannot be sent in that way is read and written.
///
/// # Errors
/// Of the reading or the writing; an unknown part has been sent then.
///
/// # Examples
/// ```
/// use gosched_net::{UnixStream, send_file};
/// use std::io::Read;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let file = std::fs::File::open("Cargo.toml")?;
///         let (out, mut inbound) = UnixStream::pair()?;
///         assert_eq!(send_file(&file, &out, 1, 7)?, 7);
///         let mut buf = [0; 7];
///         inbound.read_exact(&mut buf)?;
///         assert_eq!(&buf, b"package");
///         Ok(())
///     })
/// }
/// # }
/// ```
pub fn send_file<W: CopyStream + ?Sized>(file: &File, stream: &W, offset: u64, len: u64) -> io::Result<u64> {
    let to = stream.__fd().0;
    let (mut sent, mut plain) = (0, Vec::new());
    while sent < len {
        let at = offset.checked_add(sent).ok_or(io::ErrorKind::InvalidInput)?;
        let chunk = usize::try_from(len - sent).unwrap_or(usize::MAX).min(FILE_CHUNK);
        let n = if plain.is_empty() {
            let send = |fd: RawFd| syscall(|| transfer::send_file(file.as_raw_fd(), fd, at, chunk));
            match to.call(Mode::Write, send) {
                Err(e) if transfer::is_refused(&e) => {
                    plain.resize(BUFFER, 0);
                    continue;
                }
                n => n?,
            }
        } else {
            let buf = &mut plain[..chunk.min(BUFFER)];
            let n = syscall(|| file.read_at(buf, at))?;
            write_all(to, &buf[..n])?;
            n
        };
        if n == 0 {
            break;
        }
        sent += n as u64;
    }
    Ok(sent)
}
