//! `select!`: which case, when, and what is evaluated.
mod common;
use common::*;
use gosched_chan::*;
use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(5);

/// Chi-square of `seen` against a uniform choice.
fn chi2(seen: &[u64]) -> f64 {
    let e = seen.iter().sum::<u64>() as f64 / seen.len() as f64;
    seen.iter().map(|&n| (n as f64 - e).powi(2) / e).sum()
}

#[test]
fn ready_cases_are_chosen_uniformly() {
    let c: Vec<Chan<u32>> = (0..5).map(|_| Chan::new(1)).collect();
    let closed = Chan::<u32>::new(0);
    closed.close();
    c[0].send(1);
    c[1].send(1);
    let mut seen = [0; 5];
    for _ in 0..50_000 {
        let i = select! {
            recv(c[0]) -> v => { c[0].send(v.unwrap()); 0 }
            send(c[2], 1) => { c[2].recv(); 1 }
            recv(closed) -> _ => 2,
            recv(c[4]) -> _ => unreachable!(),
            recv(c[1]) -> v => { c[1].send(v.unwrap()); 3 }
            send(c[3], 1) => { c[3].recv(); 4 }
            recv(Chan::<u32>::nil()) -> _ => unreachable!(),
        };
        seen[i] += 1;
    }
    // 4 degrees of freedom: above 37.3 once in 6.5 million runs.
    assert!(chi2(&seen) < 37.3, "{seen:?}");
}

#[test]
fn the_same_channel_in_several_cases_counts_for_each() {
    let c = Chan::new(2);
    let mut seen = [0; 4];
    for _ in 0..40_000 {
        c.send(0);
        let i = select! { recv(c) -> _ => 0, recv(c) -> _ => 1, send(c, 1) => 2, send(c, 2) => 3 };
        seen[i] += 1;
        while c.try_recv().is_ok() {}
    }
    // 3 degrees of freedom.
    assert!(chi2(&seen) < 34.0, "{seen:?}");
}

#[test]
fn channels_and_values_are_evaluated_once_in_source_order() {
    let log = RefCell::new(Vec::new());
    let (a, b) = (Chan::new(1), Chan::<u8>::new(1));
    let see = |what: &'static str| log.borrow_mut().push(what);
    fn at<'a, T>(see: &dyn Fn(&'static str), what: &'static str, c: &'a Chan<T>) -> &'a Chan<T> {
        see(what);
        c
    }
    for _ in 0..50 {
        log.borrow_mut().clear();
        select! {
            recv(at(&see, "b", &b)) -> _ => panic!(),
            send(at(&see, "a", &a), { see("value"); 7 }) => see("arm"),
            default({ see("time"); MS }) => panic!(),
            send(at(&see, "nil", &Chan::nil()), { see("value of nil"); 1 }) => panic!(),
        }
        assert_eq!(*log.borrow(), ["b", "a", "value", "time", "nil", "value of nil", "arm"]);
        assert_eq!(a.recv(), Some(7));
    }
}

#[test]
fn default_is_taken_when_nothing_is_ready_and_only_then() {
    let (a, b) = (Chan::new(1), Chan::<u8>::new(0));
    for _ in 0..100 {
        assert!(select! { recv(a) -> _ => false, send(b, 1) => false, default => true });
        a.send(3);
        assert_eq!(select! { default => None, send(b, 1) => None, recv(a) -> v => v }, Some(3));
        a.send(3);
        assert_eq!(
            select! { default(Duration::ZERO) => None, recv(a) -> v => v, recv(b) -> v => v },
            Some(3)
        );
    }
    let t = Instant::now();
    assert!(select! { recv(a) -> _ => false, send(b, 1) => false, default(MS) => true });
    assert!(t.elapsed() >= MS);
    assert!(select! { recv(a) -> _ => false, default(Duration::ZERO) => true });
    assert_eq!((select! { default => 5 }, select! { default(MS) => 6 }), (5, 6));
    b.close();
    assert!(select! { recv(b) -> v => v.is_none(), default => false });
}

#[test]
fn a_waiting_select_is_woken_by_each_kind_of_case() {
    for kind in 0..4 {
        in_time(move || {
            let (a, b, c) = (Chan::new(0), Chan::new(0), Chan::<u8>::new(1));
            let t = thread::spawn({
                let (a, b, c) = (a.clone(), b.clone(), c.clone());
                move || {
                    select! {
                        recv(a) -> v => v.map_or(2, |v: i32| v),
                        send(b, 5) => 1,
                        recv(c) -> v => v.map_or(-1, i32::from),
                    }
                }
            });
            until_waiting(&b, 1, 0);
            let expect = match kind {
                0 => {
                    a.send(0);
                    0
                }
                1 => {
                    assert_eq!(b.recv(), Some(5));
                    1
                }
                2 => {
                    a.close();
                    2
                }
                _ => {
                    c.send(9);
                    9
                }
            };
            assert_eq!(t.join().unwrap(), expect);
            assert_eq!(
                (a.__waiting(), b.__waiting(), c.__waiting()),
                ((0, 0), (0, 0), (0, 0)),
                "it has left all queues"
            );
            assert_eq!(b.try_recv(), Err(TryRecvError::Empty));
            if kind != 2 {
                assert_eq!(a.try_send(0), Err(TrySendError::Full(0)));
            }
        });
    }
}

