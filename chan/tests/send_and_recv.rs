//! Order, rendezvous, handles, polls.
mod common;
use common::*;
use gosched_chan::*;
use std::collections::HashSet;
use std::thread;
use std::time::Duration;

#[test]
fn values_come_out_in_the_order_they_went_in() {
    for cap in [0, 1, 2, 7] {
        let c = Chan::new(cap);
        let got = in_time(move || {
            let tx = c.sender();
            let t = thread::spawn(move || {
                (0..1000).for_each(|i| tx.send(i));
                tx.close();
            });
            let got: Vec<i32> = c.iter().collect();
            t.join().unwrap();
            got
        });
        assert!(got.iter().copied().eq(0..1000), "cap {cap}");
    }
}

#[test]
fn an_unbuffered_send_ends_when_it_is_received() {
    in_time(|| {
        let c = Chan::new(0);
        let done = Chan::new(1);
        let t = thread::spawn({
            let (c, done) = (c.clone(), done.clone());
            move || {
                c.send(1);
                done.send(());
            }
        });
        until_waiting(&c, 1, 0);
        settle();
        assert_eq!(done.try_recv(), Err(TryRecvError::Empty), "nobody has received yet");
        assert_eq!(c.recv(), Some(1));
        assert_eq!(done.recv(), Some(()));
        t.join().unwrap();
    });
}

#[test]
fn waiting_receivers_are_served_in_the_order_they_came() {
    in_time(|| {
        let c = Chan::new(0);
        let ts: Vec<_> = (0..5)
            .map(|i| {
                let own = c.clone();
                let t = thread::spawn(move || own.recv());
                until_waiting(&c, 0, i + 1);
                t
            })
            .collect();
        (0..5).for_each(|v| c.send(v));
        assert!(ts.into_iter().map(|t| t.join().unwrap()).eq((0..5).map(Some)));
    });
}

#[test]
fn waiting_senders_are_served_in_the_order_they_came() {
    for cap in [0, 2] {
        in_time(move || {
            let c = Chan::new(cap);
            (0..cap).for_each(|i| c.send(i));
            let ts: Vec<_> = (0..5)
                .map(|i| {
                    let own = c.clone();
                    let t = thread::spawn(move || own.send(cap + i));
                    until_waiting(&c, i + 1, 0);
                    t
                })
                .collect();
            assert!((0..cap + 5).all(|i| c.recv() == Some(i)));
            ts.into_iter().for_each(|t| t.join().unwrap());
        });
    }
}

#[test]
fn each_value_taken_lets_the_next_sender_in() {
    in_time(|| {
        let c = Chan::new(2);
        (0..2).for_each(|i| c.send(i));
        let first = thread::spawn({
            let c = c.clone();
            move || c.send(2)
        });
        until_waiting(&c, 1, 0);
        assert_eq!(c.recv(), Some(0));
        first.join().unwrap(); // at once, and not when the buffer is empty
        assert_eq!((c.__waiting(), c.len()), ((0, 0), 2));
        assert_eq!((c.recv(), c.recv()), (Some(1), Some(2)));
    });
}

#[test]
fn one_who_timed_out_does_not_disturb_the_queue() {
    in_time(|| {
        let c = Chan::new(0);
        let wait = |d: Duration, n| {
            let own = c.clone();
            let t = thread::spawn(move || own.recv_timeout(d));
            until_waiting(&c, 0, n);
            t
        };
        let (first, middle, last) = (wait(LONG, 1), wait(Duration::from_millis(200), 2), wait(LONG, 3));
        assert_eq!(middle.join().unwrap(), Err(RecvTimeoutError::Timeout));
        until_waiting(&c, 0, 2);
        c.send(1);
        c.send(2);
        assert_eq!((first.join().unwrap(), last.join().unwrap()), (Ok(1), Ok(2)));
    });
}

