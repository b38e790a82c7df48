//! A request and its answer, as a handler has them: reads as the request's body, writes as the answer's.
//!
//! ```text
//!   respond(status, kind, body)       a whole answer                           Content-Length
//!   send_file(kind, file, len)        a whole answer out of a file             Content-Length
//!   stream(status, kind), write, …    an answer whose length nobody knows yet  chunks; in HTTP/1.0, to the connection's end
//! ```
//! What is written is collected, and sent when it is much or when the handler says `flush`.
//!
//! A handler that returns an error before it has begun an answer has it answered: a [`Refused`] as it says, anything else
//! by 500. After that nothing can be said any more but by ending the connection before the answer is whole, so that the
//! client sees that it is not.

use crate::body::Body;
use crate::conn::Conn;
use crate::head::Head;
use crate::refused::Refused;
use gosched::context::Context;
use gosched::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::Ordering::SeqCst;

/// Plain text, as a content type.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// So much of an answer of unknown length makes a chunk without being asked to.
const CHUNK: usize = 16 << 10;
/// Files up to this size travel with what is collected.
const SMALL: u64 = 16 << 10;

enum Answer {
    /// Not begun.
    None,
    /// All of it is written.
    Whole,
    Chunks,
    /// Its end is the connection's.
    Rest,
}

/// See the [crate](crate).
pub struct Exchange<'c, 's> {
    conn: &'c mut Conn<'s>,
    head: &'c Head,
    ctx: &'c Context,
    body: Body,
    answer: Answer,
    /// Fields for the answer that is to come.
    fields: Vec<u8>,
    /// What was written since the last chunk.
    chunk: Vec<u8>,
    keep_alive: bool,
    status: u16,
    sent: u64,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) keep_alive: bool,
    pub(crate) status: u16,
    pub(crate) sent: u64,
}

impl<'c, 's> Exchange<'c, 's> {
    pub(crate) fn new(conn: &'c mut Conn<'s>, head: &'c Head, ctx: &'c Context) -> Exchange<'c, 's> {
        let keep_alive = head.keep_alive;
        let (body, answer) = (Body::new(head), Answer::None);
        let (fields, chunk, status, sent) = (Vec::new(), Vec::new(), 0, 0);
        Exchange { conn, head, ctx, body, answer, fields, chunk, keep_alive, status, sent }
    }

