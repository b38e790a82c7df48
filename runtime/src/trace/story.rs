//! Records become slices and arrows on the tracks of Ps and Ms: what a viewer shows (Perfetto, chrome://tracing).
//!
//! ```text
//!   process "Ps"   P0   ▇▇▇ G17 worker ▇▇▇│▇ G4 main.rs:12 ▇      │▇▇▇ …        a slice for each run, on the P it had
//!                         │ goready        ▲
//!                         └────────────────┘                                   an arrow from whoever made it runnable
//!   process "Ms"   M3   ▇▇▇ G17 worker ▇▇▇│▇ G4 main.rs:12 ▇│ netpoll │▇▇▇ …     and the same on the thread
//!                             ▇ syscall ▇
//! ```
//! **The M's track tells what happened, the P's what it had to do with it.** An M's records are in order, so a stack of open
//! slices is all there is to know of it. Where its P was taken in the middle of a run, the slice on the P ends there and that
//! on the M goes on: a goroutine without a P, a thread among others.
//!
//! A slice is written when it ends, as one complete event with its length. So each begin has an end, whatever was lost in
//! between: a gap closes all that is open. What is open at the end of the trace ends there.
//!
//! **Rings are read one after the other**, so what is written is not in the order of time; viewers sort. Only an arrow needs
//! two rings: its two halves wait here for each other, and it is drawn when both have come. The half of an arrow whose other
//! half was lost waits in vain; when there are too many, all are given up, and counted.
//!
//! No two records of a ring are at the
//! same ns, so an arrow's end lies inside of its slice and not at its edge.

use crate::reason::WaitReason;
use crate::trace::json::{Json, Track, escaped, number};
use crate::trace::ring::{Kind, NO_P, Record, WHY_EXIT, WHY_YIELD};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;

/// Arrows of which one half has come; beyond this they are given up.
const MAX_HALVES: usize = 1 << 20;

/// What is going on on a thread.
enum What {
    Run(Run),
    Syscall,
    Timer,
    Netpoll,
}

struct Run {
    g: u64,
    /// Its name, or else nothing.
    name: Vec<u8>,
    site: u64,
    /// The P that it has, and since when.
    p: Option<(u16, u64)>,
    /// All Ps that it had are written.
    last_p: u16,
}

struct Open {
    what: What,
    at: u64,
}

/// One ring's story.
pub(crate) struct Thread {
    /// `None` until the first record of this trace.
    track: Option<Track>,
    /// The time of the last record.
    last: u64,
    open: Vec<Open>,
    /// Records that belong to the last `Start`.
    names: u8,
}

impl Thread {
    pub(crate) fn new() -> Thread {
        Thread { track: None, last: 0, open: Vec::new(), names: 0 }
    }

    /// Whether it has written anything in this trace.
    pub(crate) fn spoke(&self) -> bool {
        self.track.is_some()
    }

    fn run(&mut self) -> Option<&mut Run> {
        match self.open.first_mut() {
            Some(Open { what: What::Run(run), .. }) => Some(run),
            _ => None,
        }
    }
}

/// Where half of an arrow is.
#[derive(Clone, Copy)]
struct Half {
    start: bool,
    track: Track,
    at: u64,
}

/// Numbers that count up need no more.
#[derive(Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<ByNumber>>;

pub(crate) struct Story {
    json: Json,
    /// The first number of this trace's arrows.
    first_flow: u32,
    halves: Numbered<u32, Half>,
    halves_lost: u64,
    records_lost: u64,
    /// File and line of each place that was seen, escaped.
    sites: Numbered<u64, Vec<u8>>,
}

impl Story {
    pub(crate) fn new(since: u64, first_flow: u32) -> Story {
        Story {
            json: Json::new(since),
            first_flow,
            halves: Numbered::default(),
            halves_lost: 0,
            records_lost: 0,
            sites: Numbered::default(),
        }
    }

