//! What a request asks for, and the answer: from bytes to bytes, but for the seat in a room.
//!
//! ```text
//!   GET /                          the page
//!   GET /ws?room=NAME&name=WHO     an upgrade, as RFC 6455 has it (tungstenite checks it), from a page of ours or from no page
//!   anything else                  an error, in words
//! ```

use crate::rooms::Seat;
use crate::server::Server;
use httparse::{EMPTY_HEADER, Status};
use std::sync::Arc;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::header::{HeaderName, HeaderValue};

const PAGE: &str = include_str!("../page/index.html");
/// The most fields that a request may have.
const FIELDS: usize = 64;
/// The longest names, in characters.
const NAME: usize = 32;
const ROOM: usize = 64;
/// The page loads nothing from elsewhere, and is shown nowhere else.
const PAGE_FIELDS: &str = "Content-Type: text/html; charset=utf-8\r\n\
     Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     connect-src 'self'; img-src data:; frame-ancestors 'none'\r\n";
const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";

/// Who may come in, and how he is told so.
pub struct Admitted {
    pub name: String,
    pub seat: Seat,
    pub upgrade: Vec<u8>,
}

/// An answer that is no upgrade.
pub struct Answer {
    status: &'static str,
    fields: &'static str,
    body: String,
}

/// An answer that says what is wrong.
pub fn refuse<T>(status: &'static str, why: impl Into<String>) -> Result<T, Answer> {
    Err(Answer { status, fields: TEXT, body: why.into() })
}

impl Answer {
    pub fn bytes(&self) -> Vec<u8> {
        let (status, fields, len) = (self.status, self.fields, self.body.len());
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {len}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), self.body.as_bytes()].concat()
    }
}

/// The answer to a request whose head is whole.
pub fn to(server: &Arc<Server>, head: &[u8]) -> Result<Admitted, Answer> {
    let mut fields = [EMPTY_HEADER; FIELDS];
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
        Some(seat) => Ok(Admitted { name, seat, upgrade }),
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
