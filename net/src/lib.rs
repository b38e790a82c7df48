//! Sockets of gosched: `std::net`'s interface, on goroutines.
//!
//! A call that would block the thread parks the goroutine instead, and the network poller readies it.
//! ```text
//!   TcpStream, TcpListener …    tcp.rs tcp_listener.rs udp.rs unix.rs …   which system call
//!        │  Arc
//!        ▼
//!       Fd ── the loop: try, park, try again    fd.rs       fdmutex.rs: who is in, and close
//!        │
//!        ▼
//!    PollDesc ── rg, wg: where they park        polldesc.rs parkword.rs, deadline.rs
//!        ▲
//!        │ events
//!      Poller ── mio, behind the scheduler's Netpoll seam   poller.rs
//! ```
//! A file uses only those before it in this list: loom, parkword, alarm, deadline, polldesc, sys, poller, fdmutex, fderror, fd,
//! pollfd, accept, common, resolve, tcp, tcp_listener, tcp_builder, udp, unix, unix_datagram, race, dial, copy, convert.
//!
//! [`PollFd`] stands beside the sockets: an `Fd` over a descriptor that somebody else has made.

// A build for the models holds the modelled files alone.
#![cfg_attr(gosched_loom, allow(dead_code))]

mod alarm;
mod loom;
mod parkword;

#[cfg(not(gosched_loom))]
mod accept;
#[cfg(not(gosched_loom))]
mod common;
#[cfg(not(gosched_loom))]
mod convert;
#[cfg(not(gosched_loom))]
mod copy;
#[cfg(not(gosched_loom))]
mod deadline;
#[cfg(not(gosched_loom))]
mod dial;
#[cfg(not(gosched_loom))]
mod fd;
#[cfg(not(gosched_loom))]
mod fderror;
#[cfg(not(gosched_loom))]
mod fdmutex;
#[cfg(not(gosched_loom))]
mod polldesc;
#[cfg(not(gosched_loom))]
mod poller;
#[cfg(not(gosched_loom))]
mod pollfd;
#[cfg(not(gosched_loom))]
mod race;
#[cfg(not(gosched_loom))]
mod resolve;
#[cfg(not(gosched_loom))]
mod sys;
#[cfg(not(gosched_loom))]
mod tcp;
#[cfg(not(gosched_loom))]
mod tcp_builder;
#[cfg(not(gosched_loom))]
mod tcp_listener;
#[cfg(not(gosched_loom))]
mod udp;
#[cfg(not(gosched_loom))]
mod unix;
#[cfg(not(gosched_loom))]
mod unix_datagram;

#[cfg(not(gosched_loom))]
#[doc(hidden)]
pub use copy::FdRef;
#[cfg(not(gosched_loom))]
pub use copy::{CopyStream, copy, send_file};
#[cfg(not(gosched_loom))]
pub use dial::{Conn, dial};
#[cfg(not(gosched_loom))]
pub use pollfd::PollFd;
#[cfg(not(gosched_loom))]
pub use resolve::lookup_host;
#[cfg(not(gosched_loom))]
pub use tcp::TcpStream;
#[cfg(not(gosched_loom))]
pub use tcp_builder::TcpListenerBuilder;
#[cfg(not(gosched_loom))]
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
#[cfg(not(gosched_loom))]
pub use udp::UdpSocket;
#[cfg(not(gosched_loom))]
pub use unix::{UnixIncoming, UnixListener, UnixStream};
#[cfg(not(gosched_loom))]
pub use unix_datagram::UnixDatagram;

/// What std's sockets are addressed with, so that `std::net` can be replaced by this crate in a `use`.
#[cfg(not(gosched_loom))]
#[doc(no_inline)]
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
    ToSocketAddrs,
};
/// The address of a Unix socket, abstract ones included (`std::os::linux::net::SocketAddrExt`).
#[cfg(not(gosched_loom))]
#[doc(no_inline)]
pub use std::os::unix::net::SocketAddr as UnixSocketAddr;

/// The poller, for tests that drive it without a scheduler.
///
/// # Errors
/// Where it cannot be made.
#[cfg(not(gosched_loom))]
#[doc(hidden)]
pub fn netpoller() -> std::io::Result<&'static dyn gosched_runtime::poller::Netpoll> {
    Ok(poller::poller()?)
}

#[cfg(all(test, gosched_loom))]
#[path = "tests/loom_polldesc.rs"]
mod loom_polldesc;
