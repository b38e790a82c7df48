//! `Semaphore` from outside, on plain threads. (Its order is tested in semaphore.rs, where one can see who waits.)

use gosched_runtime::sync::Semaphore;
use std::panic::catch_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn never_more_out_than_there_are_and_none_lost() {
    for round in 0..60 {
        let permits = 1 + round % 5;
        let (s, out, start) = (Semaphore::new(permits), AtomicUsize::new(0), Barrier::new(6));
        thread::scope(|scope| {
            for me in 0..6 {
                let (s, out, start) = (&s, &out, &start);
                scope.spawn(move || {
                    start.wait();
                    for i in 0..200 {
                        let n = 1 + (i + me) % permits;
                        let permit = match i % 5 {
                            0 => s.try_acquire_many(n),
                            1 => s.acquire_many_timeout(n, Duration::from_micros(50)),
                            2 => s.acquire_many_timeout(n, Duration::MAX),
                            _ => Some(s.acquire_many(n)),
                        };
                        let Some(permit) = permit else { continue };
                        assert!(out.fetch_add(n, Ordering::Relaxed) + n <= permits, "too many out");
                        if i % 7 == 0 {
                            thread::yield_now();
                        }
                        out.fetch_sub(n, Ordering::Relaxed);
                        assert_eq!(permit.num_permits(), n);
                    }
                });
            }
        });
        assert_eq!(s.available_permits(), permits);
        assert_eq!(s.try_acquire_many(permits).map(|p| p.num_permits()), Some(permits));
    }
}

#[test]
fn a_large_taker_is_not_starved_by_small_ones() {
    let (s, stop) = (Semaphore::new(4), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _one = s.acquire();
                    thread::yield_now();
                }
            });
        }
        for _ in 0..200 {
            let all = s.acquire_many_timeout(4, Duration::from_secs(10));
            assert!(all.is_some(), "the large taker starved");
            drop(all);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(s.available_permits(), 4);
}

#[test]
fn more_than_there_are_waits_for_add_permits() {
    for _ in 0..100 {
        let s = Semaphore::new(2);
        thread::scope(|scope| {
            let t = scope.spawn(|| s.acquire_many(5).forget());
            s.add_permits(1);
            s.add_permits(2);
            t.join().unwrap();
        });
        assert_eq!(s.available_permits(), 0);
    }
}

#[test]
fn a_permit_passes_on_what_was_done_under_it() {
    static S: Semaphore = Semaphore::new(1);
    let mut n = 0u32;
    struct Shared(*mut u32);
    // SAFETY: the pointee is touched under the only permit.
    unsafe impl Sync for Shared {}
    let shared = &Shared(&raw mut n);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..2_000 {
                    let _permit = S.acquire();
                    // SAFETY: the semaphore has one permit, and we hold it.
                    unsafe { *shared.0 += 1 };
                }
            });
        }
    });
    assert_eq!(n, 8_000);
}

#[test]
fn a_timeout_takes_its_time_and_leaves_nothing_behind() {
    let s = Semaphore::new(0);
    let since = Instant::now();
    assert!(s.acquire_timeout(Duration::from_millis(30)).is_none());
    assert!(since.elapsed() >= Duration::from_millis(30));
    s.add_permits(1);
    assert!(s.try_acquire().is_some());
}

#[test]
fn forgotten_permits_are_gone_and_the_limit_is_kept() {
    let s = Semaphore::new(3);
    s.acquire_many(2).forget();
    assert_eq!(s.available_permits(), 1);
    assert_eq!(format!("{s:?}"), "Semaphore { permits: 1, .. }");
    assert!(catch_unwind(|| s.add_permits(Semaphore::MAX_PERMITS)).is_err());
    assert_eq!(s.available_permits(), 1);
    assert!(catch_unwind(|| Semaphore::new(Semaphore::MAX_PERMITS + 1)).is_err());
    assert_eq!(Semaphore::new(Semaphore::MAX_PERMITS).available_permits(), Semaphore::MAX_PERMITS);
}

#[test]
fn a_permit_is_given_back_by_a_panic() {
    let s = Semaphore::new(1);
    let r = catch_unwind(|| {
        let _permit = s.acquire();
        panic!("on purpose");
    });
    assert!(r.is_err());
    assert_eq!(s.available_permits(), 1);
}
