//! `select!`, `Select`, timeouts and the channels of the clock, as goroutines use them.

mod common;
use common::*;

use gosched::chan::{
    Chan, RecvTimeoutError, Select, SendTimeoutError, TryRecvError, TrySendError, after, never, tick,
};
use gosched::sync::WaitGroup;
use gosched::{go, select, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
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
