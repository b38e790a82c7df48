//! How long goroutines that could run have waited for their turn (Go: the metric `/sched/latencies:seconds`).
//!
//! One in so many times that a goroutine becomes runnable, the time is noted in it (`G::set_runnable`); the P that puts
//! it on the processor counts how long that was. Others cost a counter. Each P has its own histogram and is alone in writing
//! it.
//!
//! ```text
//!   bucket   0        1         2       …    30           31
//!   up to    64 ns    128 ns    256 ns       68.7 s       for ever
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many buckets there are.
const BUCKETS: usize = 32;
/// The bound of the first one, as a power of two, in nanoseconds.
const FIRST: u32 = 6;

/// A P's.
pub(crate) struct Latencies {
    counts: [AtomicU64; BUCKETS],
    /// In nanoseconds.
    sum: AtomicU64,
}

fn bucket(ns: u64) -> usize {
    let bits = 64 - ns.saturating_sub(1).leading_zeros(); // the power of two that is not below it
    (bits.saturating_sub(FIRST) as usize).min(BUCKETS - 1)
}

fn bound(bucket: usize) -> Duration {
    if bucket == BUCKETS - 1 { Duration::MAX } else { Duration::from_nanos(1 << (bucket as u32 + FIRST)) }
}

impl Latencies {
    pub(crate) const fn new() -> Latencies {
        Latencies { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }

    /// By the P's owner: a load and a store, not an atomic addition.
    pub(crate) fn record(&self, ns: u64) {
        for (n, by) in [(&self.counts[bucket(ns)], 1), (&self.sum, ns)] {
            n.store(n.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_to(&self, to: &mut SchedLatencies) {
        for (sum, n) in to.counts.iter_mut().zip(&self.counts) {
            *sum += n.load(Ordering::Relaxed);
        }
        to.sum += Duration::from_nanos(self.sum.load(Ordering::Relaxed));
    }
}

/// How long goroutines have waited from when they could run until they did, in [`Stats`](crate::debug::Stats): a sample,
/// one in 32. Go: `/sched/latencies:seconds`.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// (0..1000).for_each(|_| gosched_runtime::yield_now());
/// let waited = gosched_runtime::debug::stats().latencies;
/// assert!(waited.count() >= 10);
/// assert!(waited.quantile(0.5) <= waited.quantile(0.99));
/// # }) };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedLatencies {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl SchedLatencies {
    /// The buckets, from the shortest time on: the time that is not exceeded in it, and how many are in it. The bound of the
    /// last one is [`Duration::MAX`].
    ///
    /// ```
    /// let waited = gosched_runtime::debug::SchedLatencies::default();
    /// assert!(waited.buckets().all(|(_, n)| n == 0));
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.counts.iter().enumerate().map(|(i, &n)| (bound(i), n))
    }

    /// How many were measured.
    ///
    /// ```
    /// assert_eq!(gosched_runtime::debug::SchedLatencies::default().count(), 0);
    /// ```
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they waited together.
    ///
    /// ```
    /// assert!(gosched_runtime::debug::SchedLatencies::default().sum().is_zero());
    /// ```
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The bound of the bucket with the share `q` (0 to 1) of all at or below it; `None` where there is nothing.
    ///
    /// ```
    /// assert_eq!(gosched_runtime::debug::SchedLatencies::default().quantile(0.99), None);
    /// ```
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        self.buckets().find_map(|(bound, n)| {
            below += n;
            (below >= rank).then_some(bound)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_its_bound_says() {
        for (i, bound) in (0..BUCKETS - 1).map(|i| (i, bound(i).as_nanos() as u64)) {
            assert_eq!((bucket(bound), bucket(bound + 1)), (i, i + 1));
        }
        assert_eq!((bucket(0), bucket(1), bucket(u64::MAX)), (0, 0, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let l = Latencies::new();
        (0..90).for_each(|_| l.record(100));
        (0..9).for_each(|_| l.record(1000));
        l.record(u64::from(u32::MAX));
        let mut s = SchedLatencies::default();
        l.add_to(&mut s);
        let q = |q| s.quantile(q).unwrap().as_nanos() as u64;
        assert_eq!((s.count(), q(0.0), q(0.5), q(0.9), q(0.95), q(0.99)), (100, 128, 128, 128, 1024, 1024));
        assert_eq!(q(1.0), 1 << 32);
        assert_eq!(s.sum(), Duration::from_nanos(90 * 100 + 9 * 1000 + u64::from(u32::MAX)));
    }
}
