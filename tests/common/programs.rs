//! What tests share that start programs and drive them from outside, as anybody could: no goroutine is on this side. For the
//! packages under examples/, each with a module of its own on top that knows its program.
#![allow(dead_code)]

#[path = "mod.rs"]
pub mod all;
#[allow(unused_imports)]
pub use all::{Rng, loopback, patience, rt, tool};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A directory of a test's own.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static DIRS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gosched-test-{}-{}", std::process::id(), DIRS.fetch_add(1, SeqCst));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    pub fn here(&self) -> &str {
        self.0.to_str().unwrap()
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
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child that is killed where the test does not end it.
pub struct Killed(pub Child);

impl Deref for Killed {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn signal(child: &Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Waits for a child's end, which must come in time.
#[track_caller]
pub fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    eventually("the program's end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Waits until `cond` holds; fails the test where it does not come to. (On threads: the other one is for goroutines.)
#[track_caller]
pub fn eventually(what: &str, mut cond: impl FnMut() -> bool) {
    let start = Instant::now();
    while !cond() {
        assert!(start.elapsed() < patience(), "never came about: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server: what it says on stdout is read by the test, line by line; what it says on stderr is its log.
pub struct Server {
    pub child: Killed,
    out: BufReader<ChildStdout>,
    log: Arc<(Mutex<String>, Condvar)>,
    logging: JoinHandle<()>,
}

impl Server {
    pub fn start(command: &mut Command) -> Server {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let written = log.clone();
        let logging = thread::spawn(move || {
            let mut line = Vec::new();
            while err.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                written.0.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                written.1.notify_all();
                line.clear();
            }
        });
        Server { child: Killed(child), out, log, logging }
    }

    /// The next line on stdout; nothing where it has ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    /// What it has logged up to now.
    pub fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
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

    pub fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Waits for its end, in order; gives what it has said since on stdout, and all of its log.
    #[track_caller]
    pub fn ended(mut self) -> (String, String) {
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        let status = wait(&mut self.child);
        self.logging.join().unwrap();
        let log = self.log.0.lock().unwrap().clone();
        assert_eq!(status.code(), Some(0), "{said}\n{log}");
        (said, log)
    }
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
    let pid = Pid::from_child(&child);
    let reader = thread::spawn(move || child.wait_with_output().unwrap());
    let start = Instant::now();
    while !reader.is_finished() {
        if start.elapsed() > patience() {
            let _ = kill_process(pid, Signal::KILL);
            panic!("it does not end: {:?}", said(reader.join().unwrap()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    reader.join().unwrap()
}

/// What curl says on stdout, and its exit code. What it says on stderr is shown where the test fails.
#[track_caller]
pub fn curl_with(curl: &Path, options: &[&str], args: &[&str]) -> (String, i32) {
    let (out, err, code) = run(Command::new(curl).args(["-sS", "-m", "80"]).args(options).args(args));
    if !err.is_empty() {
        println!("curl {args:?}: {err}");
    }
    (out, code)
}

/// A connection, on which nothing waits for ever.
pub fn connect(addr: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(addr).unwrap())
}

pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(patience())).unwrap();
    stream.set_write_timeout(Some(patience())).unwrap();
    stream
}

/// What comes until the connection ends. A reset would be an error: an answer could be lost by it.
#[track_caller]
pub fn bytes_to_the_end(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// The same, as text.
#[track_caller]
pub fn to_the_end(stream: &mut impl Read) -> String {
    String::from_utf8_lossy(&bytes_to_the_end(stream)).into_owned()
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
