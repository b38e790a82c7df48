//! Channels and `select!`.

use gosched::chan::{Chan, select};
use gosched::sync::WaitGroup;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A value goes over and comes back, `n` times, through two unbuffered channels.
pub fn pingpong(n: u64) -> Duration {
    let (there, back) = (Chan::new(0), Chan::new(0));
    let began = Instant::now();
    {
        let (there, back) = (there.clone(), back.clone());
        gosched::go(move || {
            for v in there.iter() {
                back.send(v);
            }
            back.close();
        });
    }
    for i in 0..n {
        there.send(i);
        assert_eq!(back.recv(), Some(i));
    }
    let took = began.elapsed();
    there.close();
    assert_eq!(back.recv(), None);
    took
}

/// One sends, one receives, 128 places between them.
pub fn buffered(n: u64) -> Duration {
    let values = Chan::new(128);
    let began = Instant::now();
    let sender = values.clone();
    gosched::go(move || {
        for i in 0..n {
            sender.send(i);
        }
        sender.close();
    });
    let got = values.iter().count();
    let took = began.elapsed();
    assert_eq!(got as u64, n);
    took
}

/// Four send, four receive.
pub fn mpmc(n: u64) -> Duration {
    let values = Chan::new(128);
    let (senders, receivers) = (WaitGroup::new(), WaitGroup::new());
    let got = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    senders.add(4);
    receivers.add(4);
    for _ in 0..4 {
        let (out, senders) = (values.clone(), senders.clone());
        gosched::go(move || {
            for i in 0..n {
                out.send(i);
            }
            senders.done();
        });
        let (inn, receivers, got) = (values.clone(), receivers.clone(), got.clone());
        gosched::go(move || {
            got.fetch_add(inn.iter().count() as u64, Ordering::Relaxed);
            receivers.done();
        });
    }
    senders.wait();
    values.close();
    receivers.wait();
    let took = began.elapsed();
    assert_eq!(got.load(Ordering::Relaxed), 4 * n);
    took
}

/// One goroutine puts a value into a buffered channel and takes it out again.
pub fn solo(n: u64) -> Duration {
    let values = Chan::new(128);
    let began = Instant::now();
    for i in 0..n {
        values.send(black_box(i));
        black_box(values.recv());
    }
    began.elapsed()
}

pub fn solo_std(n: u64) -> Duration {
    let (tx, rx) = std::sync::mpsc::sync_channel(128);
    let began = Instant::now();
    for i in 0..n {
        tx.send(black_box(i)).expect("the receiver is here");
        black_box(rx.recv().expect("it was sent"));
    }
    began.elapsed()
}

/// `K` unbuffered channels, each with a goroutine that sends `n` values.
fn sources<const K: usize>(n: u64) -> [Chan<u64>; K] {
    std::array::from_fn(|_| {
        let values = Chan::new(0);
        let sender = values.clone();
        gosched::go(move || {
            for i in 0..n {
                sender.send(i);
            }
        });
        values
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

/// A number goes round a ring of a thousand goroutines; each takes one off. Who sees zero lets its successor go, and so
/// they all end one after the other.
pub fn ring(hops: u64) -> Duration {
    const SIZE: u64 = 1000;
    let hops = hops / SIZE * SIZE;
    let (first, end) = (Chan::<u64>::new(0), Chan::<()>::new(0));
    let mut input = first.clone();
    for i in 1..=SIZE {
        let last = i == SIZE;
        let output = if last { first.clone() } else { Chan::new(0) };
        let (inn, out) = (std::mem::replace(&mut input, output.clone()), output);
        let end = last.then(|| end.clone());
        gosched::go(move || {
            for v in inn.iter() {
                if v == 0 {
                    break;
                }
                out.send(v - 1);
            }
            match end {
                Some(end) => end.close(),
                None => out.close(),
            }
        });
    }
    let began = Instant::now();
    first.send(hops);
    end.recv();
    began.elapsed()
}

/// Finds primes: a chain of filters, one goroutine for each prime found.
pub fn sieve() -> Duration {
    const PRIMES: usize = 2000;
    const LAST_PRIME: u64 = 17_389;
    let began = Instant::now();
    let numbers = Chan::new(0);
    let out = numbers.clone();
    gosched::go(move || {
        for i in 2..=LAST_PRIME {
            out.send(i);
        }
        out.close();
    });
    let (mut found, mut input) = (0, numbers);
    while let Some(prime) = input.recv() {
        found += 1;
        let output = Chan::new(0);
        let (inn, out) = (std::mem::replace(&mut input, output.clone()), output);
        gosched::go(move || {
            for v in inn.iter() {
                if v % prime != 0 {
                    out.send(v);
                }
            }
            out.close();
        });
    }
    assert_eq!(found, PRIMES);
    began.elapsed()
}

/// A tree of goroutines, ten to a node, with `leaves` leaves (a power of ten); sums go up.
pub fn skynet(leaves: u64) -> Duration {
    fn node(up: &Chan<u64>, number: u64, leaves: u64) {
        if leaves == 1 {
            return up.send(number);
        }
        let (sums, part) = (Chan::new(0), leaves / 10);
        for i in 0..10 {
            let sums = sums.clone();
            gosched::go(move || node(&sums, number + i * part, part));
        }
        up.send((0..10).filter_map(|_| sums.recv()).sum());
    }
    let began = Instant::now();
    let sum = Chan::new(0);
    let up = sum.clone();
    gosched::go(move || node(&up, 0, leaves));
    assert_eq!(sum.recv(), Some(leaves * (leaves - 1) / 2), "leaves is a power of ten");
    began.elapsed()
}
