//! Channels as goroutines use them: every value arrives once and in order, close wakes everybody, and goroutines and plain
//! threads are equal on a channel. (selects_on_goroutines.rs has `select!` and timeouts.)

mod common;
use common::*;

use gosched::chan::{Chan, Receiver, Sender, never};
use gosched::sync::WaitGroup;
use gosched::{go, select, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::thread;
use std::time::Duration;

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);

/// `senders` send the numbers below `senders * each`, `receivers` take them; all of them, once each, in the order of
/// each sender at each receiver.
fn all_to_all(cap: usize, senders: usize, receivers: usize, each: usize) {
    let ch = Chan::new(cap);
    let rs: Vec<_> = (0..receivers)
        .map(|_| {
            let ch = ch.receiver();
            spawn(move || ch.iter().collect::<Vec<(usize, usize)>>())
        })
        .collect();
    let ss: Vec<_> = (0..senders)
        .map(|s| {
            let ch = ch.sender();
            spawn(move || (0..each).for_each(|i| ch.send((s, i))))
        })
        .collect();
    ss.into_iter().for_each(|s| s.join().unwrap());
    ch.close();
    let mut all = Vec::new();
    for r in rs {
        let got = r.join().unwrap();
        for s in 0..senders {
            let of_one: Vec<usize> = got.iter().filter(|v| v.0 == s).map(|v| v.1).collect();
            assert!(of_one.is_sorted(), "cap {cap}: the order of one sender, at one receiver");
        }
        all.extend(got);
    }
    all.sort_unstable();
    let expected = (0..senders).flat_map(|s| (0..each).map(move |i| (s, i)));
    assert!(all.into_iter().eq(expected), "cap {cap}: every value exactly once");
}

#[test]
fn every_value_arrives_exactly_once() {
    rt(|| {
        for cap in [0, 1, 3, 100] {
            all_to_all(cap, 8, 8, 300);
            all_to_all(cap, 50, 2, 30);
            all_to_all(cap, 1, 20, 500);
        }
    });
}

#[test]
fn one_sender_and_one_receiver_keep_the_order() {
    rt(|| {
        for cap in [0, 1, 7, 64] {
            let ch = Chan::new(cap);
            let out = ch.clone();
            go!({
                (0..5_000).for_each(|i| out.send(i));
                out.close();
            });
            assert!(ch.iter().eq(0..5_000), "cap {cap}");
        }
    });
}

#[test]
fn parked_receivers_are_served_in_the_order_of_their_coming() {
    const N: usize = 20;
    let round = || {
        let (ch, got) = (Chan::new(0), Chan::new(N));
        for i in 0..N {
            let (ch, got, started) = (ch.clone(), got.clone(), Chan::<()>::new(0));
            let here = started.clone();
            go!({
                here.close();
                let v: usize = ch.recv().unwrap();
                got.send((i, v));
            });
            started.recv();
            settle(); // it has gone on to its park by now, unless the machine is very busy
        }
        (0..N).for_each(|v| ch.send(v));
        let pairs: Vec<_> = (0..N).map(|_| got.recv().unwrap()).collect();
        let mut values: Vec<_> = pairs.iter().map(|p| p.1).collect();
        values.sort_unstable();
        assert!(values.into_iter().eq(0..N));
        pairs.iter().all(|(i, v)| i == v)
    };
    // In any other order than the one of their coming, no round in which nothing was late would do.
    rt(move || assert!((0..50).any(|_| round()), "in no round in order"));
}

#[test]
fn close_wakes_all_parked_receivers() {
    rt(|| {
        for cap in [0, 4] {
            let ch = Chan::<u8>::new(cap);
            let hs: Vec<_> = (0..200)
                .map(|i| {
                    let ch = ch.clone();
                    spawn(move || match i % 3 {
                        0 => ch.recv(),
                        1 => select! { recv(ch) -> v => v, recv(never::<u8>()) -> v => v },
                        _ => ch.recv_timeout(LONG).ok(),
                    })
                })
                .collect();
            settle();
            ch.close();
            assert!(hs.into_iter().all(|h| h.join().unwrap().is_none()));
        }
    });
}

