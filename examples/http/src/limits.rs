//! What a client may ask of the server: bytes and time. Whoever wants more gets an error, or nothing.
//!
//! ```text
//!   connected ──head_time──► first request's first byte          silence: closed without a word
//!   first byte ──head_time──► the head's end                     408;  more than `head` bytes: 431
//!   the body asked for ──body_time──► the body's end             408;  more than `body` bytes: 413
//!   each piece of the answer ──write_time──► taken by the system  the connection is dropped
//!   the answer ──idle_time──► the next request's first byte      closed
//! ```
//! Each of these is a moment, set once as a deadline and not moved on by the bytes that come in: a client that sends a byte
//! now and then gains nothing. That is all there is to being safe from slow ones, since what they hold meanwhile is a parked
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
    /// Between two requests.
    pub idle_time: Duration,
    /// For each piece of an answer, 64 KiB or less of it, or up to 1 MiB of a file.
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
