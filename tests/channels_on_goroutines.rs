//! Channels and `select!` as goroutines use them: every value arrives once and in order, close wakes everybody, timeouts
//! lose nothing, and goroutines and plain threads are equal on a channel.

mod common;
use common::*;

use gosched::chan::{
    Chan, Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError, after,
    never, tick,
};
use gosched::sync::WaitGroup;
use gosched::{go, select, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

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
fn select_takes_from_many_until_all_are_closed() {
    rt(|| {
        const EACH: usize = 400;
        let mut chs: Vec<Chan<usize>> = [0, 0, 1, 16].map(Chan::new).into();
        for ch in &chs {
            let out = ch.clone();
            go!({
                (0..EACH).for_each(|i| out.send(i));
                out.close();
            });
        }
        let (mut counts, mut open) = ([0; 4], 4);
        while open > 0 {
            let (i, v) = select! {
                recv(chs[0]) -> v => (0, v),
                recv(chs[1]) -> v => (1, v),
                recv(chs[2]) -> v => (2, v),
                recv(chs[3]) -> v => (3, v),
            };
            match v {
                Some(v) => {
                    assert_eq!(v, counts[i], "in order on each");
                    counts[i] += 1;
                }
                None => {
                    chs[i] = Chan::nil();
                    open -= 1;
                }
            }
        }
        assert_eq!(counts, [EACH; 4]);
    });
}

#[test]
fn selects_meet_selects() {
    // Both sides select over both directions of both channels: each meeting is of two selects, and none is lost.
    rt(|| {
        let (a, b) = (Chan::new(0), Chan::new(0));
        let (sent, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (quit, wg) = (Chan::<()>::new(0), WaitGroup::new());
        let transfers = Arc::new(AtomicUsize::new(0));
        for i in 0..10usize {
            wg.add(1);
            let (a, b, quit, wg) = (a.clone(), b.clone(), quit.clone(), wg.clone());
            let (sent, received, transfers) = (sent.clone(), received.clone(), transfers.clone());
            go!({
                let mut v = i * 1_000_000;
                loop {
                    v += 1;
                    select! {
                        recv(quit) -> _ => break,
                        send(a, v) => { sent.fetch_add(v, SeqCst); }
                        send(b, v) => { sent.fetch_add(v, SeqCst); }
                        recv(a) -> w => {
                            received.fetch_add(w.unwrap(), SeqCst);
                            transfers.fetch_add(1, SeqCst);
                        }
                        recv(b) -> w => {
                            received.fetch_add(w.unwrap(), SeqCst);
                            transfers.fetch_add(1, SeqCst);
                        }
                    }
                }
                wg.done();
            });
        }
        eventually("ten thousand transfers", || transfers.load(SeqCst) >= 10_000);
        quit.close();
        wg.wait();
        assert_eq!(sent.load(SeqCst), received.load(SeqCst));
    });
}

#[test]
fn select_polls_with_default_and_waits_with_a_time() {
    rt(|| {
        let ch = Chan::new(1);
        assert!(select! { recv(ch) -> _ => false, default => true });
        let start = Instant::now();
        assert!(select! { recv(ch) -> _ => false, default(ms(5)) => true });
        assert!(start.elapsed() >= ms(5));
        assert!(select! { send(ch, 7) => true, default => false });
        assert!(select! { send(ch, 8) => false, default => true });
        assert_eq!(select! { recv(ch) -> v => v, default(LONG) => None }, Some(7));
        // Woken long before the time is over, by another goroutine.
        for _ in 0..50 {
            let out = ch.clone();
            go!({ out.send(9) });
            assert_eq!(select! { recv(ch) -> v => v, default(LONG) => None }, Some(9));
        }
        ch.close();
        assert_eq!(select! { recv(ch) -> v => v, default => Some(1) }, None);
    });
}

#[test]
fn select_chooses_each_ready_case() {
    rt(|| {
        let chs = [0, 1, 2, 3].map(|i| {
            let ch = Chan::new(1);
            ch.send(i);
            ch
        });
        let mut counts = [0; 4];
        for _ in 0..4_000 {
            let i = select! {
                recv(chs[0]) -> v => v,
                recv(chs[1]) -> v => v,
                recv(chs[2]) -> v => v,
                recv(chs[3]) -> v => v,
            }
            .unwrap();
            counts[i] += 1;
            chs[i].send(i);
        }
        // 1,000 expected each, standard deviation 27.
        assert!(counts.iter().all(|&n| n > 700), "{counts:?}");
    });
}

#[test]
fn a_nil_channel_is_never_chosen() {
    rt(|| {
        let (nil, ch) = (Chan::<usize>::nil(), Chan::new(0));
        let out = ch.clone();
        go!({
            (0..1_000).for_each(|i| out.send(i));
            out.close();
        });
        let mut next = 0;
        loop {
            let v = select! {
                recv(nil) -> _ => panic!("received from nil"),
                send(nil, 1) => panic!("sent to nil"),
                recv(never::<usize>()) -> _ => panic!("received from never"),
                recv(ch) -> v => v,
            };
            let Some(v) = v else { break };
            assert_eq!(v, next);
            next += 1;
        }
        assert_eq!(next, 1_000);
        assert!(select! { recv(nil) -> _ => false, send(nil, 1) => false, default => true });
        assert!(select! { recv(nil) -> _ => false, default(ms(1)) => true });
        assert_eq!(nil.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(nil.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(nil.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        assert_eq!(nil.send_timeout(3, ms(1)), Err(SendTimeoutError::Timeout(3)));
        let close = spawn(move || nil.close());
        assert_eq!(message(close.join()), "close of nil channel");
    });
}

#[test]
fn a_timeout_comes_not_before_its_time_and_a_value_before_it() {
    rt(|| {
        let ch = Chan::new(0);
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(ch.recv_timeout(ms(3)), Err(RecvTimeoutError::Timeout));
            assert_eq!(ch.send_timeout(5, ms(3)), Err(SendTimeoutError::Timeout(5)));
            assert!(start.elapsed() >= ms(6));
        }
        for i in 0..100 {
            let out = ch.clone();
            go!({ out.send(i) });
            assert_eq!(ch.recv_timeout(LONG), Ok(i));
            let from = ch.clone();
            let r = spawn(move || from.recv());
            assert_eq!(ch.send_timeout(i, Duration::MAX), Ok(()));
            assert_eq!(r.join().unwrap(), Some(i));
        }
        let from = ch.clone();
        let r = spawn(move || from.recv_timeout(LONG));
        settle();
        ch.close();
        assert_eq!(r.join().unwrap(), Err(RecvTimeoutError::Closed));
        assert_eq!(ch.send_timeout(1, LONG), Err(SendTimeoutError::Closed(1)));
    });
}

#[test]
fn timeouts_race_with_values_and_none_is_lost() {
    rt(|| {
        let census = Census::default();
        for cap in [0, 2] {
            let ch = Chan::new(cap);
            let stop = Arc::new(AtomicBool::new(false));
            let senders: Vec<_> = (0..6)
                .map(|s| {
                    let (ch, census) = (ch.clone(), census.clone());
                    spawn(move || {
                        let (mut rng, mut sent) = (Rng(s + 1), 0);
                        for i in 0..300 {
                            match ch
                                .send_timeout(census.make(i), Duration::from_micros(rng.below(100) as u64))
                            {
                                Ok(()) => sent += 1,
                                Err(SendTimeoutError::Timeout(v)) => {
                                    assert_eq!(v.id, i, "the value comes back")
                                }
                                Err(SendTimeoutError::Closed(_)) => panic!("nobody closes"),
                            }
                        }
                        sent
                    })
                })
                .collect();
            let receivers: Vec<_> = (0..6)
                .map(|r| {
                    let (ch, stop) = (ch.clone(), stop.clone());
                    spawn(move || {
                        let (mut rng, mut received) = (Rng(r + 100), 0);
                        while !stop.load(SeqCst) {
                            if ch.recv_timeout(Duration::from_micros(rng.below(100) as u64)).is_ok() {
                                received += 1;
                            }
                        }
                        received
                    })
                })
                .collect();
            let sent: usize = senders.into_iter().map(|h| h.join().unwrap()).sum();
            stop.store(true, SeqCst);
            let received: usize = receivers.into_iter().map(|h| h.join().unwrap()).sum();
            let left = ch.try_iter().count();
            assert_eq!(sent, received + left, "cap {cap}");
        }
        assert_eq!(census.alive(), 0);
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
fn after_and_tick_tell_the_time() {
    rt(|| {
        let start = Instant::now();
        let at = after(ms(5)).recv().unwrap();
        assert!(at >= start + ms(5) && at <= Instant::now());
        let ticks = tick(ms(2));
        let seen: Vec<Instant> = (0..5).map(|_| ticks.recv().unwrap()).collect();
        assert!(seen.is_sorted());
        assert!(start.elapsed() >= ms(5 + 5 * 2));
        // A thousand at once, and each has its time.
        let hs: Vec<_> = (0..1_000u64)
            .map(|i| {
                spawn(move || {
                    let (start, d) = (Instant::now(), Duration::from_micros(i * 7 % 5_000));
                    after(d).recv().unwrap();
                    assert!(start.elapsed() >= d);
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
        // A worker with a heartbeat and an end.
        let (work, mut beats, mut done) = (Chan::new(0), 0, 0);
        let (out, beat) = (work.clone(), tick(ms(1)));
        go!({
            for i in 0..20 {
                gosched::time::sleep(Duration::from_micros(300));
                out.send(i);
            }
            out.close();
        });
        while select! {
            recv(work) -> v => { done += 1; v.is_some() }
            recv(beat) -> _ => { beats += 1; true }
            recv(after(LONG)) -> _ => panic!("too slow"),
        } {}
        assert_eq!(done, 21);
        eventually("a beat", || beats > 0 || select! { recv(beat) -> _ => true, default => false });
    });
}

#[test]
fn select_with_a_list_made_at_run_time() {
    rt(|| {
        const N: usize = 40;
        let ins: Vec<Chan<usize>> = (0..N).map(|i| Chan::new(i % 3)).collect();
        for ch in &ins {
            let out = ch.clone();
            go!({
                (0..25).for_each(|i| out.send(i));
                out.close();
            });
        }
        let outs: Chan<usize> = Chan::new(0);
        let sink = outs.clone();
        let taken = spawn(move || sink.iter().count());
        let mut select = Select::new();
        let mut of_case = std::collections::HashMap::new();
        for (i, ch) in ins.iter().enumerate() {
            of_case.insert(select.recv(ch), i);
        }
        let out_case = select.send(&outs);
        let (mut next, mut sent) = ([0; N], 0);
        while !of_case.is_empty() {
            let op = select.select();
            let case = op.index();
            if case == out_case {
                op.send(&outs, sent);
                sent += 1;
                continue;
            }
            let i = of_case[&case];
            match op.recv(&ins[i]) {
                Some(v) => {
                    assert_eq!(v, next[i]);
                    next[i] += 1;
                }
                None => {
                    select.remove(case);
                    of_case.remove(&case);
                }
            }
        }
        assert_eq!(next, [25; N]);
        outs.close();
        assert_eq!(taken.join().unwrap(), sent);
        let (a, b) = (Chan::<u8>::new(0), Chan::<u8>::new(1));
        let mut select = Select::new();
        select.recv(&a);
        let full = select.send(&b);
        let op = select.try_select().unwrap();
        assert_eq!(op.index(), full);
        op.send(&b, 1);
        assert!(select.try_select().is_err());
        let start = Instant::now();
        assert!(select.select_timeout(ms(3)).is_err());
        assert!(start.elapsed() >= ms(3));
    });
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
