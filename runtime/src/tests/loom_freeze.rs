//! Model of the freeze (freeze.rs) with the handshake's flag (handshake.rs): one M that resumes a goroutine again and again,
//! one who looks, or two.
//!
//! What is checked: the stack of a goroutine that is no M's current one, a plain memory cell, is not written while
//! somebody looks at it, and what was written before is seen; whoever is at the gate comes through after the thaw.
//! What makes it fail: the gate's fence taken out (its look passes the M's flag, and both believe to be first); the look
//! that does not wait for an M inside; a gate that is passed without a second look; one that does not acquire the thaw.
//! loom knows no membarrier, so both sides fence, as they do where the kernel has none.

use crate::freeze::{Freeze, Resumes, has_come_to_rest};
use crate::handshake::Handshake;
use crate::model::fails;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use loom::thread;

struct M {
    handshake: Handshake,
    quiet: AtomicBool,
    /// Its current goroutine is the one there is.
    curg: AtomicBool,
}

impl Resumes for M {
    fn quiet(&self) -> bool {
        self.quiet.load(Acquire)
    }

    fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Release);
    }

    fn inside(&self) -> bool {
        self.handshake.inside()
    }
}

struct World {
    freeze: Freeze,
    m: M,
    /// The goroutine's: written while it runs.
    stack: UnsafeCell<u32>,
}

// SAFETY: the freeze is what is being tested; loom reports two at the cell at once.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    /// What an M does from its sleep to a goroutine's next park (wake.rs, schedule.rs).
    fn execute(&self) {
        self.m.set_quiet(true);
        self.m.set_quiet(false);
        self.freeze.gate(&self.m);
        self.m.curg.store(true, Release);
        self.m.handshake.leave();
        // SAFETY: the goroutine runs, nobody looks at it.
        self.stack.with_mut(|s| unsafe { *s += 1 });
        if self.m.handshake.enter() {
            self.m.handshake.settle();
        }
        self.m.curg.store(false, Release);
    }

    /// Looks at the goroutine, where it is at rest (debug.rs).
    fn look(&self) {
        let _frozen = self.freeze.freeze();
        has_come_to_rest(&self.m);
        if !self.m.curg.load(Acquire) {
            self.stack.with(|s| {
                thread::yield_now(); // somebody else may come meanwhile
                // SAFETY: at rest.
                unsafe { *s }
            });
        }
    }
}

fn m_and_lookers(runs: u32, looks: &'static [u32], preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let m =
            M { handshake: Handshake::new(), quiet: AtomicBool::new(false), curg: AtomicBool::new(false) };
        let w = Arc::new(World { freeze: Freeze::new(), m, stack: UnsafeCell::new(0) });
        let lookers: Vec<_> = looks
            .iter()
            .map(|&looks| {
                let w = w.clone();
                thread::spawn(move || (0..looks).for_each(|_| w.look()))
            })
            .collect();
        for _ in 0..runs {
            w.execute();
        }
        w.m.set_quiet(true); // it sleeps, with nothing to do
        for t in lookers {
            t.join().unwrap();
        }
        // SAFETY: all are done.
        assert_eq!(w.stack.with(|s| unsafe { *s }), runs);
    });
}

#[test]
fn loom_nobody_resumes_what_is_looked_at() {
    m_and_lookers(2, &[1], 3);
    m_and_lookers(1, &[2], 3);
    m_and_lookers(1, &[1, 1], 2);
}

#[test]
fn without_the_gates_fence_both_are_there() {
    let test = "models::loom_freeze::without_the_gates_fence_both_are_there";
    fails(test, "freeze: the gate fences", "Causality violation", || m_and_lookers(1, &[1], 3));
}

#[test]
fn without_the_wait_for_those_inside_both_are_there() {
    let test = "models::loom_freeze::without_the_wait_for_those_inside_both_are_there";
    fails(test, "freeze: the looker waits", "Causality violation", || m_and_lookers(1, &[1], 3));
}

#[test]
fn without_the_second_look_at_the_gate_both_are_there() {
    let test = "models::loom_freeze::without_the_second_look_at_the_gate_both_are_there";
    fails(test, "freeze: past the gate again", "currently reading from cell", || m_and_lookers(1, &[2], 3));
}

#[test]
fn without_the_acquire_of_the_thaw_the_look_may_not_be_over() {
    let test = "models::loom_freeze::without_the_acquire_of_the_thaw_the_look_may_not_be_over";
    fails(test, "freeze: the gate acquires", "Causality violation", || m_and_lookers(1, &[1], 3));
}
