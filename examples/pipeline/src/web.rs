//! A small web of pages, made from a seed, and its server: a goroutine for each connection.
//!
//! ```text
//!   /p/0 … /p/N-1   pages; /p/i leads to /p/2i+1 and /p/2i+2, so each can be reached, and to some others, as the seed says
//!   /moved/i        a redirect to /p/i
//!   /gone/i         404, as everything else
//! ```
//! The same seed makes the same pages. Links are written in different ways (absolute, relative, with a fragment, twice), and
//! lead out of this web as well.

use crate::wire::{MAX_FIELDS, Wire, invalid};
use gosched::context::Context;
use gosched::net::{TcpListener, TcpStream};
use gosched::sync::WaitGroup;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a client may take for its request, and for the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which pages there are.
#[derive(Clone, Copy, Debug)]
pub struct Web {
    /// What the links depend on.
    pub seed: u64,
    /// How many pages.
    pub size: u32,
    /// This page is answered by something that is no HTTP.
    pub broken: Option<u32>,
    /// This page is not answered at all.
    pub silent: Option<u32>,
}

/// What the server says to a request.
enum Answer {
    Page(String),
    Moved(String),
    NotFound,
    Broken,
    Silent,
}

impl Web {
    /// The address of page `i`.
    pub fn path(i: u32) -> String {
        format!("/p/{i}")
    }

    /// The links of page `i`, as they are written in it.
    pub fn links(&self, i: u32) -> Vec<String> {
        let children = [u64::from(i) * 2 + 1, u64::from(i) * 2 + 2];
        let mut links: Vec<_> =
            children.iter().filter(|c| **c < self.size.into()).map(|c| format!("/p/{c}")).collect();
        let mut state = self.seed ^ (u64::from(i) << 32);
        for _ in 0..random(&mut state, 6) {
            let to = random(&mut state, self.size.into());
            links.push(match random(&mut state, 8) {
                0 => format!("/gone/{}", to % 16),
                1 => format!("../moved/{to}"),
                2 => format!("https://elsewhere.example/{to}"),
                3 => "mailto:nobody@elsewhere.example".into(),
                4 => format!("{to}#part"),
                5 => format!("./{to}?"),
                _ => format!("/p/{to}"),
            });
        }
        links
    }

    fn page(&self, i: u32) -> String {
        let mut html =
            format!("<!doctype html>\n<title>Page {i}</title>\n<!-- <a href=\"/comment\"> -->\n<ul>\n");
        for link in self.links(i) {
            html.push_str(&format!("<li><A class=x HREF='{link}'>{link}</A>\n"));
        }
        html.push_str("</ul>\n<script>var s = '<a href=\"/script\">';</script>\n");
        html
    }

    fn answer(&self, target: &str) -> Answer {
        let path = target.split('?').next().unwrap_or(target);
        let number =
            |prefix| path.strip_prefix(prefix).and_then(|n| n.parse().ok()).filter(|i| *i < self.size);
        match (number("/p/"), number("/moved/")) {
            (Some(i), _) if self.broken == Some(i) => Answer::Broken,
            (Some(i), _) if self.silent == Some(i) => Answer::Silent,
            (Some(i), _) => Answer::Page(self.page(i)),
            (_, Some(i)) => Answer::Moved(Web::path(i)),
            _ => Answer::NotFound,
        }
    }

    /// Serves until `ctx` is done; then closes the listener and all connections. **Parks.**
    ///
    /// # Errors
    /// Of the listener.
    pub fn serve(self, ctx: &Context, listener: TcpListener) -> io::Result<()> {
        let closing = listener.try_clone()?;
        let stop = ctx.after_func(move || drop(closing.close()));
        let connections = WaitGroup::new();
        let ended = loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    let ctx = ctx.clone();
                    connections.go(move || {
                        let stream = Arc::new(stream);
                        let closing = stream.clone();
                        let stop = ctx.after_func(move || drop(closing.close()));
                        // A client that is gone is its own affair.
                        let _ = self.connection(&stream);
                        stop.stop();
                    });
                }
                Err(_) if ctx.err().is_some() => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        stop.stop();
        connections.wait();
        ended
    }

    /// One request, one answer.
    fn connection(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_deadline(Some(Instant::now() + PATIENCE))?;
        let mut wire = Wire::new(stream);
        let request = wire.take(|buf| {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut request = httparse::Request::new(&mut fields);
            Ok(match request.parse(buf).map_err(invalid)? {
                httparse::Status::Complete(len) => {
                    Some((len, (request.method == Some("GET"), request.path.unwrap_or_default().to_owned())))
                }
                httparse::Status::Partial => None,
            })
        });
        let (head, body) = match request {
            Ok((true, target)) => match self.answer(&target) {
                Answer::Page(html) => ("200 OK\r\nContent-Type: text/html; charset=utf-8".into(), html),
                Answer::Moved(to) => (format!("301 Moved Permanently\r\nLocation: {to}"), String::new()),
                Answer::NotFound => ("404 Not Found".into(), "there is no such page\n".into()),
                Answer::Broken => return (&mut &*stream).write_all(b"this is no HTTP\r\n\r\n"),
                Answer::Silent => {
                    stream.set_deadline(None)?;
                    while wire.more()? {
                        wire.buf.clear();
                    }
                    return Ok(()); // the client has lost its patience
                }
            },
            Ok((false, _)) => ("405 Method Not Allowed\r\nAllow: GET".into(), String::new()),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => ("400 Bad Request".into(), String::new()),
            Err(e) => return Err(e),
        };
        let len = body.len();
        (&mut &*stream).write_all(
            format!("HTTP/1.1 {head}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}").as_bytes(),
        )
    }
}

/// A number below `n`: splitmix64.
fn random(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % n.max(1)
}
