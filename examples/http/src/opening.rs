//! Server and time in an answer's head: text that is good for a second.

use std::time::SystemTime;

/// `Server` and `Date: Tue, 15 Nov 1994 08:12:31 GMT`, made anew when the second has passed.
pub(crate) struct Date {
    second: u64,
    text: String,
    /// The clock was looked at since the last bytes came.
    fresh: bool,
}

impl Date {
    pub(crate) fn new() -> Date {
        Date { second: u64::MAX, text: String::new(), fresh: false }
    }

    /// Time has passed. Between two of these it stands still: a clock is dear where sixteen requests come at once.
    pub(crate) fn stale(&mut self) {
        self.fresh = false;
    }

    /// The two fields, with the end of the line before them and without their own.
    pub(crate) fn fields(&mut self) -> &str {
        if !std::mem::replace(&mut self.fresh, true) {
            let now = SystemTime::now();
            let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
            if second != self.second {
                self.second = second;
                self.text = format!("\r\nserver: gosched\r\ndate: {}", httpdate::HttpDate::from(now));
            }
        }
        &self.text
    }
}
