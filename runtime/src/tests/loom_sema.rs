//! Model of the semaphore on bare words (sema.rs), over the models' seam, with one root.
//!
//! What is checked: no unit lies while its waiter sleeps; a unit is one thread's at a time, and who takes it sees what was
//! done before it was given; one that is handed over passes nobody by.
//! loom takes SeqCst operations for AcqRel ones; the fence that stands for their one order is in sema.rs (`seq_cst`).
//! What makes it fail: that order taken out (counting and looking pass each other on both sides); the waiter's second look;
//! a handed unit that is not marked.

use crate::model::fails;
use crate::park::{WaitReason, assert_quiet};
use crate::sema::{semacquire, semrelease};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

struct Guarded {
    word: AtomicU32,
    /// Whose unit it is may write it.
    value: UnsafeCell<u32>,
}

// SAFETY: the semaphore is what is being tested; loom reports two at the cell at once.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

fn acquire_and_write(s: &Guarded) -> u32 {
    semacquire(&s.word, false, WaitReason::Semacquire);
    assert_quiet();
    // SAFETY: the unit is ours; loom checks it.
    s.value.with_mut(|v| unsafe {
        *v += 1;
        *v
    })
}

/// One waits for the unit that the other gives after writing.
fn giver_and_taker(handoff: bool) {
    loom::model(move || {
        let s = Arc::new(Guarded { word: AtomicU32::new(0), value: UnsafeCell::new(0) });
        let giver = s.clone();
        let t = thread::spawn(move || {
            // SAFETY: before the unit is given nobody else has it.
            giver.value.with_mut(|v| unsafe { *v = 7 });
            semrelease(&giver.word, handoff);
        });
        assert_eq!(acquire_and_write(&s), 8);
        t.join().unwrap();
    });
}

/// Two take the unit one after the other, and give it back.
fn two_takers(handoff: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let s = Arc::new(Guarded { word: AtomicU32::new(1), value: UnsafeCell::new(0) });
        let other = s.clone();
        let t = thread::spawn(move || {
            acquire_and_write(&other);
            semrelease(&other.word, handoff);
        });
        acquire_and_write(&s);
        semrelease(&s.word, handoff);
        t.join().unwrap();
        assert_eq!(acquire_and_write(&s), 3);
    });
}

#[test]
fn loom_no_unit_lies_while_its_waiter_sleeps() {
    giver_and_taker(false);
    giver_and_taker(true);
}

#[test]
fn loom_a_unit_is_one_threads_at_a_time() {
    two_takers(false);
    two_takers(true);
}

#[test]
fn without_one_order_the_releaser_misses_the_waiter() {
    let test = "models::loom_sema::without_one_order_the_releaser_misses_the_waiter";
    fails(test, "sema: one order of all four steps", "deadlock", || giver_and_taker(false));
}

#[test]
fn without_the_second_look_the_unit_lies() {
    let test = "models::loom_sema::without_the_second_look_the_unit_lies";
    fails(test, "sema: looks once more when counted", "deadlock", || giver_and_taker(false));
}

#[test]
fn a_handed_unit_that_is_not_marked_is_lost() {
    let test = "models::loom_sema::a_handed_unit_that_is_not_marked_is_lost";
    fails(test, "sema: a handed unit is marked as such", "deadlock", || giver_and_taker(true));
}
