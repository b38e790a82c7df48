//! One HTTP request and its answer, within limits: whoever sends too much, too slowly, or something else gets an error or
//! nothing, and costs a goroutine for a while.
//!
//! ```text
//!   read until the head is whole   8 KiB, 64 fields, 10 s in all    else 431, 408, 400
//!   GET or HEAD                                                     else 405
//!   Host, if it is said            this machine                     else 403 (lib.rs)
//!   answer, and close              each write within 30 s           else the connection is dropped
//! ```
//! A connection carries one request: what is asked here is not asked often, and without a second request there is nothing
//! of the first one's body to be skipped. The end of the connection is the end of the answer, so that one whose length nobody
//! knows yet (a trace, events) needs no other form.

use gosched_net::TcpStream;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

const MAX_HEAD: usize = 8 << 10;
const MAX_FIELDS: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(10);
const WRITE_TIME: Duration = Duration::from_secs(30);
/// What is read and thrown away after an error, so that the answer is not lost with it; and for how long.
const REST: usize = 64 << 10;
const REST_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Wants no body.
    pub(crate) head: bool,
    pub(crate) path: String,
    /// What follows the `?`.
    pub(crate) query: String,
}

/// What is wrong with a request: the status line's words, and an explanation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str, pub(crate) &'static str);

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum NoRequest {
    Refused(Refused),
    Gone(io::Error),
}

fn refuse<T>(status: &'static str, why: &'static str) -> Result<T, Refused> {
    Err(Refused(status, why))
}

/// Reads a request's head.
pub(crate) fn read(mut stream: &TcpStream, only_this_machine: bool) -> Result<Request, NoRequest> {
    stream.set_read_deadline(Some(Instant::now() + HEAD_TIME)).map_err(NoRequest::Gone)?;
    let mut buf = vec![0; MAX_HEAD];
    let mut len = 0;
    loop {
        let n = match stream.read(&mut buf[len..]) {
            Ok(0) if len < MAX_HEAD => {
                return Err(NoRequest::Refused(Refused("400 Bad Request", "the request has no end")));
            }
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                return Err(NoRequest::Refused(Refused("408 Request Timeout", "the request takes too long")));
            }
            Err(e) => return Err(NoRequest::Gone(e)),
        };
        len += n;
        match parse(&buf[..len], only_this_machine).map_err(NoRequest::Refused)? {
            Some(request) => return Ok(request),
            None if len == MAX_HEAD => {
                let much = Refused("431 Request Header Fields Too Large", "the request is too large");
                return Err(NoRequest::Refused(much));
            }
            None => {}
        }
    }
}

/// The request in `bytes`, if it is all there.
fn parse(bytes: &[u8], only_this_machine: bool) -> Result<Option<Request>, Refused> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return refuse("431 Request Header Fields Too Large", "too many fields");
        }
        Err(_) => return refuse("400 Bad Request", "this is not HTTP"),
    }
    let head = match parsed.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return refuse("405 Method Not Allowed", "only GET and HEAD: nothing can be changed here"),
    };
    let mut hosts = parsed.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("host"));
    if let Some(host) = hosts.next() {
        if hosts.next().is_some() {
            return refuse("400 Bad Request", "more than one Host");
        }
        if only_this_machine && !is_this_machine(host.value) {
            return refuse("403 Forbidden", "this server answers for this machine only");
        }
    }
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Request { head, path: path.to_string(), query: query.to_string() }))
}

/// Whether a `Host` names the loopback interface. The port does not matter: it may be forwarded.
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The answering side of a connection. Every write has its deadline.
pub(crate) struct Answer<'a> {
    stream: &'a TcpStream,
    head: bool,
}

impl Write for Answer<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.head {
            return Ok(buf.len());
        }
        self.stream.set_write_deadline(Some(Instant::now() + WRITE_TIME))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<'a> Answer<'a> {
    /// For a request; `head`: what follows the head is not sent.
    pub(crate) fn new(stream: &'a TcpStream, head: bool) -> Answer<'a> {
        Answer { stream, head }
    }

    /// Sends the head of an answer. `length`: of its body, where that is known.
    pub(crate) fn begin(&mut self, status: &str, kind: &str, length: Option<usize>) -> io::Result<()> {
        let length = length.map_or(String::new(), |n| format!("Content-Length: {n}\r\n"));
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        // The page has all that it needs in itself, and may ask this server alone.
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{length}{allow}Connection: close\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; connect-src 'self'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'\r\n\r\n"
        );
        let head = std::mem::replace(&mut self.head, false);
        let sent = self.write_all(text.as_bytes());
        self.head = head;
        sent
    }

    /// Sends a whole answer.
    pub(crate) fn send(&mut self, status: &str, kind: &str, body: &[u8]) -> io::Result<()> {
        self.begin(status, kind, Some(body.len()))?;
        self.write_all(body)
    }

    /// Sends an error.
    pub(crate) fn refuse(&mut self, status: &str, why: &str) -> io::Result<()> {
        self.send(status, TEXT, format!("{why}\n").as_bytes())
    }
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Ends a connection on which more may have been sent than was read: closing it at once would throw the answer away with
/// that.
pub(crate) fn finish(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_deadline(Some(Instant::now() + REST_TIME))?;
    let (mut buf, mut rest) = ([0; 4096], REST);
    while rest > 0 {
        match stream.read(&mut buf)? {
            0 => break,
            n => rest = rest.saturating_sub(n),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_apart() {
        let get = |text: &str| parse(text.as_bytes(), true);
        let request =
            |head, path: &str, query: &str| Request { head, path: path.into(), query: query.into() };
        assert_eq!(get("GET / HTT"), Ok(None));
        assert_eq!(get("GET / HTTP/1.1\r\n\r\n"), Ok(Some(request(false, "/", ""))));
        let all = "HEAD /a?b=c?d HTTP/1.1\r\nHost: localhost:6060\r\n\r\n";
        assert_eq!(get(all), Ok(Some(request(true, "/a", "b=c?d"))));
        let status = |text: &str| get(text).unwrap_err().0.split(' ').next().unwrap().to_string();
        assert_eq!(status("POST / HTTP/1.1\r\n\r\n"), "405");
        assert_eq!(status("\u{1}\u{2}"), "400");
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))), "431");
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), "403");
        assert_eq!(status("GET / HTTP/1.1\r\nHost: ::1\r\nHost: b\r\n\r\n"), "400");
    }

    #[test]
    fn this_machine_has_many_names() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:6060", "[::1]", "[::1]:6060"] {
            assert!(is_this_machine(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "example.com",
            "127.0.0.1.example.com",
            "10.0.0.7:6060",
            "[2001:db8::1]",
            "localhost.example",
        ] {
            assert!(!is_this_machine(host.as_bytes()), "{host}");
        }
    }
}
