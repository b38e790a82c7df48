//! Connecting: to somebody, to nobody, and to somebody who does not answer.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn connecting_to_nobody_is_refused() {
    drive();
    for _ in 0..rounds(200) {
        let e = TcpStream::connect(nobody()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
        let e = TcpStream::connect_timeout(&nobody(), Duration::from_secs(5)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn each_address_is_tried_until_one_answers() {
    let (l, addr) = listener();
    let addrs = [nobody(), addr, nobody()];
    let c = TcpStream::connect(&addrs[..]).unwrap();
    assert_eq!(c.peer_addr().unwrap(), addr);
    l.accept().unwrap();
    let none: &[SocketAddr] = &[];
    assert_eq!(TcpStream::connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(TcpListener::bind(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    let in_use = TcpListener::bind(&[addr, addr][..]).unwrap_err();
    assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_name_is_resolved() {
    let (l, addr) = listener();
    let name = format!("localhost:{}", addr.port());
    assert!(name.to_socket_addrs().unwrap().any(|a| a == addr));
    TcpStream::connect(name.as_str()).unwrap().write_all(b"x").unwrap();
    assert_eq!(l.accept().unwrap().0.read(&mut [0; 2]).unwrap(), 1);
}

#[test]
fn a_connect_that_is_not_answered_times_out() {
    drive();
    // A full queue drops what knocks.
    let l = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
    let addr = l.local_addr().unwrap();
    let mut kept = Vec::new();
    let e = loop {
        let start = Instant::now();
        let limit = Duration::from_millis(150);
        match TcpStream::connect_timeout(&addr, limit) {
            Ok(c) => kept.push(c),
            Err(e) => {
                assert!(start.elapsed() >= limit && start.elapsed() < Duration::from_secs(10));
                break e;
            }
        }
        assert!(kept.len() < 20, "the queue does not fill up");
    };
    assert_eq!(e.kind(), ErrorKind::TimedOut);
    let e = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
}

#[test]
fn ipv6_works_where_the_system_has_it() {
    drive();
    let Ok(l) = TcpListener::builder().only_v6(true).bind("[::1]:0") else { return };
    assert!(l.only_v6().unwrap());
    let mut c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    c.write_all(b"six").unwrap();
    assert_eq!(l.accept().unwrap().0.read(&mut [0; 8]).unwrap(), 3);
}

#[test]
fn many_connects_at_once_all_come_through() {
    let (l, addr) = listener();
    let n = rounds(50);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..n {
                    let mut c = TcpStream::connect(addr).unwrap();
                    c.write_all(b"!").unwrap();
                    assert_eq!(c.read(&mut [0; 8]).unwrap(), 1);
                }
            });
        }
        for _ in 0..8 * n {
            let (mut c, _) = l.accept().unwrap();
            assert_eq!(c.read(&mut [0; 8]).unwrap(), 1);
            c.write_all(b"?").unwrap();
        }
    });
}
