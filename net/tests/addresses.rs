//! Where a socket is bound decides who reaches it, who else may bind there, and which addresses it can send to.
mod common;
use common::*;
use gosched_net::{Conn, TcpListener, TcpStream, UdpSocket, UnixDatagram, dial};
use gosched_runtime::spawn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Whether this machine has IPv6.
fn six() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// Bound here, reached there.
const REACHED: [(&str, &str); 9] = [
    ("0.0.0.0:0", "127.0.0.1"),
    ("127.0.0.1:0", "127.0.0.1"),
    ("[::]:0", "::1"),
    ("[::]:0", "127.0.0.1"),
    ("[::]:0", "::ffff:127.0.0.1"),
    ("[::1]:0", "::1"),
    ("[::ffff:0.0.0.0]:0", "127.0.0.1"),
    ("[::ffff:127.0.0.1]:0", "127.0.0.1"),
    ("[::ffff:127.0.0.1]:0", "::ffff:127.0.0.1"),
];

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}

#[test]
fn three_servers_on_one_listener_answer_on_every_address_of_it() {
    run(|| {
        for (bound, reached) in REACHED {
            if bound.starts_with('[') && !six() {
                continue;
            }
            let l = Arc::new(TcpListener::bind(bound).unwrap());
            let to = at(reached, l.local_addr().unwrap().port());
            assert_ne!(to.port(), 0);
            let servers = [0; 3].map(|_| {
                let l = l.clone();
                spawn(move || {
                    let (mut s, from) = l.accept().unwrap();
                    assert_eq!(s.peer_addr().unwrap(), from);
                    let mut buf = [0; 32];
                    let n = s.read(&mut buf).unwrap();
                    s.write_all(&buf[..n]).unwrap();
                })
            });
            let clients = [0; 3].map(|_| {
                spawn(move || {
                    let mut c = TcpStream::connect(to).unwrap();
                    assert_eq!(c.peer_addr().unwrap(), to);
                    assert_ne!(c.local_addr().unwrap().port(), 0);
                    c.write_all(b"TCP").unwrap();
                    let mut buf = [0; 3];
                    c.read_exact(&mut buf).unwrap();
                    assert_eq!(&buf, b"TCP");
                })
            });
            servers.into_iter().chain(clients).for_each(|g| g.join().unwrap());
        }
    });
}

#[test]
fn a_datagram_reaches_and_is_answered_on_every_address() {
    run(|| {
        for (bound, reached) in REACHED {
            if bound.starts_with('[') && !six() {
                continue;
            }
            for connected in [false, true] {
                let server = UdpSocket::bind(bound).unwrap();
                let to = at(reached, server.local_addr().unwrap().port());
                let serving = spawn(move || {
                    let mut buf = [0; 32];
                    let (n, from) = server.recv_from(&mut buf).unwrap();
                    assert_eq!(server.send_to(&buf[..n], from).unwrap(), n);
                });
                let mut buf = [0; 32];
                let n = if connected {
                    let mut c = dial("udp", &to.to_string()).unwrap();
                    c.write_all(b"UDP").unwrap();
                    c.read(&mut buf).unwrap()
                } else {
                    let c = UdpSocket::bind(at(reached, 0)).unwrap();
                    c.send_to(b"UDP", to).unwrap();
                    let (n, from) = c.recv_from(&mut buf).unwrap();
                    assert_eq!(from, to);
                    n
                };
                assert_eq!(&buf[..n], b"UDP");
                serving.join().unwrap();
            }
        }
    });
}

/// The second beside the first at one port: whether it may.
const TWICE: [(&str, &str, bool); 13] = [
    ("0.0.0.0", "0.0.0.0", false),
    ("0.0.0.0", "127.0.0.1", false),
    ("127.0.0.1", "0.0.0.0", false),
    ("127.0.0.1", "127.0.0.1", false),
    ("0.0.0.0", "::", false),
    ("::", "0.0.0.0", false),
    ("::", "::", false),
    ("::ffff:0.0.0.0", "::", false),
    ("::", "::ffff:0.0.0.0", false),
    ("127.0.0.1", "::ffff:127.0.0.1", false),
    ("::1", "::1", false),
    ("127.0.0.1", "::1", true),
    ("::1", "127.0.0.1", true),
];

/// Binds both; where the second may, somebody else's socket can be in its place, so again at other ports.
fn bind_twice<S>(bind: impl Fn(SocketAddr) -> io::Result<S>, port: impl Fn(&S) -> u16) {
    for (first, second, may) in TWICE {
        if (first.contains(':') || second.contains(':')) && !six() {
            continue;
        }
        let mut tried = 0;
        loop {
            let one = bind(at(first, 0)).unwrap();
            match bind(at(second, port(&one))) {
                Ok(_) => break assert!(may, "{second} beside {first}"),
                Err(e) => assert_eq!(e.kind(), ErrorKind::AddrInUse, "{second} beside {first}"),
            }
            tried += 1;
            if !may {
                break;
            }
            assert!(tried < 200, "never {second} beside {first}");
        }
    }
}

