//! One page: dial, ask, read; and give up in each of these when the context is done.
//!
//! A read cannot be a case of a `select!`. So the context's end sets a deadline that has passed, which ends what is parked on
//! the connection (Go does it in the same way).

use crate::stage::Error;
use crate::wire::{MAX_FIELDS, Wire, invalid};
use gosched::chan::{Chan, select};
use gosched::context::{Context, ContextError};
use gosched::net::{self, TcpStream};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::{Position, Url};

/// As much of a page is looked at.
const MAX_BODY: usize = 4 << 20;

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A page of HTML.
    Page,
    /// Something that has no links: a picture, plain text.
    Other,
    /// It is somewhere else.
    Redirect,
    /// Nothing, with this status (4xx).
    Dead(u16),
}

/// What a server has answered.
#[derive(Debug)]
pub struct Fetched {
    /// What was asked for.
    pub url: Url,
    /// What is there.
    pub outcome: Outcome,
    /// Where else it is, if it is there.
    pub location: Option<String>,
    /// The HTML.
    pub body: Vec<u8>,
}

/// Asks for a page. **Parks.**
///
/// # Errors
/// The context's, where that is done; else what is wrong with the page, with its address.
pub fn fetch(ctx: &Context, url: Url, time: Duration) -> Result<Fetched, Error> {
    let (page_ctx, cancel) = ctx.with_timeout(time);
    let fetched = ask(&page_ctx, &url);
    let timed_out = page_ctx.err() == Some(ContextError::DeadlineExceeded);
    cancel.cancel();
    match (fetched, ctx.err()) {
        (Ok((outcome, location, body)), _) => Ok(Fetched { url, outcome, location, body }),
        (Err(_), Some(stopped)) => Err(stopped.into()),
        (Err(_), None) if timed_out => Err(format!("{url}: no answer within {time:?}").into()),
        (Err(e), None) if e.kind() == io::ErrorKind::UnexpectedEof => Err(format!("{url}: cut off").into()),
        (Err(e), None) => Err(format!("{url}: {e}").into()),
    }
}

fn ask(ctx: &Context, url: &Url) -> io::Result<(Outcome, Option<String>, Vec<u8>)> {
    let stream = Arc::new(dial(ctx, url)?);
    let interrupted = stream.clone();
    let stop = ctx.after_func(move || drop(interrupted.set_deadline(Some(Instant::now()))));
    let answer = exchange(&stream, url);
    stop.stop();
    answer
}

/// Connects. No descriptor can be given a deadline here before there is one, so the waiting is done by another goroutine,
/// which ends by itself soon after its time is over: after, so that it is the context that says so.
fn dial(ctx: &Context, url: &Url) -> io::Result<TcpStream> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let (connected, deadline) = (Chan::new(1), ctx.deadline());
    let out = connected.sender();
    gosched::go!({
        let first = || -> io::Result<TcpStream> {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            for addr in net::lookup_host(&format!("{host}:{port}"))? {
                let left = deadline.map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()));
                match TcpStream::connect_timeout(&addr, left.saturating_add(Duration::from_secs(1))) {
                    Ok(stream) => return Ok(stream),
                    Err(e) => last = e,
                }
            }
            Err(last)
        };
        out.send(first());
    });
    select! {
        recv(connected) -> stream => stream.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into())),
        recv(ctx.done()) -> _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What of an answer's head matters.
struct Head {
    status: u16,
    location: Option<String>,
    html: bool,
    chunked: bool,
    length: Option<usize>,
}

fn exchange(mut stream: &TcpStream, url: &Url) -> io::Result<(Outcome, Option<String>, Vec<u8>)> {
    let (host, target) = (&url[Position::BeforeHost..Position::AfterPort], &url[Position::BeforePath..]);
    stream.write_all(
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: text/html,*/*;q=0.1\r\n\
             User-Agent: gosched-example-pipeline\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let mut wire = Wire::new(stream);
    let head = loop {
        let head = wire.take(head)?;
        if head.status >= 200 {
            break head;
        } // 1xx: the answer is still to come
    };
    Ok(match head.status {
        200..=299 if head.html => (Outcome::Page, None, body(&mut wire, &head)?),
        200..=299 => (Outcome::Other, None, Vec::new()),
        300..=399 => (Outcome::Redirect, head.location, Vec::new()),
        status @ 400..=499 => (Outcome::Dead(status), None, Vec::new()),
        status => return Err(invalid(format!("the server says {status}"))),
    })
}

fn head(buf: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(len) = response.parse(buf).map_err(invalid)? else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    let field = |name: &str| {
        let found = response.headers.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        found.map(|f| String::from_utf8_lossy(f.value).trim().to_owned())
    };
    let length = match field("content-length") {
        Some(n) => Some(n.parse().map_err(|_| invalid("a length that is no number"))?),
        None => None,
    };
    let kind = field("content-type").unwrap_or_default().to_ascii_lowercase();
    let coding = field("transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    if !matches!(&*coding, "" | "chunked") || field("content-encoding").is_some_and(|c| c != "identity") {
        return Err(invalid("a coding that was not asked for"));
    }
    let html = kind.starts_with("text/html") || kind.starts_with("application/xhtml+xml");
    Ok(Some((len, Head { status, location: field("location"), html, chunked: coding == "chunked", length })))
}

/// The body, or the first `MAX_BODY` bytes of it.
fn body(wire: &mut Wire<&TcpStream>, head: &Head) -> io::Result<Vec<u8>> {
    if head.chunked {
        return chunks(wire);
    }
    if let Some(length) = head.length {
        wire.need(length.min(MAX_BODY))?;
        wire.buf.truncate(length);
    } else {
        while wire.buf.len() < MAX_BODY && wire.more()? {}
    }
    wire.buf.truncate(MAX_BODY);
    Ok(std::mem::take(&mut wire.buf))
}

fn chunks(wire: &mut Wire<&TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = wire.take(|buf| match httparse::parse_chunk_size(buf) {
            Ok(httparse::Status::Complete(found)) => Ok(Some(found)),
            Ok(httparse::Status::Partial) => Ok(None),
            Err(e) => Err(invalid(e.to_string())),
        })?;
        let room = MAX_BODY - body.len();
        if size == 0 {
            return Ok(body);
        }
        if size >= room as u64 {
            wire.need(room)?;
            body.extend_from_slice(&wire.buf[..room]);
            return Ok(body);
        }
        let size = size as usize;
        wire.need(size + 2)?;
        if &wire.buf[size..size + 2] != b"\r\n" {
            return Err(invalid("a chunk that is longer than it says"));
        }
        body.extend_from_slice(&wire.buf[..size]);
        wire.buf.drain(..size + 2);
    }
}
