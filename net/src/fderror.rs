//! The errors of sockets: what a closed one says, what a passed deadline says, and a copy that can be given out again.

use crate::fdmutex::Closed;
use crate::polldesc::PollError;
use crate::sys;
use std::io;

/// What a closed socket says (Go: net.ErrClosed).
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "use of closed network connection")
}

impl From<Closed> for io::Error {
    fn from(_: Closed) -> io::Error {
        closed()
    }
}

impl From<PollError> for io::Error {
    fn from(e: PollError) -> io::Error {
        match e {
            PollError::Closing => closed(),
            PollError::Deadline => io::Error::new(io::ErrorKind::TimedOut, "i/o timeout"),
            PollError::Limit => sys::timed_out_like_std(),
        }
    }
}

/// An error that can be given out again and again.
#[derive(Clone, Copy)]
pub(crate) struct Saved {
    kind: io::ErrorKind,
    os: Option<i32>,
}

impl From<io::Error> for Saved {
    fn from(e: io::Error) -> Saved {
        Saved { kind: e.kind(), os: e.raw_os_error() }
    }
}

impl From<Saved> for io::Error {
    fn from(e: Saved) -> io::Error {
        e.os.map_or(e.kind.into(), io::Error::from_raw_os_error)
    }
}
