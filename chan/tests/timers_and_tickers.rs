//! `Timer` and `Ticker` on plain threads, with no scheduler at all.
mod common;
use common::*;
use gosched_chan::timer::{Ticker, Timer};
use gosched_chan::*;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Nothing comes for a moment.
#[track_caller]
fn silent(r: &Receiver<Instant>) {
    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(r.recv_timeout(3 * MS), Err(RecvTimeoutError::Timeout));
    assert!(select! { recv(r) -> _ => false, default => true });
}

#[test]
fn a_timer_comes_once_and_not_early() {
    for d in [Duration::ZERO, Duration::from_nanos(1), 4 * MS] {
        let start = Instant::now();
        let t = Timer::new(d);
        let at = t.receiver().recv().unwrap();
        assert!(at >= start + d && at <= Instant::now());
        silent(t.receiver());
    }
}

#[test]
fn stop_says_whether_something_was_still_to_come() {
    let t = Timer::new(HOUR);
    assert_eq!((t.stop(), t.stop()), (true, false));
    silent(t.receiver());

    let due = Timer::new(Duration::ZERO);
    thread::sleep(MS);
    assert_eq!((due.stop(), due.stop()), (true, false), "due, but nobody had received it");
    silent(due.receiver());

    let received = Timer::new(Duration::ZERO);
    received.receiver().recv();
    assert!(!received.stop());
}

#[test]
fn reset_says_whether_something_was_still_to_come_and_sets_in_any_case() {
    let t = Timer::new(HOUR);
    let start = Instant::now();
    assert!(t.reset(3 * MS));
    assert!(t.receiver().recv().unwrap() >= start + 3 * MS);
    assert!(!t.reset(Duration::ZERO), "received");
    assert!(t.receiver().recv().is_some());
    assert!(!t.reset(HOUR));
    assert!(t.stop());
    assert!(!t.reset(MS), "stopped");
    assert!(t.receiver().recv().is_some());
    silent(t.receiver());
}

#[test]
fn after_a_reset_the_old_time_is_not_received() {
    let t = Timer::new(Duration::ZERO);
    for _ in 0..50 {
        thread::sleep(Duration::from_micros(50)); // it is due
        let start = Instant::now();
        assert!(t.reset(MS), "due, but not received");
        let at = t.receiver().try_recv().ok().or_else(|| t.receiver().recv());
        assert!(at.unwrap() >= start + MS);
        t.reset(Duration::ZERO);
    }
}

#[test]
fn the_far_future_is_set_and_never_comes() {
    for d in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
        let t = Timer::new(d);
        silent(t.receiver());
        assert!(t.reset(d), "it was set");
        assert!(t.stop());
        assert!(!t.reset(d));
        assert!(t.reset(Duration::ZERO));
        assert!(t.receiver().recv().is_some());
        let ticker = Ticker::new(d);
        silent(ticker.receiver());
        ticker.reset(MS);
        assert!(ticker.receiver().recv().is_some());
        ticker.reset(d);
        silent(ticker.receiver());
    }
}

#[test]
fn the_channel_of_a_timer_looks_unbuffered_and_is_never_closed() {
    let t = Timer::new(Duration::ZERO);
    thread::sleep(MS);
    let r = t.receiver();
    assert_eq!((r.len(), r.cap(), r.is_nil()), (0, 0, false));
    r.recv();
    t.stop();
    assert!(!r.is_closed());
    let r = Timer::new(Duration::ZERO).receiver().clone();
    assert!(r.recv().is_some(), "the receiver outlives the timer");
}

#[test]
fn a_waiter_follows_resets_to_earlier_and_to_later() {
    in_time(|| {
        for later in [false, true] {
            let t = Arc::new(Timer::new(if later { 20 * MS } else { HOUR }));
            let start = Instant::now();
            let waiter = thread::spawn({
                let t = t.clone();
                move || t.receiver().recv()
            });
            let d = if later { 60 * MS } else { 5 * MS };
            let reset_in_time = t.reset(d);
            let at = waiter.join().unwrap().unwrap();
            assert!(!reset_in_time || at >= start + d);
        }
    });
}

#[test]
fn resets_and_stops_from_everywhere_lose_no_waiter() {
    in_time(|| {
        for _ in 0..20 {
            let t = Arc::new(Timer::new(HOUR));
            let got = thread::scope(|s| {
                let got = s.spawn(|| t.receiver().recv());
                for i in 0..3u32 {
                    let t = &t;
                    s.spawn(move || {
                        for n in 0..200u32 {
                            match (n + i) % 3 {
                                0 => _ = t.stop(),
                                _ => _ = t.reset(HOUR),
                            }
                        }
                    });
                }
                eventually("the last word", || {
                    t.reset(Duration::ZERO);
                    got.is_finished()
                });
                got.join().unwrap()
            });
            assert!(got.is_some());
        }
    });
}

#[test]
fn a_ticker_keeps_its_rhythm_and_drops_what_is_missed() {
    let start = Instant::now();
    let t = Ticker::new(2 * MS);
    let first = t.receiver().recv().unwrap();
    assert!(first >= start + 2 * MS);
    thread::sleep(20 * MS);
    let woken = Instant::now();
    let missed = t.receiver().recv().unwrap();
    let next = t.receiver().recv().unwrap();
    assert!(missed < woken && next > woken, "of those that were missed one was waiting");
    for at in [missed, next] {
        assert_eq!((at - first).as_nanos() % 2_000_000, 0, "no drift");
    }
}

#[test]
fn a_reset_ticker_begins_a_new_rhythm() {
    let t = Ticker::new(Duration::from_nanos(1));
    thread::sleep(MS);
    let start = Instant::now();
    t.reset(3 * MS);
    let (a, b) = (t.receiver().recv().unwrap(), t.receiver().recv().unwrap());
    assert!(a >= start + 3 * MS, "the tick of before is gone");
    assert_eq!((b - a).as_nanos() % 3_000_000, 0);
    t.stop();
    silent(t.receiver());
    t.reset(MS);
    assert!(t.receiver().recv().is_some(), "a stopped ticker starts again");
}

#[test]
fn a_stopped_ticker_keeps_its_waiters() {
    in_time(|| {
        let t = Ticker::new(HOUR);
        thread::scope(|s| {
            let waiter = s.spawn(|| t.receiver().recv());
            eventually("a waiter", || t.receiver().__waiting() == (0, 1));
            t.stop();
            settle();
            assert!(!waiter.is_finished());
            t.reset(MS);
            assert!(waiter.join().unwrap().is_some());
        });
    });
}

#[test]
fn an_interval_of_zero_panics_in_gos_words() {
    assert_eq!(
        message(thread::spawn(|| Ticker::new(Duration::ZERO)).join()),
        "non-positive interval for NewTicker"
    );
    let t = Ticker::new(HOUR);
    assert_eq!(
        message(thread::spawn(move || t.reset(Duration::ZERO)).join()),
        "non-positive interval for Ticker.Reset"
    );
}

#[test]
fn a_select_sees_timers_and_tickers() {
    let (slow, fast, t) = (Timer::new(HOUR), Timer::new(2 * MS), Ticker::new(HOUR));
    let which = select! {
        recv(slow.receiver()) -> _ => 0,
        recv(t.receiver()) -> _ => 1,
        recv(fast.receiver()) -> _ => 2,
    };
    assert_eq!(which, 2);
    fast.reset(HOUR);
    t.reset(MS);
    let which = select! {
        recv(slow.receiver()) -> _ => 0,
        recv(t.receiver()) -> _ => 1,
        recv(fast.receiver()) -> _ => 2,
    };
    assert_eq!(which, 1);
}
