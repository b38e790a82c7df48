//! TCP connections.
//!
//! [`TcpStream`] is std's, method for method; only what blocks the thread there parks the goroutine here. The work is
//! done in fd.rs; this file says which system call it is done with.

use crate::common::{limit_methods, stream_traits};
use crate::fd::{Fd, Kind};
use crate::polldesc::Mode;
use crate::resolve::each_addr;
use crate::sys;
use socket2::{Domain, SockRef, Type};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A TCP connection: [`std::net::TcpStream`] whose blocking calls park the goroutine (on a thread of your own they block
/// the thread, while a `run` is in progress).
///
/// Reading and writing go through `Read` and `Write`, for the type and for `&TcpStream`. One reader and one writer are
/// inside at a time; others wait for their turn, in which time their own time limits do not run.
///
/// Dropping the last handle closes the connection. [`close`](TcpStream::close) closes it at once, under every handle.
///
/// # Examples
/// ```
/// use gosched_net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let listener = TcpListener::bind("127.0.0.1:0")?;
///         let mut client = TcpStream::connect(listener.local_addr()?)?;
///         let (mut server, _) = listener.accept()?;
///         client.write_all(b"hello")?;
///         let mut buf = [0; 5];
///         server.read_exact(&mut buf)?;
///         assert_eq!(&buf, b"hello");
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct TcpStream {
    pub(crate) fd: Arc<Fd>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers. Parks until then; a name is resolved first, by the system's
    /// resolver, which blocks the thread.
    ///
    /// # Errors
    /// Of the last address tried; `InvalidInput` where there is none.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        each_addr(addr, |addr| TcpStream::connect_until(addr, None))
    }

    /// Connects to `addr`, parking for at most `timeout`.
    ///
    /// # Errors
    /// `TimedOut` when the time is over; `InvalidInput` for a `timeout` of zero; else the connection's own.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let limit = std::time::Duration::from_secs(5);
    ///     gosched_net::TcpStream::connect_timeout(&l.local_addr()?, limit)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        TcpStream::connect_until(addr, Instant::now().checked_add(timeout))
    }

    fn connect_until(addr: &SocketAddr, limit: Option<Instant>) -> io::Result<TcpStream> {
        TcpStream::connect_noted(addr, limit, |_| Ok(()))
    }

    /// As `connect_until`; where it has to wait, `note` is told the socket before: whoever closes that ends the wait.
    pub(crate) fn connect_noted(
        addr: &SocketAddr,
        limit: Option<Instant>,
        note: impl FnOnce(&Arc<Fd>) -> io::Result<()>,
    ) -> io::Result<TcpStream> {
        let socket = sys::socket(Domain::for_address(*addr), Type::STREAM)?;
        let goes_on = match sys::connect(&socket, &(*addr).into()) {
            Ok(()) => false,
            Err(e) if sys::connect_goes_on(&e) => true,
            Err(e) => return Err(e),
        };
        // Registered only now: a socket that has not begun to connect counts as hung up, and that event would stay.
        let fd = Arc::new(Fd::new(socket.into(), Kind::Stream, true)?);
        if goes_on {
            note(&fd)?;
            fd.wait_connected(limit, |s| {
                let s = SockRef::from(&s);
                if let Some(e) = s.take_error()? {
                    return Err(e);
                }
                // A readiness without cause is possible: only a peer proves the connection.
                match s.peer_addr() {
                    Ok(_) => Ok(true),
                    Err(e) if sys::is_not_connected(&e) => Ok(false),
                    Err(e) => Err(e),
                }
            })?;
        }
        Ok(TcpStream { fd })
    }

    /// The address of the other end. Never parks.
    ///
    /// # Errors
    /// The system's, `NotConnected` for one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert_eq!(c.peer_addr()?, l.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_socket_addr(&SockRef::from(&s).peer_addr()?))
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
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert_eq!(l.accept()?.1, c.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_socket_addr(&SockRef::from(&s).local_addr()?))
    }

    /// Ends reading, writing, or both, on every handle. Does not park. Calls parked in an ended direction return: reads
    /// give the end of the stream, writes an error.
    ///
    /// # Errors
    /// The system's, `NotConnected` for one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     let (mut s, _) = l.accept()?;
    ///     c.shutdown(gosched_net::Shutdown::Write)?;
    ///     assert_eq!(std::io::Read::read(&mut s, &mut [0; 8])?, 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).shutdown(how))
    }

    /// Closes the connection at once, under every handle of it: parked and later calls fail with
    /// `use of closed network connection` (`ErrorKind::ConnectionAborted`), and the other end sees the end of the stream
    /// also where duplicates of the descriptor exist elsewhere. The descriptor's number stays reserved until the last
    /// handle is dropped. Parks until the calls that were under way have left.
    ///
    /// # Errors
    /// The same error, where it was closed before. The system's, where no descriptor is left to stand in for this one:
    /// then nothing has happened.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.close()?;
    ///     assert!(c.peer_addr().is_err() && c.close().is_err());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.fd.close()
    }

    /// A new handle on the same connection: settings, limits and `close` are common to both. Unlike std's it takes no
    /// second descriptor. Never parks.
    ///
    /// # Errors
    /// Where the connection is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     let other = c.try_clone()?;
    ///     assert_eq!(other.local_addr()?, c.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        self.fd.with(|_| Ok(TcpStream { fd: self.fd.clone() }))
    }

    /// Reads without taking the data off the stream. Parks until there is some, as a read does.
    ///
    /// # Errors
    /// As for reads.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     std::io::Write::write_all(&mut l.accept()?.0, b"hi")?;
    ///     let mut buf = [0; 2];
    ///     while c.peek(&mut buf)? < 2 {}
    ///     assert_eq!(&buf, b"hi");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.peek(buf.len(), |fd| sys::peek(fd, buf))
    }

    /// Whether small writes are sent at once (TCP_NODELAY). Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.set_nodelay(true)?;
    ///     assert!(c.nodelay()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).set_tcp_nodelay(nodelay))
    }

    /// Whether small writes are sent at once. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert!(!c.nodelay()?); // unlike Go, as std
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        self.fd.with(|s| SockRef::from(&s).tcp_nodelay())
    }

    /// Acknowledge at once what comes in, instead of waiting for something to send (TCP_QUICKACK). The system falls back
    /// to waiting by itself; set it anew after each read. std has it as an extension of Linux. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.set_quickack(true)?;
    ///     assert!(c.quickack()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).set_tcp_quickack(quickack))
    }

    /// See [`set_quickack`](TcpStream::set_quickack). Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.set_quickack(false)?;
    ///     assert!(!c.quickack()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn quickack(&self) -> io::Result<bool> {
        self.fd.with(|s| SockRef::from(&s).tcp_quickack())
    }

    /// How long the system goes on sending what is unsent when the connection is closed (SO_LINGER): `None` for its own
    /// way, zero to drop it and reset the connection. Whole seconds. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.set_linger(Some(std::time::Duration::ZERO))?; // the drop resets the connection
    ///     assert_eq!(c.linger()?, Some(std::time::Duration::ZERO));
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).set_linger(linger))
    }

    /// See [`set_linger`](TcpStream::set_linger). Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert_eq!(c.linger()?, None);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.fd.with(|s| SockRef::from(&s).linger())
    }

    /// The time to live of packets sent (IP_TTL), in hops. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.set_ttl(42)?;
    ///     assert_eq!(c.ttl()?, 42);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).set_ttl_v4(ttl))
    }

    /// The time to live of packets sent, in hops. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert_ne!(c.ttl()?, 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        self.fd.with(|s| SockRef::from(&s).ttl_v4())
    }

    /// Takes the error that is pending on the socket (SO_ERROR). Never parks.
    ///
    /// # Errors
    /// The system's, where the question itself fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert!(c.take_error()?.is_none());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.with(|s| SockRef::from(&s).take_error())
    }

    /// With `true`, calls on every handle that would park give `WouldBlock` instead. The descriptor itself is
    /// non-blocking in either case. Never parks, and does not reach calls that are parked already.
    ///
    /// # Errors
    /// Where the connection is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     c.set_nonblocking(true)?;
    ///     let e = std::io::Read::read(&mut &c, &mut [0; 8]).unwrap_err();
    ///     assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.fd.set_nonblocking(nonblocking)
    }
}

stream_traits!(TcpStream);
limit_methods!(
    TcpStream,
    "gosched_net::TcpStream::connect(gosched_net::TcpListener::bind(\"127.0.0.1:0\")?.local_addr()?)?"
);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("TcpStream");
        if let Ok(addr) = self.local_addr() {
            d.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            d.field("peer", &peer);
        }
        d.field("fd", &self.fd.number()).finish()
    }
}
