//! Unix stream sockets.
//!
//! Their short reads say nothing (a read stops at passed descriptors and at a change of the sender's credentials), so
//! the drained mark of fd.rs is not used here.

use crate::common::{limit_methods, socket_methods, stream_traits};
use crate::fd::{Fd, Kind};
use crate::polldesc::Mode;
use crate::sys;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::iter::FusedIterator;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection between processes of one machine: [`std::os::unix::net::UnixStream`] whose blocking calls park the
/// goroutine.
///
/// # Examples
/// ```
/// use gosched_net::UnixStream;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let (mut a, mut b) = UnixStream::pair()?;
///         a.write_all(b"hello")?;
///         let mut buf = [0; 5];
///         b.read_exact(&mut buf)?;
///         assert_eq!(&buf, b"hello");
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct UnixStream {
    pub(crate) fd: Arc<Fd>,
}

socket_methods!(UnixStream, "gosched_net::UnixStream::pair()?.0");
limit_methods!(UnixStream, "gosched_net::UnixStream::pair()?.0");
stream_traits!(UnixStream);

impl UnixStream {
    /// Connects to the socket at `path`. Never parks; where the listener's queue is full this blocks the thread: the
    /// system offers no event to park for.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-uc", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     let client = gosched_net::UnixStream::connect(&path)?;
    ///     assert_eq!(client.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_raw(&SockAddr::unix(path)?)
    }

    /// As [`connect`](UnixStream::connect), to an address that may be abstract. Blocks the thread where that does.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for an address without a name.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-uca", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     let client = gosched_net::UnixStream::connect_addr(&listener.local_addr()?)?;
    ///     assert_eq!(client.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_raw(&sys::from_unix_addr(addr)?)
    }

    fn connect_raw(addr: &SockAddr) -> io::Result<UnixStream> {
        let s = sys::socket(Domain::UNIX, Type::STREAM)?;
        match sys::connect_whole(&s, addr) {
            Err(e) if sys::is_would_block(&e) => {
                s.set_nonblocking(false)?;
                sys::connect_whole(&s, addr)?;
                s.set_nonblocking(true)?;
            }
            r => r?,
        }
        Ok(UnixStream::from_fd(Fd::new(s.into(), Kind::Stream, false)?))
    }

    /// Two ends of a connection without names. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (a, b) = gosched_net::UnixStream::pair()?;
    ///     std::io::Write::write_all(&mut &a, b"hi")?;
    ///     assert_eq!(std::io::Read::read(&mut &b, &mut [0; 8])?, 2);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = Socket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let ours =
            |s: Socket| Ok::<_, io::Error>(UnixStream::from_fd(Fd::new(s.into(), Kind::Stream, false)?));
        Ok((ours(a)?, ours(b)?))
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
    ///     let (a, b) = gosched_net::UnixStream::pair()?;
    ///     assert!(a.local_addr()?.is_unnamed() && b.peer_addr()?.is_unnamed());
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_unix_addr(&SockRef::from(&s).local_addr()?))
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
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-upa", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     let client = gosched_net::UnixStream::connect(&path)?;
    ///     assert_eq!(client.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_unix_addr(&SockRef::from(&s).peer_addr()?))
    }

    /// Reads without taking the data off the stream. Parks until there is some, as a read does.
    ///
    /// # Errors
    /// As for reads.
    ///
    /// # Examples
    /// ```
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let (mut a, mut b) = gosched_net::UnixStream::pair()?;
    ///     a.write_all(b"hi")?;
    ///     let mut buf = [0; 2];
    ///     assert_eq!(b.peek(&mut buf)?, 2);
    ///     b.read_exact(&mut buf)?;
    ///     assert_eq!(&buf, b"hi");
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.peek(buf.len(), |fd| sys::peek(fd, buf))
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
    ///     let (a, b) = gosched_net::UnixStream::pair()?;
    ///     a.shutdown(gosched_net::Shutdown::Write)?;
    ///     assert_eq!(std::io::Read::read(&mut &b, &mut [0; 8])?, 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.with(|s| SockRef::from(&s).shutdown(how))
    }
}

/// What std's Debug shows of a Unix socket.
macro_rules! debug_unix {
    ($ours:ident) => {
        impl fmt::Debug for $ours {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut d = f.debug_struct(stringify!($ours));
                d.field("fd", &self.fd.number());
                if let Ok(addr) = self.local_addr() {
                    d.field("local", &addr);
                }
                if let Ok(peer) = self.fd.with(|s| sys::to_unix_addr(&SockRef::from(&s).peer_addr()?)) {
                    d.field("peer", &peer);
                }
                d.finish()
            }
        }
    };
}
pub(crate) use debug_unix;

debug_unix!(UnixStream);
debug_unix!(UnixListener);

