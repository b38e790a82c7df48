//! Model of the retake handshake (handshake.rs): one owner that goes in and out of the runtime, one thief.
//!
//! What is checked: the P, a plain memory cell, is never touched by both at once, and not by the owner after it was
//! taken; what either did to it is seen by the other.
//! What makes it fail: the owner's fence taken out (its look at `retaken` passes its store to `in_rt`, and both believe
//! to be first); the thief's look at `in_rt` after the barrier taken out. loom knows no membarrier, so both sides fence,
//! as they do where the kernel has none.

use crate::handshake::Handshake;
use crate::loom::with_bug;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

struct M {
    handshake: Handshake,
    has_p: AtomicBool,
    /// Stands for the P: whoever owns it writes it.
    p: UnsafeCell<u32>,
}

// SAFETY: the handshake is what is being tested; loom reports two at the cell at once.
unsafe impl Sync for M {}
// SAFETY: as above.
unsafe impl Send for M {}

fn owner_and_thief(calls: u32, attempts: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let m =
            Arc::new(M { handshake: Handshake::new(), has_p: AtomicBool::new(true), p: UnsafeCell::new(0) });
        m.handshake.leave();
        let owner = m.clone();
        let t = thread::spawn(move || {
            let mut did = 0;
            for _ in 0..calls {
                if owner.handshake.enter() {
                    owner.handshake.settle();
                }
                if owner.has_p.load(Relaxed) {
                    // SAFETY: inside the runtime with a P: it is ours.
                    owner.p.with_mut(|p| unsafe { *p += 1 });
                    did += 1;
                }
                owner.handshake.leave();
            }
            did
        });
        let mut seen = None;
        for _ in 0..attempts {
            m.handshake.take(
                || m.has_p.load(Relaxed),
                || {
                    m.has_p.store(false, Relaxed);
                    // SAFETY: taken: it is ours.
                    seen = Some(m.p.with_mut(|p| unsafe { std::mem::replace(&mut *p, 100) }));
                },
            );
        }
        let did = t.join().unwrap();
        // Whoever has it now sees all that was done.
        // SAFETY: both are done.
        let now = m.p.with(|p| unsafe { *p });
        match seen {
            Some(before) => assert_eq!((before, now), (did, 100)),
            None => assert_eq!((did, now), (calls, calls)),
        }
    });
}

#[test]
fn the_p_has_one_owner_at_a_time() {
    owner_and_thief(2, 2);
}

#[test]
#[should_panic]
fn without_the_owners_fence_both_have_it() {
    with_bug("handshake: owner fences", || owner_and_thief(1, 1));
}

#[test]
#[should_panic]
fn without_the_thiefs_look_both_have_it() {
    with_bug("handshake: thief looks", || owner_and_thief(1, 1));
}
