//! The clock that jumps: hours take no time, nothing is late and nothing early, and what waits for ever is named.

use gosched_chan::{Chan, after, context::Context, select, tick, timer as time};
use gosched_runtime::sync::{Condvar, Mutex, Semaphore, WaitGroup};
use gosched_runtime::{go, lock_os_thread, num_goroutine, sleep, spawn, yield_now};
use gosched_testing::{Config, End, explore, now, try_explore, virtual_time};
use std::panic::catch_unwind;

use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

fn said(r: std::thread::Result<()>) -> String {
    *r.expect_err("it went well").downcast::<String>().expect("a text")
}

#[test]
fn days_pass_in_no_time() {
    let real = Instant::now();
    virtual_time(|| {
        let start = now();
        let wg = WaitGroup::new();
        for n in 1..=100 {
            wg.go(move || {
                sleep(n * HOUR);
                assert_eq!(now() - start, n * HOUR);
            });
        }
        wg.wait();
        assert_eq!(now() - start, 100 * HOUR);
    });
    // (The patience of a test, not a measurement: it would be four days.)
    assert!(real.elapsed() < HOUR);
}

#[test]
fn everything_that_has_a_limit_goes_by_it() {
    virtual_time(|| {
        let start = now();
        let took = |hours: u32| assert_eq!(now() - start, hours * HOUR);
        assert!(Chan::<()>::new(0).recv_timeout(HOUR).is_err());
        took(1);
        assert!(Chan::new(0).send_timeout((), HOUR).is_err());
        took(2);
        after(HOUR).recv();
        took(3);
        select! {
            recv(Chan::<()>::nil()) -> _ => unreachable!(),
            default(HOUR) => {},
        }
        took(4);
        let (m, cv) = (Mutex::new(()), Condvar::new());
        assert!(cv.wait_timeout(m.lock(), HOUR).1.timed_out());
        took(5);
        assert!(Semaphore::new(0).acquire_timeout(HOUR).is_none());
        took(6);
        let (ctx, _cancel) = Context::background().with_timeout(HOUR);
        ctx.done().recv();
        assert!(ctx.err().is_some());
        took(7);
        let called = Arc::new(Semaphore::new(0));
        let theirs = called.clone();
        let _t = time::after_func(HOUR, move || theirs.add_permits(1));
        called.acquire().forget();
        took(8);
        let ticks = tick(HOUR);
        (9..12).for_each(|n| {
            ticks.recv();
            took(n);
        });
        let t = time::Timer::new(HOUR);
        assert!(t.reset(2 * HOUR) && t.stop() && !t.stop());
        took(11);
    });
}

#[test]
fn a_loop_that_yields_until_it_is_time_comes_to_its_end() {
    virtual_time(|| {
        let until = now() + HOUR;
        go(|| sleep(2 * HOUR));
        sleep(HOUR / 2);
        let alarm = spawn(|| sleep(HOUR));
        while now() < until {
            yield_now();
        }
        alarm.join().unwrap();
    });
}

#[test]
fn who_waits_for_ever_is_named() {
    let dead = said(catch_unwind(|| {
        virtual_time(|| {
            let m = Arc::new(Mutex::new(()));
            let held = m.lock();
            let theirs = m.clone();
            spawn(move || drop(theirs.lock())).join().unwrap();
            drop(held);
        });
    }));
    for part in [
        "all goroutines are asleep - deadlock!",
        "goroutine 1 [join]",
        "goroutine 2 [sync.Mutex.Lock]",
        "clock.rs:",
    ] {
        assert!(dead.contains(part), "no {part} in {dead}");
    }
    let left = said(catch_unwind(|| {
        virtual_time(|| go(|| Chan::<()>::nil().send(())));
    }));
    assert!(left.contains("goroutine 2 [chan send (nil chan)]"), "{left}");
}

