//! Connects that meet a listener on its way out, limits that no connect keeps, and calls that `close` sends away.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream, UdpSocket};
use gosched_runtime::spawn;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_connect_that_succeeds_is_connected_also_while_the_listener_goes() {
    run(|| {
        for round in 0..20 {
            let l = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let addr = l.local_addr().unwrap();
            let accepting = spawn({
                let l = l.clone();
                move || {
                    while let Ok((s, _)) = l.accept() {
                        spawn(move || (&s).read(&mut [0; 8]));
                    }
                }
            });
            let connecting: Vec<_> = (0..40)
                .map(|_| {
                    spawn(move || {
                        let c = match TcpStream::connect_timeout(&addr, PATIENCE) {
                            Ok(c) => c,
                            Err(e) => {
                                // (A pipe that is broken: connected, closed and reset before we looked.)
                                let known = [
                                    ErrorKind::ConnectionRefused,
                                    ErrorKind::ConnectionReset,
                                    ErrorKind::BrokenPipe,
                                ];
                                return assert!(known.contains(&e.kind()), "{e}");
                            }
                        };
                        // It may be gone again, but it has been there.
                        if let Err(e) = (&c).write(b"x") {
                            let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                            assert!(gone.contains(&e.kind()), "never connected: {e}");
                        }
                    })
                })
                .collect();
            (0..round).for_each(|_| gosched_runtime::yield_now());
            l.close().unwrap();
            connecting.into_iter().for_each(|c| c.join().unwrap());
            accepting.join().unwrap();
        }
    });
}

#[test]
fn a_nanosecond_is_too_short_for_a_queue_that_is_full() {
    run(|| {
        let l = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let mut kept = Vec::new();
        while let Ok(c) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
            kept.push(c);
            assert!(kept.len() < 20, "the queue does not fill up");
        }
        for nanos in [1, 10, 1_000, 100_000] {
            let e = TcpStream::connect_timeout(&addr, Duration::from_nanos(nanos)).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::TimedOut);
        }
        // A limit that never comes, and an end that does.
        let (_taken, nobody) = nobody("127.0.0.1");
        let e = TcpStream::connect_timeout(&nobody, Duration::MAX).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn the_first_of_very_many_addresses_is_enough() {
    run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let (_taken, nobody) = nobody("127.0.0.1");
        let mut addrs = vec![addr; 1_000];
        drop(TcpStream::connect(&addrs[..]).unwrap());
        // And so is the last, after all that refuse.
        addrs = vec![nobody; 1_000];
        addrs.push(addr);
        drop(TcpStream::connect(&addrs[..]).unwrap());
        l.set_nonblocking(true).unwrap();
        assert!(l.accept().is_ok() && l.accept().is_ok());
        assert_eq!(l.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn all_that_accept_are_sent_away_and_what_waits_in_the_queue_is_not_accepted() {
    run(|| {
        for round in 0..50 {
            let l = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let addr = l.local_addr().unwrap();
            let accepting: Vec<_> = (0..10)
                .map(|_| {
                    let l = l.clone();
                    spawn(move || {
                        loop {
                            match l.accept() {
                                Ok(_) => {}
                                Err(e) => return Err::<(), _>(e),
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..round % 5 {
                let _c = TcpStream::connect(addr).unwrap();
            }
            l.close().unwrap();
            accepting.into_iter().for_each(|a| assert_closed(a.join().unwrap()));

            let l = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr: SocketAddr = l.local_addr().unwrap();
            let waiting = [0; 2].map(|_| TcpStream::connect(addr).unwrap());
            drop(l.accept().unwrap());
            l.close().unwrap();
            assert_closed(l.accept());
            // Whoever waited is told.
            let ended = |mut c: &TcpStream| match c.read(&mut [0; 8]) {
                Ok(n) => n == 0,
                Err(e) => e.kind() == ErrorKind::ConnectionReset,
            };
            assert!(waiting.iter().all(ended));
        }
    });
}

#[test]
fn closing_sends_away_who_waits_for_a_datagram_to_throw_away() {
    run(|| {
        for round in 0..50 {
            let u = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            let receiving = [0, 8].map(|len| {
                let u = u.clone();
                spawn(move || u.recv_from(&mut [0; 8][..len]))
            });
            if round % 2 == 0 {
                settle();
            }
            u.close().unwrap();
            receiving.into_iter().for_each(|r| assert_closed(r.join().unwrap()));
            assert_closed(u.peek(&mut [0; 8]));
        }
    });
}
