//! A network in memory, for tests of servers: listeners and streams with the face of the real ones, that are part of the
//! schedule and of the clock of an exploration.
//!
//! ```
//! use gosched_testing::{Config, explore, net::{Faults, Net}};
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! let latency = Duration::from_millis(20)..Duration::from_millis(200);
//! let faults = Faults::none().latency(latency).short_io(true);
//! explore(Config::new().iterations(50), move || {
//!     let net = Net::new(faults.clone());
//!     let listener = net.listen("10.0.0.1:80").unwrap();
//!     gosched_runtime::go(move || {
//!         let (mut stream, _) = listener.accept().unwrap();
//!         let mut line = [0; 4];
//!         stream.read_exact(&mut line).unwrap();
//!         stream.write_all(&line).unwrap();
//!     });
//!     let mut stream = net.connect("10.0.0.1:80").unwrap();
//!     stream.write_all(b"ping").unwrap();
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer).unwrap();
//!     assert_eq!(answer, "ping");
//! });
//! ```
//! What a machine and a network would decide is chosen by the exploration's seed: how long bytes are under way, how many a
//! call takes, which connection breaks. Outside of explorations it works too, by the ordinary dice and clock. Nothing here
//! uses a file descriptor.
//!
//! A file uses only those before it: pipe (bytes one way), stream (two pipes), and this one (who listens where).

mod pipe;
mod stream;

pub use stream::Stream;

use gosched_chan::{Chan, SendTimeoutError, TryRecvError};
use gosched_runtime::cheaprandn;
use gosched_runtime::park::now;
use gosched_runtime::sync::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections that wait for their `accept`; one more is refused.
const BACKLOG: usize = 128;

/// What may go wrong on a network.
///
/// ```
/// use gosched_testing::net::{Faults, Net};
/// let net = Net::new(Faults::none().short_io(true).lose_one_in(1000));
/// assert!(net.connect("10.0.0.1:1").is_err(), "nobody listens");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults {
    latency: Option<Range<Duration>>,
    short: bool,
    lose_one_in: u32,
}

impl Faults {
    /// Nothing: bytes are there at once, and calls take all they can. See [`Faults`] for an example.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Bytes are under way for so long, and never overtake each other. An empty range means its start. See [`Net`] for an
    /// example.
    pub fn latency(mut self, range: Range<Duration>) -> Faults {
        self.latency = Some(range);
        self
    }

    /// Whether reads and writes may take less than they could, one byte at least. See [`Faults`] for an example.
    pub fn short_io(mut self, on: bool) -> Faults {
        self.short = on;
        self
    }

    /// One write of so many breaks its connection, on average: it and all later calls on either side fail with
    /// `ConnectionReset`. 0: none. See [`Faults`] for an example.
    pub fn lose_one_in(mut self, n: u32) -> Faults {
        self.lose_one_in = n;
        self
    }

    /// How many of `n` bytes a call takes.
    fn taken(&self, n: usize) -> usize {
        match u32::try_from(n) {
            Ok(n) if self.short && n > 1 => 1 + cheaprandn(n) as usize,
            _ => n,
        }
    }

    fn breaks(&self) -> bool {
        match self.lose_one_in {
            0 => false,
            1 => true,
            n => cheaprandn(n) == 0,
        }
    }

    /// When what is sent now arrives.
    fn arrival(&self) -> Instant {
        let now = now();
        let Some(Range { start, end }) = self.latency.clone() else { return now };
        // In a thousand steps: fine enough for a test, and one draw.
        let by = end.saturating_sub(start) / 1000 * cheaprandn(1000);
        now.checked_add(start + by).unwrap_or(now)
    }
}

/// A network. A clone is the same one.
///
/// ```
/// use gosched_testing::net::{Faults, Net};
/// use std::{io::{Read, Write}, time::Duration};
///
/// gosched_testing::virtual_time(|| {
///     let far = Duration::from_secs(60);
///     let net = Net::new(Faults::none().latency(far..far));
///     let (mut here, mut there) = net.pair();
///     let sent = gosched_testing::now();
///     here.write_all(b"!").unwrap();
///     there.read_exact(&mut [0]).unwrap();
///     assert_eq!(gosched_testing::now() - sent, far);
/// });
/// ```
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    faults: Faults,
    listeners: Mutex<HashMap<SocketAddr, Chan<Stream>>>,
    /// The next port that nobody asked for by its number.
    ports: Mutex<u16>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("faults", &self.0.faults).finish_non_exhaustive()
    }
}

/// The one address of a name. Numbers only, as no resolver is asked that would take real time.
fn address(addr: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address");
    addr.to_socket_addrs()?.next().ok_or_else(none)
}

