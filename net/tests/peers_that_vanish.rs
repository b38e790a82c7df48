//! The other end goes away in the middle: by a reset, and because its process is killed. Whoever is parked on the connection
//! is told, and nothing of it is left.

mod common;
use common::*;

use gosched_net::{TcpListener, TcpStream};
use gosched_runtime::{num_goroutine, spawn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROLE: &str = "GOSCHED_TEST_VANISHING_PEER";

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The end of a stream as its reader sees it: all that came before it, and how it ended.
fn drain(s: &TcpStream) -> io::Result<u64> {
    io::copy(&mut &*s, &mut io::sink())
}

/// Fills the other end's buffers, and parks; until that is gone.
fn pour(s: &TcpStream) -> io::Error {
    loop {
        if let Err(e) = (&mut &*s).write_all(&[7; 100_000]) {
            return e;
        }
    }
}

fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[test]
fn a_reset_ends_readers_and_writers_that_are_parked() {
    let _alone = alone();
    drop(run(connected)); // the poller and its kin
    let before = descriptors();
    run(|| {
        for _ in 0..50 {
            let (client, server) = connected();
            let (reader, writer) = (server.try_clone().unwrap(), server);
            let reader = spawn(move || drain(&reader));
            let writer = spawn(move || pour(&writer));
            (&client).write_all(b"something").unwrap();
            settle();
            client.set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            // Who comes first is given the error, the other one sees the end (the kernel keeps an error once).
            let (r, w) = (reader.join().unwrap(), writer.join().unwrap());
            assert!(is_gone(&w), "{w}");
            assert!(r.as_ref().map_or_else(is_gone, |&n| n == 9), "{r:?}");
        }
    });
    eventually("nothing is left", || num_goroutine() == 0 && descriptors() == before);
}

/// A process that is a client: it fills one connection, and lets another one fill up.
fn be_the_peer(addr: &str) -> ! {
    let addr: SocketAddr = addr.parse().unwrap();
    let (mut fills, deaf) =
        (std::net::TcpStream::connect(addr).unwrap(), std::net::TcpStream::connect(addr).unwrap());
    (&deaf).write_all(b"d").unwrap();
    fills.write_all(b"f").unwrap();
    loop {
        fills.write_all(&[1; 10_000]).unwrap();
    }
}

/// Killed when it goes.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_that_is_killed_in_the_middle() {
    if let Ok(addr) = std::env::var(ROLE) {
        be_the_peer(&addr);
    }
    let _alone = alone();
    drop(run(connected));
    let before = descriptors();
    run(|| {
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_process_that_is_killed_in_the_middle"])
                .env(ROLE, listener.local_addr().unwrap().to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut peer = Peer(child);
            let (mut filled, mut deaf) = (None, None);
            for _ in 0..2 {
                let (s, _) = listener.accept().unwrap();
                let mut kind = [0];
                (&s).read_exact(&mut kind).unwrap();
                *(if kind == *b"f" { &mut filled } else { &mut deaf }) = Some(s);
            }
            let (filled, deaf) = (filled.unwrap(), deaf.unwrap());
            // In the middle: some of it has come.
            let mut some = vec![0; 1_000_000];
            (&filled).read_exact(&mut some).unwrap();
            assert!(some.iter().all(|&b| b == 1));
            let reader = spawn(move || drain(&filled));
            let writer = spawn(move || pour(&deaf));
            settle();
            peer.0.kill().unwrap();
            // Its kernel has closed for it: the end, or a reset where it had not read everything.
            let r = reader.join().unwrap();
            assert!(r.as_ref().map_or_else(is_gone, |_| true), "{r:?}");
            let w = writer.join().unwrap();
            assert!(is_gone(&w), "{w}");
        }
    });
    eventually("nothing is left", || num_goroutine() == 0 && descriptors() == before);
}
