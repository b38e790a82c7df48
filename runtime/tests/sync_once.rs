//! `Once`, `OnceLock` and `LazyLock` from outside, on plain threads.

use gosched_runtime::sync::{LazyLock, Once, OnceLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

#[test]
fn of_many_callers_one_runs_it_and_all_see_it() {
    for _ in 0..300 {
        let (once, start) = (Once::new(), Barrier::new(4));
        let (runs, result) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|s| {
            for me in 0..4 {
                let (once, start, runs, result) = (&once, &start, &runs, &result);
                s.spawn(move || {
                    start.wait();
                    match me {
                        0 => once.wait(),
                        _ => once.call_once(|| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            (0..5).for_each(|_| thread::yield_now());
                            result.store(7, Ordering::Relaxed);
                        }),
                    }
                    assert!(once.is_completed());
                    assert_eq!(result.load(Ordering::Relaxed), 7, "came back before it was done");
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
    }
}

#[test]
fn a_once_whose_closure_panicked_is_done() {
    for _ in 0..50 {
        let once = Once::new();
        thread::scope(|s| {
            s.spawn(|| once.wait());
            let r = catch_unwind(AssertUnwindSafe(|| once.call_once(|| panic!("on purpose"))));
            assert!(r.is_err());
            assert!(once.is_completed());
            s.spawn(|| once.call_once(|| unreachable!("it is done")));
        });
    }
    assert_eq!(format!("{:?}", Once::default()), "Once { .. }");
}

#[test]
fn of_many_initialisers_one_wins_and_nothing_is_leaked() {
    static DROPS: AtomicU32 = AtomicU32::new(0);
    struct Counted(u32);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    for _ in 0..300 {
        DROPS.store(0, Ordering::Relaxed);
        let (cell, start, runs) = (OnceLock::new(), Barrier::new(5), AtomicU32::new(0));
        thread::scope(|s| {
            for me in 0..5u32 {
                let (cell, start, runs) = (&cell, &start, &runs);
                s.spawn(move || {
                    start.wait();
                    let got: &Counted = match me {
                        0 => cell.wait(),
                        1 => {
                            runs.fetch_add(cell.set(Counted(me)).is_ok() as u32, Ordering::Relaxed);
                            cell.get().expect("set, by this one or another")
                        }
                        _ => cell.get_or_init(|| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            Counted(me)
                        }),
                    };
                    assert!(std::ptr::eq(got, cell.get().unwrap()) && got.0 < 5);
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
        // The one that `set` made in vain, perhaps.
        let in_vain = DROPS.load(Ordering::Relaxed);
        assert!(in_vain <= 1);
        drop(cell);
        assert_eq!(DROPS.load(Ordering::Relaxed), in_vain + 1);
    }
}

#[test]
fn an_initialisation_that_panics_leaves_the_cell_empty_for_the_next() {
    for _ in 0..100 {
        let (cell, inside) = (OnceLock::new(), Barrier::new(2));
        thread::scope(|s| {
            s.spawn(|| {
                let r = catch_unwind(AssertUnwindSafe(|| {
                    cell.get_or_init(|| {
                        inside.wait();
                        panic!("on purpose")
                    })
                }));
                assert!(r.is_err());
            });
            s.spawn(|| assert_eq!(cell.wait(), &5));
            inside.wait();
            assert_eq!(cell.get_or_init(|| 5), &5);
        });
        assert_eq!(cell.into_inner(), Some(5));
    }
}

#[test]
fn once_lock_has_the_shape_of_stds() {
    let mut cell = OnceLock::new();
    assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
    assert!(cell.get().is_none() && cell.get_mut().is_none() && cell.take().is_none());
    assert_eq!(cell.set(String::from("a")), Ok(()));
    assert_eq!(cell.set(String::from("b")), Err(String::from("b")));
    cell.get_mut().unwrap().push('c');
    assert_eq!(format!("{cell:?}"), "OnceLock(\"ac\")");
    assert_eq!(cell.clone(), cell);
    assert_ne!(OnceLock::default(), cell);
    assert_eq!(cell.take().as_deref(), Some("ac"));
    assert_eq!(cell.get_or_init(|| String::from("again")), "again");
    assert_eq!(OnceLock::<u8>::new().into_inner(), None);
}

#[test]
fn a_lazy_value_is_made_once_at_first_use() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    static LAZY: LazyLock<u32> = LazyLock::new(|| 40 + MADE.fetch_add(1, Ordering::Relaxed));
    assert_eq!(MADE.load(Ordering::Relaxed), 0);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| assert_eq!(*LAZY, 40));
        }
    });
    assert_eq!(format!("{LAZY:?}"), "LazyLock(40)");
    assert_eq!(LazyLock::<u8>::default().wrapping_add(1), 1);
}

#[test]
fn a_lazy_value_whose_making_panicked_stays_broken() {
    let lazy: LazyLock<u8, _> = LazyLock::new(|| panic!("on purpose"));
    let words = |r: thread::Result<u8>| *r.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(words(catch_unwind(AssertUnwindSafe(|| *lazy))), "on purpose");
    assert_eq!(
        words(catch_unwind(AssertUnwindSafe(|| *lazy))),
        "LazyLock instance has previously been poisoned"
    );
    assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
}
