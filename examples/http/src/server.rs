//! The server: accepts, has a goroutine for each connection, and ends in order.
//!
//! ```text
//!   accept loop ──► goroutine: next head ─► router ─► handler ─► next head …        Conn, Exchange
//!        ▲                        │
//!        │ closed                 └── peers: for the end
//!   ctx is done ──► no new connections ─► idle ones are let go ─► requests finish ─► after `grace` the rest is cut off
//! ```
//! How idle connections and requests are told apart, without cutting a request off: peer.rs.

use crate::conn::Conn;
use crate::exchange::{Exchange, Outcome};
use crate::head::Head;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::router::Router;
use crate::tls;
use crate::transport::Transport;
use gosched::chan::{Chan, select};
use gosched::context::Context;
use gosched::go;
use gosched::net::{TcpListener, TcpStream};
use gosched::sync::{Mutex, WaitGroup};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// An HTTP server.
pub struct Server {
    router: Router,
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    /// Of this every handler sees the end.
    ctx: Context,
    draining: AtomicBool,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    connections: AtomicU64,
    /// Answered on connections that have ended.
    requests: AtomicU64,
}

/// What a server has done, when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections accepted.
    pub connections: u64,
    /// Requests answered, refusals included.
    pub requests: u64,
    /// Connections that were closed because they did not finish in time.
    pub cut_off: u64,
}

impl Server {
    /// A server that runs until `ctx` is done; with `tls`, over TLS.
    pub fn new(router: Router, limits: Limits, tls: Option<ServerConfig>, ctx: Context) -> Arc<Server> {
        let (draining, peers) = (AtomicBool::new(false), Mutex::new(HashMap::new()));
        let (connections, requests) = (AtomicU64::new(0), AtomicU64::new(0));
        let tls = tls.map(Arc::new);
        Arc::new(Server { router, limits, tls, ctx, draining, peers, connections, requests })
    }

    /// Serves until the context is done, and then until all requests have been answered. `hurry` being done cuts short the
    /// time that they have.
    ///
    /// # Errors
    /// Where nobody can be accepted any more; the connections that are there are served to their ends then.
    pub fn serve(self: &Arc<Server>, listener: TcpListener, hurry: &Context) -> io::Result<Served> {
        let (handlers, ended) = (WaitGroup::new(), Chan::new(1));
        let (server, accepting) = (self.clone(), listener.try_clone()?);
        let (counted, end) = (handlers.clone(), ended.clone());
        go!({ end.send(server.accept(&accepting, &counted)) });
        let failure = select! {
            recv(self.ctx.done()) -> _ => {
                listener.close()?;
                ended.recv(); // so that nobody comes after this
                None
            },
            recv(ended) -> e => e,
        };
        let cut_off = self.drain(&handlers, hurry);
        match failure {
            Some(e) => Err(e),
            None => Ok(Served {
                connections: self.connections.load(Relaxed),
                requests: self.requests.load(Relaxed),
                cut_off,
            }),
        }
    }

