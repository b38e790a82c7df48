//! Why somebody gets no tunnel, in the three languages in which that is said.
//!
//! ```text
//!                            SOCKS5, RFC 1928 §6             HTTP
//!   TimedOut                 06 TTL expired, as others do    504
//!   Full, TooMany            01                              503
//!   …
//! ```
//! The name is for the log and the numbers.

use std::io::{self, ErrorKind};

/// See the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client left in the middle of its request; nobody is there to be told.
    Gone,
    /// It took too long with it.
    Slow,
    /// It does not speak what is spoken here.
    Malformed(&'static str),
    TooLarge,
    /// HTTP of another version.
    Version,
    /// A wrong password, or none.
    Credentials,
    /// Not CONNECT.
    Command,
    AddressType,
    /// A name that cannot be one.
    BadName,
    /// By the rules.
    Forbidden,
    /// As many connections as there may be.
    Full,
    /// As many as this client may have.
    TooMany,
    Unresolved,
    Refused,
    HostUnreachable,
    NetworkUnreachable,
    TimedOut,
    /// No descriptors, no memory, no ports.
    Exhausted,
    Failed,
    /// The server ends.
    Ending,
}

use Refusal::*;

impl Refusal {
    /// What became of an attempt to connect.
    pub(crate) fn of_connect(e: &io::Error) -> Refusal {
        match (e.kind(), e.raw_os_error()) {
            (ErrorKind::ConnectionRefused, _) => Refused,
            (ErrorKind::HostUnreachable, _) => HostUnreachable,
            (ErrorKind::NetworkUnreachable, _) => NetworkUnreachable,
            (ErrorKind::TimedOut, _) => TimedOut,
            (ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory, _) => Exhausted,
            (_, Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::EAGAIN)) => Exhausted,
            _ => Failed,
        }
    }

    /// The code of a SOCKS5 reply.
    pub(crate) fn socks(self) -> u8 {
        match self {
            Forbidden => 2,
            NetworkUnreachable => 3,
            HostUnreachable | Unresolved | BadName => 4,
            Refused => 5,
            TimedOut => 6,
            Command => 7,
            AddressType => 8,
            _ => 1,
        }
    }

    /// The status line of an HTTP answer, and a line of explanation.
    pub(crate) fn http(self) -> (&'static str, &'static str) {
        match self {
            Malformed(why) => ("400 Bad Request", why),
            BadName => ("400 Bad Request", "there can be no host of this name"),
            Forbidden => ("403 Forbidden", "this target is not allowed"),
            Credentials => ("407 Proxy Authentication Required", "name and password, please"),
            Slow => ("408 Request Timeout", "the request takes too long"),
            TooLarge => ("431 Request Header Fields Too Large", "the request is too large"),
            Command => ("501 Not Implemented", "http:// and CONNECT, nothing else"),
            Version => ("505 HTTP Version Not Supported", "HTTP/1.1, please"),
            Unresolved => ("502 Bad Gateway", "the host's name does not resolve"),
            Refused => ("502 Bad Gateway", "the target refuses the connection"),
            HostUnreachable | NetworkUnreachable => ("502 Bad Gateway", "there is no way to the target"),
            TimedOut => ("504 Gateway Timeout", "the target does not answer"),
            Full | TooMany => ("503 Service Unavailable", "too many connections"),
            Exhausted => ("503 Service Unavailable", "the proxy has no room for more"),
            Ending => ("503 Service Unavailable", "the proxy ends"),
            Gone | AddressType | Failed => ("502 Bad Gateway", "the target cannot be reached"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Gone => "gone",
            Slow => "slow",
            Malformed(_) => "malformed",
            TooLarge => "too_large",
            Version => "version",
            Credentials => "credentials",
            Command => "command",
            AddressType => "address_type",
            BadName => "bad_name",
            Forbidden => "forbidden",
            Full => "full",
            TooMany => "too_many",
            Unresolved => "unresolved",
            Refused => "refused",
            HostUnreachable => "host_unreachable",
            NetworkUnreachable => "network_unreachable",
            TimedOut => "timed_out",
            Exhausted => "exhausted",
            Failed => "failed",
            Ending => "ending",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_their_codes() {
        for (errno, code, status) in [
            (libc::ECONNREFUSED, 5, "502"),
            (libc::EHOSTUNREACH, 4, "502"),
            (libc::ENETUNREACH, 3, "502"),
            (libc::ETIMEDOUT, 6, "504"),
            (libc::EMFILE, 1, "503"),
            (libc::EADDRNOTAVAIL, 1, "503"),
            (libc::EACCES, 1, "502"),
        ] {
            let refusal = Refusal::of_connect(&io::Error::from_raw_os_error(errno));
            assert_eq!((refusal.socks(), &refusal.http().0[..3]), (code, status), "{errno}");
        }
    }
}