    /// The name of a goroutine: `G17 worker`, or `G17 src/main.rs:12`.
    fn name_of(&mut self, run: &Run) {
        self.json.text(",\"name\":\"G");
        number(&mut self.json.out, run.g);
        self.json.text(" ");
        if run.name.is_empty() {
            let site = self.sites.entry(run.site).or_insert_with(|| {
                // SAFETY: a record has 0 here, or the address of a `&'static Location`.
                let at = unsafe { (run.site as *const Location<'static>).as_ref() };
                let mut text = Vec::new();
                if let Some(at) = at {
                    escaped(&mut text, &format!("{}:{}", at.file(), at.line()));
                }
                text
            });
            self.json.out.extend_from_slice(site);
        } else {
            escaped(&mut self.json.out, &String::from_utf8_lossy(&run.name));
        }
        self.json.text("\"");
    }

    fn run(&mut self, track: Track, run: &Run, at: u64, end: u64, other: (&str, u64), why: &str) {
        self.json.event("X", track, at);
        self.json.time("dur", end.saturating_sub(at).max(1));
        self.json.member("cat", "run");
        self.name_of(run);
        self.json.text(",\"args\":{\"g\":");
        number(&mut self.json.out, run.g);
        self.json.count(other.0, other.1);
        self.json.member("end", why);
        self.json.text("}}");
    }

    /// The part of a run on its P ends.
    fn leave_p(&mut self, run: &mut Run, m: Track, at: u64, why: &str) {
        if let Some((p, since)) = run.p.take() {
            let m = m.tid() - Track::M(0).tid();
            self.run(Track::P(p), run, since, at.max(since + 1), ("m", m), why);
            run.last_p = p;
        }
    }

    /// Ends all that goes on on a thread.
    fn close(&mut self, t: &mut Thread, at: u64, why: &str) {
        let Some(track) = t.track else { return };
        while let Some(Open { what, at: began }) = t.open.pop() {
            match what {
                What::Run(mut run) => {
                    self.leave_p(&mut run, track, at, why);
                    self.run(track, &run, began, at, ("p", run.last_p.into()), why);
                }
                other => self.end(track, &other, began, at, 0),
            }
        }
    }

    fn end(&mut self, track: Track, what: &What, began: u64, at: u64, arg: u64) {
        let name = match what {
            What::Run(_) => return,
            What::Syscall => "syscall",
            What::Timer => "timer",
            What::Netpoll => "netpoll",
        };
        self.json.slice(track, name, began, at);
        if matches!(what, What::Netpoll) {
            self.json.text(",\"args\":{\"ready\":");
            number(&mut self.json.out, arg);
            self.json.text("}");
        }
        self.json.text("}");
    }

    /// One half of an arrow. Its other half has come, or will.
    fn half(&mut self, flow: u32, start: bool, track: Track, at: u64) {
        // Arrows of an earlier trace; the numbers go round.
        if flow == 0 || flow.wrapping_sub(self.first_flow) > u32::MAX / 2 {
            return;
        }
        let half = Half { start, track, at };
        match self.halves.remove(&flow) {
            Some(other) if other.start != start => {
                let (from, to) = if start { (half, other) } else { (other, half) };
                for (ph, h) in [("s", from), ("f", to)] {
                    self.json.event(ph, h.track, h.at);
                    self.json.count("id", flow.into());
                    self.json.member("cat", "ready");
                    self.json.member("name", "ready");
                    self.json.text(if ph == "f" { ",\"bp\":\"e\"}" } else { "}" });
                }
            }
            _ => {
                if self.halves.len() >= MAX_HALVES {
                    self.halves_lost += self.halves.len() as u64;
                    self.halves.clear();
                }
                self.halves.insert(flow, half);
            }
        }
    }

    /// An arrow begins at what the thread does now; where that is nothing, at a mark of its own.
    fn arrow(&mut self, t: &mut Thread, track: Track, flow: u32, at: u64, mark: &str) {
        let from = match t.run().and_then(|run| run.p) {
            Some((p, since)) if since < at => Track::P(p),
            _ => track,
        };
        if t.open.is_empty() {
            self.json.slice(track, mark, at, at + 1);
            self.json.text("}");
        }
        self.half(flow, true, from, at);
    }

    /// A goroutine that ran on `m` from the trace's first moment to `end`, and said nothing.
    pub(crate) fn silent(&mut self, m: u64, g: u64, site: u64, p: Option<u16>, lost: Option<u64>, end: u64) {
        let p = p.map(|p| (p, self.json.since));
        let mut run = Run { g, name: Vec::new(), site, p, last_p: NO_P };
        self.leave_p(&mut run, Track::M(m), lost.unwrap_or(end), if lost.is_some() { TAKEN } else { "" });
        self.run(Track::M(m), &run, self.json.since, end, ("p", run.last_p.into()), "");
    }

    /// The next record of a thread. `m`: the number of its M, where it has one.
    pub(crate) fn record(&mut self, t: &mut Thread, is_m: bool, r: Record) {
        if r.kind == Kind::Name {
            // (Where the Start was old news, so is this.)
            if t.names > 0
                && let Some(run) = t.run()
            {
                r.append_name(&mut run.name);
            }
            t.names = t.names.saturating_sub(1);
            return;
        }
        if r.kind == Kind::Thread {
            self.close(t, t.last + 1, "");
            t.track = Some(if is_m { Track::M(r.arg) } else { Track::Outside });
            t.last = t.last.max(r.at.min(self.json.since));
            return;
        }
        let Some(track) = t.track else { return };
        if r.kind == Kind::Lost {
            // In the past: it does not move the time on.
            if let Some(Open { what: What::Run(run), .. }) = t.open.first_mut() {
                let mut run =
                    std::mem::replace(run, Run { g: 0, name: Vec::new(), site: 0, p: None, last_p: NO_P });
                self.leave_p(&mut run, track, r.at, TAKEN);
                t.open[0].what = What::Run(run);
            }
            return;
        }
        let at = r.at.max(t.last + 1);
        t.last = at;
        self.told(t, track, r, at);
    }

    fn told(&mut self, t: &mut Thread, track: Track, r: Record, at: u64) {
        let open = |what| Open { what, at };
        match r.kind {
            Kind::Start => {
                self.close(t, at - 1, "");
                let p = (r.p != NO_P).then_some((r.p, at));
                let run = Run { g: r.goid(), name: Vec::new(), site: r.arg, p, last_p: NO_P };
                t.open.push(open(What::Run(run)));
                t.names = r.why;
                let to = p.map_or(track, |(p, _)| Track::P(p));
                self.half(r.flow, false, to, at + 1);
                t.last = at + 1;
                if r.p != NO_P {
                    self.json.counter("run queue", r.p, at, r.len());
                }
            }
            Kind::End => self.close(
                t,
                at,
                match r.why {
                    WHY_EXIT => "exit",
                    WHY_YIELD => "yield",
                    why => WaitReason::of(why).as_str(),
                },
            ),
            Kind::Got => {
                if let Some(run) = t.run() {
                    run.p = Some((r.p, at));
                }
            }
            Kind::Ready => self.arrow(t, track, r.flow, at, "goready"),
            Kind::Go => self.arrow(t, track, r.flow, at, "go"),
            Kind::SyscallBegin => t.open.push(open(What::Syscall)),
            Kind::TimerBegin => t.open.push(open(What::Timer)),
            Kind::NetpollBegin => t.open.push(open(What::Netpoll)),
            Kind::SyscallEnd | Kind::TimerEnd | Kind::NetpollEnd => {
                let same = |o: &mut Open| {
                    matches!(
                        (&o.what, r.kind),
                        (What::Syscall, Kind::SyscallEnd)
                            | (What::Timer, Kind::TimerEnd)
                            | (What::Netpoll, Kind::NetpollEnd)
                    )
                };
                if let Some(o) = t.open.pop_if(same) {
                    self.end(track, &o.what, o.at, at, r.arg);
                }
            }
            Kind::Steal => {
                self.json.instant(Track::P(r.p), "steal", at);
                self.json.text(",\"args\":{\"from_p\":");
                number(&mut self.json.out, r.arg);
                self.json.count("g", r.goid());
                self.json.text("}}");
            }
            Kind::Handoff => {
                self.json.instant(Track::P(r.p), "handoff", at);
                self.json.text("}");
            }
            Kind::Retake => {
                self.json.instant(Track::P(r.p), "retake", at);
                self.json.text(",\"args\":{\"from_m\":");
                number(&mut self.json.out, r.arg);
                self.json.count("g", r.goid());
                self.json.member("from", if r.why == 1 { "syscall" } else { "running" });
                self.json.text("}}");
            }
            Kind::Gap => {
                self.close(t, at, LOST);
                self.lost(track, at, r.arg);
            }
            Kind::Thread | Kind::Name | Kind::Lost => {}
        }
    }

    fn lost(&mut self, track: Track, at: u64, n: u64) {
        self.records_lost += n;
        self.json.instant(track, LOST, at);
        self.json.text(",\"args\":{\"n\":");
        number(&mut self.json.out, n);
        self.json.text("}}");
    }

    /// The end of a thread's story: at `end`. `missing`: how many records are, and since when. `taken`: when its P was.
    pub(crate) fn finish(
        &mut self,
        t: &mut Thread,
        end: u64,
        missing: Option<(u64, u64)>,
        taken: Option<u64>,
    ) {
        // Where records are missing before that, so is the run that lost its P.
        if let Some(at) = taken.filter(|&at| missing.is_none_or(|(_, since)| at < since)) {
            self.record(t, true, Record::new(Kind::Lost, at));
        }
        match missing {
            None => self.close(t, end.max(t.last + 1), ""),
            Some((n, since)) => {
                let at = since.max(t.last + 1);
                self.close(t, at, LOST);
                self.lost(t.track.unwrap_or(Track::Outside), at, n);
            }
        }
    }

    /// The end of the trace.
    pub(crate) fn end_of_trace(&mut self) {
        self.json.end_of_trace(self.records_lost, self.halves_lost);
    }

    /// What has been written, to be fetched and then cleared.
    pub(crate) fn text(&self) -> &[u8] {
        &self.json.out
    }

    pub(crate) fn clear_text(&mut self) {
        self.json.out.clear();
    }

    /// A counter that belongs to no P.
    pub(crate) fn counter(&mut self, name: &'static str, at: u64, n: u64) {
        self.json.counter(name, NO_P, at, n);
    }
}

/// Why a slice on a P ends though its goroutine runs on.
const TAKEN: &str = "P taken";
/// Why a slice ends whose end is missing; the mark of a gap.
const LOST: &str = "records lost";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p_that_was_taken_from_a_run_that_is_missing_is_not_taken_from_the_one_before() {
        let told = |missing| {
            let mut story = Story::new(1000, 0);
            let mut t = Thread::new();
            story.record(&mut t, true, Record { arg: 3, ..Record::new(Kind::Thread, 1000) });
            story.record(&mut t, true, Record { p: 1, ..Record::new(Kind::Start, 2000) }.g(7, 0));
            story.finish(&mut t, 9000, missing, Some(6000));
            String::from_utf8(story.text().to_vec()).unwrap()
        };
        // The run on P1 ends when the P is taken; where its own end is missing, when that is.
        let ends =
            |text: &str, at: &str| text.contains(&format!("\"pid\":1,\"tid\":2,\"ts\":1.000,\"dur\":{at}"));
        assert!(ends(&told(None), "4.000"), "{}", told(None));
        assert!(ends(&told(Some((5, 7000))), "4.000"), "{}", told(Some((5, 7000))));
        assert!(ends(&told(Some((5, 4000))), "2.000"), "{}", told(Some((5, 4000))));
    }
}
