//! What a gosched program is doing, for whoever asks over HTTP (Go: `net/http/pprof`, `expvar`).
//!
//! ```text
//!   serve(addr) ─► a goroutine accepts ─► one for each connection:  http.rs    one request, within limits
//!                                                                   answers.rs which page: stacks, stats, metrics, trace
//!                                                                   live.rs    the picture of now, ten times a second
//!                                                                   page.html  which draws it
//! ```
//! The server is a program like any other on top of the scheduler: it uses the sockets and channels that its users use, and
//! shows up in what it shows. It answers as long as there is a P to be had; GOMAXPROCS goroutines that hog all of them for
//! 10 ms and more give it one, as they would to anybody.
//!
//! **Who may ask.** Whoever can connect sees names, files, lines and addresses of the program. So [`serve`] listens on
//! loopback only, and refuses requests that name another host: a page of some site cannot ask through the browser of a
//! developer (DNS rebinding). [`serve_on_any_interface`] is for those who have another fence. Nothing can be changed by asking:
//! there is no request but GET and HEAD.
//!
//! **Deadlocks.** A goroutine that waits for a connection can go on at any time, so the detector reports nothing while a
//! server is open, as in Go. `/debug/stacks` shows who waits for whom. After [`Server::close`] it reports again.
//!
//! With the feature `metrics`, `record_metrics` hands the numbers to the `metrics` crate; with `tracing`, `spans::Registry` keeps
//! spans with their goroutine.
//!
//! A file uses only those before it in this list: families, record, spans, http, live, answers.

mod answers;
mod families;
mod http;
mod live;
#[cfg(feature = "metrics")]
mod record;
#[cfg(feature = "tracing")]
pub mod spans;

#[cfg(feature = "metrics")]
pub use record::record_metrics;

use gosched_net::TcpListener;
use gosched_runtime::Builder;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests that are answered at once; one more is told to come later.
const MAX_CONNECTIONS: usize = 64;

/// A debug server, from [`serve`]. Dropping it leaves it open for the rest of the program; [`close`](Server::close) ends it.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let server = gosched_debug::serve("127.0.0.1:0").unwrap();
/// println!("see http://{}/", server.local_addr());
/// # server.close().unwrap();
/// # }) };
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Server {
    /// Where it listens: with the port that the system chose, where 0 was asked for. Never parks.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let server = gosched_debug::serve("127.0.0.1:0").unwrap();
    /// assert!(server.local_addr().ip().is_loopback() && server.local_addr().port() != 0);
    /// # server.close().unwrap();
    /// # }) };
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more connections; those that are open end as they would have. Never parks.
    ///
    /// # Errors
    /// Where the listener cannot be closed.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let server = gosched_debug::serve("127.0.0.1:0").unwrap();
    /// let addr = server.local_addr();
    /// server.close().unwrap();
    /// assert!(gosched_net::TcpStream::connect(addr).is_err());
    /// # }) };
    /// ```
    pub fn close(self) -> io::Result<()> {
        self.listener.close()
    }
}

/// Serves what there is to know about the scheduler on `addr`, which must be of the loopback interface, over HTTP/1.1:
///
/// | path | answer |
/// |---|---|
/// | `/` | a page that draws Ps with their queues, Ms and their goroutines as they are now |
/// | `/debug/events` | what it draws from: server-sent events, ten a second |
/// | `/debug/stacks` | all goroutines: `gosched::debug::stacks`, as text |
/// | `/debug/leaks` | those that nobody can wake any more: `gosched::debug::leaks` |
/// | `/debug/stats` | `gosched::debug::stats`, as JSON |
/// | `/debug/trace?seconds=5` | a trace of so many seconds, for <https://ui.perfetto.dev>; 1 where nothing is said, 60 at most |
/// | `/metrics` | the numbers, for Prometheus |
///
/// From a goroutine, or from a plain thread while a `run` is in progress. The server runs on goroutines of its own until it
/// is closed. Resolving a host name may take long: give a number. While it is open, no deadlock is reported.
///
/// A request must come within ten seconds and 8 KiB. One whose `Host` is not this machine is refused.
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) where an address is not of the loopback interface; what resolving and binding
/// give otherwise.
///
/// # Panics
/// On a plain thread, where no `run` is in progress.
///
/// ```
/// use std::io::{Read, Write};
/// # unsafe { gosched_runtime::run(|| {
/// let server = gosched_debug::serve("127.0.0.1:0").unwrap();
/// let mut stream = gosched_net::TcpStream::connect(server.local_addr()).unwrap();
/// stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer).unwrap();
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\ngosched_procs "));
/// # server.close().unwrap();
/// # }) };
/// ```
pub fn serve<A: ToSocketAddrs>(addr: A) -> io::Result<Server> {
    let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
    if let Some(open) = addrs.iter().find(|a| !a.ip().is_loopback()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{open} is not a loopback address: use serve_on_any_interface if anybody may look into this program"
            ),
        ));
    }
    listen(&addrs, true)
}

/// As [`serve`], on any address: whoever can reach it sees names, files and lines of this program, and can have it traced.
///
/// # Errors
/// What resolving and binding give.
///
/// # Panics
/// As [`serve`].
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let server = gosched_debug::serve_on_any_interface("0.0.0.0:0").unwrap();
/// # server.close().unwrap();
/// # }) };
/// ```
pub fn serve_on_any_interface<A: ToSocketAddrs>(addr: A) -> io::Result<Server> {
    listen(&addr.to_socket_addrs()?.collect::<Vec<_>>(), false)
}

fn listen(addrs: &[SocketAddr], loopback: bool) -> io::Result<Server> {
    let listener = TcpListener::bind(addrs)?;
    let addr = listener.local_addr()?;
    let accepting = listener.try_clone()?;
    Builder::new().name(format!("debug server {addr}")).spawn(move || accept(&accepting, loopback))?;
    Ok(Server { listener, addr })
}

/// Until the listener is closed.
fn accept(listener: &TcpListener, loopback: bool) {
    let open = Arc::new(AtomicUsize::new(0));
    while let Ok((stream, peer)) = listener.accept() {
        /// Counts a connection until it has ended, however it does.
        struct Open(Arc<AtomicUsize>);
        impl Drop for Open {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let busy = open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS;
        let counted = Open(open.clone());
        let answer = move || {
            let _counted = counted;
            // Whoever asks and goes away need not be told of it.
            let _ = answers::connection(stream, loopback, busy);
        };
        // Without memory for one more, this connection is dropped; the next one may fare better.
        let _ = Builder::new().name(format!("debug request {peer}")).spawn(answer);
    }
}
