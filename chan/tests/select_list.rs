//! `Select`: choosing first, carrying out afterwards.
mod common;
use common::*;
use gosched_chan::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(5);

#[test]
fn indices_and_removal() {
    let (a, b, c) = (Chan::new(1), Chan::new(1), Chan::new(1));
    let (tx, rx) = (b.sender(), c.receiver());
    let mut s = Select::new();
    assert_eq!((s.recv(&a), s.send(&tx), s.recv(&rx)), (0, 1, 2));
    b.send(0);
    assert_eq!(s.try_select().unwrap_err(), TrySelectError);
    c.send(5);
    let op = s.select();
    assert_eq!((op.index(), op.recv(&rx)), (2, Some(5)));
    s.remove(1);
    b.recv();
    assert!(s.try_select().is_err());
    assert_eq!(
        message(catch_unwind(AssertUnwindSafe(|| s.remove(1)))),
        "no case with the index 1 in this Select"
    );
    assert_eq!(s.send(&a), 3);
    let op = s.select();
    assert_eq!(op.index(), 3);
    op.send(&a, 7);
    let op = s.select_timeout(MS).unwrap();
    assert_eq!((op.index(), op.recv(&a)), (0, Some(7)));
}

#[test]
fn timeouts_and_the_empty_list() {
    let (c, nil) = (Chan::<u8>::new(0), Chan::<u8>::nil());
    let mut s = Select::new();
    for n in 0..3 {
        let t = Instant::now();
        assert_eq!(s.select_timeout(MS).unwrap_err(), SelectTimeoutError);
        assert!(t.elapsed() >= MS, "{n} cases");
        assert!(s.try_select().is_err() && s.select_timeout(Duration::ZERO).is_err());
        s.recv(if n == 0 { &nil } else { &c });
    }
    c.close();
    assert_eq!(s.select_timeout(Duration::MAX).unwrap().recv(&c), None);
}

#[test]
fn ready_cases_are_chosen_uniformly() {
    let c: Vec<Chan<u8>> = (0..4).map(|_| Chan::new(2)).collect();
    let mut s = Select::new();
    for c in &c {
        c.send(1);
        s.recv(c);
        s.send(c);
    }
    let mut seen = [0u64; 8];
    for _ in 0..40_000 {
        let op = s.select();
        let i = op.index();
        let c = &c[i / 2];
        if i % 2 == 0 {
            op.recv(c);
            c.send(1);
        } else {
            op.send(c, 1);
            c.recv();
        }
        seen[i] += 1;
    }
    let chi2: f64 = seen.iter().map(|&n| (n as f64 - 5000.).powi(2) / 5000.).sum();
    // 7 degrees of freedom.
    assert!(chi2 < 45.0, "{seen:?}");
}

#[test]
fn a_chosen_send_has_its_room_whatever_others_do() {
    let c = Chan::new(2);
    let mut s = Select::new();
    s.send(&c);
    c.send(1);
    let op = s.select();
    assert_eq!(c.try_send(9), Err(TrySendError::Full(9)), "the room is taken");
    assert_eq!(c.len(), 1);
    assert_eq!(c.recv(), Some(1));
    assert_eq!(c.try_recv(), Err(TryRecvError::Empty), "but there is no value yet");
    c.send(2);
    assert_eq!(c.try_send(9), Err(TrySendError::Full(9)));
    op.send(&c, 3);
    assert_eq!((c.recv(), c.recv()), (Some(2), Some(3)));
}

#[test]
fn who_waits_beside_reserved_room_is_still_found() {
    in_time(|| {
        let c = Chan::new(1);
        let mut s = Select::new();
        s.send(&c);
        let op = s.select();
        // All the room is reserved, so a sender waits; a receiver takes its value past the reservation.
        let sender = thread::spawn({
            let c = c.clone();
            move || c.send(20)
        });
        until_waiting(&c, 1, 0);
        assert_eq!(c.try_recv(), Ok(20));
        sender.join().unwrap();
        // So with a sender who has yet to say what it sends.
        let sender = thread::spawn({
            let c = c.clone();
            move || {
                let mut s = Select::new();
                s.send(&c);
                s.select().send(&c, 30);
            }
        });
        until_waiting(&c, 1, 0);
        assert_eq!(c.recv(), Some(30));
        sender.join().unwrap();
        // A receiver that waits gets what was reserved for; and the room is free again.
        let receiver = thread::spawn({
            let c = c.clone();
            move || c.recv()
        });
        until_waiting(&c, 0, 1);
        op.send(&c, 10);
        assert_eq!(receiver.join().unwrap(), Some(10));
        assert_eq!((c.try_recv(), c.try_send(1)), (Err(TryRecvError::Empty), Ok(())));
    });
}

