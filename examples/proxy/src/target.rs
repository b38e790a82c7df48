//! What a client wants to reach: a host, by address or by name, and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// Letters, digits, `-`, `_` and `.`: fit for a log, a page, and the resolver.
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Host {
    /// A host as SOCKS has it: no brackets. `None`: there can be no such host.
    pub(crate) fn parse(text: &[u8]) -> Option<Host> {
        let text = str::from_utf8(text).ok()?;
        if let Ok(ip) = text.parse() {
            return Some(Host::Ip(ip));
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fine = (1..=254).contains(&text.len()) && text.bytes().all(known);
        fine.then(|| Host::Name(text.to_owned()))
    }
}

impl Target {
    /// `host:port`, an IPv6 address in brackets; the port may be left out where there is a usual one.
    pub(crate) fn parse(text: &str, usual: Option<u16>) -> Option<Target> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (v6, port) = rest.split_once(']')?;
                (Host::Ip(IpAddr::V6(v6.parse().ok()?)), port)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::parse(host.as_bytes())?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            // What u16 takes beyond digits is a sign.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            None if port.is_empty() => usual?,
            _ => return None,
        };
        Some(Target { host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written() {
        for text in ["a.example:80", "1.2.3.4:5", "[::1]:443", "under_score:0", "x.:65535"] {
            assert_eq!(Target::parse(text, None).unwrap().to_string(), text);
        }
        assert_eq!(Target::parse("h", Some(80)).unwrap().to_string(), "h:80");
        assert_eq!(Target::parse("[::2]", Some(80)).unwrap().to_string(), "[::2]:80");
        assert!(matches!(Host::parse(b"::1"), Some(Host::Ip(_))));
        let long = format!("{}:1", "x".repeat(255));
        for bad in [
            "", ":", "h", "h:", ":80", "h:+1", "h:65536", "h:1:2", "::1:80", "[::1]", "[::1", "[h]:1",
            "a b:1", "u@h:1", "h/x:1", "é:1", "h\0:1", "[::1]x:1", &long,
        ] {
            assert_eq!(Target::parse(bad, None), None, "{bad:?}");
        }
        assert_eq!(Host::parse(b"\xff\xfe"), None);
    }
}
