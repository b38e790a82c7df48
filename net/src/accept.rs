//! Accepting, for listeners of all families.
//!
//! A server's accept loop must not end because one connection failed on its way in, nor because the process has run out
//! of descriptors for a moment: `accept` passes over the first sort of error and waits the second sort out, and returns
//! an error only where accepting again would be of no use.

use crate::fd::{Fd, Kind};
use crate::polldesc::Mode;
use crate::sys::{self, AcceptError};
use socket2::SockAddr;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The first pause when descriptors or memory have run out, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Fd {
    /// Parks until a connection comes. `name` is the listener's, for the line on stderr; `prepare` sees the socket before
    /// it is used.
    pub(crate) fn accept_with(
        &self,
        name: impl Fn() -> String,
        tcp: bool,
        prepare: impl Fn(&OwnedFd),
    ) -> io::Result<(Fd, SockAddr)> {
        let mut pause = Duration::ZERO;
        loop {
            let tried = self.call(Mode::Read, sys::accept).and_then(|(sock, addr)| {
                prepare(&sock);
                Ok((Fd::new(sock, Kind::Stream, tcp)?, addr))
            });
            let e = match tried {
                Ok(accepted) => return Ok(accepted),
                Err(e) => e,
            };
            match sys::accept_error(&e) {
                AcceptError::TryNext => {}
                AcceptError::Exhausted if !self.is_nonblocking() => {
                    if pause.is_zero() {
                        pause = FIRST_PAUSE;
                        report(&name(), &e, pause);
                    } else {
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    self.pause(Mode::Read, pause)?;
                }
                AcceptError::Exhausted | AcceptError::Real => return Err(e),
            }
        }
    }
}

#[cold]
fn report(on: &str, e: &io::Error, pause: Duration) {
    // One write for the line; a stderr that is gone is no reason to stop serving.
    let line = format!("gosched: accept on {on}: {e}; retrying in {} ms\n", pause.as_millis());
    let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
}
