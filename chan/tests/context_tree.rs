//! `Context` on plain threads, with no scheduler: ends, values, causes, depth.
mod common;
use common::*;
use gosched_chan::context::{CancelFunc, Cause, Context, ContextError};
use gosched_chan::*;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const CANCELED: Option<ContextError> = Some(ContextError::Canceled);
const DEADLINE: Option<ContextError> = Some(ContextError::DeadlineExceeded);

fn is_done(ctx: &Context) -> bool {
    match ctx.done().try_recv() {
        Ok(()) => panic!("done carries no values"),
        Err(e) => e.is_closed(),
    }
}

#[track_caller]
fn assert_alive(ctx: &Context) {
    assert!(!is_done(ctx) && ctx.err().is_none() && ctx.cause().is_none());
}

#[track_caller]
fn assert_canceled(ctx: &Context) {
    assert!(is_done(ctx));
    assert_eq!(ctx.err(), CANCELED);
}

/// What a cause says.
fn why(ctx: &Context) -> Option<String> {
    ctx.cause().map(|c| c.to_string())
}

#[test]
fn the_background_is_never_done() {
    for ctx in [Context::background(), Context::todo(), Context::default()] {
        assert_alive(&ctx);
        assert!(ctx.done().is_nil() && ctx.deadline().is_none() && ctx.value::<u8>().is_none());
        let with_value = ctx.with_value(1u8);
        assert!(with_value.done().is_nil());
        assert!(select! { recv(ctx.done()) -> _ => false, default(MS) => true });
    }
}

#[test]
fn cancel_ends_a_context_and_all_below_it_and_nothing_else() {
    let root = Context::background();
    let (top, cancel) = root.with_cancel();
    let (side, _) = root.with_cancel();
    let a = top.with_value("a");
    let (b, cancel_b) = a.with_cancel();
    let (c, _) = b.with_cancel_cause();
    let (d, _) = a.with_timeout(Duration::MAX);
    let beside = a.without_cancel();
    let (below_beside, _) = beside.with_cancel();
    for ctx in [&top, &side, &a, &b, &c, &d, &beside, &below_beside] {
        assert_alive(ctx);
    }
    cancel_b.cancel();
    for ctx in [&b, &c] {
        assert_canceled(ctx);
    }
    for ctx in [&top, &side, &a, &d] {
        assert_alive(ctx);
    }
    cancel.cancel();
    for ctx in [&top, &a, &b, &c, &d] {
        assert_canceled(ctx);
    }
    for ctx in [&side, &beside, &below_beside] {
        assert_alive(ctx);
    }
    assert_canceled(&top.with_cancel().0);
    assert_canceled(&top.with_value(1));
    assert_eq!(b.value::<&str>(), Some(&"a"), "values outlive the end");
}

#[test]
fn done_is_the_same_channel_whenever_it_is_asked_for() {
    let (ctx, cancel) = Context::background().with_cancel();
    let first = ctx.done();
    assert_eq!(first, ctx.done());
    assert_eq!(first, ctx.with_value(1).done(), "a value has the channel of what is above it");
    assert_ne!(first, ctx.with_cancel().0.done());
    cancel.cancel();
    assert_eq!(first, ctx.done());
    assert!(first.recv().is_none());
}

#[test]
fn cancelling_twice_or_too_late_does_nothing() {
    let (ctx, cancel) = Context::background().with_cancel();
    let (child, cancel_child) = ctx.with_cancel();
    for _ in 0..3 {
        cancel.cancel();
        cancel.clone().cancel();
        cancel_child.cancel();
        assert_canceled(&ctx);
        assert_canceled(&child);
    }
    let (ctx, cancel) = Context::background().with_timeout(Duration::ZERO);
    cancel.cancel();
    assert_eq!(ctx.err(), DEADLINE, "it had ended already");
    drop((ctx, cancel));
    let (ctx, cancel) = Context::background().with_cancel();
    drop(cancel);
    assert_alive(&ctx);
}

#[test]
fn a_deadline_that_is_past_ends_it_at_once() {
    let past = Instant::now();
    for (ctx, _cancel) in [
        Context::background().with_deadline(past),
        Context::background().with_timeout(Duration::ZERO),
        Context::background().with_value(1).with_deadline_cause(past, "late"),
    ] {
        assert!(is_done(&ctx));
        assert_eq!((ctx.err(), ctx.with_cancel().0.err()), (DEADLINE, DEADLINE));
        assert!(ctx.deadline().unwrap() <= Instant::now());
    }
}

#[test]
fn a_deadline_beyond_the_end_of_the_clock_is_none() {
    let (ctx, cancel) = Context::background().with_timeout(Duration::MAX);
    assert_eq!(ctx.deadline(), None);
    cancel.cancel();
    assert_canceled(&ctx);
}

