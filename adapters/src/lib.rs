//! Crates that know nothing of goroutines, run unchanged on them: what the tests in here share.
//!
//! Whatever speaks `Read + Write` takes a `gosched::net::TcpStream` as it takes std's. Each test file shows that for
//! one family of crates, with a peer that is not ours wherever there is one, and its head says what the crate does with
//! thread-locals, because that is what the safety contract (docs/safety.md) asks.
//!
//! ```text
//!   tests/     crates                    the peer                      thread-locals across a read or a write
//!   std_io     std, serde_json           a thread with std's sockets   none
//!   gzip       flate2                    gzip                          none
//!   tls        rustls, ring              rustls, curl                  none
//!   http       httparse, ureq 3          each other, curl              none
//!   websocket  tungstenite               embedded-websocket            none held; its random masks come from one
//!   resp       redis                     redis-server, redis-cli       none
//!   blocking   parking_lot, crossbeam    each other                    while they block the thread, not while parked
//! ```
//! A tool that the machine lacks makes its test say so and pass ([`tool`]).
//!
//! ## What "runs on goroutines" means here
//! A crate could block the thread and the test would pass all the same: the scheduler takes the P and goes on on
//! another thread. So each file but the last has a test that goes through [`while_waiting`]: many goroutines wait for a
//! silent peer, another one makes its steps meanwhile, and there are fewer threads than waiting goroutines. They are
//! parked, then. (That the count would tell otherwise is shown in tests/blocking.rs, by goroutines that do hold their
//! threads.)

use gosched::net::{TcpListener, TcpStream};
use gosched::{Config, go, goid, spawn, yield_now};
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

// What the facade's tests share, these share as well.
#[allow(missing_docs)]
#[path = "../../tests/common/mod.rs"]
mod common;
pub use common::{eventually, loopback, patience, tool};

/// How many goroutines wait in [`while_waiting`]: more than any test here has threads.
pub const WAITERS: usize = 64;

/// Runs `f` as a main goroutine, on one P unless the environment says otherwise.
///
/// # Panics
/// Where it has not ended in time; with `f`'s own panic.
#[track_caller]
pub fn on_goroutine<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    on_goroutine_with(Config::new(), f)
}

/// [`on_goroutine`] with something else than the defaults; what a process starts with first stays.
///
/// # Panics
/// As [`on_goroutine`].
#[track_caller]
pub fn on_goroutine_with<T: Send + 'static>(config: Config, f: impl FnOnce() -> T + Send + 'static) -> T {
    let config = if std::env::var_os("GOMAXPROCS").is_some() { config } else { config.procs(1) };
    // The promise of `run`: no goroutine of these tests holds a borrow of a thread-local, or a value tied to a thread, across
    // a call that parks; for the crates under test the head of each test file says why.
    common::rt_with(config, || {
        assert!(goid().is_some(), "on a goroutine");
        f()
    })
}

/// Starts a goroutine for each of `waits`, which wait for peers that say nothing until `release` is called, and shows
/// that they are parked: another goroutine makes its steps meanwhile, none of the waits ends, and the scheduler has
/// fewer threads than there are goroutines waiting. Returns what the waits returned.
///
/// # Panics
/// Where one of this is not so.
#[track_caller]
pub fn while_waiting<T, F>(waits: Vec<F>, release: impl FnOnce()) -> Vec<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let n = waits.len();
    assert!(n > gosched::gomaxprocs(), "as many Ps as goroutines would show nothing");
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = waits
        .into_iter()
        .map(|wait| {
            let (begun, ended) = (begun.clone(), ended.clone());
            spawn(move || {
                assert!(goid().is_some(), "on a goroutine");
                begun.fetch_add(1, SeqCst);
                let r = wait();
                ended.fetch_add(1, SeqCst);
                r
            })
        })
        .collect();
    eventually("all wait", || begun.load(SeqCst) == n);
    let steps = spawn(|| (0..1_000).map(|_| yield_now()).count()).join().expect("the one that goes on");
    assert_eq!(steps, 1_000);
    // Threads of an earlier burst end after some seconds; those that waiters hold would not.
    if cfg!(target_os = "linux") {
        eventually("fewer threads than goroutines that wait", || threads() < n);
    }
    assert_eq!(ended.load(SeqCst), 0, "nobody has sent anything yet");
    release();
    handles.into_iter().map(|h| h.join().expect("a wait that ends well")).collect()
}

/// The scheduler's threads that run goroutines, as Linux counts them.
///
/// # Panics
/// Where there is no /proc.
pub fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this process");
    let names = tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("gosched-m")).count()
}

/// Two ends of one connection.
///
/// # Panics
/// Where the machine has no loopback.
#[track_caller]
pub fn pair() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind(loopback()).expect("a listener");
    let client = TcpStream::connect(l.local_addr().expect("its address")).expect("a connection");
    let (server, _) = l.accept().expect("its other end");
    (client, server)
}

/// A server of a test: a goroutine that accepts, and one for each connection. It ends when this is dropped; connections
/// that are open go on.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    listener: TcpListener,
}

impl Server {
    /// Serves each connection with `handle`.
    ///
    /// # Panics
    /// Where the machine has no loopback.
    #[track_caller]
    pub fn start(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(loopback()).expect("a listener");
        let addr = listener.local_addr().expect("its address");
        let (accepting, handle) = (listener.try_clone().expect("a handle"), Arc::new(handle));
        go!({
            while let Ok((stream, _)) = accepting.accept() {
                let handle = handle.clone();
                go!({
                    assert!(goid().is_some(), "on a goroutine");
                    handle(stream);
                });
            }
        });
        Server { addr, listener }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.listener.close();
    }
}

/// Runs a program to its end, off the P.
///
/// # Errors
/// Where it cannot be started.
pub fn run_tool(program: impl AsRef<OsStr>, args: &[&str]) -> io::Result<Output> {
    let mut command = Command::new(program);
    command.args(args);
    gosched::syscall(|| command.output())
}

/// `len` bytes that differ from place to place, and from one `seed` to another.
pub fn data(seed: usize, len: usize) -> Vec<u8> {
    let mut x = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}
