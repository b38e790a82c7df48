//! Chat roulette over TCP, after the one in Andrew Gerrand's talk "Go: code that grows with grace": whoever connects is put
//! together with the next one who does, and who waits too long talks to a bot that has listened to the others.
//!
//! ```text
//!   accept ─► a goroutine for each guest ─select┬─ send(lobby, guest)    somebody who came later takes him
//!                                               ├─ recv(lobby) -> other  chat(guest, other)
//!                                               ├─ recv(hung up)         nobody
//!                                               └─ default(patience)     chat(guest, bot)
//!
//!   chat(a, b):  a ──copy──► b                   the first copy that ends closes both, and so ends the other one
//!                a ◄──copy── b
//! ```
//! ```text
//! $ cargo run --release -p gosched-example-port --bin roulette -- --addr 127.0.0.1:4000
//! $ telnet 127.0.0.1 4000        twice
//! ```

use clap::Parser;
use gosched::chan::{Chan, Receiver, Sender, select};
use gosched::context::Context;
use gosched::net::{Conn, TcpListener, TcpStream, UnixStream};
use gosched::signal::{self, Signal};
use gosched::sync::{Mutex, WaitGroup};
use gosched::{JoinHandle, go, spawn};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Somebody to talk to: a guest, or the bot. With the last handle the connection is closed.
struct Partner {
    conn: Conn,
    /// While a guest waits: the one who watches whether he hangs up.
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Partner {
    fn new(conn: Conn, watcher: Option<JoinHandle<()>>) -> Arc<Partner> {
        Arc::new(Partner { conn, watcher: Mutex::new(watcher) })
    }

    /// The watching ends: the connection is free to be read from. A deadline that has passed ends a read that is parked.
    fn waits_no_more(&self) {
        let watcher = self.watcher.lock().take();
        if let Some(watcher) = watcher {
            let _ = self.conn.set_read_deadline(Some(Instant::now()));
            let _ = watcher.join();
            let _ = self.conn.set_read_deadline(None);
        }
    }

    /// Says something, in a time in which nobody need wait for who does not listen.
    fn say(&self, what: &[u8]) -> io::Result<()> {
        self.conn.set_write_deadline(Some(Instant::now() + Duration::from_secs(30)))?;
        (&self.conn).write_all(what)
    }
}

impl Drop for Partner {
    /// Also ends whoever watches.
    fn drop(&mut self) {
        let _ = self.conn.close();
    }
}

struct Roulette {
    lobby: Chan<Arc<Partner>>,
    patience: Duration,
    chain: Mutex<Chain>,
    guests: AtomicU64,
    chats: AtomicU64,
    bots: AtomicU64,
}

impl Roulette {
    /// A goroutine for each guest, until the listener is closed.
    fn serve(self: Arc<Self>, ctx: &Context, listener: &TcpListener) -> io::Result<()> {
        let guests = WaitGroup::new();
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(_) if ctx.err().is_some() => break,
                Err(e) => return Err(e),
            };
            let (roulette, ctx) = (self.clone(), ctx.clone());
            roulette.guests.fetch_add(1, Relaxed);
            guests.go(move || {
                if let Err(e) = roulette.guest(&ctx, stream) {
                    note(&format!("a guest: {e}"));
                }
            });
        }
        guests.wait();
        Ok(())
    }

    /// Waits for a partner, and talks to him; or leaves that to the one who has taken this guest.
    fn guest(&self, ctx: &Context, stream: TcpStream) -> io::Result<()> {
        let (watcher, hung_up) = watch(stream.try_clone()?);
        let guest = Partner::new(stream.into(), Some(watcher));
        guest.say(b"Looking for somebody ...\n")?;
        select! {
            send(self.lobby, guest.clone()) => {} // now his, who received it
            recv(self.lobby) -> other => self.chat(ctx, &guest, &other.expect("it is never closed")),
            recv(hung_up) -> _ => {}
            recv(ctx.done()) -> _ => {}
            default(self.patience) => {
                let (here, there) = UnixStream::pair()?;
                let sentence = |seed| self.chain.lock().sentence(seed);
                self.bots.fetch_add(1, Relaxed);
                gosched::scope(|s| {
                    s.spawn(move || bot(there, sentence));
                    self.chat(ctx, &guest, &Partner::new(here.into(), None));
                });
            }
        }
        Ok(())
    }

    fn chat(&self, ctx: &Context, a: &Arc<Partner>, b: &Arc<Partner>) {
        a.waits_no_more();
        b.waits_no_more();
        self.chats.fetch_add(1, Relaxed);
        let ends = Chan::new(2); // room for both: nobody waits with it
        let (close_a, close_b) = (a.clone(), b.clone());
        let stop = ctx.after_func(move || {
            let _ = (close_a.conn.close(), close_b.conn.close());
        });
        gosched::scope(|s| {
            let greeting = b"Found somebody. Say hello!\n";
            let _ = (a.say(greeting), b.say(greeting)); // who does not hear it does not hear the rest
            for (from, to) in [(a, b), (b, a)] {
                let ends = ends.sender();
                s.spawn(move || ends.send(self.copy(from, to)));
            }
            if let Some(Err(e)) = ends.recv() {
                note(&format!("a chat: {e}"));
            }
            for partner in [a, b] {
                let _ = partner.say(b"The other one has left.\n");
                let _ = partner.conn.close();
            }
        });
        stop.stop();
    }

    /// Passes on what one says, and learns from it.
    fn copy(&self, from: &Partner, to: &Partner) -> io::Result<()> {
        let mut piece = vec![0; 4096];
        let mut line = Vec::new();
        loop {
            let n = (&from.conn).read(&mut piece)?;
            if n == 0 {
                return Ok(());
            }
            to.say(&piece[..n])?;
            if matches!(from.conn, Conn::Tcp(_)) {
                self.learn(&mut line, &piece[..n]);
            }
        }
    }

    /// Collects lines, which need not come in one piece, and gives them to the chain. Of a long one only the beginning.
    fn learn(&self, line: &mut Vec<u8>, piece: &[u8]) {
        for part in piece.split_inclusive(|b| *b == b'\n') {
            let room = 1024_usize.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.chain.lock().learn(&String::from_utf8_lossy(line));
                line.clear();
            }
        }
    }
}

