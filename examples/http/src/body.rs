//! The body of a request, read as the handler asks for it.
//!
//! ```text
//!   Length(left) ──► Done
//!   Size ──► Chunk(left) ──► Gap ──► Size ──► … ──► Size (0) ──► Trailer ──► Done
//! ```
//! Chunks are as the RFC has them and no other way, for the reason at the head of head.rs: hexadecimal digits, perhaps an
//! extension, CRLF; the bytes; CRLF. Extensions and trailer fields are read and forgotten.
//!
//! `Expect: 100-continue` is answered when the body is first waited for. A handler that answers without looking at it
//! never asks for it, and since nobody can tell then whether it comes, the connection ends with that answer.

use crate::conn::Conn;
use crate::head::{Framing, Head};
use crate::refused::Refused;
use std::io::{self, ErrorKind};
use std::time::Instant;

/// The longest line that says how long a chunk is.
const SIZE_LINE: usize = 256;
/// Of a body that the handler did not want, so much is read for the sake of the next request.
const SKIP: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    Size,
    Chunk(u64),
    Gap,
    Trailer,
}

pub(crate) struct Body {
    state: State,
    /// Bytes that chunks have announced, and that trailers had.
    chunked: u64,
    trailers: usize,
    until: Option<Instant>,
    /// The client waits to be told to go on.
    pub(crate) awaits_continue: bool,
}

impl Body {
    pub(crate) fn new(head: &Head) -> Body {
        let state = match head.framing {
            Framing::None => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size,
        };
        Body { state, chunked: 0, trailers: 0, until: None, awaits_continue: head.expects_continue }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// As `Read::read`: 0 at the end.
    pub(crate) fn read(&mut self, conn: &mut Conn, buf: &mut [u8]) -> io::Result<usize> {
        // A client that has waited for long enough goes on without being told to.
        self.awaits_continue &= conn.input.data().is_empty();
        loop {
            match self.state {
                State::Done => return Ok(0),
                State::Length(left) | State::Chunk(left) => {
                    if conn.input.data().is_empty() {
                        self.more(conn)?;
                    }
                    let data = conn.input.data();
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(data.len()).min(buf.len());
                    buf[..n].copy_from_slice(&data[..n]);
                    conn.input.consume(n);
                    let left = left - n as u64;
                    self.state = match self.state {
                        State::Length(_) if left == 0 => State::Done,
                        State::Length(_) => State::Length(left),
                        _ if left == 0 => State::Gap,
                        _ => State::Chunk(left),
                    };
                    return Ok(n);
                }
                State::Size => self.state = self.size(conn)?,
                State::Gap => {
                    if self.line(conn, 2)? != 2 {
                        return Err(Refused(400, "a chunk is longer than it says").into());
                    }
                    conn.input.consume(2);
                    self.state = State::Size;
                }
                State::Trailer => {
                    let len = self.line(conn, conn.limits.head)?;
                    conn.input.consume(len);
                    self.trailers += len;
                    if len == 2 {
                        self.state = State::Done;
                    } else if self.trailers > conn.limits.head {
                        return Err(Refused(431, "the trailer is too long").into());
                    }
                }
            }
        }
    }

    /// The line before a chunk.
    fn size(&mut self, conn: &mut Conn) -> io::Result<State> {
        let bad = Refused(400, "a chunk without a size");
        let len = self.line(conn, SIZE_LINE)?;
        let line = &conn.input.data()[..len - 2];
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let extension = line[digits..].trim_ascii_start();
        if !(1..=15).contains(&digits) || !(extension.is_empty() || extension[0] == b';') {
            return Err(bad.into());
        }
        let text = std::str::from_utf8(&line[..digits]).map_err(|_| bad)?;
        let size = u64::from_str_radix(text, 16).map_err(|_| bad)?;
        conn.input.consume(len);
        self.chunked = self.chunked.saturating_add(size);
        if self.chunked > conn.limits.body {
            return Err(Refused(413, "the body is too long").into());
        }
        Ok(if size == 0 { State::Trailer } else { State::Chunk(size) })
    }

    /// Waits for a whole line of `longest` bytes at the most; gives its length with CRLF, two at the least.
    fn line(&mut self, conn: &mut Conn, longest: usize) -> io::Result<usize> {
        let mut looked = 0;
        loop {
            let data = conn.input.data();
            let end = data[looked..].iter().position(|&b| b == b'\n').map(|at| looked + at);
            match end {
                Some(at) if at >= 1 && data[at - 1] == b'\r' && at < longest => return Ok(at + 1),
                None if data.len() < longest => {}
                _ => return Err(Refused(400, "a line of the chunks has no end").into()),
            }
            looked = data.len();
            self.more(conn)?;
        }
    }

    fn more(&mut self, conn: &mut Conn) -> io::Result<()> {
        if std::mem::take(&mut self.awaits_continue) {
            conn.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        conn.flush()?;
        let until = *self.until.get_or_insert_with(|| Instant::now() + conn.limits.body_time);
        match conn.fill(until) {
            Ok(0) => Err(Refused(400, "the body has no end").into()),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(Refused(400, "the body has no end").into()),
            Err(e) if e.kind() == ErrorKind::TimedOut => Err(Refused(408, "the body takes too long").into()),
            n => n.map(|_| ()),
        }
    }

    /// Reads what is left, if it is little: false where the next request cannot be reached.
    pub(crate) fn skip(&mut self, conn: &mut Conn) -> bool {
        let (mut buf, mut rest) = ([0; 4096], SKIP);
        while rest > 0 {
            match self.read(conn, &mut buf) {
                Ok(0) => return true,
                Ok(n) => rest = rest.saturating_sub(n),
                Err(_) => return false,
            }
        }
        false
    }
}
