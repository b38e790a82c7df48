//! Whatever happens to an operation, its value is dropped once, by whoever has it, and never under the channel's lock.
mod common;
use common::*;
use gosched_chan::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

const MS: Duration = Duration::from_millis(2);

#[test]
fn the_buffer_goes_with_the_last_handle() {
    let census = Census::default();
    let c = Chan::new(5);
    // Wrapped around.
    (0..4).for_each(|i| c.send(census.make(i)));
    (0..3).for_each(|_| drop(c.recv()));
    (0..4).for_each(|i| c.send(census.make(i)));
    assert_eq!(census.alive(), 5);
    let (tx, rx) = (c.sender(), c.receiver());
    drop(c);
    drop(tx);
    assert_eq!(census.alive(), 5);
    drop(rx.clone());
    assert_eq!(census.alive(), 5);
    drop(rx);
    assert_eq!(census.alive(), 0);
}

#[test]
fn failed_sends() {
    let census = Census::default();
    let c = Chan::new(0);
    let v = c.try_send(census.make(0)).unwrap_err().into_inner();
    let v = c.send_timeout(v, MS).unwrap_err().into_inner();
    let v = c.send_timeout(v, Duration::ZERO).unwrap_err().into_inner();
    c.close();
    let v = c.send_checked(v).unwrap_err().into_inner();
    assert_eq!((census.made(), census.alive()), (1, 1));
    assert!(catch_unwind(AssertUnwindSafe(|| c.send(v))).is_err());
    assert_eq!(census.alive(), 0);
}

#[test]
fn losers_of_a_select_are_dropped_before_its_arm() {
    let census = Census::default();
    let (a, b, full) = (Chan::new(1), Chan::new(0), Chan::new(1));
    full.send(census.make(9));
    select! {
        send(b, census.make(1)) => panic!(),
        send(a, census.make(2)) => assert_eq!(census.alive(), 2, "in the channels, and nowhere else"),
        send(full, census.make(3)) => panic!(),
    }
    select! {
        send(b, census.make(1)) => panic!(),
        send(a, census.make(2)) => panic!(),
        default => assert_eq!(census.alive(), 2),
    }
    select! { send(b, census.make(1)) => panic!(), send(a, census.make(2)) => panic!(), default(MS) => assert_eq!(census.alive(), 2) }
    select! { send(b, census.make(1)) => panic!(), default => assert_eq!(census.alive(), 2) }
    let got = select! { recv(a) -> v => v, send(b, census.make(4)) => None };
    assert_eq!((got.map(|v| v.id), census.alive()), (Some(2), 1), "what is in `full`");
}

#[test]
fn a_select_left_by_question_mark_or_break_drops_what_was_evaluated() {
    let census = Census::default();
    let a = Chan::new(1);
    #[allow(unreachable_code)]
    let leave = |census: &Census| -> Result<(), ()> {
        select! { send(a, census.make(1)) => panic!(), send(a, Err(())?) => panic!() }
        Ok(())
    };
    assert_eq!(leave(&census), Err(()));
    loop {
        #[allow(unreachable_code)]
        {
            select! { send(a, census.make(2)) => panic!(), recv(if census.made() > 0 { break } else { &a }) -> _ => {} }
        }
    }
    let fail = || -> Counted { panic!("while evaluating") };
    let r =
        catch_unwind(AssertUnwindSafe(|| select! { send(a, census.make(3)) => {}, send(a, fail()) => {} }));
    assert_eq!(message(r), "while evaluating");
    assert_eq!((census.made(), census.alive(), a.len()), (3, 0, 0));
}

#[test]
fn a_received_value_survives_the_panic_of_a_losers_destructor() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("bad destructor");
            }
        }
    }
    let census = Census::default();
    let (a, b) = (Chan::new(1), Chan::new(0));
    a.send(census.make(1));
    let r = catch_unwind(AssertUnwindSafe(|| select! { recv(a) -> v => drop(v), send(b, Bad) => {} }));
    assert_eq!(message(r), "bad destructor");
    assert_eq!(census.alive(), 0, "not leaked");
    a.send(census.make(2));
    assert_eq!(a.recv().unwrap().id, 2);
}

#[test]
fn a_destructor_that_panics_does_not_keep_the_others_from_running() {
    struct Maybe(Option<Counted>);
    impl Drop for Maybe {
        fn drop(&mut self) {
            if self.0.is_none() {
                panic!("bad destructor");
            }
        }
    }
    let census = Census::default();
    let c = Chan::new(4);
    for i in 0..4 {
        c.send(Maybe((i != 1).then(|| census.make(i))));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(c))).is_err());
    assert_eq!((census.made(), census.alive()), (3, 0));
}

#[test]
fn destructors_may_use_the_channel() {
    struct Echo(Chan<u8>, Option<Chan<Echo>>);
    impl Drop for Echo {
        fn drop(&mut self) {
            self.0.send(1);
            if let Some(own) = &self.1 {
                assert!(own.try_recv().is_err());
            }
        }
    }
    in_time(|| {
        let heard = Chan::new(8);
        let c = Chan::new(1);
        c.close();
        let own = c.clone();
        // Dropped by the panic of the send, and while it uses the very channel.
        let r = catch_unwind(AssertUnwindSafe(|| c.send(Echo(heard.clone(), Some(own)))));
        assert!(r.is_err());
        let d = Chan::new(2);
        d.send(Echo(heard.clone(), None));
        drop(d);
        assert_eq!(heard.len(), 2);
    });
}

#[test]
fn timed_waits_against_senders_and_receivers() {
    in_time(|| {
        let census = Census::default();
        let c = Chan::new(0);
        let n = 400;
        let t = thread::spawn({
            let (c, census) = (c.clone(), census.clone());
            move || {
                let mut sent = 0;
                for i in 0..n {
                    let d = Duration::from_micros(i as u64 % 60);
                    sent += c.send_timeout(census.make(i), d).is_ok() as usize;
                }
                c.close();
                sent
            }
        });
        let mut got = 0;
        loop {
            match c.recv_timeout(Duration::from_micros(20)) {
                Ok(_) => got += 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Closed) => break,
            }
        }
        assert_eq!((t.join().unwrap(), census.made(), census.alive()), (got, n, 0));
    });
}