#[test]
fn a_chosen_receiver_is_nobody_elses() {
    in_time(|| {
        let c = Chan::new(0);
        let t = thread::spawn({
            let c = c.clone();
            move || c.recv()
        });
        until_waiting(&c, 0, 1);
        let mut s = Select::new();
        s.send(&c);
        let op = s.select();
        assert_eq!(c.try_send(9), Err(TrySendError::Full(9)), "it is taken");
        c.close();
        op.send(&c, 3);
        assert_eq!(t.join().unwrap(), Some(3), "they had met before the close");
    });
}

#[test]
fn a_waiting_send_meets_every_kind_of_receiver() {
    for kind in 0..6 {
        in_time(move || {
            let (c, nil) = (Chan::new(0), Chan::<u8>::nil());
            let t = thread::spawn({
                let c = c.clone();
                move || {
                    let other = Chan::<u8>::new(0);
                    let mut s = Select::new();
                    s.recv(&other);
                    let i = s.send(&c);
                    let op = s.select();
                    assert_eq!(op.index(), i);
                    settle(); // the receiver has to wait for the value
                    op.send(&c, 42u8);
                }
            });
            until_waiting(&c, 1, 0);
            let got = match kind {
                0 => c.recv(),
                1 => c.recv_timeout(LONG).ok(),
                2 => {
                    let mut got = None;
                    eventually("a value", || {
                        got = c.try_recv().ok();
                        got.is_some()
                    });
                    got
                }
                3 => select! { recv(c) -> v => v, recv(nil) -> _ => None },
                4 => {
                    let mut s = Select::new();
                    s.recv(&nil);
                    s.recv(&c);
                    s.select().recv(&c)
                }
                _ => select! { recv(nil) -> v => v, recv(c) -> v => v, default(LONG) => None },
            };
            assert_eq!(got, Some(42), "kind {kind}");
            t.join().unwrap();
        });
    }
}

#[test]
fn a_waiting_send_gets_the_room_that_comes_free() {
    in_time(|| {
        let c = Chan::new(1);
        c.send(1);
        let t = thread::spawn({
            let c = c.clone();
            move || {
                let mut s = Select::new();
                s.send(&c);
                s.select().send(&c, 2);
            }
        });
        until_waiting(&c, 1, 0);
        assert_eq!((c.recv(), c.recv()), (Some(1), Some(2)));
        t.join().unwrap();
    });
}

#[test]
fn a_list_on_both_sides() {
    in_time(|| {
        let c = Chan::new(0);
        let n = 2000;
        let t = thread::spawn({
            let c = c.clone();
            move || {
                let mut s = Select::new();
                s.send(&c);
                (0..n).for_each(|i| s.select().send(&c, i));
                c.close();
            }
        });
        let mut s = Select::new();
        s.recv(&c);
        for i in 0..n {
            let op = if i % 2 == 0 {
                s.select()
            } else {
                loop {
                    if let Ok(op) = s.try_select() {
                        break op;
                    }
                    thread::yield_now();
                }
            };
            assert_eq!(op.recv(&c), Some(i));
        }
        assert_eq!(s.select().recv(&c), None);
        t.join().unwrap();
    });
}

#[test]
fn closed_channels() {
    in_time(|| {
        let c = Chan::new(1);
        let mut s = Select::new();
        s.send(&c);
        // Reserved, then closed.
        let op = s.select();
        c.close();
        assert_eq!(c.recv(), None);
        assert_eq!(message(catch_unwind(AssertUnwindSafe(|| op.send(&c, 1)))), "send on closed channel");
        // Closed before.
        let op = s.select();
        assert_eq!(message(catch_unwind(AssertUnwindSafe(|| op.send(&c, 1)))), "send on closed channel");
        // Closed while it waits.
        let c = Chan::new(0);
        let t = thread::spawn({
            let c = c.clone();
            move || {
                let mut s = Select::new();
                s.send(&c);
                let op = s.select();
                message(catch_unwind(AssertUnwindSafe(|| op.send(&c, 1))))
            }
        });
        until_waiting(&c, 1, 0);
        c.close();
        assert_eq!(t.join().unwrap(), "send on closed channel");
    });
}

const DROPPED: &str = "dropped SelectedOperation without completing the operation";

