//! The server as a process, and clients that know nothing of goroutines: curl and the like, or bytes over std's sockets.
#![allow(dead_code)]

#[path = "../../../../tests/common/mod.rs"]
mod all;
#[allow(unused_imports)]
pub use all::{loopback, patience, tool};

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

/// The server. It is killed where a test does not end it.
pub struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
    pub addr: SocketAddr,
    log: Arc<(Mutex<String>, Condvar)>,
}

impl Program {
    pub fn start(args: &[&str]) -> Program {
        let addr = loopback().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gosched-example-http"))
            .args(["--addr", &addr])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let written = log.clone();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while err.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                written.0.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                written.1.notify_all();
                line.clear();
            }
        });
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let Some((_, addr)) = line.trim_end().trim_end_matches('/').split_once("://") else {
            panic!("it says {line:?} and {:?}", log.0.lock().unwrap());
        };
        let addr = addr.parse().unwrap();
        Program { child, out, addr, log }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// A connection, on which nothing waits for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.set_write_timeout(Some(patience())).unwrap();
        stream
    }

    /// All that is answered to these bytes, to the end of the connection; the client stays open for writing.
    pub fn answers(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        to_the_end(&mut stream)
    }

    /// It still serves.
    #[track_caller]
    pub fn lives(&self) {
        let answer = self.answers(b"GET /plaintext HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("Hello, World!"), "{answer}");
    }

    /// Waits for a line of the log that has all of `words`.
    #[track_caller]
    pub fn logged(&self, words: &[&str]) -> String {
        let found =
            |log: &String| log.lines().find(|l| words.iter().all(|w| l.contains(w))).map(str::to_owned);
        let log = self.log.0.lock().unwrap();
        let (log, _) = self.log.1.wait_timeout_while(log, patience(), |log| found(log).is_none()).unwrap();
        found(&log).unwrap_or_else(|| panic!("no {words:?} in the log:\n{log}"))
    }

    /// SIGTERM; returns when the program has seen it, and so does not accept any more, or will not for long.
    pub fn terminate(&mut self) {
        self.signal();
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert!(line.starts_with("SIGTERM: no new connections"), "{line}");
    }

    pub fn signal(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end, in order; gives its last line.
    #[track_caller]
    pub fn ended(mut self) -> String {
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{said}\n{}", self.log.0.lock().unwrap());
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// Both; gives its last line.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.terminate();
        self.ended()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes until the connection ends. A reset would be an error: an answer could be lost by it.
#[track_caller]
pub fn to_the_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until `end` has come.
#[track_caller]
pub fn until(stream: &mut impl Read, end: &str) -> String {
    let (mut all, mut byte) = (Vec::new(), [0]);
    while !all.ends_with(end.as_bytes()) {
        let n = stream.read(&mut byte).unwrap();
        assert_eq!(n, 1, "no {end:?} after {:?}", String::from_utf8_lossy(&all));
        all.push(byte[0]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Runs a program to its end.
pub fn run(program: impl AsRef<OsStr>, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).output().unwrap()
}

/// What curl says on stdout, and its exit code.
pub fn curl(curl: &Path, args: &[&str]) -> (String, i32) {
    let all: Vec<&str> = ["-sS", "-m", "80", "--noproxy", "*", "--expect100-timeout", "80"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let out = run(curl, &all);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let code = out.status.code().unwrap_or(-1);
    if !out.stderr.is_empty() {
        println!("curl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    (text, code)
}

/// A directory of a test's own.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static DIRS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gosched-http-{}-{}", std::process::id(), DIRS.fetch_add(1, SeqCst));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that differ from place to place.
pub fn data(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}
