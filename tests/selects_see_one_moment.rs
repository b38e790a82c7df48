//! `select!` and the polls act on the channels as they are at one moment, and a channel named twice in a `select!` is two
//! cases: what Go's runtime asks of them in chan_test.go.

mod common;
use common::*;

use gosched::chan::{Chan, Select, select};
use gosched::{JoinHandle, go, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

/// How often a race is run.
const ROUNDS: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

/// Runs `f` in a goroutine, and comes back when that is about to call it: now this moment, now that one before or after.
fn beside<T: Send + 'static>(round: usize, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let started = Arc::new(AtomicBool::new(false));
    let theirs = started.clone();
    let running = spawn(move || {
        theirs.store(true, SeqCst);
        (0..round * 7 % 40).for_each(|_| std::hint::spin_loop());
        f()
    });
    while !started.load(SeqCst) {
        yield_now();
    }
    (0..round * 11 % 60).for_each(|_| std::hint::spin_loop());
    running
}

/// A buffered value is taken, or the channel is closed: there is no moment between the two in which a poll finds nothing.
#[test]
fn a_poll_beside_a_close_finds_the_value_or_the_end() {
    rt(|| {
        for i in 0..ROUNDS {
            let c = Chan::new(1);
            c.send(7);
            let theirs = c.clone();
            let poll = beside(i, move || match i % 3 {
                0 => theirs.try_recv().map_err(|e| assert!(e.is_closed(), "{e:?}")).ok(),
                1 => select! { recv(theirs) -> v => v, default => panic!("neither a value nor the end") },
                _ => {
                    let mut list = Select::new();
                    list.recv(&theirs);
                    list.try_select().expect("neither a value nor the end").recv(&theirs)
                }
            });
            c.close();
            let (ours, theirs) = (c.recv(), poll.join().unwrap());
            assert_eq!([ours, theirs].iter().flatten().collect::<Vec<_>>(), [&7], "once");
        }
    });
}

/// One of two channels is ready at any time: the second becomes so before the first ceases to be. A `select!` with a
/// default that looked at one after the other could miss both.
#[test]
fn a_select_never_takes_the_default_while_one_of_its_channels_is_ready() {
    rt(|| {
        for i in 0..ROUNDS {
            let by_close = i % 2 == 0;
            let (a, b) = (Chan::new(1), Chan::new(if by_close { 0 } else { 1 }));
            a.send(1);
            let (a2, b2) = (a.clone(), b.clone());
            let chosen = beside(i, move || match i % 4 {
                0 | 1 => select! { recv(a2) -> _ => true, recv(b2) -> _ => true, default => false },
                2 => select! { recv(b2) -> _ => true, default => false, recv(a2) -> _ => true },
                _ => {
                    let mut list = Select::new();
                    let first = list.recv(&a2);
                    list.recv(&b2);
                    list.try_select()
                        .map(|op| if op.index() == first { op.recv(&a2) } else { op.recv(&b2) })
                        .is_ok()
                }
            });
            if by_close {
                b.close();
            } else {
                b.send(2);
            }
            let _ = a.try_recv();
            assert!(chosen.join().unwrap(), "round {i}: one of them was ready all the time");
        }
    });
}

/// The same for sends: the second channel gets room before the first is filled.
#[test]
fn a_select_never_takes_the_default_while_one_of_its_channels_has_room() {
    rt(|| {
        for i in 0..ROUNDS {
            let (a, b) = (Chan::new(1), Chan::new(1));
            b.send(0);
            let (a2, b2) = (a.clone(), b.clone());
            let chosen = beside(i, move || match i % 2 {
                0 => select! { send(a2, 1) => true, send(b2, 1) => true, default => false },
                _ => select! { default => false, send(b2, 1) => true, send(a2, 1) => true },
            });
            b.recv();
            let _ = a.try_send(2);
            assert!(chosen.join().unwrap(), "round {i}: one of them had room all the time");
        }
    });
}

/// Parked in one queue twice: woken elsewhere it must leave it twice, and not take those with it who stand behind it.
#[test]
fn a_channel_named_twice_is_left_twice() {
    rt(|| {
        for round in 0..300 {
            let (c, d, done) = (Chan::new(0), Chan::new(0), Chan::new(2));
            let (c2, d2, done2) = (c.clone(), d.clone(), done.clone());
            go!({
                let got = match round % 2 {
                    0 => {
                        select! { recv(c2) -> v => v, recv(c2) -> v => v, recv(d2) -> v => v, recv(c2) -> v => v }
                    }
                    _ => {
                        let mut list = Select::new();
                        (0..3).for_each(|_| _ = list.recv(&c2));
                        let from_d = list.recv(&d2);
                        let op = list.select();
                        assert_eq!(op.index(), from_d);
                        op.recv(&d2)
                    }
                };
                done2.send(got.unwrap());
            });
            eventually("the select waits", || d.__waiting() == (0, 1));
            let behind = {
                let c = c.clone();
                spawn(move || c.recv())
            };
            // Three for the select, one for the one behind.
            eventually("the other waits", || c.__waiting() == (0, 4));
            d.send(7);
            assert_eq!(done.recv(), Some(7));
            assert_eq!(c.__waiting(), (0, 1), "it has left nothing behind and taken nobody along");
            c.send(8);
            assert_eq!(behind.join().unwrap(), Some(8));
        }
    });
}

