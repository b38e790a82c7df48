//! The time in an answer's head: text that is good for a second.

use std::time::SystemTime;

/// `Tue, 15 Nov 1994 08:12:31 GMT`, made anew when it has passed.
pub(crate) struct Date {
    second: u64,
    text: String,
}

impl Date {
    pub(crate) fn new() -> Date {
        Date { second: u64::MAX, text: String::new() }
    }

    pub(crate) fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if second != self.second {
            (self.second, self.text) = (second, httpdate::fmt_http_date(now));
        }
        &self.text
    }
}
