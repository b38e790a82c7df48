//! What the tests share: a thread that drives the poller where no scheduler does, a run of the scheduler where one shall,
//! and ways to wait without guessing.
#![allow(dead_code)]

use gosched_runtime::poller::{PollWait, ReadyList};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, Once, mpsc};
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

/// Open descriptors. The scheduler's watchman has a file open now and then, for a moment: the least of some counts.
pub fn descriptors() -> usize {
    let count = |_| std::fs::read_dir("/proc/self/fd").unwrap().count();
    (0..5).map(count).min().unwrap()
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

// ------------------------------------------------------------------------------------------------ on goroutines

/// How long a test may take before it counts as hanging. It decides nothing else.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Runs `main` as a goroutine; fails the test where it has not ended in time. `drive` and what uses it are for tests
/// without a scheduler.
#[track_caller]
pub fn run<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    let t = std::thread::spawn(move || {
        // SAFETY: no goroutine of these tests keeps a borrow of a thread-local, or a value tied to a thread, while it
        // parks.
        let r = unsafe { gosched_runtime::run(main) };
        let _ = tx.send(());
        r
    });
    match rx.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => t.join().unwrap_or_else(|e| std::panic::resume_unwind(e)),
    }
}

/// Gives other goroutines time to park. Tests that use it are right without, only weaker.
pub fn settle() {
    (0..100).for_each(|_| gosched_runtime::yield_now());
}

/// As [`pair`], for goroutines.
pub fn connected() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    (client, l.accept().unwrap().0)
}

/// An address at which nobody listens, and nobody can while the socket is kept.
pub fn nobody(ip: &str) -> (socket2::Socket, SocketAddr) {
    taken(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap()
}

/// This address, taken and not listened at.
pub fn taken(addr: SocketAddr) -> io::Result<(socket2::Socket, SocketAddr)> {
    let s = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    s.bind(&addr.into())?;
    let addr = s.local_addr()?.as_socket().unwrap();
    Ok((s, addr))
}

#[track_caller]
pub fn assert_timed_out<T: std::fmt::Debug>(r: io::Result<T>) {
    assert_eq!(r.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

/// A path of its own for each, removed at the end.
pub struct Place(pub std::path::PathBuf);

impl Place {
    pub fn new(name: &str) -> Place {
        let p = std::env::temp_dir().join(format!("gosched-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&p);
        Place(p)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
