//! The picture of now, for the page: server-sent events, ten a second.
//!
//! ```text
//!   data: {"ps":[{"id":0,"running":true,"m":3,"runq":4,…}],"ms":[{"id":3,"p":0,"g":17,"site":"src/main.rs:12",…}],…}
//! ```
//! Each is a snapshot by itself. What happened between two of them is worked out by the page from the counters and from who
//! has whom: the scheduler does millions of things a second, and nobody could look at each. (A trace has them all.)

use crate::http::Answer;
use gosched_runtime::seen::{SeenM, SeenP, Snapshot, snapshot};
use gosched_runtime::sleep;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(100);

/// Sends snapshots until the client goes away. Parks.
pub(crate) fn events(head: bool, to: &mut Answer<'_>) -> io::Result<()> {
    to.begin("200 OK", "text/event-stream", None)?;
    if head {
        return Ok(());
    }
    loop {
        to.write_all(format!("data: {}\n\n", json(&snapshot())).as_bytes())?;
        sleep(EVERY);
    }
}

/// A number, or JSON's nothing.
fn or_null<T: ToString>(n: Option<T>) -> String {
    n.map_or("null".into(), |n| n.to_string())
}

/// A text in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

fn json(s: &Snapshot) -> String {
    let p = |p: &SeenP| {
        format!(
            "{{\"id\":{},\"running\":{},\"m\":{},\"runq\":{},\"timers\":{},\"switches\":{},\"steals\":{}}}",
            p.id,
            p.running,
            or_null(p.m),
            p.runq,
            p.timers,
            p.switches,
            p.steals
        )
    };
    let m = |m: &SeenM| {
        let (g, site) = m.g.as_ref().map_or((None, ""), |(g, site)| (Some(*g), site));
        format!(
            "{{\"id\":{},\"p\":{},\"g\":{},\"site\":{},\"syscall\":{},\"blocked\":{},\"spinning\":{}}}",
            m.id,
            or_null(m.p),
            or_null(g),
            quoted(site),
            m.in_syscall,
            m.blocked,
            m.spinning
        )
    };
    let ps: Vec<String> = s.ps.iter().map(p).collect();
    let ms: Vec<String> = s.ms.iter().map(m).collect();
    let waits = |w: &(&str, usize)| format!("[{},{}]", quoted(w.0), w.1);
    let waiting =
        s.waiting.as_ref().map(|w| format!("[{}]", w.iter().map(waits).collect::<Vec<_>>().join(",")));
    format!(
        "{{\"ps\":[{}],\"ms\":[{}],\"waiting\":{},\"global_runq\":{},\"goroutines\":{},\"polling\":{},\"handoffs\":{}}}",
        ps.join(","),
        ms.join(","),
        or_null(waiting),
        s.global_runq,
        s.goroutines,
        s.polling,
        s.handoffs
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_json() {
        let p = SeenP { id: 0, running: true, m: Some(3), runq: 4, timers: 1, switches: 9, steals: 2 };
        let m = SeenM {
            id: 3,
            p: Some(0),
            g: Some((17, "a \"b\"\\c\n:1".into())),
            in_syscall: false,
            blocked: false,
            spinning: false,
        };
        let idle = SeenM { p: None, g: None, ..m.clone() };
        let s = Snapshot {
            ps: vec![p],
            ms: vec![m, idle],
            global_runq: 5,
            goroutines: 6,
            waiting: Some(vec![("chan receive", 5)]),
            polling: true,
            handoffs: 7,
        };
        let v: serde_json::Value = serde_json::from_str(&json(&s)).unwrap();
        assert_eq!((&v["ps"][0]["runq"], &v["ms"][0]["site"]), (&4.into(), &"a \"b\"\\c\n:1".into()));
        assert!(v["ms"][1]["g"].is_null() && v["polling"] == true && v["handoffs"] == 7);
    }
}