#[test]
fn two_selects_meet() {
    in_time(|| {
        let (a, b) = (Chan::new(0), Chan::new(0));
        let n = 3000;
        let t = thread::spawn({
            let (a, b) = (a.clone(), b.clone());
            move || {
                let mut sum = 0;
                for i in 0..n {
                    select! { send(a, i) => {}, recv(b) -> v => sum += v.unwrap() }
                }
                sum
            }
        });
        // Crosswise, so that both orders of the same two channels are locked at once.
        let mut sum = 0;
        let mut sent = 0;
        for _ in 0..n {
            select! { send(b, 1) => sent += 1, recv(a) -> v => { v.unwrap(); sum += 1 } }
        }
        assert_eq!((sum + sent, t.join().unwrap()), (n, sent));
    });
}

#[test]
fn a_select_never_meets_itself() {
    let c = Chan::new(0);
    assert!(select! { send(c, 1) => false, recv(c) -> _ => false, default(MS) => true });
    assert!(select! { recv(c) -> _ => false, send(c, 1) => false, default => true });
}

#[test]
fn an_arm_may_do_anything() {
    let mut a = Chan::new(2);
    a.send(1);
    a.close();
    let mut seen = Vec::new();
    let r: Result<u8, &str> = (|| {
        loop {
            select! {
                recv(a) -> v => match v {
                    Some(n) => { seen.push(n); continue }
                    None => a = Chan::nil(),
                },
                default => return Err("done"),
            }
        }
    })();
    assert_eq!((r, seen), (Err("done"), vec![1]));
    let list = vec![Chan::new(1)];
    let mut list = list;
    select! { send(list[0], 1u8) => list.clear() }
    assert!(list.is_empty());
    let once: u8;
    let s = String::from("moved");
    let c = Chan::new(1);
    let t = select! { send(c, 1) => { once = 1; s }, recv(c) -> _ => { once = 2; drop(s); String::new() } };
    assert_eq!((once, t.as_str()), (1, "moved"));
    let v = 'outer: {
        select! { recv(c) -> v => break 'outer v, default => {} }
        None
    };
    assert_eq!(v, Some(1));
}

#[test]
fn temporaries_live_until_the_choice_and_not_longer() {
    struct Held(Chan<u8>, Chan<&'static str>);
    impl Held {
        fn rx(&self) -> Receiver<u8> {
            self.0.receiver()
        }
    }
    impl Drop for Held {
        fn drop(&mut self) {
            self.1.send("dropped");
        }
    }
    let (c, log) = (Chan::new(1), Chan::new(4));
    c.send(1);
    select! {
        recv(&Held(c.clone(), log.clone()).rx()) -> v => {
            assert_eq!(v, Some(1));
            assert_eq!(log.try_recv(), Ok("dropped"));
        }
    }
}

#[test]
fn sixty_four_cases() {
    let c: Vec<Chan<usize>> = (0..64).map(|_| Chan::new(1)).collect();
    macro_rules! all {
        ($($i:tt)*) => { select! { $(recv(c[$i]) -> v => (v, $i),)* } };
    }
    for i in [0, 1, 31, 32, 63] {
        c[i].send(i);
        let got = all!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36
            37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
        assert_eq!(got, (Some(i), i));
    }
}

#[test]
fn one_winner_among_many_wakers() {
    in_time(|| {
        for round in 0..200 {
            let c: Vec<Chan<usize>> = (0..4).map(|_| Chan::new(0)).collect();
            let ts: Vec<_> = (0..4)
                .map(|i| {
                    let c = c[i].clone();
                    thread::spawn(move || c.send_timeout(i, LONG).is_ok())
                })
                .collect();
            if round % 2 == 0 {
                thread::yield_now();
            }
            let v = select! {
                recv(c[0]) -> v => v, recv(c[1]) -> v => v, recv(c[2]) -> v => v, recv(c[3]) -> v => v,
            };
            let first = v.unwrap();
            for i in (0..4).filter(|&i| i != first) {
                assert_eq!(c[i].recv(), Some(i), "only one was taken");
            }
            assert!(ts.into_iter().all(|t| t.join().unwrap()));
        }
    });
}
