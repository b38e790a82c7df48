//! A forward proxy: on one port HTTP CONNECT, plain HTTP and SOCKS5, on others plain forwarding. See README.md.
//!
//! # The map
//! A file uses only those before it in this list.
//!
//! ```text
//!   target    hosts and ports              rules     whom clients may reach
//!   refusal   why not, in three languages  users     names and passwords
//!   client    what a client says first     options   the command line
//!   socks     SOCKS5                       plain     heads of plain HTTP
//!   http      CONNECT and http://          places    how many may be here
//!   meter     bytes, as the kernel counts  conn      a connection, seen from outside
//!   table     all of them, and totals      dial      names, rules, the race to the target
//!   tunnel    the two copies               watch     the idle deadline
//!   server    accepting, connections, the log, the end
//!   page      what goes on, over HTTP
//! ```

mod client;
mod conn;
mod dial;
mod http;
mod meter;
mod options;
mod page;
mod places;
mod plain;
mod refusal;
mod rules;
mod server;
mod socks;
mod table;
mod target;
mod tunnel;
mod users;
mod watch;

use gosched::context::Context;
use gosched::net::TcpListener;
use gosched::signal::{self, Signal};
use gosched::{Config, debug, fs, go};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::{Options, USAGE};
use places::Places;
use server::{Server, Service};
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use users::Users;

/// When the system asks a silent peer whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Connections, where nothing else is said.
const CONNECTIONS: u64 = 10_000;
/// Descriptors that are not for connections: the poller's, pipes, the resolver's.
const OTHER_DESCRIPTORS: u64 = 100;

type Failure = Box<dyn Error + Send + Sync>;

/// A line to stdout. That nobody reads it is no reason for a server to end.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(e) => {
            let _ = writeln!(io::stderr(), "{e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.log {
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    }
    let config = match options.procs {
        Some(n) => Config::new().procs(n),
        None => Config::new(),
    };
    // SAFETY: no goroutine holds a borrow of a thread-local, or a value tied to a thread, while it parks; tracing's are used
    // in calls that do not park, the seeds of std's hashers are copied.
    match unsafe { config.run(move || program(options)) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "proxy: {e}");
            ExitCode::FAILURE
        }
    }
}

fn program(o: Options) -> Result<(), Failure> {
    let (stop, hurry) = until_signals()?;
    let users = match &o.users {
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|e| e.to_string());
            Some(text.and_then(|t| Users::parse(&t)).map_err(|e| format!("{}: {e}", file.display()))?)
        }
        None => None,
    };
    let connections = connections(o.limits.connections)?;
    let (first, listener) = listen(&o.listen)?;
    if !first.ip().is_loopback() && users.is_none() && o.rules.is_empty() {
        let _ = writeln!(
            io::stderr(),
            "proxy: whoever reaches {first} reaches through it what this machine can reach"
        );
    }
    say(&format!("listening on {first}"));
    let mut listeners = vec![(listener, Service::Proxy)];
    for (addr, target) in o.forwards {
        let (addr, listener) = listen(&addr)?;
        say(&format!("forwarding {addr} to {target}"));
        listeners.push((listener, Service::Forward(target)));
    }
    let debug =
        o.debug.map(|addr| debug::serve(addr.as_str()).map_err(|e| format!("{addr}: {e}"))).transpose()?;
    let debug = debug.map(|server| server.local_addr());
    if let Some(addr) = debug {
        say(&format!("debugging on http://{addr}/"));
    }
    let (limits, table, places) = (o.limits, Arc::default(), Places::new(connections, o.limits.per_client));
    let server = Arc::new(Server { limits, users, rules: o.rules, table, places, stop });
    let page =
        o.page.map(|addr| page::serve(&addr, server.clone(), debug).map_err(|e| format!("{addr}: {e}")));
    if let Some(addr) = page.transpose()? {
        say(&format!("page on http://{addr}/"));
    }
    say("ready");
    let cut = server.serve(listeners, &hurry)?;
    say(&format!("{} connections, {cut} cut off", server.table.accepted()));
    Ok(())
}

/// Two contexts: the first is done with the first SIGINT or SIGTERM, the second with the second.
fn until_signals() -> io::Result<(Context, Context)> {
    let signals = signal::try_notify(&[Signal::SIGINT, Signal::SIGTERM])?;
    let (first, stop) = Context::background().with_cancel();
    let (second, hurry) = Context::background().with_cancel();
    go!({
        let name = signals.recv().map_or("a signal".into(), |s| s.to_string());
        say(&format!("{name}: nobody new; tunnels go on to their end (again to cut them off)"));
        stop.cancel();
        signals.recv();
        hurry.cancel();
    });
    Ok((first, second))
}

/// How many connections there may be. Each takes two descriptors, of which we get as many as the system lets us have. (Go's
/// programs begin with this as well.)
fn connections(wanted: Option<usize>) -> Result<usize, Failure> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // With fewer there are fewer connections; accept waits where there are none left.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    let usual = (most.saturating_sub(OTHER_DESCRIPTORS) / 2).clamp(1, CONNECTIONS);
    Ok(wanted.unwrap_or(usual as usize))
}

fn listen(addr: &str) -> Result<(SocketAddr, TcpListener), Failure> {
    let listener = TcpListener::builder().backlog(4096).nodelay(true).keepalive(Some(KEEPALIVE)).bind(addr);
    let listener = listener.map_err(|e| format!("{addr}: {e}"))?;
    Ok((listener.local_addr()?, listener))
}
