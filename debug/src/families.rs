//! The numbers as metrics, in one table: for `/metrics` and for the `metrics` crate.
//!
//! A counter's name ends in `_total`, and may go round where one of its parts has 32 bits.

use gosched_runtime::debug::{SchedLatencies, Stats};
use std::fmt::Write as _;
use std::time::Duration;

/// What has one name.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) values: Values,
}

pub(crate) enum Values {
    Gauge(Vec<Sample>),
    Counter(u64),
    /// In seconds.
    Histogram(Box<SchedLatencies>),
}

/// One of several numbers of a name, and what tells them apart.
pub(crate) struct Sample {
    pub(crate) label: Option<(&'static str, String)>,
    pub(crate) n: u64,
}

pub(crate) fn families(s: &Stats) -> Vec<Family> {
    let one = |n: usize| Values::Gauge(vec![Sample { label: None, n: n as u64 }]);
    let state = |state: &str, n: usize| Sample { label: Some(("state", state.into())), n: n as u64 };
    let states =
        vec![state("running", s.running), state("runnable", s.runnable), state("waiting", s.waiting)];
    let of_p = |(p, &n): (usize, &usize)| Sample { label: Some(("p", p.to_string())), n: n as u64 };
    let queues = s.local_runqs.iter().enumerate().map(of_p).collect();
    [
        ("gosched_goroutines", "Goroutines alive, by what they do.", Values::Gauge(states)),
        ("gosched_procs", "GOMAXPROCS.", one(s.procs)),
        ("gosched_idle_procs", "Ps without work.", one(s.idle_procs)),
        ("gosched_threads", "Threads of the scheduler.", one(s.threads)),
        ("gosched_idle_threads", "Threads of the scheduler that sleep.", one(s.idle_threads)),
        ("gosched_spinning_threads", "Threads of the scheduler that look for work.", one(s.spinning_threads)),
        ("gosched_global_runq_length", "Goroutines in the global run queue.", one(s.global_runq)),
        ("gosched_runq_length", "Goroutines in the run queue of a P.", Values::Gauge(queues)),
        ("gosched_timers", "Timers in the heaps of the Ps.", one(s.timers)),
        ("gosched_stacks", "Stacks that goroutines have or Ps keep.", one(s.stacks)),
        ("gosched_stacks_cached", "Free stacks that hold memory.", one(s.stacks_cached)),
        (
            "gosched_netpoll_wakeups_total",
            "Goroutines that the network poller made runnable.",
            Values::Counter(s.netpoll_wakeups),
        ),
        ("gosched_switches_total", "Goroutines put on a processor.", Values::Counter(s.switches)),
        ("gosched_steals_total", "Thefts from the queue of another P.", Values::Counter(s.steals)),
        ("gosched_handoffs_total", "Ps handed from one thread to another.", Values::Counter(s.handoffs)),
        (
            "gosched_retakes_total",
            "Ps taken from goroutines that ran for longer than a time slice.",
            Values::Counter(s.retakes),
        ),
        (
            "gosched_sched_latencies_seconds",
            "How long goroutines waited from when they could run until they did: a sample, one in 32.",
            Values::Histogram(Box::new(s.latencies.clone())),
        ),
    ]
    .into_iter()
    .map(|(name, help, values)| Family { name, help, values })
    .collect()
}

/// Prometheus' text format.
pub(crate) fn prometheus(s: &Stats) -> String {
    let mut text = String::new();
    for Family { name, help, values } in families(s) {
        let kind = match values {
            Values::Gauge(_) => "gauge",
            Values::Counter(_) => "counter",
            Values::Histogram(_) => "histogram",
        };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        match values {
            Values::Gauge(samples) => {
                for Sample { label, n } in samples {
                    let label =
                        label.map_or(String::new(), |(label, value)| format!("{{{label}=\"{value}\"}}"));
                    let _ = writeln!(text, "{name}{label} {n}");
                }
            }
            Values::Counter(n) => drop(writeln!(text, "{name} {n}")),
            Values::Histogram(h) => {
                let mut below = 0;
                for (bound, n) in h.buckets() {
                    below += n;
                    let le = match bound {
                        Duration::MAX => "+Inf".to_string(),
                        bound => bound.as_secs_f64().to_string(),
                    };
                    let _ = writeln!(text, "{name}_bucket{{le=\"{le}\"}} {below}");
                }
                let _ = writeln!(text, "{name}_sum {}\n{name}_count {below}", h.sum().as_secs_f64());
            }
        }
    }
    text
}
