//! A server that speaks Redis' protocol: strings, lists, hashes, expiry, transactions, publish and subscribe, and a log
//! from which it comes back after a crash. See README.md.
//!
//! ```text
//!   main.rs       start, signals, end
//!   session.rs    a goroutine for each connection: read, run, answer        request.rs reply.rs: the protocol
//!   commands/     what the commands do                                      admin.rs tx.rs pubsub.rs
//!   store.rs      the keys: shards under locks                              shard.rs, expire.rs
//!   log/          the log: one goroutine writes for all                     file.rs: after a crash; rewrite.rs
//! ```
//!
//! ## The end
//! SIGTERM or SIGINT: no more connections; those that are open answer what they have read; the log is synced.

/// A line on stderr. A stderr that takes nothing, on a full disk for instance, is no reason to stop (`eprintln!` panics).
macro_rules! say {
    ($($what:tt)*) => {{
        let line = format!("kv: {}\n", format_args!($($what)*));
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }};
}

mod admin;
mod commands;
mod config;
mod expire;
mod glob;
mod log;
mod pubsub;
mod reply;
mod request;
mod server;
mod session;
mod shard;
mod store;
mod tx;

use config::Config;
use gosched::net::TcpListener;
use gosched::signal::{self, Signal};
use server::Server;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a client may take for its last answers.
const GRACE: Duration = Duration::from_secs(5);
/// When the system asks a silent client whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let config = match Config::parse(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(e) => {
            say!("{e}");
            return ExitCode::from(2);
        }
    };
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks:
    // there is no thread-local in it but the seeds of std's hashers, which are copied.
    match unsafe { gosched::run(|| serve(config)) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> Result<(), String> {
    // From here on a signal ends the server in its own way.
    let signals = signal::notify(&[Signal::SIGTERM, Signal::SIGINT]);
    // A file that must not grow is an error of its write, as a full disk is.
    signal::ignore(&[Signal::SIGXFSZ]).map_err(|e| e.to_string())?;
    let server = Arc::new(Server::new(config));
    let config = &server.config;
    if let Some(path) = &config.log {
        log::start(&server, path, config)?;
    }
    let listener = TcpListener::builder()
        .nodelay(true)
        .keepalive(Some(KEEPALIVE))
        .bind((config.bind.as_str(), config.port))
        .map_err(|e| format!("{}:{}: {e}", config.bind, config.port))?;
    let addr = listener.local_addr().map_err(|e| e.to_string())?;
    server.addr.get_or_init(|| addr);
    // A stdout that is gone is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "kv: ready on {addr}");

    let sweeper = server.clone();
    gosched::go!({ expire::run(sweeper) });
    let accepting = gosched::spawn({
        let (server, listener) = (server.clone(), listener.try_clone().map_err(|e| e.to_string())?);
        move || accept(&server, &listener)
    });

    let signal = signals.recv();
    say!("{}: stopping", signal.map_or("?".into(), |s| s.to_string()));
    let _ = listener.close();
    let _ = accepting.join();
    server.stop(GRACE);
    match server.log.get() {
        Some(log) => log.close().map_err(|e| format!("not all changes are in the log: {e}")),
        None => Ok(()),
    }
}

/// Ends when the listener is closed.
fn accept(server: &Arc<Server>, listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        let stream = Arc::new(stream);
        match server.enter(&stream) {
            Some(id) => {
                let entered = Entered { server: server.clone(), id };
                server.connections.go(move || {
                    session::serve(entered.server.clone(), stream, id);
                    drop(entered);
                });
            }
            None => {
                // It fits into an empty send buffer: nobody waits here.
                let _ = (&*stream).write(b"-ERR max number of clients reached\r\n");
            }
        }
    }
}

/// Leaves when it is dropped, also where the connection's goroutine panics.
struct Entered {
    server: Arc<Server>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.server.leave(self.id);
    }
}
