//! Where a limit of the system or of the configuration is reached the process ends with a line that names it and Go's
//! `fatal error`; nothing else is dragged along: no failed allocation, no fault.

mod child;

use gosched_runtime::sync::Semaphore;
use gosched_runtime::{Builder, Config, go, spawn};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Parks one goroutine after the other, for ever.
fn park_without_end() {
    let gate = Arc::new(Semaphore::new(0));
    loop {
        let gate = gate.clone();
        go(move || drop(gate.acquire()));
        // It gets its stack when it first runs.
        gosched_runtime::yield_now();
    }
}

/// Lowers the limit on this process' address space to what it has now and `more`.
fn limit_address_space(more: usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let max = (pages * page + more) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: max, rlim_max: max };
    // SAFETY: the pointer is good for a read of an `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

fn program(kind: &str) {
    let config = Config::new();
    // SAFETY: no goroutine of these programs holds a value tied to a thread while it parks.
    let run = |config: Config, main: fn()| unsafe { config.run(main) };
    match kind {
        "mappings" => run(config, park_without_end),
        "large" => run(config, || {
            let gate = Arc::new(Semaphore::new(0));
            let large = || {
                let gate = gate.clone();
                Builder::new().stack_size(1 << 20).spawn(move || drop(gate.acquire()))
            };
            let mut parked = Vec::new();
            let e = loop {
                match large() {
                    Ok(h) => parked.push(h),
                    Err(e) => break e,
                }
            };
            assert_eq!(e.kind(), std::io::ErrorKind::OutOfMemory);
            assert!(e.to_string().contains("no memory mappings (vm.max_map_count) for more"), "{e}");
            assert!(parked.len() > 100);
            gate.add_permits(1);
            parked.into_iter().for_each(|h| h.join().unwrap());
            // And what they had can be had again.
            large().unwrap().join().unwrap();
        }),
        "300-mib" | "1024-mib" | "1500-mib" | "5000-mib" => {
            limit_address_space(kind.strip_suffix("-mib").unwrap().parse::<usize>().unwrap() << 20);
            run(config, park_without_end);
        }
        "no-address-space" => {
            limit_address_space(10 << 20);
            run(config, || ());
        }
        "threads" => run(config.max_threads(8), || {
            let hs: Vec<_> = (0..20).map(|_| spawn(|| thread::sleep(Duration::from_secs(1000)))).collect();
            hs.into_iter().for_each(|h| h.join().unwrap());
        }),
        "threads-of-the-locked" => run(config.max_threads(8), || {
            let gate = Arc::new(Semaphore::new(0));
            let hs: Vec<_> = (0..20)
                .map(|_| {
                    let gate = gate.clone();
                    spawn(move || {
                        let _lock = gosched_runtime::lock_os_thread();
                        drop(gate.acquire());
                    })
                })
                .collect();
            hs.into_iter().for_each(|h| h.join().unwrap());
        }),
        "just-enough-threads" => run(config.procs(1).max_threads(8), || {
            let hs: Vec<_> = (0..4).map(|_| spawn(|| thread::sleep(Duration::from_millis(100)))).collect();
            hs.into_iter().for_each(|h| h.join().unwrap());
        }),
        other => panic!("{other}"),
    }
}

/// How the program `kind` ends, which the test `test` is in the child.
fn ended(test: &str, kind: &str, env: &[(&str, String)]) -> Option<child::Ended> {
    match child::kind() {
        Some(kind) => {
            program(&kind);
            None
        }
        None => Some(child::start_test(test, kind, env).end()),
    }
}

/// The program ends with status 2, and these are the lines it prints.
#[track_caller]
fn assert_fatal(ended: child::Ended, what: &str, why: &str) {
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let mut lines = ended.stderr.lines();
    assert!(lines.next().is_some_and(|l| l.contains(what)), "{what}: {ended:?}");
    assert_eq!(lines.next(), Some(format!("fatal error: {why}").as_str()), "{ended:?}");
}

#[test]
fn guards_by_mprotect_at_their_cap() {
    let env = [child::godebug("stackguard=mprotect")];
    if let Some(e) = ended("guards_by_mprotect_at_their_cap", "mappings", &env) {
        assert_fatal(e, "no memory mappings (vm.max_map_count) for more", "out of memory");
    }
}

#[test]
fn large_stacks_at_the_cap_of_guards_by_mprotect() {
    let env = [child::godebug("stackguard=mprotect")];
    if let Some(e) = ended("large_stacks_at_the_cap_of_guards_by_mprotect", "large", &env) {
        assert_eq!((e.status.code(), e.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn address_space() {
    for kind in ["300-mib", "1024-mib", "1500-mib", "5000-mib"] {
        match ended("address_space", kind, &[]) {
            Some(e) => assert_fatal(e, "no address space for more", "out of memory"),
            None => return,
        }
    }
}

#[test]
fn no_address_space_at_all() {
    if let Some(e) = ended("no_address_space_at_all", "no-address-space", &[]) {
        assert!(e.stderr.contains("no address space for goroutine stacks of 262144 bytes"), "{e:?}");
        assert!(e.status.code().is_some_and(|code| code != 0), "{e:?}");
    }
}

#[test]
fn threads_that_block() {
    if let Some(e) = ended("threads_that_block", "threads", &[]) {
        assert_fatal(e, "runtime: program exceeds 8-thread limit", "thread exhaustion");
    }
}

#[test]
fn threads_of_locked_goroutines() {
    if let Some(e) = ended("threads_of_locked_goroutines", "threads-of-the-locked", &[]) {
        assert_fatal(e, "runtime: program exceeds 8-thread limit", "thread exhaustion");
    }
}

#[test]
fn as_many_threads_as_allowed_are_no_reason_to_end() {
    if let Some(e) = ended("as_many_threads_as_allowed_are_no_reason_to_end", "just-enough-threads", &[]) {
        assert_eq!((e.status.code(), e.stderr.as_str()), (Some(0), ""));
    }
}