/// Looks whether a guest hangs up while he waits: the channel is closed then. Who says something meanwhile has not.
fn watch(stream: TcpStream) -> (JoinHandle<()>, Receiver<()>) {
    let hung_up = Chan::new(0);
    let tell: Sender<()> = hung_up.sender();
    let watcher = spawn(move || match stream.peek(&mut [0]) {
        Err(e) if e.kind() == io::ErrorKind::TimedOut => {} // waits_no_more
        Ok(1..) => {}
        _ => tell.close(),
    });
    (watcher, hung_up.receiver())
}

/// Answers every line with a sentence, until its end of the connection is closed.
fn bot(conn: UnixStream, sentence: impl Fn(u64) -> String) {
    let mut lines = BufReader::new(&conn);
    let mut line = Vec::new();
    for seed in 1.. {
        line.clear();
        match (&mut lines).take(1024).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        if (&conn).write_all(format!("{}\n", sentence(seed)).as_bytes()).is_err() {
            return;
        }
    }
}

/// A Markov chain: which words came after two others. Bounded: what is full does not learn.
#[derive(Default)]
struct Chain {
    after: HashMap<[String; 2], Vec<String>>,
    words: usize,
}

impl Chain {
    const MOST: usize = 100_000;

    /// The beginning and the end of a line are words, too: the empty one.
    fn learn(&mut self, line: &str) {
        let mut prefix = [String::new(), String::new()];
        for word in line.split_whitespace().filter(|w| w.len() <= 32).chain([""]) {
            if self.words >= Chain::MOST {
                return;
            }
            self.words += 1;
            let [_, last] = prefix.clone();
            self.after.entry(prefix).or_default().push(word.to_owned());
            prefix = [last, word.to_owned()];
        }
    }

    /// Something that somebody could have said.
    fn sentence(&self, mut seed: u64) -> String {
        let (mut said, mut prefix) = (Vec::new(), [String::new(), String::new()]);
        while let Some(words) = self.after.get(&prefix).filter(|_| said.len() < 30) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = &words[(seed >> 33) as usize % words.len()];
            if word.is_empty() {
                break;
            }
            said.push(word.clone());
            let [_, last] = prefix;
            prefix = [last, word.clone()];
        }
        if said.is_empty() { "I am listening.".into() } else { said.join(" ") }
    }
}

fn note(what: &str) {
    let _ = writeln!(io::stderr(), "roulette: {what}");
}

/// Chat roulette over TCP
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:4000")]
    addr: String,
    /// After so many milliseconds alone the bot comes
    #[arg(long, default_value_t = 5000)]
    bot_after: u64,
}

fn program(o: &Options) -> io::Result<()> {
    let signals = signal::try_notify(&[Signal::SIGINT, Signal::SIGTERM])?;
    let (ctx, cancel) = Context::background().with_cancel();
    let listener = TcpListener::bind(&o.addr)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let closing = listener.try_clone()?;
    go!({
        signals.recv();
        cancel.cancel();
        let _ = closing.close();
    });
    let roulette = Arc::new(Roulette {
        lobby: Chan::new(0),
        patience: Duration::from_millis(o.bot_after),
        chain: Mutex::new(Chain::default()),
        guests: AtomicU64::new(0),
        chats: AtomicU64::new(0),
        bots: AtomicU64::new(0),
    });
    roulette.clone().serve(&ctx, &listener)?;
    let [guests, chats, bots] = [&roulette.guests, &roulette.chats, &roulette.bots].map(|n| n.load(Relaxed));
    writeln!(io::stdout(), "{guests} guests, {chats} chats, {bots} with the bot")
}

fn main() -> ExitCode {
    let options = Options::parse();
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    match unsafe { gosched::run(|| program(&options)) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            note(&format!("{}: {e}", options.addr));
            ExitCode::FAILURE
        }
    }
}

#[test]
fn the_chain_says_what_it_has_heard() {
    let mut chain = Chain::default();
    assert_eq!(chain.sentence(1), "I am listening.");
    chain.learn("a b c d\n");
    assert_eq!(chain.sentence(7), "a b c d");
    chain.learn("b c e");
    chain.learn("");
    for seed in 0..100 {
        let said = chain.sentence(seed);
        assert!(["a b c d", "a b c e", "b c d", "b c e", "I am listening."].contains(&&*said), "{said}");
    }
    chain.learn(&"x ".repeat(2 * Chain::MOST));
    assert!(chain.words == Chain::MOST && chain.sentence(3).split(' ').count() <= 30);
}
