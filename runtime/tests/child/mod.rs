//! Programs in a process of their own. A test starts its own binary again, says by a variable of the environment which
//! program that is to be, and sees how it ends. A program that hangs is killed, and fails the test.
#![allow(dead_code)]

pub mod scenarios;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const KIND: &str = "GOSCHED_TEST_CHILD";

/// In a child: the program that it is to be.
pub fn kind() -> Option<String> {
    std::env::var(KIND).ok()
}

/// How long a child may take before it counts as hanging: `GOSCHED_TEST_PATIENCE` seconds.
pub fn patience() -> Duration {
    let secs = std::env::var("GOSCHED_TEST_PATIENCE").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(secs.unwrap_or(90))
}

/// What `GODEBUG` is here, and this.
pub fn godebug(more: &str) -> (&'static str, String) {
    match std::env::var("GODEBUG") {
        Ok(all) if !all.is_empty() => ("GODEBUG", format!("{all},{more}")),
        _ => ("GODEBUG", more.to_string()),
    }
}

/// A child that runs; killed when dropped.
pub struct Running {
    child: Child,
    until: Instant,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// How a child ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stderr: String,
}

/// This binary again, as `kind`.
pub fn start(kind: &str, args: &[&str], env: &[(&str, String)]) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args).env(KIND, kind).envs(env.iter().map(|(k, v)| (k, v)));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
    Running { child, until: Instant::now() + patience(), stdout, stderr }
}

/// This binary again, as the test `test` in a process with the harness' threads; for a test that begins by asking `kind`.
pub fn start_test(test: &str, kind: &str, env: &[(&str, String)]) -> Running {
    start(kind, &["--exact", test, "--nocapture"], env)
}

/// The lines of a pipe, until its end.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (tx, rx): (Sender<String>, _) = channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let _ = tx.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    rx
}

impl Running {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What follows `key` in the next line of its output that has it.
    #[track_caller]
    pub fn says(&mut self, key: &str) -> String {
        loop {
            match self.stdout.recv_timeout(self.left()) {
                Ok(line) if line.contains(key) => {
                    return line.split_once(key).unwrap().1.trim().to_string();
                }
                Ok(_) => {}
                Err(e) => panic!("it never said {key}: {e}; {}", self.kill()),
            }
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its end, which comes by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let mut stderr = String::new();
        loop {
            match self.stderr.recv_timeout(self.left()) {
                Ok(line) => stderr += &line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs; {stderr}{}", self.kill()),
            }
        }
        // It has closed its pipes: it ends, or somebody it started has them no more.
        Ended { status: self.child.wait().unwrap(), stderr }
    }

    /// Its end by force, and what it had said to stderr.
    pub fn kill(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