/// A Unix socket that accepts connections: [`std::os::unix::net::UnixListener`] whose `accept` parks the goroutine.
///
/// As in std, the file at its path stays when it is closed or dropped.
///
/// # Examples
/// ```
/// use gosched_net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let path = std::env::temp_dir().join(format!("gosched-doc-{}-unix", std::process::id()));
///         let listener = UnixListener::bind(&path)?;
///         let mut client = UnixStream::connect(&path)?;
///         std::fs::remove_file(&path)?;
///         client.write_all(b"hi")?;
///         let (mut served, _) = listener.accept()?;
///         served.read_exact(&mut [0; 2])?;
///         Ok(())
///     })
/// }
/// # }
/// ```
pub struct UnixListener {
    pub(crate) fd: Arc<Fd>,
}

socket_methods!(
    UnixListener,
    r#"{
        let path = std::env::temp_dir().join(format!("gosched-doc-{}-listener", std::process::id()));
        let listener = gosched_net::UnixListener::bind(&path)?;
        std::fs::remove_file(&path)?;
        listener
    }"#
);

impl UnixListener {
    /// Listens at `path`, which must not exist yet. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-ulb", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     assert!(gosched_net::UnixListener::bind(&path).is_err(), "it is there already");
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_raw(&SockAddr::unix(path)?)
    }

    /// Listens at an address that may be abstract. Never parks.
    ///
    /// # Errors
    /// The system's; `InvalidInput` for an address without a name.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-ulba", std::process::id()));
    ///     let addr = gosched_net::UnixSocketAddr::from_pathname(&path)?;
    ///     let listener = gosched_net::UnixListener::bind_addr(&addr)?;
    ///     assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::bind_raw(&sys::from_unix_addr(addr)?)
    }

    fn bind_raw(addr: &SockAddr) -> io::Result<UnixListener> {
        let s = sys::socket(Domain::UNIX, Type::STREAM)?;
        let bound = sys::bind_path(&s, addr)?;
        s.listen(sys::default_backlog())?;
        let fd = Fd::new(s.into(), Kind::Other, false)?;
        bound.keep();
        Ok(UnixListener::from_fd(fd))
    }

    /// Parks until a connection comes, and gives it with the address of its other end. A lack of descriptors or memory
    /// is waited out, as [`TcpListener::accept`](crate::TcpListener::accept) does.
    ///
    /// # Errors
    /// Where no later accept could succeed; `TimedOut` when the deadline passes, `WouldBlock` with
    /// `set_nonblocking(true)`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-ula", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     let client = gosched_net::UnixStream::connect(&path)?;
    ///     let (served, _) = listener.accept()?;
    ///     std::io::Write::write_all(&mut &client, b"hi")?;
    ///     assert_eq!(std::io::Read::read(&mut &served, &mut [0; 8])?, 2);
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let name = || self.local_addr().map_or_else(|_| "a closed listener".into(), |a| format!("{a:?}"));
        let (sock, addr) = self.fd.accept_with(name, false, |_| ())?;
        Ok((UnixStream::from_fd(sock), sys::to_unix_addr(&addr)?))
    }

    /// The connections, one after the other, without end. Each step is an [`accept`](UnixListener::accept), and parks
    /// as that does.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-uli", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     let client = gosched_net::UnixStream::connect(&path)?;
    ///     let served = listener.incoming().next().expect("incoming never ends")?;
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }

    /// The address it listens at. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-ulla", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(|s| sys::to_unix_addr(&SockRef::from(&s).local_addr()?))
    }

    /// The moment after which `accept` fails with `TimedOut`, also one that is parked already; `None` for never.
    /// Setting it never parks.
    ///
    /// # Errors
    /// Where the listener is closed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-ulsd", std::process::id()));
    ///     let listener = gosched_net::UnixListener::bind(&path)?;
    ///     listener.set_deadline(Some(std::time::Instant::now()))?;
    ///     assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// #     std::fs::remove_file(&path)?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.fd.set_deadline(&[Mode::Read], deadline)
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;
    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}

/// The connections of a listener: see [`UnixListener::incoming`]. Each step parks, as `accept` does.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
/// #     let path = std::env::temp_dir().join(format!("gosched-doc-{}-ui", std::process::id()));
///     let listener = gosched_net::UnixListener::bind(&path)?;
///     let client = gosched_net::UnixStream::connect(&path)?;
///     for served in listener.incoming().take(1) {
///         served?.set_nonblocking(true)?;
///     }
/// #     std::fs::remove_file(&path)?;
///     Ok(())
/// }) }
/// # }
/// ```
#[must_use = "an iterator accepts nothing until it is asked to"]
#[derive(Debug)]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(s, _)| s))
    }
}

impl FusedIterator for UnixIncoming<'_> {}
