//! A disk that is full, and has room again: a limit on the file's size stands for it, which the kernel applies exactly.

use crate::process::{Client, Dir, Kv, Reply, eventually, set_up};
use std::fs::File;
use std::process::Command;

/// Writes until it is refused; the server goes on without writing, and writes again when `relieve` has made room. Gives
/// the number of those that were acknowledged.
fn fill(kv: &Kv, relieve: impl FnOnce()) -> usize {
    let mut c = kv.client();
    let value = "x".repeat(1_000);
    let set = |c: &mut Client, i: usize| c.cmd(&["SET", &format!("k{i}"), &value]);
    let mut n = 0;
    let refused = loop {
        let reply = set(&mut c, n);
        if !reply.is_ok() {
            break reply;
        }
        n += 1;
        assert!(n < 10_000, "the disk takes everything");
    };
    assert!(refused.is_error("MISCONF Changes cannot be written to the log"), "{refused:?}");
    // Another connection hears it too; nothing is changed; reading goes on.
    let mut other = kv.client();
    assert!(other.ask("SET other v").is_error("MISCONF"));
    assert!(other.ask("INCR other").is_error("MISCONF"));
    assert_eq!(other.ask("EXISTS other k0 k1"), Reply::Int(2));
    // In a pipeline only what writes is refused; in a transaction all of it.
    other.raw(b"PING\r\nDEL k0\r\nSTRLEN k0\r\nMULTI\r\nSET a 1\r\nEXEC\r\n");
    assert_eq!(other.read(), Reply::Simple("PONG".into()));
    assert!(other.read().is_error("MISCONF"));
    assert_eq!(other.read(), Reply::Int(1_000));
    assert!(other.read().is_ok() && other.read().is_error("MISCONF") && other.read().is_error("EXECABORT"));
    relieve();
    eventually("it writes again", || set(&mut c, n).is_ok());
    n + 1
}

fn check(kv: &Kv, n: usize) {
    let mut c = kv.client();
    for i in 0..n {
        assert_eq!(c.ask(&format!("STRLEN k{i}")), Reply::Int(1_000), "k{i} of {n}");
    }
    assert_eq!(c.ask("EXISTS other a"), Reply::Int(0));
}

/// A server whose files must not grow beyond some 100 or 200 KB, until that is lifted.
fn limited(dir: &Dir, stderr: Option<File>) -> Kv {
    let log = dir.log();
    let args = ["--appendonly", "yes", "--appendfsync", "always", "--appendfilename", log.to_str().unwrap()];
    // The soft limit alone: it can be lifted again.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -f 200 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_kv")]);
    set_up(&mut limited, &dir.0, &args);
    if let Some(stderr) = stderr {
        limited.stderr(stderr);
    }
    Kv::from(dir, limited)
}

fn lift(kv: &Kv) {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let pid = kv.child.id() as libc::pid_t;
    // SAFETY: the limit is read during the call, nothing is written; the child has not been waited for.
    let r = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &none, std::ptr::null_mut()) };
    assert_eq!(r, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_file_that_may_not_grow() {
    let dir = Dir::new();
    let kv = limited(&dir, None);
    let n = fill(&kv, || {
        assert!(dir.said().contains("the log cannot be written"));
        lift(&kv);
    });
    assert!(dir.said().contains("can be written again"));
    kv.kill();
    check(&Kv::logging(&dir, "always", &[]), n);
}

#[test]
fn and_nowhere_to_say_so() {
    let dir = Dir::new();
    let kv = limited(&dir, Some(File::create("/dev/full").unwrap()));
    let n = fill(&kv, || lift(&kv));
    kv.kill();
    check(&Kv::logging(&dir, "always", &[]), n);
}
