//! What is answered: one function for each path.
//!
//! **A trace** is written by a thread of the runtime into a channel, and read from there by the goroutine that answers: where
//! the client is slow, the channel fills, the thread waits, and the trace has gaps; nobody else waits. A client that goes away
//! is told of through another channel: the thread's write fails, and with it the trace ends.

use crate::families::prometheus;
use crate::http::{Answer, NoRequest, Refused, Request, TEXT};
use crate::live::quoted;
use crate::{http, live};
use gosched_chan::{Chan, select};
use gosched_net::TcpStream;
use gosched_runtime::debug::{Hog, Leak, Stats, leaks, stacks, stats, trace};
use gosched_runtime::spawn;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

/// One file for the browser: nothing is loaded from elsewhere.
const PAGE: &str = concat!(
    include_str!("page/page.html"),
    "<script>\n",
    include_str!("page/live.js"),
    include_str!("page/replay.js"),
    "</script>\n</html>\n"
);

/// How long a trace is where nobody says, and at most, in seconds.
const SECONDS: f64 = 1.0;
const MAX_SECONDS: f64 = 60.0;

/// Answers one connection's request. Parks.
pub(crate) fn connection(stream: TcpStream, loopback: bool, busy: bool) -> io::Result<()> {
    match http::read(&stream, loopback) {
        Ok(request) if busy => {
            let mut answer = Answer::new(&stream, request.head);
            answer.refuse("503 Service Unavailable", "too many requests at once")?;
        }
        Ok(request) => answer(&request, &mut Answer::new(&stream, request.head))?,
        Err(NoRequest::Refused(Refused(status, why))) => Answer::new(&stream, false).refuse(status, why)?,
        Err(NoRequest::Gone(e)) => return Err(e),
    }
    http::finish(&stream)
}

fn answer(request: &Request, to: &mut Answer<'_>) -> io::Result<()> {
    match request.path.as_str() {
        "/" => to.send("200 OK", "text/html; charset=utf-8", PAGE.as_bytes()),
        "/debug/events" => live::events(request.head, to),
        "/debug/stacks" => to.send("200 OK", TEXT, stacks().as_bytes()),
        "/debug/leaks" => to.send("200 OK", TEXT, leaked().as_bytes()),
        "/debug/stats" => to.send("200 OK", "application/json", json(&stats()).as_bytes()),
        "/metrics" => {
            to.send("200 OK", "text/plain; version=0.0.4; charset=utf-8", prometheus(&stats()).as_bytes())
        }
        "/debug/trace" => match seconds(&request.query) {
            Ok(how_long) => traced(how_long, request.head, to),
            Err(why) => to.refuse("400 Bad Request", why),
        },
        _ => to.refuse(
            "404 Not Found",
            "there are /, /debug/stacks, /debug/leaks, /debug/stats, /debug/trace?seconds=5 and /metrics",
        ),
    }
}

