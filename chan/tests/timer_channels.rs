//! `after`, `tick`, `never`, `TimerChan`.
mod common;
use common::*;
use gosched_chan::*;
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

#[test]
fn after_comes_once_and_not_before_its_time() {
    let start = Instant::now();
    let r = after(8 * MS);
    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    assert!(!select! { recv(r) -> _ => true, default => false });
    let at = r.recv().unwrap();
    assert!(at >= start + 8 * MS && at <= Instant::now());
    assert_eq!(r.recv_timeout(5 * MS), Err(RecvTimeoutError::Timeout), "once");
    assert_eq!((r.len(), r.cap(), r.is_closed(), r.is_nil()), (0, 0, false, false));
}

#[test]
fn after_is_found_due_by_polls() {
    let (r, q) = (after(MS), after(Duration::ZERO));
    thread::sleep(2 * MS);
    assert!(r.try_recv().is_ok());
    let mut s = Select::new();
    s.recv(&q);
    assert!(s.try_select().unwrap().recv(&q).is_some());
    assert!(s.try_select().is_err());
    assert!(after(Duration::ZERO).recv_timeout(Duration::ZERO).is_ok());
}

#[test]
fn the_end_of_time_does_not_come() {
    for r in [after(Duration::MAX), tick(Duration::MAX), tick(Duration::ZERO), never()] {
        assert_eq!(r.recv_timeout(3 * MS), Err(RecvTimeoutError::Timeout));
        assert!(select! { recv(r) -> _ => false, default(3 * MS) => true });
    }
}

#[test]
fn a_period_beyond_the_end_of_the_clock_comes_once() {
    for period in [Duration::MAX, Duration::from_secs(i64::MAX as u64)] {
        let t = TimerChan::new(Duration::ZERO, Some(period));
        assert!(t.receiver().recv().is_some());
        assert_eq!(t.receiver().recv_timeout(3 * MS), Err(RecvTimeoutError::Timeout));
        // Others are not disturbed, and it can be set anew.
        assert!(after(MS).recv().is_some());
        t.reset(Duration::ZERO, Some(MS));
        assert!(t.receiver().recv().is_some() && t.receiver().recv().is_some());
    }
}

#[test]
fn ticks_do_not_drift_and_do_not_queue() {
    let start = Instant::now();
    let r = tick(2 * MS);
    let first = r.recv().unwrap();
    let soon = Instant::now();
    assert!(first >= start + 2 * MS);
    thread::sleep(15 * MS);
    let late = Instant::now();
    let (missed, next) = (r.recv().unwrap(), r.recv().unwrap());
    assert!(missed <= soon + 2 * MS, "the first of those missed was waiting");
    assert!(next > late, "the others are gone");
    for at in [missed, next, r.recv().unwrap()] {
        assert_eq!((at - first).as_nanos() % 2_000_000, 0);
    }
}

#[test]
fn a_select_over_clocks_takes_the_earliest() {
    let (c, slow) = (Chan::<u8>::new(0), after(Duration::from_secs(30)));
    let i = select! {
        recv(slow) -> _ => 0,
        recv(after(Duration::from_secs(5))) -> _ => 1,
        recv(after(3 * MS)) -> _ => 2,
        recv(c) -> _ => 3,
        default(Duration::from_secs(10)) => 4,
    };
    assert_eq!(i, 2);
    assert_eq!(select! { recv(slow) -> _ => 0, recv(c) -> _ => 1, default(2 * MS) => 2 }, 2);
    in_time(move || {
        let t = thread::spawn({
            let c = c.clone();
            move || c.send(1)
        });
        assert_eq!(select! { recv(slow) -> _ => None, recv(c) -> v => v }, Some(1));
        t.join().unwrap();
    });
}

#[test]
fn one_of_many_waiters_gets_it() {
    in_time(|| {
        let r = after(10 * MS);
        let ts: Vec<_> = (0..4)
            .map(|i| {
                let r = r.clone();
                thread::spawn(move || match i % 2 {
                    0 => r.recv_timeout(60 * MS).is_ok(),
                    _ => select! { recv(r) -> v => v.is_some(), default(60 * MS) => false },
                })
            })
            .collect();
        assert_eq!(ts.into_iter().map(|t| t.join().unwrap() as u32).sum::<u32>(), 1);
    });
}

#[test]
fn a_ticker_feeds_all_its_waiters() {
    in_time(|| {
        let r = tick(2 * MS);
        let ts: Vec<_> = (0..3)
            .map(|_| {
                let r = r.clone();
                thread::spawn(move || r.iter().take(5).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<Instant> = ts.into_iter().flat_map(|t| t.join().unwrap()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 15, "no tick was given twice");
    });
}

#[test]
fn a_reset_to_an_earlier_time_is_seen_by_who_waits() {
    in_time(|| {
        let t = TimerChan::new(Duration::from_secs(3600), None);
        let r = t.receiver();
        let nil = Chan::<u8>::nil();
        thread::scope(|s| {
            let a = s.spawn(|| r.recv().is_some());
            let b = s.spawn(|| select! { recv(r) -> v => v.is_some(), recv(nil) -> _ => false });
            let c = s.spawn(|| {
                let mut s = Select::new();
                s.recv(r);
                s.select().recv(r).is_some()
            });
            eventually("waiters", || r.__waiting() == (0, 3));
            assert!(t.reset(Duration::from_secs(1800), None));
            assert!(t.stop());
            assert!(!t.reset(Duration::ZERO, Some(MS)));
            assert!([a, b, c].into_iter().all(|t| t.join().unwrap()));
        });
    });
}

#[test]
fn after_a_stop_or_reset_nothing_stale_is_received() {
    let t = TimerChan::new(Duration::ZERO, None);
    let before = Instant::now();
    assert!(t.reset(2 * MS, None), "due, not received");
    assert!(t.receiver().recv().unwrap() >= before + 2 * MS);
    assert!(!t.reset(Duration::ZERO, None));
    assert!(t.stop() && !t.stop());
    assert_eq!(t.receiver().recv_timeout(2 * MS), Err(RecvTimeoutError::Timeout));
}
