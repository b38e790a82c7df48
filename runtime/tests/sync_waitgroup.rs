//! `WaitGroup` from outside, on plain threads.

use gosched_runtime::sync::WaitGroup;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The words of the panic that `f` ends in.
fn words(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("no panic");
    match payload.downcast_ref::<&str>() {
        Some(s) => s.to_string(),
        None => payload.downcast_ref::<String>().expect("a message").clone(),
    }
}

#[test]
fn wait_returns_after_the_last_done_and_sees_the_work() {
    for round in 0..300 {
        let workers = 1 + round % 8;
        let (wg, sum) = (WaitGroup::new(), AtomicU32::new(0));
        thread::scope(|s| {
            wg.add(workers as isize);
            for _ in 0..workers {
                let (wg, sum) = (wg.clone(), &sum);
                s.spawn(move || {
                    sum.fetch_add(1, Ordering::Relaxed);
                    wg.done();
                });
            }
            // Several waiters, here and elsewhere.
            for _ in 0..2 {
                s.spawn(|| {
                    wg.wait();
                    assert_eq!(sum.load(Ordering::Relaxed), workers);
                });
            }
            wg.wait();
            assert_eq!(sum.load(Ordering::Relaxed), workers);
        });
    }
}

#[test]
fn wait_does_not_return_before_zero() {
    for _ in 0..200 {
        let (wg, allowed) = (WaitGroup::new(), AtomicBool::new(false));
        wg.add(2);
        thread::scope(|s| {
            s.spawn(|| {
                wg.wait();
                assert!(allowed.load(Ordering::Relaxed), "let go too early");
            });
            wg.done();
            thread::yield_now();
            allowed.store(true, Ordering::Relaxed);
            wg.done();
        });
    }
}

#[test]
fn a_group_can_be_used_again_after_its_waits_returned() {
    let wg = WaitGroup::new();
    let (to_worker, jobs) = std::sync::mpsc::channel::<WaitGroup>();
    let worker = thread::spawn(move || jobs.iter().for_each(|wg| wg.done()));
    for _ in 0..2_000 {
        wg.add(1);
        to_worker.send(wg.clone()).unwrap();
        wg.wait();
    }
    drop(to_worker);
    worker.join().unwrap();
}

#[test]
fn below_zero_panics_in_gos_words_and_changes_nothing() {
    let wg = WaitGroup::new();
    assert_eq!(words(|| wg.done()), "sync: negative WaitGroup counter");
    wg.add(2);
    assert_eq!(words(|| wg.add(-3)), "sync: negative WaitGroup counter");
    assert_eq!(words(|| wg.add(isize::MIN)), "sync: negative WaitGroup counter");
    assert_eq!(words(|| wg.add(isize::MAX)), "sync: WaitGroup counter overflow");
    wg.add(-2);
    wg.wait();
}

#[test]
fn reuse_before_the_waiter_is_back_panics_in_gos_words() {
    // The waiter needs some time to wake, and the group counts again at once: the misuse. Only where the waiter has not
    // got as far as its sleep does it wait for the second round instead, so there are several tries.
    for _ in 0..500 {
        let wg = WaitGroup::new();
        wg.add(1);
        let arrived = AtomicBool::new(false);
        let caught = thread::scope(|s| {
            let waiter = s.spawn(|| {
                arrived.store(true, Ordering::Relaxed);
                catch_unwind(AssertUnwindSafe(|| wg.wait())).err()
            });
            while !arrived.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            (0..100).for_each(|_| thread::yield_now());
            wg.done();
            wg.add(1);
            let since = Instant::now();
            while !waiter.is_finished() && since.elapsed() < Duration::from_millis(20) {
                thread::yield_now();
            }
            wg.done();
            waiter.join().unwrap()
        });
        if let Some(payload) = caught {
            let words = payload.downcast_ref::<&str>();
            assert_eq!(words, Some(&"sync: WaitGroup is reused before previous Wait has returned"));
            return;
        }
    }
    panic!("the misuse went undetected 500 times");
}

#[test]
fn clones_share_one_counter() {
    let a = WaitGroup::new();
    let b = a.clone();
    a.add(1);
    b.add(1);
    assert_eq!(format!("{b:?}"), "WaitGroup { counter: 2, .. }");
    a.done();
    a.done();
    b.wait();
}
