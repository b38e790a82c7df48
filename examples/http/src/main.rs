//! The program: options, signals, and one line when it listens and one when it has ended. What there is to ask it for:
//! app.rs, and README.md.

use gosched::context::Context;
use gosched::net::TcpListener;
use gosched::signal::{self, Signal};
use gosched::{Config, fs, go};
use gosched_example_http::{Files, Limits, Server, app, tls};
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "\
usage: gosched-example-http [OPTION VALUE]...
  --addr HOST:PORT   where to listen (127.0.0.1:8080; port 0: any)
  --root DIR         whose files are served (the package's public/)
  --tls FILE         HTTPS; the certificate to trust is written to FILE
  --procs N          GOMAXPROCS
  --log on|off       the access log, on stderr (on)
limits, in bytes and milliseconds:
  --head N  --body N  --head-time MS  --body-time MS  --idle-time MS  --write-time MS  --linger MS  --grace MS";

struct Options {
    addr: String,
    root: PathBuf,
    tls: Option<PathBuf>,
    procs: Option<usize>,
    log: bool,
    limits: Limits,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut o = Options {
        addr: "127.0.0.1:8080".into(),
        root: concat!(env!("CARGO_MANIFEST_DIR"), "/public").into(),
        tls: None,
        procs: None,
        log: true,
        limits: Limits::default(),
    };
    while let Some(name) = args.next() {
        if name == "--help" {
            return Err("an HTTP server on goroutines".into());
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("{name}: {value} is no number"));
        let time = || number().map(|ms| Duration::from_millis(ms.into()));
        match name.as_str() {
            "--addr" => o.addr = value,
            "--root" => o.root = value.into(),
            "--tls" => o.tls = Some(value.into()),
            "--procs" => o.procs = Some(number()? as usize),
            "--log" => o.log = value != "off",
            "--head" => o.limits.head = number()? as usize,
            "--body" => o.limits.body = number()?.into(),
            "--head-time" => o.limits.head_time = time()?,
            "--body-time" => o.limits.body_time = time()?,
            "--idle-time" => o.limits.idle_time = time()?,
            "--write-time" if value == "0" => return Err(format!("{name}: no time at all is no limit")),
            "--write-time" => o.limits.write_time = time()?,
            "--linger" => o.limits.linger = time()?,
            "--grace" => o.limits.grace = time()?,
            _ => return Err(format!("what is {name}?")),
        }
    }
    Ok(o)
}

/// A line to stdout. That nobody reads it is no reason for a server to end.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Two contexts: the first is done with the first SIGINT or SIGTERM, the second with the second.
fn until_signals() -> io::Result<(Context, Context)> {
    let signals = signal::try_notify(&[Signal::SIGINT, Signal::SIGTERM])?;
    let (first, stop) = Context::background().with_cancel();
    let (second, hurry) = Context::background().with_cancel();
    go!({
        let name = signals.recv().map_or("a signal".into(), |s| s.to_string());
        say(&format!("{name}: no new connections; requests finish (again to cut them off)"));
        stop.cancel();
        signals.recv();
        hurry.cancel();
    });
    Ok((first, second))
}

/// Each connection is a descriptor: as many as the system lets us have. (Go's programs begin with this as well.)
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer there are fewer connections; accept waits where there are none left.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn program(o: Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (ctx, hurry) = until_signals()?;
    let (scheme, config) = match &o.tls {
        Some(file) => {
            let (config, authority) = tls::identity()?;
            fs::write(file, authority)?;
            ("https", Some(config))
        }
        None => ("http", None),
    };
    let files = Files::new(&o.root).map_err(|e| format!("{}: {e}", o.root.display()))?;
    let server = Server::new(app::routes(files), o.limits, config, ctx);
    let listener = TcpListener::builder().backlog(4096).nodelay(true).bind(&o.addr);
    let listener = listener.map_err(|e| format!("{}: {e}", o.addr))?;
    say(&format!("listening on {scheme}://{}/", listener.local_addr()?));
    let served = server.serve(listener, &hurry)?;
    say(&format!(
        "served {} connections, {} requests; {} cut off",
        served.connections, served.requests, served.cut_off
    ));
    Ok(())
}

fn main() {
    let options = options(std::env::args().skip(1)).unwrap_or_else(|e| {
        eprintln!("{e}\n{USAGE}");
        std::process::exit(2);
    });
    if options.log {
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    }
    raise_descriptor_limit();
    let config = match options.procs {
        Some(n) => Config::new().procs(n),
        None => Config::new(),
    };
    // SAFETY: no goroutine holds a borrow of a thread-local, or a value tied to a thread, while it parks; rustls and ring
    // keep none, and tracing's are used in calls that do not park.
    if let Err(e) = unsafe { config.run(move || program(options)) } {
        eprintln!("gosched-example-http: {e}");
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_options_are_refused() {
        let of = |args: &[&str]| options(args.iter().map(|s| s.to_string()));
        assert_eq!(of(&["--grace", "5", "--addr", "h:1"]).unwrap().addr, "h:1");
        for bad in [&["--grace", "soon"][..], &["--grace"], &["--grac", "5"], &["--head", "-1"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
