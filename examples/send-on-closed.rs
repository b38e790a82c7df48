//! Two mistakes with a closed channel, and what becomes of the goroutines that make them.
//!
//! ```text
//! $ cargo run --example send-on-closed
//! goroutine 2 [running]:
//! created by goroutine 1 at examples/send-on-closed.rs:…
//! thread '…' panicked at examples/send-on-closed.rs:…:
//! send on closed channel
//! goroutine 3 [running]:
//! created by goroutine 1 at examples/send-on-closed.rs:…
//! thread '…' panicked at examples/send-on-closed.rs:…:
//! close of closed channel
//! main goes on: 1 + 2 = 3
//! $ echo $?
//! 0
//! ```
//! A panic ends its goroutine alone. The panic hook names the goroutine and where it was started; the rest of the program
//! goes on, and exits as if nothing had been (in Go the whole process would end). Whoever joins the goroutine gets the
//! panic; whoever does not want it at all uses `send_checked`, which hands the value back.
//!
//! To see how it comes about: `gdb` with a breakpoint on `rust_panic`, and `bt`, shows the way from the send into the
//! function that reports it.

use gosched::chan::Chan;
use gosched::spawn;

fn mistakes() {
    let ch = Chan::new(1);
    ch.close();

    let to = ch.clone();
    let sender = spawn(move || to.send("too late"));
    assert!(sender.join().is_err());

    let again = ch.clone();
    let closer = spawn(move || again.close());
    assert!(closer.join().is_err());

    assert_eq!(ch.send_checked("back to me").unwrap_err().0, "back to me");

    let sum = spawn(|| 1 + 2).join().expect("no panic in this one");
    println!("main goes on: 1 + 2 = {sum}");
}

fn main() {
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched::run(mistakes) }
}

/// The test starts itself again: what is shown is a process' stderr and exit.
#[test]
fn both_panics_are_named_and_the_program_goes_on() {
    const CHILD: &str = "GOSCHED_EXAMPLE_CHILD";
    if std::env::var_os(CHILD).is_some() {
        main();
        std::process::exit(0); // what the end of main is for a program
    }
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "both_panics_are_named_and_the_program_goes_on", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (said, failed) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{said}{failed}");
    assert!(said.contains("main goes on: 1 + 2 = 3"), "{said}");
    // Each message comes after a line that names its goroutine, and the two are not the same one.
    let mut ids = Vec::new();
    for message in ["\nsend on closed channel\n", "\nclose of closed channel\n"] {
        let (before, _) = failed.split_once(message).unwrap_or_else(|| panic!("no {message:?} in: {failed}"));
        let (_, after) = before.rsplit_once("\ngoroutine ").expect("a line that names the goroutine");
        let id: String = after.chars().take_while(char::is_ascii_digit).collect();
        assert!(after.contains("send-on-closed.rs"), "where it was started: {after}");
        ids.push(id.parse::<u64>().unwrap());
    }
    assert_ne!(ids[0], ids[1], "{failed}");
}
