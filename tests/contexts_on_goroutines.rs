//! `Context` on goroutines: deadlines, functions, and everything at once.

mod common;
use common::*;

use gosched::chan::{Chan, Receiver, select};
use gosched::context::{CancelFunc, Context, ContextError};
use gosched::{go, goid, spawn, time, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);
const HOUR: Duration = Duration::from_secs(3600);
const CANCELED: Option<ContextError> = Some(ContextError::Canceled);
const DEADLINE: Option<ContextError> = Some(ContextError::DeadlineExceeded);

/// Waits for its end; fails the test where that does not come.
#[track_caller]
fn ended(ctx: &Context) -> Option<ContextError> {
    select! {
        recv(ctx.done()) -> v => assert!(v.is_none()),
        default(patience()) => panic!("it does not end: {ctx:?}"),
    }
    ctx.err()
}

#[track_caller]
fn closed(done: &Receiver<()>) {
    assert!(select! { recv(done) -> v => v.is_none(), default(patience()) => false });
}

#[test]
fn a_deadline_comes_and_not_early() {
    rt(|| {
        let start = Instant::now();
        let (ctx, _cancel) = Context::background().with_timeout(5 * MS);
        let (t, _c) = Context::background().with_deadline(start + 5 * MS);
        let below = ctx.with_value(1).with_cancel().0.with_value(2);
        assert!(ctx.deadline().unwrap() >= start + 5 * MS);
        assert_eq!((t.deadline(), below.deadline()), (Some(start + 5 * MS), ctx.deadline()));
        for ctx in [&ctx, &t, &below] {
            assert_eq!(ended(ctx), DEADLINE);
            assert!(Instant::now() >= start + 5 * MS);
            assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&ContextError::DeadlineExceeded));
        }
    });
}

#[test]
fn the_earlier_deadline_wins() {
    rt(|| {
        let (early, _c) = Context::background().with_timeout_cause(4 * MS, "early");
        let (below, _c) = early.with_timeout_cause(HOUR, "late");
        assert_eq!(below.deadline(), early.deadline());
        assert_eq!((ended(&below), below.cause().unwrap().to_string()), (DEADLINE, "early".into()));

        let (late, _c) = Context::background().with_timeout(HOUR);
        let (below, _c) = late.with_timeout_cause(4 * MS, "early");
        assert!(below.deadline() < late.deadline());
        assert_eq!((ended(&below), late.err()), (DEADLINE, None));
        assert_eq!(below.cause().unwrap().to_string(), "early");

        let free = early.without_cancel();
        assert_eq!((free.deadline(), free.err()), (None, None));
        let (again, _c) = free.with_timeout(MS);
        assert_eq!(ended(&again), DEADLINE);
    });
}

#[test]
fn a_cancel_before_the_deadline_is_a_cancel() {
    rt(|| {
        for _ in 0..100 {
            let (ctx, cancel) = Context::background().with_timeout_cause(HOUR, "slow");
            let (below, _c) = ctx.with_timeout(HOUR);
            cancel.cancel();
            assert_eq!((ctx.err(), below.err()), (CANCELED, CANCELED));
            assert_eq!(ctx.cause().unwrap().to_string(), "context canceled");
        }
    });
}

#[test]
fn a_cancel_and_a_deadline_race_and_all_below_agree() {
    rt(|| {
        let mut rng = Rng(5);
        for _ in 0..500 {
            let (ctx, cancel) = Context::background().with_timeout_cause(rng.below(60) as u32 * US, "slow");
            let (below, _c) = ctx.with_cancel();
            let waiter = spawn(move || ended(&below));
            time::sleep(rng.below(60) as u32 * US);
            cancel.cancel();
            let err = ctx.err();
            assert!(err.is_some());
            assert_eq!(waiter.join().unwrap(), err);
            let cause = if err == DEADLINE { "slow" } else { "context canceled" };
            assert_eq!(ctx.cause().unwrap().to_string(), cause);
        }
    });
}

#[test]
fn the_timer_goes_with_the_context() {
    rt(|| {
        let held = Arc::new(());
        #[derive(Debug)]
        struct Why(#[allow(dead_code)] Arc<()>);
        impl std::fmt::Display for Why {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("why")
            }
        }
        impl std::error::Error for Why {}
        for i in 0..1000 {
            let (ctx, cancel) = Context::background().with_timeout_cause(HOUR, Why(held.clone()));
            if i % 2 == 0 {
                cancel.cancel();
            }
            drop((ctx, cancel));
        }
        assert_eq!(Arc::strong_count(&held), 1, "the cause is held by the timer alone");
    });
}