#[test]
fn polls_say_what_is_there() {
    let c = Chan::new(2);
    assert_eq!(c.try_recv(), Err(TryRecvError::Empty));
    assert_eq!((c.try_send(1), c.try_send(2)), (Ok(()), Ok(())));
    assert_eq!(c.try_send(3), Err(TrySendError::Full(3)));
    assert!(c.is_full() && !c.is_empty() && c.len() == 2 && c.cap() == 2);
    c.close();
    assert_eq!(c.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!((c.try_recv(), c.recv(), c.try_recv()), (Ok(1), Some(2), Err(TryRecvError::Closed)));
    assert!(c.is_closed() && c.is_empty());

    let u = Chan::new(0);
    assert_eq!(u.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(u.try_recv(), Err(TryRecvError::Empty));
    assert!(u.is_full() && u.is_empty());
}

#[test]
fn a_poll_meets_a_waiter() {
    in_time(|| {
        let c = Chan::new(0);
        let t = thread::spawn({
            let c = c.clone();
            move || c.recv()
        });
        eventually("a waiting receiver", || c.try_send(5).is_ok());
        assert_eq!(t.join().unwrap(), Some(5));
        let t = thread::spawn({
            let c = c.clone();
            move || c.send(6)
        });
        let mut got = None;
        eventually("a waiting sender", || {
            got = c.try_recv().ok();
            got.is_some()
        });
        assert_eq!(got, Some(6));
        t.join().unwrap();
    });
}

#[test]
fn handles_are_the_same_by_identity() {
    let (a, b) = (Chan::<u8>::new(1), Chan::<u8>::new(1));
    assert!(a == a.clone() && a != b && a != Chan::nil() && Chan::<u8>::nil() == Chan::nil());
    assert!(a.sender() == a.sender() && a.receiver() != b.receiver());
    let set: HashSet<Chan<u8>> = [a.clone(), a.clone(), b.clone()].into();
    assert_eq!(set.len(), 2);
    assert_eq!(Sender::from(a.clone()), a.sender());
    assert_eq!(Receiver::from(&b), b.receiver());
    assert_eq!(format!("{:?}", Chan::<std::cell::Cell<u8>>::nil()), "Chan(nil)");
    assert!(format!("{a:?}").starts_with("Chan { len: 0, cap: 1, closed: false, senders_waiting: 0"));
}

#[test]
fn values_of_every_size() {
    #[derive(Debug, PartialEq, Clone, Copy)]
    #[repr(align(64))]
    struct Wide([u8; 192]);
    fn through<T: PartialEq + std::fmt::Debug + Copy + Send + 'static>(v: T) {
        for cap in [0, 1, 3] {
            let got = in_time(move || {
                let c = Chan::new(cap);
                let t = thread::spawn({
                    let c = c.clone();
                    move || (0..10).for_each(|_| c.send(v))
                });
                let got: Vec<T> = c.iter().take(10).collect();
                t.join().unwrap();
                got
            });
            assert_eq!(got, [v; 10]);
        }
    }
    through(());
    through(3u8);
    through(Wide([7; 192]));
    through([1u64; 1000]);
    let zst = Chan::new(usize::MAX);
    (0..1000).for_each(|_| zst.send(()));
    assert_eq!((zst.len(), zst.cap()), (1000, usize::MAX));
}

#[test]
fn too_large_a_channel_is_refused() {
    let r = std::panic::catch_unwind(|| Chan::<u64>::new(usize::MAX / 4));
    assert_eq!(message(r), "makechan: size out of range");
}

#[test]
fn values_may_borrow() {
    let words = [String::from("a"), String::from("b")];
    let c: Chan<&str> = Chan::new(2);
    thread::scope(|s| {
        s.spawn(|| words.iter().for_each(|w| c.send(w)));
        assert_eq!((c.recv(), c.recv()), (Some("a"), Some("b")));
    });
}

#[test]
fn a_channel_can_be_used_from_destructors_of_thread_locals() {
    struct Says(Chan<u8>);
    impl Drop for Says {
        fn drop(&mut self) {
            // Parks: unbuffered.
            self.0.send(1);
            select! { send(self.0, 2) => {}, recv(Chan::<u8>::nil()) -> _ => {} }
            assert_eq!(self.0.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
        }
    }
    thread_local!(static SAYS: std::cell::RefCell<Option<Says>> = const { std::cell::RefCell::new(None) });
    in_time(|| {
        let c = Chan::new(0);
        let t = thread::spawn({
            let c = c.clone();
            move || SAYS.with(|s| *s.borrow_mut() = Some(Says(c)))
        });
        assert_eq!((c.recv(), c.recv()), (Some(1), Some(2)));
        t.join().unwrap();
    });
}

#[test]
fn nil_is_never_ready() {
    let n = Chan::<u8>::nil();
    let ms = Duration::from_millis(5);
    assert_eq!(n.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(n.try_recv(), Err(TryRecvError::Empty));
    for op in [
        (&|| assert_eq!(n.send_timeout(1, ms), Err(SendTimeoutError::Timeout(1)))) as &dyn Fn(),
        &|| assert_eq!(n.recv_timeout(ms), Err(RecvTimeoutError::Timeout)),
        &|| select! { recv(n) -> _ => panic!(), send(n, 1) => panic!(), default(ms) => {} },
        &|| select! { recv(n) -> _ => panic!(), default(ms) => {} },
        &|| select! { default(ms) => {} },
    ] {
        let t = std::time::Instant::now();
        op();
        assert!(t.elapsed() >= ms);
    }
    assert_eq!((n.len(), n.cap(), n.is_nil(), n.is_closed(), n.is_empty()), (0, 0, true, false, true));
    assert_eq!(n.try_iter().next(), None);
}

#[test]
fn nil_blocks_for_ever() {
    let n = Chan::<u8>::nil();
    let ended = Chan::new(8);
    // These threads are left behind on purpose: they wait for ever.
    let ops: [fn(&Chan<u8>); 5] = [
        |n| n.send(1),
        |n| _ = n.recv(),
        |n| select! { recv(n) -> _ => {}, send(n, 1) => {} },
        |n| select! { recv(n) -> _ => {} },
        |_| select! {},
    ];
    for op in ops {
        let (n, ended) = (n.clone(), ended.clone());
        thread::spawn(move || {
            op(&n);
            ended.send(());
        });
    }
    assert_eq!(ended.recv_timeout(Duration::from_millis(60)), Err(RecvTimeoutError::Timeout));
}

#[test]
fn timeouts() {
    let c = Chan::new(0);
    let ms = Duration::from_millis(8);
    let t = std::time::Instant::now();
    assert_eq!(c.send_timeout(1, ms), Err(SendTimeoutError::Timeout(1)));
    assert_eq!(c.recv_timeout(ms), Err(RecvTimeoutError::Timeout));
    assert!(t.elapsed() >= ms * 2);
    // What timed out has left the queues.
    assert_eq!((c.try_recv(), c.try_send(1)), (Err(TryRecvError::Empty), Err(TrySendError::Full(1))));
    // Zero does not wait, and takes what is there.
    let b = Chan::new(1);
    assert_eq!(b.send_timeout(1, Duration::ZERO), Ok(()));
    assert_eq!(b.send_timeout(1, Duration::ZERO), Err(SendTimeoutError::Timeout(1)));
    assert_eq!(b.recv_timeout(Duration::ZERO), Ok(1));
    assert_eq!(b.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
    b.close();
    assert_eq!(b.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Closed));
    assert_eq!(b.send_timeout(2, Duration::MAX), Err(SendTimeoutError::Closed(2)));
    // The longest time is for ever, and somebody comes before.
    in_time(move || {
        let t = thread::spawn({
            let c = c.clone();
            move || c.recv_timeout(Duration::MAX)
        });
        c.send_timeout(3, Duration::MAX).unwrap();
        assert_eq!(t.join().unwrap(), Ok(3));
    });
}
