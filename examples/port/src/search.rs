//! A search that answers in time, after Rob Pike's "Go concurrency patterns" (the search, up to 3.0) and the article on contexts
//! in Go's blog: a server of HTTP that looks for words in the texts of a directory.
//!
//! ```text
//!   GET /search?q=WORDS&timeout=MILLISECONDS
//!     the context of the request: done at the timeout, or when the client hangs up
//!       ├─ headings ─first─┬─ replica 0          each kind of text is asked at the same time as the others;
//!       ├─ prose    ─first─┼─ replica 1          each of its replicas is asked, and the fastest answer counts;
//!       └─ code     ─first─┴─ replica 2          what is not there in time is missing in the answer
//! ```
//! The first answer of a kind cancels the others for it, and the end of the request everything below: nobody goes on working
//! for somebody who is gone. `/stats` counts them, and the goroutines.
//!
//! Replicas are all in this process. Each takes as long as chance will have it (`--latency`), as if it were far away, and some
//! never answer (`--stuck`, `--mute`).
//!
//! ```text
//! $ cargo run --release -p gosched-example-port --bin search
//! $ curl 'http://127.0.0.1:8081/search?q=deadlock&timeout=100'
//! ```

use clap::Parser;
use gosched::chan::{Chan, after, select};
use gosched::context::{Context, ContextError};
use gosched::net::{TcpListener, TcpStream};
use gosched::signal::{self, Signal};
use gosched::sync::WaitGroup;
use gosched::{fs, go, spawn};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const KINDS: [&str; 3] = ["headings", "prose", "code"];
/// So many lines are given of each kind.
const HITS: usize = 10;

/// A line of some text.
struct Line {
    file: String,
    number: usize,
    text: String,
}

/// Whose request it is: goes down with the context.
struct Client(IpAddr);

#[derive(Default)]
struct Stats {
    searches: AtomicU64,
    asked: AtomicU64,
    answered: AtomicU64,
    given_up: AtomicU64,
}

struct Engine {
    /// Of each kind.
    lines: [Vec<Line>; 3],
    options: Options,
    stats: Stats,
}

impl Engine {
    /// One replica's answer.
    fn ask(&self, ctx: &Context, kind: usize, replica: usize, words: &str) -> Result<Value, ContextError> {
        let chance = self.stats.asked.fetch_add(1, Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let far_away = match self.options.latency {
            _ if replica < self.options.stuck || self.options.mute.as_deref() == Some(KINDS[kind]) => {
                Duration::MAX
            }
            0 => Duration::ZERO,
            most => Duration::from_micros(chance % (most * 1000)),
        };
        let answer = select! {
            recv(after(far_away)) -> _ => self.find(ctx, kind, words),
            recv(ctx.done()) -> _ => Err(ctx.err().expect("it is done")),
        };
        let counter = if answer.is_ok() { &self.stats.answered } else { &self.stats.given_up };
        counter.fetch_add(1, Relaxed);
        answer
    }

    /// The first lines that have all the words, whatever their case.
    fn find(&self, ctx: &Context, kind: usize, words: &str) -> Result<Value, ContextError> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let mut hits = Vec::new();
        for (i, line) in self.lines[kind].iter().enumerate() {
            if let Some(stopped) = ctx.err().filter(|_| i % 100 == 0) {
                return Err(stopped);
            }
            let text = line.text.to_lowercase();
            if words.iter().all(|w| text.contains(w)) {
                hits.push(json!({"file": line.file, "line": line.number, "text": line.text.trim()}));
            }
            if hits.len() == HITS {
                break;
            }
        }
        Ok(hits.into())
    }

    /// Asks all replicas; the fastest one counts, and the others give up.
    fn first(self: &Arc<Self>, ctx: &Context, kind: usize, words: &str) -> Result<Value, ContextError> {
        let (ctx, cancel) = ctx.with_cancel();
        let replicas = self.options.replicas;
        let answers = Chan::new(replicas); // room for all: the slower ones are not kept
        for replica in 0..replicas {
            let (engine, ctx, words, answers) =
                (self.clone(), ctx.clone(), words.to_owned(), answers.sender());
            go!({ answers.send(engine.ask(&ctx, kind, replica, &words)) });
        }
        let first = select! {
            recv(answers) -> answer => answer.expect("it is never closed"),
            recv(ctx.done()) -> _ => Err(ctx.err().expect("it is done")),
        };
        cancel.cancel();
        first
    }

