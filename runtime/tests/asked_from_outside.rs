//! What the environment and a signal ask of the scheduler: SIGQUIT prints all stacks and ends the process; GODEBUG prints a
//! line now and then.
//!
//! The tests start themselves again.

use gosched_runtime::debug::stats;
use gosched_runtime::sync::Semaphore;
use gosched_runtime::{Builder, Config, sleep, spawn};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const CHILD: &str = "GOSCHED_TEST_ASKED";

fn start(test: &str, kind: &str, godebug: &str) -> Child {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(std::env::current_exe().unwrap());
    // SAFETY: async-signal-safe. (Whoever runs the tests in the background may have it ignored.)
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGQUIT, libc::SIG_DFL);
            Ok(())
        })
    };
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, kind)
        .env("GODEBUG", godebug)
        .env("GOMAXPROCS", "2")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads stdout up to a line of the child's.
fn wait_for_line(child: &mut Child, line: &str) {
    let mut out = BufReader::new(child.stdout.as_mut().unwrap());
    let mut got = String::new();
    while out.read_line(&mut got).unwrap() > 0 {
        if got.contains(line) {
            return;
        }
        got.clear();
    }
    panic!("the child ended before it said {line:?}");
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

fn stderr_of(child: &mut Child) -> String {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

/// Some goroutines that wait, one that spins, and a main goroutine that sleeps.
fn waits(config: Config, how_many: usize) {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        config.run(|| {
            let gate = Arc::new(Semaphore::new(0));
            let alive = Arc::new(AtomicUsize::new(0));
            for i in 0..how_many {
                let (gate, alive) = (gate.clone(), alive.clone());
                let b = Builder::new().name(format!("waiter {i}"));
                b.spawn(move || {
                    alive.fetch_add(1, Relaxed);
                    drop(gate.acquire());
                })
                .unwrap();
            }
            let spins = alive.clone();
            spawn(move || {
                spins.fetch_add(1, Relaxed);
                loop {
                    std::hint::spin_loop()
                }
            });
            spawn(move || {
                // The main goroutine as well.
                while alive.load(Relaxed) <= how_many || stats().waiting <= how_many {
                    sleep(Duration::from_millis(1));
                }
                println!("ready");
            });
            drop(gate.acquire());
        })
    };
}

#[test]
fn sigquit_prints_all_stacks_and_ends_with_2() {
    const NAME: &str = "sigquit_prints_all_stacks_and_ends_with_2";
    match std::env::var(CHILD).as_deref() {
        Ok("off") => return waits(Config::new().sigquit(false), 3),
        Ok(n) => return waits(Config::new(), n.parse().unwrap()),
        Err(_) => {}
    }
    use std::os::unix::process::ExitStatusExt;
    // Unwinding is slow without optimisation.
    for n in [3, if cfg!(debug_assertions) { 20_000 } else { 100_000 }] {
        let mut child = start(NAME, &n.to_string(), "");
        wait_for_line(&mut child, "ready");
        let asked = Instant::now();
        signal(&child, libc::SIGQUIT);
        let said = stderr_of(&mut child);
        println!("{n} goroutines: {:?} from SIGQUIT to the end of the report", asked.elapsed());
        let start = &said[..said.len().min(3000)];
        assert_eq!(child.wait().unwrap().code(), Some(2), "{start}");
        assert!(said.starts_with("SIGQUIT: quit\n\ngoroutine 1 [semacquire]:\n"), "{start}");
        assert!(said.contains("\"waiter 0\" [semacquire]:") && said.contains("[running]:"), "{start}");
        if n > 1000 {
            // All of them: one is shown, the others are counted, by ids that have no gap.
            let (before, _) =
                said.split_once(" more goroutines are at the same place: ").expect("they are alike");
            let more: usize = before.rsplit('\n').next().unwrap().parse().unwrap();
            assert_eq!(more, n - 1, "{start}");
        }
    }
    let mut child = start(NAME, "off", "");
    wait_for_line(&mut child, "ready");
    signal(&child, libc::SIGQUIT);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGQUIT));
}

/// What a child has said when three traces are complete and all of `wanted` is in them; ends it. (The first traces may
/// come before its main goroutine has run: sysmon does not wait for it.)
fn traces(child: &mut Child, wanted: &[&str]) -> String {
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        assert!(err.read_line(&mut said).unwrap() > 0, "{said}");
        let complete = said.matches("SCHED ").count();
        if complete > 3 && wanted.iter().all(|w| said.contains(w)) {
            break;
        }
        assert!(complete < 1000, "not all of {wanted:?} in {said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn schedtrace_prints_go_s_lines() {
    if std::env::var_os(CHILD).is_some() {
        return waits(Config::new(), 3);
    }
    let mut child = start("schedtrace_prints_go_s_lines", "1", "schedtrace=20,scheddetail=1");
    wait_for_line(&mut child, "ready");
    let details = ["  P0: status=", "  P1: status=", "  M0: p=", "status=4(semacquire)", "status=2()"];
    let said = traces(&mut child, &details);
    let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("SCHED ")).collect();
    assert!(lines.len() > 2, "{said}");
    let last = lines.last().unwrap();
    for field in
        ["gomaxprocs=2", " idleprocs=", " threads=", " spinningthreads=", " idlethreads=", " runqueue="]
    {
        assert!(last.contains(field), "{last}");
    }

    let mut child = start("schedtrace_prints_go_s_lines", "1", "schedtrace=20");
    wait_for_line(&mut child, "ready");
    let said = traces(&mut child, &[]);
    let last = said.lines().rfind(|l| l.starts_with("SCHED ")).expect("a line");
    assert!(last.contains("runqueue=") && last.ends_with(']') && !said.contains("  P0:"), "{said}");
}
