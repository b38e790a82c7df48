//! The requests of HTTP that are a proxy's business:
//!
//! ```text
//!   CONNECT host:port HTTP/1.1            a tunnel, as by SOCKS
//!   GET http://host/path HTTP/1.1         sent on as GET /path, then a tunnel, too: plain.rs
//! ```
//! A connection carries one of them.

use crate::client::Client;
use crate::plain::{self, FIELDS};
use crate::refusal::Refusal;
use crate::target::Target;
use crate::users::Users;
use httparse::Status::{Complete, Partial};

/// What was asked for.
pub(crate) struct Request {
    pub(crate) target: Target,
    /// Of a plain request: the head that the target gets.
    pub(crate) head: Option<Vec<u8>>,
}

/// Reads a request of at most `limit` bytes. A client that makes none is told why.
pub(crate) fn read(client: &mut Client, users: Option<&Users>, limit: usize) -> Result<Request, Refusal> {
    request(client, users, limit).inspect_err(|refusal| refuse(client, *refusal))
}

fn request(client: &mut Client, users: Option<&Users>, limit: usize) -> Result<Request, Refusal> {
    loop {
        if let Some((len, request)) = parse(client.data(), users, limit)? {
            client.consume(len);
            return Ok(request);
        }
        // Not looked at again before a line has ended: whoever sends byte by byte shall not have it parsed as often.
        loop {
            let seen = client.data().len();
            client.fill()?;
            if client.data().len() > limit || client.data()[seen..].contains(&b'\n') {
                break;
            }
        }
    }
}

/// The request at the beginning of `bytes` and its length, if it is all there.
fn parse(bytes: &[u8], users: Option<&Users>, limit: usize) -> Result<Option<(usize, Request)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let len = match parsed.parse(bytes) {
        Ok(Complete(len)) if len <= limit => len,
        Ok(Partial) if bytes.len() <= limit => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Malformed("this is not HTTP")),
    };
    if let Some(users) = users {
        let mut said = parsed.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("proxy-authorization"));
        if !said.next().is_some_and(|f| users.know_field(f.value)) {
            return Err(Refusal::Credentials);
        }
    }
    let (method, uri) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    if method == "CONNECT" {
        let target = Target::parse(uri, None).ok_or(Refusal::Malformed("CONNECT needs host:port"))?;
        return Ok(Some((len, Request { target, head: None })));
    }
    let Some((scheme, rest)) = uri.split_once("://") else {
        return Err(Refusal::Malformed("this is a proxy: http://host/path, or CONNECT"));
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Refusal::Command);
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let target = Target::parse(authority, Some(80)).ok_or(Refusal::Malformed("the target needs a host"))?;
    let head = plain::request_head(&parsed, authority, path);
    Ok(Some((len, Request { target, head: Some(head) })))
}

/// Tells a client that there is no tunnel.
pub(crate) fn refuse(client: &mut Client, refusal: Refusal) {
    if refusal != Refusal::Gone {
        let _ = client.say(&answer(refusal));
    }
}

/// A refusal as an answer.
pub(crate) fn answer(refusal: Refusal) -> Vec<u8> {
    let (status, why) = refusal.http();
    let ask = match refusal {
        Refusal::Credentials => "Proxy-Authenticate: Basic realm=\"proxy\"\r\n",
        _ => "",
    };
    let length = why.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\n{ask}Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
    )
    .into_bytes()
}

/// Tells a client that it has its tunnel.
pub(crate) fn accept(client: &mut Client) -> Result<(), Refusal> {
    client.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<(String, Option<String>), &'static str> {
        let text = format!("{text}\r\n\r\n");
        match parse(text.as_bytes(), None, 1000) {
            Ok(Some((len, r))) => {
                assert_eq!(len, text.len());
                Ok((r.target.to_string(), r.head.map(|h| String::from_utf8(h).unwrap())))
            }
            Ok(None) => Err("not all of it"),
            Err(refusal) => Err(refusal.name()),
        }
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(ask("CONNECT a.example:443 HTTP/1.1\r\nHost: x"), Ok(("a.example:443".into(), None)));
        assert_eq!(ask("CONNECT [::1]:443 HTTP/1.0"), Ok(("[::1]:443".into(), None)));
        let (target, head) = ask("GET HTTP://h?q=/ HTTP/1.1\r\nHost: other").unwrap();
        assert_eq!(target, "h:80");
        assert!(head.unwrap().starts_with("GET /?q=/ HTTP/1.1\r\nHost: h\r\n"));
        let (target, head) = ask("PUT http://[::1]:81/a/b HTTP/1.0").unwrap();
        assert_eq!(target, "[::1]:81");
        assert!(head.unwrap().starts_with("PUT /a/b HTTP/1.0\r\nHost: [::1]:81\r\n"));
        for (text, refusal) in [
            ("GET / HTTP/1.1\r\nHost: h", "malformed"),
            ("GET http:/// HTTP/1.1", "malformed"),
            ("GET http://user@h/ HTTP/1.1", "malformed"),
            ("GET http://h:x/ HTTP/1.1", "malformed"),
            ("GET https://h/ HTTP/1.1", "command"),
            ("CONNECT h HTTP/1.1", "malformed"),
            ("CONNECT h:1/x HTTP/1.1", "malformed"),
            ("CONNECT h:1 HTTP/3.0", "version"),
            ("CONNECT h:1", "malformed"),
            ("GET http://h/ HTTP/1.1\r\nX : y", "malformed"),
            ("GET http://h/ HTTP/1.1\r\nX: \0", "malformed"),
        ] {
            assert_eq!(ask(text).err(), Some(refusal), "{text:?}");
        }
        assert!(matches!(parse(&[b'G'; 1000], None, 1000), Ok(None)));
        assert!(matches!(parse(&[b'G'; 1001], None, 1000), Err(Refusal::TooLarge)));
    }
}
