//! What passes from one socket to another: `net::copy`, which splices, against a loop over a buffer.

use crate::harness::{Bench, Usage, millis};
use gosched::net::{TcpListener, TcpStream, copy};
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Bytes that one flow carries.
const LEN: u64 = 128 << 20;
const ROUNDS: usize = 7;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("on loopback");
    (client, listener.accept().expect("on loopback").0)
}

/// The loop that everybody writes, with a buffer of the size that `copy` has.
fn plain(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<u64> {
    let (mut buf, mut total) = (vec![0; 64 << 10], 0);
    loop {
        let n = from.read(&mut buf)?;
        if n == 0 {
            return Ok(total);
        }
        to.write_all(&buf[..n])?;
        total += n as u64;
    }
}

/// One flow: fed on one socket, passed on by `pass`, read from another.
fn flow(pass: fn(&TcpStream, &TcpStream) -> io::Result<u64>) {
    let ((feed, a), (b, mut end)) = (pair(), pair());
    let feeder = gosched::spawn(move || {
        let chunk = vec![7; 256 << 10];
        (0..LEN / chunk.len() as u64).try_for_each(|_| (&feed).write_all(&chunk))
    });
    let passing = gosched::spawn(move || pass(&a, &b));
    let (mut buf, mut got) = (vec![0; 256 << 10], 0);
    while let n @ 1.. = end.read(&mut buf).expect("on loopback") {
        got += n as u64;
    }
    feeder.join().expect("no panic").expect("on loopback");
    let passed = passing.join().expect("no panic").expect("on loopback");
    assert_eq!((passed, got), (LEN, LEN));
}

/// One flow alone, then four at once: time and CPU time, of the median round; the two ways in turn.
pub fn flows(b: &Bench) {
    type Way = fn(&TcpStream, &TcpStream) -> io::Result<u64>;
    let ways: [(&str, Way); 2] = [("", |from, to| copy(from, to)), ("plain", plain)];
    for n in [1, 4] {
        let mut took: [Vec<(Duration, Duration)>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (i, (_, way)) in ways.iter().enumerate() {
                let (began, before) = (Instant::now(), Usage::now());
                gosched::scope(|s| (0..n).for_each(|_| drop(s.spawn(|| flow(*way)))));
                took[i].push((began.elapsed(), Usage::now().since(before).cpu));
            }
        }
        for ((variant, _), mut rounds) in ways.iter().zip(took) {
            rounds.sort();
            let wall = rounds[ROUNDS / 2].0;
            rounds.sort_by_key(|r| r.1);
            b.report(&format!("{n}.wall"), variant, millis(wall), "ms");
            b.report(&format!("{n}.cpu"), variant, millis(rounds[ROUNDS / 2].1), "ms");
        }
    }
}
