//! A client before it has its tunnel: what it has said and what is said to it.
//!
//! Bytes are read ahead, since a client need not wait for answers; what is left when the request is over belongs to the
//! target. The read deadline was set when the client came, and no byte moves it on: whoever sends one now and then gains
//! nothing. It costs a parked goroutine and a few hundred bytes, and nobody waits for it.

use crate::refusal::Refusal;
use gosched::net::TcpStream;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What is read at once.
const PIECE: usize = 1024;
/// How long an answer of ours may take: it fits into a buffer, but for a client that takes nothing.
const SAY_TIME: Duration = Duration::from_secs(5);
/// How long a refused client is listened to, and how much of it: closing with bytes unread is a reset, which would take
/// the answer away.
const LISTEN_TIME: Duration = Duration::from_secs(1);
const LISTEN: u64 = 64 << 10;

pub(crate) struct Client<'a> {
    stream: &'a TcpStream,
    /// From `at` on not yet looked at.
    buf: Vec<u8>,
    at: usize,
    /// Bytes that were sent to the client and are not its target's.
    said: &'a AtomicU64,
}

impl<'a> Client<'a> {
    /// The read deadline has been set.
    pub(crate) fn new(stream: &'a TcpStream, said: &'a AtomicU64) -> Client<'a> {
        Client { stream, buf: Vec::new(), at: 0, said }
    }

    /// What has come.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buf[self.at..]
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
    }

    /// Waits for more.
    pub(crate) fn fill(&mut self) -> Result<(), Refusal> {
        let len = self.buf.len();
        self.buf.resize(len + PIECE, 0);
        let read = (&*self.stream).read(&mut self.buf[len..]);
        self.buf.truncate(len + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(Refusal::Gone),
            Ok(_) => Ok(()),
            Err(e) if e.kind() == ErrorKind::TimedOut => Err(Refusal::Slow),
            Err(_) => Err(Refusal::Gone),
        }
    }

    /// The next byte, which stays.
    pub(crate) fn first(&mut self) -> Result<u8, Refusal> {
        while self.data().is_empty() {
            self.fill()?;
        }
        Ok(self.data()[0])
    }

    /// The next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.take_vec(N)?);
        Ok(bytes)
    }

    /// The next `n` bytes.
    pub(crate) fn take_vec(&mut self, n: usize) -> Result<Vec<u8>, Refusal> {
        while self.data().len() < n {
            self.fill()?;
        }
        let bytes = self.data()[..n].to_vec();
        self.consume(n);
        Ok(bytes)
    }

    /// Sends the client something.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut stream = self.stream;
        let said = stream
            .set_write_deadline(Some(Instant::now() + SAY_TIME))
            .and_then(|()| stream.write_all(bytes))
            .and_then(|()| stream.set_write_deadline(None));
        self.said.fetch_add(bytes.len() as u64, Relaxed);
        said.map_err(|_| Refusal::Gone)
    }

    /// What the target is to get first.
    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        self.buf.drain(..self.at);
        self.buf
    }

    /// Ends a connection on which a refusal was said.
    pub(crate) fn goodbye(self) {
        farewell(self.stream);
    }
}

/// See `LISTEN_TIME`.
pub(crate) fn farewell(stream: &TcpStream) {
    let _ = stream
        .shutdown(Shutdown::Write)
        .and_then(|()| stream.set_read_deadline(Some(Instant::now() + LISTEN_TIME)))
        .and_then(|()| io::copy(&mut stream.take(LISTEN), &mut io::sink()));
}
