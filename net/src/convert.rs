//! To and from std's sockets and descriptors: one table for all our sockets.
//!
//! Into ours: the socket is made non-blocking and the poller takes it. `From` cannot fail; where the poller cannot take
//! the socket, every operation on it gives that error.
//!
//! Out of ours: the last handle gives its own descriptor, others a duplicate. It comes in blocking mode unless
//! `set_nonblocking(true)` was called; a duplicate of a socket other than a stream stays non-blocking, because the mode
//! belongs to both.

use crate::fd::{Fd, Kind};
use crate::sys;
use crate::tcp::TcpStream;
use crate::tcp_listener::TcpListener;
use crate::udp::UdpSocket;
use crate::unix::{UnixListener, UnixStream};
use crate::unix_datagram::UnixDatagram;
use std::net as sn;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net as su;
use std::sync::Arc;

/// Takes a descriptor of unknown mode.
fn adopt(sock: OwnedFd, kind: Kind) -> Arc<Fd> {
    let mode = socket2::SockRef::from(&sock).set_nonblocking(true);
    let tcp = kind == Kind::Stream && sys::is_tcp(sock.as_fd());
    let fd = match mode {
        Ok(()) => Fd::new_or_broken(sock, kind, tcp),
        Err(e) => Fd::broken(sock, kind, e),
    };
    fd.adopt_timeouts();
    Arc::new(fd)
}

macro_rules! conversions {
    ($($ours:ident, $std:ty, $kind:expr, { $($field:ident: $value:expr),* };)*) => {$(
        impl AsFd for $ours {
            /// The descriptor is non-blocking. It stays open, though not the socket, when `close` is called.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd.show()
            }
        }

        impl AsRawFd for $ours {
            /// See `as_fd`.
            fn as_raw_fd(&self) -> RawFd {
                self.fd.show().as_raw_fd()
            }
        }

        impl From<OwnedFd> for $ours {
            /// Makes the descriptor non-blocking. Where that fails, or the poller cannot take it, every operation gives
            /// the error.
            fn from(sock: OwnedFd) -> $ours {
                $ours { fd: adopt(sock, $kind), $($field: $value),* }
            }
        }

        impl From<$std> for $ours {
            /// As `From<OwnedFd>`. Time limits set on std's socket hold on this one.
            fn from(sock: $std) -> $ours {
                $ours::from(OwnedFd::from(sock))
            }
        }

        impl FromRawFd for $ours {
            /// As `From<OwnedFd>`.
            unsafe fn from_raw_fd(fd: RawFd) -> $ours {
                // SAFETY: the caller's promise, the same as ours.
                $ours::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl From<$ours> for OwnedFd {
            /// The descriptor, in blocking mode unless `set_nonblocking(true)` was called. The last handle gives its own,
            /// others a duplicate (which stays non-blocking where it listens).
            ///
            /// # Panics
            /// Where there are other handles and no descriptor is left for a duplicate.
            fn from(sock: $ours) -> OwnedFd {
                Fd::into_owned(sock.fd)
                    .unwrap_or_else(|e| panic!("gosched: cannot duplicate a socket that is in use elsewhere: {e}"))
            }
        }

        impl From<$ours> for $std {
            /// As for `OwnedFd`.
            fn from(sock: $ours) -> $std {
                <$std>::from(OwnedFd::from(sock))
            }
        }

        impl IntoRawFd for $ours {
            /// As for `OwnedFd`.
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }
    )*};
}

conversions! {
    TcpStream, sn::TcpStream, Kind::Stream, {};
    TcpListener, sn::TcpListener, Kind::Other, { accepted: Default::default() };
    UdpSocket, sn::UdpSocket, Kind::Other, {};
    UnixStream, su::UnixStream, Kind::Stream, {};
    UnixListener, su::UnixListener, Kind::Other, {};
    UnixDatagram, su::UnixDatagram, Kind::Other, {};
}
