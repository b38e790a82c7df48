//! What a goroutine changes of the thread that it has locked is nobody else's: no thread that is made later inherits it.
#![cfg(target_os = "linux")]
use gosched_runtime::{Config, lock_os_thread, spawn, syscall, yield_now};
use std::sync::{Arc, Barrier};

/// The threads of the scheduler that block SIGUSR2, or may not run on all the CPUs that the process had; and how many
/// threads it has.
fn odd_ones(all_cpus: &str) -> (Vec<String>, usize) {
    let mut odd = Vec::new();
    let mut n = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name)).expect("a field of every thread");
            line[name.len()..].trim().to_string()
        };
        if !field("Name:").starts_with("gosched-m") {
            continue;
        }
        n += 1;
        let blocked = u64::from_str_radix(&field("SigBlk:"), 16).unwrap();
        if blocked & 1 << (libc::SIGUSR2 - 1) != 0 || field("Cpus_allowed:") != all_cpus {
            odd.push(field("Pid:"));
        }
    }
    (odd, n)
}

fn cpus_allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed:")).unwrap();
    line.trim().to_string()
}

/// Blocks a signal, and gives up all CPUs but one.
fn change_this_thread() {
    // SAFETY: sets of this stack, as the calls want them; they concern this thread, which is locked.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut signals, libc::SIGUSR2);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut()), 0);
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of_val(&cpus);
        assert_eq!(libc::sched_getaffinity(0, size, &mut cpus), 0);
        let first = (0..libc::CPU_SETSIZE as usize).find(|&c| libc::CPU_ISSET(c, &cpus)).unwrap();
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(first, &mut one);
        assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
    }
}

#[test]
fn later_threads_do_not_inherit_it() {
    const BLOCKED: usize = 20;
    // SAFETY: nothing here is tied to a thread while it parks, but where the thread is locked.
    unsafe {
        // One P, so one thread so far: the next one is made when this one parks.
        Config::new().procs(1).run(|| {
            let all_cpus = cpus_allowed();
            let _locked = lock_os_thread();
            change_this_thread();
            let at = Arc::new(Barrier::new(BLOCKED + 1));
            let others: Vec<_> = (0..BLOCKED)
                .map(|_| {
                    let at = at.clone();
                    spawn(move || syscall(|| (at.wait(), at.wait())))
                })
                .collect();
            yield_now();
            at.wait(); // each of them has a thread now
            let (odd, n) = odd_ones(&all_cpus);
            at.wait();
            others.into_iter().for_each(|o| _ = o.join().unwrap());
            assert!(n > BLOCKED);
            // SAFETY: no preconditions.
            let me = libc::gettid().to_string();
            assert_eq!(odd, [me], "only the thread that was locked");
        });
    }
}