#[test]
fn a_second_listener_at_a_port_is_refused_where_the_addresses_overlap() {
    run(|| {
        bind_twice(TcpListener::bind::<SocketAddr>, |l| l.local_addr().unwrap().port());
        bind_twice(UdpSocket::bind::<SocketAddr>, |u| u.local_addr().unwrap().port());
        if !six() {
            return;
        }
        // Of the one family only: then the other has the port too.
        let only = (0..200).find_map(|_| {
            let l = TcpListener::builder().only_v6(true).bind("[::]:0").unwrap();
            let other = TcpListener::bind(at("0.0.0.0", l.local_addr().unwrap().port())).ok()?;
            Some((l, other))
        });
        let (l, other) = only.expect("both families at one port");
        let port = l.local_addr().unwrap().port();
        let c = TcpStream::connect(at("::1", port)).unwrap();
        assert_eq!(l.accept().unwrap().1, c.local_addr().unwrap());
        let c = TcpStream::connect(at("127.0.0.1", port)).unwrap();
        assert_eq!(other.accept().unwrap().1, c.local_addr().unwrap());
    });
}

#[test]
fn a_datagram_goes_only_to_addresses_of_its_socket_s_family() {
    run(|| {
        let four = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = four.local_addr().unwrap();
        let mut buf = [0; 8];
        if six() {
            let both = UdpSocket::bind("[::]:0").unwrap();
            let one = UdpSocket::bind("[::1]:0").unwrap();
            for to in [to, at("::ffff:127.0.0.1", to.port())] {
                assert_eq!(both.send_to(b"four", to).unwrap(), 4);
                let (n, from) = four.recv_from(&mut buf).unwrap();
                assert_eq!((n, from.is_ipv4()), (4, true), "a sender as the receiver's family has it");
            }
            assert_eq!(both.send_to(b"six", one.local_addr().unwrap()).unwrap(), 3);
            assert_eq!(one.recv(&mut buf).unwrap(), 3);
            assert!(four.send_to(b"six", one.local_addr().unwrap()).is_err());
        }
        assert_eq!(four.send_to(b"self", to).unwrap(), 4);
        assert_eq!(four.recv_from(&mut buf).unwrap(), (4, to));
    });
}

#[test]
fn without_a_peer_there_is_no_peer_s_address_and_nowhere_to_send() {
    run(|| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(a.send(b"whereto?").unwrap_err().raw_os_error(), Some(libc::EDESTADDRREQ));
        assert_ne!(a.local_addr().unwrap().port(), 0);
        let c = dial("udp", &a.local_addr().unwrap().to_string()).unwrap();
        let Conn::Udp(c) = c else { panic!("{c:?}") };
        assert_eq!(c.peer_addr().unwrap(), a.local_addr().unwrap());
        assert_ne!(c.local_addr().unwrap().port(), 0);

        let a = UnixDatagram::unbound().unwrap();
        assert!(a.local_addr().unwrap().is_unnamed());
        assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let e = a.send(b"whereto?").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn dial_without_a_host_is_to_this_machine() {
    run(|| {
        for (own, other) in [("127.0.0.1", "::1"), ("::1", "127.0.0.1")] {
            if !six() {
                break;
            }
            // The same port of the other family is taken, so that nobody else answers there. IPv4 comes first: what is left
            // of other people's connections keeps ports from being named, not from being chosen.
            let both = (0..200).find_map(|_| {
                let listen = |port| TcpListener::bind(at(own, port));
                let (l, taken) = if own.contains(':') {
                    let (taken, addr) = nobody(other);
                    (listen(addr.port()).ok()?, taken)
                } else {
                    let l = listen(0).unwrap();
                    let port = l.local_addr().unwrap().port();
                    (l, taken(at(other, port)).ok()?.0)
                };
                Some((l, taken))
            });
            let (l, _taken) = both.expect("a port of both families");
            let port = l.local_addr().unwrap().port();
            let six_only = own == "::1";
            for (network, here) in [("tcp", !six_only), ("tcp4", !six_only), ("tcp6", six_only)] {
                for host in ["", "0.0.0.0", "[::]"] {
                    let dialled = dial(network, &format!("{host}:{port}"));
                    assert_eq!(dialled.is_ok(), here, "{network} {host:?}, listener on {own}: {dialled:?}");
                    if here {
                        l.accept().unwrap();
                    }
                }
            }
        }
        let u = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut c = dial("udp", &format!(":{}", u.local_addr().unwrap().port())).unwrap();
        c.write_all(b"here").unwrap();
        assert_eq!(u.recv(&mut [0; 8]).unwrap(), 4);
        for nonsense in [":", ":x", ":99999", "::"] {
            assert_eq!(dial("tcp", nonsense).unwrap_err().kind(), ErrorKind::InvalidInput, "{nonsense}");
        }
    });
}

#[test]
fn dial_knows_ipv4_in_the_dress_of_ipv6() {
    run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("[::ffff:127.0.0.1]:{}", l.local_addr().unwrap().port());
        for network in ["tcp", "tcp4"] {
            let c = dial(network, &at).unwrap();
            let Conn::Tcp(c) = c else { panic!("{c:?}") };
            assert_eq!(c.peer_addr().unwrap(), l.local_addr().unwrap());
            l.accept().unwrap();
        }
        assert_eq!(dial("tcp6", &at).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(dial("udp6", &at).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}
