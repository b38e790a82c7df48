//! A server that runs, in a directory of its own.

use crate::client::Client;
pub use crate::programs::{Dir, eventually, to_the_end, wait};
use crate::programs::{Killed, Signal, connect, loopback, signal};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

impl Dir {
    pub fn history(&self) -> PathBuf {
        self.0.join("chat.redb")
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.0.join("stderr")).unwrap_or_default()
    }
}

/// What starts the server, with its files in `dir`. Nothing in it happens because this machine is slow; a later option wins.
pub fn set_up(command: &mut Command, dir: &Dir, args: &[&str]) {
    command.args(["--addr", &loopback().to_string(), "--history"]).arg(dir.history());
    command.args(["--ping", "600000", "--handshake", "60000", "--close", "30000"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(File::create(dir.0.join("stderr")).unwrap());
}

/// The server.
pub struct Chat {
    pub addr: SocketAddr,
    pub child: Killed,
}

impl Chat {
    pub fn start(dir: &Dir, args: &[&str]) -> Chat {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        set_up(&mut command, dir, args);
        Chat::from(dir, command)
    }

    pub fn from(dir: &Dir, mut command: Command) -> Chat {
        let mut child = Killed(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("chat: ready on http://").and_then(|a| a.strip_suffix('/'));
        let Some(addr) = addr else { panic!("no server: {line:?} {}", dir.said()) };
        Chat { addr: addr.parse().unwrap(), child }
    }

    /// A connection, on which nothing waits for ever.
    pub fn connect(&self) -> TcpStream {
        let stream = connect(self.addr);
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
        signal(&self.child, Signal::TERM);
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait.
    pub fn stop(mut self) -> ExitStatus {
        self.term();
        wait(&mut self.child)
    }
}
