//! The command line: `crawl`, `wordcount`, `web`; see README.md, and lib.rs for the map. Here are the context that SIGINT,
//! SIGTERM and `--timeout` end, and the exit codes:
//!
//! ```text
//!   0   done               1   an error, a timeout, or files that could not be read
//!   2   bad arguments      130 SIGINT, 143 SIGTERM (`web`: 0, a server ends like that)
//! ```

use clap::{Args, Parser, Subcommand};
use gosched::context::{CancelCauseFunc, Context, ContextError};
use gosched::net::TcpListener;
use gosched::signal::{self, Signal};
use gosched_example_pipeline::stage::Error;
use gosched_example_pipeline::web::Web;
use gosched_example_pipeline::{crawl, wordcount};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Pipelines as in Go
#[derive(Parser)]
struct Cli {
    /// Give up after so many seconds
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Visit all pages of a host, and list the dead links
    Crawl {
        /// Where to begin; without it, a small web that is served for the purpose
        url: Option<String>,
        #[command(flatten)]
        web: WebArgs,
        /// Ask for so many pages at the same time
        #[arg(long, default_value_t = 8, value_parser = count)]
        fetchers: usize,
        /// Look through so many pages at the same time
        #[arg(long, default_value_t = 2, value_parser = count)]
        parsers: usize,
        /// How long a page may take
        #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
        page_timeout: Duration,
        /// Visit no more addresses than that
        #[arg(long, default_value_t = 100_000)]
        max_pages: usize,
    },
    /// Count the words of files, and of all files in directories
    Wordcount {
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Follow symbolic links in directories
        #[arg(short = 'L', long)]
        follow: bool,
        /// Take A for a, and so on; only ASCII
        #[arg(short, long)]
        fold: bool,
        /// How many words to print; 0: all
        #[arg(short = 'n', long, default_value_t = 10)]
        top: usize,
        /// Read so many files at the same time
        #[arg(long, default_value_t = 8, value_parser = count)]
        mappers: usize,
        /// Add up in so many shards
        #[arg(long, default_value_t = 4, value_parser = count)]
        reducers: usize,
        /// No progress bar
        #[arg(short, long)]
        quiet: bool,
    },
    /// Serve the small web, until a signal comes
    Web {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8080")]
        addr: String,
        #[command(flatten)]
        web: WebArgs,
    },
}

#[derive(Args)]
struct WebArgs {
    /// What the small web's links depend on
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many pages it has
    #[arg(long, default_value_t = 100)]
    size: u32,
    /// A page of it that is answered by what is no HTTP
    #[arg(long, value_name = "PAGE")]
    broken: Option<u32>,
    /// A page of it that is never answered
    #[arg(long, value_name = "PAGE")]
    silent: Option<u32>,
}

impl WebArgs {
    fn web(&self) -> Web {
        Web { seed: self.seed, size: self.size, broken: self.broken, silent: self.silent }
    }
}

fn seconds(s: &str) -> Result<Duration, String> {
    let seconds = s.parse().map_err(|_| "it is no number".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn count(s: &str) -> Result<usize, String> {
    match s.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err("it is no number from 1 to 1024".into()),
    }
}

/// Why the context is done, where a signal has come.
#[derive(Debug)]
struct Interrupted(Signal);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Interrupted {}

fn cancel_by_signal(cancel: CancelCauseFunc) -> io::Result<()> {
    let signals = signal::try_notify(&[Signal::SIGINT, Signal::SIGTERM])?;
    gosched::go!({
        if let Some(signal) = signals.recv() {
            signal::stop(&signals); // a second one ends the process: a file that blocks cannot be waited for
            cancel.cancel(Interrupted(signal));
        }
    });
    Ok(())
}

fn program(cli: Cli) -> Result<ExitCode, Error> {
    let (ctx, cancel) = Context::background().with_cancel_cause();
    cancel_by_signal(cancel)?;
    let limited = match cli.timeout {
        Some(time) => ctx.with_timeout(time).0,
        None => ctx.clone(),
    };
    let result = command(&limited, cli.command);
    let by_signal = |e: &Error| match ctx.cause()?.downcast_ref() {
        Some(Interrupted(signal)) if e.is::<ContextError>() => Some(*signal),
        _ => None,
    };
    match result.as_ref().err().and_then(by_signal) {
        Some(signal) => {
            say(&format!("{signal}: given up"));
            Ok(ExitCode::from(128 + signal.as_raw() as u8))
        }
        None => result,
    }
}

fn command(ctx: &Context, command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Crawl { url, web, fetchers, parsers, page_timeout, max_pages } => {
            let options = crawl::Options { fetchers, parsers, page_time: page_timeout, max_pages };
            let report = match url {
                Some(url) => crawl::crawl(ctx, &url, options)?,
                None => crawl_own(ctx, web.web(), options)?,
            };
            write!(io::stdout(), "{report}")?;
        }
        Command::Wordcount { paths, follow, fold, top, mappers, reducers, quiet } => {
            let bar = bar(quiet);
            let options = wordcount::Options { paths, follow, fold, top, mappers, reducers };
            let counted = wordcount::count(ctx, options, &bar);
            bar.finish_and_clear();
            let counts = counted?;
            let mut out = BufWriter::new(io::stdout());
            for (word, n) in &counts.all.top {
                write!(out, "{n:7} ")?;
                out.write_all(word)?;
                out.write_all(b"\n")?;
            }
            out.flush()?;
            if counts.problems > 0 {
                say(&format!("{} not read as they should be", counts.problems));
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Web { addr, web } => {
            let listener = TcpListener::bind(&addr).map_err(|e| format!("{addr}: {e}"))?;
            let addr = listener.local_addr()?;
            writeln!(io::stdout(), "listening on http://{addr}{}", Web::path(0))?;
            web.web().serve(ctx, listener)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Crawls a web of our own, which ends with the crawl.
fn crawl_own(ctx: &Context, web: Web, options: crawl::Options) -> Result<crawl::Report, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let start = format!("http://{}{}", listener.local_addr()?, Web::path(0));
    let (served, stop) = Context::background().with_cancel();
    gosched::scope(|s| {
        let server = s.spawn(|| web.serve(&served, listener));
        let report = crawl::crawl(ctx, &start, options);
        stop.cancel();
        server.join().expect("the server does not panic")?;
        report
    })
}

/// Shown where stderr is a terminal.
fn bar(quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}");
    bar.with_style(style.expect("the template is right"))
}

/// A line on stderr. That nobody reads it is no reason to fail.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "pipeline: {what}");
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // SAFETY: no goroutine holds a borrow of a thread-local, or a value tied to a thread, while it parks. indicatif has locks
    // of std, which it holds while it draws; drawing does not park.
    match unsafe { gosched::run(|| program(cli)) } {
        Ok(code) => code,
        // Who reads our output has had enough, as with `| head`.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::FAILURE
        }
        Err(e) => {
            say(&e.to_string());
            ExitCode::FAILURE
        }
    }
}
