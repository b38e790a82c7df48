//! Goroutines that never come near the scheduler do not keep a server from its clients, not even on one P: one that spins
//! in an empty loop, one that blocks its thread for ever, several of them.
//!
//! The server is a child process, the clients are plain threads here.

#[path = "../runtime/tests/child/mod.rs"]
mod child;

use gosched::net::{TcpListener, TcpStream};
use gosched::{Config, go};
use std::io::{Read, Write};
use std::net;
use std::thread;
use std::time::Duration;

/// What the main goroutine of the server does, when the server is up; for ever.
fn hog(kind: &str) {
    match kind {
        "spin" => spin(),
        "block" => block(),
        "four_spin" => {
            (0..4).for_each(|_| go(spin));
            spin();
        }
        "four_block" => {
            (0..4).for_each(|_| go(block));
            block();
        }
        other => panic!("{other}"),
    }
}

#[allow(clippy::empty_loop)] // that is what the test is about
fn spin() {
    loop {}
}

fn block() {
    thread::sleep(Duration::MAX);
}

fn echo(mut stream: TcpStream) {
    let mut buf = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buf) {
        if stream.write_all(&buf[..n]).is_err() {
            return;
        }
    }
}

/// The child: a server with one P, whose main goroutine becomes a hog.
fn server(kind: &str) {
    let main = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("address {}", listener.local_addr().unwrap());
        go(move || listener.incoming().flatten().for_each(|stream| go(move || echo(stream))));
        hog(kind);
    };
    // SAFETY: no goroutine of this program holds a value tied to a thread while it parks.
    unsafe { Config::new().procs(1).run(main) };
}

/// A connection: so many messages there and back, each other than the ones before.
fn client(addr: &str, number: usize, messages: usize) {
    let mut s = net::TcpStream::connect(addr).unwrap();
    s.set_read_timeout(Some(child::patience())).unwrap();
    for i in 0..messages {
        let sent: Vec<u8> = (0..100).map(|b| (number * 31 + i * 7 + b) as u8).collect();
        s.write_all(&sent).unwrap();
        let mut got = [0; 100];
        s.read_exact(&mut got).unwrap();
        assert!(got == sent[..]);
    }
}

fn serves_beside(kind: &str, test: &str) {
    if let Some(kind) = child::kind() {
        return server(&kind);
    }
    let mut server = child::start_test(test, kind, &[]);
    let addr = server.says("address ");
    thread::scope(|s| {
        for number in 0..4 {
            let addr = &addr;
            s.spawn(move || {
                // Several connections, one after the other: it accepts all the time.
                for _ in 0..5 {
                    client(addr, number, 20);
                }
            });
        }
    });
    assert!(server.runs(), "the hog does not end");
    assert_eq!(server.kill(), "");
}

#[test]
fn one_that_spins() {
    serves_beside("spin", "one_that_spins");
}

#[test]
fn one_that_blocks() {
    serves_beside("block", "one_that_blocks");
}

#[test]
fn five_that_spin() {
    serves_beside("four_spin", "five_that_spin");
}

#[test]
fn five_that_block() {
    serves_beside("four_block", "five_that_block");
}
