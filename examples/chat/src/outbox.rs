//! What a client is sent, in one order, whoever says it: its room, or its own goroutine (pongs, and the close).
//!
//! ```text
//!   push ─► nothing waits?  to the socket at once, as far as that goes without waiting ─► all gone: done
//!                                                                              rest ─┐
//!           something waits? behind it ─────────────────────────────────────────────►│ frames ─► writer ─► socket
//!           too much waits?  the client is dropped: 1008, too slow
//! ```
//! **Nobody waits for a client.** As long as the system has room, whoever pushes has written, and that is all. Where it has
//! none a goroutine begins to write, parks in it, and ends when nothing waits any more: a connection costs one goroutine,
//! and a second one for as long as its client is slow. (Two for each connection, as one often sees it, would be 4 KiB more
//! for every client that is idle; a goroutine for every message would be as many stacks at a time as a room has members.)
//!
//! **A client for whom too much waits is dropped.** The alternatives are memory without end, or one slow reader who stops
//! everybody. What waited is forgotten, but for the frame that is on its way, and the close is sent behind that.
//!
//! **After the close** nothing is sent: who sends its last byte also shuts down our side of the connection. From the moment
//! that it is queued everything has a deadline, the session's reading as well.

use crate::server::Server;
use crate::wire;
use gosched::net::{Shutdown, TcpStream};
use gosched::sync::Mutex;
use rustix::net::SendFlags;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tungstenite::Bytes;
use tungstenite::protocol::frame::coding::CloseCode;

pub struct Outbox {
    pub stream: TcpStream,
    server: Arc<Server>,
    waiting: Mutex<Waiting>,
    /// When the client last said something, in ms of the server's age.
    heard: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// What is not written. The first may be in part, and in the writer's hands: it stays.
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// So much of it may be the history, which does not count: the room has chosen how long it is, not the client.
    history: usize,
    /// There is a writer; it alone writes.
    writing: bool,
    /// The close is queued, or the connection is gone: nothing is queued any more.
    closed: bool,
}

impl Waiting {
    fn put(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Nothing waits any more, and nothing will.
    fn forget(&mut self) {
        (self.frames, self.bytes, self.history, self.closed) = (VecDeque::new(), 0, 0, true);
    }
}

impl Outbox {
    pub fn new(server: &Arc<Server>, stream: TcpStream) -> Arc<Outbox> {
        let outbox =
            Outbox { stream, server: server.clone(), waiting: Mutex::default(), heard: AtomicU64::new(0) };
        outbox.hear();
        Arc::new(outbox)
    }

    /// The client has said something.
    pub fn hear(&self) {
        self.heard.store(self.server.age().as_millis() as u64, Relaxed);
    }

    /// How long it has been silent.
    pub fn silent(&self) -> Duration {
        self.server.age().saturating_sub(Duration::from_millis(self.heard.load(Relaxed)))
    }

    pub fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// Sends a whole frame, now or as soon as there is room. Never waits for the client.
    pub fn push(self: &Arc<Outbox>, frame: Bytes) {
        self.put(&mut self.waiting.lock(), frame);
    }

    /// Sends what the room has said before.
    pub fn push_history(self: &Arc<Outbox>, frames: Bytes) {
        let w = &mut *self.waiting.lock();
        w.history += frames.len();
        if !frames.is_empty() {
            self.put(w, frames);
        }
    }

    fn put(self: &Arc<Outbox>, w: &mut Waiting, frame: Bytes) {
        if w.closed {
            return;
        }
        let last = wire::is_close(&frame);
        if last {
            self.end(w);
        }
        if !w.writing {
            match self.send(&frame) {
                Ok(n) if n == frame.len() => {
                    if last {
                        let _ = self.stream.shutdown(Shutdown::Write);
                    }
                }
                Ok(n) => self.wait(w, frame.slice(n..)),
                Err(_) => self.gone(w),
            }
        } else if last || w.bytes <= self.server.config.mailbox + w.history {
            w.put(frame);
        } else {
            let first = w.frames.pop_front();
            w.forget();
            first.into_iter().for_each(|first| w.put(first));
            self.end(w);
            w.put(wire::close(CloseCode::Policy, "too slow: too much waits for this client"));
        }
    }

    /// Says why, and ends the connection.
    pub fn close(self: &Arc<Outbox>, code: CloseCode, reason: &'static str) {
        self.push(wire::close(code, reason));
    }

    /// The client is gone without a word: nothing is sent any more, and the writer ends, if there is one.
    pub fn abandon(&self) {
        self.gone(&mut self.waiting.lock());
    }

    /// Nothing can be sent. The session and the writer are to know it at once.
    fn gone(&self, w: &mut Waiting) {
        w.forget();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// From here on there is a deadline, and nothing more is queued.
    fn end(&self, w: &mut Waiting) {
        w.closed = true;
        // Where the connection is gone there is nothing to set it on, and nobody who would wait.
        let _ = self.stream.set_deadline(Some(Instant::now() + self.server.config.close));
    }

    /// Writes as much as there is room for. (A `write` would park; `set_nonblocking` would be for the reader as well.)
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::net::send(&self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(0),
                n => return Ok(n?),
            }
        }
    }

    /// Leaves the rest to a goroutine.
    fn wait(self: &Arc<Outbox>, w: &mut Waiting, rest: Bytes) {
        w.put(rest);
        w.writing = true;
        let outbox = self.clone();
        self.server.tasks.go(move || outbox.write());
    }

    /// The writer: until nothing waits.
    fn write(&self) {
        loop {
            let frame = {
                let w = &mut *self.waiting.lock();
                match w.frames.front() {
                    Some(frame) => frame.clone(),
                    None => {
                        (w.writing, w.history) = (false, 0);
                        // Its memory was for a slow client; most are not.
                        drop(take(&mut w.frames));
                        if w.closed {
                            let _ = self.stream.shutdown(Shutdown::Write);
                        }
                        return;
                    }
                }
            };
            let written = (&self.stream).write(&frame);
            let w = &mut *self.waiting.lock();
            match written {
                Ok(n) if n > 0 => {
                    // It is not there any more where the client has been given up.
                    if let Some(first) = w.frames.front_mut() {
                        *first = first.slice(n..);
                        w.bytes -= n;
                        if n == frame.len() {
                            w.frames.pop_front();
                        }
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // Too slow even for its close, or gone.
                _ => {
                    w.writing = false;
                    self.gone(w);
                    return;
                }
            }
        }
    }
}
