//! The numbers for the `metrics` crate (feature `metrics`): whatever recorder the program has installed gets them.
//!
//! A recorder of that crate is told of single values. What a histogram has gained since it was last recorded is told as so
//! many values at the bounds of its buckets.

use crate::families::{Family, Values, families};
use gosched_runtime::debug::{SchedLatencies, stats};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::sync::Mutex;
use std::time::Duration;

/// What was recorded of the histogram before.
static BEFORE: Mutex<Option<SchedLatencies>> = Mutex::new(None);

/// What stands in for the last bucket, which has no bound.
const LONGEST: Duration = Duration::from_secs(100);

/// Records the scheduler's numbers with the recorder of the `metrics` crate that is installed: the gauges, counters and
/// the histogram that `/metrics` has, under the same names. To be called as often as they are wanted, every ten seconds by
/// a goroutine of its own, or before each scrape. Does nothing where no recorder is installed.
///
/// Does not park, as long as the recorder does not. O(goroutines).
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// gosched_debug::record_metrics();
/// # }) };
/// ```
pub fn record_metrics() {
    for Family { name, help, values } in families(&stats()) {
        match values {
            Values::Gauge(samples) => {
                describe_gauge!(name, help);
                for s in samples {
                    let gauge = match s.label {
                        Some((label, value)) => gauge!(name, label => value),
                        None => gauge!(name),
                    };
                    gauge.set(s.n as f64);
                }
            }
            Values::Counter(n) => {
                describe_counter!(name, help);
                counter!(name).absolute(n);
            }
            Values::Histogram(now) => {
                describe_histogram!(name, metrics::Unit::Seconds, help);
                let histogram = histogram!(name);
                // Two at once tell of each value once.
                let mut before = BEFORE.lock().unwrap_or_else(|e| e.into_inner());
                let told = before.replace(SchedLatencies::clone(&now)).unwrap_or_default();
                drop(before);
                for ((bound, n), (_, told)) in now.buckets().zip(told.buckets()) {
                    let times = usize::try_from(n.saturating_sub(told)).unwrap_or(usize::MAX);
                    if times > 0 {
                        histogram.record_many(bound.min(LONGEST).as_secs_f64(), times);
                    }
                }
            }
        }
    }
}