    /// The request's head.
    pub fn head(&self) -> &'c Head {
        self.head
    }

    /// It is done when the server is asked to end: an answer without end should come to one then.
    pub fn context(&self) -> &'c Context {
        self.ctx
    }

    /// Adds a field to the answer that is to come.
    pub fn field(&mut self, name: &str, value: &str) {
        debug_assert!(!value.contains(['\r', '\n']), "one field");
        for part in [name, ": ", value, "\r\n"] {
            self.fields.extend_from_slice(part.as_bytes());
        }
    }

    /// A whole answer.
    ///
    /// # Errors
    /// Of the connection.
    pub fn respond(&mut self, status: u16, kind: &'static str, body: &[u8]) -> io::Result<()> {
        self.begin(status, kind, Some(body.len() as u64));
        if self.has_body() {
            self.conn.out.extend_from_slice(body);
            self.sent += body.len() as u64;
        }
        self.answer = Answer::Whole;
        self.conn.flush_if_full()
    }

    /// Begins an answer that is then written piece by piece.
    ///
    /// # Errors
    /// None so far.
    pub fn stream(&mut self, status: u16, kind: &'static str) -> io::Result<()> {
        self.keep_alive &= self.head.v1_1;
        self.begin(status, kind, None);
        self.answer = if self.head.v1_1 { Answer::Chunks } else { Answer::Rest };
        Ok(())
    }

    /// A whole answer: the first `len` bytes of a file.
    ///
    /// # Errors
    /// Of the connection, or of the file. `UnexpectedEof` where the file has become shorter; the connection ends then.
    pub fn send_file(&mut self, kind: &'static str, file: &File, len: u64) -> io::Result<()> {
        self.begin(200, kind, Some(len));
        self.answer = Answer::Rest; // until it is whole
        if self.has_body() {
            if len <= SMALL {
                let at = self.conn.out.len();
                self.conn.out.resize(at + len as usize, 0);
                if let Err(e) = file.read_exact_at(&mut self.conn.out[at..], 0) {
                    self.conn.out.truncate(at);
                    return Err(e);
                }
            } else {
                self.conn.send_file(file, len)?;
            }
            self.sent += len;
        }
        self.answer = Answer::Whole;
        self.conn.flush_if_full()
    }

    /// Whether what follows the head is sent at all.
    fn has_body(&self) -> bool {
        !self.head.is_head() && self.status != 304
    }

    /// Writes the head of the answer.
    fn begin(&mut self, status: u16, kind: &'static str, len: Option<u64>) {
        debug_assert!(matches!(self.answer, Answer::None), "one answer to one request");
        if self.body.awaits_continue {
            // It was not asked for, and may come or not.
            (self.body.awaits_continue, self.keep_alive) = (false, false);
        }
        self.keep_alive &= !self.conn.draining.load(SeqCst);
        self.status = status;
        let Conn { out, opening, .. } = &mut *self.conn;
        let mut push = |part: &str| out.extend_from_slice(part.as_bytes());
        let has_content = status != 304;
        push(opening.lines(status, has_content.then_some(kind)));
        match len {
            _ if !has_content => {}
            Some(len) => {
                push("content-length: ");
                push(itoa::Buffer::new().format(len));
                push("\r\n");
            }
            None if self.head.v1_1 => push("transfer-encoding: chunked\r\n"),
            None => {}
        }
        match (self.keep_alive, self.head.v1_1) {
            (true, true) => {}
            (true, false) => push("connection: keep-alive\r\n"),
            (false, _) => push("connection: close\r\n"),
        }
        if !self.fields.is_empty() {
            out.extend_from_slice(&self.fields);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Puts what was written to what is sent.
    fn end_chunk(&mut self) {
        // An empty chunk would be the last one.
        if self.chunk.is_empty() {
            return;
        }
        let chunked = matches!(self.answer, Answer::Chunks);
        let out = &mut self.conn.out;
        if chunked {
            out.extend_from_slice(format!("{:x}\r\n", self.chunk.len()).as_bytes());
        }
        out.append(&mut self.chunk);
        if chunked {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends it, after the handler.
    pub(crate) fn finish(self, result: io::Result<()>) -> Outcome {
        if result.is_ok() && matches!(self.answer, Answer::Whole) && self.body.is_done() {
            return self.outcome(); // nearly always
        }
        self.finish_slow(result)
    }

    fn outcome(&self) -> Outcome {
        Outcome { keep_alive: self.keep_alive, status: self.status, sent: self.sent }
    }

    #[inline(never)]
    fn finish_slow(mut self, result: io::Result<()>) -> Outcome {
        self.end_chunk();
        let whole = match (result, &self.answer) {
            (Err(e), Answer::None) => {
                self.refuse(&e);
                true
            }
            (Err(_), _) => false,
            (Ok(()), Answer::None) => self.respond(200, TEXT, b"").is_ok(),
            (Ok(()), Answer::Chunks) => {
                if self.has_body() {
                    self.conn.out.extend_from_slice(b"0\r\n\r\n");
                }
                true
            }
            (Ok(()), Answer::Whole | Answer::Rest) => true,
        };
        self.keep_alive &= whole && !matches!(self.answer, Answer::Rest);
        if !self.body.is_done() {
            // The answer must not wait for what nobody reads; and where the next request cannot be reached, there is none.
            self.keep_alive = self.keep_alive && self.conn.flush().is_ok() && self.body.skip(self.conn);
            self.conn.linger |= !self.keep_alive;
        }
        self.outcome()
    }

    /// Answers an error, where no answer was begun.
    pub(crate) fn refuse(&mut self, e: &io::Error) {
        let Refused(status, why) = Refused::within(e).unwrap_or_else(|| {
            tracing::warn!(peer = %self.conn.peer.addr, error = %e, "a handler failed");
            Refused(500, "something is wrong here")
        });
        // After these nobody knows where the next request begins, or whether it would be any better.
        self.keep_alive &= matches!(status, 404 | 405);
        self.conn.linger |= !self.keep_alive;
        // Its error is the connection's, and seen at the next use of that.
        let _ = self.respond(status, TEXT, format!("{why}\n").as_bytes());
    }
}

/// The body of the request.
impl Read for Exchange<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // If this waits, then not with the answer half sent.
        self.end_chunk();
        if buf.is_empty() { Ok(0) } else { self.body.read(self.conn, buf) }
    }
}

/// The body of an answer that was begun by [`stream`](Exchange::stream), or else of one with status 200. An error after a whole
/// answer.
impl Write for Exchange<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.answer {
            Answer::None => self.stream(200, "application/octet-stream")?,
            Answer::Whole => return Err(io::Error::other("the answer is whole already")),
            Answer::Chunks | Answer::Rest => {}
        }
        if self.has_body() {
            self.chunk.extend_from_slice(buf);
            self.sent += buf.len() as u64;
            if self.chunk.len() >= CHUNK {
                self.end_chunk();
                self.conn.flush_if_full()?;
            }
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_chunk();
        self.conn.flush()
    }
}
