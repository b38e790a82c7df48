//! `dial`: a connection by the name of its network and its address, as Go's net.Dial.

use crate::race;
use crate::resolve::lookup;
use crate::tcp::TcpStream;
use crate::udp::UdpSocket;
use crate::unix::UnixStream;
use crate::unix_datagram::UnixDatagram;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

/// A connection of some network: see [`dial`]. Reads and writes park the goroutine.
///
/// # Examples
/// ```
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let s = gosched_net::UdpSocket::bind("127.0.0.1:0")?;
///     let mut c = gosched_net::dial("udp", &s.local_addr()?.to_string())?;
///     assert!(matches!(c, gosched_net::Conn::Udp(_)));
///     c.write_all(b"hi")?;
///     assert_eq!(s.recv(&mut [0; 8])?, 2);
///     Ok(())
/// }) }
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Conn {
    /// Of `tcp`, `tcp4`, `tcp6`.
    Tcp(TcpStream),
    /// Of `udp`, `udp4`, `udp6`: a read is a datagram, a write is one.
    Udp(UdpSocket),
    /// Of `unix`.
    Unix(UnixStream),
    /// Of `unixgram`: a read is a datagram, a write is one.
    UnixDatagram(UnixDatagram),
}

/// Connects to `addr` on `network`: `tcp`, `tcp4`, `tcp6`, `udp`, `udp4`, `udp6` with `host:port`, `unix`, `unixgram`
/// with a path. Without a host (`:80`), or with one that stands for any (`0.0.0.0`, `[::]`), this machine is meant. An IPv4
/// address that is written as one of IPv6 counts as IPv4. Parks, also while a name is looked up; never blocks a P for that.
///
/// Where `tcp` finds addresses of both families, those of the other family than the first one are tried as well as soon as
/// the first ones have failed, or have not answered for 300 ms; the first connection counts (Happy Eyeballs, RFC 8305).
/// Within a family they are tried in turn.
///
/// # Errors
/// `InvalidInput` for a network that there is not, or a name without an address of that network; else the error of the
/// last address tried of the first one's family.
///
/// # Examples
/// ```
/// use gosched_net::{TcpListener, dial};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let listener = TcpListener::bind("127.0.0.1:0")?;
///         let mut conn = dial("tcp", &listener.local_addr()?.to_string())?;
///         conn.write_all(b"hello")?;
///         let mut buf = [0; 5];
///         listener.accept()?.0.read_exact(&mut buf)?;
///         assert_eq!(&buf, b"hello");
///         Ok(())
///     })
/// }
/// # }
/// ```
pub fn dial(network: &str, addr: &str) -> io::Result<Conn> {
    let wanted: fn(&SocketAddr) -> bool = match network {
        "unix" => return UnixStream::connect(addr).map(Conn::Unix),
        "unixgram" => {
            let s = UnixDatagram::unbound()?;
            s.connect(addr)?;
            return Ok(Conn::UnixDatagram(s));
        }
        "tcp" | "udp" => |_| true,
        "tcp4" | "udp4" => SocketAddr::is_ipv4,
        "tcp6" | "udp6" => SocketAddr::is_ipv6,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("unknown network {network}"))),
    };
    let mut addrs = if addr.starts_with(':') { lookup(&format!("0.0.0.0{addr}"))? } else { lookup(addr)? };
    for a in &mut addrs {
        a.set_ip(match a.ip().to_canonical() {
            ip if !ip.is_unspecified() => ip,
            _ if network.ends_with('6') => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        });
    }
    addrs.retain(wanted);
    if network.starts_with("tcp") {
        return race::connect(addrs, race::FALLBACK_DELAY).map(Conn::Tcp);
    }
    let Some(first) = addrs.first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses"));
    };
    let own: SocketAddr =
        if first.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let s = UdpSocket::bind(own)?;
    s.connect(first)?;
    Ok(Conn::Udp(s))
}

/// The same call on whatever it is.
macro_rules! each {
    ($conn:expr, $s:ident => $call:expr) => {
        match $conn {
            Conn::Tcp($s) => $call,
            Conn::Udp($s) => $call,
            Conn::Unix($s) => $call,
            Conn::UnixDatagram($s) => $call,
        }
    };
}

