//! A server that sends back what it gets, with statistics and an orderly end.
//!
//! ```text
//! $ cargo run --release --example echo-server -- --stats
//! listening on 127.0.0.1:7777; talk to it with: nc 127.0.0.1 7777
//! 3 connections open, 1204 messages/s
//! ^C
//! SIGINT: no new connections; 3 finish (^C again to cut them off)
//! served 17 connections: 3604 messages, 230656 bytes, 0 connections failed, 0 cut off
//! $ echo $?
//! 0
//! ```
//! Options: `--addr HOST:PORT` (default 127.0.0.1:7777; port 0 lets the system choose), `--stats` (a line each second),
//! `--quiet MS` and `--grace MS`, see [`Drain`].
//!
//! One goroutine per connection, written as one would with `std::net`. For load, from another terminal:
//! `python3 tests/scripts/echo_client.py 127.0.0.1:7777 1000 1048576`.
//!
//! ```text
//!   signals (a plain thread) ──channel──► main ──closes──► listener ──ends──► accept loop
//!                                          └──read deadline──► each connection ──► its goroutine ends ──► WaitGroup
//! ```

use gosched::chan::{Chan, Receiver, select};
use gosched::net::{TcpListener, TcpStream};
use gosched::sync::{Mutex, WaitGroup};
use gosched::{go, spawn, time};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How open connections end after the signal.
#[derive(Clone, Copy)]
struct Drain {
    /// A connection from which nothing has come for so long has finished what it was doing.
    quiet: Duration,
    /// After so long the rest is cut off.
    grace: Duration,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain { quiet: Duration::from_millis(300), grace: Duration::from_secs(10) }
    }
}

/// What all goroutines of the server share.
struct Server {
    drain: Drain,
    draining: AtomicBool,
    /// The open connections, by number. Who holds one here can set its deadline and close it, whoever reads it.
    open: Mutex<HashMap<u64, TcpStream>>,
    /// Counts the connections' goroutines.
    handlers: WaitGroup,
    accepted: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    cut_off: AtomicU64,
}

impl Server {
    fn new(drain: Drain) -> Server {
        Server {
            drain,
            draining: AtomicBool::new(false),
            open: Mutex::new(HashMap::new()),
            handlers: WaitGroup::new(),
            accepted: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cut_off: AtomicU64::new(0),
        }
    }

    /// Accepts until the listener is closed. `accept` itself passes over what concerns one connection only, and waits
    /// out a lack of descriptors; the error that it does return is the listener's end.
    fn accept_loop(self: Arc<Server>, listener: TcpListener) -> io::Error {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) => return e,
            };
            let number = self.accepted.fetch_add(1, Relaxed);
            let Ok(handle) = stream.try_clone() else { continue }; // closed: it cannot be, nobody else has it yet
            self.open.lock().insert(number, handle);
            let _counted = Counted::new(&self.handlers);
            let connection = Connection { server: self.clone(), number, stream, _counted };
            go!({
                if connection.server.echo(&connection.stream).is_err() {
                    connection.server.failed.fetch_add(1, Relaxed);
                }
            });
        }
    }

    /// One connection: its errors end it, and nothing else.
    fn echo(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buf = vec![0; 16 << 10];
        loop {
            let n = match stream.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                // The deadline that draining sets: quiet for long enough.
                Err(e) if e.kind() == ErrorKind::TimedOut && self.draining.load(SeqCst) => return Ok(()),
                Err(e) => return Err(e),
            };
            stream.write_all(&buf[..n])?;
            self.messages.fetch_add(1, Relaxed);
            self.bytes.fetch_add(n as u64, Relaxed);
            if self.draining.load(SeqCst) {
                // It is busy still: some more time.
                stream.set_read_deadline(Instant::now().checked_add(self.drain.quiet))?;
            }
        }
    }

    /// Lets the connections finish; something over `hurry`, or the end of the grace time, cuts them off. Called when
    /// the accept loop has ended, so none is added.
    fn drain(&self, hurry: &Receiver<&'static str>) {
        // In this order: who does not see the flag has not yet come to its next read, where the deadline waits for it.
        self.draining.store(true, SeqCst);
        let quiet_at = Instant::now().checked_add(self.drain.quiet);
        for stream in self.open.lock().values() {
            // It ends also a read that is parked already. An error means that the connection has ended by itself.
            let _ = stream.set_read_deadline(quiet_at);
        }
        let (finished, handlers) = (Chan::<()>::new(0), self.handlers.clone());
        let all = finished.clone();
        go!({
            handlers.wait();
            all.close();
        });
        select! {
            recv(finished) -> _ => return,
            recv(hurry) -> _ => {},
            default(self.drain.grace) => {},
        }
        for stream in self.open.lock().values() {
            // Ends whatever is parked on it, a write to a client that does not read as well.
            if stream.close().is_ok() {
                self.cut_off.fetch_add(1, Relaxed);
            }
        }
        finished.recv();
    }

    fn stats(&self) {
        let (mut at, mut before) = (Instant::now(), self.messages.load(Relaxed));
        while !self.draining.load(SeqCst) {
            time::sleep(Duration::from_secs(1));
            let (now, messages) = (Instant::now(), self.messages.load(Relaxed));
            let rate = (messages - before) as f64 / (now - at).as_secs_f64();
            say(&format!("{} connections open, {rate:.0} messages/s", self.open.lock().len()));
            (at, before) = (now, messages);
        }
    }

    fn totals(&self) -> String {
        format!(
            "served {} connections: {} messages, {} bytes, {} connections failed, {} cut off",
            self.accepted.load(Relaxed),
            self.messages.load(Relaxed),
            self.bytes.load(Relaxed),
            self.failed.load(Relaxed),
            self.cut_off.load(Relaxed)
        )
    }
}

