//! A list of programs that end in a deadlock, or do not: the `main` of a test without the usual harness, whose threads
//! could still wake somebody.

use super::{Running, godebug, kind, start};
use gosched_runtime::Config;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Longer than sysmon takes to look for foreign threads, and than anybody takes to fall asleep.
pub const A_WHILE: Duration = Duration::from_millis(700);

/// How a program is to end.
#[derive(Clone, Copy)]
enum Ends {
    /// With the report and status 2: the goroutines in it wait for this.
    Deadlock(&'static [&'static str]),
    /// With status 0 and not a word: somebody could still be woken.
    Well,
}

/// One program of the list.
#[derive(Clone, Copy)]
pub struct Scenario {
    name: &'static str,
    ends: Ends,
    /// The main goroutine.
    program: fn(),
    godebug: Option<&'static str>,
    /// What the parent does while the program runs.
    meanwhile: fn(&mut Running),
}

pub const fn deadlock(name: &'static str, reasons: &'static [&'static str], program: fn()) -> Scenario {
    Scenario { name, ends: Ends::Deadlock(reasons), program, godebug: None, meanwhile: |_| () }
}

/// A program that is none; its name tells what could wake it.
pub const fn alive(name: &'static str, program: fn()) -> Scenario {
    Scenario { name, ends: Ends::Well, program, godebug: None, meanwhile: |_| () }
}

impl Scenario {
    pub const fn with_godebug(self, more: &'static str) -> Scenario {
        Scenario { godebug: Some(more), ..self }
    }

    pub const fn meanwhile(self, meanwhile: fn(&mut Running)) -> Scenario {
        Scenario { meanwhile, ..self }
    }

    /// With the GOMAXPROCS that there is, and with one P: only there somebody waits for the P of one that blocks or spins.
    fn check(&self) {
        self.check_with(None);
        if std::env::var("GOMAXPROCS").as_deref() != Ok("1") {
            self.check_with(Some(("GOMAXPROCS", "1".to_string())));
        }
    }

    fn check_with(&self, procs: Option<(&'static str, String)>) {
        let env: Vec<_> = procs.into_iter().chain(self.godebug.map(godebug)).collect();
        let mut child = start(self.name, &[], &env);
        (self.meanwhile)(&mut child);
        let ended = child.end();
        match self.ends {
            Ends::Well => {
                assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
            }
            Ends::Deadlock(reasons) => {
                let report =
                    ended.stderr.strip_prefix("fatal error: all goroutines are asleep - deadlock!\n");
                assert!(ended.status.code() == Some(2) && report.is_some(), "{ended:?}");
                let (mut found, mut wanted) = (wait_reasons(report.unwrap()), reasons.to_vec());
                found.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(found, wanted, "{ended:?}");
            }
        }
    }
}

/// Of each goroutine in the report: why it waits. Its entry begins `goroutine 7 "name" [chan receive, 3 minutes]:`, name
/// and time only where there is one.
fn wait_reasons(report: &str) -> Vec<&str> {
    let reason = |line: &'_ str| -> Option<(usize, usize)> {
        let number = line.strip_prefix("goroutine ")?;
        number.split_once(' ')?.0.parse::<u64>().ok()?;
        let (start, end) = (line.rfind(" [")? + 2, line.rfind("]:")?);
        Some((start, line[start..end].find(", ").map_or(end, |comma| start + comma)))
    };
    report.lines().filter_map(|line| reason(line).map(|(start, end)| &line[start..end])).collect()
}

/// `main` of a test that is a list of such programs; of the child, too.
pub fn main(all: &[Scenario]) {
    if let Some(name) = kind() {
        be(all.iter().find(|s| s.name == name).expect("one of the list"));
    }
    // They wait for most of their time: several at once.
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                while let Some(s) = all.get(next.fetch_add(1, Relaxed)) {
                    let ok = catch_unwind(AssertUnwindSafe(|| s.check())).is_ok();
                    println!("test {} ... {}", s.name, if ok { "ok" } else { "FAILED" });
                    failed.fetch_add(usize::from(!ok), Relaxed);
                }
            });
        }
    });
    let failed = failed.into_inner();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {} passed; {failed} failed", all.len() - failed);
    std::process::exit(if failed == 0 { 0 } else { 101 });
}

/// The child: nothing but the program.
fn be(scenario: &Scenario) -> ! {
    // SAFETY: no goroutine of these programs parks while it holds a value tied to a thread.
    unsafe { Config::new().run(scenario.program) };
    // After the run nobody is missed.
    thread::sleep(Duration::from_millis(100));
    std::process::exit(0)
}
