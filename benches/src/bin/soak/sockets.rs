//! Sockets: an echo server and clients of all manners, good and bad, each byte checked.
//!
//! What a client of some number sends at some place is known (`byte`), so that what comes back shows lost bytes, bytes that
//! came twice and bytes of others.

use crate::ledger::{Rng, check, fail};
use gosched::net::{Shutdown, TcpListener, TcpStream};
use gosched::sync::WaitGroup;
use gosched::{scope, spawn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The byte at this place of this client's stream.
fn byte(client: u64, at: u64) -> u8 {
    ((client ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// An address that no other server is at just now, nor was a moment ago: Linux has the whole of 127/8.
fn address(rng: &mut Rng) -> SocketAddr {
    let [a, b, c, ..] = rng.next().to_be_bytes();
    let ip = if cfg!(target_os = "linux") {
        Ipv4Addr::new(127, a, b, c.clamp(1, 254))
    } else {
        Ipv4Addr::LOCALHOST
    };
    (ip, 0).into()
}

/// Sends back what comes, until the end or an error: bad clients make those.
fn echo(stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut &*stream, &mut &*stream)?;
    stream.shutdown(Shutdown::Write)
}

#[track_caller]
fn must<T>(what: &str, r: io::Result<T>) -> T {
    r.unwrap_or_else(|e| fail(&format!("{what}: {e} ({})", std::panic::Location::caller())))
}

/// Sends `n` bytes in pieces while another goroutine reads the answer.
fn talk(stream: &TcpStream, client: u64, mut rng: Rng, n: u64) {
    scope(|s| {
        s.spawn(|| {
            let (mut at, mut buf) = (0, [0; 4096]);
            loop {
                let came = must("read", (&mut &*stream).read(&mut buf));
                if came == 0 {
                    break;
                }
                for b in &buf[..came] {
                    check(*b == byte(client, at), || format!("client {client}: byte {at} of {n} is wrong"));
                    at += 1;
                }
            }
            check(at == n, || format!("client {client}: {at} bytes of {n} came back"));
        });
        let mut at = 0;
        while at < n {
            let piece: Vec<u8> = (at..n.min(at + 1 + rng.below(3000))).map(|i| byte(client, i)).collect();
            must("write", (&mut &*stream).write_all(&piece));
            at += piece.len() as u64;
        }
        must("shutdown", stream.shutdown(Shutdown::Write));
    });
}

fn is_closed<T>(r: &io::Result<T>) -> bool {
    matches!(r, Err(e) if e.kind() == ErrorKind::ConnectionAborted)
}

fn client(addr: SocketAddr, number: u64, mut rng: Rng) {
    let stream = must("connect", TcpStream::connect(addr));
    match rng.below(6) {
        0..=2 => {
            let n = rng.below(40_000);
            talk(&stream, number, rng, n);
        }
        // Nobody speaks: the deadline passes, and the connection is as good as before.
        3 => {
            let deadline = Instant::now() + rng.micros(3000);
            must("set a deadline", stream.set_read_deadline(Some(deadline)));
            let r = (&mut &stream).read(&mut [0]);
            check(r.as_ref().is_err_and(|e| e.kind() == ErrorKind::TimedOut), || {
                format!("no time-out: {r:?}")
            });
            check(Instant::now() >= deadline, || "the deadline came too early".into());
            must("lift a deadline", stream.set_read_deadline(None));
            talk(&stream, number, rng, 500);
        }
        // Goes away in the middle.
        4 => {
            must("linger", stream.set_linger(rng.one_in(2).then_some(Duration::ZERO)));
            let piece = vec![7; rng.below(100_000) as usize];
            let _ = stream.set_write_deadline(Some(Instant::now() + Duration::from_millis(5)));
            let _ = (&mut &stream).write_all(&piece);
        }
        // Closed under a reader.
        _ => {
            let theirs = must("clone", stream.try_clone());
            let reader = spawn(move || (&mut &theirs).read(&mut [0]).map(|_| ()));
            if rng.one_in(2) {
                gosched::time::sleep(rng.micros(300));
            }
            must("close", stream.close());
            let r = reader.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
            check(is_closed(&r), || format!("a read of a closed socket: {r:?}"));
        }
    }
}

/// A server, its clients, and its end.
pub fn sockets(rng: &mut Rng) -> u64 {
    let listener = must("bind", TcpListener::bind(address(rng)));
    let addr = must("local_addr", listener.local_addr());
    let (served, clients) = (WaitGroup::new(), WaitGroup::new());
    let (accepting, serving) = (must("clone", listener.try_clone()), served.clone());
    served.go(move || {
        loop {
            match accepting.accept() {
                Ok((stream, _)) => serving.go(move || {
                    // An error is the work of a bad client; a good one has its own checks.
                    let _ = echo(&stream);
                }),
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => return,
                Err(e) => fail(&format!("accept: {e}")),
            }
        }
    });
    let n = 1 + rng.below(24);
    for number in 0..n {
        let (number, rng) = (rng.next() ^ number, Rng::new(rng.next()));
        clients.go(move || client(addr, number, rng));
    }
    clients.wait();
    must("close", listener.close());
    served.wait();
    n
}
