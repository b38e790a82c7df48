//! Moments in one word, for deadlines that other goroutines may move at any time.
//!
//! A deadline is kept as nanoseconds since an instant of the process's youth; 0 is "none". Moving it costs one atomic swap.
//! The timer that stands for it stays where it is while it moves away (alarm.rs), and the parked call must be woken only
//! where it becomes *earlier*. A connection that pushes its idle deadline on with every request touches no timer heap for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// The moment of a number; far away where it lies beyond what an `Instant` can say.
pub(crate) fn instant(number: u64) -> Instant {
    let far = Duration::from_secs(1 << 30);
    epoch().checked_add(Duration::from_nanos(number)).unwrap_or_else(|| Instant::now() + far)
}

/// A deadline that can be moved while calls wait for it.
pub(crate) struct Deadline(AtomicU64);

const NONE: u64 = 0;

impl Deadline {
    pub(crate) const fn new() -> Deadline {
        Deadline(AtomicU64::new(NONE))
    }

    /// Moves it. True: to an earlier moment, so a parked call must look again.
    #[must_use]
    pub(crate) fn set(&self, to: Option<Instant>) -> bool {
        // A moment before the epoch has passed, as has the epoch's first nanosecond.
        let new = to.map_or(NONE, |t| nanos(t.saturating_duration_since(epoch())).max(1));
        // Relaxed: the parked call sees it through the word that the caller fires next (parkword.rs).
        let old = self.0.swap(new, Ordering::Relaxed);
        new != NONE && (old == NONE || new < old)
    }

    /// The moment.
    pub(crate) fn get(&self) -> Option<Instant> {
        self.number().map(instant)
    }

    /// As the number that [`instant`] knows; `None` where there is none.
    #[inline]
    pub(crate) fn number(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&n| n != NONE)
    }

    /// Whether it has passed. Without a deadline the clock is not read.
    #[inline]
    pub(crate) fn passed(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            NONE => false,
            n => nanos(epoch().elapsed()) >= n,
        }
    }
}

/// A time limit per call, as `set_read_timeout` of std has it. 0 is "none".
pub(crate) struct Timeout(AtomicU64);

impl Timeout {
    pub(crate) const fn new() -> Timeout {
        Timeout(AtomicU64::new(NONE))
    }

    pub(crate) fn set(&self, d: Option<Duration>) {
        self.0.store(d.map_or(NONE, |d| nanos(d).max(1)), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            NONE => None,
            n => Some(Duration::from_nanos(n)),
        }
    }

    /// When a call that starts to wait now must end.
    pub(crate) fn counted_from_now(&self) -> Option<Instant> {
        Instant::now().checked_add(self.get()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_deadline_asks_for_a_second_look() {
        let d = Deadline::new();
        let now = Instant::now();
        let at = |ms| Some(now + Duration::from_millis(ms));
        assert!(d.set(at(60_000)));
        assert!(!d.set(at(90_000)));
        assert!(d.set(at(70_000)));
        assert!(!d.set(None));
        assert!(d.set(at(90_000)));
    }

    #[test]
    fn a_moment_in_the_past_has_passed_and_none_never_does() {
        let d = Deadline::new();
        assert!(!d.passed());
        let now = Instant::now();
        let _ = d.set(now.checked_sub(Duration::from_secs(1)).or(Some(now)));
        assert!(d.passed());
        let _ = d.set(Some(now + Duration::from_secs(3600)));
        assert!(!d.passed());
        assert_eq!(d.get().map(|t| t.duration_since(now).as_secs()), Some(3600));
        let _ = d.set(None);
        assert!(d.get().is_none() && !d.passed());
    }
}
