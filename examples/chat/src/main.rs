//! Chat rooms over WebSockets, and the page that shows them, on one port. See README.md.
//!
//! ```text
//!   main.rs       start, accept, signals, end
//!   config.rs     the command line                     server.rs    what all share
//!   door.rs       one HTTP request on each             answer.rs    the page, an upgrade, or what is wrong
//!   session.rs    a connection's goroutine: it reads, and says what it reads to its room
//!   room.rs       a room's goroutine                   rooms.rs     which there are, who is inside
//!   outbox.rs     what a client is sent: nobody waits for a slow one
//!   wire.rs       frames and JSON
//!   history.rs    what was said, on disk               table.rs     the database
//!   load.rs       another program: many clients
//! ```
//! ```text
//!                 Text, Join, Leave                push
//!   session ──┐                     ┌── room ──────────────► outbox ─► socket
//!   session ──┼──► the room's chan ─┤    │                      └─ full? ─► a goroutine, for as long as it is
//!   session ──┘                     │    └── Keep ─► history ─► redb, many in one commit
//!                 ticker, ctx.done ─┘
//! ```
//! ## The end
//! SIGTERM or SIGINT: nobody is accepted any more; each room says what it has been told, and then 1001 to its members;
//! who has answered, or has had his time, is gone; the history is written; exit code 0.

/// A line on stderr. A stderr that takes nothing, on a full disk for instance, is no reason to stop (`eprintln!` panics).
macro_rules! say {
    ($($what:tt)*) => {{
        let line = format!("chat: {}\n", format_args!($($what)*));
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }};
}

mod answer;
mod config;
mod door;
mod history;
mod outbox;
mod room;
mod rooms;
mod server;
mod session;
mod table;
mod wire;

use config::Config;
use gosched::context::Context;
use gosched::net::TcpListener;
use gosched::signal::{self, Signal};
use history::History;
use server::Server;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// What the system may hold for a client that does not read, in bytes; the rest is the outbox's affair.
const SEND_BUFFER: usize = 64 << 10;

fn main() -> ExitCode {
    let config = match Config::parse(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(e) => {
            say!("{e}");
            return ExitCode::from(2);
        }
    };
    raise_descriptor_limit();
    let scheduler = match config.procs {
        Some(n) => gosched::Config::new().procs(n),
        None => gosched::Config::new(),
    };
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks:
    // there is none but the seeds of std's hashers, which are copied, and redb's locks, which are left before `syscall`
    // returns.
    match unsafe { scheduler.run(|| serve(config)) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Each connection is a descriptor: as many as the system lets us have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer there are fewer connections; accept waits where there are none left.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn serve(config: Config) -> Result<(), String> {
    // From here on a signal ends the server in its own way.
    let signals = signal::try_notify(&[Signal::SIGTERM, Signal::SIGINT]).map_err(|e| e.to_string())?;
    // A file that must not grow is an error of its write, as a full disk is.
    signal::ignore(&[Signal::SIGXFSZ]).map_err(|e| e.to_string())?;
    let (ctx, stop) = Context::background().with_cancel();
    let history = History::open(&config.history, config.history_length)?;
    let listener = TcpListener::builder()
        .backlog(4096)
        .nodelay(true)
        .send_buffer_size(SEND_BUFFER)
        .bind(&config.addr)
        .map_err(|e| format!("{}: {e}", config.addr))?;
    let addr = listener.local_addr().map_err(|e| e.to_string())?;
    let server = Arc::new(Server::new(config, ctx, history));
    door::open(&server);
    // A stdout that is gone is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "chat: ready on http://{addr}/");

    let accepting = gosched::spawn({
        let (server, listener) = (server.clone(), listener.try_clone().map_err(|e| e.to_string())?);
        move || accept(&server, &listener)
    });
    let signal = signals.recv();
    say!("{}: stopping", signal.map_or("?".into(), |s| s.to_string()));
    let _ = listener.close();
    // So that nobody comes after this.
    let _ = accepting.join();
    stop.cancel();
    server.tasks.wait();
    server.asked.close();
    server.history.close().map_err(|e| format!("not all that was said is in the history: {e}"))
}

/// Ends when the listener is closed.
fn accept(server: &Arc<Server>, listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        match server.enter() {
            Some(entered) => server.tasks.go(move || session::serve(entered, stream)),
            None => door::too_many(&stream),
        }
    }
}
