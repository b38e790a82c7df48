//! Whose error and whose cause a context has: the table of orders in which a parent and a child can end, and races of
//! them. (What ends at all, and when: contexts_on_goroutines.rs, and chan/tests/context_tree.rs.)

mod common;
use common::*;

use gosched::chan::{Chan, RecvTimeoutError, TryRecvError};
use gosched::context::{CancelCauseFunc, CancelFunc, Context, ContextError};
use gosched::{scope, spawn, yield_now};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
const CANCELED: Option<ContextError> = Some(ContextError::Canceled);
const DEADLINE: Option<ContextError> = Some(ContextError::DeadlineExceeded);

/// The error, and what the cause says.
type Said = (Option<ContextError>, Option<String>);

fn said(ctx: &Context) -> Said {
    (ctx.err(), ctx.cause().map(|c| c.to_string()))
}

fn canceled(why: &str) -> Said {
    (CANCELED, Some(why.into()))
}

fn late(why: &str) -> Said {
    (DEADLINE, Some(why.into()))
}

#[test]
fn the_first_end_on_the_way_up_gives_error_and_cause() {
    rt(|| {
        let root = Context::background();
        let plain = "context canceled";

        // One context alone.
        assert_eq!([said(&root), said(&Context::todo())], [(None, None), (None, None)]);
        let (ctx, cancel) = root.with_cancel();
        cancel.cancel();
        assert_eq!(said(&ctx), canceled(plain));
        let (ctx, cancel) = root.with_cancel_cause();
        cancel.cancel("parent");
        assert_eq!(said(&ctx), canceled("parent"));

        // Both have causes; either is first.
        for parent_first in [true, false] {
            let (parent, cancel_parent) = root.with_cancel_cause();
            let (child, cancel_child) = parent.with_cancel_cause();
            if parent_first {
                cancel_parent.cancel("parent");
            }
            cancel_child.cancel("child");
            cancel_parent.cancel("parent");
            let own = if parent_first { "parent" } else { "child" };
            assert_eq!([said(&child), said(&parent)], [canceled(own), canceled("parent")]);
        }

        // The parent's has a cause, the child's has none; either is first.
        for parent_first in [true, false] {
            let (parent, cancel_parent) = root.with_cancel_cause();
            let (child, cancel_child) = parent.with_cancel();
            if parent_first {
                cancel_parent.cancel("parent");
            }
            cancel_child.cancel();
            cancel_parent.cancel("parent");
            let own = if parent_first { "parent" } else { plain };
            assert_eq!([said(&child), said(&parent)], [canceled(own), canceled("parent")]);
        }

        // The child's has a cause, the parent's has none; either is first.
        for parent_first in [true, false] {
            let (parent, cancel_parent) = root.with_cancel();
            let (child, cancel_child) = parent.with_cancel_cause();
            if parent_first {
                cancel_parent.cancel();
            }
            cancel_child.cancel("child");
            cancel_parent.cancel();
            let own = if parent_first { plain } else { "child" };
            assert_eq!([said(&child), said(&parent)], [canceled(own), canceled(plain)]);
        }
    });
}

#[test]
fn a_deadline_and_a_cancel_keep_their_own_causes() {
    rt(|| {
        let root = Context::background();
        let past = "context deadline exceeded";
        // The deadline is over at once: a cancel comes too late, whoever's it is.
        let (ctx, cancel) = root.with_timeout(Duration::ZERO);
        cancel.cancel();
        assert_eq!(said(&ctx), late(past));
        let (ctx, cancel) = root.with_timeout_cause(Duration::ZERO, "slow");
        cancel.cancel();
        assert_eq!(said(&ctx), late("slow"));
        let (parent, cancel) = root.with_cancel_cause();
        let (ctx, _c) = parent.with_timeout_cause(Duration::ZERO, "slow");
        cancel.cancel("early");
        assert_eq!([said(&ctx), said(&parent)], [late("slow"), canceled("early")]);

        // The deadline is far: the cancel's cause counts, not the deadline's.
        let (ctx, cancel) = root.with_timeout(HOUR);
        cancel.cancel();
        assert_eq!(said(&ctx), canceled("context canceled"));
        let (parent, cancel) = root.with_cancel_cause();
        let (ctx, _c) = parent.with_timeout_cause(HOUR, "slow");
        let (below, _c) = ctx.with_deadline(Instant::now() + HOUR * 2);
        cancel.cancel("early");
        assert_eq!([said(&ctx), said(&below)], [canceled("early"), canceled("early")]);
    });
}

