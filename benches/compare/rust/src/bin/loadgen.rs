//! The client of `echo` and of the hogs: one thread, one loop around epoll.
//!
//! ```text
//! loadgen echo HOST:PORT CONNECTIONS SECONDS    prints messages per second; p50, p99, p99.9 in µs
//! loadgen ping HOST:PORT SECONDS                prints p50, p99 and the longest in µs; how many were answered
//! ```
//! `echo`: each connection has one message of 64 bytes on its way. The first half second does not count.
//!
//! `ping`: one connection, one message each millisecond, or as soon as the one before it is answered if that is later. The
//! first answer, at which the hogs start, and 200 ms after it do not count. What has not been answered at the end counts
//! with the time that it has waited; if nothing has been, that is `inf inf inf 0`.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const MESSAGE: [u8; 64] = [b'.'; 64];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["echo", addr, connections, secs] => echo(addr, number(connections) as usize, seconds(secs)),
        ["ping", addr, secs] => ping(addr, seconds(secs)),
        _ => Err(io::Error::other("loadgen echo HOST:PORT CONNECTIONS SECONDS | ping HOST:PORT SECONDS")),
    };
    if let Err(e) = done {
        eprintln!("loadgen: {e}");
        std::process::exit(1);
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word}: not a number"))
}

fn seconds(word: &str) -> Duration {
    Duration::from_secs(number(word))
}

fn address(addr: &str) -> io::Result<SocketAddr> {
    addr.parse().map_err(io::Error::other)
}

/// The time below which `share` of the sorted times lie, in µs.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted[at.min(sorted.len() - 1)].as_secs_f64() * 1e6
}

/// A connection with one message on its way.
struct Client {
    stream: TcpStream,
    sent: Instant,
    /// How much of the answer has come.
    got: usize,
}

impl Client {
    fn send(&mut self, now: Instant) -> io::Result<()> {
        (self.sent, self.got) = (now, 0);
        self.stream.write_all(&MESSAGE) // there is room for it: nothing else is on its way
    }

    /// Reads what there is. `true`: the answer is complete.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buf = [0; MESSAGE.len()];
        while self.got < MESSAGE.len() {
            match self.stream.read(&mut buf) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.got += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

fn echo(addr: &str, connections: usize, length: Duration) -> io::Result<()> {
    const WARM_UP: Duration = Duration::from_millis(500);
    let addr = address(addr)?;
    let mut poll = Poll::new()?;
    let began = Instant::now();
    let mut clients = Vec::new();
    for i in 0..connections {
        let stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(i), Interest::READABLE)?;
        clients.push(Client { stream, sent: began, got: 0 });
    }
    let began = Instant::now();
    for client in &mut clients {
        client.send(began)?;
    }
    let (from, end) = (began + WARM_UP, began + WARM_UP + length);
    let mut took = Vec::with_capacity(1 << 20);
    let mut events = Events::with_capacity(1024);
    let mut now = began;
    while now < end {
        poll.poll(&mut events, Some(end - now))?;
        now = Instant::now();
        for event in &events {
            let client = &mut clients[event.token().0];
            if client.receive()? {
                now = Instant::now();
                if now >= from && now < end {
                    took.push(now - client.sent);
                }
                client.send(now)?;
            }
        }
    }
    if took.is_empty() {
        return Err(io::Error::other("no answer"));
    }
    took.sort_unstable();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| quantile(&took, share));
    println!("{:.0} {p50:.1} {p99:.1} {p999:.1}", took.len() as f64 / length.as_secs_f64());
    Ok(())
}

fn ping(addr: &str, length: Duration) -> io::Result<()> {
    const APART: Duration = Duration::from_millis(1);
    const START_OF_HOGS: Duration = Duration::from_millis(200);
    let mut stream = std::net::TcpStream::connect(address(addr)?)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(length))?;
    let mut answer = [0; MESSAGE.len()];
    stream.write_all(&MESSAGE)?;
    stream.read_exact(&mut answer)?;
    std::thread::sleep(START_OF_HOGS);

    let (mut took, mut answered) = (Vec::new(), 0);
    let began = Instant::now();
    let end = began + length;
    let mut at = began;
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&MESSAGE)?;
        stream.set_read_timeout(Some((end - sent).max(Duration::from_micros(1))))?;
        let whole = stream.read_exact(&mut answer);
        took.push(sent.elapsed());
        match whole {
            Ok(()) => answered += 1,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(e) => return Err(e),
        }
        at = (at + APART).max(Instant::now());
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
    }
    if answered == 0 {
        println!("inf inf inf 0");
        return Ok(());
    }
    took.sort_unstable();
    let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| quantile(&took, share));
    println!("{p50:.1} {p99:.1} {longest:.1} {answered}");
    Ok(())
}
