//! After a burst of goroutines their stacks' memory goes back to the system.

use gosched_runtime::sync::Semaphore;
use gosched_runtime::{run, sleep, spawn};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BURST: usize = 20_000;

/// Resident memory of this process in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_burst_gives_its_stacks_back() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let before = resident();
            let gate = Arc::new(Semaphore::new(0));
            let hs: Vec<_> = (0..BURST)
                .map(|_| {
                    let gate = gate.clone();
                    spawn(move || drop(gate.acquire()))
                })
                .collect();
            while !hs.is_empty() && resident() < before + BURST * 4 * 9 / 10 {
                sleep(Duration::from_millis(5)); // until all are parked
            }
            let peak = resident();
            gate.add_permits(1);
            hs.into_iter().for_each(|h| h.join().unwrap());
            let t = Instant::now();
            // What stays is the Gs themselves, some 330 bytes each.
            while resident() - before > (peak - before) / 4 {
                assert!(t.elapsed() < Duration::from_secs(60), "{before} KiB, {peak}, now {}", resident());
                sleep(Duration::from_millis(100));
            }
        })
    };
}
