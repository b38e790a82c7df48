//! Models of select (select.rs, and the promises of reflect.rs), under shuttle.
//!
//! What is checked: of several cases exactly one fires, and both sides agree on which; a default is taken only where nothing
//! could go; a limit ends the wait once, and its late timer wakes nobody; selects over the same channels in opposite orders
//! come through; a `Select` that chose to send is waited for.
//! What is not: that the choice is uniform (tests/), orderings weaker than sequentially consistent.
//! What makes it fail: one order of the locks taken out; look and queue torn apart.

use crate::{Chan, Select, select};
use gosched_runtime::go;
use gosched_runtime::model::{assert_quiet, check, settle, with_bug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Two selects, each ready to give on one channel and to take on the other: exactly one value passes.
fn crossing() {
    check(|| {
        let (a, b) = (Chan::new(0), Chan::new(0));
        let passed = Arc::new(AtomicU32::new(0));
        for first in [true, false] {
            let (a, b, passed) = (a.clone(), b.clone(), passed.clone());
            go(move || {
                let (mine, other) = if first { (a, b) } else { (b, a) };
                let got = select! {
                    send(mine, 1) => 0,
                    recv(other) -> v => v.expect("open"),
                };
                passed.fetch_add(got, Relaxed);
                assert_quiet();
            });
        }
        settle();
        assert_eq!(passed.load(Relaxed), 1, "one gives, one takes");
        assert_eq!((a.__waiting(), b.__waiting()), ((0, 0), (0, 0)));
    });
}

#[test]
fn shuttle_two_selects_meet_once() {
    crossing();
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_two_orders_of_locks_deadlock() {
    with_bug("select: one order of locks", crossing);
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_look_and_a_queue_apart_miss_each_other() {
    with_bug("select: looks and queues under one hold of the locks", crossing);
}

/// A select over two channels and two senders with limits: as many sends succeed as values are received.
#[test]
fn shuttle_of_several_wakers_one_is_let_through() {
    check(|| {
        let (a, b) = (Chan::new(0), Chan::new(0));
        let sent = Arc::new(AtomicU32::new(0));
        for c in [a.clone(), b.clone()] {
            let sent = sent.clone();
            go(move || {
                let ok = c.send_timeout(1, Duration::from_millis(3)).is_ok();
                sent.fetch_add(u32::from(ok), Relaxed);
                assert_quiet();
            });
        }
        let mut received = 0;
        for _ in 0..2 {
            received += select! {
                recv(a) -> v => v.expect("open"),
                recv(b) -> v => v.expect("open"),
                default(Duration::from_millis(2)) => 0,
            };
        }
        settle();
        assert_quiet();
        assert_eq!(sent.load(Relaxed), received);
        assert_eq!((a.__waiting(), b.__waiting()), ((0, 0), (0, 0)));
    });
}

/// A select with two cases at one channel, and one with a default, for which there is room in any case.
#[test]
fn shuttle_one_case_fires_of_two_at_one_channel() {
    check(|| {
        let (a, b) = (Chan::<u32>::new(1), Chan::<u32>::new(0));
        let (theirs, other) = (a.clone(), b.clone());
        go(move || {
            let fired = select! {
                recv(theirs) -> v => v,
                recv(theirs) -> v => v,
                recv(other) -> v => v,
            };
            assert!(fired == Some(5) || fired == Some(6));
            assert_quiet();
        });
        let (theirs, other) = (a.clone(), b.clone());
        go(move || {
            select! {
                send(theirs, 5) => {},
                send(other, 6) => {},
                default => unreachable!("there is room"),
            }
        });
        settle();
        a.close();
        b.close();
        // Taken by the waiter: nothing is left.
        assert_eq!(a.recv(), None);
    });
}

/// A `Select` that sends or quits, a receiver with a limit and one that polls: what is promised is sent, and taken by one of
/// them; else it quits.
#[test]
fn shuttle_a_promise_is_kept() {
    check(|| {
        let (c, quit) = (Chan::new(0), Chan::<()>::new(0));
        let (sent, got) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (theirs, quits, says) = (c.clone(), quit.clone(), sent.clone());
        go(move || {
            let mut s = Select::new();
            let (send, quits_at) = (s.send(&theirs), s.recv(&quits));
            let op = s.select();
            if op.index() == send {
                op.send(&theirs, 9);
                says.fetch_add(9, Relaxed);
            } else {
                assert_eq!((op.index(), op.recv(&quits)), (quits_at, None));
            }
            assert_quiet();
        });
        let polled = Chan::<()>::new(0);
        let (theirs, says, tells) = (c.clone(), got.clone(), polled.clone());
        go(move || {
            says.fetch_add(theirs.try_recv().unwrap_or(0), Relaxed);
            tells.close();
        });
        got.fetch_add(c.recv_timeout(Duration::from_millis(5)).unwrap_or(0), Relaxed);
        assert_eq!(polled.recv(), None);
        quit.close();
        settle();
        assert_eq!(sent.load(Relaxed), got.load(Relaxed));
        assert_eq!(c.__waiting(), (0, 0));
    });
}
