//! Model of the lock: three who take it and give it back, or two, one of them twice; in both ways of giving back.
//!
//! What is checked: never two of them are inside, each sees what the one before it wrote, and nobody sleeps for ever.
//! What makes it fail: without the fence of who gives it back, or what stands for it, that one looks for sleepers too
//! early, and the sleeper too early at the key: nobody wakes it.

use crate::model::fails;
use crate::rawlock::Lock;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

struct Counter(Lock, UnsafeCell<u32>);
// SAFETY: the number is touched under the lock; loom reports it otherwise.
unsafe impl Sync for Counter {}
// SAFETY: as above.
unsafe impl Send for Counter {}

impl Counter {
    fn add(&self, last: bool) {
        self.0.lock();
        // SAFETY: we hold the lock, and are in an Arc.
        unsafe {
            self.1.with_mut(|n| *n += 1);
            if last { self.0.unlock_last() } else { self.0.unlock() }
        }
    }
}

/// Each thread's list: how it gives the lock back, one time after the other.
fn count(threads: &'static [&'static [bool]]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let counter = Arc::new(Counter(Lock::new(), UnsafeCell::new(0)));
        let others: Vec<_> = threads[1..]
            .iter()
            .map(|how| {
                let counter = counter.clone();
                thread::spawn(move || how.iter().for_each(|last| counter.add(*last)))
            })
            .collect();
        threads[0].iter().for_each(|last| counter.add(*last));
        for t in others {
            t.join().unwrap();
        }
        // SAFETY: all have ended.
        let n = counter.1.with(|n| unsafe { *n });
        assert_eq!(n as usize, threads.iter().map(|how| how.len()).sum::<usize>());
    });
}

fn two() {
    count(&[&[false, false], &[false]]);
}

#[test]
fn nobody_sleeps_for_ever_with_plain_unlocks() {
    two();
}

#[test]
fn nobody_sleeps_for_ever_with_last_unlocks() {
    count(&[&[true, true], &[true]]);
}

#[test]
fn nobody_sleeps_for_ever_with_both_among_three() {
    count(&[&[false], &[true], &[true]]);
    count(&[&[true], &[false], &[false]]);
}

#[test]
fn without_the_fence_somebody_does() {
    let test = "models::loom_rawlock::without_the_fence_somebody_does";
    fails(test, "lock: who gives it back fences", "deadlock", two);
}
