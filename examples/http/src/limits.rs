//! What a client may ask of the server: bytes and time. Whoever wants more gets an error, or nothing.
//!
//! ```text
//!   connected ──head_time──► first request's first byte          silence: closed without a word
//!   first byte ──head_time──► the head's end                     408;  more than `head` bytes: 431
//!   the body asked for ──body_time──► the body's end             408;  more than `body` bytes: 413
//!   the system takes nothing of an answer ──write_time──►        the connection is dropped
//!   the answer ──idle_time──► the next request's first byte      closed
//! ```
//! Those for what comes in are moments, each set once as a deadline and not moved on by bytes: a client that sends one now and
//! then gains nothing. What goes out has a limit for each write, which costs nothing as long as none has to wait, and is enough:
//! a client cannot take a byte now and then, since the system has room again only when a good part of its buffer is free
//! (a third on Linux). That is all there is to being safe from slow ones, since what they hold meanwhile is a parked
//! goroutine and a buffer, and nobody waits for them.

use std::time::Duration;

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// Bytes of a request's body.
    pub body: u64,
    /// For the head of a request, from its first byte.
    pub head_time: Duration,
    /// For the body of a request, from when it is first waited for.
    pub body_time: Duration,
    /// Between two requests; up to a sixteenth less.
    pub idle_time: Duration,
    /// During which nothing of an answer is taken. More than none.
    pub write_time: Duration,
    /// How long the rest of a refused request is read and thrown away, so that the refusal is not lost with it.
    pub linger: Duration,
    /// How long requests may take to finish when the server is asked to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let secs = Duration::from_secs;
        Limits {
            head: 8 << 10,
            body: 1 << 20,
            head_time: secs(10),
            body_time: secs(30),
            idle_time: secs(60),
            write_time: secs(30),
            linger: secs(2),
            grace: secs(10),
        }
    }
}
