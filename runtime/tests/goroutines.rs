//! Starting, joining, yielding, sleeping, panicking: what a goroutine does by itself.

use gosched_runtime::sync::WaitGroup;
use gosched_runtime::{
    Builder, goexit, goid, lock_os_thread, num_goroutine, run, sleep, sleep_until, spawn, syscall, yield_now,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

/// Runs `f` as a main goroutine.
fn rt<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests parks while it holds a value tied to a thread.
    unsafe { run(f) }
}

#[test]
fn results_come_back_through_join() {
    let mut v = vec![1, 2, 3];
    let sum = rt(|| {
        v.push(4); // main may borrow
        let hs: Vec<_> = v.iter().map(|&x| spawn(move || x * 10)).collect();
        hs.into_iter().map(|h| h.join().unwrap()).sum::<i32>()
    });
    assert_eq!((sum, v.len()), (100, 4));
}

#[test]
fn a_large_closure_and_a_large_result_pass_unharmed() {
    let big: [u64; 500] = std::array::from_fn(|i| i as u64);
    let back = rt(move || spawn(move || big.map(|x| x + 1)).join().unwrap());
    assert!(back.iter().enumerate().all(|(i, &x)| x == i as u64 + 1));
}

#[test]
fn ten_thousand_yield_and_each_runs_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let c = count.clone();
    rt(move || {
        let wg = WaitGroup::new();
        for _ in 0..10_000 {
            wg.add(1);
            let (c, wg) = (c.clone(), wg.clone());
            gosched_runtime::go(move || {
                for _ in 0..3 {
                    yield_now();
                }
                c.fetch_add(1, SeqCst);
                wg.done();
            });
        }
        wg.wait();
    });
    assert_eq!(count.load(SeqCst), 10_000);
}

#[test]
fn a_panic_ends_one_and_leaves_999_running() {
    let done = Arc::new(AtomicUsize::new(0));
    let d = done.clone();
    rt(move || {
        let hs: Vec<_> = (0..1000)
            .map(|i| {
                let d = d.clone();
                spawn(move || {
                    yield_now();
                    if i == 500 {
                        std::panic::panic_any("on purpose");
                    }
                    sleep(Duration::from_millis(1));
                    d.fetch_add(1, SeqCst);
                    i
                })
            })
            .collect();
        for (i, h) in hs.into_iter().enumerate() {
            match h.join() {
                Ok(v) => assert_eq!(v, i),
                Err(e) => assert_eq!((i, e.downcast_ref::<&str>()), (500, Some(&"on purpose"))),
            }
        }
    });
    assert_eq!(done.load(SeqCst), 999);
}

#[test]
fn a_panic_of_main_is_resumed_in_the_caller() {
    let e = std::panic::catch_unwind(|| rt(|| std::panic::panic_any(7))).unwrap_err();
    assert_eq!(e.downcast_ref::<i32>(), Some(&7));
    let e = std::panic::catch_unwind(|| rt(|| goexit())).unwrap_err();
    assert_eq!(e.downcast_ref::<&str>(), Some(&"main goroutine called goexit"));
    assert_eq!(rt(|| 5), 5); // and the scheduler lives on
}

#[test]
fn goexit_runs_destructors_and_joins_as_err() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            yield_now(); // may park, too
            self.0.store(true, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let d = dropped.clone();
    rt(move || {
        let h = spawn(move || {
            let _flag = Flag(d);
            goexit();
        });
        assert!(h.join().is_err());
    });
    assert!(dropped.load(SeqCst));
}

#[test]
fn the_payload_of_a_payloads_destructor_is_dropped_too() {
    /// Panics when dropped, with one less; `None`: always.
    struct Nasty(Arc<AtomicUsize>, Option<usize>);
    impl Drop for Nasty {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            let next = match self.1 {
                Some(0) => return,
                left => left.map(|n| n - 1),
            };
            std::panic::resume_unwind(Box::new(Nasty(self.0.clone(), next)));
        }
    }
    // Of an endless chain the first few.
    for (left, expected) in [(Some(0), 1), (Some(1), 2), (Some(3), 4), (None, 8)] {
        let drops = Arc::new(AtomicUsize::new(0));
        let theirs = drops.clone();
        rt(|| {
            // Nobody joins: the runtime is left with it.
            drop(spawn(move || std::panic::resume_unwind(Box::new(Nasty(theirs, left)))));
            let patience = Instant::now() + Duration::from_secs(60);
            while drops.load(SeqCst) < expected {
                assert!(Instant::now() < patience, "{left:?}: {drops:?} drops");
                yield_now();
            }
        });
        assert!(left.is_none() || drops.load(SeqCst) == expected, "{left:?}: {drops:?} drops");
    }
}

