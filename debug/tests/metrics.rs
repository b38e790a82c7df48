//! `record_metrics`: what the recorder of the `metrics` crate is told.

use gosched_debug::record_metrics;
use gosched_runtime::{run, yield_now};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What was said, by name and label.
type Said = Arc<Mutex<BTreeMap<String, Vec<f64>>>>;

struct Listens(Said);

struct One(Said, String);

impl One {
    fn says(&self, v: f64) {
        self.0.lock().unwrap().entry(self.1.clone()).or_default().push(v);
    }
}

impl CounterFn for One {
    fn increment(&self, _: u64) {
        panic!("counters are absolute");
    }
    fn absolute(&self, n: u64) {
        self.says(n as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }
    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }
    fn set(&self, v: f64) {
        self.says(v);
    }
}

impl HistogramFn for One {
    fn record(&self, v: f64) {
        self.says(v);
    }
}

impl Listens {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: String = key.labels().map(|l| format!("{{{}={}}}", l.key(), l.value())).collect();
        Arc::new(One(self.0.clone(), format!("{}{labels}", key.name())))
    }
}

impl Recorder for Listens {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

#[test]
fn the_numbers_reach_the_recorder() {
    let said = Said::default();
    metrics::set_global_recorder(Listens(said.clone())).unwrap();
    let yields = || (0..3200).for_each(|_| yield_now());
    // SAFETY: no goroutine of this test holds a borrow of a thread-local across a park.
    unsafe {
        run(|| {
            yields();
            record_metrics();
            yields();
            record_metrics();
        });
    }
    let said = said.lock().unwrap();
    let of = |name: &str| said.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", said.keys()));
    assert_eq!(of("gosched_goroutines{state=running}").len(), 2);
    assert!(of("gosched_procs")[0] >= 1.0 && of("gosched_runq_length{p=0}").len() == 2);
    let switches = of("gosched_switches_total");
    assert!(switches[0] >= 3200.0 && switches[1] >= switches[0] + 3200.0, "{switches:?}");
    // One in 32, and each once.
    let waited = of("gosched_sched_latencies_seconds");
    assert!((190..=260).contains(&waited.len()), "{}", waited.len());
    assert!(waited.iter().all(|s| (6.4e-8..=100.0).contains(s)));
}
