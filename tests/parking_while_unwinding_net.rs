//! The sockets' part of `parking_while_unwinding.rs`: a destructor that reads, writes, accepts or connects while a panic
//! unwinds its goroutine.

mod common;
mod unwinding;
use common::loopback;
use unwinding::*;

use gosched::net::{
    TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, dial, lookup_host,
};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_micros(300);
/// More than the buffers of two sockets hold.
const MUCH: usize = 8 << 20;

fn pair() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind(loopback()).unwrap();
    let client = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    (client, l.accept().unwrap().0)
}

#[test]
fn tcp_read() {
    every_way(|i| {
        let (mut a, mut b) = pair();
        let mut got = [0; 3];
        Case::new(
            move || {
                a.read_exact(&mut got).unwrap();
                assert_eq!(got, [i as u8; 3]);
            },
            move || b.write_all(&[i as u8; 3]).unwrap(),
        )
    });
}

#[test]
fn tcp_read_that_the_peer_ends() {
    every_way(|_| {
        let (mut a, b) = pair();
        Case::new(move || assert_eq!(a.read(&mut [0]).unwrap(), 0), move || drop(b))
    });
}

#[test]
fn tcp_read_that_a_close_ends() {
    every_way(|_| {
        let (mut a, b) = pair();
        let a2 = a.try_clone().unwrap();
        Case::new(
            move || {
                assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
                drop(b);
            },
            move || a2.close().unwrap(),
        )
    });
}

#[test]
fn tcp_write() {
    every_way(|_| {
        let (mut a, mut b) = pair();
        Case::new(
            move || a.write_all(&vec![7; MUCH]).unwrap(),
            move || b.read_exact(&mut vec![0; MUCH]).unwrap(),
        )
    });
}

#[test]
fn tcp_accept() {
    every_way(|_| {
        let l = TcpListener::bind(loopback()).unwrap();
        let addr = l.local_addr().unwrap();
        Case::new(move || drop(l.accept().unwrap()), move || drop(TcpStream::connect(addr).unwrap()))
    });
}

#[test]
fn tcp_connect() {
    every_way(|i| {
        let l = TcpListener::bind(loopback()).unwrap();
        let addr = l.local_addr().unwrap();
        Case::new(
            move || match i % 2 {
                0 => drop(TcpStream::connect(addr).unwrap()),
                _ => drop(dial("tcp", &addr.to_string()).unwrap()),
            },
            move || drop(l.accept().unwrap()),
        )
    });
}

#[test]
fn looking_up_a_name() {
    every_way(|_| Case::alone(|| assert!(lookup_host("localhost:1").unwrap().count() > 0)));
}

#[test]
fn udp_receive() {
    every_way(|i| {
        let (a, b) = (UdpSocket::bind(loopback()).unwrap(), UdpSocket::bind(loopback()).unwrap());
        let addr = a.local_addr().unwrap();
        let mut got = [0; 4];
        Case::new(
            move || {
                assert_eq!(a.recv_from(&mut got).unwrap().0, 1);
                assert_eq!(got[0], i as u8);
            },
            move || assert_eq!(b.send_to(&[i as u8], addr).unwrap(), 1),
        )
    });
}

#[test]
fn unix_stream_read_and_write() {
    every_way(|i| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        match i % 2 {
            0 => {
                Case::new(move || a.read_exact(&mut [0; 10]).unwrap(), move || b.write_all(&[1; 10]).unwrap())
            }
            _ => Case::new(
                move || a.write_all(&vec![1; MUCH]).unwrap(),
                move || b.read_exact(&mut vec![0; MUCH]).unwrap(),
            ),
        }
    });
}

#[test]
fn unix_datagram_receive() {
    every_way(|_| {
        let (a, b) = UnixDatagram::pair().unwrap();
        Case::new(
            move || assert_eq!(a.recv(&mut [0; 4]).unwrap(), 1),
            move || assert_eq!(b.send(&[1]).unwrap(), 1),
        )
    });
}

#[test]
fn unix_accept() {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    every_way(|_| {
        let name = format!("gosched-unwinding-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        let l = UnixListener::bind(&path).unwrap();
        Case::new(
            move || {
                drop(l.accept().unwrap());
            },
            move || {
                drop(UnixStream::connect(&path).unwrap());
                std::fs::remove_file(path).unwrap();
            },
        )
    });
}

#[test]
fn deadlines_that_pass() {
    fn timed_out<T: std::fmt::Debug>(r: std::io::Result<T>) {
        assert_eq!(r.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    every_way(|i| {
        let soon = move || Some(Instant::now() + SHORT);
        Case::alone(move || match i % 4 {
            0 => {
                let (mut a, _b) = UnixStream::pair().unwrap();
                a.set_read_deadline(soon()).unwrap();
                timed_out(a.read(&mut [0]));
            }
            1 => {
                let (mut a, _b) = UnixStream::pair().unwrap();
                a.set_write_deadline(soon()).unwrap();
                timed_out(a.write_all(&vec![0; MUCH]));
            }
            2 => {
                let l = TcpListener::bind(loopback()).unwrap();
                l.set_deadline(soon()).unwrap();
                timed_out(l.accept());
            }
            _ => {
                let s = UdpSocket::bind(loopback()).unwrap();
                s.set_deadline(soon()).unwrap();
                timed_out(s.recv(&mut [0]));
            }
        })
    });
}

#[test]
fn a_deadline_set_by_another() {
    every_way(|_| {
        let (a, b) = UnixStream::pair().unwrap();
        let a = Arc::new(a);
        let a2 = a.clone();
        Case::new(
            move || {
                assert_eq!((&*a).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
                drop(b);
            },
            move || a2.set_read_deadline(Some(Instant::now())).unwrap(),
        )
    });
}