#[test]
fn causes_go_down_and_the_first_one_counts() {
    let (top, cancel) = Context::background().with_cancel_cause();
    let (mid, cancel_mid) = top.with_cancel_cause();
    let (low, cancel_low) = mid.with_cancel();
    assert_eq!((why(&top), why(&low)), (None, None));
    cancel_mid.cancel("mid");
    cancel.cancel(io::Error::other("top"));
    cancel_mid.cancel("again");
    cancel_low.cancel();
    assert_eq!([why(&top), why(&mid), why(&low)].map(Option::unwrap), ["top", "mid", "mid"]);
    assert!(top.cause().unwrap().is::<io::Error>());
    assert_eq!([top.err(), mid.err(), low.err()], [CANCELED; 3]);
    assert_eq!(why(&low.with_cancel().0).unwrap(), "mid", "of one that is born dead");
    assert_eq!(why(&low.with_value(1)).unwrap(), "mid");
    assert_eq!(why(&low.without_cancel()), None);

    let (plain, cancel) = Context::background().with_cancel();
    let (below, cancel_below) = plain.with_cancel_cause();
    cancel.cancel();
    cancel_below.cancel("too late");
    for ctx in [plain, below] {
        assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&ContextError::Canceled));
    }

    let shared: Cause = Arc::new(io::Error::other("shared"));
    let (ctx, cancel) = Context::background().with_cancel_cause();
    cancel.cancel(shared);
    assert_eq!(why(&ctx).unwrap(), "shared");
}

#[test]
fn a_cause_of_a_deadline_is_for_the_deadline_only() {
    let (ctx, cancel) = Context::background().with_timeout_cause(Duration::MAX, "slow");
    cancel.cancel();
    assert_eq!(why(&ctx).unwrap(), "context canceled");
    let (parent, _c) = Context::background().with_deadline_cause(Instant::now(), "parent");
    let (ctx, _c) = parent.with_timeout_cause(Duration::from_secs(60), "child");
    assert_eq!((why(&ctx).unwrap(), ctx.err()), ("parent".to_string(), DEADLINE));
}

#[test]
fn the_nearest_value_of_a_type_is_found() {
    #[derive(PartialEq, Debug)]
    struct Key(u8);
    let a = Context::background().with_value(Key(1)).with_value("s");
    let (b, _cancel) = a.with_cancel();
    let c = b.with_value(Key(2)).without_cancel().with_value(3u64);
    assert_eq!(
        (a.value::<Key>(), b.value::<Key>(), c.value::<Key>()),
        (Some(&Key(1)), Some(&Key(1)), Some(&Key(2)))
    );
    assert_eq!((c.value::<&str>(), c.value::<u64>(), b.value::<u64>()), (Some(&"s"), Some(&3), None));
    assert_eq!(c.value::<String>(), None);
}

#[test]
fn values_are_dropped_with_the_last_handle_below_them() {
    let census = Census::default();
    let (ctx, cancel) = Context::background().with_value(census.make(1)).with_cancel();
    let child = ctx.with_value(census.make(2));
    let done = child.done();
    drop(ctx);
    assert_eq!(census.alive(), 2);
    drop(child);
    assert_eq!(census.alive(), 1, "the CancelFunc is a handle, too");
    drop(cancel);
    assert_eq!(census.alive(), 0);
    assert!(!done.is_closed());
}

#[test]
fn a_parent_that_nobody_holds_lives_as_long_as_its_children() {
    let (child, cancel) = {
        let (parent, cancel) = Context::background().with_cancel();
        (parent.with_value(1u8).with_cancel().0, cancel)
    };
    assert_alive(&child);
    cancel.cancel();
    assert_canceled(&child);
}

#[test]
fn the_channel_of_a_context_that_is_gone_is_still_closed_by_a_parent() {
    let (parent, cancel) = Context::background().with_cancel();
    let done = {
        let (ctx, _cancel) = parent.with_value(1).with_cancel();
        let (ctx, _cancel) = ctx.with_cancel();
        ctx.done()
    };
    assert_eq!(done.try_recv(), Err(TryRecvError::Empty));
    let waiter = thread::spawn(move || done.recv());
    settle();
    cancel.cancel();
    assert_eq!(in_time(|| waiter.join().unwrap()), None);
}