#[test]
fn close_wakes_all_parked_senders_and_they_panic() {
    rt(|| {
        let census = Census::default();
        for cap in [0, 4] {
            let ch = Chan::new(cap);
            for i in 0..cap {
                ch.send(census.make(i));
            }
            let hs: Vec<_> = (0..12)
                .map(|i| {
                    let (ch, v) = (ch.clone(), census.make(i));
                    spawn(move || match i % 2 {
                        0 => ch.send(v),
                        _ => select! { send(ch, v) => {}, recv(never::<u8>()) -> _ => {} },
                    })
                })
                .collect();
            let checked: Vec<_> = (0..50)
                .map(|i| {
                    let (ch, v) = (ch.clone(), census.make(i));
                    spawn(move || ch.send_checked(v).map_err(|e| e.0.id))
                })
                .collect();
            settle();
            ch.close();
            for h in hs {
                assert_eq!(message(h.join()), "send on closed channel");
            }
            for (i, h) in checked.into_iter().enumerate() {
                assert_eq!(h.join().unwrap(), Err(i), "the value comes back");
            }
            assert_eq!(ch.iter().count(), cap, "what was in it stays, what waited is not in it");
        }
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn ten_thousand_parked_on_one_channel_are_woken_by_close() {
    rt(|| {
        let (ch, wg) = (Chan::<()>::new(0), WaitGroup::new());
        let here = Arc::new(AtomicUsize::new(0));
        for _ in 0..10_000 {
            wg.add(1);
            let (ch, wg, here) = (ch.clone(), wg.clone(), here.clone());
            go!({
                here.fetch_add(1, SeqCst);
                assert_eq!(ch.recv(), None);
                wg.done();
            });
        }
        eventually("all have started", || here.load(SeqCst) == 10_000);
        settle();
        ch.close();
        wg.wait();
    });
}

#[test]
fn goroutines_and_plain_threads_share_a_channel() {
    rt(|| {
        for cap in [0, 3] {
            let ch = Chan::new(cap);
            let count = |rx: Receiver<usize>| rx.iter().fold((0, 0), |(n, sum), v| (n + 1, sum + v));
            let rg: Vec<_> =
                (0..4).map(|_| (ch.receiver(), count)).map(|(r, f)| spawn(move || f(r))).collect();
            let rt: Vec<_> =
                (0..2).map(|_| (ch.receiver(), count)).map(|(r, f)| thread::spawn(move || f(r))).collect();
            let work = |tx: Sender<usize>| (1..=300).for_each(|i| tx.send(i));
            let sg: Vec<_> = (0..4).map(|_| ch.sender()).map(|s| spawn(move || work(s))).collect();
            let st: Vec<_> = (0..2).map(|_| ch.sender()).map(|s| thread::spawn(move || work(s))).collect();
            sg.into_iter().for_each(|h| h.join().unwrap());
            st.into_iter().for_each(|h| h.join().unwrap());
            ch.close();
            let results = rg.into_iter().map(|h| h.join()).chain(rt.into_iter().map(|h| h.join()));
            let total = results.map(Result::unwrap).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            assert_eq!(total, (6 * 300, 6 * 300 * 301 / 2), "cap {cap}");
        }
    });
}

#[test]
fn a_plain_thread_and_a_goroutine_play_ping_pong() {
    rt(|| {
        let (ping, pong) = (Chan::new(0), Chan::new(0));
        let (from, to) = (ping.receiver(), pong.sender());
        let t = thread::spawn(move || from.iter().for_each(|v: u32| to.send(v + 1)));
        for i in 0..500 {
            ping.send(i);
            assert_eq!(pong.recv(), Some(i + 1));
        }
        ping.close();
        t.join().unwrap();
    });
}

#[test]
fn values_are_dropped_exactly_once() {
    let census = Census::default();
    let c = census.clone();
    rt(move || {
        // Received, left in the buffer, given back, waiting while the goroutine dies with the channel's other end open.
        let ch = Chan::new(10);
        let hs: Vec<_> = (0..20)
            .map(|s| {
                let (ch, c) = (ch.clone(), c.clone());
                spawn(move || {
                    for i in 0..50 {
                        match i % 3 {
                            0 => ch.send(c.make(s)),
                            1 => drop(ch.try_send(c.make(s))),
                            _ => select! {
                                send(ch, c.make(s)) => {},
                                recv(ch) -> v => drop(v),
                            },
                        }
                    }
                })
            })
            .collect();
        let (stop, stopped) = (Chan::<()>::new(0), Chan::<()>::new(0));
        let (quit, end, from) = (stop.clone(), stopped.clone(), ch.clone());
        go!({
            loop {
                select! {
                    recv(from) -> v => drop(v),
                    recv(quit) -> _ => break,
                }
            }
            end.close();
        });
        hs.into_iter().for_each(|h| h.join().unwrap());
        stop.close();
        stopped.recv();
        while ch.try_send(c.make(0)).is_ok() {}
        assert_eq!(c.alive(), 10, "what the buffer holds");
        drop(ch);
    });
    // The goroutines' own handles go with them, a moment after their results.
    eventually("all dropped", || census.alive() == 0);
}

#[test]
fn a_token_goes_round_a_ring_of_a_thousand() {
    rt(|| {
        const N: usize = 1_000;
        let first = Chan::new(0);
        let mut last = first.clone();
        for _ in 0..N {
            let (from, to) = (last, Chan::new(0));
            last = to.clone();
            go!({
                for v in &from {
                    to.send(v + 1);
                }
                to.close();
            });
        }
        for round in 0..5 {
            first.send(round);
            assert_eq!(last.recv(), Some(round + N));
        }
        // All at once.
        let out = first.clone();
        go!({
            (0..100).for_each(|v| out.send(v));
            out.close();
        });
        assert!(last.iter().eq(N..N + 100));
    });
}

#[test]
fn a_sieve_finds_the_primes() {
    fn filter(from: Chan<u32>, prime: u32) -> Chan<u32> {
        let to = Chan::new(0);
        let out = to.clone();
        go!({
            for n in &from {
                if n % prime != 0 {
                    out.send(n);
                }
            }
            out.close();
        });
        to
    }
    rt(|| {
        let mut ch = Chan::new(0);
        let out = ch.clone();
        go!({
            (2..1_000).for_each(|n| out.send(n));
            out.close();
        });
        let mut primes = Vec::new();
        while let Some(prime) = ch.recv() {
            primes.push(prime);
            ch = filter(ch, prime);
        }
        let expected = (2..1_000u32).filter(|n| (2..*n).all(|d| n % d != 0));
        assert!(primes.into_iter().eq(expected));
    });
}

#[test]
fn skynet_of_ten_thousand_leaves() {
    fn skynet(up: Chan<u64>, number: u64, size: u64) {
        if size == 1 {
            return up.send(number);
        }
        let ch = Chan::new(0);
        for i in 0..10 {
            let up = ch.clone();
            go!({ skynet(up, number + i * (size / 10), size / 10) });
        }
        up.send((0..10).map(|_| ch.recv().unwrap()).sum());
    }
    rt(|| {
        let ch = Chan::new(0);
        let up = ch.clone();
        go!({ skynet(up, 0, 10_000) });
        assert_eq!(ch.recv(), Some((0..10_000).sum()));
    });
}

#[test]
fn ping_pong_goes_on_beside_hogs() {
    rt(|| {
        let stop = Arc::new(AtomicBool::new(false));
        // Ends the hogs also where an assertion below fails.
        struct Stop(Arc<AtomicBool>);
        impl Drop for Stop {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let _stop = Stop(stop.clone());
        let wg = WaitGroup::new();
        for kind in 0..4 {
            wg.add(1);
            let (stop, wg) = (stop.clone(), wg.clone());
            go!({
                let idle = Chan::<u8>::new(0);
                while !stop.load(Relaxed) {
                    match kind {
                        // Calls the runtime all the time.
                        0 => yield_now(),
                        // Calls it, and never parks.
                        1 => assert!(idle.try_recv().is_err()),
                        // Does not call it at all.
                        _ => std::hint::spin_loop(),
                    }
                }
                wg.done();
            });
        }
        let (ping, pong) = (Chan::new(0), Chan::new(0));
        let (from, to) = (ping.receiver(), pong.sender());
        go!({ from.iter().for_each(|v: u32| to.send(v + 1)) });
        for i in 0..200 {
            ping.send(i);
            assert_eq!(pong.recv_timeout(LONG), Ok(i + 1));
        }
        ping.close();
        stop.store(true, SeqCst);
        wg.wait();
    });
}
