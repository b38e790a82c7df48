//! A client made by hand: frames are put together and taken apart here, so that they can also be wrong.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
/// The last frame of a message.
pub const FIN: u8 = 0x80;

pub struct Client {
    pub stream: TcpStream,
}

pub fn request(room: &str, name: &str) -> String {
    format!(
        "GET /ws?room={room}&name={name} HTTP/1.1\r\nHost: here\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..126 => out.push(0x80 | n as u8),
        n @ 126..0x10000 => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

impl Client {
    /// Asks for the upgrade, and reads its answer.
    #[track_caller]
    pub fn enter(mut stream: TcpStream, room: &str, name: &str) -> Client {
        stream.write_all(request(room, name).as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        // The answer to this key, from RFC 6455.
        assert!(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        Client { stream }
    }

    /// Reads until the room says that we are in; gives what was said there before.
    #[track_caller]
    pub fn until_in(&mut self) -> Vec<(u64, String)> {
        self.until_in_counted().0
    }

    /// As `until_in`; gives also how many are in, with us.
    #[track_caller]
    pub fn until_in_counted(&mut self) -> (Vec<(u64, String)>, u64) {
        let mut history = Vec::new();
        loop {
            let event = self.event();
            if event["you"].is_string() {
                return (history, event["members"].as_u64().unwrap());
            }
            history.push((event["id"].as_u64().unwrap(), event["text"].as_str().unwrap().into()));
        }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn text(&mut self, text: &str) {
        self.raw(&frame(FIN | TEXT, text.as_bytes()));
    }

    /// The next frame: its first byte, and its payload.
    pub fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        assert!(head[1] < 128, "a server does not mask");
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.stream.read_exact(&mut len)?;
                u16::from_be_bytes(len) as usize
            }
            127 => {
                let mut len = [0; 8];
                self.stream.read_exact(&mut len)?;
                u64::from_be_bytes(len) as usize
            }
            n => n as usize,
        };
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload)?;
        Ok((head[0], payload))
    }

    /// The next thing that the server says in JSON. Pings are answered.
    #[track_caller]
    pub fn event(&mut self) -> Value {
        loop {
            let (first, payload) = self.frame().unwrap();
            match first {
                b if b == FIN | TEXT => return serde_json::from_slice(&payload).unwrap(),
                b if b == FIN | PING => self.raw(&frame(FIN | PONG, &payload)),
                b if b == FIN | PONG => {}
                _ => panic!("{first:#x} {:?}", String::from_utf8_lossy(&payload)),
            }
        }
    }

    /// The next message: from whom, and what.
    #[track_caller]
    pub fn said(&mut self) -> (String, String) {
        loop {
            let event = self.event();
            if let (Some(from), Some(text)) = (event["from"].as_str(), event["text"].as_str()) {
                return (from.into(), text.into());
            }
        }
    }

    /// Reads until the close, and that nothing comes behind it; gives its code and reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.frame().expect("a close comes before the end");
            if first == FIN | CLOSE {
                let mut rest = Vec::new();
                self.stream.read_to_end(&mut rest).expect("no reset");
                assert!(rest.is_empty(), "behind the close: {rest:?}");
                if payload.is_empty() {
                    return (1005, String::new());
                }
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }

    /// The closing handshake, begun here.
    #[track_caller]
    pub fn leave(mut self) {
        self.raw(&frame(FIN | CLOSE, &[&1000_u16.to_be_bytes()[..], b"bye"].concat()));
        assert_eq!(self.closed(), (1000, "bye".into()));
    }
}
