//! The runtime's clock: nanoseconds since the process first asked, monotonic (Go: `nanotime`).
//!
//! Beside it a coarse one, in seconds, that costs a load: it says since when a goroutine waits. sysmon moves it on in
//! every round, and whoever ends a sleep of sysmon's does (idle.rs), so it is never behind by more than sysmon's pause of
//! 10 ms while anything runs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

fn start() -> Instant {
    // An hour earlier, where the clock allows it: instants from before the first call still have a number.
    *START.get_or_init(|| {
        let now = Instant::now();
        now.checked_sub(std::time::Duration::from_secs(3600)).unwrap_or(now)
    })
}

/// Now, in nanoseconds. Never 0.
#[inline]
pub(crate) fn nanotime() -> u64 {
    nanos_of(Instant::now())
}

/// The clock's number for an instant; the far future saturates one below `timers::NEVER`.
pub(crate) fn nanos_of(t: Instant) -> u64 {
    let d = t.saturating_duration_since(start());
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX).clamp(1, u64::MAX - 1)
}

/// The instant of a number of the clock.
pub(crate) fn instant_of(nanos: u64) -> Instant {
    start() + std::time::Duration::from_nanos(nanos)
}

static COARSE: AtomicU32 = AtomicU32::new(0);

/// The coarse clock, in seconds.
#[inline]
pub(crate) fn coarse() -> u32 {
    COARSE.load(Ordering::Relaxed)
}

/// Moves the coarse clock to `now` (of `nanotime`).
pub(crate) fn set_coarse(now: u64) {
    COARSE.store((now / 1_000_000_000) as u32, Ordering::Relaxed);
}
