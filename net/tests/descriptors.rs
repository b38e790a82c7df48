//! Sockets of every kind become descriptors and come back; also while they are closed; and what is none is refused.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use gosched_runtime::{scope, spawn};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

fn is_nonblocking(fd: &impl AsFd) -> bool {
    socket2::SockRef::from(fd).nonblocking().unwrap()
}

#[test]
fn every_kind_goes_out_in_blocking_mode_and_comes_back_with_its_address() {
    run(|| {
        macro_rules! there_and_back {
            ($kind:ident, $s:expr, $addr:ident) => {{
                let s: $kind = $s;
                let addr = format!("{:?}", s.$addr().unwrap());
                assert!(is_nonblocking(&s));
                let fd = OwnedFd::from(s);
                assert!(!is_nonblocking(&fd), "{}", stringify!($kind));
                // A duplicate is as good; the first one may go.
                let other = fd.try_clone().unwrap();
                drop(fd);
                let s = $kind::from(other);
                assert!(is_nonblocking(&s));
                assert_eq!(format!("{:?}", s.$addr().unwrap()), addr);
                s
            }};
        }
        let places = [Place::new("fd-listener"), Place::new("fd-datagram")];

        let (c, mut s) = connected();
        let c = there_and_back!(TcpStream, c, peer_addr);
        let reading = spawn(move || (&c).read(&mut [0; 8]).unwrap());
        settle();
        s.write_all(b"tcp").unwrap();
        assert_eq!(reading.join().unwrap(), 3);

        let l = there_and_back!(TcpListener, TcpListener::bind("127.0.0.1:0").unwrap(), local_addr);
        let addr = l.local_addr().unwrap();
        let accepting = spawn(move || l.accept().unwrap().1);
        settle();
        let c = TcpStream::connect(addr).unwrap();
        assert_eq!(accepting.join().unwrap(), c.local_addr().unwrap());

        let u = there_and_back!(UdpSocket, UdpSocket::bind("127.0.0.1:0").unwrap(), local_addr);
        let to = u.local_addr().unwrap();
        let receiving = spawn(move || u.recv(&mut [0; 8]).unwrap());
        settle();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"udp", to).unwrap();
        assert_eq!(receiving.join().unwrap(), 3);

        let (a, b) = UnixStream::pair().unwrap();
        let a = there_and_back!(UnixStream, a, peer_addr);
        let reading = spawn(move || (&a).read(&mut [0; 8]).unwrap());
        settle();
        (&b).write_all(b"unix").unwrap();
        assert_eq!(reading.join().unwrap(), 4);

        let l = there_and_back!(UnixListener, UnixListener::bind(&places[0].0).unwrap(), local_addr);
        let accepting = spawn(move || l.accept().map(drop));
        settle();
        UnixStream::connect(&places[0].0).unwrap();
        accepting.join().unwrap().unwrap();

        let d = there_and_back!(UnixDatagram, UnixDatagram::bind(&places[1].0).unwrap(), local_addr);
        let receiving = spawn(move || d.recv(&mut [0; 8]).unwrap());
        settle();
        UnixDatagram::unbound().unwrap().send_to(b"gram", &places[1].0).unwrap();
        assert_eq!(receiving.join().unwrap(), 4);
    });
}

#[test]
fn a_descriptor_taken_out_while_the_socket_is_closed_is_never_somebody_else_s() {
    run(|| {
        for _ in 0..200 {
            let (c, _s) = connected();
            let handle = c.try_clone().unwrap();
            scope(|t| {
                let taking = t.spawn(move || OwnedFd::from(handle));
                let closing = t.spawn(|| c.close());
                // New files take whatever numbers there are.
                let files: Vec<_> = (0..4).map(|_| File::open("/dev/null").unwrap()).collect();
                closing.join().unwrap().unwrap();
                let fd = File::from(taking.join().unwrap());
                assert!(fd.metadata().unwrap().file_type().is_socket());
                drop(files);
            });
        }
    });
}

#[test]
fn a_file_is_no_socket_of_any_kind() {
    run(|| {
        fn refused<T: std::fmt::Debug>(r: io::Result<T>) {
            let e = r.unwrap_err().raw_os_error();
            assert!(matches!(e, Some(libc::ENOTSOCK | libc::EPERM)), "{e:?}");
        }
        let file = || OwnedFd::from(File::open("Cargo.toml").unwrap());
        for _ in 0..2 {
            refused((&TcpStream::from(file())).read(&mut [0; 8]));
            refused(TcpListener::from(file()).accept());
            refused(UdpSocket::from(file()).recv_from(&mut [0; 8]));
            refused((&UnixStream::from(file())).write(b"x"));
            refused(UnixListener::from(file()).accept());
            refused(UnixDatagram::from(file()).send(b"x"));
        }
    });
}