/// A connection that a goroutine serves: however that ends, it is taken off the list, closed (the handle in here is the
/// last one then) and counted out, in this order.
struct Connection {
    server: Arc<Server>,
    number: u64,
    stream: TcpStream,
    _counted: Counted,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.open.lock().remove(&self.number);
    }
}

struct Counted(WaitGroup);

impl Counted {
    fn new(wg: &WaitGroup) -> Counted {
        wg.add(1);
        Counted(wg.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.done();
    }
}

/// A line to stdout. That nobody reads it any more is no reason for a server to end.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Serves until something comes over `stop`, then drains; a second thing over it cuts the draining short.
fn serve(listener: TcpListener, stop: &Receiver<&'static str>, stats: bool, drain: Drain) -> Arc<Server> {
    let server = Arc::new(Server::new(drain));
    if stats {
        let server = server.clone();
        go!({ server.stats() });
    }
    let accepting = listener.try_clone().map(|listener| {
        let (server, ended) = (server.clone(), Chan::new(1));
        let end = ended.clone();
        let handle = spawn(move || end.send(server.accept_loop(listener)));
        (handle, ended)
    });
    let Ok((accept_loop, ended)) = accepting else { return server };
    select! {
        recv(stop) -> why => {
            // The accept loop ends, and the port is free; where that cannot be had, at least the loop ends.
            if listener.close().is_err() {
                let _ = listener.set_deadline(Some(Instant::now()));
            }
            let _ = accept_loop.join();
            let (why, open) = (why.unwrap_or("stopped"), server.open.lock().len());
            say(&format!("{why}: no new connections; {open} finish (^C again to cut them off)"));
        },
        recv(ended) -> e => {
            say(&format!("accept: {}", e.map_or("ended".into(), |e| e.to_string())));
        },
    }
    server.drain(stop);
    server
}

/// Hands SIGINT and SIGTERM on, from a thread of their own: any thread may use a channel.
fn signals() -> io::Result<Receiver<&'static str>> {
    let ch = Chan::new(1);
    let (out, mut signals) = (ch.sender(), Signals::new([SIGINT, SIGTERM])?);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            // Full: one waits to be seen already.
            let _ = out.try_send(if signal == SIGINT { "SIGINT" } else { "SIGTERM" });
        }
    })?;
    Ok(ch.receiver())
}

