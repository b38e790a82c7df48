//! A goroutine says hello over a channel.
//!
//! ```text
//! $ cargo run --example hello
//! hello from goroutine 2
//! ```
//! `run` boots the scheduler and runs its closure as the main goroutine. `go!` starts another one, which sends a line into
//! an unbuffered channel: the two meet there, whoever comes first parks. (The number may be another: goroutines are
//! numbered as they are started, and the runtime may start some of its own.)

use gosched::chan::Chan;
use gosched::{go, goid};

fn hello() -> String {
    let lines = Chan::new(0);
    let out = lines.clone();
    go!({
        out.send(format!("hello from goroutine {}", goid().expect("on a goroutine")));
    });
    lines.recv().expect("nobody closes the channel")
}

fn main() {
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    let line = unsafe { gosched::run(hello) };
    println!("{line}");
}

#[test]
fn says_hello() {
    // SAFETY: as in main.
    let line = unsafe { gosched::run(hello) };
    let id = line.strip_prefix("hello from goroutine ").expect("the greeting");
    assert!(id.parse::<u64>().unwrap() > 1, "not the main goroutine: {line}");
    main();
}
