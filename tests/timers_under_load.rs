//! Timers when many goroutines set, take and leave them at once: none is forgotten, none comes twice, and `stop` and
//! `reset` tell the truth. What Go's own tests ask of timers since 1.23, on goroutines. (Single timers:
//! timers_on_goroutines.rs, function_timers.rs.)

mod common;
use common::*;

use gosched::chan::{Chan, Receiver, TryRecvError, select};
use gosched::time::{self, Ticker, Timer, after, after_func};
use gosched::{go, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

const NS: Duration = Duration::from_nanos(1);
const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Fewer where it takes longer.
const fn times(n: usize) -> usize {
    if cfg!(debug_assertions) { n / 5 } else { n }
}

/// Receives; fails the test where nothing comes.
#[track_caller]
fn comes<T>(c: &Receiver<T>) -> T {
    select! {
        recv(c) -> v => v.expect("open"),
        default(patience()) => panic!("it was forgotten"),
    }
}

/// Timers that are due when they are set, of every kind, one after the other: each time the scheduler may just have looked.
#[test]
fn no_timer_of_zero_is_forgotten() {
    rt(|| {
        let n = times(20_000);
        let by_channel = spawn(move || {
            for _ in 0..n {
                comes(Timer::new(Duration::ZERO).receiver());
            }
        });
        let again = spawn(move || {
            let t = Timer::new(HOUR);
            for _ in 0..n {
                t.reset(Duration::ZERO);
                comes(t.receiver());
            }
        });
        let c = Chan::new(1);
        for i in 0..n {
            let theirs = c.clone();
            if i % 2 == 0 {
                after_func(Duration::ZERO, move || theirs.send(i));
            } else {
                let t = after_func(HOUR, move || theirs.send(i));
                assert!(t.reset(Duration::ZERO));
            }
            assert_eq!(comes(&c.receiver()), i);
        }
        by_channel.join().unwrap();
        again.join().unwrap();
    });
}

/// As short a period as there is, with one reader and with many, beside goroutines that sleep as short.
#[test]
fn a_ticker_of_a_nanosecond_feeds_one_and_many() {
    rt(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let others = {
            let stop = stop.clone();
            spawn(move || {
                while !stop.load(SeqCst) {
                    time::sleep(NS);
                }
            })
        };
        let mut last = Instant::now();
        let t = Arc::new(Ticker::new(NS));
        for _ in 0..100 {
            let at = comes(t.receiver());
            assert!(at > last);
            last = at;
        }
        let gs: Vec<_> = (0..10)
            .map(|_| {
                let t = t.clone();
                spawn(move || (0..100).map(|_| comes(t.receiver())).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<_> = gs.into_iter().flat_map(|g| g.join().unwrap()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 1_000, "no tick was given twice");
        t.stop();
        assert_eq!(t.receiver().try_recv(), Err(TryRecvError::Empty));
        stop.store(true, SeqCst);
        others.join().unwrap();
    });
}

/// Two timers race in a `select!`. Nobody has received what the other one has to give, so it counts as set, due or not,
/// and when it is stopped or put off nothing comes of it.
#[test]
fn the_loser_of_a_select_is_still_set() {
    rt(|| {
        let gs: Vec<_> = (0..100)
            .map(|i| {
                spawn(move || {
                    for n in 0..times(50) {
                        let (a, b) = (Timer::new(MS), Timer::new(MS));
                        let (won, lost) = select! {
                            recv(a.receiver()) -> _ => (&a, &b),
                            recv(b.receiver()) -> _ => (&b, &a),
                        };
                        let set = if (i + n) % 2 == 0 { lost.stop() } else { lost.reset(HOUR) };
                        assert!(set, "nobody has received it");
                        assert_eq!(lost.receiver().try_recv(), Err(TryRecvError::Empty));
                        assert!(!won.stop() && !won.reset(HOUR), "it was received");
                        assert_eq!(won.receiver().try_recv(), Err(TryRecvError::Empty));
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
    });
}

/// One ticker, and one timer, that many goroutines take from at once, and set anew: each value goes to one of them.
#[test]
fn many_take_from_one_clock() {
    rt(|| {
        let ticker = Arc::new(Ticker::new(US));
        let timer = Arc::new(Timer::new(NS));
        let ticks = Arc::new(AtomicUsize::new(0));
        let gs: Vec<_> = (0..8)
            .map(|i| {
                let (ticker, timer, ticks) = (ticker.clone(), timer.clone(), ticks.clone());
                spawn(move || {
                    for _ in 0..times(5_000) {
                        if i % 2 == 0 {
                            select! {
                                recv(ticker.receiver()) -> at => { at.unwrap(); ticks.fetch_add(1, SeqCst); }
                                recv(after(MS)) -> _ => {},
                            }
                        } else {
                            select! { recv(timer.receiver()) -> at => _ = at.unwrap(), default => {} }
                            timer.reset(NS);
                        }
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
        assert!(ticks.load(SeqCst) > 0);
        timer.reset(NS);
        comes(timer.receiver());
        assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
        comes(ticker.receiver());
    });
}

/// A hundred timers, moved about in random order: far away, stopped, nearer, stopped, now. Every answer is known.
#[test]
fn timers_that_are_moved_about_come_in_the_end() {
    rt(|| {
        let mut rng = Rng(47_762);
        let minutes = |n: u32| Duration::from_secs(60) * n;
        for _ in 0..times(50) {
            let all: Vec<_> = (0..100)
                .map(|i| {
                    // Half of them by a function, which is in the heap from the start; half by a channel that somebody
                    // waits on.
                    let c = Chan::new(1);
                    let theirs = c.clone();
                    if i % 2 == 0 {
                        (Arc::new(after_func(HOUR, move || theirs.send(()))), c)
                    } else {
                        let t = Arc::new(Timer::new(HOUR));
                        let waits = t.clone();
                        go!({
                            comes(waits.receiver());
                            theirs.send(());
                        });
                        (t, c)
                    }
                })
                .collect();
            let mut left: Vec<(usize, usize)> = (0..all.len()).map(|i| (i, 0)).collect();
            while !left.is_empty() {
                let k = rng.below(left.len());
                let (i, state) = &mut left[k];
                let (t, c) = &all[*i];
                match *state {
                    0 => assert!(t.reset(minutes(3)), "it was set"),
                    1 | 3 | 5 => assert!(t.stop(), "it was set"),
                    2 => assert!(!t.reset(minutes(1)), "it was stopped"),
                    4 => assert!(!t.reset(minutes(2)), "it was stopped"),
                    6 => assert!(!t.reset(Duration::ZERO), "it was stopped"),
                    _ => {
                        comes(&c.receiver());
                        assert!(!t.stop());
                        left.swap_remove(k);
                        continue;
                    }
                }
                *state += 1;
            }
        }
    });
}

/// What is moved to "now" again and again, stopped in between, comes after the last time.
#[test]
fn a_timer_moved_earlier_again_and_again_is_not_lost() {
    rt(|| {
        for i in 0..times(1_000) {
            let c = Chan::new(1);
            let theirs = c.clone();
            let t = after_func(HOUR, move || theirs.send(()));
            let mut called = false;
            for _ in 0..10 {
                if !t.stop() && !called {
                    comes(&c.receiver()); // it was quicker
                    called = true;
                }
                t.reset(if i % 2 == 0 { Duration::ZERO } else { NS });
            }
            if !called {
                comes(&c.receiver());
            }
            assert!(c.is_empty());
        }
    });
}

/// Who waits on a stopped clock is let go by something else, or by a reset; never by the clock as it was.
#[test]
fn a_stopped_clock_gives_nothing_to_who_comes_to_wait() {
    rt(|| {
        for round in 0..50 {
            let (timer, ticker) = (Arc::new(Timer::new(Duration::ZERO)), Arc::new(Ticker::new(NS)));
            time::sleep(10 * US); // both are due
            assert!(timer.stop());
            ticker.stop();
            let quit = Chan::<()>::new(0);
            let waiters = |n: usize| -> Vec<_> {
                (0..n)
                    .map(|_| {
                        let (timer, ticker, quit) = (timer.clone(), ticker.clone(), quit.clone());
                        spawn(move || {
                            select! {
                                recv(timer.receiver()) -> at => at.is_some(),
                                recv(ticker.receiver()) -> at => at.is_some(),
                                recv(quit) -> _ => false,
                            }
                        })
                    })
                    .collect()
            };
            let (one, other) = (waiters(2), waiters(2));
            eventually("they wait", || quit.__waiting() == (0, 4));
            if round % 2 == 0 {
                assert!(one.iter().chain(&other).all(|g| !g.is_finished()));
                assert!(!timer.reset(Duration::ZERO), "it was stopped");
                eventually("one has it", || quit.__waiting() == (0, 3));
                assert!(!timer.stop(), "it was received");
            }
            quit.close();
            let got = one.into_iter().chain(other).map(|g| g.join().unwrap() as u32);
            assert_eq!(got.sum::<u32>(), 1 - round % 2);
        }
    });
}

/// The longest times never come, and hold up nobody.
#[test]
fn sleepers_for_ever_disturb_nobody() {
    rt(|| {
        let woken = Arc::new(AtomicUsize::new(0));
        for i in 0..20 {
            let woken = woken.clone();
            go!({
                match i % 4 {
                    0 => time::sleep(Duration::MAX),
                    1 => time::sleep(Duration::from_secs(i64::MAX as u64 / 1_000_000_000)),
                    2 => _ = after(Duration::MAX).recv(),
                    _ => _ = Timer::new(Duration::MAX).receiver().recv(),
                }
                woken.fetch_add(1, SeqCst);
            });
        }
        yield_now();
        let i = select! {
            recv(after(Duration::MAX)) -> _ => 0,
            recv(after(20 * MS)) -> _ => 1,
        };
        assert_eq!(i, 1);
        (0..20).for_each(|_| time::sleep(100 * US));
        assert_eq!(woken.load(SeqCst), 0);
    });
}

/// What is received late is still the time that was asked for.
#[test]
fn a_clock_that_is_read_late_tells_when_it_was_due() {
    rt(|| {
        let before = Instant::now();
        let (once, timer, ticker) = (after(MS), Timer::new(MS), Ticker::new(MS));
        let made = Instant::now();
        time::sleep(30 * MS);
        for at in [comes(&once), comes(timer.receiver()), comes(ticker.receiver())] {
            assert!((before + MS..=made + MS).contains(&at), "{:?} late", at - before);
        }
    });
}
