//! What the safety contract is about: thread-locals and goroutines that move.
//!
//! ```text
//! $ cargo run --release --example tls-hazard
//! 2000 goroutines, 40 parks each, on 4 threads
//! thread-local, reached anew each time:    1 value(s) a goroutine at the least, 4 at the most
//! goroutine-local, borrowed across parks:  1 value(s) a goroutine at the least, 1 at the most
//! ```
//! A goroutine looks at a thread-local before and after each park and counts how many different ones it met: as many as
//! the threads that it ran on. A reference held across the park would go on naming the first. That program is not run
//! here, because it is undefined behaviour; it is in docs/safety.md, with the cures. A goroutine-local is one and the
//! same all along.

use gosched::chan::Chan;
use gosched::{Config, goroutine_local, yield_now};
use std::cell::RefCell;
use std::collections::HashSet;

const GOROUTINES: usize = 2000;
const PARKS: usize = 40;

thread_local! {
    static OF_THREAD: u8 = const { 0 };
}

goroutine_local! {
    static SEEN: RefCell<HashSet<usize>> = RefCell::new(HashSet::new());
}

/// Where the thread's value lies. Not inlined, does not park: so it is this thread's, now.
#[inline(never)]
fn address_in_thread() -> usize {
    OF_THREAD.with(|v| std::ptr::from_ref(v) as usize)
}

/// How many different thread-locals, and how many different goroutine-locals, one goroutine met.
fn one() -> (usize, usize) {
    let (mut threads, mut own) = (HashSet::new(), HashSet::new());
    SEEN.with(|seen| {
        // The borrow of the goroutine-local lasts across every park in here.
        let mut seen = seen.borrow_mut();
        for _ in 0..PARKS {
            threads.insert(address_in_thread());
            own.insert(SEEN.with(|s| std::ptr::from_ref(s) as usize));
            seen.insert(threads.len());
            yield_now();
        }
    });
    (threads.len(), own.len())
}

/// (least, most) of the threads' values, (least, most) of the goroutines' own.
fn hazard() -> ((usize, usize), (usize, usize)) {
    // SAFETY: the thread-local is reached only in `address_in_thread`.
    let met: Vec<(usize, usize)> = unsafe {
        Config::new().procs(4).run(|| {
            let results = Chan::new(GOROUTINES);
            for _ in 0..GOROUTINES {
                let results = results.clone();
                gosched::go(move || results.send(one()));
            }
            results.iter().take(GOROUTINES).collect()
        })
    };
    let range = |of: fn(&(usize, usize)) -> usize| {
        (met.iter().map(of).min().unwrap_or(0), met.iter().map(of).max().unwrap_or(0))
    };
    (range(|m| m.0), range(|m| m.1))
}

fn main() {
    let (threads, own) = hazard();
    println!("{GOROUTINES} goroutines, {PARKS} parks each, on 4 threads");
    println!(
        "thread-local, reached anew each time:    {} value(s) a goroutine at the least, {} at the most",
        threads.0, threads.1
    );
    println!(
        "goroutine-local, borrowed across parks:  {} value(s) a goroutine at the least, {} at the most",
        own.0, own.1
    );
}

#[test]
fn goroutines_meet_several_thread_locals_and_one_of_their_own() {
    let (threads, own) = hazard();
    assert_eq!(own, (1, 1));
    assert!(threads.0 >= 1 && threads.1 >= 2, "with 4 threads somebody moves: {threads:?}");
}
