//! Unix datagram sockets.
//!
//! ## Sending to somebody who does not read
//! A datagram goes straight into the receiver's queue. Where that is full and the socket is connected to the receiver,
//! the kernel makes an event when there is room. For a datagram with an address of its own it makes none (the socket's
//! own buffer is not what is full), so there the sender tries again after pauses that grow to [`LONGEST_PAUSE`].

use crate::common::{limit_methods, socket_methods};
use crate::fd::{Fd, Kind};
use crate::polldesc::Mode;
use crate::sys;
use crate::unix::debug_unix;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the file's head.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// A Unix datagram socket: [`std::os::unix::net::UnixDatagram`] whose blocking calls park the goroutine.
///
/// # Examples
/// ```
/// use gosched_net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let (a, b) = UnixDatagram::pair()?;
///         a.send(b"hello")?;
///         let mut buf = [0; 16];
///         assert_eq!(b.recv(&mut buf)?, 5);
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct UnixDatagram {
    pub(crate) fd: Arc<Fd>,
}

socket_methods!(UnixDatagram, "gosched_net::UnixDatagram::unbound()?");
limit_methods!(UnixDatagram, "gosched_net::UnixDatagram::unbound()?");
debug_unix!(UnixDatagram);

impl UnixDatagram {
    fn adopt(s: Socket) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::from_fd(Fd::new(s.into(), Kind::Other, false)?))
    }

    fn bind_raw(addr: &SockAddr) -> io::Result<UnixDatagram> {
        let s = sys::socket(Domain::UNIX, Type::DGRAM)?;
        let bound = sys::bind_path(&s, addr)?;
        let datagrams = UnixDatagram::adopt(s)?;
        bound.keep();
        Ok(datagrams)
    }

    /// A socket at `path`, which must not exist yet. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-db", std::process::id()));
    ///     let s = gosched_net::UnixDatagram::bind(&path)?;
    ///     assert_eq!(s.local_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_raw(&SockAddr::unix(path)?)
    }

    /// A socket at an address that may be abstract. Never parks.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for an address without a name.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-dba", std::process::id()));
    ///     let s = gosched_net::UnixDatagram::bind_addr(&gosched_net::UnixSocketAddr::from_pathname(&path)?)?;
    ///     assert_eq!(s.local_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_raw(&sys::from_unix_addr(addr)?)
    }

    /// A socket without a name. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     assert!(gosched_net::UnixDatagram::unbound()?.local_addr()?.is_unnamed());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::adopt(sys::socket(Domain::UNIX, Type::DGRAM)?)
    }

    /// Two sockets without names, connected to each other. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     a.send(b"hi")?;
    ///     assert_eq!(b.recv(&mut [0; 8])?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = Socket::pair(Domain::UNIX, Type::DGRAM.nonblocking(), None)?;
        Ok((UnixDatagram::adopt(a)?, UnixDatagram::adopt(b)?))
    }

    /// Fixes the other end: `send` goes there, and only what comes from there is received. Does not park.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-dc", std::process::id()));
    ///     let (to, s) = (gosched_net::UnixDatagram::bind(&path)?, gosched_net::UnixDatagram::unbound()?);
    ///     s.connect(&path)?;
    ///     s.send(b"hi")?;
    ///     assert_eq!(to.recv(&mut [0; 8])?, 2);
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let addr = SockAddr::unix(path)?;
        self.fd.with(|s| sys::connect(&s, &addr))
    }

    /// As [`connect`](UnixDatagram::connect), to an address that may be abstract. Does not park.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for an address without a name.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-dca", std::process::id()));
    ///     let (to, s) = (gosched_net::UnixDatagram::bind(&path)?, gosched_net::UnixDatagram::unbound()?);
    ///     s.connect_addr(&to.local_addr()?)?;
    ///     s.send(b"hi")?;
    ///     assert_eq!(to.recv(&mut [0; 8])?, 2);
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        let addr = sys::from_unix_addr(addr)?;
        self.fd.with(|s| sys::connect(&s, &addr))
    }

    /// Sends a datagram to where the socket is connected to, parking while the receiver's queue is full.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     assert_eq!(a.send(b"hi")?, 2);
    ///     drop(b);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.fd.call(Mode::Write, |fd| sys::send(fd, buf))
    }

    /// Sends a datagram to the socket at `path`. While the receiver's queue is full this parks and tries again, at
    /// intervals of up to 10 ms.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-dst", std::process::id()));
    ///     let to = gosched_net::UnixDatagram::bind(&path)?;
    ///     assert_eq!(gosched_net::UnixDatagram::unbound()?.send_to(b"hi", &path)?, 2);
    ///     assert_eq!(to.recv(&mut [0; 8])?, 2);
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_raw(buf, &SockAddr::unix(path)?)
    }

    /// As [`send_to`](UnixDatagram::send_to), to an address that may be abstract. Parks as that does.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for an address without a name.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-dsta", std::process::id()));
    ///     let to = gosched_net::UnixDatagram::bind(&path)?;
    ///     assert_eq!(gosched_net::UnixDatagram::unbound()?.send_to_addr(b"hi", &to.local_addr()?)?, 2);
    ///     assert_eq!(to.recv(&mut [0; 8])?, 2);
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        self.send_to_raw(buf, &sys::from_unix_addr(addr)?)
    }

    fn send_to_raw(&self, buf: &[u8], to: &SockAddr) -> io::Result<usize> {
        let limit = self.fd.limit(Mode::Write);
        let mut pause = FIRST_PAUSE;
        loop {
            // Not an error for `call`, which would park for an event.
            let sent = self.fd.call(Mode::Write, |fd| match sys::send_to(fd, buf, to) {
                Err(e) if sys::is_would_block(&e) => Ok(None),
                r => r.map(Some),
            })?;
            match sent {
                Some(n) => return Ok(n),
                None if self.fd.is_nonblocking() || limit.is_some_and(|t| Instant::now() >= t) => {
                    return Err(sys::timed_out_like_std());
                }
                None => self.fd.pause(Mode::Write, pause)?,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Parks until a datagram comes; gives its length and sender. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     a.send(b"hi")?;
    ///     let (n, from) = b.recv_from(&mut [0; 8])?;
    ///     assert!(n == 2 && from.is_unnamed());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.fd.call(Mode::Read, |fd| sys::recv_from(fd, buf, false))?;
        Ok((n, sys::to_unix_addr(&from)?))
    }

    /// As [`recv_from`](UnixDatagram::recv_from), leaving the datagram there. Parks until there is one.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     a.send(b"hi")?;
    ///     let (n, from) = b.peek_from(&mut [0; 8])?;
    ///     assert!(n == 2 && from.is_unnamed());
    ///     assert_eq!(b.recv(&mut [0; 8])?, 2, "it is still there");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.fd.call(Mode::Read, |fd| sys::recv_from(fd, buf, true))?;
        Ok((n, sys::to_unix_addr(&from)?))
    }

    /// As [`recv`](UnixDatagram::recv), leaving the datagram there. Parks until there is one.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     a.send(b"hi")?;
    ///     let mut buf = [0; 8];
    ///     assert_eq!(b.peek(&mut buf)?, 2);
    ///     assert_eq!(b.peek_from(&mut buf)?.0, 2);
    ///     assert_eq!(b.recv(&mut buf)?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.call(Mode::Read, |fd| sys::peek(fd, buf))
    }

    /// Parks until a datagram comes; gives its length. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     a.send(b"hi")?;
    ///     assert_eq!(b.recv(&mut [0; 1])?, 1); // the second byte is lost
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.call(Mode::Read, |fd| sys::recv(fd, buf, 0))
    }

    /// The address of this end. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     assert!(gosched_net::UnixDatagram::unbound()?.local_addr()?.is_unnamed());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_unix_addr(&SockRef::from(&s).local_addr()?))
    }

    /// The address that the socket is connected to. Never parks.
    ///
    /// # Errors
    /// The system's, `NotConnected` for one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, _b) = gosched_net::UnixDatagram::pair()?;
    ///     assert!(a.peer_addr()?.is_unnamed());
    ///     assert!(gosched_net::UnixDatagram::unbound()?.peer_addr().is_err(), "NotConnected");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_unix_addr(&SockRef::from(&s).peer_addr()?))
    }

    /// Ends reading, writing, or both, on every handle. Does not park; calls parked in an ended direction return.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixDatagram::pair()?;
    ///     a.shutdown(gosched_net::Shutdown::Both)?;
    ///     assert!(b.send(b"hi").is_err());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).shutdown(how))
    }
}
