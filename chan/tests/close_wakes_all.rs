//! Closing: who is woken, what is said, what is left.
mod common;
use common::*;
use gosched_chan::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

#[test]
fn the_words_of_the_panics() {
    let c = Chan::new(1);
    c.close();
    assert_eq!(message(catch_unwind(|| c.send(1))), "send on closed channel");
    assert_eq!(message(catch_unwind(|| c.sender().send(1))), "send on closed channel");
    assert_eq!(message(catch_unwind(|| select! { send(c, 1) => {} })), "send on closed channel");
    assert_eq!(
        message(catch_unwind(|| select! { send(c, 1) => {}, default => {} })),
        "send on closed channel"
    );
    assert_eq!(
        message(catch_unwind(|| select! { send(c, 1) => {}, recv(Chan::<u8>::nil()) -> _ => {} })),
        "send on closed channel"
    );
    assert_eq!(message(catch_unwind(|| c.close())), "close of closed channel");
    assert_eq!(message(catch_unwind(|| c.sender().close())), "close of closed channel");
    assert_eq!(message(catch_unwind(|| Chan::<u8>::nil().close())), "close of nil channel");
}

#[test]
fn a_panic_names_the_caller() {
    let c = Chan::new(1);
    c.close();
    let (tx, rx) = std::sync::mpsc::channel();
    let old = std::panic::take_hook();
    let me = thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == me {
            let _ = tx.send(info.location().unwrap().file().to_string());
        }
    }));
    let _ = catch_unwind(|| c.send(1));
    let _ = catch_unwind(|| c.close());
    let _ = catch_unwind(|| select! { send(c, 1) => {}, recv(c) -> _ => panic!("x") });
    std::panic::set_hook(old);
    let files: Vec<_> = rx.try_iter().collect();
    assert!(files.len() == 3 && files.iter().all(|f| f == file!()), "{files:?}");
}

#[test]
fn all_receivers_are_woken() {
    in_time(|| {
        let c = Chan::<u8>::new(0);
        let other = Chan::<u8>::new(0);
        let ts: Vec<_> = (0..12)
            .map(|i| {
                let (c, other) = (c.clone(), other.clone());
                thread::spawn(move || match i % 4 {
                    0 => c.recv().is_none(),
                    1 => c.recv_timeout(LONG) == Err(RecvTimeoutError::Closed),
                    2 => select! { recv(c) -> v => v.is_none(), recv(other) -> _ => false },
                    _ => c.iter().count() == 0,
                })
            })
            .collect();
        until_waiting(&c, 0, 12);
        c.close();
        assert!(ts.into_iter().all(|t| t.join().unwrap()));
        assert_eq!(other.__waiting(), (0, 0));
        assert_eq!(other.try_send(1), Err(TrySendError::Full(1)), "no select has left itself behind");
    });
}

#[test]
fn all_senders_are_woken() {
    for cap in [0, 1] {
        in_time(move || {
            let census = Census::default();
            let c = Chan::new(cap);
            (0..cap).for_each(|i| c.send(census.make(i)));
            let nil = Chan::<u8>::nil();
            let ts: Vec<_> = (0..4)
                .map(|i| {
                    let (c, v, nil) = (c.clone(), census.make(i), nil.clone());
                    thread::spawn(move || match i {
                        0 => {
                            message(catch_unwind(AssertUnwindSafe(|| c.send(v)))) == "send on closed channel"
                        }
                        1 => c.send_checked(v).is_err_and(|e| e.0.id == 1),
                        2 => c.send_timeout(v, LONG).is_err_and(|e| e.is_closed() && e.into_inner().id == 2),
                        _ => {
                            let r = catch_unwind(AssertUnwindSafe(
                                || select! { recv(nil) -> _ => {}, send(c, v) => {} },
                            ));
                            message(r) == "send on closed channel"
                        }
                    })
                })
                .collect();
            until_waiting(&c, 4, 0);
            c.close();
            assert!(ts.into_iter().all(|t| t.join().unwrap()));
            assert_eq!(census.alive(), cap, "only what was in the buffer is left");
            assert_eq!(c.iter().count(), cap);
            assert_eq!(census.alive(), 0);
        });
    }
}

#[test]
fn closing_wakes_a_timed_wait_as_closed_and_not_as_timed_out() {
    in_time(|| {
        let c = Chan::<u8>::new(0);
        let t = thread::spawn({
            let c = c.clone();
            move || select! { recv(c) -> v => v.is_none(), default(Duration::from_secs(15)) => false }
        });
        until_waiting(&c, 0, 1);
        c.close();
        assert!(t.join().unwrap());
    });
}

#[test]
fn a_loop_over_a_channel_ends_when_it_is_closed_and_drained() {
    let c = Chan::new(3);
    (1..=3).for_each(|i| c.send(i));
    c.close();
    let mut sum = 0;
    for v in &c {
        sum += v;
    }
    assert_eq!((sum, c.into_iter().next()), (6, None));
}

#[test]
fn dropping_the_senders_does_not_close() {
    let c = Chan::<u8>::new(1);
    drop(c.sender());
    assert!(!c.is_closed());
    assert_eq!(c.try_recv(), Err(TryRecvError::Empty));
}
