//! Ten thousand clients that never come to the point, and one that does: it is served as if it were alone.
//!
//! The slow ones are another process (this test again), for a process may not have that many descriptors: each of them
//! begins a line, goes on by a byte now and then, and never ends it. There are as many as the limits of descriptors allow:
//! 10,000 where those can be raised to that and some more.

mod common;
use common::*;

use gosched_net::{TcpListener, TcpStream};
use gosched_runtime::{num_goroutine, spawn};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const ROLE: &str = "GOSCHED_TEST_SLOW_LORIS";
const SLOW: usize = 10_000;
const REQUESTS: usize = 2000;

/// As many descriptors as the system lets us have, and how many those are.
fn raise_the_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both take a pointer to an rlimit that lives across the call.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// The slow ones, until stdin ends.
fn be_slow(role: &str) -> ! {
    raise_the_limit();
    let (addr, n) = role.split_once(' ').unwrap();
    let connect = |_| {
        let s = std::net::TcpStream::connect(addr).unwrap();
        (&s).write_all(b"GET").unwrap();
        s
    };
    let all: Vec<_> = (0..n.parse::<usize>().unwrap()).map(connect).collect();
    println!("\nall are there");
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    // A byte for each, round after round, some thousand a second. (Slow is what they are. Were they not, they would be a
    // flood, and a question of who has the faster machine.)
    loop {
        for some in all.chunks(10) {
            some.iter().for_each(|mut s| s.write_all(b"x").unwrap());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

struct Others(Child);

impl Drop for Others {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers each line with its length, until the end.
fn serve(s: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(512, s);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        // In one piece each: TCP would hold a second one back.
        (&mut &*s).write_all(format!("{}\n", line.len()).as_bytes())?;
        line.clear();
    }
    Ok(())
}

/// `n` requests over one connection.
fn ask(addr: std::net::SocketAddr, n: usize) {
    let s = TcpStream::connect(addr).unwrap();
    let mut answers = BufReader::new(&s).lines();
    for i in 0..n {
        let line = "y".repeat(i % 100) + "\n";
        (&s).write_all(line.as_bytes()).unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), line.len().to_string());
    }
}

#[test]
fn ten_thousand_slow_clients_do_not_hold_up_another() {
    if let Ok(role) = std::env::var(ROLE) {
        be_slow(&role);
    }
    let slow = SLOW.min(raise_the_limit().saturating_sub(200));
    println!("{slow} slow clients");
    let connections = Arc::new(AtomicUsize::new(0));
    run(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepting, counted) = (listener.try_clone().unwrap(), connections.clone());
        let server = spawn(move || {
            while let Ok((s, _)) = accepting.accept() {
                let counted = counted.clone();
                counted.fetch_add(1, SeqCst);
                gosched_runtime::go(move || {
                    // An error is what the slow ones end with.
                    let _ = serve(&s);
                    counted.fetch_sub(1, SeqCst);
                });
            }
        });
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ten_thousand_slow_clients_do_not_hold_up_another", "--nocapture"])
            .env(ROLE, format!("{addr} {slow}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut others = Others(child);
        let out = BufReader::new(others.0.stdout.take().unwrap());
        assert!(out.lines().any(|l| l.unwrap() == "all are there"), "the slow ones have ended");

        ask(addr, REQUESTS);
        (0..REQUESTS / 10).for_each(|_| ask(addr, 1));

        // They were there all the time.
        assert!(connections.load(SeqCst) >= slow, "{} of {slow}", connections.load(SeqCst));
        assert!(others.0.try_wait().unwrap().is_none());
        drop(others);
        listener.close().unwrap();
        server.join().unwrap();
    });
    eventually("all goroutines have ended", || num_goroutine() == 0);
}
