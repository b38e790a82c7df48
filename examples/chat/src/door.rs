//! The door: one HTTP request on each connection. It is answered with the page, with an upgrade to WebSocket, or with what
//! is wrong with it, and a connection that is not upgraded ends.
//!
//! ```text
//!   GET /                          the page
//!   GET /ws?room=NAME&name=WHO     an upgrade, as RFC 6455 has it (tungstenite checks it), from a page of ours or from no page
//!   anything else                  an error, in words
//! ```
//! The whole request has one deadline, which the bytes that come do not move on. When the server ends, nobody is waited for
//! here.

use crate::rooms::Seat;
use crate::server::Server;
use gosched::net::{Shutdown, TcpStream};
use httparse::{EMPTY_HEADER, Status};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Instant;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::header::{HeaderName, HeaderValue};

const PAGE: &str = include_str!("../page/index.html");
/// The longest head of a request, in bytes, and its fields.
const HEAD: usize = 8 << 10;
const FIELDS: usize = 64;
/// The longest names, in characters.
const NAME: usize = 32;
const ROOM: usize = 64;
/// The page loads nothing from elsewhere, and is shown nowhere else.
const PAGE_FIELDS: &str = "Content-Type: text/html; charset=utf-8\r\n\
     Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     connect-src 'self'; img-src data:; frame-ancestors 'none'\r\n";
const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";

/// Who has come in.
pub struct Guest {
    pub name: String,
    pub seat: Seat,
    /// What has come behind the request.
    pub rest: Vec<u8>,
}

/// An answer that is no upgrade.
struct Answer {
    status: &'static str,
    fields: &'static str,
    body: String,
}

fn refuse<T>(status: &'static str, why: impl Into<String>) -> Result<T, Answer> {
    Err(Answer { status, fields: TEXT, body: why.into() })
}

/// The client is gone.
fn nobody(_: io::Error) -> Option<Answer> {
    None
}

