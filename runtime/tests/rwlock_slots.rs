//! `RwLock`'s readers in slots of their P (runtime/src/readers.rs), on goroutines.

use gosched_runtime::sync::{RwLock, RwLockReadGuard};
use gosched_runtime::{run, yield_now};
use std::sync::Arc;
use std::thread;

/// Reads by a slot, on a goroutine; the bias is begun before.
fn read_in_slot(lock: &RwLock<u32>) -> RwLockReadGuard<'_, u32> {
    let counted = lock.read();
    RwLock::__begin_bias(&counted);
    drop(counted);
    read_in_slot_again(lock)
}

/// Who has lost its P is counted, and may try again.
fn read_in_slot_again(lock: &RwLock<u32>) -> RwLockReadGuard<'_, u32> {
    loop {
        assert!(lock.__is_biased());
        let guard = lock.read();
        if RwLock::__in_slot(&guard) {
            return guard;
        }
        drop(guard);
        yield_now();
    }
}

fn on_goroutine(f: impl FnOnce() + Send + 'static) {
    // SAFETY: nothing here borrows from a thread-local across a park.
    unsafe { run(f) };
}

#[test]
fn a_reader_in_a_slot_is_waited_for_and_bars_who_tries() {
    on_goroutine(|| {
        let lock = Arc::new(RwLock::new(0));
        let reading = read_in_slot(&lock);
        assert!(lock.try_write().is_none());
        // Tried in vain, it has left the bias as it was.
        drop(read_in_slot_again(&lock));
        let shared = lock.clone();
        let writer = thread::spawn(move || *shared.write() += 1);
        while lock.__asleep().1 == 0 {
            thread::yield_now();
        }
        // It has ended the bias, and those who come now wait.
        assert!(!lock.__is_biased());
        assert!(lock.try_read().is_none());
        assert_eq!(*reading, 0);
        drop(reading);
        writer.join().unwrap();
        assert_eq!(*lock.read(), 1);
        lock.__assert_free();
    });
}

#[test]
fn guards_from_slots_leave_anywhere_and_two_are_two() {
    on_goroutine(|| {
        let lock = RwLock::new(0);
        let (first, second) = (read_in_slot(&lock), read_in_slot_again(&lock));
        thread::scope(|s| s.spawn(|| drop(first)).join().unwrap());
        assert!(lock.try_write().is_none());
        thread::scope(|s| s.spawn(|| drop(second)).join().unwrap());
        *lock.try_write().unwrap() = 1;
        lock.__assert_free();
    });
}

#[test]
fn more_readers_than_slots_are_counted() {
    on_goroutine(|| {
        let lock = RwLock::new(0);
        for last_in_slot in [true, false] {
            let mut guards = vec![read_in_slot(&lock)];
            guards.extend((0..1_000).map(|_| lock.read()));
            assert!(!RwLock::__in_slot(&guards[1_000]), "no P has so many slots");
            let last = guards.swap_remove(if last_in_slot { 0 } else { 1_000 });
            assert!(lock.try_write().is_none());
            guards.clear();
            assert!(lock.try_write().is_none());
            drop(last);
            *lock.try_write().unwrap() += 1;
            lock.__assert_free();
        }
    });
}

#[test]
fn a_forgotten_guard_bars_writers_of_its_own_lock_only() {
    on_goroutine(|| {
        // In one place, one after the other: they have one address.
        for forgets in [true, false] {
            let lock = RwLock::new(0);
            let guard = read_in_slot(&lock);
            match forgets {
                true => std::mem::forget(guard),
                false => drop(guard),
            }
            assert_eq!(lock.try_write().is_none(), forgets);
            assert!(lock.try_read().is_some());
        }
    });
}