#[test]
fn without_cancel_nothing_of_an_end_comes_down() {
    rt(|| {
        let (ended, cancel) = Context::background().with_value(7u8).with_cancel_cause();
        let (late, _c) = ended.with_timeout_cause(Duration::ZERO, "slow");
        let (before, beyond) = (ended.without_cancel(), late.without_cancel());
        cancel.cancel("early");
        for ctx in
            [before, beyond, ended.without_cancel(), Context::background().with_value(7u8).without_cancel()]
        {
            assert_eq!(said(&ctx), (None, None));
            assert!(ctx.done().is_nil() && ctx.deadline().is_none());
            assert_eq!(ctx.value::<u8>(), Some(&7));
            let (below, cancel) = ctx.with_cancel_cause();
            assert_eq!(said(&below), (None, None));
            cancel.cancel("own");
            assert_eq!((said(&below), said(&ctx)), (canceled("own"), (None, None)));
        }
    });
}

/// A child that is born while its parent ends has the parent's error and cause, on whichever side of the end it was.
#[test]
fn a_child_born_while_its_parent_ends_has_the_parents_cause() {
    rt(|| {
        let ends = Chan::<(CancelCauseFunc, usize)>::new(0);
        let from = ends.clone();
        let canceller = spawn(move || {
            for (cancel, spin) in from {
                (0..spin).for_each(|_| std::hint::spin_loop());
                cancel.cancel("because");
            }
        });
        for i in 0..3_000 {
            let (parent, cancel) = Context::background().with_cancel_cause();
            ends.send((cancel, i * 7 % 200));
            (0..i * 11 % 200).for_each(|_| std::hint::spin_loop());
            let (child, _c) = match i % 3 {
                0 => parent.with_cancel(),
                1 => parent.with_timeout_cause(HOUR, "slow"),
                _ => parent.with_value(i).with_cancel(),
            };
            assert_eq!(child.done().recv_timeout(patience()), Err(RecvTimeoutError::Closed));
            assert_eq!(said(&child), canceled("because"));
        }
        ends.close();
        canceller.join().unwrap();
    });
}

/// Who only ever asks for the cause, or for the error, sees the right one, and sees the other with it.
#[test]
fn error_and_cause_are_seen_together() {
    rt(|| {
        for i in 0..300 {
            let (ctx, cancel) = Context::background().with_cancel_cause();
            let (child, _c) = ctx.with_cancel();
            scope(|s| {
                for at in [&ctx, &child] {
                    s.spawn(|| {
                        while at.cause().is_none() {
                            yield_now();
                        }
                        assert_eq!(said(at), canceled("because"));
                    });
                    s.spawn(|| {
                        while at.err().is_none() {
                            yield_now();
                        }
                        assert_eq!(said(at), canceled("because"));
                    });
                }
                if i % 2 == 0 {
                    yield_now();
                }
                cancel.cancel("because");
            });
        }
    });
}

/// Every node of a tree is cancelled by a goroutine of its own, all at once: all end, and none waits for another.
#[test]
fn all_nodes_of_a_tree_are_cancelled_at_once() {
    rt(|| {
        let mut rng = Rng(41);
        for _ in 0..30 {
            let mut nodes: Vec<(Context, CancelFunc)> = vec![Context::background().with_cancel()];
            for i in 0..100 {
                let child = nodes[i / 4].0.with_cancel();
                nodes.push(child);
            }
            for i in (1..nodes.len()).rev() {
                nodes.swap(i, rng.below(i + 1));
            }
            scope(|s| {
                for (ctx, cancel) in &nodes {
                    s.spawn(|| {
                        cancel.cancel();
                        assert_eq!((ctx.err(), ctx.done().try_recv()), (CANCELED, Err(TryRecvError::Closed)));
                    });
                }
                for (ctx, _) in nodes.iter().rev() {
                    assert_eq!(ctx.done().recv_timeout(patience()), Err(RecvTimeoutError::Closed));
                }
            });
        }
    });
}

/// Whoever is woken by a parent's end cancels a child of it, while that end is still on its way down.
#[test]
fn a_cancel_that_meets_its_parents_on_the_way_down() {
    rt(|| {
        for i in 0..300 {
            let (parent, cancel) = Context::background().with_cancel();
            let before: Vec<Context> = (0..i % 5).map(|_| parent.with_cancel().0).collect();
            let (child, cancel_child) = parent.with_cancel();
            let done = parent.done();
            let t = spawn(move || {
                done.recv();
                cancel_child.cancel();
            });
            cancel.cancel();
            assert_eq!(child.done().recv_timeout(patience()), Err(RecvTimeoutError::Closed));
            t.join().unwrap();
            assert!(before.iter().chain([&child]).all(|c| said(c) == canceled("context canceled")));
        }
    });
}
