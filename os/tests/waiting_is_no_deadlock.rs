//! Whoever waits for a signal, a child or a line of input is not deadlocked; whoever waits for nothing is, also after signals
//! were asked for and stopped. Each case is a process of its own without any thread but the scheduler's.

use gosched_chan::Chan;
use gosched_os::process::Command;
use gosched_os::{io, signal};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Output, Stdio};
use std::time::Duration;

const CASE: &str = "GOSCHED_TEST_CASE";

fn child(case: &str) {
    let case = case.to_owned();
    let main = move || match case.as_str() {
        "signal" => {
            let rx = signal::notify(&[signal::SIGTERM]);
            println!("ready");
            println!("{}", rx.recv().unwrap());
        }
        "stopped" => {
            let rx = signal::notify(&[signal::SIGTERM]);
            println!("ready");
            signal::stop(&rx);
            rx.recv();
        }
        "process" => {
            println!("ready");
            let status = Command::new("sleep").arg("0.7").status().unwrap();
            println!("{}", status.success());
        }
        "stdin" => {
            println!("ready");
            let mut line = String::new();
            io::stdin().read_line(&mut line).unwrap();
            print!("{line}");
        }
        _ => {
            println!("ready");
            Chan::<()>::new(0).recv();
        }
    };
    // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
    unsafe { gosched_runtime::run(main) }
}

/// Runs a case; `then` is done to it once it waits.
fn case(name: &str, then: impl FnOnce(u32, &mut dyn Write)) -> Output {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .env(CASE, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n", "{name}");
    // Time for a deadlock to be seen, were it one.
    std::thread::sleep(Duration::from_millis(500));
    then(child.id(), child.stdin.as_mut().unwrap());
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    Output { stdout: rest, ..output }
}

fn assert_ends_well(output: &Output, with: &str) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), with);
}

fn assert_deadlock(output: &Output) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("all goroutines are asleep - deadlock!"), "{output:?}");
    assert_eq!(output.status.code(), Some(2));
}

fn main() {
    if let Ok(name) = std::env::var(CASE) {
        return child(&name);
    }
    let terminate = |pid: u32, _: &mut dyn Write| {
        // SAFETY: plain numbers; our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGTERM) }, 0);
    };
    assert_ends_well(&case("signal", terminate), "SIGTERM\n");
    assert_ends_well(&case("process", |_, _| ()), "true\n");
    assert_ends_well(&case("stdin", |_, to| to.write_all(b"a line\n").unwrap()), "a line\n");
    assert_deadlock(&case("nothing", |_, _| ()));
    assert_deadlock(&case("stopped", |_, _| ()));
    println!("waiting is no deadlock: ok");
}
