//! Listening for TCP connections.
//!
//! How a listener is made is in tcp_builder.rs. The accept loop itself, which waits out a lack of descriptors, is in
//! accept.rs: Unix sockets have the same.

use crate::fd::Fd;
use crate::polldesc::Mode;
use crate::sys;
use crate::tcp::TcpStream;
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A TCP socket that accepts connections: [`std::net::TcpListener`] whose `accept` parks the goroutine.
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
///         let listener = TcpListener::builder().backlog(16).nodelay(true).bind("127.0.0.1:0")?;
///         let addr = listener.local_addr()?;
///         let mut client = TcpStream::connect(addr)?;
///         client.write_all(b"ping")?;
///         let mut served = listener.incoming().next().expect("incoming never ends")?;
///         let mut buf = [0; 4];
///         served.read_exact(&mut buf)?;
///         assert_eq!(&buf, b"ping");
///         // Everybody parked in accept returns, and the port is free again.
///         listener.close()?;
///         TcpListener::bind(addr)?;
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct TcpListener {
    pub(crate) fd: Arc<Fd>,
    /// What each accepted connection gets.
    pub(crate) accepted: Accepted,
}

/// Options of accepted connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
}

impl TcpListener {
    /// Parks until a connection comes, and gives it with the address of its other end.
    ///
    /// A connection that failed on its way in is passed over. Where descriptors or memory have run out, this prints one
    /// line to stderr, tries again after 5 ms, then 10, up to every second, and goes on as soon as there is room.
    ///
    /// # Errors
    /// Where no later accept could succeed: the listener is closed, or not a listener. `TimedOut` when the deadline
    /// passes, `WouldBlock` with `set_nonblocking(true)` (then also what would have been waited out).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     let (s, peer) = l.accept()?;
    ///     assert_eq!((peer, s.local_addr()?), (c.local_addr()?, c.peer_addr()?));
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let name = || self.local_addr().map_or_else(|_| "a closed listener".into(), |a| a.to_string());
        let (fd, addr) = self.fd.accept_with(name, true, |sock| {
            let s = SockRef::from(sock);
            // A connection that has already failed refuses options, and says why at its first use.
            if self.accepted.nodelay {
                let _ = s.set_tcp_nodelay(true);
            }
            if let Some(idle) = self.accepted.keepalive {
                let _ = s.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(idle));
            }
        })?;
        Ok((TcpStream { fd: Arc::new(fd) }, sys::to_socket_addr(&addr)?))
    }

    /// The connections, one after the other, without end. Each step is an [`accept`](TcpListener::accept), and parks as
    /// that does.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     let s = l.incoming().next().unwrap()?;
    ///     assert_eq!(s.peer_addr()?, c.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// As [`incoming`](TcpListener::incoming), owning the listener. Each step parks as there.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     let s = l.into_incoming().next().unwrap()?;
    ///     assert_eq!(s.peer_addr()?, c.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// The address it listens on. Never parks.
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
    ///     assert!(l.local_addr()?.ip().is_loopback());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_socket_addr(&SockRef::from(&s).local_addr()?))
    }

    /// Stops listening at once, under every handle: parked and later calls fail with `use of closed network connection`
    /// (`ErrorKind::ConnectionAborted`), and the port is free when this returns, unless a duplicate of the descriptor
    /// listens on elsewhere. The descriptor's number stays reserved until the last handle is dropped. Parks until the
    /// calls that were under way have left.
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
    ///     let accepting = l.try_clone()?;
    ///     let parked = gosched_runtime::spawn(move || accepting.accept().is_err());
    ///     l.close()?;
    ///     assert!(parked.join().unwrap());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.fd.close()
    }

    /// A new handle on the same listener: the deadline, the mode and `close` are common to both. Unlike std's it takes no
    /// second descriptor. Never parks.
    ///
    /// # Errors
    /// Where the listener is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     assert_eq!(l.try_clone()?.local_addr()?, l.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        self.fd.with(|_| Ok(TcpListener { fd: self.fd.clone(), accepted: self.accepted.clone() }))
    }

    /// The moment after which `accept` fails with `TimedOut`, `None` for never. It holds for calls that are parked
    /// already and for all later ones, until it is moved; it wins over a connection that waits. Never parks.
    ///
    /// # Errors
    /// Where the listener is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     l.set_deadline(Some(std::time::Instant::now()))?;
    ///     assert_eq!(l.accept().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.fd.set_deadline(&[Mode::Read], deadline)
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
    ///     l.set_ttl(42)?;
    ///     assert_eq!(l.ttl()?, 42);
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
    ///     assert_ne!(l.ttl()?, 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        self.fd.with(|s| SockRef::from(&s).ttl_v4())
    }

    /// Whether an IPv6 listener takes no IPv4 connections. Set with
    /// [`TcpListenerBuilder::only_v6`](crate::TcpListenerBuilder::only_v6).
    /// Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     if std::net::UdpSocket::bind("[::1]:0").is_err() { return Ok(()) } // no IPv6 here
    ///     let l = gosched_net::TcpListener::builder().only_v6(true).bind("[::1]:0")?;
    ///     assert!(l.only_v6()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn only_v6(&self) -> io::Result<bool> {
        self.fd.with(|s| SockRef::from(&s).only_v6())
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
    ///     assert!(l.take_error()?.is_none());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.with(|s| SockRef::from(&s).take_error())
    }

    /// With `true`, an `accept` on any handle that would park gives `WouldBlock` instead. The descriptor itself is
    /// non-blocking in either case. Never parks, and does not reach an `accept` that is parked already.
    ///
    /// # Errors
    /// Where the listener is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     l.set_nonblocking(true)?;
    ///     assert_eq!(l.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.fd.set_nonblocking(nonblocking)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            d.field("addr", &addr);
        }
        d.field("fd", &self.fd.number()).finish()
    }
}

/// The connections of a listener: see [`TcpListener::incoming`]. Each step parks, as `accept` does.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
///     for s in l.incoming().take(1) {
///         assert_eq!(s?.peer_addr()?, c.local_addr()?);
///     }
///     Ok(())
/// }) }
/// # }
/// ```
#[must_use = "an iterator accepts nothing until it is asked to"]
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(s, _)| s))
    }
}

impl FusedIterator for Incoming<'_> {}

/// The connections of a listener that it owns: see [`TcpListener::into_incoming`]. Each step parks, as `accept` does.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
///     for s in l.into_incoming().take(1) {
///         assert_eq!(s?.peer_addr()?, c.local_addr()?);
///     }
///     Ok(())
/// }) }
/// # }
/// ```
#[must_use = "an iterator accepts nothing until it is asked to"]
#[derive(Debug)]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(s, _)| s))
    }
}

impl FusedIterator for IntoIncoming {}
