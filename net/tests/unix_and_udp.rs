//! The other families: datagrams, and sockets of this machine.
mod common;
use common::*;
use gosched_net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as su;
use std::time::{Duration, Instant};

#[test]
fn udp_datagrams_come_with_their_sender() {
    let _alone = alone();
    drive();
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    for _ in 0..rounds(200) {
        std::thread::scope(|s| {
            let r = s.spawn(|| {
                let mut buf = [0; 16];
                let peeked = b.peek_from(&mut buf).unwrap();
                assert_eq!(b.recv_from(&mut buf).unwrap(), peeked);
                (peeked, buf)
            });
            eventually("the receiver parks", parked);
            assert_eq!(a.send_to(b"datagram", at_b).unwrap(), 8);
            let ((n, from), buf) = r.join().unwrap();
            assert_eq!((&buf[..n], from), (&b"datagram"[..], at_a));
        });
    }
    a.connect(at_b).unwrap();
    b.connect(at_a).unwrap();
    assert_eq!((a.peer_addr().unwrap(), b.peer_addr().unwrap()), (at_b, at_a));
    a.send(b"").unwrap();
    assert_eq!(b.recv(&mut [0; 4]).unwrap(), 0);
    a.send(b"long").unwrap();
    assert_eq!(b.peek(&mut [0; 2]).unwrap(), 2);
    assert_eq!(b.recv(&mut [0; 2]).unwrap(), 2, "the rest of a datagram is lost");
    b.set_read_deadline(Some(Instant::now() + Duration::from_millis(10))).unwrap();
    assert_eq!(b.recv(&mut [0; 2]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(
        format!("{a:?}"),
        format!("UdpSocket {{ addr: {at_a:?}, fd: {} }}", std::os::fd::AsRawFd::as_raw_fd(&a))
    );
}

#[test]
fn close_wakes_a_parked_receiver() {
    let _alone = alone();
    drive();
    for _ in 0..rounds(100) {
        let u = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = u.local_addr().unwrap();
        std::thread::scope(|s| {
            let r = s.spawn(|| u.recv(&mut [0; 4]));
            eventually("the receiver parks", parked);
            u.close().unwrap();
            UdpSocket::bind(addr).unwrap();
            assert_closed(r.join().unwrap());
        });
        let (a, mut b) = UnixStream::pair().unwrap();
        std::thread::scope(|s| {
            let r = s.spawn(|| (&a).read(&mut [0; 4]));
            eventually("the reader parks", parked);
            a.close().unwrap();
            assert_closed(r.join().unwrap());
        });
        assert_eq!(b.read(&mut [0; 4]).unwrap(), 0);
    }
}

#[test]
fn unix_streams_carry_bytes_both_ways() {
    let _alone = alone();
    drive();
    let place = Place::new("stream");
    let l = UnixListener::bind(&place.0).unwrap();
    assert_eq!(UnixListener::bind(&place.0).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(l.local_addr().unwrap().as_pathname(), Some(&*place.0));
    std::thread::scope(|s| {
        s.spawn(|| {
            let served = (&l).into_iter().next().unwrap().unwrap();
            assert_eq!(std::io::copy(&mut &served, &mut &served).unwrap(), 4 << 20);
        });
        let c = UnixStream::connect(&place.0).unwrap();
        assert!(c.local_addr().unwrap().is_unnamed());
        assert_eq!(c.peer_addr().unwrap().as_pathname(), Some(&*place.0));
        let data: Vec<u8> = (0..4 << 20).map(|i| (i % 251) as u8).collect();
        std::thread::scope(|s| {
            s.spawn(|| {
                (&c).write_all(&data).unwrap();
                c.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            (&mut &c).read_to_end(&mut got).unwrap();
            assert!(got == data);
        });
    });
}

#[test]
fn abstract_addresses_work() {
    let _alone = alone();
    drive();
    let addr = su::SocketAddr::from_abstract_name(format!("gosched-{}", std::process::id())).unwrap();
    let l = UnixListener::bind_addr(&addr).unwrap();
    assert_eq!(l.local_addr().unwrap().as_abstract_name(), addr.as_abstract_name());
    let mut c = UnixStream::connect_addr(&addr).unwrap();
    c.write_all(b"x").unwrap();
    let (mut s, from) = l.accept().unwrap();
    assert!(from.is_unnamed());
    assert_eq!(s.read(&mut [0; 4]).unwrap(), 1);
}

#[test]
fn a_full_unix_queue_holds_the_sender_and_lets_it_go() {
    let _alone = alone();
    drive();
    let place = Place::new("datagram");
    let receiver = UnixDatagram::bind(&place.0).unwrap();
    let connected = UnixDatagram::unbound().unwrap();
    connected.connect(&place.0).unwrap();
    let free = UnixDatagram::unbound().unwrap();
    const N: usize = 2000;
    std::thread::scope(|s| {
        s.spawn(|| (0..N).for_each(|_| assert_eq!(connected.send(b"c").unwrap(), 1)));
        s.spawn(|| (0..N).for_each(|_| assert_eq!(free.send_to(b"f", &place.0).unwrap(), 1)));
        eventually("a sender parks", parked);
        let (mut c, mut f) = (0, 0);
        let mut buf = [0; 4];
        while c + f < 2 * N {
            let (n, from) = receiver.recv_from(&mut buf).unwrap();
            assert!(n == 1 && from.is_unnamed());
            *(if buf[0] == b'c' { &mut c } else { &mut f }) += 1;
        }
        assert_eq!((c, f), (N, N));
    });
    let limit = Duration::from_millis(30);
    free.set_write_timeout(Some(limit)).unwrap();
    let start = Instant::now();
    let e = (0..10_000).find_map(|_| free.send_to(b"x", &place.0).err()).unwrap();
    assert_eq!(e.kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= limit);
}

#[test]
fn a_descriptor_passed_along_does_not_hide_what_follows_it() {
    // A read stops behind the data that came with a descriptor: short, with more to read.
    let _alone = alone();
    drive();
    use std::os::fd::AsRawFd;
    for _ in 0..rounds(100) {
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut control = [0u64; 8];
        let mut byte = [1u8];
        let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: a message of one byte and one descriptor, all of it on this stack, as cmsg(3) has it.
        unsafe {
            let mut msg: libc::msghdr = std::mem::zeroed();
            msg.msg_iov = &mut iov;
            msg.msg_iovlen = 1;
            msg.msg_control = control.as_mut_ptr().cast();
            msg.msg_controllen = libc::CMSG_SPACE(4) as _;
            let c = libc::CMSG_FIRSTHDR(&msg);
            (*c).cmsg_level = libc::SOL_SOCKET;
            (*c).cmsg_type = libc::SCM_RIGHTS;
            (*c).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(c).cast::<i32>().write_unaligned(a.as_raw_fd());
            assert_eq!(libc::sendmsg(a.as_raw_fd(), &msg, 0), 1);
        }
        (&a).write_all(b"more").unwrap();
        // The edge of both is spent by the first read.
        let mut got = 0;
        while got < 5 {
            got += b.read(&mut [0; 64]).unwrap();
        }
        assert_eq!(got, 5);
    }
}

#[test]
fn dial_reaches_every_network() {
    let _alone = alone();
    let (l, addr) = listener();
    let place = Place::new("dial");
    let unix = UnixListener::bind(&place.0).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = udp.local_addr().unwrap().to_string();
    let name = format!("localhost:{}", addr.port());
    for (network, addr) in [("tcp", &addr.to_string()), ("tcp4", &name)] {
        let mut conn = gosched_net::dial(network, addr).unwrap();
        conn.write_all(b"dial").unwrap();
        let (mut served, _) = l.accept().unwrap();
        assert_eq!(served.read(&mut [0; 8]).unwrap(), 4);
        served.write_all(b"ok").unwrap();
        assert_eq!(conn.read(&mut [0; 8]).unwrap(), 2);
        conn.try_clone().unwrap().close().unwrap();
        assert_closed(conn.read(&mut [0; 8]));
    }
    let mut conn = gosched_net::dial("unix", place.0.to_str().unwrap()).unwrap();
    conn.write_all(b"u").unwrap();
    assert_eq!(unix.accept().unwrap().0.read(&mut [0; 8]).unwrap(), 1);
    let mut conn = gosched_net::dial("udp", &at).unwrap();
    conn.write_all(b"datagram").unwrap();
    let (n, from) = udp.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(n, 8);
    udp.send_to(b"back", from).unwrap();
    assert_eq!(conn.read(&mut [0; 16]).unwrap(), 4);
    for (network, addr) in [("token-ring", &at), ("tcp6", &at), ("udp6", &at)] {
        assert_eq!(gosched_net::dial(network, addr).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