struct Options {
    addr: String,
    stats: bool,
    drain: Drain,
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { addr: "127.0.0.1:7777".into(), stats: false, drain: Drain::default() };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let ms = |v: String| v.parse().map(Duration::from_millis).map_err(|_| format!("{v} is no number"));
        match arg.as_str() {
            "--addr" => options.addr = value()?,
            "--stats" => options.stats = true,
            "--quiet" => options.drain.quiet = ms(value()?)?,
            "--grace" => options.drain.grace = ms(value()?)?,
            _ => return Err(format!("what is {arg}?")),
        }
    }
    Ok(options)
}

/// The program: its exit code.
fn program(args: impl Iterator<Item = String>) -> i32 {
    let Options { addr, stats, drain } = match options(args) {
        Ok(options) => options,
        Err(e) => {
            eprintln!("{e}\nusage: echo-server [--addr HOST:PORT] [--stats] [--quiet MS] [--grace MS]");
            return 2;
        }
    };
    let main = || -> io::Result<()> {
        let stop = signals()?;
        let listener = TcpListener::bind(&addr)?;
        let at = listener.local_addr()?;
        say(&format!("listening on {at}; talk to it with: nc {} {}", at.ip(), at.port()));
        let server = serve(listener, &stop, stats, drain);
        say(&server.totals());
        Ok(())
    };
    // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    match unsafe { gosched::run(main) } {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("echo-server: {addr}: {e}");
            1
        }
    }
}

