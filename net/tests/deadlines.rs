//! Deadlines (Go) and time limits per call (std).
mod common;
use common::*;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(20);
/// Long enough that no test machine is that slow.
const NEVER: Duration = Duration::from_secs(30);

fn kind(r: std::io::Result<usize>) -> ErrorKind {
    r.unwrap_err().kind()
}

#[test]
fn a_read_ends_at_its_deadline_and_not_before() {
    let _alone = alone();
    let (mut c, _s) = pair();
    for _ in 0..rounds(10) {
        let start = Instant::now();
        c.set_read_deadline(Some(start + SOON)).unwrap();
        assert_eq!(kind(c.read(&mut [0; 8])), ErrorKind::TimedOut);
        assert!(start.elapsed() >= SOON && start.elapsed() < NEVER);
        // And so does every one after it.
        assert_eq!(kind(c.read(&mut [0; 8])), ErrorKind::TimedOut);
    }
}

#[test]
fn a_passed_deadline_wins_over_data_until_it_is_moved() {
    let _alone = alone();
    let (mut c, mut s) = pair();
    s.write_all(b"data").unwrap();
    assert_eq!(c.peek(&mut [0; 8]).unwrap(), 4);
    c.set_deadline(Some(Instant::now())).unwrap();
    assert_eq!(kind(c.read(&mut [0; 8])), ErrorKind::TimedOut);
    assert_eq!(kind(c.peek(&mut [0; 8])), ErrorKind::TimedOut);
    assert_eq!(kind(c.write(b"x")), ErrorKind::TimedOut);
    c.set_write_deadline(None).unwrap();
    assert_eq!(c.write(b"x").unwrap(), 1);
    assert_eq!(kind(c.read(&mut [0; 8])), ErrorKind::TimedOut);
    c.set_read_deadline(Some(Instant::now() + NEVER)).unwrap();
    assert_eq!(c.read(&mut [0; 8]).unwrap(), 4);
}

#[test]
fn a_deadline_ends_a_call_that_is_parked_already() {
    let _alone = alone();
    for i in 0..rounds(200) {
        let (c, _s) = pair();
        let before = [None, Some(Instant::now() + NEVER)][i % 2];
        c.set_read_deadline(before).unwrap();
        std::thread::scope(|s| {
            let r = s.spawn(|| (&c).read(&mut [0; 8]));
            eventually("the reader parks", parked);
            c.set_read_deadline(Some(Instant::now())).unwrap();
            assert_eq!(kind(r.join().unwrap()), ErrorKind::TimedOut);
        });
    }
}

#[test]
fn a_deadline_that_is_moved_on_holds_the_call() {
    let _alone = alone();
    let mut held = 0;
    for i in 0..100 {
        let (c, mut s) = pair();
        // Longer from round to round, for a machine on which the reader is not parked before its first deadline.
        let first = Instant::now() + SOON * (1 + i);
        c.set_read_deadline(Some(first)).unwrap();
        std::thread::scope(|t| {
            let r = t.spawn(|| (&c).read(&mut [0; 8]));
            eventually("the reader parks or is late", || parked() || r.is_finished());
            c.set_read_deadline(Some(Instant::now() + NEVER)).unwrap();
            let in_time = Instant::now() < first;
            std::thread::sleep(first.saturating_duration_since(Instant::now()) + SOON);
            s.write_all(b"late").unwrap();
            let got = r.join().unwrap();
            if in_time {
                assert_eq!(got.unwrap(), 4);
                held += 1;
            }
        });
        if held == 5 {
            return;
        }
    }
    panic!("this machine is too slow for the test");
}

#[test]
fn a_writer_has_its_own_deadline() {
    let _alone = alone();
    let (mut c, _s) = pair();
    c.set_write_deadline(Some(Instant::now() + SOON)).unwrap();
    let e = c.write_all(&vec![0; 32 << 20]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimedOut);
}

#[test]
fn accept_has_a_deadline() {
    let _alone = alone();
    let (l, addr) = listener();
    l.set_deadline(Some(Instant::now() + SOON)).unwrap();
    assert_eq!(l.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    let _c = gosched_net::TcpStream::connect(addr).unwrap();
    assert_eq!(l.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    l.set_deadline(None).unwrap();
    l.accept().unwrap();
}

#[test]
fn a_time_limit_per_call_starts_anew_with_each_call() {
    let _alone = alone();
    let (mut c, mut s) = pair();
    c.set_read_timeout(Some(SOON)).unwrap();
    c.set_write_timeout(Some(SOON)).unwrap();
    for _ in 0..rounds(5) {
        let start = Instant::now();
        assert_eq!(kind(c.read(&mut [0; 8])), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= SOON && start.elapsed() < NEVER);
        s.write_all(b"x").unwrap();
        c.set_read_timeout(None).unwrap();
        assert_eq!(c.read(&mut [0; 8]).unwrap(), 1);
        c.set_read_timeout(Some(SOON)).unwrap();
    }
    assert_eq!(c.write_all(&vec![0; 32 << 20]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn data_that_comes_at_the_moment_of_the_deadline_is_not_lost() {
    let _alone = alone();
    let (mut c, mut s) = pair();
    let (mut late, mut got) = (0, 0);
    for i in 0..rounds(400) {
        std::thread::scope(|t| {
            let wait = Duration::from_micros(200 + (i as u64 * 37) % 300);
            c.set_read_timeout(Some(wait)).unwrap();
            t.spawn(|| {
                std::thread::sleep(Duration::from_micros(250));
                s.write_all(b"x").unwrap();
            });
            match c.read(&mut [0; 1]) {
                Ok(n) => got += n,
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    late += 1;
                }
            }
        });
    }
    c.set_read_timeout(Some(NEVER)).unwrap();
    c.read_exact(&mut vec![0; late]).unwrap();
    assert_eq!(got + late, rounds(400));
}
