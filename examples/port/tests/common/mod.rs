//! The programs as processes.
#![allow(dead_code)]

#[path = "../../../../tests/common/mod.rs"]
mod all;
#[allow(unused_imports)]
pub use all::{loopback, patience, tool};

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A server, which is killed where a test does not end it.
pub struct Server {
    pub child: Child,
    out: BufReader<ChildStdout>,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts one that says on stdout where it listens.
    pub fn start(program: &str, args: &[&str]) -> Server {
        let mut command = Command::new(program);
        command
            .args(["--addr", &loopback().to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let word = line.split_whitespace().last().unwrap_or_default();
        let addr = word.trim_start_matches("http://").trim_end_matches("/search").parse();
        let addr = addr.unwrap_or_else(|_| {
            let mut err = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut err);
            panic!("it says {line:?} and {err}")
        });
        Server { child, out, addr }
    }

    /// A connection, on which nothing waits for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.set_write_timeout(Some(patience())).unwrap();
        stream
    }

    /// SIGTERM; gives what it says at its end, on stdout and on stderr.
    #[track_caller]
    pub fn end(mut self) -> (String, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        eventually("it ends", || self.child.try_wait().unwrap().is_some());
        let (mut said, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{err}");
        (said, err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub fn eventually(what: &str, mut cond: impl FnMut() -> bool) {
    let start = Instant::now();
    while !cond() {
        assert!(start.elapsed() < patience(), "never came about: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a program to its end; gives stdout, stderr and the exit code.
pub fn run(command: &mut Command) -> (String, String, i32) {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr), out.status.code().unwrap_or(-1))
}