/// The numbers of one kind, by name.
fn numbers(s: &Stats) -> [(&'static str, u64); 18] {
    [
        ("goroutines", s.goroutines as u64),
        ("running", s.running as u64),
        ("runnable", s.runnable as u64),
        ("waiting", s.waiting as u64),
        ("procs", s.procs as u64),
        ("idle_procs", s.idle_procs as u64),
        ("threads", s.threads as u64),
        ("idle_threads", s.idle_threads as u64),
        ("spinning_threads", s.spinning_threads as u64),
        ("global_runq", s.global_runq as u64),
        ("timers", s.timers as u64),
        ("switches", s.switches),
        ("steals", s.steals),
        ("handoffs", s.handoffs),
        ("retakes", s.retakes),
        ("netpoll_wakeups", s.netpoll_wakeups),
        ("stacks", s.stacks as u64),
        ("stacks_cached", s.stacks_cached as u64),
    ]
}

/// The fields of `Stats`, under their names.
pub(crate) fn json(s: &Stats) -> String {
    let mut text = String::from("{");
    for (name, n) in numbers(s) {
        let _ = write!(text, "\"{name}\":{n},");
    }
    let queues: Vec<String> = s.local_runqs.iter().map(usize::to_string).collect();
    let _ = write!(text, "\"local_runqs\":[{}],", queues.join(","));
    let hog = |h: &Hog| {
        let site = h.started_at.map_or(String::new(), |at| format!("{}:{}", at.file(), at.line()));
        format!("{{\"id\":{},\"site\":{},\"ran_ns\":{}}}", h.id, quoted(&site), h.ran.as_nanos())
    };
    let hogs: Vec<String> = s.hogs.iter().map(hog).collect();
    let _ = write!(text, "\"hogs\":[{}],", hogs.join(","));
    // Bounds in nanoseconds; the last one, which has none, is null.
    let bound = |d: Duration| if d == Duration::MAX { "null".into() } else { d.as_nanos().to_string() };
    let buckets: Vec<String> = s.latencies.buckets().map(|(d, n)| format!("[{},{n}]", bound(d))).collect();
    let sum = s.latencies.sum().as_nanos();
    let _ = write!(text, "\"latencies\":{{\"sum_ns\":{sum},\"buckets\":[{}]}}}}", buckets.join(","));
    text
}

/// The leaked goroutines, as text.
fn leaked() -> String {
    let all: Vec<String> = leaks().iter().map(Leak::to_string).collect();
    if all.is_empty() { "no goroutine is known to have leaked\n".into() } else { all.join("\n") }
}

/// What `seconds=` says: more than 0; what is too long is cut.
fn seconds(query: &str) -> Result<Duration, &'static str> {
    let mut wanted = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("seconds", value)) if wanted.is_none() => wanted = Some(value.parse::<f64>()),
            _ => return Err("it must be ?seconds=N"),
        }
    }
    match wanted.unwrap_or(Ok(SECONDS)) {
        Ok(n) if n.is_finite() && n > 0.0 => Ok(Duration::from_secs_f64(n.min(MAX_SECONDS))),
        _ => Err("seconds must be a number above 0"),
    }
}

/// The channel that a trace is written to. Its end closes `pieces`; the reader closes `gone` when it wants no more.
struct Pipe {
    pieces: Chan<Vec<u8>>,
    gone: Chan<()>,
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        select! {
            recv(self.gone) -> _ => Err(io::ErrorKind::BrokenPipe.into()),
            send(self.pieces, buf.to_vec()) => Ok(buf.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pieces.close();
    }
}

fn traced(how_long: Duration, head: bool, to: &mut Answer<'_>) -> io::Result<()> {
    const JSON: &str = "application/json";
    if head {
        return to.begin("200 OK", JSON, None);
    }
    let (pieces, gone) = (Chan::new(16), Chan::new(0));
    if let Err(e) = trace::start(Pipe { pieces: pieces.clone(), gone: gone.clone() }) {
        return to.refuse("409 Conflict", &e.to_string());
    }
    // Stopping waits until all is written, and that waits for us.
    let over = gone.clone();
    let stopper = spawn(move || {
        let _until_then = over.recv_timeout(how_long);
        trace::stop()
    });
    let sent = to.begin("200 OK", JSON, None).and_then(|()| pieces.iter().try_for_each(|p| to.write_all(&p)));
    gone.close();
    let _ = stopper.join();
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_checked_and_cut() {
        let ok = |query| seconds(query).unwrap().as_secs_f64();
        assert_eq!((ok(""), ok("seconds=5"), ok("seconds=0.25"), ok("seconds=1e9")), (1.0, 5.0, 0.25, 60.0));
        for bad in [
            "seconds=",
            "seconds=0",
            "seconds=-1",
            "seconds=NaN",
            "seconds=inf",
            "seconds=5&seconds=6",
            "x=1",
            "seconds",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
