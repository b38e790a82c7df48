//! What the scheduler does where the system refuses it address space, memory, guards or threads: `Builder::spawn` gives an
//! error and nothing is lost; what cannot be given to anybody ends the process, with a line that says what and Go's
//! `fatal error`. Each of the first calls is refused in turn.
//!
//! With the feature `faults`: cargo test -p gosched-runtime --features faults --test faults

mod child;

use gosched_runtime::faults::{Fault, Planned, Point, plan};
use gosched_runtime::sync::Semaphore;
use gosched_runtime::{Builder, go, num_goroutine, run, spawn, yield_now};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

const FOR_EVER: u64 = u64::MAX;

/// Runs as a child of the test `test` what `kind` says: POINT-ERRNO-FIRST-COUNT-PROGRAM.
fn ended(test: &str, kind: &str) -> Option<child::Ended> {
    match child::kind() {
        Some(kind) => {
            program(&kind);
            None
        }
        None => Some(child::start_test(test, kind, &[]).end()),
    }
}

fn program(kind: &str) {
    let words: Vec<&str> = kind.split('-').collect();
    let [point, errno, first, count, what] = words[..] else { panic!("{kind}") };
    let point = match point {
        "reserve" => Point::Reserve,
        "commit" => Point::Commit,
        "goroutines" => Point::Goroutines,
        "guard" => Point::Guard,
        "thread" => Point::Thread,
        _ => panic!("{kind}"),
    };
    let fault = Fault::Errno(match errno {
        "again" => libc::EAGAIN,
        "nomem" => libc::ENOMEM,
        "inval" => libc::EINVAL,
        _ => panic!("{kind}"),
    });
    let number = |n: &str| n.parse().unwrap_or(FOR_EVER);
    let (first, count) = (number(first), number(count));
    let start_of_it = plan(point, first, count, fault);
    // SAFETY: no goroutine of these programs holds a value tied to a thread while it parks.
    unsafe {
        match what {
            // From the start on.
            "start" => run(move || {
                work();
                println!("\nhits {}", start_of_it.hits());
            }),
            // When everything is up.
            "later" => {
                drop(start_of_it);
                run(move || {
                    work();
                    let planned = plan(point, first, count, fault);
                    if point == Point::Thread {
                        block_threads()
                    } else {
                        park_without_end(&planned)
                    }
                    println!("\nhits {}", planned.hits());
                });
            }
            _ => panic!("{kind}"),
        }
    }
}

/// Something that comes to an end, with a known result.
fn work() {
    let hs: Vec<_> = (0..50u64)
        .map(|n| {
            spawn(move || {
                yield_now();
                n
            })
        })
        .collect();
    let sum: u64 = hs.into_iter().map(|h| h.join().unwrap()).sum();
    assert_eq!(sum, 49 * 50 / 2);
}

/// Parks one goroutine after the other, until the fault is met; then as many again.
fn park_without_end(planned: &Planned) {
    let gate = Arc::new(Semaphore::new(0));
    let mut after = 0;
    while after < 3000 {
        after += u64::from(planned.hits() > 0);
        let gate = gate.clone();
        go(move || drop(gate.acquire()));
        // It gets its stack when it first runs.
        yield_now();
    }
}

/// Blocks more threads than there are.
fn block_threads() {
    let hs: Vec<_> = (0..20).map(|_| spawn(|| std::thread::sleep(Duration::from_millis(100)))).collect();
    hs.into_iter().for_each(|h| h.join().unwrap());
}

/// It ends with status 2, and these are its last lines.
#[track_caller]
fn assert_fatal(e: &child::Ended, what: &str, why: &str) {
    assert_eq!(e.status.code(), Some(2), "{e:?}");
    let lines = format!("{what}\nfatal error: {why}\n");
    assert!(e.stderr.ends_with(&lines), "{e:?}");
}

#[test]
fn a_start_without_address_space_or_memory_says_so() {
    const TEST: &str = "a_start_without_address_space_or_memory_says_so";
    let mut clean = 0;
    for point in ["reserve", "commit", "guard", "goroutines"] {
        for first in 1..=8 {
            let Some(e) = ended(TEST, &format!("{point}-nomem-{first}-1-start")) else { return };
            match e.status.code() {
                // A smaller reservation did, or it was not asked for as often as that. (A want of memory is no reason to
                // do without the better sort of guards for ever.)
                Some(0) if (point, first) != ("guard", 1) => clean += 1,
                // A first goroutine that cannot be had.
                Some(2) => {
                    let what =
                        if point == "goroutines" { "a goroutine: 0 exist" } else { "a goroutine stack" };
                    assert_fatal(
                        &e,
                        &format!("runtime: cannot allocate {what}: Cannot allocate memory (os error 12)"),
                        "out of memory",
                    )
                }
                _ => {
                    assert_eq!(e.status.code(), Some(101), "{point} {first}: {e:?}");
                    assert!(e.stderr.contains("gosched: no "), "{point} {first}: {e:?}");
                }
            }
        }
        let e = ended(TEST, &format!("{point}-nomem-1-ever-start")).unwrap();
        assert!(matches!(e.status.code(), Some(2 | 101)), "{point}: {e:?}");
        assert!(e.stderr.contains("gosched: no ") || e.stderr.contains("out of memory"), "{point}: {e:?}");
    }
    assert!(clean > 0);
}