    /// Accepts until that cannot be done any more.
    fn accept(self: &Arc<Server>, listener: &TcpListener, handlers: &WaitGroup) -> io::Error {
        loop {
            let (stream, addr) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) => return e,
            };
            let number = self.connections.fetch_add(1, Relaxed);
            let Ok(handle) = stream.try_clone() else { continue }; // closed: nobody can have done that yet
            let peer = Arc::new(Peer::new(addr, handle));
            self.peers.lock().insert(number, peer.clone());
            let (entry, server) = (Entry { server: self.clone(), number }, self.clone());
            // Counted down also by a handler that panics, which ends its own connection only.
            handlers.go(move || {
                let _entry = entry;
                server.connection(stream, &peer);
            });
        }
    }

    /// One connection, to its end.
    fn connection(&self, stream: TcpStream, peer: &Peer) {
        let result = self.transport(stream, peer).and_then(|io| match io {
            Some(io) => self.requests(Conn::new(io, peer, &self.limits, &self.draining)),
            None => Ok(()),
        });
        if let Err(e) = result {
            tracing::info!(target: "connection", peer = %peer.addr, error = %e);
        }
    }

    fn transport(&self, stream: TcpStream, peer: &Peer) -> io::Result<Option<Box<dyn Transport>>> {
        stream.set_write_timeout(Some(self.limits.write_time))?;
        let Some(config) = &self.tls else { return Ok(Some(Box::new(stream))) };
        stream.set_read_deadline(Some(Instant::now() + self.limits.head_time))?;
        if !tls::begins(&stream)? {
            tracing::info!(target: "connection", peer = %peer.addr, "no TLS");
            // A request that is left unread would be a reset, and the client would not see the words.
            stream.shutdown(std::net::Shutdown::Write)?;
            io::copy(&mut &stream, &mut io::sink())?;
            return Ok(None);
        }
        let tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        // The handshake comes with the first read.
        Ok(Some(Box::new(StreamOwned::new(tls, stream))))
    }

    fn requests(&self, mut conn: Conn) -> io::Result<()> {
        let mut head = Head::default();
        loop {
            match conn.next(&mut head) {
                Ok(true) => {}
                Ok(false) => return conn.finish(),
                // What is wrong with a request is answered; what is wrong with the connection ends it.
                Err(e) if crate::Refused::within(&e).is_none() => return Err(e),
                Err(e) => {
                    let outcome = Exchange::new(&mut conn, &head, &self.ctx).finish(Err(e));
                    conn.peer.answered();
                    if logs() {
                        log(conn.peer.addr, &head, &outcome, Duration::ZERO);
                    }
                    return conn.finish();
                }
            }
            let began = logs().then(Instant::now);
            let mut x = Exchange::new(&mut conn, &head, &self.ctx);
            let result = self.router.call(&mut x);
            let outcome = x.finish(result);
            conn.peer.answered();
            if let Some(began) = began {
                log(conn.peer.addr, &head, &outcome, began.elapsed());
            }
            if !outcome.keep_alive {
                return conn.finish();
            }
        }
    }

    /// Lets the connections finish; gives how many did not. Called when nobody is accepted any more.
    fn drain(&self, handlers: &WaitGroup, hurry: &Context) -> u64 {
        self.draining.store(true, SeqCst);
        for peer in self.peers.lock().values() {
            peer.let_go_if_idle();
        }
        let (finished, all) = (Chan::<()>::new(0), handlers.clone());
        let end = finished.clone();
        go!({
            all.wait();
            end.close();
        });
        let mut cut_off = 0;
        select! {
            recv(finished) -> _ => return cut_off,
            recv(hurry.done()) -> _ => {},
            default(self.limits.grace) => {},
        }
        for peer in self.peers.lock().values() {
            // Ends whatever is parked on it, a write to a client that does not read as well.
            cut_off += u64::from(peer.stream.close().is_ok());
        }
        finished.recv();
        cut_off
    }
}

/// Whether anybody wants the access log.
#[inline]
fn logs() -> bool {
    tracing::enabled!(target: "access", tracing::Level::INFO)
}

/// The access log: a line for each request. (tracing reaches its subscriber without a thread-local where it is the
/// program's only one; and in a function of its own that does not park it might use one.)
#[inline(never)]
fn log(peer: SocketAddr, head: &Head, outcome: &Outcome, took: Duration) {
    let (method, path, micros) = (head.method(), head.path(), took.as_micros() as u64);
    let (status, bytes) = (outcome.status, outcome.sent);
    tracing::info!(target: "access", %peer, method, path, status, bytes, micros);
}

/// A connection's place among the peers, until its goroutine has ended.
struct Entry {
    server: Arc<Server>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(peer) = self.server.peers.lock().remove(&self.number) {
            self.server.requests.fetch_add(peer.requests(), Relaxed);
        }
    }
}
