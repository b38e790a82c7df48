//! To std's sockets and back, and std's habits.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::net as sn;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

fn is_nonblocking(fd: &impl AsFd) -> bool {
    socket2::SockRef::from(fd).nonblocking().unwrap()
}

#[test]
fn a_socket_goes_to_std_in_blocking_mode_and_back() {
    let _alone = alone();
    let (client, mut server) = pair();
    let number = client.as_raw_fd();
    let mut theirs = sn::TcpStream::from(client);
    assert_eq!(theirs.as_raw_fd(), number, "the last handle gives its own descriptor");
    assert!(!is_nonblocking(&theirs));
    theirs.write_all(b"std").unwrap();
    let mut buf = [0; 3];
    server.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"std");

    let mut ours = TcpStream::from(theirs);
    assert!(is_nonblocking(&ours));
    std::thread::scope(|s| {
        let r = s.spawn(|| ours.read(&mut buf).unwrap());
        eventually("the reader parks", parked);
        server.write_all(b"x").unwrap();
        assert_eq!(r.join().unwrap(), 1);
    });
    let fd: OwnedFd = ours.into();
    let raw = TcpStream::from(fd).into_raw_fd();
    // SAFETY: into_raw_fd has just given it up.
    let ours = unsafe { TcpStream::from_raw_fd(raw) };
    assert_eq!(ours.peer_addr().unwrap(), server.local_addr().unwrap());
}

#[test]
fn a_shared_socket_gives_a_duplicate_and_goes_on_parking() {
    let _alone = alone();
    let (client, mut server) = pair();
    let ours = client.try_clone().unwrap();
    let mut theirs = sn::TcpStream::from(client);
    assert_ne!(theirs.as_raw_fd(), ours.as_raw_fd());
    // The mode belongs to both descriptors; ours must not block the thread in the kernel for that: `close` ends it.
    assert!(!is_nonblocking(&theirs));
    std::thread::scope(|s| {
        let r = s.spawn(|| (&ours).read(&mut [0; 8]));
        eventually("the reader parks", parked);
        server.write_all(b"a").unwrap();
        assert_eq!(r.join().unwrap().unwrap(), 1);
        theirs.write_all(b"b").unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
        let r = s.spawn(|| (&ours).read(&mut [0; 8]));
        eventually("the reader parks", parked);
        ours.close().unwrap();
        assert_closed(r.join().unwrap());
    });
    // The duplicate is ended too.
    assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_listener_of_std_accepts_for_us() {
    let _alone = alone();
    drive();
    let theirs = sn::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = theirs.local_addr().unwrap();
    let ours = TcpListener::from(theirs);
    std::thread::scope(|s| {
        let a = s.spawn(|| ours.incoming().next().unwrap().unwrap());
        eventually("accept parks", parked);
        let c = TcpStream::connect(addr).unwrap();
        assert_eq!(a.join().unwrap().peer_addr().unwrap(), c.local_addr().unwrap());
    });
    let theirs: sn::TcpListener = ours.into();
    let _c = sn::TcpStream::connect(addr).unwrap();
    theirs.accept().unwrap();
}

#[test]
fn a_descriptor_that_cannot_be_polled_says_so_at_its_first_use() {
    let _alone = alone();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let mut s = TcpStream::from(OwnedFd::from(file));
    for _ in 0..2 {
        assert_eq!(s.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    assert_eq!(s.set_nodelay(true).unwrap_err().kind(), ErrorKind::PermissionDenied);
    let _: OwnedFd = s.into();
}

#[test]
fn nonblocking_mode_gives_would_block() {
    let _alone = alone();
    let (client, mut server) = pair();
    client.set_nonblocking(true).unwrap();
    assert_eq!((&client).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(client.peek(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    server.write_all(b"now").unwrap();
    eventually("the data is there", || (&client).read(&mut [0; 8]).is_ok_and(|n| n == 3));
    client.set_nonblocking(false).unwrap();
    server.write_all(b"more").unwrap();
    assert_eq!((&client).read(&mut [0; 8]).unwrap(), 4);
    client.set_nonblocking(true).unwrap();
    assert!(is_nonblocking(&sn::TcpStream::from(client)), "the user's mode goes along");

    let (l, _) = listener();
    l.set_nonblocking(true).unwrap();
    assert_eq!(l.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn options_are_what_they_were_set_to() {
    let _alone = alone();
    let (c, _s) = pair();
    assert!(!c.nodelay().unwrap());
    c.set_nodelay(true).unwrap();
    assert!(c.nodelay().unwrap());
    c.set_ttl(33).unwrap();
    assert_eq!(c.ttl().unwrap(), 33);
    c.set_linger(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(c.linger().unwrap(), Some(Duration::from_secs(2)));
    assert_eq!(c.read_timeout().unwrap(), None);
    c.set_read_timeout(Some(Duration::from_millis(1234))).unwrap();
    assert_eq!(c.try_clone().unwrap().read_timeout().unwrap(), Some(Duration::from_millis(1234)));
    assert_eq!(c.write_timeout().unwrap(), None);
    assert_eq!(c.set_write_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(c.take_error().unwrap().is_none());
    let text = format!("{c:?}");
    let (addr, peer) = (c.local_addr().unwrap(), c.peer_addr().unwrap());
    assert_eq!(text, format!("TcpStream {{ addr: {addr:?}, peer: {peer:?}, fd: {} }}", c.as_raw_fd()));

    let l = TcpListener::builder()
        .nodelay(true)
        .keepalive(Some(Duration::from_secs(60)))
        .bind("127.0.0.1:0")
        .unwrap();
    let _c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    let (s, _) = l.accept().unwrap();
    assert!(s.nodelay().unwrap());
    assert!(socket2::SockRef::from(&s).keepalive().unwrap());
}

#[test]
fn time_limits_set_on_a_socket_of_std_hold_on_ours_and_go_back() {
    let _alone = alone();
    let (client, _server) = pair();
    client.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let theirs = sn::TcpStream::from(client);
    assert_eq!(theirs.write_timeout().unwrap(), Some(Duration::from_secs(3)));
    theirs.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut ours = TcpStream::from(theirs);
    assert_eq!(ours.read_timeout().unwrap(), Some(Duration::from_millis(200)));
    assert_eq!(ours.write_timeout().unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(ours.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