#[test]
fn a_kernel_that_knows_no_guard_advice_is_served_by_mprotect() {
    let test = "a_kernel_that_knows_no_guard_advice_is_served_by_mprotect";
    if let Some(e) = ended(test, "guard-inval-1-1-start") {
        assert_eq!((e.status.code(), e.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn go_without_memory_for_a_stack_is_fatal_by_name() {
    for point in ["commit", "guard"] {
        for first in 1..=3 {
            let test = "go_without_memory_for_a_stack_is_fatal_by_name";
            let Some(e) = ended(test, &format!("{point}-nomem-{first}-ever-later")) else { return };
            assert_fatal(
                &e,
                "runtime: cannot allocate a goroutine stack: Cannot allocate memory (os error 12)",
                "out of memory",
            );
        }
    }
}

#[test]
fn a_thread_that_is_refused_for_good_is_fatal_by_name() {
    const TEST: &str = "a_thread_that_is_refused_for_good_is_fatal_by_name";
    for (errno, text) in [
        ("again", "Resource temporarily unavailable (os error 11)"),
        ("nomem", "Cannot allocate memory (os error 12)"),
    ] {
        // The first is the scavenger's, which can be done without; then sysmon's and those that run goroutines.
        for (kind, have) in [("2-ever-start", 0), ("1-ever-later", 1)] {
            let Some(e) = ended(TEST, &format!("thread-{errno}-{kind}")) else { return };
            assert_eq!(e.status.code(), Some(2), "{e:?}");
            let what =
                e.stderr.lines().find(|l| l.starts_with("runtime: ")).unwrap_or_else(|| panic!("{e:?}"));
            let begin = "runtime: failed to create new OS thread (have ";
            let n: u64 = what.strip_prefix(begin).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(n >= have, "{what}");
            assert_fatal(&e, &format!("{begin}{n} already): {text}"), "newosproc");
        }
    }
    let e = ended(TEST, "thread-nomem-1-1-start").unwrap();
    assert_eq!((e.status.code(), e.stderr.as_str()), (Some(0), ""), "no scavenger");
}

#[test]
fn a_thread_that_is_refused_for_a_moment_is_asked_for_again() {
    for kind in ["1-19-start", "25-5-start", "1-19-later"] {
        let test = "a_thread_that_is_refused_for_a_moment_is_asked_for_again";
        let Some(e) = ended(test, &format!("thread-again-{kind}")) else { return };
        assert_eq!((e.status.code(), e.stderr.as_str()), (Some(0), ""), "{kind}");
    }
}

#[test]
fn a_builder_without_memory_for_a_stack_gives_an_error_and_loses_nothing() {
    if child::kind().is_none() {
        let test = "a_builder_without_memory_for_a_stack_gives_an_error_and_loses_nothing";
        let e = child::start_test(test, "builder", &[]).end();
        return assert_eq!((e.status.code(), e.stderr.as_str()), (Some(0), ""));
    }
    for (point, stack) in
        [(Point::Commit, 0), (Point::Guard, 0), (Point::Commit, 1 << 20), (Point::Guard, 1 << 20)]
    {
        // SAFETY: no goroutine here holds a value tied to a thread while it parks.
        let refused: u64 = (1..=3).map(|first| unsafe { run(move || refused(point, stack, first)) }).sum();
        assert!(refused > 0, "{point:?} {stack}");
    }
}

/// Starts goroutines that park, until memory for a stack is refused; then they all go on, and another is started. How
/// often a start was refused.
fn refused(point: Point, stack_size: usize, first: u64) -> u64 {
    let planned = plan(point, first, 1, Fault::Errno(libc::ENOMEM));
    let gate = Arc::new(Semaphore::new(0));
    let start = |n: u64| {
        let gate = gate.clone();
        Builder::new().stack_size(stack_size).spawn(move || {
            drop(gate.acquire());
            n
        })
    };
    let (mut parked, mut refused) = (Vec::new(), 0);
    for n in 0.. {
        if planned.hits() > 0 {
            // It met a P that looked for stacks for its cache, and had found some.
            break;
        }
        match start(n) {
            Ok(h) => parked.push((n, h)),
            Err(e) => {
                assert_eq!((e.kind(), e.raw_os_error()), (ErrorKind::OutOfMemory, Some(libc::ENOMEM)));
                refused += 1;
                // The next one can be had.
                parked.push((n, start(n).unwrap()));
                break;
            }
        }
    }
    assert_eq!(planned.hits(), 1);
    gate.add_permits(1);
    parked.into_iter().for_each(|(n, h)| assert_eq!(h.join().unwrap(), n));
    // The main goroutine.
    while num_goroutine() > 1 {
        yield_now();
    }
    refused
}
