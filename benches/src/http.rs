//! As much of HTTP/1.1 as a measurement needs: every request gets the same answer. Requests may come in any number at a
//! time; those that have come together are answered with one write. (In `compare/` the program with threads answers with
//! this, too.)

use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest head of a request.
const LONGEST: usize = 8192;
const MAX_HEADERS: usize = 32;
const BODY: &str = "Hello, World!";

/// Serves one connection until it ends.
pub fn connection(mut stream: impl Read + Write) -> io::Result<()> {
    let mut input = [0; LONGEST];
    // What of it is filled; and how much of a request's body is still to come, which nobody wants to see.
    let (mut filled, mut body) = (0, 0);
    let mut output = Vec::with_capacity(4096);
    let mut answer = Answer::new();
    loop {
        let n = stream.read(&mut input[filled..])?;
        if n == 0 {
            return Ok(());
        }
        filled += n;
        answer.refresh();
        output.clear();

        let mut at = 0;
        let goes_on = loop {
            let skipped = body.min(filled - at);
            at += skipped;
            body -= skipped;
            if body > 0 || at == filled {
                break true;
            }
            match head(&input[at..filled]) {
                Head::Partial => break true,
                Head::Wrong => {
                    output.extend_from_slice(
                        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    );
                    break false;
                }
                Head::Request { len, body: follows, keep_alive } => {
                    at += len;
                    body = follows;
                    answer.push_to(&mut output, keep_alive);
                    if !keep_alive {
                        break false;
                    }
                }
            }
        };
        stream.write_all(&output)?;
        if !goes_on {
            return Ok(());
        }
        input.copy_within(at..filled, 0);
        filled -= at;
        if filled == LONGEST {
            return stream.write_all(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    }
}

enum Head {
    Partial,
    Wrong,
    Request { len: usize, body: usize, keep_alive: bool },
}

/// Reads one request's head.
fn head(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(_) => return Head::Wrong,
    };
    let (mut body, mut keep_alive) = (0, request.version == Some(1));
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let Some(n) = std::str::from_utf8(header.value).ok().and_then(|v| v.parse().ok()) else {
                return Head::Wrong;
            };
            body = n;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Head::Wrong; // not understood here
        } else if header.name.eq_ignore_ascii_case("connection") {
            if header.value.eq_ignore_ascii_case(b"close") {
                keep_alive = false;
            } else if header.value.eq_ignore_ascii_case(b"keep-alive") {
                keep_alive = true;
            }
        }
    }
    Head::Request { len, body, keep_alive }
}

/// The answer, made anew when its date has passed.
struct Answer {
    second: u64,
    text: String,
}

impl Answer {
    fn new() -> Answer {
        Answer { second: u64::MAX, text: String::new() }
    }

    fn refresh(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if now != self.second {
            self.second = now;
            self.text = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\ndate: {}\r\n\r\n{BODY}",
                BODY.len(),
                date(now)
            );
        }
    }

    fn push_to(&self, out: &mut Vec<u8>, keep_alive: bool) {
        if keep_alive {
            return out.extend_from_slice(self.text.as_bytes());
        }
        let head = self.text.len() - BODY.len() - "\r\n".len();
        out.extend_from_slice(&self.text.as_bytes()[..head]);
        out.extend_from_slice(b"connection: close\r\n\r\n");
        out.extend_from_slice(BODY.as_bytes());
    }
}

/// `Tue, 15 Nov 1994 08:12:31 GMT`, from seconds since 1970.
fn date(secs: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let (days, time) = (secs / 86_400, secs % 86_400);
    // Years begin in March here, so that the day that some of them lack is their last. Counted from March of year 0;
    // 400 years are 146,097 days.
    let days0 = days + 719_468;
    let (era, day) = (days0 / 146_097, days0 % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on are 31 30 31 30 31, twice, and 31 and the rest: 153 days in five of them.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}
