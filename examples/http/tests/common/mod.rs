//! The server as a process, and clients that know nothing of goroutines: curl and the like, or bytes over std's sockets.
#![allow(dead_code)]

#[path = "../../../../tests/common/programs.rs"]
mod programs;
#[allow(unused_imports)]
pub use programs::{Dir, Killed, connect, patience, run, to_the_end, tool, until};

use programs::{Server, curl_with, loopback};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::Command;

/// The server.
pub struct Program {
    server: Server,
    pub addr: SocketAddr,
}

impl Deref for Program {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Program {
    pub fn start(args: &[&str]) -> Program {
        let addr = loopback().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gosched-example-http"));
        let mut server = Server::start(command.args(["--addr", &addr]).args(args));
        let line = server.line();
        let Some((_, addr)) = line.trim_end().trim_end_matches('/').split_once("://") else {
            panic!("it says {line:?} and {:?}", server.log());
        };
        let addr = addr.parse().unwrap();
        Program { server, addr }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.addr)
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

    /// SIGTERM; returns when the program has seen it, and so does not accept any more, or will not for long.
    pub fn terminate(&mut self) {
        self.server.terminate();
        let line = self.server.line();
        assert!(line.starts_with("SIGTERM: no new connections"), "{line}");
    }

    /// A second one.
    pub fn signal(&self) {
        self.server.terminate();
    }

    /// Waits for its end, in order; gives its last line.
    #[track_caller]
    pub fn ended(self) -> String {
        self.server.ended().0.lines().last().unwrap_or_default().to_owned()
    }

    /// Both; gives its last line.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.terminate();
        self.ended()
    }
}

/// What curl says on stdout, and its exit code.
#[track_caller]
pub fn curl(curl: &Path, args: &[&str]) -> (String, i32) {
    curl_with(curl, &["--noproxy", "*", "--expect100-timeout", "80"], args)
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
