//! Unix sockets on goroutines: half closed, closed, empty, named, and many at one listener.
mod common;
use common::*;
use gosched_net::{UnixDatagram, UnixListener, UnixStream, dial};
use gosched_runtime::spawn;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;

#[test]
fn each_half_is_closed_for_itself() {
    run(|| {
        for _ in 0..50 {
            // Of writing: the end for the peer, who may still answer.
            let (c, s) = UnixStream::pair().unwrap();
            let answering = spawn(move || {
                let mut got = Vec::new();
                (&s).read_to_end(&mut got).unwrap();
                (&s).write_all(&got).unwrap();
                s.shutdown(Shutdown::Write).unwrap();
                assert_eq!((&s).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
            });
            (&c).write_all(b"question").unwrap();
            c.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&c).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
            let mut got = Vec::new();
            (&c).read_to_end(&mut got).unwrap();
            assert_eq!(got, b"question");
            answering.join().unwrap();

            // Of reading: the end for whoever is parked, and the peer cannot write any more.
            let (c, s) = UnixStream::pair().unwrap();
            let reader = c.try_clone().unwrap();
            let reading = spawn(move || (&reader).read(&mut [0; 8]));
            settle();
            c.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reading.join().unwrap().unwrap(), 0);
            assert_eq!((&c).read(&mut [0; 8]).unwrap(), 0);
            assert_eq!((&s).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!((&c).write(b"x").unwrap(), 1);
            // Again and again is no error.
            for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
                (0..3).for_each(|_| c.shutdown(how).unwrap());
            }
            c.close().unwrap();
            assert_closed(c.shutdown(Shutdown::Both));
        }
    });
}

#[test]
fn an_empty_buffer_reads_nothing_at_once() {
    run(|| {
        let (c, s) = UnixStream::pair().unwrap();
        assert_eq!((&c).read(&mut []).unwrap(), 0);
        assert_eq!((&s).read(&mut []).unwrap(), 0);
        let reader = c.try_clone().unwrap();
        let reading = spawn(move || (&reader).read(&mut [0; 8]));
        settle();
        assert_eq!((&c).read(&mut []).unwrap(), 0);
        (&s).write_all(b"x").unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn closing_a_listener_sends_all_that_accept_away_and_leaves_the_path() {
    run(|| {
        for round in 0..50 {
            let place = Place::new("closing-unix-listener");
            let l = Arc::new(UnixListener::bind(&place.0).unwrap());
            let accepting = [0; 10].map(|_| {
                let l = l.clone();
                spawn(move || l.accept().map(drop))
            });
            if round % 2 == 0 {
                settle();
            }
            l.close().unwrap();
            accepting.into_iter().for_each(|a| assert_closed(a.join().unwrap()));
            assert_closed(l.accept());
            assert_closed(l.close());
            // As in std, the path is the user's to remove; nobody is there any more.
            assert!(place.0.exists());
            assert_eq!(UnixStream::connect(&place.0).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn closing_sends_the_receiver_of_datagrams_away() {
    run(|| {
        for round in 0..50 {
            let place = Place::new("closing-unix-datagram");
            let d = Arc::new(UnixDatagram::bind(&place.0).unwrap());
            // Also the one that waits for a datagram only to throw it away.
            let receiving = [8, 0].map(|len| {
                let d = d.clone();
                spawn(move || d.recv_from(&mut [0; 8][..len]))
            });
            if round % 2 == 0 {
                settle();
            }
            d.close().unwrap();
            receiving.into_iter().for_each(|r| assert_closed(r.join().unwrap()));
            assert_closed(d.recv(&mut [0; 8]));
            assert_closed(d.close());
        }
    });
}

#[test]
fn datagrams_carry_their_sender_s_name_and_are_answered() {
    run(|| {
        let (at_server, at_client) = (Place::new("dg-server"), Place::new("dg-client"));
        let server = UnixDatagram::bind(&at_server.0).unwrap();
        assert_eq!(server.local_addr().unwrap().as_pathname(), Some(&*at_server.0));
        let echo = spawn(move || {
            let mut buf = [0; 64];
            for _ in 0..3 {
                let (n, from) = server.recv_from(&mut buf).unwrap();
                server.send_to_addr(&buf[..n], &from).unwrap();
            }
            // Not connected: nowhere to send without an address.
            assert!(server.send(b"x").is_err());
        });
        let client = UnixDatagram::bind(&at_client.0).unwrap();
        let mut buf = [0; 64];
        for connected in [false, true] {
            if connected {
                client.connect(&at_server.0).unwrap();
                assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*at_server.0));
                client.send(b"datagram").unwrap();
            } else {
                client.send_to(b"datagram", &at_server.0).unwrap();
            }
            let (n, from) = client.recv_from(&mut buf).unwrap();
            assert_eq!((&buf[..n], from.as_pathname()), (&b"datagram"[..], Some(&*at_server.0)));
        }
        // An abstract name as long as names can be, with zeroes in it.
        let mut name = [0; 107];
        name[1..9].copy_from_slice(&u64::from(std::process::id()).to_le_bytes());
        name[10..14].copy_from_slice(b"long");
        let addr = SocketAddr::from_abstract_name(name).unwrap();
        let named = UnixDatagram::bind_addr(&addr).unwrap();
        assert_eq!(named.local_addr().unwrap().as_abstract_name(), Some(&name[..]));
        named.send_to(b"from afar", &at_server.0).unwrap();
        let (n, from) = named.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..n], from.as_pathname()), (&b"from afar"[..], Some(&*at_server.0)));
        client.connect_addr(&addr).unwrap();
        client.send(b"to there").unwrap();
        let (n, from) = named.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..n], from.as_pathname()), (&b"to there"[..], Some(&*at_client.0)));
        echo.join().unwrap();
    });
}