#[test]
fn the_channel_of_a_context_that_is_gone_is_closed_by_its_deadline_or_by_a_parent() {
    rt(|| {
        let start = Instant::now();
        let done = Context::background().with_timeout(4 * MS).0.done();
        closed(&done);
        assert!(start.elapsed() >= 4 * MS);

        let (parent, cancel) = Context::background().with_cancel();
        let late = parent.with_timeout(HOUR).0.with_value(1).with_cancel().0.done();
        let early = parent.with_timeout(2 * MS).0.done();
        closed(&early);
        assert!(!late.is_closed());
        cancel.cancel();
        closed(&late);
    });
}

#[test]
fn functions_are_called_when_it_is_done_each_in_a_goroutine() {
    rt(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let c = Chan::new(20);
        let stops: Vec<_> = (0..10)
            .map(|i| {
                let theirs = c.clone();
                let at = if i % 2 == 0 { ctx.clone() } else { ctx.with_value(i) };
                at.after_func(move || theirs.send((i, goid())))
            })
            .collect();
        settle();
        assert!(c.is_empty());
        assert!(stops[3].stop() && stops[4].stop());
        cancel.cancel();
        let mut got: Vec<_> = (0..8).map(|_| c.recv().unwrap()).collect();
        got.sort();
        assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [0, 1, 2, 5, 6, 7, 8, 9]);
        got.dedup_by_key(|g| g.1);
        assert_eq!(got.len(), 8, "each in its own");
        assert!(stops.iter().all(|s| !s.stop()));
        let theirs = c.clone();
        let late = ctx.after_func(move || theirs.send((99, None)));
        assert_eq!(c.recv(), Some((99, None)), "at once, where it is done");
        assert!(!late.stop());
        settle();
        assert!(c.is_empty());
    });
}

#[test]
fn a_function_is_called_by_a_deadline_or_by_a_parent_though_the_context_is_gone() {
    rt(|| {
        let (parent, cancel) = Context::background().with_cancel();
        let c = Chan::new(10);
        let send = |s: &'static str| {
            let c = c.clone();
            move || c.send(s)
        };
        let start = Instant::now();
        drop(Context::background().with_timeout(3 * MS).0.after_func(send("deadline")));
        assert_eq!(c.recv(), Some("deadline"));
        assert!(start.elapsed() >= 3 * MS);
        drop(parent.with_timeout(HOUR).0.with_cancel().0.after_func(send("parent")));
        let stop = parent.with_cancel().0.after_func(send("taken back"));
        assert!(stop.stop());
        cancel.cancel();
        assert_eq!(c.recv(), Some("parent"));
        drop(parent.with_cancel().0.after_func(send("born dead")));
        assert_eq!(c.recv(), Some("born dead"));
        settle();
        assert!(c.is_empty());
    });
}

#[test]
fn a_function_that_is_taken_back_while_it_ends_is_called_or_not() {
    rt(|| {
        for i in 0..500 {
            let (ctx, cancel) = Context::background().with_cancel();
            let (child, n) = (ctx.with_cancel().0, Arc::new(AtomicUsize::new(0)));
            let theirs = n.clone();
            let stop = child.after_func(move || _ = theirs.fetch_add(1, SeqCst));
            let canceller = spawn(move || cancel.cancel());
            let drop_it = i % 3 == 0;
            if drop_it {
                drop(child);
            }
            if i % 2 == 0 {
                yield_now();
            }
            let stopped = stop.stop() as usize;
            canceller.join().unwrap();
            assert!(!stop.stop());
            eventually("one of both", || n.load(SeqCst) + stopped == 1);
        }
    });
}

#[test]
fn a_function_may_use_the_context_that_called_it() {
    rt(|| {
        let (ctx, cancel) = Context::background().with_value(7u8).with_cancel();
        let c = Chan::new(0);
        let (ctx2, theirs, cancel2) = (ctx.clone(), c.clone(), cancel.clone());
        ctx.after_func(move || {
            cancel2.cancel();
            let again = theirs.clone();
            let value = *ctx2.value::<u8>().unwrap();
            ctx2.after_func(move || again.send(value));
        });
        cancel.cancel();
        assert_eq!(c.recv(), Some(7));
    });
}

#[test]
fn a_context_is_cancelled_from_a_plain_thread() {
    rt(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let c = Chan::new(1);
        let theirs = c.clone();
        ctx.after_func(move || theirs.send(goid().is_some()));
        let (timed, _c) = thread::spawn(move || {
            cancel.cancel();
            Context::background().with_timeout(MS)
        })
        .join()
        .unwrap();
        assert_eq!((ctx.err(), c.recv()), (CANCELED, Some(true)));
        assert_eq!(ended(&timed), DEADLINE);
    });
}

