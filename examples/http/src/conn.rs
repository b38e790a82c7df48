//! One connection: bytes in, bytes out, and when to give up.
//!
//! ```text
//!   socket ──fill──► input ──► heads, bodies
//!   socket ◄─flush── out   ◄── answers
//! ```
//! ## Pipelining
//! Answers are collected in `out`, and written when they are many or when there is nothing more to read: [`fill`](Conn::fill)
//! flushes first. So requests that have come together are answered with one write, an answer never waits for a client that
//! waits for it, and no code but this knows about pipelining.
//!
//! ## Errors
//! After a failed write nothing more is written: `broken`.

use crate::head::Head;
use crate::input::Input;
use crate::limits::Limits;
use crate::opening::Opening;
use crate::peer::Peer;
use crate::refused::Refused;
use crate::transport::Transport;
use gosched::fs::File;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// So much of answers is collected.
const OUT: usize = 64 << 10;

pub(crate) struct Conn<'s> {
    io: Box<dyn Transport>,
    pub(crate) peer: &'s Peer,
    pub(crate) limits: &'s Limits,
    pub(crate) draining: &'s AtomicBool,
    pub(crate) input: Input,
    pub(crate) out: Vec<u8>,
    pub(crate) opening: Opening,
    /// Of what is read.
    until: Option<Instant>,
    broken: bool,
    /// The client may be sending still when the connection ends.
    pub(crate) linger: bool,
    /// No request has come yet.
    new: bool,
}

impl<'s> Conn<'s> {
    pub(crate) fn new(
        io: Box<dyn Transport>,
        peer: &'s Peer,
        limits: &'s Limits,
        draining: &'s AtomicBool,
    ) -> Conn<'s> {
        let (input, out) = (Input::new(), Vec::new());
        let (opening, broken, linger, new) = (Opening::new(), false, false, true);
        Conn { io, peer, limits, draining, input, out, opening, until: None, broken, linger, new }
    }

    /// The head of the next request; false where none comes any more, which is nobody's fault.
    pub(crate) fn next(&mut self, head: &mut Head) -> io::Result<bool> {
        if self.input.data().is_empty() && !self.wait()? {
            return Ok(false);
        }
        self.new = false;
        let mut until = None;
        loop {
            let have = self.input.data().len();
            if let Some(len) = head.parse(self.input.data(), self.limits)? {
                self.input.consume(len);
                return Ok(true);
            }
            let until = *until.get_or_insert_with(|| Instant::now() + self.limits.head_time);
            // Looked at again when a line has ended, or it has doubled: whoever sends byte by byte shall not have it parsed
            // as often.
            loop {
                let n = match self.fill(until) {
                    Ok(0) => return Err(Refused(400, "the request has no end").into()),
                    Err(e) if e.kind() == ErrorKind::TimedOut => {
                        return Err(Refused(408, "the request takes too long").into());
                    }
                    n => n?,
                };
                let data = self.input.data();
                if data.len() >= self.limits.head.min(2 * have) || data[data.len() - n..].contains(&b'\n') {
                    break;
                }
            }
        }
    }

    /// Waits for the first byte of a request.
    fn wait(&mut self) -> io::Result<bool> {
        self.flush()?;
        let limit = if self.new { self.limits.head_time } else { self.limits.idle_time };
        let until = Instant::now() + limit;
        // In this order: peer.rs. A sixteenth of the time is not worth moving the deadline for.
        if self.until.is_none_or(|set| set > until || set < until - limit / 16) {
            self.set_deadline(until)?;
        }
        if !self.peer.idle(self.draining) {
            return Ok(false);
        }
        match self.read() {
            Ok(0) => Ok(false),
            Ok(_) => Ok(self.peer.busy()),
            // Gone without a word, or silent: neither is worth one.
            Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::ConnectionReset) => Ok(false),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof && !self.new => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Reads more, at least a byte but at the end of the connection.
    pub(crate) fn fill(&mut self, until: Instant) -> io::Result<usize> {
        self.flush()?;
        self.set_deadline(until)?;
        self.read()
    }

    fn set_deadline(&mut self, until: Instant) -> io::Result<()> {
        self.until = Some(until);
        self.peer.stream.set_read_deadline(self.until)
    }

    fn read(&mut self) -> io::Result<usize> {
        self.opening.stale();
        loop {
            match self.io.read(self.input.room()) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                n => {
                    let n = n?;
                    self.input.added(n);
                    return Ok(n);
                }
            }
        }
    }

    /// Writes what is collected, if it is much.
    pub(crate) fn flush_if_full(&mut self) -> io::Result<()> {
        if self.out.len() < OUT { Ok(()) } else { self.flush() }
    }

    /// Writes what is collected.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self.io.write_all(&self.out).and_then(|()| self.io.flush());
        self.out.clear();
        self.written(written)
    }

    /// Sends the first `len` bytes of a file, after what is collected.
    pub(crate) fn send_file(&mut self, file: &File, len: u64) -> io::Result<()> {
        self.flush()?;
        let mut at = 0;
        while at < len {
            let sent = self.io.send_file(file, at, len - at);
            at += match self.written(sent)? {
                0 => return self.written(Err(ErrorKind::UnexpectedEof.into())), // it was cut meanwhile
                n => n,
            };
        }
        Ok(())
    }

    #[inline]
    fn written<T>(&mut self, r: io::Result<T>) -> io::Result<T> {
        r.map_err(|e| {
            self.broken = true;
            match e.kind() {
                // What a socket's time limit says.
                ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "nobody takes the answer"),
                _ => e,
            }
        })
    }

    /// Ends the connection. Whoever may be sending still is listened to for a while: closing with bytes unread is a reset,
    /// which takes the answer away from a client that has not read it yet.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.io.goodbye()?;
        if self.linger || !self.input.data().is_empty() {
            let mut stream = &self.peer.stream;
            stream.shutdown(Shutdown::Write)?;
            stream.set_read_deadline(Some(Instant::now() + self.limits.linger))?;
            io::copy(&mut stream, &mut io::sink())?;
        }
        Ok(())
    }
}
