//! Model of the handshake between those who submit work and those who go to sleep (spinning.rs).
//!
//! What is checked: when all is quiet, no work lies in a queue while a P is idle and nobody is on his way to look.
//! What makes it fail: one of the two fences taken out (store and load pass each other on both sides, and nobody looks);
//! a failed claim taken back after the scheduler's lock was released instead of under it.

use crate::loom::{sound, with_bug};
use crate::spinning::Spinning;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Arc, Mutex};
use loom::thread;

struct World {
    spin: Spinning,
    /// The scheduler's lock, and under it the number of idle Ps.
    lock: Mutex<u32>,
    /// Work in the submitter's local queue: without a lock, and read by others as the real queues are.
    work: AtomicU32,
    /// Wakers on their way: each has a P and will look.
    woken: AtomicU32,
}

impl World {
    fn new() -> World {
        World {
            spin: Spinning::new(),
            lock: Mutex::new(0),
            work: AtomicU32::new(0),
            woken: AtomicU32::new(0),
        }
    }

    /// wakep: claims, takes an idle P under the lock or takes the claim back.
    fn wakep(&self) {
        if !self.spin.claim() {
            return;
        }
        let mut idle = self.lock.lock().unwrap();
        if *idle > 0 {
            *idle -= 1;
            self.spin.p_busy();
            self.woken.fetch_add(1, Relaxed);
        } else if sound("model: claim taken back under the lock") {
            self.spin.unclaim();
        } else {
            drop(idle);
            self.spin.unclaim();
        }
    }

    fn submit(&self) {
        self.work.store(1, Relaxed); // S1
        if self.spin.must_wake() {
            self.wakep();
        }
    }

    /// An M gives its P up and looks once more. True: it found work and goes on.
    fn go_idle(&self, was_spinning: bool) -> bool {
        {
            let mut idle = self.lock.lock().unwrap();
            *idle += 1;
            self.spin.p_idle();
        }
        self.spin.went_idle(was_spinning);
        self.work.load(Relaxed) > 0 // I4
    }
}

/// One submits, one goes to sleep.
fn submitter_and_sleeper(was_spinning: bool) {
    loom::model(move || {
        let w = Arc::new(World::new());
        if was_spinning {
            w.spin.begin();
        }
        let sleeper = {
            let w = w.clone();
            thread::spawn(move || w.go_idle(was_spinning))
        };
        w.submit();
        let found = sleeper.join().unwrap();
        assert!(found || w.woken.load(Relaxed) > 0, "work lies, a P is idle, nobody looks");
    });
}

/// One claims and finds no idle P, one submits, one goes to sleep without having spun.
fn failed_claim() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let w = Arc::new(World::new());
        let claimer = {
            let w = w.clone();
            thread::spawn(move || w.wakep())
        };
        let sleeper = {
            let w = w.clone();
            thread::spawn(move || w.go_idle(false))
        };
        w.submit();
        claimer.join().unwrap();
        let found = sleeper.join().unwrap();
        assert!(found || w.woken.load(Relaxed) > 0, "work lies, a P is idle, nobody looks");
    });
}

#[test]
fn no_wake_up_is_lost() {
    submitter_and_sleeper(true);
    submitter_and_sleeper(false);
}

#[test]
fn a_failed_claim_misleads_nobody() {
    failed_claim();
}

#[test]
#[should_panic(expected = "nobody looks")]
fn without_the_submitters_fence_one_is_lost() {
    with_bug("spinning: submitter fences", || submitter_and_sleeper(true));
}

#[test]
#[should_panic(expected = "nobody looks")]
fn without_the_sleepers_fence_one_is_lost() {
    with_bug("spinning: sleeper fences", || submitter_and_sleeper(true));
}

#[test]
#[should_panic(expected = "nobody looks")]
fn a_claim_taken_back_too_late_loses_one() {
    with_bug("model: claim taken back under the lock", failed_claim);
}
