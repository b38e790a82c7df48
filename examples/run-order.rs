//! In which order do ten goroutines run that are started in a loop? On one P: the last one first.
//!
//! ```text
//! $ cargo run --example run-order
//! main parked on a channel: 9 0 1 2 3 4 5 6 7 8
//! main asleep:              9 0 1 2 3 4 5 6 7 8
//! ```
//! Why: a new goroutine goes into the P's one-place slot `runnext`, where it will run next, because what its starter has
//! just touched is still in the cache. The one that it finds there is kicked out, to the tail of the P's queue:
//!
//! ```text
//!   go 0      runnext: 0    queue:
//!   go 1      runnext: 1    queue: 0
//!   go 2      runnext: 2    queue: 0 1
//!     ...
//!   go 9      runnext: 9    queue: 0 1 2 3 4 5 6 7 8
//! ```
//! None of them runs before main parks: there is one P, and main has it. Then the P looks for work: `runnext` first, then
//! the head of the queue. What main parks on makes no difference. It did in Go before 1.14, where a sleep started a
//! goroutine for the timers: that one became the last, kicked 9 out to the tail, and the second line read 0 1 2 … 9.
//! Now a sleeper is an entry in its P's timer heap.

use gosched::chan::Chan;
use gosched::{Config, go, time};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const N: usize = 10;

/// What the main goroutine does once the ten are started.
#[derive(Clone, Copy)]
enum Main {
    ParksOnAChannel,
    Sleeps(Duration),
}

/// The order in which they ran.
fn order(main: Main) -> Vec<usize> {
    // A std lock may be used on goroutines, as long as none parks with its guard.
    let log = Arc::new(Mutex::new(Vec::with_capacity(N)));
    let all_ran: Chan<()> = Chan::new(0);
    for i in 0..N {
        let (log, all_ran) = (log.clone(), all_ran.clone());
        go!({
            let ran = {
                let mut log = log.lock().unwrap();
                log.push(i);
                log.len()
            };
            if ran == N {
                all_ran.close();
            }
        });
    }
    match main {
        Main::ParksOnAChannel => {}
        Main::Sleeps(d) => time::sleep(d),
    }
    all_ran.recv(); // parks; after the sleep it is closed already
    log.lock().unwrap().clone()
}

fn line(order: &[usize]) -> String {
    order.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

fn main() {
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe {
        Config::new().procs(1).run(|| {
            println!("main parked on a channel: {}", line(&order(Main::ParksOnAChannel)));
            println!("main asleep:              {}", line(&order(Main::Sleeps(Duration::from_millis(200)))));
        })
    }
}

#[test]
fn the_last_one_first_and_then_in_order() {
    const ROUNDS: usize = 20;
    // SAFETY: as in main.
    unsafe {
        Config::new().procs(1).run(|| {
            for how in [Main::ParksOnAChannel, Main::Sleeps(Duration::from_millis(5))] {
                // On a machine that is so busy that main's thread gets no time for 10 ms, the P is taken from main in
                // the middle of its loop, and the order is another one. That is rare; what must never be is that one
                // is lost or runs twice.
                let orders: Vec<_> = (0..ROUNDS).map(|_| order(how)).collect();
                for order in &orders {
                    let mut once = order.clone();
                    once.sort_unstable();
                    assert!(once.into_iter().eq(0..N), "{order:?}");
                }
                let as_told = orders.iter().filter(|o| line(o) == "9 0 1 2 3 4 5 6 7 8").count();
                assert!(as_told > ROUNDS / 2, "{as_told} of {ROUNDS}: {orders:?}");
            }
        })
    }
    main();
}