#[test]
fn a_cancel_wakes_everybody_who_waits() {
    in_time(|| {
        let (ctx, cancel) = Context::background().with_cancel();
        let nobody = Chan::<u8>::new(0);
        let waiters: Vec<_> = (0..8)
            .map(|i| {
                let (ctx, nobody) = (ctx.with_value(i).with_cancel().0, nobody.clone());
                thread::spawn(move || match i % 2 {
                    0 => ctx.done().recv().is_none() && ctx.err() == CANCELED,
                    _ => {
                        select! { recv(ctx.done()) -> _ => ctx.err() == CANCELED, recv(nobody) -> _ => false }
                    }
                })
            })
            .collect();
        settle();
        cancel.cancel();
        assert!(waiters.into_iter().all(|w| w.join().unwrap()));
    });
}

/// Deep enough for any recursion to overflow a thread's stack.
const DEEP: usize = 200_000;

#[test]
fn a_deep_chain_is_cancelled_searched_and_dropped_on_a_small_stack() {
    let small = thread::Builder::new().stack_size(64 << 10);
    let deep = |cancel_it: bool| {
        let (root, cancel) = Context::background().with_value("root").with_cancel();
        let mut ctx = root;
        for i in 0..DEEP {
            ctx = match i % 4 {
                0 => ctx.with_value(i),
                1 => ctx.with_cancel().0,
                2 => ctx.with_value(i as u8),
                _ => ctx.with_cancel_cause().0,
            };
        }
        assert_eq!((ctx.value::<&str>(), ctx.value::<usize>()), (Some(&"root"), Some(&(DEEP - 4))));
        assert_alive(&ctx);
        if cancel_it {
            cancel.cancel();
            assert_canceled(&ctx);
        }
    };
    in_time(move || {
        let t = small.spawn(move || {
            deep(false);
            deep(true);
        });
        t.unwrap().join().unwrap();
    });
}

#[test]
fn a_wide_tree_is_cancelled() {
    let (root, cancel) = Context::background().with_cancel();
    let children: Vec<Context> = (0..1000).map(|_| root.with_cancel().0).collect();
    let all: Vec<Context> = children.iter().flat_map(|c| (0..10).map(|_| c.with_cancel().0)).collect();
    cancel.cancel();
    children.iter().chain(&all).for_each(assert_canceled);
}

#[test]
fn cancels_births_and_drops_race() {
    in_time(|| {
        for round in 0..60 {
            let (root, cancel) = Context::background().with_cancel();
            let (mid, cancel_mid) = root.with_cancel();
            thread::scope(|s| {
                for i in 0..4usize {
                    let (root, mid, cancel_mid) = (&root, &mid, &cancel_mid);
                    s.spawn(move || {
                        let mut dones = Vec::new();
                        for n in 0..60 {
                            let (ctx, cancel) =
                                if n % 2 == 0 { root } else { mid }.with_value(n).with_cancel();
                            let (below, _) = ctx.with_cancel();
                            match (n + i) % 6 {
                                0 => {
                                    cancel.cancel();
                                    assert_canceled(&ctx);
                                }
                                1 => drop((ctx, cancel)),
                                2 => {
                                    let d = below.done();
                                    drop((below, ctx, cancel));
                                    dones.push(d);
                                    continue;
                                }
                                3 if n == 3 * round % 60 => cancel_mid.cancel(),
                                _ => {}
                            }
                            dones.push(below.done());
                        }
                        for d in dones {
                            assert_eq!(d.recv(), None);
                        }
                    });
                }
                thread::yield_now();
                cancel.cancel();
                assert_canceled(&root);
            });
            assert_canceled(&mid);
        }
    });
}

#[test]
fn a_context_that_goes_while_its_parent_is_cancelled_leaves_no_channel_open() {
    in_time(|| {
        let births = Chan::<(Context, usize)>::new(0);
        let drops = births.clone();
        let dropper = thread::spawn(move || {
            for (ctx, spin) in drops {
                (0..spin).for_each(|_| std::hint::spin_loop());
                drop(ctx);
            }
        });
        for i in 0..3000 {
            let (parent, cancel) = Context::background().with_cancel();
            // Others make the walk longer.
            let others: Vec<Context> = (0..i % 8).map(|_| parent.with_cancel().0).collect();
            let ctx = parent.with_cancel().0;
            let done = ctx.done();
            births.send((ctx, i * 7 % 300));
            (0..i * 11 % 300).for_each(|_| std::hint::spin_loop());
            cancel.cancel();
            assert_eq!(done.recv_timeout(LONG), Err(RecvTimeoutError::Closed));
            drop(others);
        }
        births.close();
        dropper.join().unwrap();
    });
}

