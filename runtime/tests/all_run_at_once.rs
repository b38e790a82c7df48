//! As many goroutines as there are Ps run at the same time, and where there are fewer Ps all get their turn, though none of
//! them ever calls the scheduler.

use gosched_runtime::sync::WaitGroup;
use gosched_runtime::{go, run, set_gomaxprocs, sleep, spawn, syscall};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

/// The tests change one number.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs `f` as a main goroutine, with so many Ps.
fn with_procs(n: usize, f: impl FnOnce() + Send) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: no goroutine of these tests parks while it holds a value tied to a thread. (The caller's guard is on the
    // caller's stack, and it does not run as a goroutine.)
    unsafe {
        run(|| {
            let before = set_gomaxprocs(n);
            f();
            set_gomaxprocs(before);
        })
    };
}

/// A baton that goes round `of` goroutines: each spins until it is its turn.
#[derive(Clone)]
struct Relay {
    at: Arc<AtomicUsize>,
    of: usize,
    rounds: usize,
}

impl Relay {
    fn new(of: usize, rounds: usize) -> Relay {
        Relay { at: Arc::new(AtomicUsize::new(0)), of, rounds }
    }

    fn run(&self, me: usize) {
        let since = Instant::now();
        for round in 0..self.rounds {
            while self.at.load(SeqCst) != round * self.of + me {
                assert!(since.elapsed() < Duration::from_secs(90), "the next one does not get its turn");
                std::hint::spin_loop();
            }
            self.at.fetch_add(1, SeqCst);
        }
    }
}

/// All are started by one goroutine, which then waits.
#[test]
fn those_that_one_has_started() {
    for procs in [4, 2, 1] {
        with_procs(procs, || {
            for _ in 0..2 {
                let relay = Relay::new(4, 3);
                let hs: Vec<_> = (0..4)
                    .map(|me| {
                        let relay = relay.clone();
                        spawn(move || relay.run(me))
                    })
                    .collect();
                hs.into_iter().for_each(|h| h.join().unwrap());
            }
        });
    }
}

/// Started by different goroutines, which end; after others that have kept all threads awake, and that go to sleep just now.
#[test]
fn those_that_several_have_started_after_a_time_of_load() {
    for procs in [4, 2, 1] {
        with_procs(procs, || {
            for _ in 0..2 {
                let load = Relay::new(4, 1);
                for me in 0..4 {
                    let load = load.clone();
                    go(move || load.run(me));
                }
                while load.at.load(SeqCst) < 4 {
                    sleep(Duration::from_micros(50));
                }
                let (relay, wg) = (Relay::new(4, 3), WaitGroup::new());
                wg.add(4);
                for half in 0..2 {
                    let (relay, wg) = (relay.clone(), wg.clone());
                    go(move || {
                        for me in 0..2 {
                            let (relay, wg) = (relay.clone(), wg.clone());
                            go(move || {
                                relay.run(2 * half + me);
                                wg.done();
                            });
                        }
                    });
                }
                wg.wait();
            }
        });
    }
}

/// Calls that are announced, and so short that they are over before anybody takes the P: who makes one after the other
/// still makes room for others.
#[test]
fn beside_those_that_make_short_calls_all_the_time() {
    for call in [10, 100, 1_000].map(Duration::from_micros) {
        with_procs(2, move || {
            const N: usize = 8;
            let (started, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let hs: Vec<_> = (0..N)
                .map(|_| {
                    let (started, stop) = (started.clone(), stop.clone());
                    spawn(move || {
                        started.fetch_add(1, SeqCst);
                        while stop.load(SeqCst) == 0 {
                            syscall(|| {
                                let since = Instant::now();
                                while since.elapsed() < call {
                                    std::hint::spin_loop();
                                }
                            });
                        }
                    })
                })
                .collect();
            let since = Instant::now();
            while started.load(SeqCst) < N {
                assert!(since.elapsed() < Duration::from_secs(90), "they make no room");
                sleep(Duration::from_micros(100));
            }
            stop.store(1, SeqCst);
            hs.into_iter().for_each(|h| h.join().unwrap());
        });
    }
}
