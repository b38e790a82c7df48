//! The programs of docs/walkthrough.md: each shows one rule of the scheduler at work.
//!
//! ```text
//! $ cargo run --example walk -- overflow
//! started   local queue   global queue
//!       1             1              0
//! …
//! ```

use gosched::chan::Chan;
use gosched::sync::{Mutex, WaitGroup};
use gosched::{Config, debug, go, syscall, time, yield_now};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Producing: where do the goroutines go that one goroutine starts?
fn overflow() {
    println!("started   local queue   global queue");
    let mut started = 0;
    for n in [1, 2, 257, 258, 300] {
        while started < n {
            go(|| ());
            started += 1;
        }
        let s = debug::stats();
        println!("{n:7} {:13} {:14}", s.local_runqs[0], s.global_runq);
    }
}

/// Consuming: 129 goroutines are in the global queue (see above). When is it their turn, while the local queue is full?
fn every61() {
    const STARTED: usize = 380;
    let order = Arc::new(Mutex::new(Vec::with_capacity(STARTED)));
    let wg = WaitGroup::new();
    for g in 1..=STARTED {
        let order = order.clone();
        wg.go(move || order.lock().push(g));
    }
    wg.wait();
    // The oldest ones had to give way to the 258th.
    let order = order.lock();
    let turns: Vec<usize> = (1..=4).filter_map(|g| order.iter().position(|&ran| ran == g)).collect();
    for (turn, g) in turns.windows(2).zip(2..) {
        println!("{} others, then goroutine {g} of the global queue", turn[1] - turn[0] - 1);
    }
}

/// Stealing: one P starts all the work, another one takes from it.
fn steal() {
    let before = debug::stats().steals;
    let threads = Arc::new(Mutex::new(Vec::new()));
    let wg = WaitGroup::new();
    for _ in 0..100 {
        let threads = threads.clone();
        wg.go(move || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {
                black_box(());
            }
            threads.lock().push(thread::current().id());
        });
    }
    wg.wait();
    let mut threads = threads.lock().clone();
    let all = threads.len();
    threads.sort_by_key(|id| format!("{id:?}"));
    threads.dedup();
    println!("{all} goroutines ran, on {} threads", threads.len());
    println!("stolen from: {}", if debug::stats().steals > before { "yes" } else { "no" });
}

/// Blocking that the runtime cannot see: on the only P there is somebody blocks his thread. Do others run?
fn blocked() {
    for (what, block) in [
        ("syscall(|| sleep)", (|| syscall(|| thread::sleep(Duration::from_millis(100)))) as fn()),
        ("sleep, unannounced", || thread::sleep(Duration::from_millis(100))),
    ] {
        let before = debug::stats().handoffs;
        let blocks = Arc::new(AtomicBool::new(true));
        let (began, b) = (Instant::now(), blocks.clone());
        go(move || {
            block();
            b.store(false, Relaxed);
        });
        // Runs next, and holds the thread; main's turn comes when the P has been taken from it.
        yield_now();
        let (after, still) = (began.elapsed(), blocks.load(Relaxed));
        let taken = debug::stats().handoffs - before;
        println!(
            "{what}: main goes on after {} ms, while it blocks: {still}; Ps handed off: {taken}",
            after.as_millis()
        );
        while blocks.load(Relaxed) {
            time::sleep(Duration::from_millis(1));
        }
    }
}

/// A goroutine that computes for ever, on the only P there is.
fn hog() {
    go(|| {
        let mut i = 0u64;
        loop {
            i = black_box(i + 1);
        }
    });
    let began = Instant::now();
    time::sleep(Duration::from_millis(1));
    println!("main slept for a millisecond and goes on after {} ms", began.elapsed().as_millis());
}

/// What a switch costs: two goroutines, and two threads, that wake each other.
fn cost() {
    const N: u32 = 20_000;
    let (ping, pong) = (Chan::new(0), Chan::new(0));
    let (to, from) = (pong.clone(), ping.clone());
    go(move || from.iter().for_each(|()| to.send(())));
    let began = Instant::now();
    for _ in 0..N {
        ping.send(());
        pong.recv();
    }
    let goroutines = began.elapsed() / (2 * N);
    let main = thread::current();
    let (stop, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let s = stop.clone();
    let other = thread::spawn(move || {
        while !s.load(Relaxed) {
            thread::park();
            main.unpark();
        }
    });
    syscall(|| {
        for _ in 0..N {
            other.thread().unpark();
            thread::park();
        }
    });
    let threads = began.elapsed() / (2 * N);
    stop.store(true, Relaxed);
    other.thread().unpark();
    println!(
        "from one goroutine to another: {} ns; from one thread to another: {} ns",
        goroutines.as_nanos(),
        threads.as_nanos()
    );
}

fn main() {
    let (procs, f): (_, fn()) = match std::env::args().nth(1).as_deref() {
        Some("overflow") => (1, overflow),
        Some("every61") => (1, every61),
        Some("steal") => (2, steal),
        Some("blocked") => (1, blocked),
        Some("hog") => (1, hog),
        Some("cost") => (1, cost),
        _ => {
            eprintln!("usage: walk overflow|every61|steal|blocked|hog|cost");
            std::process::exit(1)
        }
    };
    // SAFETY: no goroutine of this program borrows from a thread-local, or holds a value tied to a thread, while it parks.
    unsafe { Config::new().procs(procs).run(f) }
}
