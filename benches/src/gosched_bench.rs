//! The measurements of gosched: one workload per call of the program.
//!
//! ```text
//! cargo build --profile bench -p gosched-benches      # thin LTO, one codegen unit; the program is target/release/gosched-bench
//! target/release/gosched-bench WORKLOAD --procs N [--n N] [--addr HOST:PORT]
//! ```
//! What it measures and prints is in README.md. (`cargo build --release` puts a program without LTO in the same place.)
//!
//! Run it beside a peer: a program with the same command line, whose lines differ only in the name.
//!
//! The whole program runs inside one `run`, on the main goroutine, as a Go program's `main` does.

mod chans;
mod copying;
mod harness;
mod http;
mod naps;
mod servers;
mod tasks;

use harness::{Bench, Options};
use std::time::Duration;

fn main() {
    let options = Options::from_command_line(&["--syscall"]);
    let config = gosched::Config::new().procs(options.procs);
    // SAFETY: no goroutine of this program borrows from a thread-local, or holds a value tied to a thread, across a call
    // that can park. (The std mutexes that are measured guard an addition; stdout's lock is released before a print
    // returns.)
    unsafe { config.run(move || workload(&Bench::new("gosched", options))) }
}

fn workload(b: &Bench) {
    match b.options.workload.as_str() {
        "spawn" => {
            b.per_op("", 10, 1000, tasks::spawn);
            b.per_op("static", 10, 1000, tasks::spawn_static);
            b.per_op("join", 10, 1000, tasks::spawn_join);
        }
        "yield2" => b.per_op("", 1000, 2, |n| tasks::yields(2, n)),
        "yield1000" => b.per_op("", 10, 1000, |n| tasks::yields(1000, n)),
        "pingpong" => b.per_op("", 1000, 2, chans::pingpong),
        "chan_buffered" => b.per_op("", 1000, 1, chans::buffered),
        "chan_mpmc" => b.per_op("", 1000, 4, chans::mpmc),
        "chan_solo" => {
            b.per_op("", 1000, 1, chans::solo);
            b.per_op("std", 1000, 1, chans::solo_std);
        }
        "select2" => b.per_op("", 1000, 2, chans::select2),
        "select8" => b.per_op("", 1000, 8, chans::select8),
        "ring" => b.per_op("", 1000, 1, chans::ring),
        "sieve" => b.whole("", chans::sieve),
        "skynet" => b.whole("", || chans::skynet(b.options.n.unwrap_or(1_000_000))),
        "parked1m" => tasks::parked(b),
        "timers" => tasks::timers(b),
        "mutex" => {
            b.per_op("", 1000, 8, tasks::mutex);
            b.per_op("std", 1000, 8, tasks::mutex_std);
        }
        "mutex_solo" => {
            b.per_op("", 1000, 1, tasks::mutex_solo);
            b.per_op("std", 1000, 1, tasks::mutex_solo_std);
        }
        "rwlock" => {
            b.per_op("", 1000, 8, |n| tasks::rwlock(true, n));
            b.per_op("std", 1000, 8, |n| tasks::rwlock_std(true, n));
            b.per_op("number", 1000, 8, |n| tasks::rwlock(false, n));
            b.per_op("number-std", 1000, 8, |n| tasks::rwlock_std(false, n));
        }
        "echo" => served(60, || servers::echo(&b.options.addr, None)),
        "hog_spin" => served(20, || servers::echo(&b.options.addr, Some(servers::spin))),
        "hog_block" if b.options.has("--syscall") => {
            served(20, || servers::echo(&b.options.addr, Some(servers::block_as_syscall)))
        }
        "hog_block" => served(20, || servers::echo(&b.options.addr, Some(servers::block))),
        "http" => served(60, || servers::http(&b.options.addr)),
        "copy" => copying::flows(b),
        "idle" => tasks::idle(b),
        "handshake" => b.per_op("", 1000, 1, tasks::handshake),
        _ => b.not_available("no_such_workload"),
    }
}

/// A server ends after this many seconds, in whatever state the scheduler may be: a thread of its own sees to that.
fn served(secs: u64, server: impl FnOnce() -> std::io::Result<()>) {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(secs));
        std::process::exit(0);
    });
    if let Err(e) = server() {
        eprintln!("gosched-bench: {e}");
        std::process::exit(1);
    }
}
