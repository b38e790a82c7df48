//! UDP.

use crate::common::{limit_methods, socket_methods};
use crate::fd::{Fd, Kind};
use crate::polldesc::Mode;
use crate::resolve::each_addr;
use crate::sys;
use socket2::{Domain, SockRef, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A UDP socket: [`std::net::UdpSocket`] whose blocking calls park the goroutine.
///
/// One receiver and one sender are inside at a time; others wait for their turn.
///
/// # Examples
/// ```
/// use gosched_net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
///         a.send_to(b"hello", b.local_addr()?)?;
///         let mut buf = [0; 16];
///         let (n, from) = b.recv_from(&mut buf)?;
///         assert_eq!((&buf[..n], from), (&b"hello"[..], a.local_addr()?));
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct UdpSocket {
    pub(crate) fd: Arc<Fd>,
}

socket_methods!(UdpSocket, "gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?");
limit_methods!(UdpSocket, "gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?");

/// An option that the system keeps: a setter and a getter, or the one that there is, and the lines of its doctest.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident($($a:ident: $t:ty),*) -> $r:ty = $call:ident: $($line:literal)+;)*) => {
        impl UdpSocket {$(
            $(#[$doc])*
            /// Never parks.
            ///
            /// # Errors
            /// The system's; where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            $(#[doc = concat!("    ", $line)])+
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn $name(&self, $($a: $t),*) -> io::Result<$r> {
                self.fd.with(|s| SockRef::from(&s).$call($($a),*))
            }
        )*}
    };
}