fn main() {
    std::process::exit(program(std::env::args().skip(1)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net;
    use std::process::{Child, Command, Stdio};
    use std::thread;

    /// Long enough for any machine.
    const LONG: Duration = Duration::from_secs(60);

    /// An address that no other process' test has, so that nobody else answers on a port that was freed. (Linux has the
    /// whole of 127/8.)
    fn loopback(last: u8) -> String {
        let [.., high, low] = std::process::id().to_be_bytes();
        if cfg!(target_os = "linux") { format!("127.{high}.{low}.{last}:0") } else { "127.0.0.1:0".into() }
    }

    fn connect(addr: &str) -> net::TcpStream {
        let s = net::TcpStream::connect(addr).unwrap();
        s.set_read_timeout(Some(LONG)).unwrap();
        s.set_write_timeout(Some(LONG)).unwrap();
        s
    }

    /// Sends `data` and gets the same back, by a plain std client.
    fn round_trip(s: &net::TcpStream, data: &[u8]) {
        thread::scope(|scope| {
            scope.spawn(|| (&*s).write_all(data).unwrap());
            let mut got = vec![0; data.len()];
            (&*s).read_exact(&mut got).unwrap();
            assert!(got == data);
        });
    }

    fn clients(addr: &str, n: usize, bytes: usize) {
        thread::scope(|scope| {
            for i in 0..n {
                scope.spawn(move || {
                    let data: Vec<u8> = (0..bytes).map(|b| (b * 7 + i) as u8).collect();
                    let s = connect(addr);
                    for piece in data.chunks(10_000) {
                        round_trip(&s, piece);
                    }
                });
            }
        });
    }

    #[test]
    fn fifty_std_clients_get_back_what_they_sent() {
        let (stop, addrs) = (Chan::new(1), Chan::new(1));
        let (stopped, addr) = (stop.receiver(), addrs.clone());
        let server = thread::spawn(move || {
            // SAFETY: as in main.
            unsafe {
                gosched::run(move || {
                    let listener = TcpListener::bind(loopback(1)).unwrap();
                    addr.send(listener.local_addr().unwrap().to_string());
                    serve(listener, &stopped, false, Drain { quiet: Duration::from_millis(20), grace: LONG })
                })
            }
        });
        let addr = addrs.recv().unwrap();
        clients(&addr, 50, 64 << 10);
        // One that resets its connection (a write that nobody has read, and gone) leaves the others alone.
        let rude = connect(&addr);
        (&rude).write_all(&[1; 1000]).unwrap();
        drop(rude);
        let idle = connect(&addr);
        round_trip(&idle, b"idle");
        stop.send("test");
        // Who is idle is let go, in order: the end of the stream, no reset.
        assert_eq!((&idle).read(&mut [0; 8]).unwrap(), 0);
        let server = server.join().unwrap();
        assert_eq!(server.accepted.load(Relaxed), 52);
        assert_eq!(server.cut_off.load(Relaxed), 0);
        assert!(server.bytes.load(Relaxed) >= 50 * (64 << 10) + 4);
        assert!(server.open.lock().is_empty());
        assert!(net::TcpStream::connect(&addr).is_err(), "nobody listens any more");
    }

    #[test]
    fn who_does_not_finish_is_cut_off() {
        let (stop, addrs) = (Chan::new(1), Chan::new(1));
        let (stopped, addr) = (stop.receiver(), addrs.clone());
        let server = thread::spawn(move || {
            // SAFETY: as in main.
            unsafe {
                gosched::run(move || {
                    let listener = TcpListener::bind(loopback(2)).unwrap();
                    addr.send(listener.local_addr().unwrap().to_string());
                    let grace = Duration::from_millis(50);
                    serve(listener, &stopped, true, Drain { quiet: LONG, grace })
                })
            }
        });
        let stubborn = connect(&addrs.recv().unwrap());
        round_trip(&stubborn, b"I stay");
        stop.send("test");
        assert!(!matches!((&stubborn).read(&mut [0; 8]), Ok(n) if n > 0));
        assert_eq!(server.join().unwrap().cut_off.load(Relaxed), 1);
    }

    const CHILD: &str = "GOSCHED_EXAMPLE_CHILD";

    /// This test binary again, as the program.
    fn child(test: &str) -> (Child, impl Iterator<Item = String>, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|l| l.contains("listening on ")).expect("it says where");
        let addr = listening.split_once("listening on ").unwrap().1.split_once(';').unwrap().0.to_string();
        (child, lines, addr)
    }

    /// In the child: the program, which does not come back.
    fn be_the_program() {
        if std::env::var_os(CHILD).is_some() {
            let args = ["--addr", "127.0.0.1:0", "--stats", "--quiet", "60000", "--grace", "60000"];
            std::process::exit(program(args.into_iter().map(String::from)));
        }
    }

    fn ends_in_order(signal: i32, name: &str, test: &str) {
        be_the_program();
        let (mut child, mut lines, addr) = child(test);
        clients(&addr, 50, 20_000);
        // One in the middle of something when the signal comes: it has written more than it has read.
        let busy = connect(&addr);
        let data: Vec<u8> = (0..1 << 20).map(|i| (i / 3) as u8).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                (&busy).write_all(&data).unwrap();
                busy.shutdown(net::Shutdown::Write).unwrap();
            });
            let mut got = vec![0; data.len()];
            (&busy).read_exact(&mut got[..1000]).unwrap();
            // SAFETY: a signal to our own child, which has not been waited for.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
            (&busy).read_exact(&mut got[1000..]).unwrap();
            assert!(got == data);
        });
        assert_eq!((&busy).read(&mut [0; 8]).unwrap(), 0, "and then its end");
        let said: Vec<String> = lines.by_ref().collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{said:?}");
        assert!(said.iter().any(|l| l.starts_with(&format!("{name}: no new connections; "))), "{said:?}");
        let totals = said.last().expect("a last line");
        assert!(totals.starts_with("served 51 connections: "), "{said:?}");
        let bytes = 50 * 20_000 + data.len();
        assert!(totals.ends_with(&format!(" {bytes} bytes, 0 connections failed, 0 cut off")), "{said:?}");
    }

    #[test]
    fn ctrl_c_drains_and_exits_0() {
        ends_in_order(libc::SIGINT, "SIGINT", "tests::ctrl_c_drains_and_exits_0");
    }

    #[test]
    fn sigterm_drains_and_exits_0() {
        ends_in_order(libc::SIGTERM, "SIGTERM", "tests::sigterm_drains_and_exits_0");
    }

    #[test]
    fn a_bad_option_is_refused() {
        assert!(options(["--adr".to_string()].into_iter()).is_err());
        assert!(options(["--quiet".into(), "soon".into()].into_iter()).is_err());
        assert!(options(["--stats".to_string()].into_iter()).unwrap().stats);
    }
}
