//! Model of the function timer (after_func.rs), under shuttle: stop and reset against a callback that is on its way.
//!
//! What is checked: a function is called once, or not at all where a stop said that it was set; never before the time that
//! the last reset gave it. (The clock of a model passes over an hour only where that timer's own hand moves it.)
//! What makes it fail: a callback that does not look whether it is still the one that counts.

use crate::after_func::after_func;
use crate::loom::with_bug;
use crate::model::{check, settle};
use crate::newproc::go;
use crate::park::now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_secs(3600);

/// Two stop it, or let it be.
#[test]
fn shuttle_a_function_is_called_once_or_was_stopped() {
    check(|| {
        let called = Arc::new(AtomicU32::new(0));
        let counts = called.clone();
        let timer = Arc::new(after_func(SOON, move || _ = counts.fetch_add(1, Relaxed)));
        let stopped = Arc::new(AtomicU32::new(0));
        for _ in 0..2 {
            let (timer, stopped) = (timer.clone(), stopped.clone());
            go(move || _ = stopped.fetch_add(u32::from(timer.stop()), Relaxed));
        }
        drop(timer);
        settle();
        assert_eq!(called.load(Relaxed) + stopped.load(Relaxed), 1);
    });
}

/// Set for soon; stopped, and set for later.
fn stop_and_reset() {
    check(|| {
        let begin = now();
        let called = Arc::new(AtomicU32::new(0));
        let put_off = Arc::new(AtomicU32::new(0));
        let (counts, was_put_off) = (called.clone(), put_off.clone());
        let timer = after_func(SOON, move || {
            counts.fetch_add(1, Relaxed);
            let due = if was_put_off.load(Relaxed) == 1 { LATER } else { SOON };
            assert!(now() - begin >= due, "called before its time");
        });
        if timer.stop() {
            put_off.store(1, Relaxed);
            assert!(!timer.reset(LATER), "it was stopped");
        }
        settle();
        drop(timer);
        assert_eq!(called.load(Relaxed), 1);
    });
}

#[test]
fn shuttle_an_old_callback_does_not_call_for_a_later_reset() {
    stop_and_reset();
}

#[test]
#[should_panic(expected = "called before its time")]
fn shuttle_planted_an_old_callback_calls_too_early() {
    with_bug("function timer: an old callback goes away", stop_and_reset);
}