#[test]
fn whoever_sees_the_error_sees_done_closed_and_the_other_way_round() {
    in_time(|| {
        for i in 0..300 {
            let (ctx, cancel) = Context::background().with_cancel();
            let (child, _) = ctx.with_cancel();
            if i % 2 == 0 {
                drop((ctx.done(), child.done())); // made before the end
            }
            thread::scope(|s| {
                for at in [&ctx, &child] {
                    s.spawn(|| {
                        while at.err().is_none() {
                            thread::yield_now();
                        }
                        assert!(is_done(at));
                    });
                    s.spawn(|| {
                        at.done().recv();
                        assert_canceled(at);
                    });
                }
                cancel.cancel();
            });
        }
    });
}

#[test]
fn of_many_cancels_one_gives_the_cause() {
    in_time(|| {
        for _ in 0..100 {
            let (ctx, cancel) = Context::background().with_cancel_cause();
            let (child, _) = ctx.with_cancel();
            thread::scope(|s| {
                for i in 0..4 {
                    let (ctx, cancel) = (&ctx, &cancel);
                    s.spawn(move || {
                        cancel.cancel(format!("{i}"));
                        assert_canceled(ctx);
                    });
                }
            });
            assert_eq!(why(&ctx), why(&child));
            assert!(why(&ctx).unwrap().parse::<u8>().unwrap() < 4);
        }
    });
}

#[test]
fn functions_wait_without_a_scheduler_and_are_taken_back() {
    let (ctx, _cancel) = Context::background().with_cancel();
    let held = Arc::new(());
    for parent in [&ctx, &ctx.with_value(1), &Context::background(), &ctx.without_cancel()] {
        let theirs = held.clone();
        let stop = parent.after_func(move || drop(theirs));
        assert_eq!(Arc::strong_count(&held), 2);
        assert!(stop.stop());
        assert!(!stop.clone().stop());
        assert_eq!(Arc::strong_count(&held), 1, "what was taken back is dropped");
    }
    let theirs = held.clone();
    drop(ctx.after_func(move || drop(theirs)));
    assert_eq!(Arc::strong_count(&held), 2, "dropping the handle takes nothing back");
    drop((ctx, _cancel));
    assert_eq!(Arc::strong_count(&held), 1, "nothing can end it any more");
}

#[test]
fn errors_have_gos_words_and_become_io_errors() {
    for (e, words, kind) in [
        (ContextError::Canceled, "context canceled", io::ErrorKind::Other),
        (ContextError::DeadlineExceeded, "context deadline exceeded", io::ErrorKind::TimedOut),
    ] {
        assert_eq!(e.to_string(), words);
        let io = io::Error::from(e);
        assert_eq!((io.kind(), io.to_string()), (kind, words.to_string()));
        assert_eq!(io.get_ref().unwrap().downcast_ref(), Some(&e));
    }
}

#[test]
fn handles_are_shown_and_shared() {
    fn shared<T: Send + Sync + Clone + std::panic::UnwindSafe + 'static>(_: &T) {}
    let (ctx, cancel) = Context::background().with_cancel();
    let stop = ctx.after_func(|| ());
    shared(&ctx);
    shared::<CancelFunc>(&cancel);
    shared(&stop);
    assert_eq!(format!("{ctx:?}"), "Context { err: None, deadline: None, .. }");
    stop.stop();
    cancel.cancel();
    assert!(format!("{ctx:?}{cancel:?}{stop:?}").contains("Canceled"));
}

#[test]
fn who_cancels_second_waits_for_who_came_first() {
    // root ─ a ─ b ─ 200 leaves. Three cancel at once; each finds what is below his node ended when he is through.
    for round in 0..300 {
        let (root, cancel_root) = Context::background().with_cancel();
        let (a, cancel_a) = root.with_cancel();
        let (b, cancel_b) = a.with_cancel();
        let leaves: Vec<_> = (0..200).map(|_| b.with_cancel().0).collect();
        let at = std::sync::Barrier::new(3);
        thread::scope(|s| {
            for (name, cancel) in [("root", &cancel_root), ("a", &cancel_a), ("b", &cancel_b)] {
                let (at, leaves) = (&at, &leaves);
                s.spawn(move || {
                    at.wait();
                    cancel.cancel();
                    let alive = leaves.iter().filter(|leaf| leaf.err().is_none()).count();
                    assert_eq!(alive, 0, "round {round}: alive when {name} was cancelled");
                });
            }
        });
    }
}

#[test]
fn who_cancels_the_same_node_waits_too() {
    for round in 0..300 {
        let (root, cancel) = Context::background().with_cancel();
        let leaves: Vec<_> = (0..200).map(|_| root.with_cancel().0).collect();
        let at = std::sync::Barrier::new(3);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    at.wait();
                    cancel.cancel();
                    let alive = leaves.iter().filter(|leaf| leaf.err().is_none()).count();
                    assert_eq!(alive, 0, "round {round}");
                });
            }
        });
    }
}
