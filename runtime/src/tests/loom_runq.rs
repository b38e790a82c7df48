//! Model of the run queue: one owner, two thieves, a ring of 4, up to overflow.
//!
//! What is checked: each goroutine is taken exactly once, by the owner, by a thief or in the overflow; and whoever takes
//! it sees what was written into it before it was queued.
//! What makes it fail: without the Release of tail or runnext a thief reads an unpublished goroutine; without the check of the
//! thief's claim (its CAS on head) two of them run the same one.

use crate::glist::{GQueue, Linked};
use crate::loom::with_bug;
use crate::runq::RunQ;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::ptr::NonNull;

struct Node {
    link: *mut Node,
    value: UnsafeCell<u32>,
}

// SAFETY: `link` is written by lists only.
unsafe impl Linked for Node {
    fn link(this: NonNull<Node>) -> *mut *mut Node {
        // SAFETY: nodes of a model are freed when they are taken, not before.
        unsafe { &raw mut (*this.as_ptr()).link }
    }
}

struct Shared(RunQ<Node>);
// SAFETY: the queue is what is being tested.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn node() -> NonNull<Node> {
    NonNull::from(Box::leak(Box::new(Node { link: std::ptr::null_mut(), value: UnsafeCell::new(0) })))
}

/// Takes a node apart: its number. A second taker would find it freed or changed.
fn take(n: NonNull<Node>) -> u32 {
    // SAFETY: loom checks that the write of the number is ordered before this.
    unsafe { n.as_ref() }.value.with_mut(|v| unsafe { std::mem::replace(&mut *v, u32::MAX) })
}

fn take_all(q: &RunQ<Node>) -> Vec<u32> {
    std::iter::from_fn(|| q.runqget().map(|got| take(got.g))).collect()
}

/// The owner queues `n`, every third as the next to run, and takes one in between; thieves steal once each.
fn owner_and_thieves(n: u32, thieves: usize, runnext: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let q = Arc::new(Shared(RunQ::new()));
        let ts: Vec<_> = (0..thieves)
            .map(|_| {
                let q = q.clone();
                thread::spawn(move || {
                    let mine = RunQ::new();
                    let mut got: Vec<u32> = mine.runqsteal(&q.0, || runnext).map(take).into_iter().collect();
                    got.extend(take_all(&mine));
                    got
                })
            })
            .collect();
        let mut got = vec![];
        for i in 0..n {
            let g = node();
            // SAFETY: not queued yet.
            unsafe { g.as_ref() }.value.with_mut(|v| unsafe { *v = i });
            let over: Option<GQueue<Node>> = q.0.runqput(g, runnext && i % 3 == 0);
            if let Some(mut over) = over {
                got.extend(std::iter::from_fn(|| over.pop_front().map(take)));
            }
        }
        got.extend(take_all(&q.0));
        for t in ts {
            got.extend(t.join().unwrap());
        }
        got.sort_unstable();
        assert!(got.into_iter().eq(0..n), "each exactly once");
    });
}

#[test]
fn each_is_taken_once_by_owner_or_thieves() {
    owner_and_thieves(3, 2, false);
}

#[test]
fn each_is_taken_once_through_an_overflow() {
    owner_and_thieves(6, 1, false);
}

#[test]
fn each_is_taken_once_from_runnext() {
    owner_and_thieves(2, 2, true);
}

#[test]
#[should_panic]
fn without_the_release_of_tail_a_thief_reads_an_unpublished_one() {
    with_bug("runq: tail published", || owner_and_thieves(2, 1, false));
}

#[test]
#[should_panic]
fn without_the_release_of_runnext_a_thief_reads_an_unpublished_one() {
    with_bug("runq: runnext published", || owner_and_thieves(2, 1, true));
}

#[test]
#[should_panic]
fn without_the_check_of_the_claim_one_is_taken_twice() {
    with_bug("runq: claim checked", || owner_and_thieves(3, 2, false));
}
