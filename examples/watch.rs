//! The scheduler, drawn while it works: open http://127.0.0.1:6060/ in a browser.
//!
//! ```text
//! $ cargo run --release --example watch -- 10000
//! 10000 goroutines; http://127.0.0.1:6060/
//! ```
//! The goroutines are of four kinds: pairs that send each other a number, sleepers, some that compute for a few milliseconds
//! at a time, and some that block their thread. It runs until it is stopped, or for as many seconds as a second number
//! says.

use gosched::chan::Chan;
use gosched::{Config, debug, go, syscall, time};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What goroutine `i` does, for ever.
pub fn one(i: usize) {
    match i % 100 {
        // Computes.
        0 => loop {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(3) {
                black_box(());
            }
            time::sleep(Duration::from_millis(300));
        },
        // Blocks its thread; not many do.
        1 if i < 1000 => loop {
            syscall(|| std::thread::sleep(Duration::from_millis(20)));
            time::sleep(Duration::from_millis(200));
        },
        // Sleeps.
        2..50 => loop {
            time::sleep(Duration::from_millis(500 + i as u64 % 500));
        },
        // Two that send each other a number.
        _ => {
            let (there, back) = (Chan::new(0), Chan::new(0));
            let (hears, answers) = (there.clone(), back.clone());
            go(move || hears.iter().for_each(|n: u64| answers.send(n + 1)));
            let mut n = 0;
            loop {
                there.send(n);
                n = back.recv().expect("it is not closed");
                time::sleep(Duration::from_millis(100 + i as u64 % 100));
            }
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let (n, seconds) = (args.next().unwrap_or(1000), args.next());
    // SAFETY: no goroutine of this program borrows from a thread-local, or holds a value tied to a thread, while it parks.
    unsafe {
        Config::new().run(move || {
            let server = debug::serve("127.0.0.1:6060").expect("the port is free");
            // Every other one of half of them starts a second one.
            for i in 0..n * 2 / 3 {
                go(move || one(i));
            }
            println!("{n} goroutines; http://{}/", server.local_addr());
            time::sleep(seconds.map_or(Duration::MAX, |s| Duration::from_secs(s as u64)));
        })
    }
}