#[test]
fn a_plain_thread_waits_for_a_context() {
    rt(|| {
        let (ctx, _cancel) = Context::background().with_timeout(3 * MS);
        let c = Chan::new(1);
        let theirs = c.clone();
        thread::spawn(move || theirs.send(ended(&ctx)));
        assert_eq!(c.recv(), Some(DEADLINE));
    });
}

/// Each layer with a context of its own, as calls in a server make them; an end somewhere in the middle.
fn layers(
    depth: usize,
    end_at: usize,
    how: usize,
    parent: &Context,
    ended_layers: &Chan<(usize, ContextError)>,
) {
    if depth == 0 {
        return;
    }
    let (ctx, cancel): (Context, CancelFunc) = match (depth == end_at, how) {
        (true, 0) => parent.with_timeout(2 * MS),
        (_, 1) => parent.with_value(depth).with_timeout(HOUR),
        _ => parent.with_value(depth).with_cancel(),
    };
    let (here, out) = (ctx.clone(), ended_layers.clone());
    go(move || {
        let err = ended(&here).unwrap();
        out.send((depth, err));
    });
    layers(depth - 1, end_at, how, &ctx, ended_layers);
    if depth == end_at && how != 0 {
        cancel.cancel();
    }
}

#[test]
fn an_end_in_the_middle_ends_all_layers_below() {
    rt(|| {
        for how in 0..3 {
            let (root, cancel) = Context::background().with_cancel();
            let c = Chan::new(0);
            layers(20, 12, how, &root, &c);
            let mut got: Vec<_> = (0..12).map(|_| c.recv().unwrap()).collect();
            got.sort_by_key(|g| g.0);
            let err = if how == 0 { ContextError::DeadlineExceeded } else { ContextError::Canceled };
            assert_eq!(got, (1..=12).map(|d| (d, err)).collect::<Vec<_>>());
            settle();
            assert!(c.try_recv().is_err());
            cancel.cancel();
            let rest: Vec<_> = (0..8).map(|_| c.recv().unwrap()).collect();
            assert!(rest.iter().all(|r| r.0 > 12 && r.1 == ContextError::Canceled));
        }
    });
}

#[test]
fn everything_at_once() {
    rt(|| {
        for round in 0..20u64 {
            let (root, cancel) = Context::background().with_cancel();
            let calls = Arc::new(AtomicUsize::new(0));
            let gs: Vec<_> = (0..8u64)
                .map(|i| {
                    let (root, calls) = (root.clone(), calls.clone());
                    spawn(move || {
                        let mut rng = Rng(round * 100 + i + 1);
                        let (mut due, mut dones) = (0, vec![]);
                        let mut at = root.clone();
                        for _ in 0..60 {
                            let (ctx, cancel) = match rng.below(3) {
                                0 => at.with_timeout(rng.below(300) as u32 * US),
                                1 => at.with_timeout(HOUR),
                                _ => at.with_value(i).with_cancel(),
                            };
                            dones.push(ctx.done());
                            let theirs = calls.clone();
                            let stop = ctx.after_func(move || _ = theirs.fetch_add(1, SeqCst));
                            due += 1;
                            match rng.below(6) {
                                0 => cancel.cancel(),
                                1 => due -= stop.stop() as usize,
                                2 => at = ctx,
                                3 => at = root.clone(),
                                4 => yield_now(),
                                _ => {}
                            }
                        }
                        drop(at);
                        dones.iter().for_each(closed);
                        due
                    })
                })
                .collect();
            time::sleep(round as u32 % 4 * 100 * US);
            cancel.cancel();
            let due: usize = gs.into_iter().map(|g| g.join().unwrap()).sum();
            eventually("every function is called", || calls.load(SeqCst) == due);
            drop(root);
        }
    });
}

/// A goroutine's stack is no place for recursion.
#[test]
fn a_deep_chain_on_a_goroutine() {
    rt(|| {
        let deep = |cancel_it: bool| {
            let (root, cancel) = Context::background().with_cancel();
            let mut ctx = root;
            for i in 0..50_000 {
                ctx = if i % 2 == 0 { ctx.with_cancel().0 } else { ctx.with_value(i) };
            }
            if cancel_it {
                cancel.cancel();
                assert_eq!(ctx.err(), CANCELED);
            }
        };
        deep(true);
        deep(false);
    });
}
