//! Plain requests: `GET http://host/path`, sent on to the host as `GET /path`.
//!
//! The heads are written anew, the bodies pass as they are. Both sides are told `Connection: close`, so that where a body
//! ends need not be known here: the client sends no second request on this connection, the target's end of the connection
//! is the answer's. Fields that are between two neighbours only (RFC 9110, 7.6.1) are left out on either way.

use httparse::Status::{Complete, Partial};
use std::io::{self, ErrorKind, Read, Write};

/// Fields in a head.
pub(crate) const FIELDS: usize = 96;
/// The largest head of an answer.
const HEAD: usize = 64 << 10;

/// Between neighbours. (Transfer-Encoding is, too; but since the body passes unchanged, what is said about it has to.)
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
];

/// No `Connection` can take these away.
const KEPT: [&str; 3] = ["content-length", "transfer-encoding", "host"];

/// The head that the target gets.
pub(crate) fn request_head(request: &httparse::Request, authority: &str, path: &str) -> Vec<u8> {
    let (method, version) = (request.method.unwrap_or_default(), request.version.unwrap_or_default());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head = format!("{method} {slash}{path} HTTP/1.{version}\r\nHost: {authority}\r\n").into_bytes();
    pass_fields(request.headers, &mut head, "host");
    head.extend(format!("Via: 1.{version} proxy\r\nConnection: close\r\n\r\n").bytes());
    head
}

/// All fields but those between neighbours, and `but`.
fn pass_fields(fields: &[httparse::Header], head: &mut Vec<u8>, but: &str) {
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    // A Connection names others.
    let named: Vec<&[u8]> = fields
        .iter()
        .filter(|f| is(f.name, "connection"))
        .flat_map(|f| f.value.split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    for field in fields {
        let named = named.iter().any(|name| name.eq_ignore_ascii_case(field.name.as_bytes()));
        let between = HOP_BY_HOP.iter().any(|name| is(field.name, name));
        if between || is(field.name, but) || named && !KEPT.iter().any(|name| is(field.name, name)) {
            continue;
        }
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            head.extend(part);
        }
    }
}

/// Reads the head of the target's answer; gives what the client is to get for it, with what has come of the body. Heads that
/// come before (100 Continue) are passed on at once; gives how many bytes these were, too.
///
/// # Errors
/// Of reading and writing; `InvalidData` where the target does not speak HTTP. The client has got no answer then.
pub(crate) fn response(mut target: impl Read, mut client: impl Write) -> io::Result<(u64, Vec<u8>)> {
    let (mut buf, mut passed) = (Vec::new(), 0);
    loop {
        if let Some((len, status, mut head)) = parse_response(&buf)? {
            if status >= 200 {
                head.extend(&buf[len..]);
                return Ok((passed, head));
            }
            client.write_all(&head)?;
            passed += head.len() as u64;
            buf.drain(..len);
            continue;
        }
        let len = buf.len();
        if len > HEAD {
            return Err(io::Error::new(ErrorKind::InvalidData, "the head of the answer is too large"));
        }
        buf.resize(len + 4096, 0);
        let n = target.read(&mut buf[len..])?;
        buf.truncate(len + n);
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The head at the beginning of `bytes`: its length, its status, and what it is passed on as.
fn parse_response(bytes: &[u8]) -> io::Result<Option<(usize, u16, Vec<u8>)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(bytes).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))? {
        Complete(len) => len,
        Partial => return Ok(None),
    };
    let (version, status) = (parsed.version.unwrap_or_default(), parsed.code.unwrap_or_default());
    let reason = parsed.reason.unwrap_or_default();
    let mut head = format!("HTTP/1.{version} {status} {reason}\r\n").into_bytes();
    pass_fields(parsed.headers, &mut head, "");
    if status >= 200 {
        head.extend(b"Connection: close\r\n");
    }
    head.extend(b"\r\n");
    Ok(Some((len, status, head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_neighbours_is_left_out() {
        let text = b"POST http://h/p HTTP/1.1\r\nHost: evil\r\nConnection: X-Mine, content-length, keep-alive\r\n\
            x-mine: 1\r\nContent-Length: 3\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n\
            Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nX-Odd: \xff\r\n\r\n";
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(text).unwrap();
        assert_eq!(
            request_head(&parsed, "h", "/p"),
            b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nX-Odd: \xff\r\n\
              Via: 1.1 proxy\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_is_passed_on() {
        let pass = |text: &[u8]| {
            let mut got = Vec::new();
            response(text, &mut got).map(|(n, head)| {
                assert_eq!(n, got.len() as u64);
                String::from_utf8([got, head].concat()).unwrap()
            })
        };
        let text =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: b\r\n\r\nbody";
        let want = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody";
        assert_eq!(pass(text).unwrap(), want);
        assert_eq!(pass(b"HTTP/1.0 404\r\n\r\n").unwrap(), "HTTP/1.0 404 \r\nConnection: close\r\n\r\n");
        assert_eq!(pass(b"").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(pass(b"HTTP/1.1 200 OK\r\n").unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(pass(b"220 mail.example\r\n").unwrap_err().kind(), ErrorKind::InvalidData);
        let long = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 2 * HEAD]].concat();
        assert_eq!(pass(&long).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
