//! crossbeam's channels and `select!`.

use crossbeam_channel::{Receiver, bounded, select};
use gosched_compare::{LAST_PRIME, PRIMES, RING};
use std::thread;
use std::time::{Duration, Instant};

/// A value goes over and comes back, `n` times, through two channels without a place.
pub fn pingpong(n: u64) -> Duration {
    let (there, inn) = bounded(0);
    let (out, back) = bounded(0);
    let began = Instant::now();
    thread::spawn(move || {
        for v in inn {
            out.send(v).expect("there is a receiver");
        }
    });
    for i in 0..n {
        there.send(i).expect("there is a receiver");
        assert_eq!(back.recv(), Ok(i));
    }
    began.elapsed()
}

/// One sends, one receives, 128 places between them.
pub fn buffered(n: u64) -> Duration {
    let (tx, rx) = bounded(128);
    let began = Instant::now();
    thread::spawn(move || {
        for i in 0..n {
            tx.send(i).expect("there is a receiver");
        }
    });
    let got = rx.iter().count();
    let took = began.elapsed();
    assert_eq!(got as u64, n);
    took
}

/// Four send, four receive.
pub fn mpmc(n: u64) -> Duration {
    let (tx, rx) = bounded(128);
    let began = Instant::now();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (tx, rx) = (tx.clone(), rx.clone());
            thread::spawn(move || {
                for i in 0..n {
                    tx.send(i).expect("there is a receiver");
                }
            });
            thread::spawn(move || rx.iter().count() as u64)
        })
        .collect();
    drop((tx, rx));
    let got: u64 = receivers.into_iter().map(|r| r.join().expect("no panic")).sum();
    let took = began.elapsed();
    assert_eq!(got, 4 * n);
    took
}

/// `K` channels without a place, each with a thread that sends `n` values. (They stay open: a closed one would be ready.)
fn sources<const K: usize>(n: u64) -> [Receiver<u64>; K] {
    std::array::from_fn(|_| {
        let (tx, rx) = bounded(0);
        std::mem::forget(tx.clone());
        thread::spawn(move || {
            for i in 0..n {
                tx.send(i).expect("there is a receiver");
            }
        });
        rx
    })
}

pub fn select2(n: u64) -> Duration {
    let began = Instant::now();
    let [a, b] = sources(n);
    for _ in 0..2 * n {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
        }
    }
    began.elapsed()
}

pub fn select8(n: u64) -> Duration {
    let began = Instant::now();
    let [a, b, c, d, e, f, g, h] = sources(n);
    for _ in 0..8 * n {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
            recv(c) -> _ => {}
            recv(d) -> _ => {}
            recv(e) -> _ => {}
            recv(f) -> _ => {}
            recv(g) -> _ => {}
            recv(h) -> _ => {}
        }
    }
    began.elapsed()
}

/// A number goes round a ring of a thousand threads; each takes one off. Who sees zero ends, and with its channel its
/// successor, and so on.
pub fn ring(hops: u64) -> Duration {
    let hops = hops / RING * RING;
    let (first, mut input) = bounded(0);
    let mut last = None;
    for i in 1..=RING {
        let (mut out, next) = bounded(0);
        if i == RING {
            out = first.clone();
        }
        let inn: Receiver<u64> = std::mem::replace(&mut input, next);
        last = Some(thread::spawn(move || {
            for v in inn {
                if v == 0 {
                    break;
                }
                out.send(v - 1).expect("there is a receiver");
            }
        }));
    }
    let began = Instant::now();
    first.send(hops).expect("there is a receiver");
    last.expect("the ring has threads").join().expect("no panic");
    began.elapsed()
}

/// Finds primes: a chain of filters, one thread for each prime found.
pub fn sieve() -> Duration {
    let began = Instant::now();
    let (out, mut input) = bounded(0);
    thread::spawn(move || {
        for i in 2..=LAST_PRIME {
            out.send(i).expect("there is a receiver");
        }
    });
    let mut found = 0;
    while let Ok(prime) = input.recv() {
        found += 1;
        let (out, next) = bounded(0);
        let inn = std::mem::replace(&mut input, next);
        thread::spawn(move || {
            for v in inn {
                if v % prime != 0 {
                    out.send(v).expect("there is a receiver");
                }
            }
        });
    }
    assert_eq!(found, PRIMES);
    began.elapsed()
}
