//! A stream: two pipes, one each way.

use super::Faults;
use super::pipe::{Pipe, from_now};
use gosched_runtime::park::now;
use gosched_runtime::sync::Mutex;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One end of a connection, with the face of a TCP stream. The connection ends when the last handle of an end is dropped:
/// the other reads the end of the stream, after what was sent before.
///
/// See [`Net`](super::Net) for examples.
pub struct Stream(Arc<End>);

struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    here: SocketAddr,
    there: SocketAddr,
    limits: Mutex<Limits>,
}

#[derive(Clone, Copy, Default)]
struct Limits {
    closed: bool,
    read: Limited,
    write: Limited,
}

#[derive(Clone, Copy, Default)]
struct Limited {
    deadline: Option<Instant>,
    timeout: Option<Duration>,
}

/// What a closed stream says.
pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "use of closed network connection")
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.limits.get_mut().closed {
            self.outgoing.finish();
            self.incoming.stop_reading();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("here", &self.0.here)
            .field("there", &self.0.there)
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn pair(faults: &Faults, here: SocketAddr, there: SocketAddr) -> (Stream, Stream) {
        let (to, fro) = (Arc::new(Pipe::new(faults)), Arc::new(Pipe::new(faults)));
        let end = |incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>, here, there| {
            let (incoming, outgoing) = (incoming.clone(), outgoing.clone());
            Stream(Arc::new(End { incoming, outgoing, here, there, limits: Mutex::default() }))
        };
        (end(&fro, &to, here, there), end(&to, &fro, there, here))
    }

    /// The end of a call that begins now, and what it says when that has come.
    fn limit(&self, which: fn(&Limits) -> Limited) -> impl Fn() -> io::Result<Option<Instant>> + '_ {
        let begun = which(&self.0.limits.lock()).timeout.map(from_now);
        move || {
            let limits = *self.0.limits.lock();
            if limits.closed {
                return Err(closed());
            }
            let deadline = which(&limits).deadline;
            let t = now();
            if deadline.is_some_and(|at| at <= t) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout"));
            }
            let timeout = begun.flatten();
            if timeout.is_some_and(|at| at <= t) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok([deadline, timeout].into_iter().flatten().min())
        }
    }

    fn read_some(&self, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        self.0.incoming.read(buf, peek, &self.limit(|l| l.read))
    }

    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        let written = self.0.outgoing.write(buf, &self.limit(|l| l.write));
        if written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset) {
            self.0.outgoing.reset();
            self.0.incoming.reset();
        }
        written
    }

    /// What would be read next, without taking it; parks until there is something.
    ///
    /// # Errors
    /// As `read`.
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// use std::io::Write;
    /// let (mut a, b) = Net::new(Faults::none()).pair();
    /// a.write_all(b"x").unwrap();
    /// assert_eq!((b.peek(&mut [0; 9]).unwrap(), b.peek(&mut [0; 9]).unwrap()), (1, 1));
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_some(buf, true)
    }

    /// Ends one direction, or both. Never parks.
    ///
    /// # Errors
    /// `ConnectionAborted` on a closed stream.
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// use std::{io::Read, net::Shutdown};
    /// let (a, mut b) = Net::new(Faults::none()).pair();
    /// a.shutdown(Shutdown::Write).unwrap();
    /// assert_eq!(b.read(&mut [0]).unwrap(), 0);
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if self.0.limits.lock().closed {
            return Err(closed());
        }
        if how != Shutdown::Read {
            self.0.outgoing.finish();
        }
        if how != Shutdown::Write {
            self.0.incoming.stop_reading();
        }
        Ok(())
    }

    /// Ends the connection at once, under every handle of this end: parked and later calls fail. Never parks.
    ///
    /// # Errors
    /// `ConnectionAborted` where it is closed already.
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// use std::io::Read;
    /// let (mut a, mut b) = Net::new(Faults::none()).pair();
    /// a.close().unwrap();
    /// assert!(a.read(&mut [0]).is_err());
    /// assert_eq!(b.read(&mut [0]).unwrap(), 0);
    /// ```
    pub fn close(&self) -> io::Result<()> {
        if std::mem::replace(&mut self.0.limits.lock().closed, true) {
            return Err(closed());
        }
        self.0.outgoing.finish();
        self.0.incoming.stop_reading();
        self.0.outgoing.look_again();
        Ok(())
    }

    /// Another handle on this end. See [`Net`](super::Net) for examples.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(Stream(self.0.clone()))
    }

    /// This end's address. See [`Net::connect`](super::Net::connect) for an example.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.here)
    }

    /// The other end's address. See [`Net::connect`](super::Net::connect) for an example.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.there)
    }

    /// Does nothing: there is no delay to switch off. See [`Net`](super::Net) for examples.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn set_nodelay(&self, _on: bool) -> io::Result<()> {
        Ok(())
    }

    fn set_limit(&self, set: impl FnOnce(&mut Limits)) -> io::Result<()> {
        let mut limits = self.0.limits.lock();
        if limits.closed {
            return Err(closed());
        }
        set(&mut limits);
        drop(limits);
        self.0.incoming.look_again();
        self.0.outgoing.look_again();
        Ok(())
    }

    /// When reads and writes end with `TimedOut`, those that are parked now too. `None`: never.
    ///
    /// # Errors
    /// `ConnectionAborted` on a closed stream.
    ///
    /// ```
    /// use gosched_testing::{net::{Faults, Net}, now, virtual_time};
    /// use std::{io::Read, time::Duration};
    /// virtual_time(|| {
    ///     let (mut a, _b) = Net::new(Faults::none()).pair();
    ///     a.set_deadline(Some(now() + Duration::from_secs(60))).unwrap();
    ///     assert_eq!(a.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// });
    /// ```
    pub fn set_deadline(&self, t: Option<Instant>) -> io::Result<()> {
        self.set_limit(|l| (l.read.deadline, l.write.deadline) = (t, t))
    }

    /// As [`set_deadline`](Stream::set_deadline), for reads.
    ///
    /// # Errors
    /// `ConnectionAborted` on a closed stream.
    pub fn set_read_deadline(&self, t: Option<Instant>) -> io::Result<()> {
        self.set_limit(|l| l.read.deadline = t)
    }

    /// As [`set_deadline`](Stream::set_deadline), for writes.
    ///
    /// # Errors
    /// `ConnectionAborted` on a closed stream.
    pub fn set_write_deadline(&self, t: Option<Instant>) -> io::Result<()> {
        self.set_limit(|l| l.write.deadline = t)
    }

    /// How long each read may take; then it ends with `WouldBlock`, as with std. `None`: for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero; `ConnectionAborted` on a closed stream.
    ///
    /// ```
    /// use gosched_testing::{net::{Faults, Net}, virtual_time};
    /// use std::{io::Read, time::Duration};
    /// virtual_time(|| {
    ///     let (mut a, _b) = Net::new(Faults::none()).pair();
    ///     a.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    ///     assert_eq!(a.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// });
    /// ```
    pub fn set_read_timeout(&self, d: Option<Duration>) -> io::Result<()> {
        let d = not_zero(d)?;
        self.set_limit(|l| l.read.timeout = d)
    }

    /// As [`set_read_timeout`](Stream::set_read_timeout), for writes.
    ///
    /// # Errors
    /// `InvalidInput` for zero; `ConnectionAborted` on a closed stream.
    pub fn set_write_timeout(&self, d: Option<Duration>) -> io::Result<()> {
        let d = not_zero(d)?;
        self.set_limit(|l| l.write.timeout = d)
    }
}

fn not_zero(d: Option<Duration>) -> io::Result<Option<Duration>> {
    match d {
        Some(Duration::ZERO) => Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of zero")),
        d => Ok(d),
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_some(buf, false)
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_some(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
