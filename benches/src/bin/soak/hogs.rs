//! What gets in everybody's way: goroutines that compute, that block their thread, that keep it; and a GOMAXPROCS that
//! changes all the time.

use crate::ledger::Rng;
use gosched::chan::Chan;
use gosched::sync::WaitGroup;
use std::time::{Duration, Instant};

/// Computes for `d`, without a call that could yield.
fn spin(d: Duration) {
    let start = Instant::now();
    while start.elapsed() < d {
        (0..1000).for_each(|i| {
            std::hint::black_box(i);
        });
    }
}

/// Some hogs of each sort at once.
pub fn hogs(rng: &mut Rng) -> u64 {
    let wg = WaitGroup::new();
    let n = 1 + rng.below(6);
    for _ in 0..n {
        let d = rng.micros(20_000);
        match rng.below(4) {
            0 => wg.go(move || spin(d)),
            1 => wg.go(move || std::thread::sleep(d)),
            2 => wg.go(move || gosched::syscall(|| std::thread::sleep(d))),
            // Two that keep their threads and talk to each other.
            _ => {
                let (there, back) = (Chan::new(0), Chan::new(0));
                let (to, from) = (there.clone(), back.clone());
                wg.go(move || {
                    let _lock = gosched::lock_os_thread();
                    (0..20u64).for_each(|n| {
                        to.send(n);
                        from.recv();
                    });
                });
                wg.go(move || {
                    let _lock = gosched::lock_os_thread();
                    (0..20u64).for_each(|n| {
                        there.recv();
                        back.send(n);
                    });
                });
            }
        }
    }
    wg.wait();
    n
}

/// Another GOMAXPROCS, for a while.
pub fn procs(rng: &mut Rng) -> u64 {
    gosched::set_gomaxprocs(1 + rng.below(8) as usize);
    gosched::time::sleep(rng.micros(100_000));
    1
}