/// Several cases at one channel are ready together, also for a `select!` that is asleep when that comes: each is chosen.
#[test]
fn of_several_cases_at_one_channel_a_sleeping_select_takes_each() {
    const N: usize = 600;
    rt(|| {
        let (c, started) = (Chan::new(0), Chan::new(0));
        let selects = {
            let (c, started) = (c.clone(), started.clone());
            spawn(move || {
                let mut seen = [0; 3];
                for i in started.iter() {
                    let case = match i % 3 {
                        0 => select! { send(c, 0) => 0, send(c, 1) => 1, send(c, 2) => 2 },
                        1 => select! { recv(c) -> _ => 0, recv(c) -> _ => 1, recv(c) -> _ => 2 },
                        _ => {
                            let mut list = Select::new();
                            (0..3).for_each(|_| _ = list.recv(&c));
                            let op = list.select();
                            let case = op.index();
                            op.recv(&c);
                            case
                        }
                    };
                    seen[case] += 1;
                }
                seen
            })
        };
        for i in 0..N {
            started.send(i);
            let asleep = if i % 3 == 0 { (3, 0) } else { (0, 3) };
            eventually("it is asleep", || c.__waiting() == asleep);
            if i % 3 == 0 {
                c.recv();
            } else {
                c.send(9);
            }
        }
        started.close();
        // 200 expected each, standard deviation 12.
        let seen = selects.join().unwrap();
        assert!(seen.iter().all(|n| (100..300).contains(n)), "{seen:?}");
    });
}

/// Two sends to one channel, whether the receiver is there first, or the `select!`, or there is a buffer between them.
#[test]
fn two_sends_to_one_channel_are_chosen_alike() {
    const N: usize = 1_000;
    rt(|| {
        for cap in [0, 1, N] {
            let c = Chan::new(cap);
            let from = c.clone();
            let ones = spawn(move || {
                let receive = |i: usize| {
                    if i.is_multiple_of(2) {
                        yield_now(); // now the one waits for the other, now the other for the one
                    }
                    from.recv().unwrap()
                };
                (0..N).map(receive).sum::<usize>()
            });
            for _ in 0..N {
                select! { send(c, 1) => {}, send(c, 0) => {} }
            }
            // 500 expected, standard deviation 16.
            let ones = ones.join().unwrap();
            assert!((300..700).contains(&ones), "{ones} of {N} with room for {cap}");
        }
    });
}

/// Two goroutines, each ready to send and to receive on one channel: they meet each other, never themselves.
#[test]
fn of_two_selects_on_one_channel_each_meets_the_other() {
    const N: usize = 3_000;
    rt(|| {
        for cap in [0, 10] {
            let (c, sums) = (Chan::new(cap), Arc::new(AtomicUsize::new(0)));
            let gs = [1usize, 2].map(|me| {
                let (c, sums) = (c.clone(), sums.clone());
                spawn(move || {
                    let got = |v: Option<usize>| {
                        let v = v.unwrap();
                        assert!(cap > 0 || v != me, "it received what it sent");
                        sums.fetch_add(v, SeqCst);
                    };
                    for i in 0..N {
                        if me == 1 || i % 2 == 0 {
                            select! { send(c, me) => { sums.fetch_sub(me, SeqCst); }, recv(c) -> v => got(v) }
                        } else {
                            select! { recv(c) -> v => got(v), send(c, me) => { sums.fetch_sub(me, SeqCst); } }
                        }
                    }
                })
            });
            gs.into_iter().for_each(|g| g.join().unwrap());
            let left: usize = c.try_iter().sum();
            assert_eq!(sums.load(SeqCst).wrapping_add(left), 0, "what was sent is what was received");
        }
    });
}

/// Everything there is on four channels: a sender and a receiver of each, a `select!` that sends on all and one that
/// receives from all, where a channel that has had its share becomes nil. Nobody is left over.
#[test]
fn senders_receivers_and_selects_share_four_channels() {
    const N: usize = if cfg!(debug_assertions) { 500 } else { 3_000 };
    rt(|| {
        let chs: [Chan<usize>; 4] = [0, 0, 2, 3].map(Chan::new);
        let mut gs = Vec::new();
        for c in &chs {
            let (to, from) = (c.sender(), c.receiver());
            gs.push(spawn(move || (0..N).map(|i| to.send(i)).count()));
            gs.push(spawn(move || (0..N).filter(|_| from.recv().is_some()).count()));
        }
        let (mut to, mut from) = (chs.clone(), chs);
        gs.push(spawn(move || {
            let mut sent = [0; 4];
            for i in 0..4 * N {
                let k = select! {
                    send(to[3], i) => 3,
                    send(to[2], i) => 2,
                    send(to[0], i) => 0,
                    send(to[1], i) => 1,
                };
                sent[k] += 1;
                if sent[k] == N {
                    to[k] = Chan::nil();
                }
            }
            sent.iter().sum::<usize>() / 4
        }));
        gs.push(spawn(move || {
            let mut got = [0; 4];
            for _ in 0..4 * N {
                let k = select! {
                    recv(from[0]) -> _ => 0,
                    recv(from[1]) -> _ => 1,
                    recv(from[2]) -> _ => 2,
                    recv(from[3]) -> _ => 3,
                };
                got[k] += 1;
                if got[k] == N {
                    from[k] = Chan::nil();
                }
            }
            got.iter().sum::<usize>() / 4
        }));
        assert!(gs.into_iter().all(|g| g.join().unwrap() == N));
    });
}
