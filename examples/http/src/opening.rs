//! The first lines of an answer: status, server, time, kind of content. The answers of a connection within a second mostly have
//! them in common, so they are kept.

use crate::refused::reason;
use std::time::SystemTime;

pub(crate) struct Opening {
    second: u64,
    date: String,
    /// The clock was looked at since the last bytes came.
    fresh: bool,
    /// What `text` is for; 0 where it is for nothing any more.
    status: u16,
    kind: Option<&'static str>,
    text: String,
}

impl Opening {
    pub(crate) fn new() -> Opening {
        let (date, kind, text) = (String::new(), None, String::new());
        Opening { second: u64::MAX, date, fresh: false, status: 0, kind, text }
    }

    /// Time has passed. Between two of these it stands still: a clock is dear where sixteen requests come at once.
    pub(crate) fn stale(&mut self) {
        self.fresh = false;
    }

    /// The lines, up to `Content-Type` if there is one; the last has an end as well.
    pub(crate) fn lines(&mut self, status: u16, kind: Option<&'static str>) -> &str {
        if !self.fresh {
            self.look();
        }
        if self.status != status || !same(self.kind, kind) {
            self.make(status, kind);
        }
        &self.text
    }

    fn look(&mut self) {
        self.fresh = true;
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if second != self.second {
            self.second = second;
            self.date = httpdate::fmt_http_date(now);
            self.status = 0;
        }
    }

    #[cold]
    fn make(&mut self, status: u16, kind: Option<&'static str>) {
        (self.status, self.kind) = (status, kind);
        let (words, date) = (reason(status), &self.date);
        self.text = format!("HTTP/1.1 {status} {words}\r\nserver: gosched\r\ndate: {date}\r\n");
        if let Some(kind) = kind {
            self.text.extend(["content-type: ", kind, "\r\n"]);
        }
    }
}

/// Whether they are the same text at the same place, as one kind mostly is: what they say is not looked at.
fn same(a: Option<&'static str>, b: Option<&'static str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => std::ptr::eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_not_given_for_something_else() {
        let mut opening = Opening::new();
        for _ in 0..2 {
            opening.stale();
            for (status, kind) in [(200, Some("a/b")), (200, Some("a/c")), (404, Some("a/c")), (304, None)] {
                let text = opening.lines(status, kind).to_owned();
                assert!(
                    text.starts_with(&format!("HTTP/1.1 {status} {}\r\nserver: ", reason(status))),
                    "{text}"
                );
                let last = text.lines().last().unwrap();
                match kind {
                    Some(kind) => assert_eq!(last, format!("content-type: {kind}")),
                    None => assert!(last.starts_with("date: ") && last.ends_with(" GMT"), "{text}"),
                }
                assert!(text.ends_with("\r\n") && !text.contains("\r\n\r\n"));
                assert_eq!(opening.lines(status, kind), text);
            }
        }
    }
}
