//! The workloads on may.
//!
//! Its channels have no bound, so that a sender never waits, in any workload. `+spsc`: those for one sender. Of its
//! coroutines there can be some 30,000: their stacks are mapped one by one, and Linux allows 65,530 mappings.

mod chans;
mod servers;
mod tasks;

use chans::{mpsc, spsc};
use gosched_compare::end_after;
use gosched_compare::harness::{Bench, Options};
use may::go;
use std::time::Duration;

/// The most coroutines that are asked for.
const MOST: u64 = 30_000;

fn main() {
    let b = Bench::new("may", Options::from_command_line(&[]));
    may::config().set_workers(b.options.procs);
    workload(&b);
}

/// Runs `main` in a coroutine and waits for it.
fn on<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> T {
    go!(main).join().expect("no panic")
}

fn workload(b: &Bench) {
    let per_op = |variant: &str, least: u64, ops: u64, work: fn(u64) -> Duration| {
        b.per_op(variant, least, ops, |n| on(move || work(n)))
    };
    let n = |usual| b.options.n.unwrap_or(usual);
    match b.options.workload.as_str() {
        "spawn" => per_op("", 10, 1000, tasks::spawn),
        "yield2" => per_op("", 1000, 2, |n| tasks::yields(2, n)),
        "yield1000" => per_op("", 10, 1000, |n| tasks::yields(1000, n)),
        "pingpong" => {
            per_op("", 1000, 2, mpsc::pingpong);
            per_op("spsc", 1000, 2, spsc::pingpong);
        }
        "chan_buffered" => {
            per_op("", 1000, 1, mpsc::buffered);
            per_op("spsc", 1000, 1, spsc::buffered);
        }
        "chan_mpmc" => per_op("", 1000, 4, chans::mpmc),
        "select2" => per_op("", 1000, 2, |n| chans::select(2, n)),
        "select8" => per_op("", 1000, 8, |n| chans::select(8, n)),
        "ring" => per_op("", 1000, 1, chans::ring),
        "sieve" => {
            b.whole("", || on(mpsc::sieve));
            b.whole("spsc", || on(spsc::sieve));
        }
        // On the way down a tenth of the leaves and more are there at once.
        "skynet" if n(1_000_000) > MOST => b.not_available("more_stacks_than_mappings"),
        "skynet" => b.whole("", || {
            let leaves = n(1_000_000);
            on(move || chans::skynet(leaves))
        }),
        "parked1m" => {
            let n = n(MOST);
            on(move || tasks::parked(n)).all_woken(b)
        }
        "timers" => tasks::timers(b, n(MOST)),
        "mutex" => per_op("", 1000, 8, tasks::mutex),
        "rwlock" => {
            per_op("", 1000, 8, |n| tasks::rwlock(true, n));
            per_op("number", 1000, 8, |n| tasks::rwlock(false, n));
        }
        "idle" => tasks::idle(b, n(10_000)),
        "echo" => served(b, 60, |addr| servers::echo(addr, None)),
        "hog_spin" => served(b, 20, |addr| servers::echo(addr, Some(gosched_compare::spin))),
        "hog_block" => served(b, 20, |addr| servers::echo(addr, Some(gosched_compare::block))),
        "http" => served(b, 60, servers::http),
        _ => b.not_available("no_such_workload"),
    }
}

fn served(b: &Bench, secs: u64, server: fn(&str) -> std::io::Result<()>) {
    end_after(secs);
    let addr = b.options.addr.clone();
    on(move || server(&addr)).expect("the address is free");
}
