//! Time: sleeps that are not too short, timers that do not fire after they were stopped, functions that are called once;
//! and contexts, which end from above and by their time.

use crate::ledger::{Rng, check};
use gosched::chan::{Chan, select};
use gosched::context::{Context, ContextError};
use gosched::spawn;
use gosched::sync::WaitGroup;
use gosched::time::{Ticker, Timer, after_func, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

fn sleeper(mut rng: Rng) {
    for _ in 0..1 + rng.below(5) {
        let (d, start) = (rng.micros(3000), Instant::now());
        sleep(d);
        let slept = start.elapsed();
        check(slept >= d, || format!("slept {slept:?} instead of {d:?}"));
    }
}

/// A timer that is reset and stopped at moments that are close to its own.
fn timer(mut rng: Rng) {
    let t = Timer::new(rng.micros(500));
    for _ in 0..1 + rng.below(10) {
        match rng.below(3) {
            0 => sleep(rng.micros(600)),
            1 => {
                t.stop();
                check(t.receiver().try_recv().is_err(), || "a timer fired after it was stopped".into());
                t.reset(rng.micros(500));
            }
            _ => {
                let (d, start) = (rng.micros(1000), Instant::now());
                t.reset(d);
                t.receiver().recv();
                let waited = start.elapsed();
                check(waited >= d, || format!("a timer of {d:?} fired after {waited:?}"));
                t.reset(rng.micros(500));
            }
        }
    }
    t.stop();
    check(t.receiver().try_recv().is_err(), || "a timer fired after it was stopped".into());
}

fn ticker(mut rng: Rng) {
    let d = Duration::from_micros(200) + rng.micros(800);
    let mut last = Instant::now();
    let t = Ticker::new(d);
    for _ in 0..1 + rng.below(8) {
        let at = t.receiver().recv().unwrap_or(last);
        check(at >= last, || "a tick from the past".into());
        last = at;
    }
    t.stop();
    check(t.receiver().try_recv().is_err(), || "a tick after the stop".into());
}

/// Functions called at a time: as many as were not stopped are called.
fn functions(mut rng: Rng) {
    let (called, wg) = (Arc::new(AtomicU64::new(0)), WaitGroup::new());
    let n = 1 + rng.below(20);
    wg.add(n as isize);
    let timers: Vec<_> = (0..n)
        .map(|_| {
            let (called, wg) = (called.clone(), wg.clone());
            after_func(rng.micros(1000), move || {
                called.fetch_add(1, Ordering::Relaxed);
                wg.done();
            })
        })
        .collect();
    sleep(rng.micros(1000));
    let mut stopped = 0;
    for t in &timers {
        if rng.one_in(2) && t.stop() {
            stopped += 1;
            wg.done();
        }
    }
    wg.wait();
    let called = called.load(Ordering::Relaxed);
    check(called + stopped == n, || format!("of {n} functions {called} were called, {stopped} stopped"));
}

pub fn clocks(rng: &mut Rng) -> u64 {
    let wg = WaitGroup::new();
    let n = 1 + rng.below(150);
    for _ in 0..n {
        let rng_of_it = Rng::new(rng.next());
        match rng.below(4) {
            0 => wg.go(move || sleeper(rng_of_it)),
            1 => wg.go(move || timer(rng_of_it)),
            2 => wg.go(move || ticker(rng_of_it)),
            _ => wg.go(move || functions(rng_of_it)),
        }
    }
    wg.wait();
    n
}

/// Waits for the end of a context in one of the ways; what it says then.
fn waiter(ctx: &Context, mut rng: Rng) -> Option<ContextError> {
    let done = ctx.done();
    match rng.below(3) {
        0 => drop(done.recv()),
        1 => {
            let silent: Chan<()> = Chan::new(0);
            select! {
                recv(done) -> _ => {},
                recv(silent) -> _ => unreachable!("nobody sends"),
            }
        }
        _ => {
            while ctx.err().is_none() {
                select! {
                    recv(done) -> _ => {},
                    default(rng.micros(200)) => {},
                }
            }
        }
    }
    ctx.err()
}

/// A tree of contexts, ended at its root or by its time, while waiters wait for the ends and functions are registered.
pub fn contexts(rng: &mut Rng) -> u64 {
    let by_time = rng.one_in(2);
    let (root, cancel) = match by_time {
        true => Context::background().with_timeout(rng.micros(3000)),
        false => Context::background().with_cancel(),
    };
    let mut tree = vec![root.clone()];
    let mut cancels = Vec::new();
    let called = Arc::new(AtomicU64::new(0));
    let mut functions = Vec::new();
    let n = 1 + rng.below(60);
    for i in 0..n {
        let parent = &tree[rng.below(tree.len() as u64) as usize];
        let (child, cancel) = match rng.below(3) {
            0 => parent.with_cancel(),
            1 => parent.with_timeout(HOUR),
            _ => parent.with_value(i).with_cancel(),
        };
        let called = called.clone();
        functions.push(child.after_func(move || {
            called.fetch_add(1, Ordering::Relaxed);
        }));
        tree.push(child);
        cancels.push(cancel);
    }
    let waiters: Vec<_> = tree
        .iter()
        .map(|ctx| {
            let (ctx, rng) = (ctx.clone(), Rng::new(rng.next()));
            spawn(move || waiter(&ctx, rng))
        })
        .collect();
    // Some branches end before the rest.
    for _ in 0..rng.below(4) {
        cancels[rng.below(n) as usize].cancel();
    }
    sleep(rng.micros(500));
    let stopped = functions.iter().filter(|_| rng.one_in(3)).map(|f| u64::from(f.stop())).sum::<u64>();
    if !by_time {
        cancel.cancel();
    }
    for (i, h) in waiters.into_iter().enumerate() {
        let err = h.join().expect("it does not panic");
        check(err.is_some(), || format!("context {i} did not end"));
        if i == 0 {
            check(err.is_some_and(|e| e.is_timeout() == by_time), || format!("the root ended with {err:?}"));
        }
    }
    // The last functions are on their way.
    let expected = n - stopped;
    while called.load(Ordering::Relaxed) < expected {
        sleep(Duration::from_micros(100));
    }
    let called = called.load(Ordering::Relaxed);
    check(called == expected, || format!("of {n} functions {called} were called, {stopped} stopped"));
    n
}