    /// Asks for all kinds at the same time; gives what is there when the context is done.
    fn search(self: &Arc<Self>, ctx: &Context, words: &str) -> [Option<Value>; 3] {
        let found = Chan::new(KINDS.len());
        for kind in 0..KINDS.len() {
            let (engine, ctx, words, found) = (self.clone(), ctx.clone(), words.to_owned(), found.sender());
            go!({ found.send((kind, engine.first(&ctx, kind, &words))) });
        }
        let mut results = [None, None, None];
        for _ in KINDS {
            select! {
                recv(found) -> f => {
                    let (kind, result) = f.expect("it is never closed");
                    results[kind] = result.ok();
                }
                recv(ctx.done()) -> _ => break,
            }
        }
        results
    }

    /// The handler: a context for the request, the search, the answer.
    fn handle(self: &Arc<Self>, ctx: &Context, target: &str) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let field = |name| form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v);
        match path {
            "/search" => {}
            "/stats" => return (200, self.stats()),
            _ => return (404, json!({"error": "there are /search?q=WORDS&timeout=MILLISECONDS and /stats"})),
        }
        let Some(words) = field("q").filter(|q| !q.trim().is_empty()) else {
            return (400, json!({"error": "what for? (q)"}));
        };
        let Ok(millis @ 1..=60_000) = field("timeout").map_or(Ok(100), |t| t.parse::<u64>()) else {
            return (400, json!({"error": "a timeout is from 1 to 60000 milliseconds"}));
        };
        let began = Instant::now();
        let (ctx, cancel) = ctx.with_timeout(Duration::from_millis(millis));
        let results = self.search(&ctx, &words);
        cancel.cancel();
        self.stats.searches.fetch_add(1, Relaxed);
        let missing: Vec<_> =
            KINDS.iter().zip(&results).filter(|(_, r)| r.is_none()).map(|(k, _)| *k).collect();
        let status = if missing.len() == KINDS.len() { 504 } else { 200 };
        let took = began.elapsed().as_millis() as u64;
        if self.options.log {
            let client = ctx.value::<Client>().map_or_else(String::new, |c| c.0.to_string());
            let _ = writeln!(io::stderr(), "{client} {words:?}: {status} in {took} ms, missing {missing:?}");
        }
        let results: serde_json::Map<_, _> =
            KINDS.iter().zip(results).filter_map(|(k, r)| Some((k.to_string(), r?))).collect();
        (status, json!({"query": words, "millis": took, "results": results, "missing": missing}))
    }

    fn stats(&self) -> Value {
        let [searches, asked, answered, given_up] =
            [&self.stats.searches, &self.stats.asked, &self.stats.answered, &self.stats.given_up]
                .map(|n| n.load(Relaxed));
        let goroutines = gosched::num_goroutine();
        json!({"searches": searches, "asked": asked, "answered": answered, "given_up": given_up, "goroutines": goroutines})
    }

    /// One request, one answer, on a goroutine of its own.
    fn connection(self: &Arc<Self>, ctx: &Context, stream: TcpStream, client: IpAddr) -> io::Result<()> {
        stream.set_deadline(Some(Instant::now() + Duration::from_secs(10)))?;
        let waiting = stream.try_clone()?;
        let stop = ctx.after_func(move || drop(waiting.close()));
        let head = head(&stream)?;
        stop.stop(); // from here on the handler looks to the context
        let Some(target) = head else {
            return respond(&stream, 400, &json!({"error": "this is no GET of HTTP/1.1"}));
        };
        stream.set_read_deadline(None)?;
        let (ctx, cancel) = ctx.with_value(Client(client)).with_cancel();
        let reading = stream.try_clone()?;
        let reader = spawn(move || {
            // Whatever a client says after its request is not heard, but for the end.
            while matches!((&reading).read(&mut [0; 512]), Ok(1..)) {}
            cancel.cancel();
        });
        let (status, body) = self.handle(&ctx, &target);
        stream.set_deadline(Some(Instant::now() + Duration::from_secs(1)))?;
        let answered = respond(&stream, status, &body).and_then(|()| stream.shutdown(Shutdown::Write));
        let _ = reader.join(); // when the client has the answer, or after that second
        answered
    }

    /// A goroutine for each connection, until the context is done.
    fn serve(self: &Arc<Self>, ctx: &Context, listener: &TcpListener) -> io::Result<()> {
        let connections = WaitGroup::new();
        loop {
            let (stream, client) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(_) if ctx.err().is_some() => break,
                Err(e) => return Err(e),
            };
            let (engine, ctx) = (self.clone(), ctx.clone());
            connections.go(move || {
                // A client that is gone does not want to know why.
                let _ = engine.connection(&ctx, stream, client.ip());
            });
        }
        connections.wait();
        Ok(())
    }
}

