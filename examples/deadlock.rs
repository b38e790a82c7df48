//! A deadlock: everybody waits for somebody. The process says so and ends with status 2, as a Go program does.
//!
//! ```text
//! $ cargo run --example deadlock
//! fatal error: all goroutines are asleep - deadlock!
//!
//! goroutine 1 [chan receive]:
//! gosched_chan::handle::Chan<T>::recv
//!         chan/src/handle.rs:…
//! deadlock::deadlock::{{closure}}
//!         examples/deadlock.rs:…
//! created at examples/deadlock.rs:…
//!
//! goroutine 2 "worker" [chan send]:
//! …
//! created by goroutine 1 at examples/deadlock.rs:…
//! $ echo $?
//! 2
//! ```
//! Two channels, each side waits on the other one. It would not be reported as long as a thread that is not the
//! scheduler's is alive: it could still send. Nor while a timer runs, a socket is waited for, or a call blocks.

use gosched::Builder;
use gosched::chan::Chan;

fn deadlock() {
    // SAFETY: no goroutine here touches a thread-local, or holds a value of its thread while it parks.
    unsafe {
        gosched::run(|| {
            let (a, b) = (Chan::<u32>::new(0), Chan::<u32>::new(0));
            let (a2, b2) = (a.clone(), b.clone());
            let worker = Builder::new().name("worker".into()).spawn(move || {
                b2.send(1); // main receives from a first
                a2.send(2);
            });
            worker.expect("a stack of the standard size");
            println!("{:?}", a.recv());
            println!("{:?}", b.recv());
        })
    };
}

fn main() {
    #[cfg(test)]
    if std::env::var_os(test::CHILD).is_none() {
        return test::it_is_reported_and_the_status_is_2();
    }
    deadlock();
}

/// Built as a test without the usual harness (Cargo.toml), whose threads could still send.
#[cfg(test)]
mod test {
    use std::process::Command;

    pub const CHILD: &str = "GOSCHED_EXAMPLE_DEADLOCK";

    pub fn it_is_reported_and_the_status_is_2() {
        let out = Command::new(std::env::current_exe().unwrap()).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.starts_with("fatal error: all goroutines are asleep - deadlock!\n"), "{said}");
        assert!(
            said.contains("\ngoroutine 1 [chan receive]:") && said.contains("\"worker\" [chan send]:"),
            "{said}"
        );
        assert!(said.contains("examples/deadlock.rs") && said.contains("created by goroutine 1"), "{said}");
        println!("test result: ok. 1 passed; 0 failed");
    }
}
