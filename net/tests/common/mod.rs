//! What the tests share: a thread that drives the poller where no scheduler does, and ways to wait without guessing.
#![allow(dead_code)]

use gosched_runtime::poller::{PollWait, ReadyList};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

use gosched_net::{TcpListener, TcpStream};

/// Starts the driver, once per process: it readies threads parked on sockets.
pub fn drive() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let poller = gosched_net::netpoller().expect("a poller");
        std::thread::spawn(move || {
            loop {
                poller.netpoll(PollWait::For(Duration::from_secs(1)), &mut ReadyList::default());
            }
        });
    });
}

/// A connection, both ends ours.
pub fn pair() -> (TcpStream, TcpStream) {
    drive();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    let (server, peer) = l.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

pub fn listener() -> (TcpListener, SocketAddr) {
    drive();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = l.local_addr().unwrap();
    (l, addr)
}

/// Waits until `f` holds; panics where it does not come to that.
pub fn eventually(what: &str, mut f: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !f() {
        assert!(Instant::now() < end, "never came about: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One test of a binary at a time, so that whoever is parked is this test's.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// Somebody is parked on a socket.
pub fn parked() -> bool {
    gosched_net::netpoller().unwrap().has_waiters()
}

pub fn assert_closed<T: std::fmt::Debug>(r: io::Result<T>) {
    let e = r.unwrap_err();
    assert_eq!(e.to_string(), "use of closed network connection");
    assert_eq!(e.kind(), io::ErrorKind::ConnectionAborted);
}

/// xorshift: the same numbers in every run.
pub struct Rng(pub u64);
impl Rng {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// How many rounds a stress test makes: `STRESS=10` for ten times as many.
pub fn rounds(n: usize) -> usize {
    n * std::env::var("STRESS").ok().and_then(|s| s.parse::<usize>().ok()).unwrap_or(1)
}
