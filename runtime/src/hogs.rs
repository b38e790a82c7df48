//! Who has had the processor for too long: noted by sysmon, for `debug::stats` and for whoever wants to be told
//! (`FlightRecorder::dump_on_hog`).
//!
//! ```text
//!   sysmon ─ takes a P from a goroutine that runs ──► RETAKES, the last of them by name
//!          └ sees one run for longer than `threshold` ─► `told` += 1, the listener wakes
//! ```
//! sysmon does not wait for the listener: of what it is told while it is busy it hears the last.

use crate::g::G;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Retakes that are remembered one by one.
const KEPT: usize = 16;

/// A goroutine that has run for long without coming by the scheduler; in [`Stats`](crate::debug::Stats).
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// assert!(gosched_runtime::debug::stats().hogs.iter().all(|h| h.id > 0 && !h.ran.is_zero()));
/// # }) };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hog {
    /// The goroutine's id.
    pub id: u64,
    /// Where it was started.
    pub started_at: Option<&'static Location<'static>>,
    /// How long it had run by then, as far as sysmon had seen.
    pub ran: Duration,
}

impl Hog {
    /// Of a goroutine that may end meanwhile: then they are another one's.
    pub(crate) fn new(g: &G, ran_ns: u64) -> Hog {
        Hog { id: g.goid(), started_at: g.site(), ran: Duration::from_nanos(ran_ns) }
    }
}

/// Ps taken from goroutines that ran for too long.
static RETAKES: AtomicU64 = AtomicU64::new(0);
static LAST: Mutex<VecDeque<Hog>> = Mutex::new(VecDeque::new());

/// By sysmon: it has taken the P from this one.
pub(crate) fn retaken(hog: Hog) {
    RETAKES.fetch_add(1, Ordering::Relaxed);
    let mut last = LAST.lock();
    if last.len() == KEPT {
        last.pop_front();
    }
    last.push_back(hog);
}

/// How many retakes there were, and the last of them, the oldest first.
pub(crate) fn retakes() -> (u64, Vec<Hog>) {
    let last = LAST.lock().iter().cloned().collect();
    (RETAKES.load(Ordering::Relaxed), last)
}

/// From how many nanoseconds on somebody wants to be told. MAX: nobody does.
static THRESHOLD: AtomicU64 = AtomicU64::new(u64::MAX);

/// From how long on somebody wants to be told.
pub(crate) fn threshold() -> Option<u64> {
    // Relaxed: sysmon looks again in its next round.
    Some(THRESHOLD.load(Ordering::Relaxed)).filter(|&ns| ns != u64::MAX)
}

/// What the listener hears.
struct Told {
    hog: Option<Hog>,
    /// Which listener it is for; another number after each has gone.
    listener: u64,
}

static TOLD: Mutex<Told> = Mutex::new(Told { hog: None, listener: 0 });
static BELL: Condvar = Condvar::new();

/// By sysmon: this one has run for longer than the threshold.
pub(crate) fn tell(hog: Hog) {
    TOLD.lock().hog = Some(hog);
    BELL.notify_all();
}

/// Who wants to be told. One at a time.
#[derive(Clone, Copy)]
pub(crate) struct Listener(u64);

impl Listener {
    /// From now on, of all that run for longer than `threshold`, in place of whoever listened before.
    pub(crate) fn new(threshold: Duration) -> Listener {
        let mut told = TOLD.lock();
        told.hog = None;
        told.listener += 1;
        let ns = u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1);
        THRESHOLD.store(ns, Ordering::Relaxed);
        BELL.notify_all();
        Listener(told.listener)
    }

    /// Blocks the thread until there is one. `None`: it listens no more.
    pub(crate) fn wait(self) -> Option<Hog> {
        let mut told = TOLD.lock();
        loop {
            if told.listener != self.0 {
                return None;
            }
            if let Some(hog) = told.hog.take() {
                return Some(hog);
            }
            BELL.wait(&mut told);
        }
    }

    /// Ends it.
    pub(crate) fn end(self) {
        let mut told = TOLD.lock();
        if told.listener == self.0 {
            told.listener += 1;
            THRESHOLD.store(u64::MAX, Ordering::Relaxed);
            BELL.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_listens_and_hears_the_last() {
        let hog = |id| Hog { id, started_at: None, ran: Duration::from_millis(id) };
        // Long enough that sysmon has nothing to say.
        let first = Listener::new(Duration::from_secs(3600));
        assert_eq!(threshold(), Some(3_600_000_000_000));
        tell(hog(1));
        tell(hog(2));
        assert_eq!(first.wait(), Some(hog(2)));
        let second = Listener::new(Duration::MAX);
        tell(hog(3));
        assert_eq!(first.wait(), None);
        first.end(); // not its turn any more
        assert_eq!(second.wait(), Some(hog(3)));
        let waits = std::thread::spawn(move || second.wait());
        second.end();
        assert_eq!((waits.join().unwrap(), threshold()), (None, None));
    }
}
