//! `num_goroutine` counts the goroutines that there are, and as many are shown by `debug::stacks`. Alone in its process, for
//! it counts what is there.

use gosched_runtime::debug::stacks;
use gosched_runtime::sync::Semaphore;
use gosched_runtime::{goexit, num_goroutine, run, sleep, spawn, yield_now};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many goroutines the list shows: by an entry each, or as one of many that are alike.
fn shown() -> usize {
    let of = |line: &str| match line.split_once(" more goroutines are at the same place: ") {
        Some((n, _)) => n.parse().unwrap(),
        None => usize::from(line.starts_with("goroutine ") && line.ends_with("]:")),
    };
    stacks().lines().map(of).sum()
}

#[track_caller]
fn both_come_to(n: usize) {
    let since = Instant::now();
    // One that has just ended may be counted for a moment.
    while (num_goroutine(), shown()) != (n, n) {
        assert!(
            since.elapsed() < Duration::from_secs(90),
            "{} counted, {} shown, {n} there",
            num_goroutine(),
            shown()
        );
        sleep(Duration::from_micros(500));
    }
}

#[test]
fn as_many_are_counted_and_shown_as_there_are() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            both_come_to(1);
            for n in [1, 7, 100, 1_500] {
                let gate = Arc::new(Semaphore::new(0));
                let hs: Vec<_> = (0..n)
                    .map(|i| {
                        let gate = gate.clone();
                        spawn(move || {
                            drop(gate.acquire());
                            match i % 3 {
                                0 => goexit(),
                                1 => std::panic::resume_unwind(Box::new("planned")),
                                _ => yield_now(),
                            }
                        })
                    })
                    .collect();
                both_come_to(n + 1);
                gate.add_permits(1);
                hs.into_iter().for_each(|h| drop(h.join()));
                both_come_to(1);
            }
        })
    };
}
