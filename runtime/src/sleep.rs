//! Sleeping (Go: runtime/time.go, `timeSleep`).
//!
//! The timer is started in the *commit* of the park, when the goroutine has left its stack: it could fire before
//! otherwise, and ready a goroutine that still runs.

use crate::park::{self, WaitReason, Waiter, gopark, goready, now, point};
use crate::starttimer::timer_add;
use std::time::{Duration, Instant};

/// Parks the goroutine for at least `d`; on a plain thread, the thread sleeps (Go: `time.Sleep`). Zero returns at once.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let t = std::time::Instant::now();
/// gosched_runtime::sleep(std::time::Duration::from_millis(5));
/// assert!(t.elapsed().as_millis() >= 5);
/// # }) };
/// ```
pub fn sleep(d: Duration) {
    if d.is_zero() {
        return;
    }
    if !park::on_goroutine() {
        return std::thread::sleep(d);
    }
    match now().checked_add(d) {
        Some(t) => sleep_g(t),
        // Beyond the clock's range: for ever.
        None => loop {
            sleep_g(now() + Duration::from_secs(1 << 30));
        },
    }
}

/// Parks the goroutine until `t`; returns at once where that is past.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let t = std::time::Instant::now() + std::time::Duration::from_millis(3);
/// gosched_runtime::sleep_until(t);
/// assert!(std::time::Instant::now() >= t);
/// # }) };
/// ```
pub fn sleep_until(t: Instant) {
    if !park::on_goroutine() {
        return std::thread::sleep(t.saturating_duration_since(Instant::now()));
    }
    if t > now() {
        sleep_g(t);
    }
}

fn sleep_g(t: Instant) {
    point("sleep", std::ptr::null());
    unsafe fn commit(w: Waiter, when: *mut ()) -> bool {
        unsafe fn fire(w: *mut (), _: u64) {
            // SAFETY: the word is the waiter that `commit` started this timer for; it is parked, and nobody else wakes it.
            unsafe { goready(Waiter::from_raw(w)) };
        }
        // SAFETY: points into the sleeper's frame; read before the timer, which alone can wake it, is started.
        let when = unsafe { *when.cast::<Instant>() };
        // SAFETY: `fire` may run once, from anywhere, from now on: the goroutine has left its stack.
        unsafe { timer_add(when, fire, w.into_raw(), 0) };
        true
    }
    let when = t;
    // SAFETY: the timer readies it, once.
    unsafe { gopark(commit, (&raw const when).cast_mut().cast(), WaitReason::Sleep) };
    debug_assert!(now() >= t);
}