#[test]
fn panics_are_told_from_any_goroutine_and_joined_ones_are_not() {
    assert!(said(catch_unwind(|| virtual_time(|| panic!("of main")))).contains("of main"));
    let of_another = said(catch_unwind(|| {
        virtual_time(|| {
            go(|| panic!("of another"));
            sleep(HOUR);
        });
    }));
    assert!(of_another.contains("goroutine 2") && of_another.contains("of another"), "{of_another}");
    virtual_time(|| assert!(spawn(|| panic!("joined")).join().is_err()));
    virtual_time(|| assert!(catch_unwind(|| panic!("caught")).is_err()));
    let waits = said(catch_unwind(|| {
        virtual_time(|| {
            struct Waits;
            impl Drop for Waits {
                fn drop(&mut self) {
                    sleep(HOUR);
                }
            }
            let _waits = Waits;
            panic!("and then waits");
        });
    }));
    assert!(waits.contains("and then waits"), "{waits}");
    // The next one is not disturbed.
    virtual_time(|| assert!(!std::thread::panicking()));
}

#[test]
fn a_world_is_by_itself() {
    virtual_time(|| {
        assert_eq!(num_goroutine(), 1);
        assert_eq!(gosched_runtime::goid(), Some(1));
        let others: Vec<_> = (0..1000).map(|_| spawn(|| sleep(HOUR))).collect();
        assert_eq!(num_goroutine(), 1001);
        others.into_iter().for_each(|g| g.join().unwrap());
        assert_eq!(num_goroutine(), 1);
        // One thread for all of them.
        let here = std::thread::current().id();
        let _lock = lock_os_thread();
        sleep(HOUR);
        yield_now();
        spawn(move || assert_eq!(std::thread::current().id(), here)).join().unwrap();
    });
    // Many at once, beside a scheduler that runs as ever.
    std::thread::scope(|s| {
        for n in 1..5 {
            s.spawn(move || {
                for _ in 0..50 {
                    let ran = virtual_time(move || {
                        let ch = Chan::new(0);
                        for i in 0..n {
                            let ch = ch.clone();
                            go(move || ch.send(i));
                        }
                        (0..n).map(|_| ch.recv().unwrap()).sum::<i32>()
                    });
                    assert_eq!(ran, n * (n - 1) / 2);
                }
            });
        }
        s.spawn(|| {
            // SAFETY: no goroutine here holds what is tied to a thread while it parks.
            unsafe {
                gosched_runtime::run(|| {
                    (0..2000).for_each(|_| spawn(yield_now).join().unwrap());
                });
            }
        });
    });
}

#[test]
fn a_channel_may_outlive_worlds_that_failed_on_it() {
    let ch = Chan::new(0);
    for _ in 0..3 {
        let (a, b) = (ch.clone(), ch.clone());
        let end = try_explore(Config::new().iterations(1), move || a.send(Box::new(1))).unwrap_err().end;
        assert!(matches!(end, End::Deadlock(_)));
        // Those who stood there are gone for good, what they sent is there (one of each run that looked for the failure, and
        // that wrote it down); who comes later is served.
        let ones = virtual_time(move || {
            let theirs = b.clone();
            let sender = spawn(move || theirs.send(Box::new(2)));
            let ones = std::iter::from_fn(|| b.recv().filter(|v| **v == 1)).count();
            sender.join().unwrap();
            ones
        });
        assert!(ones >= 1);
    }
}

#[test]
fn the_same_choices_give_the_same_run() {
    fn run(seed: u64) -> Vec<String> {
        let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
        let out = lines.clone();
        explore(Config::new().iterations(30).seed(seed), move || {
            let (a, b) = (Chan::new(1), Chan::new(0));
            for n in 0..3 {
                let (a, b) = (a.clone(), b.clone());
                go(move || {
                    select! {
                        send(a, n) => {},
                        send(b, n) => {},
                    }
                });
            }
            for _ in 0..3 {
                let line = select! {
                    recv(a) -> v => format!("a {v:?}"),
                    recv(b) -> v => format!("b {v:?}"),
                };
                out.lock().unwrap().push(line);
            }
        });
        std::mem::take(&mut *lines.lock().unwrap())
    }
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
