//! Chrome's trace event format, in JSON: tracks, and the events on them. What the events mean is story.rs's business.
//!
//! ```text
//!   {"displayTimeUnit":"ns","traceEvents":[
//!   {"ph":"M","name":"thread_name","pid":1,"tid":1,"args":{"name":"P0"}},         a track's name, before its first event
//!   {"ph":"X","pid":1,"tid":1,"ts":12.500,"dur":3.250,"cat":"run","name":"G17 worker","args":{…}},
//!   … ],"otherData":{…}}
//! ```
//! Times are in µs since the trace began, with three digits: the format wants it so. An event is begun by a method here, and
//! ended by whoever knows its arguments, with a brace. Written by hand, a number at a time, because this is where a trace's
//! time goes: a scheduler has millions of events a second.

use crate::trace::ring::NO_P;
use std::collections::{HashMap, HashSet};

/// A place for events: a process and a thread of the format.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Track {
    P(u16),
    M(u64),
    /// All threads without an M.
    Outside,
}

const PS: u64 = 1;
const MS: u64 = 2;

impl Track {
    fn pid(self) -> u64 {
        if matches!(self, Track::P(_)) { PS } else { MS }
    }

    /// Different for all tracks, and never 0: some viewers know threads by this alone, and 0 is special to them.
    pub(crate) fn tid(self) -> u64 {
        match self {
            Track::P(p) => 1 + u64::from(p),
            Track::Outside => 9_999,
            Track::M(m) => 10_000 + m,
        }
    }
}

/// The text so far, and what it has said once and need not repeat.
pub(crate) struct Json {
    /// Written, to be fetched.
    pub(crate) out: Vec<u8>,
    /// When the trace began.
    pub(crate) since: u64,
    announced: HashSet<Track>,
    /// The last value of each counter.
    counters: HashMap<(&'static str, u16), u64>,
    first: bool,
}

pub(crate) fn number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut i = digits.len();
    loop {
        i -= 1;
        digits[i] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[i..]);
}

/// ns as µs.
fn micros(out: &mut Vec<u8>, ns: u64) {
    number(out, ns / 1000);
    let rest = ns % 1000;
    out.extend([b'.', b'0' + (rest / 100) as u8, b'0' + (rest / 10 % 10) as u8, b'0' + (rest % 10) as u8]);
}

pub(crate) fn escaped(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            c if u32::from(c) < 0x20 => out.extend(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

impl Json {
    pub(crate) fn new(since: u64) -> Json {
        let mut json = Json {
            out: b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[".to_vec(),
            since,
            announced: HashSet::new(),
            counters: HashMap::new(),
            first: true,
        };
        for (pid, name) in [(PS, "Ps"), (MS, "Ms")] {
            json.object("M");
            json.member("name", "process_name");
            json.count("pid", pid);
            json.text(",\"args\":{\"name\":\"");
            json.text(name);
            json.text("\"}}");
        }
        json
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Begins an event.
    fn object(&mut self, ph: &str) {
        self.text(if self.first { "\n" } else { ",\n" });
        self.first = false;
        self.text("{\"ph\":\"");
        self.text(ph);
        self.text("\"");
    }

    pub(crate) fn member(&mut self, key: &str, value: &str) {
        self.text(",\"");
        self.text(key);
        self.text("\":\"");
        self.text(value);
        self.text("\"");
    }

    pub(crate) fn count(&mut self, key: &str, n: u64) {
        self.text(",\"");
        self.text(key);
        self.text("\":");
        number(&mut self.out, n);
    }

    pub(crate) fn time(&mut self, key: &str, ns: u64) {
        self.text(",\"");
        self.text(key);
        self.text("\":");
        micros(&mut self.out, ns);
    }

    /// Begins an event on a track.
    pub(crate) fn event(&mut self, ph: &str, track: Track, at: u64) {
        if self.announced.insert(track) {
            self.announce(track);
        }
        self.object(ph);
        self.count("pid", track.pid());
        self.count("tid", track.tid());
        self.time("ts", at.saturating_sub(self.since));
    }

    fn announce(&mut self, track: Track) {
        for (what, sorted) in [("thread_name", false), ("thread_sort_index", true)] {
            self.object("M");
            self.member("name", what);
            self.count("pid", track.pid());
            self.count("tid", track.tid());
            self.text(",\"args\":{");
            match track {
                _ if sorted => {
                    self.text("\"sort_index\":");
                    number(&mut self.out, track.tid());
                }
                Track::P(p) => self.text(&format!("\"name\":\"P{p}\"")),
                Track::M(m) => self.text(&format!("\"name\":\"M{m}\"")),
                Track::Outside => self.text("\"name\":\"sysmon and other threads\""),
            }
            self.text("}}");
        }
    }

    /// Writes a slice without arguments; at least 1 ns long, or viewers take it for nothing.
    pub(crate) fn slice(&mut self, track: Track, name: &str, at: u64, end: u64) {
        self.event("X", track, at);
        self.time("dur", end.saturating_sub(at).max(1));
        self.member("cat", "sched");
        self.member("name", name);
    }

    /// Writes something that took no time.
    pub(crate) fn instant(&mut self, track: Track, name: &str, at: u64) {
        self.event("i", track, at);
        self.member("s", "t");
        self.member("cat", "sched");
        self.member("name", name);
    }

    /// A counter of a P or of all (`NO_P`), where it has changed.
    pub(crate) fn counter(&mut self, name: &'static str, p: u16, at: u64, n: u64) {
        if self.counters.insert((name, p), n) == Some(n) {
            return;
        }
        self.object("C");
        self.count("pid", PS);
        self.time("ts", at.saturating_sub(self.since));
        self.text(",\"name\":\"");
        if p != NO_P {
            self.text("P");
            number(&mut self.out, p.into());
            self.text(" ");
        }
        self.text(name);
        self.text("\",\"args\":{\"n\":");
        number(&mut self.out, n);
        self.text("}}");
    }

    /// The end of the trace.
    pub(crate) fn end_of_trace(&mut self, records_lost: u64, arrows_lost: u64) {
        self.text("\n],\"otherData\":{\"records_lost\":\"");
        number(&mut self.out, records_lost);
        self.text("\",\"arrows_lost\":\"");
        number(&mut self.out, arrows_lost);
        self.text("\"}}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_written_as_json_wants_them() {
        let mut out = Vec::new();
        for n in [0, 7, 1000, u64::MAX] {
            number(&mut out, n);
            out.push(b' ');
        }
        for ns in [0, 5, 12_500, 1_000_040] {
            micros(&mut out, ns);
            out.push(b' ');
        }
        escaped(&mut out, "a\"\\\n\u{1}ü");
        let want = "0 7 1000 18446744073709551615 0.000 0.005 12.500 1000.040 a\\\"\\\\\\u000a\\u0001ü";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn a_counter_is_written_when_it_changes() {
        let mut json = Json::new(0);
        json.out.clear();
        for n in [1, 1, 2] {
            json.counter("run queue", 3, 1500, n);
        }
        let text = String::from_utf8(json.out).unwrap();
        let event = |n| {
            format!(
                ",\n{{\"ph\":\"C\",\"pid\":1,\"ts\":1.500,\"name\":\"P3 run queue\",\"args\":{{\"n\":{n}}}}}"
            )
        };
        assert_eq!(text, event(1) + &event(2));
    }
}
