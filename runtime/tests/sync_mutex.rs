//! `Mutex` from outside, on plain threads.

use gosched_runtime::sync::{Mutex, MutexGuard};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn one_at_a_time_and_nothing_lost() {
    for round in 0..200 {
        let threads = 2 + round % 7;
        let (m, inside, start) = (Mutex::new(0u64), AtomicU32::new(0), Barrier::new(threads));
        thread::scope(|s| {
            for _ in 0..threads {
                s.spawn(|| {
                    start.wait();
                    for i in 0..500 {
                        // Now lock, now try: both ways in must exclude each other.
                        let mut guard = match (i % 3 == 0).then(|| m.try_lock()).flatten() {
                            Some(guard) => guard,
                            None => m.lock(),
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two in the lock");
                        *guard += 1;
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(m.into_inner(), threads as u64 * 500);
    }
}

#[test]
fn a_hog_does_not_keep_its_rival_out() {
    for _ in 0..5 {
        let (m, rival_is_in) = (Mutex::new(()), AtomicBool::new(false));
        let started = AtomicBool::new(false);
        let mut turns_after_start = 0;
        thread::scope(|s| {
            s.spawn(|| {
                started.store(true, Ordering::Release);
                let _guard = m.lock();
                rival_is_in.store(true, Ordering::Release);
            });
            // Holds the lock for 2 ms at a time and takes it again at once. The rival's second loss makes the mutex
            // starve, after which it is next; but on a busy machine it may have to wait for a processor too. (When
            // exactly it becomes the heir is tested in mutex/raw.rs.)
            while !rival_is_in.load(Ordering::Acquire) {
                let guard = m.lock();
                if started.load(Ordering::Acquire) {
                    turns_after_start += 1;
                }
                let work = Instant::now();
                while work.elapsed() < Duration::from_millis(2) {
                    std::hint::spin_loop();
                }
                drop(guard);
                assert!(turns_after_start < 300, "the rival starved");
            }
        });
    }
}

#[test]
fn every_thread_gets_the_lock_again_and_again_under_load() {
    const THREADS: usize = 8;
    let m = Mutex::new([0u32; THREADS]);
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        for me in 0..THREADS {
            let (m, stop) = (&m, &stop);
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    m.lock()[me] += 1;
                }
            });
        }
        let since = Instant::now();
        while m.lock().iter().any(|&n| n < 20) {
            assert!(since.elapsed() < Duration::from_secs(20), "{:?}", m.lock());
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_panic_under_the_lock_releases_it() {
    let m = Mutex::new(1);
    let r = catch_unwind(|| {
        let mut guard = m.lock();
        *guard = 2;
        panic!("on purpose");
    });
    assert!(r.is_err());
    assert_eq!(m.try_lock().map(|g| *g), Some(2));
}

#[test]
fn a_guard_may_be_dropped_on_another_thread() {
    static M: Mutex<u32> = Mutex::new(0);
    for n in 0..200 {
        let (tx, rx) = mpsc::channel::<MutexGuard<'static, u32>>();
        let t = thread::spawn(move || {
            let mut guard = rx.recv().unwrap();
            *guard += 1;
        });
        tx.send(M.lock()).unwrap();
        assert_eq!(*M.lock(), n + 1); // waits for the other thread's drop
        t.join().unwrap();
    }
}

#[test]
fn what_the_guard_of_a_slice_or_a_trait_object_shows() {
    let m: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
    m.lock()[1] = 5;
    assert_eq!(m.lock().iter().sum::<i32>(), 9);
    let d: &Mutex<dyn std::fmt::Debug + Send> = &Mutex::new(7);
    assert_eq!(format!("{:?}", d.lock()), "7");
}

#[test]
fn debug_shows_the_value_or_that_it_is_locked() {
    let m = Mutex::new(3);
    assert_eq!(format!("{m:?}"), "Mutex { data: 3, .. }");
    let guard = m.lock();
    assert_eq!(format!("{m:?}"), "Mutex { data: <locked>, .. }");
    assert_eq!(format!("{guard:?} {guard}"), "3 3");
    drop(guard);
    assert_eq!(Mutex::<Vec<u8>>::default().into_inner(), []);
    assert_eq!(*Mutex::from("x").get_mut(), "x");
}

#[test]
fn many_locks_with_waiters_at_once_do_not_wake_each_other() {
    // A ring of locks, all held; thread i waits for lock i and then releases lock i + 1.
    const N: usize = 64;
    let locks: Vec<Mutex<()>> = (0..N).map(|_| Mutex::new(())).collect();
    let through = AtomicU32::new(0);
    for _ in 0..20 {
        through.store(0, Ordering::Relaxed);
        let mut held: Vec<_> = locks.iter().map(|m| Some(m.lock())).collect();
        thread::scope(|s| {
            let first = held[0].take();
            for (i, next) in held.drain(1..).chain([None]).enumerate() {
                let (m, through) = (&locks[i], &through);
                s.spawn(move || {
                    let _mine = m.lock();
                    assert_eq!(through.fetch_add(1, Ordering::Relaxed), i as u32);
                    drop(next);
                });
            }
            drop(first);
        });
        assert_eq!(through.load(Ordering::Relaxed), N as u32);
    }
}

#[test]
fn a_mutex_passes_through_catch_unwind_as_stds_does() {
    let m = Mutex::new(std::cell::Cell::new(1));
    assert!(catch_unwind(|| m.lock().set(2)).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(m.lock()))).is_ok());
}
