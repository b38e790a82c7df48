//! The concurrent prime sieve: a chain of goroutines, one for each prime found so far.
//!
//! ```text
//! $ cargo run --release --example sieve -- 10
//! 2 3 5 7 11 13 17 19 23 29
//! ```
//! The argument says how many primes (default 25).
//!
//! ```text
//!   generate ──2 3 4 5 …──► filter 2 ──3 5 7 9 …──► filter 3 ──5 7 11 …──► filter 5 ──► …
//! ```
//! Every channel is unbuffered, so each number that passes is a meeting of two goroutines. What comes out of the last
//! filter first is the next prime, and gets a filter of its own. At the end the first channel is closed, the filters close
//! theirs one after the other, and no goroutine is left behind.

use gosched::chan::{Chan, Receiver, Sender};
use gosched::{go, sync::WaitGroup};

/// Sends 2, 3, 4 … until nobody wants more.
fn generate(out: Sender<u64>) {
    for n in 2.. {
        if out.send_checked(n).is_err() {
            return;
        }
    }
}

/// Lets pass what `prime` does not divide. Ends, and ends its source, when its own output is closed.
fn filter(source: Receiver<u64>, close_source: Sender<u64>, out: Sender<u64>, prime: u64) {
    for n in &source {
        if n % prime != 0 && out.send_checked(n).is_err() {
            break;
        }
    }
    close_source.close();
}

fn primes(count: usize) -> Vec<u64> {
    let wg = WaitGroup::new();
    let mut last = Chan::new(0);
    let out = last.sender();
    wg.add(1);
    let done = wg.clone();
    go!({
        generate(out);
        done.done();
    });
    let mut primes = Vec::with_capacity(count);
    while primes.len() < count {
        let prime = last.recv().expect("the chain is closed from this end only");
        primes.push(prime);
        let next = Chan::new(0);
        let (source, close_source, out, done) = (last.receiver(), last.sender(), next.sender(), wg.clone());
        wg.add(1);
        go!({
            filter(source, close_source, out, prime);
            done.done();
        });
        last = next;
    }
    last.close();
    wg.wait();
    primes
}

fn main() {
    let count = match std::env::args().nth(1).map(|n| n.parse()) {
        None => 25,
        Some(Ok(n)) => n,
        Some(Err(_)) => {
            eprintln!("usage: sieve [how many primes]");
            std::process::exit(2);
        }
    };
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    let primes = unsafe { gosched::run(|| primes(count)) };
    println!("{}", primes.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
}

#[test]
fn finds_the_primes_and_leaves_nobody_behind() {
    let by_division: Vec<u64> = (2..).filter(|n| (2..*n).all(|d| n % d != 0)).take(150).collect();
    // SAFETY: as in main.
    unsafe {
        gosched::run(|| {
            assert_eq!(primes(0), []);
            assert_eq!(primes(1), [2]);
            assert_eq!(primes(150), by_division);
        })
    }
}
