//! The head of a request: taken apart by httparse, then checked for what httparse does not know.
//!
//! What matters most here is where the body ends, since the next request begins there. If two programs in a row (a proxy, and
//! this) come to different ends, the second sees a request that the first has not (request smuggling). So nothing is
//! guessed, and whatever RFC 9112 calls ambiguous is refused:
//!
//! ```text
//!   Content-Length        Transfer-Encoding
//!   -                     -                     no body
//!   once, digits only     -                     that many bytes
//!   -                     once, `chunked`       chunks; 400 in HTTP/1.0, 501 for any other coding
//!   once                  any                   400
//!   twice, equal or not   any                   400
//! ```
//! So are a bare LF as the end of a line, and a Host that is missing (in 1.1), repeated, or not ASCII. Field values that
//! the server does not read are bytes, of any kind.
//!
//! The head is copied, into buffers that the connection uses again and again: the input's own is needed for the body.

use crate::limits::Limits;
use crate::refused::Refused;
use httparse::Status::{Complete, Partial};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Fields in a head. More of them are refused as too large.
const FIELDS: usize = 64;

/// Where a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Method {
    #[default]
    Get,
    Head,
    Post,
    /// In `bytes`.
    Other(Range<usize>),
}

/// A request's head.
#[derive(Debug, Default)]
pub struct Head {
    bytes: Vec<u8>,
    method: Method,
    /// Path and query, as the request has them. Empty where it was refused before they were known.
    target: String,
    /// Names and values, in `bytes`.
    fields: Vec<(Range<usize>, Range<usize>)>,
    pub(crate) framing: Framing,
    /// HTTP/1.1, not 1.0.
    pub(crate) v1_1: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

impl Head {
    /// Takes a head from the beginning of `bytes`; gives its length, or `None` as long as it is not all there. What is refused
    /// leaves as much of it as could be read, without a body.
    pub(crate) fn parse(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refused> {
        self.clear();
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let len = match parsed.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(Complete(len)) if len <= limits.head => len,
            Ok(Partial) if bytes.len() < limits.head => return Ok(None),
            Ok(_) => return Err(Refused(431, "the head is too long")),
            Err(httparse::Error::TooManyHeaders) => return Err(Refused(431, "too many fields")),
            Err(httparse::Error::Version) => return Err(Refused(505, "this version is not spoken here")),
            Err(_) => return Err(Refused(400, "this is not HTTP")),
        };
        let bytes = &bytes[..len];
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        // Where a part is; an empty one may be anywhere.
        let at = |part: &[u8]| {
            let start = if part.is_empty() { 0 } else { part.as_ptr().addr() - bytes.as_ptr().addr() };
            start..start + part.len()
        };
        // There is an LF at the ends of lines only, and a line ends after a value, perhaps with spaces between: who has CR at
        // all these places is spared a closer look.
        let mut plain = bytes.ends_with(b"\r\n\r\n")
            && at(method.as_bytes()).start == 0
            && bytes[at(target.as_bytes()).end..].starts_with(b" HTTP/1.") // and a digit
            && bytes[at(target.as_bytes()).end + 9] == b'\r';
        self.fields.extend(parsed.headers.iter().map(|f| {
            let value = at(f.value);
            plain &= bytes[value.end] == b'\r';
            (at(f.name.as_bytes()), value)
        }));
        if !plain && (bytes[0] == b'\n' || bytes.windows(2).any(|w| w[0] != b'\r' && w[1] == b'\n')) {
            return Err(Refused(400, "a line ends without CR"));
        }
        self.bytes.extend_from_slice(bytes);
        self.method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other(at(method.as_bytes())),
        };
        let target = local(target)?;
        if !target.starts_with('/') && target != "*" {
            self.target.push('/'); // it may be left out after a host
        }
        self.target.push_str(target);
        self.v1_1 = parsed.version == Some(1);
        self.check(parsed.headers, limits)?;
        Ok(Some(len))
    }

    /// Empty, with its memory kept.
    fn clear(&mut self) {
        self.bytes.clear();
        self.method = Method::Get;
        self.target.clear();
        self.fields.clear();
        self.framing = Framing::None;
        (self.v1_1, self.keep_alive, self.expects_continue) = (false, false, false);
    }

    /// Reads the fields that say how the connection goes on.
    fn check(&mut self, fields: &[httparse::Header], limits: &Limits) -> Result<(), Refused> {
        let (mut length, mut coding, mut host) = (None, None, false);
        let (mut close, mut keep, mut expects) = (false, false, false);
        for (name, value) in fields.iter().map(|f| (f.name, f.value)) {
            // Most clients write them so.
            let is = |known: &str| name == known || name.eq_ignore_ascii_case(known);
            if is("Host") {
                if std::mem::replace(&mut host, true) || !value.is_ascii() {
                    return Err(Refused(400, "one Host, in ASCII"));
                }
            } else if is("Connection") {
                for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("Content-Length") {
                let digits = Some(value).filter(|v| v.iter().all(u8::is_ascii_digit));
                let n = digits.and_then(|v| std::str::from_utf8(v).ok()?.parse::<u64>().ok());
                let n = n.ok_or(Refused(400, "Content-Length is a number"))?;
                if length.replace(n).is_some() {
                    return Err(Refused(400, "more than one Content-Length"));
                }
            } else if is("Transfer-Encoding") {
                if coding.replace(value).is_some() {
                    return Err(Refused(400, "more than one Transfer-Encoding"));
                }
            } else if is("Expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refused(417, "only 100-continue can be expected"));
                }
                expects = true;
            }
        }
        let framing = match (length, coding) {
            (Some(_), Some(_)) => {
                return Err(Refused(400, "both Content-Length and Transfer-Encoding"));
            }
            (_, Some(_)) if !self.v1_1 => return Err(Refused(400, "Transfer-Encoding in HTTP/1.0")),
            (_, Some(c)) if c.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (_, Some(_)) => return Err(Refused(501, "of the transfer codings, only chunked")),
            (Some(n), _) if n > limits.body => return Err(Refused(413, "the body is too long")),
            (Some(n @ 1..), _) => Framing::Length(n),
            _ => Framing::None,
        };
        if self.v1_1 && !host {
            return Err(Refused(400, "no Host"));
        }
        self.framing = framing;
        self.keep_alive = !close && (self.v1_1 || keep);
        self.expects_continue = expects && self.v1_1 && framing != Framing::None;
        Ok(())
    }