#[test]
fn destructors_may_park_while_a_panic_unwinds() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            for _ in 0..3 {
                yield_now();
                sleep(Duration::from_micros(100));
                assert!(!spawn(std::thread::panicking).join().unwrap());
                assert!(std::thread::panicking());
            }
        }
    }
    rt(|| {
        let hs: Vec<_> = (0..20)
            .map(|_| {
                spawn(|| {
                    let _p = Parks;
                    std::panic::resume_unwind(Box::new(())); // no hook, but it unwinds and counts as a panic
                })
            })
            .collect();
        let others: Vec<_> = (0..200)
            .map(|_| {
                spawn(|| {
                    for _ in 0..20 {
                        yield_now();
                        assert!(!std::thread::panicking());
                    }
                })
            })
            .collect();
        assert!(hs.into_iter().all(|h| h.join().is_err()));
        others.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn sleepers_wake_and_not_too_early() {
    rt(|| {
        let hs: Vec<_> = [40u64, 0, 10, 30, 20]
            .into_iter()
            .map(|ms| {
                spawn(move || {
                    let t = Instant::now();
                    sleep(Duration::from_millis(ms));
                    assert!(t.elapsed() >= Duration::from_millis(ms));
                    sleep_until(t);
                    sleep_until(t + Duration::from_millis(2 * ms));
                    assert!(t.elapsed() >= Duration::from_millis(2 * ms));
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn a_thousand_sleepers_of_many_lengths_all_wake() {
    rt(|| {
        let hs: Vec<_> = (0..1000u64)
            .map(|i| {
                spawn(move || {
                    for k in 0..5 {
                        sleep(Duration::from_micros((i * 37 + k * 101) % 3000));
                    }
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn a_spinning_goroutine_stops_nobody() {
    rt(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let spinners: Vec<_> = (0..3)
            .map(|_| {
                let stop = stop.clone();
                spawn(move || {
                    while !stop.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            sleep(Duration::from_millis(1));
            spawn(yield_now).join().unwrap();
        }
        stop.store(true, Relaxed);
        spinners.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn blocking_announced_or_not_stops_nobody() {
    rt(|| {
        // std's channels block the thread. The goroutines are freed only after the others have had their turn.
        let (txs, blockers): (Vec<_>, Vec<_>) = (0..6)
            .map(|i| {
                let (tx, rx) = std::sync::mpsc::channel::<()>();
                let blocks = move || match i % 2 {
                    0 => rx.recv(),
                    _ => syscall(|| rx.recv()),
                };
                (tx, spawn(move || blocks().unwrap()))
            })
            .unzip();
        for _ in 0..10 {
            spawn(yield_now).join().unwrap();
            sleep(Duration::from_millis(1));
        }
        assert!(blockers.iter().all(|h| !h.is_finished()));
        txs.into_iter().for_each(|tx| tx.send(()).unwrap());
        blockers.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn a_locked_goroutine_keeps_its_thread() {
    rt(|| {
        let hs: Vec<_> = (0..8)
            .map(|i| {
                spawn(move || {
                    let outer = lock_os_thread();
                    let inner = lock_os_thread();
                    let me = std::thread::current().id();
                    for k in 0..20 {
                        match (i + k) % 3 {
                            0 => yield_now(),
                            1 => sleep(Duration::from_micros(200)),
                            _ => spawn(|| ()).join().unwrap(),
                        }
                        assert_eq!(std::thread::current().id(), me);
                    }
                    drop(inner);
                    yield_now();
                    assert_eq!(std::thread::current().id(), me);
                    drop(outer);
                    yield_now();
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn ids_are_unique_and_names_reach_the_builder() {
    rt(|| {
        let me = goid().unwrap();
        let h = spawn(|| goid().unwrap());
        let shown = format!("{:?}", h);
        assert!(shown.contains("GoroutineId"), "{shown}");
        let id = h.join().unwrap();
        assert_ne!(me, id);
        let mut ids: Vec<u64> =
            (0..500).map(|_| spawn(|| goid().unwrap())).map(|h| h.join().unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 500);
        let h = Builder::new().name("n".into()).spawn(|| 3).unwrap();
        assert_eq!(h.join().unwrap(), 3);
    });
    assert_eq!(goid(), None);
}

#[test]
fn a_goroutine_with_a_large_stack_can_use_it() {
    #[inline(never)]
    fn deep(n: usize) -> usize {
        let frame = std::hint::black_box([n as u8; 1024]);
        if n == 0 { 0 } else { deep(n - 1) + usize::from(frame[n % 1024] != 0 || n.is_multiple_of(256)) }
    }
    rt(|| {
        let h = Builder::new().stack_size(8 << 20).spawn(|| deep(3000)).unwrap();
        assert_eq!(h.join().unwrap(), 3000);
        // The standard stack has at least 100 KiB.
        assert_eq!(spawn(|| deep(40)).join().unwrap(), 40);
    });
}

#[test]
fn any_thread_may_start_and_join_while_a_run_is_on() {
    rt(|| {
        let t = std::thread::spawn(|| {
            let hs: Vec<_> = (0..200).map(|i| spawn(move || i)).collect();
            sleep(Duration::from_millis(1));
            hs.into_iter().map(|h| h.join().unwrap()).sum::<i32>()
        });
        assert_eq!(syscall(|| t.join().unwrap()), 19_900);
        assert!(num_goroutine() >= 1);
    });
}

#[test]
fn runs_at_once_each_have_a_main() {
    let ts: Vec<_> =
        (0..4).map(|i| std::thread::spawn(move || rt(|| spawn(move || i * i).join().unwrap()))).collect();
    let got: Vec<i32> = ts.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(got, [0, 1, 4, 9]);
    // And one inside another.
    assert_eq!(rt(|| rt(|| 1) + 1), 2);
}

#[test]
fn a_goroutine_outlives_the_run_that_started_it() {
    let done = Arc::new(AtomicBool::new(false));
    let d = done.clone();
    rt(move || {
        gosched_runtime::go(move || {
            sleep(Duration::from_millis(20));
            gosched_runtime::go(move || d.store(true, SeqCst));
        });
    });
    let t = Instant::now();
    while !done.load(SeqCst) {
        assert!(t.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
}
