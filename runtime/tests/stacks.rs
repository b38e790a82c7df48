//! All goroutines are shown with what they do, where they are and where they were started, while everything goes on.

use gosched_runtime::debug::{stacks, stats};
use gosched_runtime::sync::{Mutex, Semaphore, WaitGroup};
use gosched_runtime::{Builder, go, lock_os_thread, run, sleep, spawn, syscall, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

/// The entry of a goroutine by name.
fn entry<'a>(all: &'a str, name: &str) -> Option<&'a str> {
    all.split("\n\n").find(|e| e.lines().next().is_some_and(|l| l.contains(&format!("\"{name}\""))))
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let t = Instant::now();
    while !holds() {
        assert!(t.elapsed() < Duration::from_secs(60), "{what}");
        sleep(Duration::from_millis(1));
    }
}

#[inline(never)]
fn deep_down(gate: &Semaphore, depth: u32) {
    if depth == 0 {
        drop(gate.acquire());
    } else {
        deep_down(gate, depth - 1);
    }
    std::hint::black_box(depth); // no tail call
}

#[test]
fn each_goroutine_is_shown_with_what_it_does() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let gate = Arc::new(Semaphore::new(0));
            let lock = Arc::new(Mutex::new(()));
            let stop = Arc::new(AtomicBool::new(false));
            let named = |name: &str| Builder::new().name(name.into());
            let (a, b, c, d, e) = (gate.clone(), gate.clone(), lock.clone(), stop.clone(), gate.clone());
            let held = lock.lock();
            let handles = [
                named("deep").spawn(move || deep_down(&a, 10)).unwrap(),
                named("locked to its thread")
                    .spawn(move || {
                        let _thread = lock_os_thread();
                        deep_down(&b, 3)
                    })
                    .unwrap(),
                named("wants the lock").spawn(move || drop(c.lock())).unwrap(),
                named("spins").spawn(move || while !d.load(Relaxed) {}).unwrap(),
                named("large").stack_size(2 << 20).spawn(move || deep_down(&e, 300)).unwrap(),
            ];
            let shown = |name: &str, doing: &str| {
                entry(&stacks(), name).is_some_and(|e| e.lines().next().unwrap().ends_with(doing))
            };
            wait_for("deep", || shown("deep", "[semacquire]:"));
            wait_for("locked", || shown("locked to its thread", "[semacquire]:"));
            wait_for("lock", || shown("wants the lock", "[sync.Mutex.Lock]:"));
            wait_for("spins", || shown("spins", "[running]:"));
            wait_for("large", || shown("large", "[semacquire]:"));
            let all = stacks();
            let deep = entry(&all, "deep").unwrap();
            assert_eq!(deep.matches("deep_down\n").count(), 11, "{deep}");
            assert!(deep.contains("created by goroutine") && deep.contains("stacks.rs"), "{deep}");
            let locked = entry(&all, "locked to its thread").unwrap();
            assert_eq!(locked.matches("deep_down\n").count(), 4, "{locked}");
            let large = entry(&all, "large").unwrap();
            assert!(large.contains("...") && large.contains("frames elided..."), "{large}");
            assert!(all.lines().next().unwrap().ends_with("[running]:"), "{all}");
            let s = stats();
            assert!(s.waiting >= 4 && s.running >= 2 && s.goroutines >= 6, "{s:?}");
            stop.store(true, Relaxed);
            gate.add_permits(3);
            drop(held);
            handles.into_iter().for_each(|h| h.join().unwrap());
        })
    };
}

#[test]
fn many_at_the_same_place_are_shown_once() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let gate = Arc::new(Semaphore::new(0));
            let (parked, ended) = (WaitGroup::new(), WaitGroup::new());
            parked.add(10_000);
            ended.add(10_000);
            for _ in 0..10_000 {
                let (gate, parked, ended) = (gate.clone(), parked.clone(), ended.clone());
                go(move || {
                    parked.done();
                    drop(gate.acquire());
                    ended.done();
                });
            }
            parked.wait();
            wait_for("all in one group", || {
                stacks().contains("9999 more goroutines are at the same place: ")
            });
            gate.add_permits(1);
            ended.wait();
        })
    };
}

/// Goroutines of every kind come and go while others print them, again and again.
#[test]
fn looking_disturbs_nobody() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
            let done = Arc::new(AtomicUsize::new(0));
            let load: Vec<_> = (0..12)
                .map(|i| {
                    let (done, stop) = (done.clone(), stop.clone());
                    spawn(move || {
                        while !stop.load(Relaxed) {
                            match i % 4 {
                                0 => yield_now(),
                                1 => sleep(Duration::from_micros(200)),
                                2 => {
                                    let h: Vec<_> = (0..20)
                                        .map(|k| {
                                            let name = format!("child {k}");
                                            Builder::new().name(name).spawn(move || {
                                                yield_now();
                                                k
                                            })
                                        })
                                        .collect();
                                    let sum: usize = h.into_iter().map(|h| h.unwrap().join().unwrap()).sum();
                                    assert_eq!(sum, 190);
                                }
                                _ => {
                                    let _lock = lock_os_thread();
                                    sleep(Duration::from_micros(300));
                                }
                            }
                            done.fetch_add(1, Relaxed);
                        }
                    })
                })
                .collect();
            // Two lookers, one of them a plain thread.
            let stops = stop.clone();
            let outside = std::thread::spawn(move || {
                while !stops.load(Relaxed) {
                    assert!(stacks().contains("goroutine "));
                }
            });
            let mut looks = 0;
            while began.elapsed() < Duration::from_millis(500) || looks < 3 || done.load(Relaxed) < 100 {
                let all = stacks();
                assert!(all.starts_with("goroutine "), "{all}");
                looks += 1;
                yield_now();
            }
            stop.store(true, Relaxed);
            load.into_iter().for_each(|h| h.join().unwrap());
            syscall(|| outside.join().unwrap());
        })
    };
}
