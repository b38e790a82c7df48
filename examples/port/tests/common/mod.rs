//! The programs as processes.
#![allow(dead_code)]

#[path = "../../../../tests/common/programs.rs"]
mod programs;
#[allow(unused_imports)]
pub use programs::{eventually, patience, run, tool};

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

/// A server.
pub struct Server {
    server: programs::Server,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts one that says on stdout where it listens.
    pub fn start(program: &str, args: &[&str]) -> Server {
        let addr = programs::loopback().to_string();
        let mut server = programs::Server::start(Command::new(program).args(["--addr", &addr]).args(args));
        let line = server.line();
        let word = line.split_whitespace().last().unwrap_or_default();
        let addr = word.trim_start_matches("http://").trim_end_matches("/search").parse();
        let addr = addr.unwrap_or_else(|_| panic!("it says {line:?} and {}", server.log()));
        Server { server, addr }
    }

    pub fn id(&self) -> u32 {
        self.server.child.id()
    }

    pub fn connect(&self) -> TcpStream {
        programs::connect(self.addr)
    }

    /// SIGTERM; gives what it says at its end, on stdout and on stderr.
    #[track_caller]
    pub fn end(self) -> (String, String) {
        self.server.terminate();
        self.server.ended()
    }
}
