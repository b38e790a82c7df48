//! The workloads on threads of the system, with crossbeam's channels, and std's and parking_lot's locks. `--procs` is the
//! number of CPUs that the process may use.

#[path = "../../../../../src/http.rs"]
mod answer;
mod chans;
mod servers;
mod tasks;

use gosched_compare::harness::{Bench, Options};
use gosched_compare::{block, end_after, spin};

fn main() {
    let b = Bench::new("thread", Options::from_command_line(&[]));
    use_cpus(b.options.procs);
    workload(&b);
}

/// Confines the process to the first `n` of the CPUs that it may use.
fn use_cpus(n: usize) {
    // SAFETY: all zeroes is an empty set; both calls get its size, and CPU_* stay within it.
    unsafe {
        let size = size_of::<libc::cpu_set_t>();
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size, &mut set), 0);
        let allowed = (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set));
        for cpu in allowed.skip(n).collect::<Vec<_>>() {
            libc::CPU_CLR(cpu, &mut set);
        }
        assert_eq!(libc::sched_setaffinity(0, size, &set), 0);
    }
}

fn workload(b: &Bench) {
    let n = |usual| b.options.n.unwrap_or(usual);
    match b.options.workload.as_str() {
        "spawn" => b.per_op("", 10, 1000, tasks::spawn),
        "yield2" => b.per_op("", 1000, 2, |n| tasks::yields(2, n)),
        "yield1000" => b.per_op("", 10, 1000, |n| tasks::yields(1000, n)),
        "pingpong" => b.per_op("", 1000, 2, chans::pingpong),
        "chan_buffered" => b.per_op("", 1000, 1, chans::buffered),
        "chan_mpmc" => b.per_op("", 1000, 4, chans::mpmc),
        "select2" => b.per_op("", 1000, 2, chans::select2),
        "select8" => b.per_op("", 1000, 8, chans::select8),
        "ring" => b.per_op("", 1000, 1, chans::ring),
        "sieve" => b.whole("", chans::sieve),
        "parked1m" => tasks::parked(b, n(10_000)),
        "skynet" | "timers" => b.not_available("too_many_threads"),
        "mutex" => {
            b.per_op("std", 1000, 8, tasks::mutex_std);
            b.per_op("parking_lot", 1000, 8, tasks::mutex_parking_lot);
        }
        "rwlock" => {
            b.per_op("std", 1000, 8, |n| tasks::rwlock_std(true, n));
            b.per_op("parking_lot", 1000, 8, |n| tasks::rwlock_parking_lot(true, n));
            b.per_op("number-std", 1000, 8, |n| tasks::rwlock_std(false, n));
            b.per_op("number-parking_lot", 1000, 8, |n| tasks::rwlock_parking_lot(false, n));
        }
        "idle" => tasks::idle(b, n(10_000)),
        "echo" => served(b, 60, |addr| servers::echo(addr, None)),
        "hog_spin" => served(b, 20, |addr| servers::echo(addr, Some(spin))),
        "hog_block" => served(b, 20, |addr| servers::echo(addr, Some(block))),
        "http" => served(b, 60, servers::http),
        _ => b.not_available("no_such_workload"),
    }
}

fn served(b: &Bench, secs: u64, server: fn(&str) -> std::io::Result<()>) {
    end_after(secs);
    server(&b.options.addr).expect("the address is free");
}
