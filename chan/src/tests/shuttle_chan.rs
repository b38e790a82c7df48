//! Models of channels (hchan.rs, send.rs, recv.rs, close.rs), under shuttle: schedules that may change hands between any two
//! locks and atomic operations. `gosched::testing::explore` goes by whole operations; this goes below.
//!
//! What is checked: each value passes once and in its sender's order; a send and a receive that have both a limit agree on
//! whether the value has passed; a close wakes all, and who comes later sees it; a poll that comes after a send finds the
//! value; nobody waits for ever.
//! What is not: orderings weaker than sequentially consistent, and the memory of the ring (tests/, Miri-clean pieces).
//! What makes it fail: the steps named below taken out. Each planted bug leaves memory alone, and ends in a deadlock.

use crate::Chan;
use gosched_runtime::go;
use gosched_runtime::model::{assert_quiet, check, settle, with_bug};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Two senders of two values each, two receivers that go on to the close, which comes after the last value.
fn senders_and_receivers(cap: usize) {
    check(move || {
        let c = Chan::new(cap);
        let sent = Chan::new(2);
        let got: Arc<Mutex<Vec<Vec<i32>>>> = Arc::default();
        for first in [10, 20] {
            let (c, sent) = (c.clone(), sent.clone());
            go(move || {
                c.send(first);
                c.send(first + 1);
                sent.send(());
            });
        }
        for _ in 0..2 {
            let (c, got) = (c.clone(), got.clone());
            go(move || {
                let mine: Vec<i32> = std::iter::from_fn(|| c.recv()).collect();
                got.lock().unwrap().push(mine);
                assert_quiet();
            });
        }
        sent.recv();
        sent.recv();
        c.close();
        settle();
        let got = got.lock().unwrap();
        for mine in &*got {
            for sender in [1, 2] {
                let theirs: Vec<i32> = mine.iter().copied().filter(|v| v / 10 == sender).collect();
                assert!(theirs.is_sorted(), "{theirs:?} out of order");
            }
        }
        let mut all: Vec<i32> = got.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, [10, 11, 20, 21]);
    });
}

#[test]
fn shuttle_each_value_passes_once_and_in_order() {
    for cap in 0..3 {
        senders_and_receivers(cap);
    }
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_look_and_a_queue_apart_miss_each_other() {
    with_bug("channel: looks and queues under one hold of the lock", || senders_and_receivers(0));
}

/// One value more than there is room for, and one receive: the sender comes back, the rest is in the ring.
fn room_for_one() {
    check(|| {
        let c = Chan::new(1);
        let theirs = c.clone();
        go(move || {
            theirs.send(1);
            theirs.send(2);
            assert_quiet();
        });
        assert_eq!(c.recv(), Some(1));
        settle();
        assert_eq!((c.len(), c.recv()), (1, Some(2)));
    });
}

#[test]
fn shuttle_room_that_comes_free_goes_to_who_waits_for_it() {
    room_for_one();
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_room_that_is_not_given_on_leaves_its_sender_asleep() {
    with_bug("receive: gives the room on", room_for_one);
}

/// A send and a receive with a limit each: the value has passed for both or for neither.
#[test]
fn shuttle_two_limits_agree() {
    check(|| {
        let c = Chan::new(0);
        let theirs = c.clone();
        let sent: Arc<Mutex<Option<bool>>> = Arc::default();
        let says = sent.clone();
        go(move || {
            let r = theirs.send_timeout(7, Duration::from_millis(3));
            *says.lock().unwrap() = Some(r.is_ok());
            assert_quiet();
        });
        let received = c.recv_timeout(Duration::from_millis(4));
        settle();
        assert_quiet();
        assert_eq!(c.__waiting(), (0, 0));
        assert_eq!(*sent.lock().unwrap(), Some(received.is_ok()));
    });
}

/// A receiver, two senders (one with a limit) and a close: all come back.
fn close_against_all(cap: usize) {
    check(move || {
        let c = Chan::new(cap);
        for limited in [false, true] {
            let c = c.clone();
            go(move || {
                let ok = match limited {
                    true => c.send_timeout(1, Duration::from_millis(2)).is_ok(),
                    false => c.send_checked(1).is_ok(),
                };
                assert!(ok || limited || c.is_closed(), "refused by an open channel");
                assert_quiet();
            });
        }
        let theirs = c.clone();
        go(move || while theirs.recv().is_some() {});
        c.close();
        assert!(c.is_closed());
        assert!(c.send_checked(2).is_err(), "it went through after the close");
    });
}

#[test]
fn shuttle_a_close_wakes_all() {
    close_against_all(0);
    close_against_all(1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_sender_that_does_not_look_sleeps_beyond_the_close() {
    // Nobody receives: the sender waits for the close.
    with_bug("send: looks for a close under the lock", || {
        check(|| {
            let c = Chan::new(0);
            let theirs = c.clone();
            go(move || assert!(theirs.send_checked(1).is_err()));
            c.close();
        });
    });
}

/// Polls look without the lock: what was sent or closed before is found all the same.
#[test]
fn shuttle_a_poll_finds_what_was_there_before() {
    check(|| {
        let (c, told) = (Chan::new(1), Chan::new(1));
        let (theirs, tells) = (c.clone(), told.clone());
        go(move || {
            theirs.send(1);
            tells.send(true);
            let second = theirs.try_send(2).is_ok();
            theirs.close();
            tells.send(second);
        });
        told.recv();
        assert_eq!(c.try_recv(), Ok(1));
        if told.recv() == Some(true) {
            assert_eq!(c.try_recv(), Ok(2));
        }
        assert_eq!(c.try_recv(), Err(crate::TryRecvError::Closed));
    });
}