/// What is asked for; `None`: that is no request, or none of these.
fn head(mut stream: &TcpStream) -> io::Result<Option<String>> {
    let mut buf = vec![0; 16 << 10];
    let mut len = 0;
    loop {
        let n = stream.read(&mut buf[len..])?;
        len += n;
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&buf[..len]) {
            Ok(httparse::Status::Complete(_)) if request.method == Some("GET") => {
                return Ok(request.path.map(str::to_owned));
            }
            Ok(httparse::Status::Partial) if n > 0 => {}
            _ => return Ok(None), // also one that does not fit: then there is no room to read into
        }
    }
}

fn respond(mut stream: &TcpStream, status: u16, body: &Value) -> io::Result<()> {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        504 => "Gateway Timeout",
        _ => "Bad Request",
    };
    let body = format!("{body}\n");
    let len = body.len();
    stream.write_all(
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .as_bytes(),
    )
}

/// The lines of all `.md` files of a directory, by kind.
fn load(root: &Path) -> io::Result<[Vec<Line>; 3]> {
    let mut lines: [Vec<Line>; 3] = Default::default();
    let mut files: Vec<PathBuf> =
        fs::read_dir(root)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "md"));
    files.sort();
    for path in files {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let mut in_code = false;
        for (i, text) in String::from_utf8_lossy(&fs::read(&path)?).lines().enumerate() {
            let fence = text.trim_start().starts_with("```");
            in_code ^= fence;
            if fence || text.trim().is_empty() {
                continue;
            }
            let kind = if in_code { 2 } else { usize::from(!text.starts_with('#')) };
            lines[kind].push(Line { file: file.to_string(), number: i + 1, text: text.to_owned() });
        }
    }
    Ok(lines)
}

/// A search that answers in time
#[derive(Parser, Clone)]
struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: String,
    /// Whose .md files are searched
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"))]
    root: PathBuf,
    /// How many replicas there are of each kind
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100))]
    replicas: usize,
    /// So many of them never answer
    #[arg(long, default_value_t = 0)]
    stuck: usize,
    /// A kind of text of which none does
    #[arg(long, value_parser = KINDS)]
    mute: Option<String>,
    /// The longest time, in milliseconds, that an answer is on its way
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=60_000))]
    latency: u64,
    /// A line for each search on stderr
    #[arg(long)]
    log: bool,
}

fn program(options: Options) -> Result<(), String> {
    let lines = load(&options.root).map_err(|e| format!("{}: {e}", options.root.display()))?;
    let signals = signal::try_notify(&[Signal::SIGINT, Signal::SIGTERM]).map_err(|e| e.to_string())?;
    let listener = TcpListener::bind(&options.addr).map_err(|e| format!("{}: {e}", options.addr))?;
    let addr = listener.local_addr().map_err(|e| e.to_string())?;
    let _ = writeln!(io::stdout(), "listening on http://{addr}/search");
    let (ctx, cancel) = Context::background().with_cancel();
    let closing = listener.try_clone().map_err(|e| e.to_string())?;
    go!({
        signals.recv();
        cancel.cancel();
        let _ = closing.close();
    });
    let engine = Arc::new(Engine { lines, options, stats: Stats::default() });
    engine.serve(&ctx, &listener).map_err(|e| e.to_string())?;
    let _ = writeln!(io::stdout(), "{}", engine.stats());
    Ok(())
}

fn main() -> ExitCode {
    let options = Options::parse();
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    match unsafe { gosched::run(|| program(options)) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "search: {e}");
            ExitCode::FAILURE
        }
    }
}