impl Net {
    /// A network where nobody is yet. See [`Net`] for an example.
    pub fn new(faults: Faults) -> Net {
        Net(Arc::new(Inner { faults, listeners: Mutex::default(), ports: Mutex::new(49_152) }))
    }

    fn port(&self) -> u16 {
        let mut ports = self.0.ports.lock();
        let port = *ports;
        *ports = port.checked_add(1).unwrap_or(49_152);
        port
    }

    /// Listens. Port 0 is one that is free. Never parks.
    ///
    /// # Errors
    /// `AddrInUse` where somebody else does.
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// let net = Net::new(Faults::none());
    /// let listener = net.listen("10.0.0.1:0").unwrap();
    /// assert!(net.listen(listener.local_addr().unwrap()).is_err());
    /// ```
    pub fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<Listener> {
        let mut addr = address(addr)?;
        if addr.port() == 0 {
            addr.set_port(self.port());
        }
        let mut listeners = self.0.listeners.lock();
        if listeners.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let queue = Chan::new(BACKLOG);
        listeners.insert(addr, queue.clone());
        Ok(Listener { net: self.clone(), addr, queue })
    }

    /// Connects to whoever listens there. Parks for as long as the way there and back takes.
    ///
    /// # Errors
    /// `ConnectionRefused` where nobody listens, or too many wait there.
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// let net = Net::new(Faults::none());
    /// let listener = net.listen("10.0.0.1:80").unwrap();
    /// let stream = net.connect("10.0.0.1:80").unwrap();
    /// assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
    /// ```
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<Stream> {
        let there = address(addr)?;
        let here = SocketAddr::from((Ipv4Addr::new(10, 255, 0, 1), self.port()));
        // There and back again.
        for _ in 0..2 {
            gosched_runtime::sleep_until(self.0.faults.arrival());
        }
        let queue = self.0.listeners.lock().get(&there).cloned();
        let (mine, theirs) = Stream::pair(&self.0.faults, here, there);
        match queue.map(|q| q.send_timeout(theirs, Duration::ZERO)) {
            Some(Ok(())) => Ok(mine),
            None | Some(Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Closed(_))) => {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        }
    }

    /// Two streams that are connected to each other. Never parks. See [`Net`] for an example.
    pub fn pair(&self) -> (Stream, Stream) {
        let addr = |net: &Net| SocketAddr::from((Ipv4Addr::new(10, 255, 0, 1), net.port()));
        Stream::pair(&self.0.faults, addr(self), addr(self))
    }
}

/// Where connections come in. When it is dropped nobody listens there any more, and those that were not accepted are
/// closed.
///
/// ```
/// use gosched_testing::net::{Faults, Net};
/// let net = Net::new(Faults::none());
/// drop(net.listen("10.0.0.1:80").unwrap());
/// assert!(net.connect("10.0.0.1:80").is_err());
/// ```
pub struct Listener {
    net: Net,
    addr: SocketAddr,
    queue: Chan<Stream>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Listener {
    /// The next connection, and from where it comes; parks until there is one.
    ///
    /// # Errors
    /// `ConnectionAborted` after [`close`](Listener::close). See [`Net::connect`] for an example.
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let stream = self.queue.recv().ok_or_else(stream::closed)?;
        let from = stream.peer_addr()?;
        Ok((stream, from))
    }

    /// The connections to come, until [`close`](Listener::close).
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// let net = Net::new(Faults::none());
    /// let listener = net.listen("10.0.0.1:80").unwrap();
    /// let _stream = net.connect("10.0.0.1:80").unwrap();
    /// assert!(listener.incoming().next().unwrap().is_ok());
    /// ```
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<Stream>> + '_ {
        std::iter::from_fn(|| self.queue.recv().map(Ok))
    }

    /// Where it listens. See [`Net::listen`] for an example.
    ///
    /// # Errors
    /// None; as std has it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// Stops listening: calls that are parked in `accept` end, now and later. Closes what was not accepted. Never parks.
    ///
    /// # Errors
    /// `ConnectionAborted` where it is closed already.
    ///
    /// ```
    /// use gosched_testing::net::{Faults, Net};
    /// let net = Net::new(Faults::none());
    /// let listener = net.listen("10.0.0.1:80").unwrap();
    /// listener.close().unwrap();
    /// assert!(listener.accept().is_err() && listener.close().is_err());
    /// ```
    pub fn close(&self) -> io::Result<()> {
        {
            let mut listeners = self.net.0.listeners.lock();
            if !listeners.get(&self.addr).is_some_and(|q| *q == self.queue) {
                return Err(stream::closed());
            }
            listeners.remove(&self.addr);
        }
        self.queue.close();
        while !matches!(self.queue.try_recv(), Err(TryRecvError::Closed | TryRecvError::Empty)) {}
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // An error: it is closed already.
        let _ = self.close();
    }
}