#[test]
fn a_dropped_operation_gives_back_what_it_held() {
    in_time(|| {
        // Room: the next sender has it.
        let c = Chan::new(1);
        let mut s = Select::new();
        s.send(&c);
        let op = s.select();
        let t = thread::spawn({
            let c = c.clone();
            move || c.send(5)
        });
        until_waiting(&c, 1, 0);
        assert_eq!(message(catch_unwind(AssertUnwindSafe(|| drop(op)))), DROPPED);
        t.join().unwrap();
        assert_eq!(c.recv(), Some(5));

        // A receiver that waited already: it waits on.
        for timed in [false, true] {
            let c = Chan::new(0);
            let t = thread::spawn({
                let c = c.clone();
                move || if timed { c.recv_timeout(LONG).ok() } else { c.recv() }
            });
            let mut s = Select::new();
            s.send(&c);
            let op = s.select();
            assert_eq!(message(catch_unwind(AssertUnwindSafe(|| drop(op)))), DROPPED);
            c.send(6);
            assert_eq!(t.join().unwrap(), Some(6));
        }

        // A receiver that came when the list waited, of each kind.
        for kind in 0..5 {
            let c = Chan::new(0);
            let t = thread::spawn({
                let c = c.clone();
                move || {
                    let mut s = Select::new();
                    s.send(&c);
                    let op = s.select();
                    settle();
                    assert_eq!(message(catch_unwind(AssertUnwindSafe(|| drop(op)))), DROPPED);
                    c.send(7);
                }
            });
            until_waiting(&c, 1, 0);
            let nil = Chan::<u8>::nil();
            let got = match kind {
                0 => c.recv(),
                1 => select! { recv(c) -> v => v, recv(nil) -> _ => None },
                // Their time is not up because one who was to come has not.
                2 => c.recv_timeout(LONG).ok(),
                3 => select! { recv(c) -> v => v, recv(nil) -> _ => None, default(LONG) => None },
                _ => {
                    let mut s = Select::new();
                    s.recv(&c);
                    s.recv(&nil);
                    s.select().recv(&c)
                }
            };
            assert_eq!(got, Some(7));
            t.join().unwrap();
        }
    });
}

#[test]
fn a_receiver_sent_back_is_first_in_its_queue_again() {
    in_time(|| {
        let c = Chan::new(0);
        let ts: Vec<_> = (0..4)
            .map(|i| {
                let own = c.clone();
                let t = thread::spawn(move || own.recv());
                until_waiting(&c, 0, i + 1);
                t
            })
            .collect();
        let mut s = Select::new();
        s.send(&c);
        let op = s.select();
        assert_eq!(c.__waiting(), (0, 3));
        assert_eq!(message(catch_unwind(AssertUnwindSafe(|| drop(op)))), DROPPED);
        until_waiting(&c, 0, 4);
        (0..4).for_each(|v| c.send(v));
        assert!(ts.into_iter().map(|t| t.join().unwrap()).eq((0..4).map(Some)));
    });
}

#[test]
fn a_receiver_whose_promise_is_taken_back_is_first_in_its_queue() {
    in_time(|| {
        let c = Chan::new(0);
        let (chosen, is_chosen) = std::sync::mpsc::channel();
        let own = c.clone();
        let selector = thread::spawn(move || {
            let mut s = Select::new();
            s.send(&own);
            let op = s.select();
            chosen.send(()).unwrap();
            // The first receiver waits for our value, the second one behind it in the queue.
            until_waiting(&own, 0, 1);
            assert_eq!(message(catch_unwind(AssertUnwindSafe(|| drop(op)))), DROPPED);
        });
        until_waiting(&c, 1, 0);
        let own = c.clone();
        let first = thread::spawn(move || own.recv());
        is_chosen.recv().unwrap();
        let own = c.clone();
        let second = thread::spawn(move || own.recv());
        selector.join().unwrap();
        until_waiting(&c, 0, 2);
        (1..3).for_each(|v| c.send(v));
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Some(1), Some(2)));
    });
}

#[test]
fn values_are_dropped_once() {
    let census = Census::default();
    #[repr(align(64))]
    struct Big(Counted, #[allow(dead_code)] [u8; 300]);
    let (small, big) = (Chan::new(3), Chan::new(3));
    let mut s = Select::new();
    let i = s.recv(&small);
    s.recv(&big);
    for n in 0..60 {
        small.send(census.make(n));
        big.send(Big(census.make(n), [1; 300]));
        for _ in 0..2 {
            let op = s.select();
            match (n % 3, op.index() == i) {
                (0, _) => assert_eq!(message(catch_unwind(AssertUnwindSafe(|| drop(op)))), DROPPED),
                (_, true) => assert_eq!(op.recv(&small).unwrap().id, n),
                (_, false) => assert_eq!(op.recv(&big).unwrap().0.id, n),
            }
        }
        assert_eq!(census.alive(), 0);
    }
}

#[test]
fn the_wrong_channel_is_refused_and_nothing_is_lost() {
    let (a, b) = (Chan::new(1), Chan::new(1));
    let mut s = Select::new();
    s.send(&a);
    let op = s.select();
    assert_eq!(
        message(catch_unwind(AssertUnwindSafe(|| op.send(&b, 1)))),
        "the case that was selected is not a Send on this channel"
    );
    assert_eq!((a.try_send(1), b.len()), (Ok(()), 0), "the reservation is gone");
}

#[test]
fn a_list_that_waits_leaves_no_trace() {
    let (a, b) = (Chan::<u8>::new(0), Chan::<u8>::new(0));
    let mut s = Select::new();
    s.recv(&a);
    s.send(&b);
    assert!(s.select_timeout(MS).is_err());
    assert_eq!((a.__waiting(), b.__waiting()), ((0, 0), (0, 0)));
    assert_eq!(a.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(b.try_recv(), Err(TryRecvError::Empty));
}
