//! GOMAXPROCS changes at run time, in both directions, while everything runs; nothing is lost, nobody is stuck.

use gosched_runtime::sync::WaitGroup;
use gosched_runtime::{gomaxprocs, run, set_gomaxprocs, sleep, spawn, yield_now};
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
