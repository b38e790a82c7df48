//! What the tests of this crate share.
#![allow(dead_code)]

use gosched_runtime::yield_now;
use std::io;
use std::time::{Duration, Instant};

/// Runs `main` as a goroutine.
pub fn run<T: Send>(main: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests keeps a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched_runtime::run(main) }
}

/// Long enough that no test machine is that slow.
pub const NEVER: Duration = Duration::from_secs(60);

/// Gives the other goroutines time to park.
pub fn settle() {
    for _ in 0..50 {
        yield_now();
    }
}

/// Waits until `f` holds; panics where it does not come to that.
pub fn eventually(what: &str, mut f: impl FnMut() -> bool) {
    let end = Instant::now() + NEVER;
    while !f() {
        assert!(Instant::now() < end, "never came about: {what}");
        gosched_runtime::sleep(Duration::from_millis(1));
    }
}

/// Open descriptors. The scheduler's watchman has a file open now and then, for a moment: the least of some counts.
pub fn descriptors() -> usize {
    (0..5).map(|_| std::fs::read_dir("/proc/self/fd").map_or(0, |d| d.count())).min().unwrap()
}

/// Threads of this process, where the system tells.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |d| d.count())
}

const ROLE: &str = "GOSCHED_TEST_CHILD";

/// A command that runs the named test of this program in a process of its own.
pub fn alone_command(test: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, "1");
    command
}

/// Whether this is that process.
pub fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// Runs the named test in a process of its own, whose signals and limits it may change. True: this is that process.
pub fn alone(test: &str) -> bool {
    if is_child() {
        return true;
    }
    let out = alone_command(test).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}\n{stdout}{stderr}", out.status);
    false
}

/// Takes all descriptors that there are, but for `left`.
pub fn hoard(left: usize) -> Vec<std::fs::File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: a plain call with a struct of this stack.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    all.truncate(all.len() - left);
    all
}

pub fn assert_exhausted<T: std::fmt::Debug>(r: io::Result<T>) {
    assert_eq!(r.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}
