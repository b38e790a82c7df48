//! The door: GET /ws?room=NAME&name=WHO. tokio-tungstenite reads the request and closes on what is no upgrade; what is wrong
//! with one is said here.
#![allow(clippy::result_large_err)] // tungstenite has it so

use crate::Server;
use crate::rooms::Seat;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{Response as Answer, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// The longest names, in characters.
const NAME: usize = 32;
const ROOM: usize = 64;
/// A longer message is read piece by piece.
const READ_BUFFER: usize = 512;

/// Answers a connection that is one too many.
pub fn too_many(stream: &TcpStream) {
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 21\r\nConnection: close\r\n\r\ntoo many connections\n",
    );
}

/// Who has come in: a connection, a name, and a seat.
pub async fn receive(
    server: &Arc<Server>,
    stream: TcpStream,
) -> Option<(WebSocketStream<TcpStream>, String, Seat)> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(server.config.message))
        .max_frame_size(Some(server.config.message));
    let mut guest = None;
    let door = |request: &Request, response: Response| {
        guest = Some(visit(server, request)?);
        Ok(response)
    };
    let upgrade = accept_hdr_async_with_config(stream, door, Some(config));
    let ws = tokio::select! {
        ws = tokio::time::timeout(server.config.handshake, upgrade) => ws.ok()?.ok(),
        _ = server.stop.cancelled() => None,
    };
    let (name, seat) = guest?;
    match ws {
        Some(ws) => Some((ws, name, seat)),
        None => {
            seat.leave().await;
            None
        }
    }
}

fn refuse<T>(status: StatusCode, why: impl Into<String>) -> Result<T, ErrorResponse> {
    let mut answer = Answer::new(Some(why.into()));
    *answer.status_mut() = status;
    Err(answer)
}

fn visit(server: &Arc<Server>, request: &Request) -> Result<(String, Seat), ErrorResponse> {
    if request.uri().path() != "/ws" {
        return refuse(StatusCode::NOT_FOUND, "there is nothing here\n");
    }
    // A browser says whose page asks. Others could talk here in the name of who looks at them.
    let field = |name| request.headers().get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(origin) = field("origin")
        && origin.split_once("://").is_none_or(|(_, host)| Some(host) != field("host"))
    {
        return refuse(StatusCode::FORBIDDEN, "the page that asks is from elsewhere\n");
    }
    let (mut room, mut name) = (String::new(), String::new());
    for (key, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        match &*key {
            "room" => room = value.into(),
            "name" => name = value.into(),
            _ => {}
        }
    }
    for (what, value, most) in [("room", &room, ROOM), ("name", &name, NAME)] {
        let bad = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        let why = match value.chars().count() {
            0 => "is missing",
            n if n > most => "is too long",
            _ if value.chars().any(bad) || value.trim().is_empty() => "is no name",
            _ => continue,
        };
        return refuse(StatusCode::BAD_REQUEST, format!("the {what} {why}\n"));
    }
    match server.sit(&room) {
        Some(seat) => Ok((name, seat)),
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "too many rooms\n"),
    }
}
