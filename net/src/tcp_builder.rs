//! How a TCP listener is made: its options, and the calls that bind and listen.

use crate::fd::{Fd, Kind};
use crate::resolve::each_addr;
use crate::sys;
use crate::tcp_listener::{Accepted, TcpListener};
use socket2::{Domain, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

impl TcpListener {
    /// Listens on the first of the addresses that can be bound, with SO_REUSEADDR (as std) and the longest queue that
    /// the system allows (as Go). Port 0 lets the system choose. A name is resolved first, which blocks the thread.
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
    ///     assert_ne!(l.local_addr()?.port(), 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        TcpListener::builder().bind(addr)
    }

    /// Listens with options: nothing happens before [`bind`](TcpListenerBuilder::bind).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().nodelay(true).bind("127.0.0.1:0")?;
    ///     let _c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert!(l.accept()?.0.nodelay()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::default()
    }
}

/// Options for a listener, and for the connections that it accepts. Nothing here parks.
///
/// # Examples
/// ```
/// use gosched_net::TcpListener;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         let one = TcpListener::builder().reuse_port(true).backlog(64).bind("127.0.0.1:0")?;
///         let two = TcpListener::builder().reuse_port(true).nodelay(true).bind(one.local_addr()?)?;
///         assert_eq!(one.local_addr()?, two.local_addr()?);
///         Ok(())
///     })
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it binds"]
pub struct TcpListenerBuilder {
    backlog: Option<u32>,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    ttl: Option<u32>,
    recv_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
    accepted: Accepted,
}

impl Default for TcpListenerBuilder {
    fn default() -> TcpListenerBuilder {
        TcpListenerBuilder {
            backlog: None,
            reuse_address: sys::REUSE_ADDRESS_BY_DEFAULT,
            reuse_port: false,
            only_v6: None,
            ttl: None,
            recv_buffer_size: None,
            send_buffer_size: None,
            accepted: Accepted::default(),
        }
    }
}

impl TcpListenerBuilder {
    /// How many connections may wait to be accepted. The default is the system's limit, which also bounds this.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().backlog(16).bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert_eq!(l.accept()?.1, c.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// SO_REUSEADDR: bind although old connections of the address linger. On by default.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().reuse_address(false).bind("127.0.0.1:0")?;
    ///     assert_ne!(l.local_addr()?.port(), 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// SO_REUSEPORT: several listeners share the port, the system spreads connections over them.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let one = gosched_net::TcpListener::builder().reuse_port(true).bind("127.0.0.1:0")?;
    ///     let two = gosched_net::TcpListener::builder().reuse_port(true).bind(one.local_addr()?)?;
    ///     assert_eq!(one.local_addr()?, two.local_addr()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// IPV6_V6ONLY, on IPv6 addresses: take no IPv4 connections. The default is the system's.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    /// #     if std::net::UdpSocket::bind("[::1]:0").is_err() { return Ok(()) } // no IPv6 here
    ///     let l = gosched_net::TcpListener::builder().only_v6(true).bind("[::]:0")?;
    ///     assert!(l.only_v6()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// IP_TTL: the time to live of packets sent, in hops.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().ttl(42).bind("127.0.0.1:0")?;
    ///     assert_eq!(l.ttl()?, 42);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn ttl(mut self, ttl: u32) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// SO_RCVBUF, in bytes, of the connections too.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().recv_buffer_size(64 << 10).bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     l.accept()?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// SO_SNDBUF, in bytes, of the connections too.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().send_buffer_size(64 << 10).bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     l.accept()?;
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// TCP_NODELAY on accepted connections.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().nodelay(true).bind("127.0.0.1:0")?;
    ///     let _c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     assert!(l.accept()?.0.nodelay()?);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn nodelay(mut self, on: bool) -> Self {
        self.accepted.nodelay = on;
        self
    }

    /// Keep-alive probes on accepted connections, after this long without traffic and at this interval (whole seconds);
    /// `None`, the default, for no probes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let idle = std::time::Duration::from_secs(60);
    ///     let l = gosched_net::TcpListener::builder().keepalive(Some(idle)).bind("127.0.0.1:0")?;
    ///     let c = gosched_net::TcpStream::connect(l.local_addr()?)?;
    ///     l.accept()?; // probed once a minute while it is silent
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn keepalive(mut self, idle: Option<Duration>) -> Self {
        self.accepted.keepalive = idle;
        self
    }

    /// Listens on the first of the addresses that can be bound. A name is resolved first, which blocks the thread.
    /// Never parks.
    ///
    /// # Errors
    /// Of the last address tried; `InvalidInput` where there is none.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    /// unsafe { gosched_runtime::run(|| {
    ///     let l = gosched_net::TcpListener::builder().backlog(16).bind("127.0.0.1:0")?;
    ///     assert_ne!(l.local_addr()?.port(), 0);
    ///     Ok(())
    /// }) }
    /// # }
    /// ```
    pub fn bind<A: ToSocketAddrs>(self, addr: A) -> io::Result<TcpListener> {
        each_addr(addr, |addr| self.bind_one(addr))
    }

    fn bind_one(&self, addr: &SocketAddr) -> io::Result<TcpListener> {
        let s = sys::socket(Domain::for_address(*addr), Type::STREAM)?;
        s.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            s.set_reuse_port(true)?;
        }
        if let Some(on) = self.only_v6
            && addr.is_ipv6()
        {
            s.set_only_v6(on)?;
        }
        if let Some(ttl) = self.ttl {
            s.set_ttl_v4(ttl)?;
        }
        if let Some(n) = self.recv_buffer_size {
            s.set_recv_buffer_size(n)?;
        }
        if let Some(n) = self.send_buffer_size {
            s.set_send_buffer_size(n)?;
        }
        s.bind(&(*addr).into())?;
        s.listen(self.backlog.map_or_else(sys::default_backlog, |n| i32::try_from(n).unwrap_or(i32::MAX)))?;
        // Registered when it listens: before, it counts as hung up.
        let fd = Fd::new(s.into(), Kind::Other, false)?;
        Ok(TcpListener { fd: Arc::new(fd), accepted: self.accepted.clone() })
    }
}
