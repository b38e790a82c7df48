//! What goes over the wire: a message from a client is its text, and nothing else; what the server says is JSON.
//!
//! ```text
//!   {"id": 7, "at": 1764500000000, "from": "ann", "text": "hello"}   ids grow by one within a room; `at` is in ms since 1970
//!   {"joined": "ann", "members": 3}   {"left": "ann", "members": 2}    to the others
//!   {"you": "ann", "room": "lobby", "members": 3}                    once, after the history: from here on it is live
//! ```
//! A frame of the server is the same bytes for everybody, since servers do not mask: it is encoded once for all.

use tungstenite::Bytes;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

fn bytes(frame: Frame) -> Bytes {
    let mut out = Vec::with_capacity(frame.len());
    frame.format(&mut out).expect("a vector takes everything");
    out.into()
}

/// A frame of text.
pub fn text(json: &str) -> Bytes {
    bytes(Frame::message(Bytes::copy_from_slice(json.as_bytes()), OpCode::Data(Data::Text), true))
}

/// The frame that asks whether somebody is there.
pub fn ping() -> Bytes {
    bytes(Frame::ping(Bytes::new()))
}

/// The last frame of a connection.
pub fn close(code: CloseCode, reason: &'static str) -> Bytes {
    bytes(Frame::close(Some(CloseFrame { code, reason: reason.into() })))
}

/// Whether this is the last frame of a connection.
pub fn is_close(frame: &[u8]) -> bool {
    frame.first().is_some_and(|b| b & 0x0f == u8::from(OpCode::Control(Control::Close)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_the_rfc_says() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        assert_eq!(&ping()[..], b"\x89\x00");
        assert_eq!(&close(CloseCode::Away, "bye")[..], b"\x88\x05\x03\xe9bye");
        assert!(is_close(&close(CloseCode::Normal, "")) && !is_close(&ping()) && !is_close(&text("")));
        let long = text(&"x".repeat(200));
        assert_eq!(&long[..5], b"\x81\x7e\x00\xc8x");
    }
}