#[test]
fn empty_datagrams_and_empty_buffers() {
    run(|| {
        let place = Place::new("empty-datagrams");
        let s = UnixDatagram::bind(&place.0).unwrap();
        let mut c = dial("unixgram", place.0.to_str().unwrap()).unwrap();
        let mut buf = [1; 4];
        for _ in 0..2 {
            // Nothing is sent, and comes.
            assert_eq!(c.write(b"").unwrap(), 0);
            let (n, from) = s.recv_from(&mut buf).unwrap();
            assert!(n == 0 && from.is_unnamed());
            assert_eq!(c.write(b"").unwrap(), 0);
            assert_eq!(s.recv(&mut buf).unwrap(), 0);
            // Something is sent, and goes nowhere.
            assert_eq!(c.write(b"lost").unwrap(), 4);
            let (n, from) = s.recv_from(&mut []).unwrap();
            assert!(n == 0 && from.is_unnamed());
            assert_eq!(c.write(b"lost").unwrap(), 4);
            assert_eq!(s.recv(&mut []).unwrap(), 0);
        }
        assert_eq!(buf, [1; 4]);
        assert_eq!(c.write(b"kept").unwrap(), 4);
        assert_eq!((s.recv(&mut buf).unwrap(), &buf), (4, b"kept"));
    });
}

#[test]
fn three_servers_on_one_listener() {
    run(|| {
        let place = Place::new("three-servers");
        let abstract_name = format!("gosched-three-{}", std::process::id());
        let addr = SocketAddr::from_abstract_name(abstract_name).unwrap();
        for l in [UnixListener::bind(&place.0).unwrap(), UnixListener::bind_addr(&addr).unwrap()] {
            let at = l.local_addr().unwrap();
            let l = Arc::new(l);
            let servers = [0; 3].map(|_| {
                let l = l.clone();
                spawn(move || {
                    let (s, from) = l.accept().unwrap();
                    assert!(from.is_unnamed());
                    std::io::copy(&mut &s, &mut &s).unwrap();
                })
            });
            let clients = [0; 3].map(|_| {
                let at = at.clone();
                spawn(move || {
                    let mut c = UnixStream::connect_addr(&at).unwrap();
                    c.write_all(b"UNIX").unwrap();
                    c.shutdown(Shutdown::Write).unwrap();
                    let mut got = Vec::new();
                    c.read_to_end(&mut got).unwrap();
                    assert_eq!(got, b"UNIX");
                })
            });
            servers.into_iter().chain(clients).for_each(|g| g.join().unwrap());
        }
    });
}
