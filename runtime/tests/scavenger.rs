//! What a burst leaves behind goes back, and nothing else does: while goroutines come and go by the ten thousand, and the
//! scavenger makes its rounds every millisecond, every value and every wake-up arrives.
//!
//! The tests start themselves again, with shorter rounds than a second.

use gosched_runtime::sync::{Semaphore, WaitGroup};
use gosched_runtime::{go, run, sleep, spawn};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const CHILD: &str = "GOSCHED_TEST_SCAVENGER";

/// True: this is the child, with that environment.
fn in_child(test: &str, debug: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env("GODEBUG", format!("{debug},{}", std::env::var("GODEBUG").unwrap_or_default()))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    false
}

/// A number of /proc/self/status.
fn status(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Parks `n` goroutines at once, `peek`s, and lets them end.
fn burst(n: usize, peek: impl FnOnce()) {
    let gate = Arc::new(Semaphore::new(0));
    let (parked, ended) = (WaitGroup::new(), WaitGroup::new());
    parked.add(n as isize);
    ended.add(n as isize);
    for _ in 0..n {
        let (gate, parked, ended) = (gate.clone(), parked.clone(), ended.clone());
        go(move || {
            parked.done();
            drop(gate.acquire());
            ended.done();
        });
    }
    parked.wait();
    peek();
    gate.add_permits(1);
    ended.wait();
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let t = Instant::now();
    while !holds() {
        assert!(t.elapsed() < Duration::from_secs(100), "not within 100 s: {what}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn threads_that_blocked_end_when_they_are_not_needed() {
    if !in_child("threads_that_blocked_end_when_they_are_not_needed", "scavenge=20") {
        return;
    }
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let start = status("Threads:");
            for _ in 0..2 {
                let ended = WaitGroup::new();
                let blocked = Arc::new(AtomicUsize::new(0));
                // Blocks threads, where nobody has told the scheduler.
                let gate = Arc::new((Mutex::new(false), Condvar::new()));
                for _ in 0..20 {
                    let (blocked, gate) = (blocked.clone(), gate.clone());
                    ended.go(move || {
                        blocked.fetch_add(1, Relaxed);
                        drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open));
                    });
                }
                wait_until("all block", || blocked.load(Relaxed) == 20);
                let most = status("Threads:");
                *gate.0.lock().unwrap() = true;
                gate.1.notify_all();
                ended.wait();
                assert!(most > start + 10, "{start} threads, {most} with 20 calls that block");
                // GOMAXPROCS and one Ms, and the scavenger itself, may have come for good.
                let stay = start + gosched_runtime::gomaxprocs() + 2;
                wait_until("threads end", || status("Threads:") <= stay);
            }
        })
    };
}

#[test]
fn a_burst_gives_its_memory_back() {
    if !in_child("a_burst_gives_its_memory_back", "scavenge=50") {
        return;
    }
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            burst(1000, || {});
            sleep(Duration::from_millis(300));
            let before = status("VmRSS:");
            let mut peak = 0;
            burst(20_000, || peak = status("VmRSS:"));
            assert!(peak > before + 20_000 * 4, "{before} KiB, {peak} KiB with 20,000 goroutines");
            // Their stacks and they themselves: 80 MB and 5 MB. (No more than guards by mprotect can have.)
            wait_until("within 2 MiB of the start", || status("VmRSS:") < before + 2048);
        })
    };
}

#[test]
fn goroutines_come_and_go_while_it_works() {
    if !in_child("goroutines_come_and_go_while_it_works", "scavenge=1") {
        return;
    }
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let until = Instant::now() + Duration::from_secs(2);
            let sum = Arc::new(AtomicUsize::new(0));
            let mut expected = 0;
            let mut size = 10;
            while Instant::now() < until {
                // Bursts of changing size, so that chunks fill and empty; with sleepers among them, whose timers must find
                // the right goroutine.
                let handles: Vec<_> = (0..size)
                    .map(|i| {
                        let sum = sum.clone();
                        spawn(move || {
                            if i % 3 == 0 {
                                sleep(Duration::from_micros(i as u64 % 700));
                            }
                            sum.fetch_add(i, Relaxed);
                            i
                        })
                    })
                    .collect();
                sleep(Duration::from_micros(500));
                let got: usize = handles.into_iter().map(|h| h.join().unwrap()).sum();
                expected += size * (size - 1) / 2;
                assert_eq!((got, sum.load(Relaxed)), (size * (size - 1) / 2, expected));
                size = if size > 4000 { 10 } else { size * 2 };
                sleep(Duration::from_millis(3));
            }
        })
    };
}
