//! A deadlock ends the process with Go's words and status 2, and nothing else is taken for one.
//!
//! Each scenario runs in a child: this test starts itself again.

use gosched_runtime::park::{WaitReason, gopark};
use gosched_runtime::sync::{Mutex, Semaphore, WaitGroup};
use gosched_runtime::{Builder, Config, lock_os_thread, run, sleep, spawn, syscall};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Parks for ever.
fn for_ever() {
    unsafe fn commit(_: gosched_runtime::park::Waiter, _: *mut ()) -> bool {
        true
    }
    // SAFETY: nobody ever readies it.
    unsafe { gopark(commit, std::ptr::null_mut(), WaitReason::Other) };
}

fn child(kind: &str) {
    let main = || match kind {
        "wait-group" => {
            let wg = WaitGroup::new();
            wg.add(1);
            wg.wait();
        }
        "two-locks" => {
            let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
            let (a2, b2) = (a.clone(), b.clone());
            let h = Builder::new()
                .name("other".into())
                .spawn(move || {
                    let _b = b2.lock();
                    sleep(Duration::from_millis(5));
                    let _a = a2.lock();
                })
                .unwrap();
            let _a = a.lock();
            sleep(Duration::from_millis(5));
            let _b = b.lock();
            h.join().unwrap();
        }
        "many" => {
            (0..500).for_each(|_| drop(spawn(for_ever)));
            for_ever();
        }
        "locked" => {
            let _lock = lock_os_thread();
            for_ever();
        }
        "after-foreign" => {
            std::thread::spawn(|| std::thread::sleep(Duration::from_millis(400)));
            for_ever();
        }
        // No deadlocks:
        "foreign-sends" => {
            let s = Arc::new(Semaphore::new(0));
            let s2 = s.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(500));
                s2.add_permits(1);
                std::thread::sleep(Duration::from_millis(1));
            });
            drop(s.acquire());
        }
        "sleeper" => sleep(Duration::from_millis(500)),
        "syscall" => {
            let s = Arc::new(Semaphore::new(0));
            let s2 = s.clone();
            spawn(move || {
                syscall(|| std::thread::sleep(Duration::from_millis(300)));
                std::thread::sleep(Duration::from_millis(300));
                s2.add_permits(1);
            });
            drop(s.acquire());
        }
        "second-run" => {
            let s = Arc::new(Semaphore::new(0));
            let s2 = s.clone();
            let t = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                // SAFETY: as below.
                unsafe { run(move || s2.add_permits(1)) };
            });
            drop(s.acquire());
            syscall(|| t.join().unwrap());
        }
        other => panic!("{other}"),
    };
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe { Config::new().run(main) };
    // After the run nobody is missed.
    std::thread::sleep(Duration::from_millis(200));
    std::process::exit(0)
}

const CHILD: &str = "GOSCHED_TEST_DEADLOCK";

/// Exit status and stderr of a scenario. The test harness of the child has a thread of its own that waits: it is
/// foreign, so the child runs the scenario before main, so to say: in a process that is nothing but the scenario.
fn scenario(kind: &str) -> (Option<i32>, String) {
    let out = Command::new(std::env::current_exe().unwrap()).env(CHILD, kind).output().unwrap();
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn deadlocks(kind: &str) -> String {
    let (status, said) = scenario(kind);
    assert_eq!(status, Some(2), "{kind}: {said}");
    assert!(said.starts_with("fatal error: all goroutines are asleep - deadlock!\n"), "{kind}: {said}");
    said
}

fn main() {
    if let Ok(kind) = std::env::var(CHILD) {
        child(&kind);
    }
    let said = deadlocks("wait-group");
    assert!(said.contains("goroutine 1 [sync.WaitGroup.Wait]:"), "{said}");
    assert!(said.contains("deadlock.rs"), "{said}");
    let said = deadlocks("two-locks");
    assert_eq!(said.matches("[sync.Mutex.Lock]").count(), 2, "{said}");
    assert!(said.contains("\"other\""), "{said}");
    assert_eq!(deadlocks("many").matches("\ngoroutine ").count(), 501);
    deadlocks("locked");
    deadlocks("after-foreign");
    for kind in ["foreign-sends", "sleeper", "syscall", "second-run"] {
        let (status, said) = scenario(kind);
        assert_eq!((status, said.as_str()), (Some(0), ""), "{kind}");
    }
    println!("test result: ok. 9 passed; 0 failed");
}
