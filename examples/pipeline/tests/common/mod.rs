//! The program as a process, and a directory for its files.
#![allow(dead_code)]

#[path = "../../../../tests/common/mod.rs"]
mod all;
#[allow(unused_imports)]
pub use all::{Rng, eventually, loopback, patience, rt, tool};

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The program, with its output caught.
pub fn pipeline(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs something to its end, which must come in time; gives stdout, stderr and the exit code, -1 where a signal ended it.
#[track_caller]
pub fn run(command: &mut Command) -> (String, String, i32) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    said(finish(child))
}

pub fn said(out: Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr), out.status.code().unwrap_or(-1))
}

/// Waits for a child's end while its output is read.
#[track_caller]
pub fn finish(child: Child) -> Output {
    let pid = rustix::process::Pid::from_child(&child);
    let reader = std::thread::spawn(move || child.wait_with_output().unwrap());
    let start = Instant::now();
    while !reader.is_finished() {
        if start.elapsed() > patience() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("it does not end: {:?}", said(reader.join().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    reader.join().unwrap()
}

pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), signal);
}

/// Killed where a test does not end it.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory of a test's own.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static DIRS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gosched-pipeline-{}-{}", std::process::id(), DIRS.fetch_add(1, SeqCst));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The path of a file in it, whose directories are made.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn here(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
