//! Two goroutines throw a ball to each other over unbuffered channels: what one message costs.
//!
//! ```text
//! $ cargo run --release --example ping-pong -- 1000000
//! 2000000 messages, … ns each
//! ```
//! The argument is the number of rounds (default 100,000); each is two messages. A message is: lock the channel, find the
//! partner waiting in its queue, write the value into the partner's stack, make it ready as `runnext`, park, switch to it.
//! No kernel and no allocation is involved, so the two may as well share one thread; try it with `GOMAXPROCS=1`.

use gosched::chan::Chan;
use gosched::go;
use std::time::{Duration, Instant};

/// The number that went to and fro, one higher at each throw, and how long that took.
fn ping_pong(rounds: u64) -> (u64, Duration) {
    let (ping, pong) = (Chan::new(0), Chan::new(0));
    let (balls, back) = (ping.receiver(), pong.sender());
    go!({
        for ball in balls {
            back.send(ball + 1);
        }
        back.close();
    });
    let start = Instant::now();
    let mut ball = 0;
    for _ in 0..rounds {
        ping.send(ball + 1);
        ball = pong.recv().expect("the partner is there as long as we throw");
    }
    let took = start.elapsed();
    ping.close();
    assert_eq!(pong.recv(), None); // the partner has left
    (ball, took)
}

fn main() {
    let rounds = match std::env::args().nth(1).map(|n| n.parse()) {
        None => 100_000,
        Some(Ok(n)) => n,
        Some(Err(_)) => {
            eprintln!("usage: ping-pong [rounds]");
            std::process::exit(2);
        }
    };
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    let (messages, took) = unsafe { gosched::run(|| ping_pong(rounds)) };
    println!("{messages} messages, {:.1} ns each", took.as_nanos() as f64 / messages.max(1) as f64);
}

#[test]
fn every_throw_is_caught() {
    // SAFETY: as in main.
    unsafe {
        gosched::run(|| {
            let (messages, took) = ping_pong(10_000);
            assert_eq!(messages, 20_000);
            assert!(took > Duration::ZERO && took < Duration::from_secs(60));
            assert_eq!(ping_pong(0).0, 0);
        })
    }
}