    /// `GET`, `POST`, …
    pub fn method(&self) -> &str {
        match &self.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            // httparse has seen that it is ASCII.
            Method::Other(at) => std::str::from_utf8(&self.bytes[at.clone()]).unwrap_or_default(),
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// The path as it came, with its percent signs.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&*self.target, |(path, _)| path)
    }

    /// Whether that is the path. (Without a search for its end.)
    pub(crate) fn is_path(&self, path: &str) -> bool {
        self.target.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
    }

    /// The value of `name` in what follows the `?`, as it came.
    pub fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.target.split_once('?')?.1.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    fn raw_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&self.bytes[name.clone()], &self.bytes[value.clone()]))
    }

    /// All fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // httparse has seen that names are ASCII.
        self.raw_fields().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// The value of a field, the first of this name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.raw_fields().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// Path and query of a request's target: `/path?query`, the same after `http://host` (where the path may be empty), or `*`.
fn local(target: &str) -> Result<&str, Refused> {
    if target.starts_with('/') || target == "*" {
        return Ok(target);
    }
    let absolute = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let rest = absolute.ok_or(Refused(400, "the target is a path"))?;
    Ok(rest.find(['/', '?']).map_or("", |at| &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &[u8]) -> Result<Head, u16> {
        let mut head = Head::default();
        match head.parse(text, &Limits::default()) {
            Ok(Some(len)) => {
                assert_eq!(len, text.len());
                Ok(head)
            }
            Ok(None) => Err(0),
            Err(refused) => Err(refused.0),
        }
    }

    fn with(fields: &str) -> Result<Head, u16> {
        head(format!("POST /p HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn a_head_is_taken_apart() {
        let h = head(b"GET /a/b%20c?n=5&m=&x HTTP/1.1\r\nHost: h\r\nX-Odd: \xff\xfe\r\n\r\n").unwrap();
        assert_eq!((h.method(), h.path()), ("GET", "/a/b%20c"));
        assert_eq!((h.query("n"), h.query("m"), h.query("x")), (Some("5"), Some(""), None));
        assert_eq!(h.field("x-odd"), Some(&b"\xff\xfe"[..]));
        assert!(h.keep_alive && h.framing == Framing::None);
        for target in ["http://some.where", "http://some.where?q=/x", "/", "/?q=x"] {
            assert_eq!(head(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).unwrap().path(), "/");
        }
        let h = head(b"GET http://some.where/x?y=z HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!((h.path(), h.query("y"), h.keep_alive), ("/x", Some("z"), false));
        assert_eq!(head(b"GET / HTTP/1.1\r\nHost: h\r\n").err(), Some(0));
    }

    #[test]
    fn a_body_has_one_end() {
        assert_eq!(with("Content-Length: 12\r\n").unwrap().framing, Framing::Length(12));
        assert_eq!(with("Content-Length: 0\r\n").unwrap().framing, Framing::None);
        assert_eq!(with("Transfer-Encoding: Chunked\r\n").unwrap().framing, Framing::Chunked);
        for (fields, status) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 18446744073709551616\r\n", 400),
            ("Content-Length: 18446744073709551615\r\n", 413),
            ("Content-Length : 1\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: \x0bchunked\r\n", 400),
            ("Host: again\r\n", 400),
            ("X: a\n", 400),
            ("X: a \n", 400),
            ("X:\n", 400),
            ("X:\r\nY: b\n", 400),
            ("X: a\r\n b\r\n", 400),
            ("Expect: much\r\n", 417),
        ] {
            assert_eq!(with(fields).err(), Some(status), "{fields:?}");
        }
        for bare in
            ["\nGET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\n\r\n", "GET / HTTP/1.0\r\n\n", "GET / HTTP/1.0\n\n"]
        {
            assert_eq!(head(bare.as_bytes()).err(), Some(400), "{bare:?}");
        }
        assert!(with("X: a \r\nY:\r\nZ: \r\n").is_ok());
        assert!(head(b"\r\nGET / HTTP/1.0\r\n\r\n").is_ok());
        assert_eq!(head(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").err(), Some(400));
        assert_eq!(head(b"GET / HTTP/1.1\r\n\r\n").err(), Some(400));
        assert_eq!(head(b"GET / HTTP/2.0\r\n\r\n").err(), Some(505));
        assert_eq!(head(b"CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n").err(), Some(400));
    }

    #[test]
    fn the_connection_goes_on_or_not() {
        assert!(!with("Connection: Close\r\n").unwrap().keep_alive);
        assert!(!with("Connection: keep-alive, close\r\n").unwrap().keep_alive);
        assert!(head(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap().keep_alive);
        let expects = with("Content-Length: 3\r\nExpect: 100-Continue\r\n").unwrap();
        assert!(expects.expects_continue);
        assert!(!with("Expect: 100-continue\r\n").unwrap().expects_continue, "nothing is to come");
    }
}