impl Conn {
    /// Closes it, under every handle: parked and later calls fail with `use of closed network connection`. Parks until
    /// the calls that were under way have left.
    ///
    /// # Errors
    /// Where it was closed before.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::dial("tcp", &l.local_addr()?.to_string())?;
    ///     c.close()?;
    ///     assert_eq!(c.close().unwrap_err().to_string(), "use of closed network connection");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn close(&self) -> io::Result<()> {
        each!(self, s => s.close())
    }

    /// A new handle on the same connection. Never parks.
    ///
    /// # Errors
    /// Where it is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::dial("tcp", &l.local_addr()?.to_string())?;
    ///     let other = c.try_clone()?;
    ///     other.close()?;
    ///     assert!(c.try_clone().is_err(), "closed with it");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<Conn> {
        Ok(match self {
            Conn::Tcp(s) => Conn::Tcp(s.try_clone()?),
            Conn::Udp(s) => Conn::Udp(s.try_clone()?),
            Conn::Unix(s) => Conn::Unix(s.try_clone()?),
            Conn::UnixDatagram(s) => Conn::UnixDatagram(s.try_clone()?),
        })
    }

    /// The moment after which calls fail with `TimedOut`, those that are parked already included; `None` for never.
    /// Setting it never parks.
    ///
    /// # Errors
    /// Where it is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::dial("tcp", &l.local_addr()?.to_string())?;
    ///     c.set_deadline(Some(std::time::Instant::now()))?;
    ///     let e = std::io::Read::read(&mut &c, &mut [0; 8]).unwrap_err();
    ///     assert_eq!(e.kind(), std::io::ErrorKind::TimedOut);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        each!(self, s => s.set_deadline(deadline))
    }

    /// As [`set_deadline`](Conn::set_deadline), for reads. Never parks.
    ///
    /// # Errors
    /// Where it is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::dial("tcp", &l.local_addr()?.to_string())?;
    ///     c.set_read_deadline(Some(std::time::Instant::now()))?;
    ///     assert!(std::io::Read::read(&mut &c, &mut [0; 8]).is_err());
    ///     assert_eq!(std::io::Write::write(&mut &c, b"hi")?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        each!(self, s => s.set_read_deadline(deadline))
    }

    /// As [`set_deadline`](Conn::set_deadline), for writes. Never parks.
    ///
    /// # Errors
    /// Where it is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::bind("127.0.0.1:0")?;
    ///     let c = gosched_net::dial("tcp", &l.local_addr()?.to_string())?;
    ///     c.set_write_deadline(Some(std::time::Instant::now()))?;
    ///     let e = std::io::Write::write(&mut &c, b"hi").unwrap_err();
    ///     assert_eq!(e.kind(), std::io::ErrorKind::TimedOut);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        each!(self, s => s.set_write_deadline(deadline))
    }
}

macro_rules! conn_from {
    ($($variant:ident($ours:ty);)*) => {$(
        impl From<$ours> for Conn {
            fn from(s: $ours) -> Conn {
                Conn::$variant(s)
            }
        }
    )*};
}

conn_from! {
    Tcp(TcpStream);
    Udp(UdpSocket);
    Unix(UnixStream);
    UnixDatagram(UnixDatagram);
}

impl AsFd for Conn {
    /// The descriptor is non-blocking.
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, s => s.as_fd())
    }
}

impl AsRawFd for Conn {
    /// The descriptor is non-blocking.
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Read for &Conn {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Conn::Tcp(s) => (&*s).read(buf),
            Conn::Udp(s) => s.recv(buf),
            Conn::Unix(s) => (&*s).read(buf),
            Conn::UnixDatagram(s) => s.recv(buf),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Conn::Tcp(s) => (&*s).read_vectored(bufs),
            Conn::Unix(s) => (&*s).read_vectored(bufs),
            // A datagram into the first buffer that has room, as std does for readers without vectors.
            Conn::Udp(_) | Conn::UnixDatagram(_) => {
                let first = bufs.iter_mut().find(|b| !b.is_empty());
                self.read(first.map_or(&mut [], |b| &mut **b))
            }
        }
    }
}

impl Write for &Conn {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Tcp(s) => (&*s).write(buf),
            Conn::Udp(s) => s.send(buf),
            Conn::Unix(s) => (&*s).write(buf),
            Conn::UnixDatagram(s) => s.send(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Conn::Tcp(s) => (&*s).write_vectored(bufs),
            Conn::Unix(s) => (&*s).write_vectored(bufs),
            // One datagram of all of them.
            Conn::Udp(_) | Conn::UnixDatagram(_) => {
                let all: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
                self.write(&all)
            }
        }
    }

    /// Nothing is held back here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Conn {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for Conn {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
