//! Status codes, and the refusal of a request as an error.
//!
//! Bodies are read through `std::io::Read`, whose errors are `io::Error`s; a [`Refused`] travels inside of one, through
//! whatever a handler calls, to the place that answers it.

use std::{error, fmt, io};

/// Why a request is not served: the status of the answer, and words for a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u16, pub &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0, reason(self.0), self.1)
    }
}

impl error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, refused)
    }
}

impl Refused {
    /// The refusal in an error, if there is one.
    pub(crate) fn within(e: &io::Error) -> Option<Refused> {
        e.get_ref()?.downcast_ref().copied()
    }
}

/// The words for a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}
