//! The deadlines, time limits and modes of an [`Fd`]. Set by anybody at any time; nothing here parks.

use super::Fd;
use crate::polldesc::Mode;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl<S: AsFd> Fd<S> {
    pub(crate) fn set_deadline(&self, modes: &[Mode], to: Option<Instant>) -> io::Result<()> {
        let (_in_use, pd) = self.enter()?;
        for &mode in modes {
            pd.set_deadline(mode, to);
        }
        Ok(())
    }

    pub(crate) fn set_timeout(&self, mode: Mode, d: Option<Duration>) -> io::Result<()> {
        if d == Some(Duration::ZERO) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        let _in_use = self.enter()?;
        self.side(mode).timeout.set(d);
        // The kernel does not use it on a non-blocking socket, but keeps it for std's, should this one become that.
        let sock = socket2::SockRef::from(&self.sock);
        match mode {
            Mode::Read => sock.set_read_timeout(d),
            Mode::Write => sock.set_write_timeout(d),
        }
    }

    pub(crate) fn timeout(&self, mode: Mode) -> io::Result<Option<Duration>> {
        let _in_use = self.enter()?;
        Ok(self.side(mode).timeout.get())
    }

    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        let _in_use = self.enter()?;
        self.nonblocking.store(on, Ordering::Relaxed);
        Ok(())
    }

    /// When a call that starts now must end by the time limit per call.
    pub(crate) fn limit(&self, mode: Mode) -> Option<Instant> {
        self.side(mode).timeout.counted_from_now()
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }
}
