//! `Condvar` from outside, on plain threads.

use gosched_runtime::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn no_notification_is_lost_between_a_producer_and_its_consumers() {
    for round in 0..50 {
        let (queue, not_empty, not_full) =
            (Mutex::new(VecDeque::<u32>::new()), Condvar::new(), Condvar::new());
        let consumers = 1 + round % 4;
        let sum = AtomicUsize::new(0);
        thread::scope(|s| {
            for _ in 0..consumers {
                s.spawn(|| {
                    loop {
                        let mut q = not_empty.wait_while(queue.lock(), |q| q.is_empty());
                        let n = q.pop_front().unwrap();
                        drop(q);
                        not_full.notify_one();
                        match n {
                            0 => return,
                            n => sum.fetch_add(n as usize, Ordering::Relaxed),
                        };
                    }
                });
            }
            for n in (1..=500).chain(std::iter::repeat_n(0, consumers)) {
                let (mut q, r) = not_full.wait_timeout_while(queue.lock(), LONG, |q| q.len() >= 2);
                assert!(!r.timed_out(), "the consumers are asleep");
                q.push_back(n);
                drop(q); // notified without the mutex
                not_empty.notify_one();
            }
        });
        assert_eq!(sum.into_inner(), 500 * 501 / 2);
    }
}

#[test]
fn waiters_are_notified_in_the_order_in_which_they_came() {
    for _ in 0..100 {
        let (waiting, cv) = (Mutex::new(0), Condvar::new());
        let woken = Mutex::new(Vec::new());
        thread::scope(|s| {
            for i in 0..5 {
                let (waiting, cv, woken) = (&waiting, &cv, &woken);
                s.spawn(move || {
                    let mut n = waiting.lock();
                    *n += 1;
                    let guard = cv.wait(n);
                    woken.lock().push(i);
                    drop(guard);
                });
                // It counts itself and waits under one hold of the mutex.
                while *waiting.lock() <= i {
                    thread::yield_now();
                }
            }
            for served in 1..=5 {
                cv.notify_one();
                while woken.lock().len() < served {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(woken.into_inner(), [0, 1, 2, 3, 4]);
    }
}

#[test]
fn notify_one_wakes_one_and_notify_all_wakes_all_who_wait() {
    for _ in 0..100 {
        let (state, cv) = (Mutex::new((0, 0)), Condvar::new()); // waiting, woken
        thread::scope(|s| {
            for _ in 0..6 {
                s.spawn(|| {
                    let mut st = state.lock();
                    st.0 += 1;
                    st = cv.wait(st);
                    st.1 += 1;
                });
            }
            while state.lock().0 < 6 {
                thread::yield_now();
            }
            cv.notify_one();
            while state.lock().1 < 1 {
                thread::yield_now();
            }
            (0..50).for_each(|_| thread::yield_now());
            assert_eq!(state.lock().1, 1, "notify_one woke more than one");
            cv.notify_all();
        });
        assert_eq!(state.into_inner(), (6, 6));
        cv.notify_all(); // nobody left
    }
}

#[test]
fn a_notification_is_not_spent_on_one_whose_time_is_up() {
    for round in 0..100u64 {
        let (waiting, cv) = (Mutex::new(0), Condvar::new());
        thread::scope(|s| {
            for i in 0..8u64 {
                let (waiting, cv) = (&waiting, &cv);
                s.spawn(move || {
                    let mut n = waiting.lock();
                    *n += 1;
                    if i % 2 == 0 {
                        // Gives up about when the notifications come; where it got one, it passes it on.
                        let d = Duration::from_micros(100 + 37 * (round * i % 20));
                        let (guard, r) = cv.wait_timeout(n, d);
                        drop(guard);
                        if !r.timed_out() {
                            cv.notify_one();
                        }
                    } else {
                        let (_guard, r) = cv.wait_timeout(n, LONG);
                        assert!(!r.timed_out(), "a notification was lost");
                    }
                });
            }
            while *waiting.lock() < 8 {
                thread::yield_now();
            }
            // As many as wait without giving up.
            for _ in 0..4 {
                cv.notify_one();
            }
        });
    }
}

#[test]
fn a_timeout_takes_its_time_and_comes_back_with_the_mutex() {
    let (m, cv) = (Mutex::new(1), Condvar::new());
    let since = Instant::now();
    let (mut guard, r) = cv.wait_timeout(m.lock(), Duration::from_millis(30));
    assert!(r.timed_out() && since.elapsed() >= Duration::from_millis(30));
    assert!(m.try_lock().is_none());
    *guard = 2;
    let (guard, r) = cv.wait_timeout(guard, Duration::ZERO);
    assert!(r.timed_out());
    let since = Instant::now();
    let (guard, r) = cv.wait_timeout_while(guard, Duration::from_millis(30), |n| *n == 2);
    assert!(r.timed_out() && since.elapsed() >= Duration::from_millis(30));
    let (guard, r) = cv.wait_timeout_while(guard, Duration::ZERO, |n| *n != 2);
    assert!(!r.timed_out() && *guard == 2);
}

#[test]
fn the_longest_duration_overflows_nothing() {
    let (m, cv) = (Mutex::new(false), Condvar::new());
    thread::scope(|s| {
        let guard = m.lock();
        s.spawn(|| {
            *m.lock() = true;
            cv.notify_one();
        });
        let (guard, r) = cv.wait_timeout_while(guard, Duration::MAX, |done| !*done);
        assert!(*guard && !r.timed_out());
    });
}

#[test]
fn one_condvar_serves_waiters_of_several_mutexes() {
    let (a, b, cv) = (Mutex::new(0), Mutex::new("b"), Condvar::new());
    thread::scope(|s| {
        let waiter = s.spawn(|| {
            let mut guard = a.lock();
            *guard = 1;
            drop(cv.wait(guard));
        });
        while *a.lock() == 0 {
            thread::yield_now();
        }
        let (guard, r) = cv.wait_timeout(b.lock(), Duration::from_millis(1));
        assert!(r.timed_out() && *guard == "b");
        cv.notify_one();
        waiter.join().unwrap();
    });
}

#[test]
fn a_panic_of_the_condition_releases_the_mutex() {
    let (m, cv) = (Mutex::new(()), Condvar::new());
    let r = catch_unwind(AssertUnwindSafe(|| cv.wait_while(m.lock(), |()| panic!("on purpose"))));
    assert!(r.is_err());
    drop(m.try_lock().expect("free"));
    assert_eq!(format!("{:?}", Condvar::default()), "Condvar { .. }");
}
