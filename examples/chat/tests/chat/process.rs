//! A server that runs, in a directory of its own.

use crate::client::Client;
use crate::common::{loopback, patience};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A directory that ends with the test.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static N: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gosched-chat-{}-{}", std::process::id(), N.fetch_add(1, SeqCst));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    pub fn history(&self) -> PathBuf {
        self.0.join("chat.redb")
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.0.join("stderr")).unwrap_or_default()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What starts the server, with its files in `dir`. Nothing in it happens because this machine is slow; a later option wins.
pub fn set_up(command: &mut Command, dir: &Dir, args: &[&str]) {
    command.args(["--addr", &loopback().to_string(), "--history"]).arg(dir.history());
    command.args(["--ping", "600000", "--handshake", "60000", "--close", "30000"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(File::create(dir.0.join("stderr")).unwrap());
}

/// The server. It is killed where a test does not end it.
pub struct Chat {
    pub addr: SocketAddr,
    pub child: Child,
}

impl Chat {
    pub fn start(dir: &Dir, args: &[&str]) -> Chat {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        set_up(&mut command, dir, args);
        Chat::from(dir, command)
    }

    pub fn from(dir: &Dir, mut command: Command) -> Chat {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("chat: ready on http://").and_then(|a| a.strip_suffix('/'));
        let Some(addr) = addr else { panic!("no server: {line:?} {}", dir.said()) };
        Chat { addr: addr.parse().unwrap(), child }
    }

    /// A connection, on which nothing waits for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.set_write_timeout(Some(patience())).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A member of a room, who is in.
    pub fn member(&self, room: &str, name: &str) -> Client {
        let mut client = Client::enter(self.connect(), room, name);
        client.until_in();
        client
    }

    /// All that is answered to these bytes, to the end of the connection.
    pub fn answers(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        std::io::Write::write_all(&mut stream, bytes).unwrap();
        to_the_end(&mut stream)
    }

    /// It still serves.
    #[track_caller]
    pub fn lives(&self) {
        let mut c = self.member("alive", "anybody");
        c.text("still here");
        assert_eq!(c.said(), ("anybody".into(), "still here".into()));
        c.leave();
    }

    pub fn term(&self) {
        // SAFETY: a call without pointers; the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
    }

    /// SIGTERM, and wait.
    pub fn stop(mut self) -> ExitStatus {
        self.term();
        wait(&mut self.child)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < patience(), "the server does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `cond` holds, or fails the test.
#[track_caller]
pub fn eventually(what: &str, mut cond: impl FnMut() -> bool) {
    let start = Instant::now();
    while !cond() {
        assert!(start.elapsed() < patience(), "never came about: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What comes until the connection ends. A reset would be an error: an answer could be lost by it.
#[track_caller]
pub fn to_the_end(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}
