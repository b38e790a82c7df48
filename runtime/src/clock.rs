//! The runtime's clock: nanoseconds since an hour before the process first asked, monotonic (Go: `nanotime`).
//!
//! Looking at it costs some 25 ns, as much as a switch. The question that is asked most often, by every round of the scheduler
//! and before every operation of a socket with a deadline, is whether a moment has passed that is seconds away:
//! [`passed`] answers that by the kernel's coarse clock, which is a fifth as dear and behind by a tick.
//!
//! Beside them a third, in seconds, that costs a load: it says since when a goroutine waits. sysmon moves it on in
//! every round, and whoever ends a sleep of sysmon's does (idle.rs), so it is never behind by more than sysmon's pause of
//! 10 ms while anything runs.

use crate::sys::clock as sys;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// So far behind the clock the kernel's coarse one never is: a tick is 10 ms at the most. Where the machine stands still for
/// longer, between two ticks, everything in it is late.
const COARSE_LAG: u64 = 1_000_000_000;

struct Start {
    at: Instant,
    /// The same, as the kernel counts; later by nanoseconds, so that `floor` errs to the early side.
    raw: i64,
}

static START: OnceLock<Start> = OnceLock::new();

#[inline]
fn start() -> &'static Start {
    // An hour earlier, where the clock allows it: instants from before the first call still have a number.
    START.get_or_init(|| {
        let now = Instant::now();
        let raw = sys::precise().unwrap_or(0);
        let hour = Duration::from_secs(3600);
        match now.checked_sub(hour) {
            Some(at) => Start { at, raw: raw - hour.as_nanos() as i64 },
            None => Start { at: now, raw },
        }
    })
}

/// Now, in nanoseconds. Never 0.
#[inline]
pub(crate) fn nanotime() -> u64 {
    nanos_of(Instant::now())
}

/// The clock's number for an instant: a moment in one word. Never 0, and never `u64::MAX`: the distant past and the distant
/// future are 1 and one less than that.
///
/// ```
/// use gosched_runtime::timer::{instant_of, nanos_of};
/// use std::time::Instant;
///
/// let now = Instant::now();
/// assert_eq!(instant_of(nanos_of(now)), now);
/// ```
#[inline]
pub fn nanos_of(t: Instant) -> u64 {
    let d = t.saturating_duration_since(start().at);
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX).clamp(1, u64::MAX - 1)
}

/// The instant of a number of the clock, see [`nanos_of`]. Far away where it lies beyond what an `Instant` can say.
pub fn instant_of(nanos: u64) -> Instant {
    let far = Duration::from_secs(1 << 30);
    start().at.checked_add(Duration::from_nanos(nanos)).unwrap_or_else(|| Instant::now() + far)
}

/// Whether the moment of that number has passed, see [`nanos_of`]. 25 ns where it is near, 5 where it is more than a second
/// away (on Linux; elsewhere it does not matter).
///
/// ```
/// use gosched_runtime::timer::{nanos_of, passed};
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// assert!(passed(nanos_of(now)));
/// assert!(!passed(nanos_of(now + Duration::from_secs(60))));
/// ```
#[inline]
pub fn passed(nanos: u64) -> bool {
    past(nanos).is_some()
}

/// What time it is, if that moment has passed.
#[inline]
pub(crate) fn past(nanos: u64) -> Option<u64> {
    if nanos > floor().saturating_add(COARSE_LAG) {
        return None;
    }
    Some(nanotime()).filter(|&now| nanos <= now)
}

/// A moment that has passed, and not long ago: at the most `COARSE_LAG`.
#[inline]
fn floor() -> u64 {
    match sys::coarse() {
        Some(raw) => u64::try_from(raw - start().raw).unwrap_or(0),
        None => u64::MAX,
    }
}

static COARSE: AtomicU32 = AtomicU32::new(0);

/// The clock in seconds.
#[inline]
pub(crate) fn coarse() -> u32 {
    COARSE.load(Ordering::Relaxed)
}

/// Moves the clock in seconds to `now` (of `nanotime`).
pub(crate) fn set_coarse(now: u64) {
    COARSE.store((now / 1_000_000_000) as u32, Ordering::Relaxed);
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_never_ahead_and_not_far_behind() {
        let end = Instant::now() + Duration::from_millis(50);
        while Instant::now() < end {
            let (before, floor, after) = (nanotime(), floor(), nanotime());
            if floor != u64::MAX {
                assert!(floor <= after, "{floor} {after}");
                assert!(floor + COARSE_LAG > before, "{floor} {before}");
            }
        }
    }

    #[test]
    fn a_moment_passes_when_it_comes() {
        for ms in [0, 1, 20, 999, 1001] {
            let when = Instant::now() + Duration::from_millis(ms);
            assert!(!passed(nanos_of(when)) || Instant::now() >= when);
            if ms <= 20 {
                std::thread::sleep(when.saturating_duration_since(Instant::now()));
                assert!(passed(nanos_of(when)));
            }
        }
        assert!(passed(1) && !passed(u64::MAX - 1) && !passed(u64::MAX));
    }
}
