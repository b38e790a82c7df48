//! Models of the tree of contexts (tree.rs, heirs.rs, context.rs, and after_func.rs below them), under shuttle.
//!
//! What is checked: when `cancel` returns, all below are done: `err` says so and `done` is closed; a child that is born
//! meanwhile is, too; a deadline and a cancel end a context once, with one error; who waits for `done` of a context whose
//! handles have gone hears of its end all the same; a function is called once or was taken back.
//! What is not: reference counts, which change without a step between (`Arc` is std's).
//! What makes it fail: a birth that does not look for its parent's end; a cancel that does not wait for the walks that it
//! meets (as the first version of the tree did not, which is how these models found it).

use crate::context::{Context, ContextError};
use gosched_runtime::go;
use gosched_runtime::model::{check, settle, with_bug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

fn assert_done(ctx: &Context) {
    assert!(ctx.err().is_some(), "no error yet");
    assert!(ctx.done().is_closed(), "done is open");
}

/// A cancel against births below.
fn births() {
    check(|| {
        let (root, cancel) = Context::background().with_cancel();
        let theirs = root.clone();
        go(move || {
            let (child, _) = theirs.with_cancel();
            let (grandchild, _) = child.with_cancel();
            assert_eq!(grandchild.done().recv(), None);
            assert_done(&grandchild);
            // The parent's end comes first.
            assert_done(&theirs);
        });
        let waits = root.clone();
        go(move || {
            assert_eq!(waits.done().recv(), None);
            assert_eq!(waits.err(), Some(ContextError::Canceled));
        });
        cancel.cancel();
        assert_done(&root);
    });
}

#[test]
fn shuttle_a_child_is_done_however_late_it_is_born() {
    births();
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_child_of_an_ended_parent_waits_for_ever() {
    with_bug("tree: a birth looks for its parent's end", births);
}

/// Cancels twice at once, from above and below: whoever returns finds the whole of its tree done.
fn two_cancels() {
    check(|| {
        let (root, cancel_root) = Context::background().with_cancel();
        let (child, cancel_child) = root.with_cancel();
        let (grandchild, _) = child.with_cancel();
        let (mine, below) = (child.clone(), grandchild.clone());
        go(move || {
            cancel_child.cancel();
            assert_done(&mine);
            assert_done(&below);
        });
        cancel_root.cancel();
        for ctx in [&root, &child, &grandchild] {
            assert_done(ctx);
        }
    });
}

#[test]
fn shuttle_two_cancels_meet() {
    two_cancels();
}

#[test]
#[should_panic(expected = "no error yet")]
fn shuttle_planted_a_cancel_that_waits_for_no_other_returns_too_early() {
    with_bug("walk: who comes second waits for who came first", two_cancels);
}

/// Three cancels, each from another place of a chain: they wait for each other, but not in a circle.
#[test]
fn shuttle_three_cancels_meet() {
    check(|| {
        let mut chain = vec![Context::background().with_cancel()];
        for _ in 0..3 {
            let next = chain.last().unwrap().0.with_cancel();
            chain.push(next);
        }
        let all: Vec<Context> = chain.iter().map(|(ctx, _)| ctx.clone()).collect();
        for (i, (_, cancel)) in chain.into_iter().take(3).enumerate() {
            let below = all[i..].to_vec();
            go(move || {
                cancel.cancel();
                below.iter().for_each(assert_done);
            });
        }
    });
}

/// A deadline in the middle of the tree comes while the root is cancelled: whoever ends it, when `cancel` returns all below
/// are done.
fn deadline_and_cancel() {
    check(|| {
        let (root, cancel) = Context::background().with_cancel();
        let (child, _keeps) = root.with_timeout(Duration::from_millis(2));
        let (grandchild, _) = child.with_cancel();
        cancel.cancel();
        for ctx in [&root, &child, &grandchild] {
            assert_done(ctx);
        }
        assert_eq!(root.err(), Some(ContextError::Canceled));
        let how = child.err();
        settle();
        assert_eq!(child.err(), how, "it ended twice");
        assert_eq!(grandchild.err(), how);
    });
}

#[test]
fn shuttle_a_deadline_below_and_a_cancel_meet() {
    deadline_and_cancel();
}

#[test]
#[should_panic(expected = "no error yet")]
fn shuttle_planted_a_cancel_that_does_not_wait_for_a_deadline_returns_too_early() {
    with_bug("walk: who comes second waits for who came first", deadline_and_cancel);
}

/// The handles of a child go while its parent is cancelled and its own deadline comes; somebody waits for its `done`.
#[test]
fn shuttle_who_waits_hears_of_the_end_of_one_that_is_gone() {
    check(|| {
        let (root, cancel) = Context::background().with_cancel();
        let done = {
            let (child, _) = root.with_timeout(Duration::from_millis(2));
            let done = child.done();
            let last = child;
            go(move || drop(last));
            done
        };
        go(move || assert_eq!(done.recv(), None));
        cancel.cancel();
    });
}

/// A function against the end, and against being taken back.
#[test]
fn shuttle_a_function_is_called_once_or_was_taken_back() {
    check(|| {
        let (ctx, cancel) = Context::background().with_timeout(Duration::from_millis(2));
        let called = Arc::new(AtomicU32::new(0));
        let counts = called.clone();
        let stop = ctx.after_func(move || _ = counts.fetch_add(1, Relaxed));
        go(move || cancel.cancel());
        let stopped = stop.stop();
        settle();
        assert_eq!(called.load(Relaxed), u32::from(!stopped));
        assert_done(&ctx);
    });
}
