//! A trace that is read back and checked: slices nest, arrows have two ends inside of slices, nothing is missing unsaid.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

/// A writer whose bytes can be had afterwards.
#[derive(Clone, Default)]
pub struct Bytes(pub Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// There is one trace at a time, and the tests of a file run at once.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

pub const PS: i64 = 1;
pub const MS: i64 = 2;

#[derive(Debug, Clone)]
pub struct Slice {
    pub track: (i64, i64),
    /// In ns.
    pub start: i64,
    pub end: i64,
    pub name: String,
    pub run: bool,
    pub g: Option<u64>,
    pub why: String,
}

#[derive(Debug, Default)]
pub struct Trace {
    pub slices: Vec<Slice>,
    /// How many; each has both ends.
    pub arrows: usize,
    /// Names of instants, and how often.
    pub instants: BTreeMap<String, usize>,
    pub counters: BTreeSet<String>,
    pub tracks: BTreeMap<(i64, i64), String>,
    pub records_lost: u64,
}

/// Of an arrow: which, on which track, when.
type Half = (String, (i64, i64), i64);

fn ns(v: &Value) -> i64 {
    (v.as_f64().unwrap_or_else(|| panic!("no time: {v}")) * 1000.0).round() as i64
}

/// Reads a trace, and checks all that must hold of every trace.
pub fn read(text: &[u8]) -> Trace {
    let all: Value = serde_json::from_slice(text).unwrap_or_else(|e| {
        panic!("{e}: {}", String::from_utf8_lossy(&text[text.len().saturating_sub(500)..]))
    });
    let mut trace = Trace::default();
    let number = |v: &Value| v.as_str().unwrap().parse::<u64>().unwrap();
    trace.records_lost = number(&all["otherData"]["records_lost"]);
    assert_eq!(number(&all["otherData"]["arrows_lost"]), 0);
    let mut halves: BTreeMap<i64, Vec<Half>> = BTreeMap::new();
    let mut missing = 0;
    for e in all["traceEvents"].as_array().unwrap() {
        let track = (e["pid"].as_i64().unwrap(), e["tid"].as_i64().unwrap_or(0));
        let name = e["name"].as_str().unwrap_or("").to_string();
        match e["ph"].as_str().unwrap() {
            "M" if name == "thread_name" => {
                let name = e["args"]["name"].as_str().unwrap().to_string();
                assert!(trace.tracks.insert(track, name).is_none(), "named twice: {e}");
            }
            "M" => {}
            "X" => trace.slices.push(Slice {
                track,
                start: ns(&e["ts"]),
                end: ns(&e["ts"]) + ns(&e["dur"]),
                name,
                run: e["cat"] == "run",
                g: e["args"]["g"].as_u64(),
                why: e["args"]["end"].as_str().unwrap_or("").to_string(),
            }),
            ph @ ("s" | "f") => {
                let half = (ph.to_string(), track, ns(&e["ts"]));
                halves.entry(e["id"].as_i64().unwrap()).or_default().push(half);
            }
            "C" => drop(trace.counters.insert(name)),
            "i" => {
                if name == "records lost" {
                    missing += e["args"]["n"].as_u64().unwrap();
                }
                *trace.instants.entry(name).or_default() += 1;
            }
            ph => panic!("what is {ph}?"),
        }
    }
    assert_eq!(missing, trace.records_lost, "what is missing is said where it is missing");
    trace.slices.sort_by_key(|s| (s.track, s.start, -s.end));
    nests(&trace.slices);
    trace.arrows = halves.len();
    let starts: Vec<_> = trace.slices.iter().map(|s| (s.track, s.start)).collect();
    for (id, halves) in halves {
        let [(s, from, left), (f, to, arrived)] = &halves[..] else { panic!("arrow {id}: {halves:?}") };
        assert_eq!((s.as_str(), f.as_str()), ("s", "f"), "arrow {id}");
        assert!(left <= arrived, "arrow {id} flies back: {halves:?}");
        if trace.records_lost == 0 {
            for (track, at) in [(*from, *left), (*to, *arrived)] {
                // The last slice that begins before it, or one around that.
                let i = starts.partition_point(|&s| s <= (track, at));
                let around = trace.slices[..i].iter().rev().take_while(|s| s.track == track).take(10);
                assert!(
                    around.into_iter().any(|s| s.start <= at && at <= s.end),
                    "arrow {id} hangs in the air: {halves:?}"
                );
            }
        }
    }
    for s in &trace.slices {
        assert!(trace.tracks.contains_key(&s.track), "a track without a name: {s:?}");
    }
    trace
}

/// Slices of a track lie beside or inside each other; and those of a P are beside each other.
fn nests(sorted: &[Slice]) {
    let mut open: Vec<&Slice> = Vec::new();
    for s in sorted {
        assert!(s.start < s.end);
        while open.last().is_some_and(|o| o.track != s.track || o.end <= s.start) {
            open.pop();
        }
        if let Some(o) = open.last() {
            assert!(s.end <= o.end, "two slices overlap:\n{o:?}\n{s:?}");
            assert!(s.track.0 != PS, "two goroutines on a P:\n{o:?}\n{s:?}");
            assert!(!s.run, "a goroutine runs in another's slice:\n{o:?}\n{s:?}");
        }
        open.push(s);
    }
}

impl Trace {
    /// The goroutines that have a slice.
    pub fn goroutines(&self) -> BTreeSet<u64> {
        self.slices.iter().filter(|s| s.run && s.track.0 == MS).filter_map(|s| s.g).collect()
    }

    /// The runs of goroutines with such names, in their order.
    pub fn runs(&self, name: &str) -> Vec<&Slice> {
        let wanted = |s: &&Slice| s.run && s.track.0 == MS && s.name.contains(name);
        let mut runs: Vec<_> = self.slices.iter().filter(wanted).collect();
        runs.sort_by_key(|s| s.start);
        runs
    }
}
