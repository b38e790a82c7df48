//! A goroutine that runs out of stack ends the process with a named message, not with a bare SIGSEGV.
//!
//! The test starts itself again: the child overflows.

use gosched_runtime::{Builder, run, spawn};
use std::process::{Command, Stdio};

#[inline(never)]
fn endless(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 64]);
    if std::hint::black_box(n) == u64::MAX {
        return 0;
    }
    endless(n + 1) + frame[n as usize % 64]
}

fn child(kind: &str) {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| match kind {
            "main" => endless(0),
            "spawned" => spawn(|| endless(0)).join().unwrap(),
            "named" => Builder::new()
                .name("deep".into())
                .stack_size(1 << 20)
                .spawn(|| endless(0))
                .unwrap()
                .join()
                .unwrap(),
            "thread" => std::thread::Builder::new().spawn(|| endless(0)).unwrap().join().unwrap(),
            other => panic!("{other}"),
        })
    };
}

fn overflow(kind: &str) -> String {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_goroutine_reports_its_overflow", "--nocapture"])
        .env("GOSCHED_TEST_OVERFLOW", kind)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    use std::os::unix::process::ExitStatusExt;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.signal(), Some(libc::SIGABRT), "{kind}: {said}");
    said
}

#[test]
fn a_goroutine_reports_its_overflow() {
    if let Ok(kind) = std::env::var("GOSCHED_TEST_OVERFLOW") {
        return child(&kind);
    }
    for kind in ["main", "spawned"] {
        let said = overflow(kind);
        assert!(
            said.contains("stack exceeds 262144-byte limit\nfatal error: stack overflow"),
            "{kind}: {said}"
        );
        assert!(
            said.contains("created") && said.contains("endless\n\t") && said.contains("frames elided"),
            "{kind}: {said}"
        );
    }
    let said = overflow("named");
    assert!(
        said.contains("fatal error: stack overflow") && said.contains("goroutine 2 \"deep\" [running]:"),
        "{said}"
    );
    // A plain thread's overflow is Rust's to report.
    let said = overflow("thread");
    assert!(said.contains("has overflowed its stack") && !said.contains("goroutine"), "{said}");
}
