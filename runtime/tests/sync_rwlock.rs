//! `RwLock` from outside, on plain threads. (Its order is tested in rwlock.rs, where one can see who waits.)

use gosched_runtime::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn many_readers_or_one_writer() {
    for round in 0..200 {
        // inside: how many readers are in, or -1 for a writer.
        let (lock, inside, start) = (RwLock::new(0u32), AtomicIsize::new(0), Barrier::new(6));
        let writers = 1 + round % 3;
        thread::scope(|s| {
            for me in 0..6 {
                let (lock, inside, start) = (&lock, &inside, &start);
                s.spawn(move || {
                    start.wait();
                    for i in 0..200 {
                        if me < writers {
                            let try_it = i % 3 == 0;
                            let mut guard =
                                try_it.then(|| lock.try_write()).flatten().unwrap_or_else(|| lock.write());
                            assert_eq!(inside.swap(-1, Ordering::Relaxed), 0, "a writer was not alone");
                            *guard += 1;
                            inside.store(0, Ordering::Relaxed);
                            if i % 5 == 0 {
                                let reading = RwLockWriteGuard::downgrade(guard);
                                assert!(inside.fetch_add(1, Ordering::Relaxed) >= 0, "a writer came in");
                                assert!(*reading > 0);
                                inside.fetch_sub(1, Ordering::Relaxed);
                            }
                        } else {
                            let try_it = i % 3 == 0;
                            let guard =
                                try_it.then(|| lock.try_read()).flatten().unwrap_or_else(|| lock.read());
                            assert!(
                                inside.fetch_add(1, Ordering::Relaxed) >= 0,
                                "read while a writer was in"
                            );
                            std::hint::black_box(*guard);
                            inside.fetch_sub(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(lock.into_inner() as usize, writers * 200);
    }
}

#[test]
fn readers_are_in_together() {
    let lock = RwLock::new(());
    let all_in = Barrier::new(4);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let _guard = lock.read();
                all_in.wait(); // hangs where one excludes another
            });
        }
    });
}

#[test]
fn neither_writer_nor_readers_starve() {
    let (lock, stop) = (RwLock::new(0u32), AtomicBool::new(false));
    let reads = AtomicIsize::new(0);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                // Four readers that overlap: there is hardly a moment with none in.
                while !stop.load(Ordering::Relaxed) {
                    let _guard = lock.read();
                    reads.fetch_add(1, Ordering::Relaxed);
                    let since = Instant::now();
                    while since.elapsed() < Duration::from_micros(100) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        let since = Instant::now();
        while reads.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        for _ in 0..100 {
            *lock.write() += 1;
        }
        let took = since.elapsed();
        stop.store(true, Ordering::Relaxed);
        assert!(took < Duration::from_secs(20), "100 writes took {took:?}");
    });

    // The other way about: two writers that take turns without a gap, and a reader.
    stop.store(false, Ordering::Relaxed);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    *lock.write() += 1;
                }
            });
        }
        for _ in 0..100 {
            let since = Instant::now();
            drop(lock.read());
            assert!(since.elapsed() < Duration::from_secs(5));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn guards_may_be_dropped_on_another_thread() {
    static LOCK: RwLock<u32> = RwLock::new(0);
    for n in 0..100 {
        type Reading = RwLockReadGuard<'static, u32>;
        let (tx, rx) = mpsc::channel::<(Reading, Reading)>();
        let t = thread::spawn(move || {
            let (reading, again) = rx.recv().unwrap();
            assert_eq!((*reading, *again), (n, n));
        });
        tx.send((LOCK.read(), LOCK.read())).unwrap();
        *LOCK.write() += 1; // waits for the other thread's drops
        t.join().unwrap();
    }
    let (tx, rx) = mpsc::channel::<RwLockWriteGuard<'static, u32>>();
    let t = thread::spawn(move || *rx.recv().unwrap() = 7);
    tx.send(LOCK.write()).unwrap();
    assert_eq!(*LOCK.read(), 7); // waits for the other thread's drop
    t.join().unwrap();
}

#[test]
fn a_panic_releases_the_lock_without_poison() {
    let lock = RwLock::new(1);
    assert!(
        catch_unwind(|| {
            *lock.write() = 2;
            let _guard = lock.write();
            panic!("on purpose");
        })
        .is_err()
    );
    assert!(
        catch_unwind(|| {
            let _guard = lock.read();
            panic!("on purpose");
        })
        .is_err()
    );
    assert_eq!(lock.try_write().map(|g| *g), Some(2));
}

#[test]
fn forgotten_read_guards_keep_writers_out_for_ever() {
    let lock = RwLock::new(1);
    for _ in 0..1000 {
        std::mem::forget(lock.read());
    }
    assert!(lock.try_write().is_none());
    assert_eq!(lock.try_read().map(|g| *g), Some(1));
}

#[test]
fn what_is_shown_and_made() {
    let mut lock = RwLock::from(3);
    assert_eq!(format!("{lock:?}"), "RwLock { data: 3, .. }");
    let reading = lock.read();
    assert_eq!(format!("{lock:?} {reading:?} {reading}"), "RwLock { data: 3, .. } 3 3");
    drop(reading);
    let writing = lock.write();
    assert_eq!(format!("{lock:?} {writing:?} {writing}"), "RwLock { data: <locked>, .. } 3 3");
    drop(writing);
    *lock.get_mut() = 4;
    assert_eq!(lock.into_inner(), 4);
    assert_eq!(*RwLock::<u8>::default().read(), 0);
    let slice: &RwLock<[u8]> = &RwLock::new([1, 2]);
    assert_eq!(slice.read().len(), 2);
}
