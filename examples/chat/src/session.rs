//! A connection's goroutine: it reads, and says to the room what it has read. tungstenite unmasks, checks and puts fragments
//! together; what it answers by itself (pongs, the close) goes through the outbox as everything does.
//!
//! ```text
//!   socket ─► Wire::read ─► tungstenite ─► Text ─► room
//!                              └─ pong, close ─► Wire::write ─► outbox ─► socket
//! ```
//! ## What an idle connection costs
//! One goroutine, parked in a read: a page or two of stack. So what goes deep is done elsewhere (door.rs); the read buffer is
//! small, and the only one; an outbox has no buffer at all while nobody is slow.
//!
//! ## How it ends
//! | what the client does | it is sent |
//! |---|---|
//! | close | the same code |
//! | invalid UTF-8 in a text | 1007 |
//! | a message that is too long | 1009 |
//! | any other violation: unmasked, reserved bits, a fragment of nothing … | 1002 |
//! | a binary message | 1003 |
//! | more frames than `--rate` | 1008 |
//! | silence, in the middle of a frame as well | 1008 (room.rs) |
//! | too slow | 1008 (outbox.rs) |
//! | gone without a word | nothing |
//!
//! Behind a close the client is heard out until it ends the connection, or `--close` is over: to close with bytes unread
//! would be a reset, which could take the close away from it.

use crate::door;
use crate::outbox::Outbox;
use crate::rooms::Seat;
use crate::server::Entered;
use gosched::net::TcpStream;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Message, WebSocket};

/// A longer message is read piece by piece; a buffer grows to the longest that has come.
const READ_BUFFER: usize = 512;

/// One connection, to its end.
pub fn serve(entered: Entered, stream: TcpStream) {
    let server = &entered.0;
    let Some(guest) = door::receive(server, &stream) else { return };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(server.config.message))
        .max_frame_size(Some(server.config.message));
    let outbox = Outbox::new(server, stream);
    guest.seat.join(guest.name, outbox.clone());
    let wire = Wire(outbox.clone());
    let mut ws = WebSocket::from_partially_read(wire, guest.rest, Role::Server, Some(config));
    listen(&mut ws, &guest.seat, Rate::new(server.config.rate));
    drop(guest.seat);
    hear_out(&outbox);
}

/// Reads until nothing more is to come.
fn listen(ws: &mut WebSocket<Wire>, seat: &Seat, mut rate: Rate) {
    loop {
        let message = ws.read();
        let outbox = &ws.get_ref().0;
        match message {
            Err(e) => return answer(&e, outbox),
            // He has been told to go.
            Ok(_) if outbox.is_closed() => {}
            Ok(_) if !rate.allows() => outbox.close(CloseCode::Policy, "too many messages"),
            Ok(Message::Binary(_)) => outbox.close(CloseCode::Unsupported, "text only"),
            Ok(Message::Text(text)) => {
                outbox.hear();
                if !text.is_empty() {
                    seat.text(text);
                }
            }
            // A ping has been answered with the next read, and so has a close, which then is the end.
            Ok(_) => outbox.hear(),
        }
    }
}

/// Says what was wrong.
#[cold]
fn answer(e: &Error, outbox: &Arc<Outbox>) {
    match e {
        Error::ConnectionClosed
        | Error::Io(_)
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {}
        Error::Utf8(_) => outbox.close(CloseCode::Invalid, "a text must be UTF-8"),
        Error::Capacity(_) => outbox.close(CloseCode::Size, "the message is too long"),
        Error::Protocol(_) => outbox.close(CloseCode::Protocol, "a violation of the protocol"),
        _ => outbox.close(CloseCode::Error, "this cannot be read"),
    }
}

/// Reads what is left. Without a close there is nobody any more: nothing is sent either.
#[cold]
fn hear_out(outbox: &Arc<Outbox>) {
    if outbox.is_closed() {
        let _ = io::copy(&mut &outbox.stream, &mut io::sink());
    } else {
        outbox.abandon();
    }
}

/// The connection as tungstenite sees it.
struct Wire(Arc<Outbox>);

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.0.stream).read(buf)
    }
}

impl Write for Wire {
    /// Takes everything, and never waits. With a write buffer of 0 it is one whole frame.
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.0.push(Bytes::copy_from_slice(frame));
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many frames a client may send. `due` is when it would have had to send the next one, had it sent them evenly: it may
/// be ahead of that by the time that twice a second's worth takes.
struct Rate {
    due: Instant,
    each: Option<Duration>,
}

/// So long a client may be ahead.
const AHEAD: Duration = Duration::from_secs(2);

impl Rate {
    fn new(rate: Option<u32>) -> Rate {
        Rate { due: Instant::now(), each: rate.map(|rate| Duration::from_secs(1) / rate) }
    }

    fn allows(&mut self) -> bool {
        let Some(each) = self.each else { return true };
        let now = Instant::now();
        self.due = self.due.max(now) + each;
        self.due <= now + AHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_a_seconds_worth_at_once() {
        let mut rate = Rate::new(Some(10));
        let began = Instant::now();
        let allowed = (0..100).filter(|_| rate.allows()).count();
        // And what the time has added meanwhile.
        let more = began.elapsed().as_millis() as usize / 100 + 1;
        assert!((20..=20 + more).contains(&allowed), "{allowed}");
        let mut any = Rate::new(None);
        assert!((0..1000).all(|_| any.allows()));
    }
}
