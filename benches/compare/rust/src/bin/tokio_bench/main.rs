//! The workloads on tokio. `--current`: its runtime of one thread, which is named `tokio-ct`; `--blocking`: hog_block by
//! `spawn_blocking`.
//!
//! tokio has no rendezvous channel: its own have one place where others have none. `+kanal` is measured with the channels
//! of the crate kanal, which has rendezvous.

mod chans;
mod servers;
mod tasks;

use chans::{AsyncChannel, Kanal, Mpsc};
use gosched_compare::end_after;
use gosched_compare::harness::{Bench, Options};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let options = Options::from_command_line(&["--current", "--blocking"]);
    let current = options.has("--current");
    let mut builder = if current { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let rt = builder.worker_threads(options.procs).enable_all().build().expect("a runtime");
    workload(&Bench::new(if current { "tokio-ct" } else { "tokio" }, options), &rt);
}

/// Runs `main` as a task and waits for it: the thread in `block_on` is not one of the workers, and to pass messages to and
/// from it would cost a wake-up each.
fn on<T: Send + 'static>(rt: &Runtime, main: impl Future<Output = T> + Send + 'static) -> T {
    rt.block_on(async { tokio::spawn(main).await.expect("no panic") })
}

fn workload(b: &Bench, rt: &Runtime) {
    // One measurement: a variant, the least rounds, operations a round, an async function of the number of rounds.
    macro_rules! per_op {
        ($variant:expr, $least:expr, $ops:expr, $work:expr) => {
            b.per_op($variant, $least, $ops, |n| -> Duration { on(rt, $work(n)) })
        };
    }
    let n = |usual| b.options.n.unwrap_or(usual);
    match b.options.workload.as_str() {
        "spawn" => per_op!("", 10, 1000, tasks::spawn),
        "yield2" => per_op!("", 1000, 2, |n| tasks::yields(2, n)),
        "yield1000" => per_op!("", 10, 1000, |n| tasks::yields(1000, n)),
        "pingpong" => {
            per_op!("", 1000, 2, chans::pingpong::<Mpsc>);
            per_op!("kanal", 1000, 2, chans::pingpong::<Kanal>);
        }
        "chan_buffered" => {
            per_op!("", 1000, 1, chans::buffered::<Mpsc>);
            per_op!("kanal", 1000, 1, chans::buffered::<Kanal>);
        }
        // Channels of tokio's own have one receiver.
        "chan_mpmc" => {
            per_op!("async-channel", 1000, 4, chans::mpmc::<AsyncChannel>);
            per_op!("kanal", 1000, 4, chans::mpmc::<Kanal>);
        }
        "select2" => per_op!("", 1000, 2, chans::select2),
        "select8" => per_op!("", 1000, 8, chans::select8),
        "ring" => {
            per_op!("", 1000, 1, chans::ring::<Mpsc>);
            per_op!("kanal", 1000, 1, chans::ring::<Kanal>);
        }
        "sieve" => {
            b.whole("", || on(rt, chans::sieve::<Mpsc>()));
            b.whole("kanal", || on(rt, chans::sieve::<Kanal>()));
        }
        "skynet" => b.whole("", || on(rt, chans::skynet(n(1_000_000)))),
        "parked1m" => on(rt, tasks::parked(n(1_000_000))).all_woken(b),
        "timers" => tasks::timers(b, rt, n(100_000)),
        "mutex" => per_op!("", 1000, 8, tasks::mutex),
        "rwlock" => {
            per_op!("", 1000, 8, |n| tasks::rwlock(true, n));
            per_op!("number", 1000, 8, |n| tasks::rwlock(false, n));
        }
        "idle" => tasks::idle(b, rt, n(10_000)),
        "echo" => served(b, rt, 60, |addr| servers::echo(addr, None)),
        "hog_spin" => served(b, rt, 20, |addr| servers::echo(addr, Some(servers::spin))),
        "hog_block" if b.options.has("--blocking") => {
            served(b, rt, 20, |addr| servers::echo(addr, Some(servers::block_apart)))
        }
        "hog_block" => served(b, rt, 20, |addr| servers::echo(addr, Some(servers::block))),
        "http" => served(b, rt, 60, servers::http),
        _ => b.not_available("no_such_workload"),
    }
}

fn served<F>(b: &Bench, rt: &Runtime, secs: u64, server: impl FnOnce(String) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    end_after(secs);
    on(rt, server(b.options.addr.clone())).expect("the address is free");
}
