//! Channels, and what may has for `select`.

use gosched_compare::{LAST_PRIME, PRIMES, RING};
use may::{cqueue, cqueue_add, go};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What can be done with both kinds of channel that have one receiver.
macro_rules! with_channel {
    ($kind:ident) => {
        pub mod $kind {
            use super::*;
            use may::sync::$kind::channel;

            /// A value goes over and comes back, `n` times.
            pub fn pingpong(n: u64) -> Duration {
                let (there, inn) = channel();
                let (out, back) = channel();
                let began = Instant::now();
                go!(move || {
                    for v in inn.iter() {
                        out.send(v).expect("there is a receiver");
                    }
                });
                for i in 0..n {
                    there.send(i).expect("there is a receiver");
                    assert_eq!(back.recv(), Ok(i));
                }
                began.elapsed()
            }

            /// One sends, one receives.
            pub fn buffered(n: u64) -> Duration {
                let (tx, rx) = channel();
                let began = Instant::now();
                go!(move || {
                    for i in 0..n {
                        tx.send(i).expect("there is a receiver");
                    }
                });
                let got = rx.iter().count();
                let took = began.elapsed();
                assert_eq!(got as u64, n);
                took
            }

            /// Finds primes: a chain of filters, one coroutine for each prime found.
            pub fn sieve() -> Duration {
                let began = Instant::now();
                let (out, mut input) = channel();
                go!(move || {
                    for i in 2..=LAST_PRIME {
                        out.send(i).expect("there is a receiver");
                    }
                });
                let mut found = 0;
                while let Ok(prime) = input.recv() {
                    found += 1;
                    let (out, next) = channel();
                    let inn = std::mem::replace(&mut input, next);
                    go!(move || {
                        for v in inn.iter() {
                            if v % prime != 0 {
                                out.send(v).expect("there is a receiver");
                            }
                        }
                    });
                }
                assert_eq!(found, PRIMES);
                began.elapsed()
            }
        }
    };
}
with_channel!(mpsc);
with_channel!(spsc);

/// Four send, four receive.
pub fn mpmc(n: u64) -> Duration {
    let (tx, rx) = may::sync::mpmc::channel();
    let got = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (tx, rx, got) = (tx.clone(), rx.clone(), got.clone());
            go!(move || {
                for i in 0..n {
                    tx.send(i).expect("there is a receiver");
                }
            });
            go!(move || {
                got.fetch_add(rx.iter().count() as u64, Ordering::Relaxed);
            })
        })
        .collect();
    drop((tx, rx));
    for r in receivers {
        r.join().expect("no panic");
    }
    let took = began.elapsed();
    assert_eq!(got.load(Ordering::Relaxed), 4 * n);
    took
}

/// Receives from `k` channels, each with a sender. may's `select!` starts a coroutine for each channel and each choice;
/// its `cqueue`, which is used here, keeps them.
pub fn select(k: u64, n: u64) -> Duration {
    let began = Instant::now();
    let receivers: Vec<_> = (0..k)
        .map(|_| {
            let (tx, rx) = may::sync::mpsc::channel();
            go!(move || {
                for i in 0..n {
                    tx.send(i).expect("there is a receiver");
                }
            });
            rx
        })
        .collect();
    cqueue::scope(|cqueue| {
        for (token, rx) in receivers.iter().enumerate() {
            // (An `Ok` only: when the sender has gone, the coroutine waits to be cancelled.)
            cqueue_add!(cqueue, token, _v = received(rx) => {});
        }
        for _ in 0..k * n {
            cqueue.poll(None).expect("there is one to come");
        }
    });
    began.elapsed()
}

fn received(rx: &may::sync::mpsc::Receiver<u64>) -> u64 {
    rx.recv().unwrap_or_else(|_| {
        loop {
            may::coroutine::park();
        }
    })
}

/// A number goes round a ring of a thousand coroutines; each takes one off. Who sees zero ends, and with its channel its
/// successor, and so on.
pub fn ring(hops: u64) -> Duration {
    use may::sync::mpsc::channel;
    let hops = hops / RING * RING;
    let (first, mut input) = channel();
    let mut last = None;
    for i in 1..=RING {
        let (mut out, next) = channel();
        if i == RING {
            out = first.clone();
        }
        let inn = std::mem::replace(&mut input, next);
        last = Some(go!(move || {
            for v in inn.iter() {
                if v == 0 {
                    break;
                }
                out.send(v - 1).expect("there is a receiver");
            }
        }));
    }
    let began = Instant::now();
    first.send(hops).expect("there is a receiver");
    last.expect("the ring has coroutines").join().expect("no panic");
    began.elapsed()
}

/// A tree of coroutines, ten to a node, with `leaves` leaves; sums go up.
pub fn skynet(leaves: u64) -> Duration {
    use may::sync::mpsc::{Sender, channel};
    fn node(up: Sender<u64>, number: u64, leaves: u64) {
        let mut sum = number;
        if leaves > 1 {
            let (tx, sums) = channel();
            let part = leaves / 10;
            for i in 0..10 {
                let tx = tx.clone();
                go!(move || node(tx, number + i * part, part));
            }
            drop(tx);
            sum = sums.iter().sum();
        }
        up.send(sum).expect("there is a receiver");
    }
    let began = Instant::now();
    let (up, sum) = channel();
    go!(move || node(up, 0, leaves));
    assert_eq!(sum.recv(), Ok(leaves * (leaves - 1) / 2));
    began.elapsed()
}