/// Answers a connection that is one too many. The answer fits into an empty send buffer: nobody waits here.
pub fn too_many(mut stream: &TcpStream) {
    let answer =
        Answer { status: "503 Service Unavailable", fields: TEXT, body: "too many connections\n".into() };
    let _ = stream.write(&answer.bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// Reads a connection's request and answers it. None: that was all.
// Not inlined, as little as what it calls: the stack's pages that a request has touched are more than a session needs.
#[inline(never)]
pub fn receive(server: &Arc<Server>, stream: &TcpStream) -> Option<Guest> {
    let deadline = Instant::now() + server.config.handshake;
    stream.set_deadline(Some(deadline)).ok()?;
    let handle = stream.try_clone().ok()?;
    let hurry = server.ctx.after_func(move || drop(handle.set_deadline(Some(Instant::now()))));
    let guest = guest(server, stream);
    hurry.stop();
    match guest {
        Ok(guest) => {
            stream.set_deadline(None).ok()?;
            Some(guest)
        }
        Err(Some(answer)) => {
            let _ = answer.send(stream, Instant::now() + server.config.close);
            None
        }
        // Nobody to answer.
        Err(None) => None,
    }
}

fn guest(server: &Arc<Server>, stream: &TcpStream) -> Result<Guest, Option<Answer>> {
    let (buf, len) = read_head(server, stream)?;
    let (upgrade, name, seat) = visit(server, &buf[..len])?;
    // A seat that is not taken is left again.
    (&mut &*stream).write_all(&upgrade).map_err(nobody)?;
    Ok(Guest { name, seat, rest: buf[len..].to_vec() })
}

/// Reads until the head is whole; gives what has come, and how long the head is.
fn read_head(server: &Server, mut stream: &TcpStream) -> Result<(Vec<u8>, usize), Option<Answer>> {
    let (mut buf, mut end) = (vec![0; 1024], 0);
    loop {
        if end == buf.len() {
            buf.resize(end * 2, 0);
        }
        let n = match stream.read(&mut buf[end..]) {
            Ok(0) => return Err(None),
            // Where nothing was asked nothing is answered: a browser connects in advance, and would take the answer for that
            // to what it asks later.
            Err(e) if e.kind() == ErrorKind::TimedOut && end > 0 => match server.ctx.err() {
                None => refuse("408 Request Timeout", "the request takes too long\n")?,
                Some(_) => refuse("503 Service Unavailable", "the server ends\n")?,
            },
            n => n.map_err(nobody)?,
        };
        // An empty line, perhaps begun in what was there before.
        let begun = end.saturating_sub(3);
        end += n;
        if let Some(at) = buf[begun..end].windows(4).position(|w| w == b"\r\n\r\n") {
            buf.truncate(end);
            return Ok((buf, begun + at + 4));
        }
        if end >= HEAD {
            refuse::<()>("431 Request Header Fields Too Large", "the request is too long\n")?;
        }
    }
}

/// The answer to a request that is an upgrade, who it is, and a seat in the room.
#[inline(never)]
fn visit(server: &Arc<Server>, head: &[u8]) -> Result<(Vec<u8>, String, Seat), Answer> {
    // On the heap: the stack's pages stay with the connection.
    let mut fields = vec![EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return refuse("431 Request Header Fields Too Large", "the request has too many fields\n");
        }
        Ok(Status::Partial) => return refuse("400 Bad Request", "the request has no end\n"),
        Err(e) => return refuse("400 Bad Request", format!("no request: {e}\n")),
    }
    if parsed.method != Some("GET") {
        let fields = "Content-Type: text/plain; charset=utf-8\r\nAllow: GET\r\n";
        return Err(Answer { status: "405 Method Not Allowed", fields, body: "GET only\n".into() });
    }
    let (path, query) =
        parsed.path.unwrap_or_default().split_once('?').unwrap_or((parsed.path.unwrap_or_default(), ""));
    match path {
        "/" => return Err(Answer { status: "200 OK", fields: PAGE_FIELDS, body: PAGE.into() }),
        "/ws" => {}
        _ => return refuse("404 Not Found", "there is nothing here\n"),
    }
    if parsed.version != Some(1) {
        return refuse("505 HTTP Version Not Supported", "an upgrade takes HTTP/1.1\n");
    }
    let upgrade = upgrade(parsed.headers)?;
    let (room, name) = names(query)?;
    match server.sit(&room) {
        Some(seat) => Ok((upgrade, name, seat)),
        None => refuse("503 Service Unavailable", "too many rooms\n"),
    }
}

/// What answers an upgrade that is one.
fn upgrade(fields: &[httparse::Header<'_>]) -> Result<Vec<u8>, Answer> {
    let mut request = Request::new(());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        match (name, HeaderValue::from_bytes(field.value)) {
            (Ok(name), Ok(value)) => {
                request.headers_mut().append(name, value);
            }
            _ => return refuse("400 Bad Request", format!("the field {:?} is malformed\n", field.name)),
        }
    }
    // A browser says whose page asks. Others could talk here in the name of who looks at them.
    let text = |name: &'static str| request.headers().get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(origin) = text("origin")
        && origin.split_once("://").is_none_or(|(_, host)| Some(host) != text("host"))
    {
        return refuse("403 Forbidden", "the page that asks is from elsewhere\n");
    }
    let mut out = Vec::new();
    match create_response(&request).and_then(|r| write_response(&mut out, &r)) {
        Ok(()) => Ok(out),
        Err(Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)) => Err(Answer {
            status: "426 Upgrade Required",
            fields: "Content-Type: text/plain; charset=utf-8\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            body: "the version of WebSocket is 13\n".into(),
        }),
        Err(e) => refuse("400 Bad Request", format!("no upgrade: {e}\n")),
    }
}

/// Which room, and who.
fn names(query: &str) -> Result<(String, String), Answer> {
    let (mut room, mut name) = (String::new(), String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "room" => room = value.into(),
            "name" => name = value.into(),
            _ => {}
        }
    }
    for (what, value, most) in [("room", &room, ROOM), ("name", &name, NAME)] {
        // The replacement stands for what was no UTF-8.
        let bad = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        let why = match value.chars().count() {
            0 => "is missing",
            n if n > most => "is too long",
            _ if value.chars().any(bad) || value.trim().is_empty() => "is no name",
            _ => continue,
        };
        return refuse("400 Bad Request", format!("the {what} {why}\n"));
    }
    Ok((room, name))
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let (status, fields, len) = (self.status, self.fields, self.body.len());
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {len}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), self.body.as_bytes()].concat()
    }

    /// Sends it, and hears the client out: closing with bytes unread would be a reset, which takes the answer away.
    fn send(&self, mut stream: &TcpStream, until: Instant) -> io::Result<()> {
        stream.set_deadline(Some(until))?;
        stream.write_all(&self.bytes())?;
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut stream, &mut io::sink())?;
        Ok(())
    }
}
