//! A connection as the server sees it from outside: whom it is with, and whether it may be let go.
//!
//! ```text
//!   IDLE   waits for a request's first byte      the connection's ──► BUSY; the server's ──► LET_GO
//!   BUSY   a request is being read or answered   the connection's ──► IDLE
//!   LET_GO the server ends, and nothing was going on here: the connection ends      for good
//! ```
//! ## Nobody waits through the server's end, and no request is cut off by it
//! The server says that it drains, then lets go whoever is IDLE and passes their read deadline. A connection sets its
//! deadline, says IDLE, then looks whether the server drains, then reads. In one order of these four words (SeqCst): either
//! the connection sees that the server drains, or the server finds it IDLE, and after it has set its own deadline, so
//! that the server's counts. A connection in a request is BUSY, its deadline is left alone, and it looks when it is done.

use gosched::net::TcpStream;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Instant;

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const LET_GO: u8 = 2;

/// One for each connection, known to its goroutine and to the server.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) stream: TcpStream,
    state: AtomicU8,
    /// Requests answered. Written by the connection only.
    requests: AtomicU64,
}

impl Peer {
    pub(crate) fn new(addr: SocketAddr, stream: TcpStream) -> Peer {
        Peer { addr, stream, state: AtomicU8::new(BUSY), requests: AtomicU64::new(0) }
    }

    /// For the connection: it waits for a request now, its deadline being set. False: it shall end.
    #[must_use]
    pub(crate) fn idle(&self, draining: &AtomicBool) -> bool {
        self.state.store(IDLE, SeqCst);
        !draining.load(SeqCst)
    }

    /// For the connection: a request comes in. False: too late, it was let go.
    #[must_use]
    pub(crate) fn busy(&self) -> bool {
        self.state.compare_exchange(IDLE, BUSY, SeqCst, SeqCst).is_ok()
    }

    /// For the connection: a request was answered.
    pub(crate) fn answered(&self) {
        // There is one writer: no need for an addition in one piece, in a line that is nobody else's.
        self.requests.store(self.requests.load(Relaxed) + 1, Relaxed);
    }

    /// How many were.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// For the server, once it drains.
    pub(crate) fn let_go_if_idle(&self) {
        if self.state.compare_exchange(IDLE, LET_GO, SeqCst, SeqCst).is_ok() {
            // Ends a read that is parked as well. An error says that the connection has ended by itself.
            let _ = self.stream.set_read_deadline(Some(Instant::now()));
        }
    }
}
