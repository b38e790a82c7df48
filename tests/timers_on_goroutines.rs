//! `Timer` and `Ticker` on goroutines, with plain threads among them.

mod common;
use common::*;

use gosched::chan::{Chan, TryRecvError, select};
use gosched::time::{self, Ticker, Timer, after, tick};
use gosched::{spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn timers_come_in_the_order_of_their_times() {
    rt(|| {
        let start = Instant::now();
        let slots = [5u32, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
        let gs = slots.map(|s| {
            spawn(move || {
                let at = Timer::new(s * 5 * MS).receiver().recv().unwrap();
                assert!(at >= start + s * 5 * MS && at <= Instant::now());
                (at, s)
            })
        });
        let mut all = gs.map(|g| g.join().unwrap());
        all.sort();
        let mut want = slots;
        want.sort();
        // Timers that were started later may overtake by as much as the start of all took.
        let skew = all[0].0 - start;
        for ((at, _), s) in all.iter().zip(want) {
            assert!(*at + skew >= start + s * 5 * MS);
        }
    });
}

#[test]
fn zero_is_due_at_once_and_also_for_sleep() {
    rt(|| {
        for _ in 0..100 {
            time::sleep(Duration::ZERO);
            assert!(Timer::new(Duration::ZERO).receiver().recv().is_some());
            assert!(after(Duration::ZERO).recv().is_some());
        }
        // A sleep of zero between others, on as many Ps as there are: nothing may be lost.
        let gs: Vec<_> = (0..50)
            .map(|i| {
                spawn(move || {
                    for n in 0..50 {
                        time::sleep(if (i + n) % 3 == 0 { Duration::ZERO } else { US });
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
    });
}

#[test]
fn nothing_stale_is_received_after_a_stop_or_a_reset() {
    rt(|| {
        let mut rng = Rng(11);
        let t = Timer::new(HOUR);
        let (mut stopped, mut received) = (0, 0);
        for _ in 0..2000 {
            let before = Instant::now();
            let d = rng.below(60) as u32 * US;
            t.reset(d);
            match rng.below(3) {
                0 => yield_now(),
                1 => time::sleep(rng.below(60) as u32 * US),
                _ => {}
            }
            if rng.below(2) == 0 {
                assert!(t.stop(), "nobody has received it");
                assert_eq!(t.receiver().try_recv(), Err(TryRecvError::Empty));
                stopped += 1;
            } else {
                let at = t.receiver().recv().unwrap();
                assert!(at >= before + d, "of an earlier setting");
                assert!(!t.stop());
                received += 1;
            }
        }
        assert!(stopped > 0 && received > 0);
    });
}

/// Go's idle timeout: who reads a timer's channel while others reset it never sees a time that is too early.
#[test]
fn a_waiter_never_gets_a_time_that_was_put_off() {
    rt(|| {
        for _ in 0..30 {
            let t = Arc::new(Timer::new(2 * MS));
            let resetter = {
                let t = t.clone();
                spawn(move || {
                    let mut last = None;
                    for _ in 0..40 {
                        let before = Instant::now();
                        if !t.reset(2 * MS) {
                            return None; // it was received: set once more, for nobody
                        }
                        last = Some(before + 2 * MS);
                        time::sleep(50 * US);
                    }
                    last
                })
            };
            let at = t.receiver().recv().unwrap();
            if let Some(earliest) = resetter.join().unwrap() {
                assert!(at >= earliest);
            }
        }
    });
}

#[test]
fn one_of_several_receivers_gets_the_value() {
    rt(|| {
        for _ in 0..50 {
            let t = Arc::new(Timer::new(200 * US));
            let closed = Chan::<()>::new(0);
            let gs: Vec<_> = (0..4)
                .map(|i| {
                    let (t, closed) = (t.clone(), closed.clone());
                    let wait = move || {
                        select! {
                            recv(t.receiver()) -> at => at.is_some(),
                            recv(closed) -> _ => false,
                        }
                    };
                    if i == 0 { Err(thread::spawn(wait)) } else { Ok(spawn(wait)) }
                })
                .collect();
            eventually("the value is taken", || {
                !t.stop() || {
                    t.reset(Duration::ZERO);
                    false
                }
            });
            closed.close();
            let got = gs.into_iter().map(|g| match g {
                Ok(g) => g.join().unwrap() as u32,
                Err(t) => t.join().unwrap() as u32,
            });
            assert_eq!(got.sum::<u32>(), 1);
        }
    });
}

#[test]
fn tickers_do_not_drift_on_goroutines() {
    rt(|| {
        let gs: Vec<_> = (1..=8u32)
            .map(|i| {
                spawn(move || {
                    let (period, start) = (i * 500 * US, Instant::now());
                    let t = Ticker::new(period);
                    let first = t.receiver().recv().unwrap();
                    assert!(first >= start + period);
                    let mut last = first;
                    for n in 0..20 {
                        if n % 5 == 0 {
                            time::sleep(period * 3);
                        }
                        let at = t.receiver().recv().unwrap();
                        assert!(at > last && at <= Instant::now());
                        assert_eq!((at - first).as_nanos() % period.as_nanos(), 0);
                        last = at;
                    }
                    assert!(last >= first + period * 20);
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
    });
}

#[test]
fn a_ticker_is_reset_and_stopped_while_others_wait_on_it() {
    rt(|| {
        let (t, stop) = (Arc::new(Ticker::new(HOUR)), Arc::new(AtomicBool::new(false)));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let t = t.clone();
                spawn(move || t.receiver().iter().take(20).count())
            })
            .collect();
        let resetter = {
            let (t, stop) = (t.clone(), stop.clone());
            spawn(move || {
                for n in 1u32.. {
                    if stop.load(SeqCst) {
                        return;
                    }
                    match n % 3 {
                        0 => t.stop(),
                        _ => t.reset(n % 7 * 10 * US + US),
                    }
                    time::sleep(30 * US);
                }
            })
        };
        assert!(readers.into_iter().all(|r| r.join().unwrap() == 20));
        stop.store(true, SeqCst);
        resetter.join().unwrap();
        t.stop();
        assert_eq!(t.receiver().try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn tickers_come_and_go() {
    rt(|| {
        let gs: Vec<_> = (0..20)
            .map(|_| {
                spawn(|| {
                    for _ in 0..20 {
                        let t = Ticker::new(20 * US);
                        t.receiver().recv();
                        if tick(10 * US).recv() < t.receiver().recv() {
                            t.stop();
                        }
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
    });
}

/// Timers that nobody waits on are in no heap.
const MANY: usize = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

#[test]
fn a_million_timer_channels() {
    rt(|| {
        let all: Vec<Timer> =
            (0..MANY).map(|i| Timer::new(if i % 2 == 0 { HOUR } else { Duration::ZERO })).collect();
        let mut stopped = 0;
        for (i, t) in all.iter().enumerate() {
            match i % 4 {
                1 => assert!(t.receiver().recv().is_some() && !t.stop()),
                3 => assert!(t.reset(HOUR)),
                _ => {}
            }
            stopped += t.stop() as usize;
        }
        assert_eq!(stopped, MANY / 4 * 3);
    });
}