options! {
    /// Allows sending to broadcast addresses (SO_BROADCAST).
    set_broadcast(on: bool) -> () = set_broadcast:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "s.set_broadcast(true)?;"
        "assert!(s.broadcast()?);";
    /// Whether sending to broadcast addresses is allowed.
    broadcast() -> bool = broadcast:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "assert!(!s.broadcast()?);";
    /// The time to live of packets sent (IP_TTL), in hops.
    set_ttl(ttl: u32) -> () = set_ttl_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "s.set_ttl(42)?;"
        "assert_eq!(s.ttl()?, 42);";
    /// The time to live of packets sent, in hops.
    ttl() -> u32 = ttl_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "assert_ne!(s.ttl()?, 0);";
    /// Whether multicast packets that are sent also come back (IP_MULTICAST_LOOP).
    set_multicast_loop_v4(on: bool) -> () = set_multicast_loop_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "s.set_multicast_loop_v4(false)?;"
        "assert!(!s.multicast_loop_v4()?);";
    /// Whether multicast packets that are sent also come back.
    multicast_loop_v4() -> bool = multicast_loop_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "assert!(s.multicast_loop_v4()?);";
    /// The time to live of multicast packets (IP_MULTICAST_TTL), in hops.
    set_multicast_ttl_v4(ttl: u32) -> () = set_multicast_ttl_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "s.set_multicast_ttl_v4(3)?;"
        "assert_eq!(s.multicast_ttl_v4()?, 3);";
    /// The time to live of multicast packets, in hops.
    multicast_ttl_v4() -> u32 = multicast_ttl_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "assert_eq!(s.multicast_ttl_v4()?, 1);";
    /// Whether IPv6 multicast packets that are sent also come back (IPV6_MULTICAST_LOOP).
    set_multicast_loop_v6(on: bool) -> () = set_multicast_loop_v6:
        "let Ok(s) = gosched_net::UdpSocket::bind(\"[::1]:0\") else { return Ok(()) }; // no IPv6 here"
        "s.set_multicast_loop_v6(false)?;"
        "assert!(!s.multicast_loop_v6()?);";
    /// Whether IPv6 multicast packets that are sent also come back.
    multicast_loop_v6() -> bool = multicast_loop_v6:
        "let Ok(s) = gosched_net::UdpSocket::bind(\"[::1]:0\") else { return Ok(()) }; // no IPv6 here"
        "assert!(s.multicast_loop_v6()?);";
    /// Joins a multicast group on the interface with this address (0.0.0.0: the system chooses).
    join_multicast_v4(multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> () = join_multicast_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "s.join_multicast_v4(&[239, 1, 2, 3].into(), &std::net::Ipv4Addr::LOCALHOST)?;";
    /// Leaves a multicast group.
    leave_multicast_v4(multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> () = leave_multicast_v4:
        "let s = gosched_net::UdpSocket::bind(\"127.0.0.1:0\")?;"
        "let (group, on) = ([239, 1, 2, 3].into(), std::net::Ipv4Addr::LOCALHOST);"
        "s.join_multicast_v4(&group, &on)?;"
        "s.leave_multicast_v4(&group, &on)?;";
    /// Joins an IPv6 multicast group on the interface of this index (0: the system chooses).
    join_multicast_v6(multiaddr: &Ipv6Addr, interface: u32) -> () = join_multicast_v6:
        "let Ok(s) = gosched_net::UdpSocket::bind(\"[::1]:0\") else { return Ok(()) }; // no IPv6 here"
        "match s.join_multicast_v6(&\"ff02::123\".parse().unwrap(), 0) {"
        "    Ok(()) => assert!(s.multicast_loop_v6()?),"
        "    Err(e) => println!(\"no interface for it: {e}\"),"
        "}";
    /// Leaves an IPv6 multicast group.
    leave_multicast_v6(multiaddr: &Ipv6Addr, interface: u32) -> () = leave_multicast_v6:
        "let Ok(s) = gosched_net::UdpSocket::bind(\"[::1]:0\") else { return Ok(()) }; // no IPv6 here"
        "let group = \"ff02::123\".parse().unwrap();"
        "if s.join_multicast_v6(&group, 0).is_ok() {"
        "    s.leave_multicast_v6(&group, 0)?;"
        "}";
}

impl UdpSocket {
    /// Binds to the first of the addresses that can be bound. Port 0 lets the system choose. A name is resolved first,
    /// which blocks the thread. Never parks.
    ///
    /// # Errors
    /// Of the last address tried; `InvalidInput` where there is none.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     assert_ne!(s.local_addr()?.port(), 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        each_addr(addr, |addr| {
            let s = sys::socket(Domain::for_address(*addr), Type::DGRAM)?;
            s.bind(&(*addr).into())?;
            Ok(UdpSocket::from_fd(Fd::new(s.into(), Kind::Other, false)?))
        })
    }

    /// Fixes the other end: `send` goes there, and only what comes from there is received. Does not park.
    ///
    /// # Errors
    /// Of the last address tried; `InvalidInput` where there is none.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     s.connect(s.local_addr()?)?; // to itself
    ///     assert_eq!(s.peer_addr()?, s.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_addr(addr, |addr| self.fd.with(|s| sys::connect(&s, &(*addr).into())))
    }

    /// Sends a datagram to the first of the addresses, parking while the send buffer is full.
    ///
    /// # Errors
    /// `InvalidInput` where there is no address; else the system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     assert_eq!(s.send_to(b"hi", s.local_addr()?)?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(addr) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"));
        };
        let addr = addr.into();
        self.fd.call(Mode::Write, |fd| sys::send_to(fd, buf, &addr))
    }

    /// Sends a datagram to where the socket is connected to, parking while the send buffer is full.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     s.connect(s.local_addr()?)?;
    ///     s.send(b"hi")?;
    ///     assert_eq!(s.recv(&mut [0; 8])?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.fd.call(Mode::Write, |fd| sys::send(fd, buf))
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
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     s.send_to(b"hi", s.local_addr()?)?;
    ///     assert_eq!(s.recv_from(&mut [0; 1])?, (1, s.local_addr()?)); // the second byte is lost
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.fd.call(Mode::Read, |fd| sys::recv_from(fd, buf, false))?;
        Ok((n, sys::to_socket_addr(&from)?))
    }

    /// As [`recv_from`](UdpSocket::recv_from), leaving the datagram there. Parks until there is one.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     s.send_to(b"hi", s.local_addr()?)?;
    ///     assert_eq!(s.peek_from(&mut [0; 8])?.0, 2);
    ///     assert_eq!(s.peek(&mut [0; 8])?, 2);
    ///     assert_eq!(s.recv(&mut [0; 8])?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.fd.call(Mode::Read, |fd| sys::recv_from(fd, buf, true))?;
        Ok((n, sys::to_socket_addr(&from)?))
    }

    /// Parks until a datagram comes; gives its length. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// The system's, `ConnectionRefused` for one where the socket is connected and nobody is there.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     s.send_to(b"hi", s.local_addr()?)?;
    ///     assert_eq!(s.recv(&mut [0; 1])?, 1); // the second byte is lost
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.call(Mode::Read, |fd| sys::recv(fd, buf, 0))
    }

    /// As [`recv`](UdpSocket::recv), leaving the datagram there. Parks until there is one.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     s.send_to(b"hi", s.local_addr()?)?;
    ///     assert_eq!(s.peek(&mut [0; 8])?, 2);
    ///     assert_eq!(s.recv(&mut [0; 8])?, 2, "it is still there");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.call(Mode::Read, |fd| sys::peek(fd, buf))
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
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     assert_eq!(s.peer_addr().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    ///     s.connect(s.local_addr()?)?;
    ///     assert_eq!(s.peer_addr()?, s.local_addr()?);
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
    ///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
    ///     assert!(s.local_addr()?.ip().is_loopback());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_socket_addr(&SockRef::from(&s).local_addr()?))
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("UdpSocket");
        if let Ok(addr) = self.local_addr() {
            d.field("addr", &addr);
        }
        d.field("fd", &self.fd.number()).finish()
    }
}
