//! GOMAXPROCS changes at run time, in both directions, while everything runs; nothing is lost, nobody is stuck.

use gosched_runtime::sync::WaitGroup;
use gosched_runtime::{go, gomaxprocs, run, set_gomaxprocs, sleep, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::Duration;

/// The tests change one number.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn it_changes_under_load() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let stop = Arc::new(AtomicBool::new(false));
            let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            // Yielders, sleepers, starters, and one that spins.
            let load: Vec<_> = (0..40)
                .map(|i| {
                    let (stop, started, ended) = (stop.clone(), started.clone(), ended.clone());
                    spawn(move || {
                        while !stop.load(Relaxed) {
                            match i % 4 {
                                0 => yield_now(),
                                1 => sleep(Duration::from_micros(300)),
                                2 => {
                                    let wg = WaitGroup::new();
                                    for _ in 0..10 {
                                        started.fetch_add(1, Relaxed);
                                        wg.add(1);
                                        let (wg, ended) = (wg.clone(), ended.clone());
                                        gosched_runtime::go(move || {
                                            ended.fetch_add(1, Relaxed);
                                            wg.done();
                                        });
                                    }
                                    wg.wait();
                                }
                                _ if i == 3 => std::hint::spin_loop(),
                                _ => yield_now(),
                            }
                        }
                    })
                })
                .collect();
            let first = gomaxprocs();
            let mut now = first;
            for n in [1, 4, 2, 8, 1, 3, 1, 16, 2, 1, 2].into_iter().cycle().take(33) {
                assert_eq!(set_gomaxprocs(n), now);
                now = n;
                assert_eq!((gomaxprocs(), set_gomaxprocs(0)), (n, n));
                sleep(Duration::from_millis(2));
                assert_eq!(spawn(|| 1).join().unwrap(), 1);
            }
            stop.store(true, Relaxed);
            load.into_iter().for_each(|h| h.join().unwrap());
            assert_eq!(started.load(Relaxed), ended.load(Relaxed));
            set_gomaxprocs(first);
        })
    };
}

/// A timer that was started on a P which is then retired still fires.
#[test]
fn timers_survive_the_retirement_of_their_p() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    // SAFETY: as above.
    unsafe {
        run(|| {
            set_gomaxprocs(8);
            let hs: Vec<_> = (0..200)
                .map(|i| {
                    spawn(move || {
                        yield_now();
                        sleep(Duration::from_millis(5 + i % 20));
                    })
                })
                .collect();
            sleep(Duration::from_millis(2));
            set_gomaxprocs(1);
            hs.into_iter().for_each(|h| h.join().unwrap());
            set_gomaxprocs(2);
        })
    };
}

/// Goroutines of which each starts the next one and ends, while GOMAXPROCS is set again and again, also to what it is.
#[test]
fn chains_of_goroutines_are_not_cut_when_it_changes() {
    fn link(stop: Arc<AtomicBool>, ended: WaitGroup) {
        if stop.load(SeqCst) {
            ended.done();
        } else {
            go(|| link(stop, ended));
        }
    }
    let _one = ONE_AT_A_TIME.lock().unwrap();
    // SAFETY: as above.
    unsafe {
        run(|| {
            let (stop, ended, first) = (Arc::new(AtomicBool::new(false)), WaitGroup::new(), gomaxprocs());
            ended.add(50);
            for _ in 0..50 {
                let (stop, ended) = (stop.clone(), ended.clone());
                go(|| link(stop, ended));
            }
            let set = spawn(|| (0..1_000).for_each(|_| assert!(set_gomaxprocs(3) <= 1024)));
            (0..300).for_each(|i| _ = set_gomaxprocs(1 + i % 4));
            set.join().unwrap();
            for i in 0..100 {
                set_gomaxprocs(1 + i * 3 % 8);
                sleep(Duration::from_micros(200)); // those that are too many are put away
            }
            stop.store(true, SeqCst);
            ended.wait();
            set_gomaxprocs(first);
        })
    };
}

/// The largest number there is, and more than that; from one to all and back.
#[test]
fn as_many_as_there_can_be() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    // SAFETY: as above.
    unsafe {
        run(|| {
            let first = gomaxprocs();
            for (n, got) in [(1, 1), (1024, 1024), (usize::MAX, 1024), (1, 1), (1025, 1024)] {
                set_gomaxprocs(n);
                assert_eq!(gomaxprocs(), got);
                let hs: Vec<_> = (0..500)
                    .map(|i| {
                        spawn(move || {
                            yield_now();
                            i
                        })
                    })
                    .collect();
                assert_eq!(hs.into_iter().map(|h| h.join().unwrap()).sum::<usize>(), 499 * 500 / 2);
            }
            set_gomaxprocs(first);
        })
    };
}
