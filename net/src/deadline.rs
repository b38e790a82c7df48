//! Moments in one word, for deadlines that other goroutines may move at any time.
//!
//! A deadline is kept as the number that the runtime's clock has for it; 0 is "none". Moving it costs one atomic swap.
//! The timer that stands for it stays where it is while it moves away (alarm.rs), and the parked call must be woken only
//! where it becomes *earlier*. A connection that pushes its idle deadline on with every request touches no timer heap for it.

use gosched_runtime::timer::{instant_of, nanos_of, passed};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
        let new = to.map_or(NONE, nanos_of); // which is never 0
        // Relaxed: the parked call sees it through the word that the caller fires next (parkword.rs).
        let old = self.0.swap(new, Ordering::Relaxed);
        new != NONE && (old == NONE || new < old)
    }

    /// The moment.
    pub(crate) fn get(&self) -> Option<Instant> {
        self.number().map(instant_of)
    }

    /// As the clock's number; `None` where there is none.
    #[inline]
    pub(crate) fn number(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&n| n != NONE)
    }

    /// Whether it has passed. Without a deadline the clock is not read.
    #[inline]
    pub(crate) fn passed(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            NONE => false,
            n => passed(n),
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
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
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
        let limit = self.get()?; // or else the clock is not looked at
        Instant::now().checked_add(limit)
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
