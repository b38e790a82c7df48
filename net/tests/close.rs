//! `close` ends what is parked, on every handle, and lets go of the socket at once.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::Instant;

#[test]
fn close_wakes_a_parked_reader_and_the_other_end_sees_the_end() {
    let _alone = alone();
    for _ in 0..rounds(300) {
        let (client, mut server) = pair();
        let other = client.try_clone().unwrap();
        std::thread::scope(|s| {
            let r = s.spawn(|| (&client).read(&mut [0; 8]));
            eventually("the reader parks", parked);
            other.close().unwrap();
            assert_closed(r.join().unwrap());
        });
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
        assert_closed((&client).write(b"x"));
        assert_closed((&client).read(&mut [0; 1]));
        assert_closed(client.close());
        assert_closed(other.close());
        assert_closed(client.peer_addr());
        assert_closed(client.set_deadline(Some(Instant::now())));
        assert_closed(client.try_clone());
    }
}

#[test]
fn close_wakes_a_parked_writer() {
    let _alone = alone();
    for _ in 0..rounds(30) {
        let (client, _server) = pair();
        let big = vec![0; 32 << 20];
        std::thread::scope(|s| {
            let w = s.spawn(|| (&client).write_all(&big));
            eventually("the writer parks", parked);
            client.close().unwrap();
            assert_closed(w.join().unwrap());
        });
    }
}

#[test]
fn close_wakes_all_that_wait_for_their_turn() {
    let _alone = alone();
    for _ in 0..rounds(60) {
        let (client, _server) = pair();
        std::thread::scope(|s| {
            let readers = [0; 4].map(|_| s.spawn(|| (&client).read(&mut [0; 8])));
            eventually("a reader parks", parked);
            client.close().unwrap();
            for r in readers {
                assert_closed(r.join().unwrap());
            }
        });
    }
}

#[test]
fn a_closed_listener_frees_its_port_under_a_parked_accept() {
    let _alone = alone();
    // An address of this process' own, so that no other one's client gets the port in between.
    let [.., high, low] = std::process::id().to_be_bytes();
    let own =
        if cfg!(target_os = "linux") { Ipv4Addr::new(127, high, low, 251) } else { Ipv4Addr::LOCALHOST };
    drop(listener()); // drives the poller
    let mut l = TcpListener::bind((own, 0)).unwrap();
    let addr = l.local_addr().unwrap();
    for _ in 0..rounds(100) {
        let again = std::thread::scope(|s| {
            let handle = l.try_clone().unwrap();
            let a = s.spawn(move || handle.accept());
            eventually("accept parks", parked);
            l.close().unwrap();
            // No retry, and no SO_REUSEADDR that might hide a listener which is still there.
            let again = TcpListener::builder().reuse_address(false).bind(addr).unwrap();
            assert_closed(a.join().unwrap());
            again
        });
        assert_closed(l.accept());
        assert_eq!(TcpStream::connect(addr).unwrap().peer_addr().unwrap(), addr);
        // The connection is accepted and ended from the other side, so that no TIME_WAIT of ours holds the port.
        let (s, _) = again.accept().unwrap();
        s.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(s);
        l = again;
    }
}

#[test]
fn the_number_of_a_closed_socket_is_not_given_to_another() {
    let _alone = alone();
    let (client, _server) = pair();
    let number = client.as_raw_fd();
    client.close().unwrap();
    let others: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    assert!(others.iter().all(|f| f.as_raw_fd() != number));
    // It is open, as its borrowers were promised, and it is not the socket.
    let target = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
    assert!(target.to_string_lossy().starts_with("socket:"), "{target:?}");
    drop(client);
    assert!(std::fs::read_link(format!("/proc/self/fd/{number}")).is_err());
}

#[test]
fn close_races_with_reads_and_writes_and_another_close() {
    let _alone = alone();
    for i in 0..rounds(30) {
        let (client, server) = pair();
        let closes = std::thread::scope(|s| {
            s.spawn(|| while matches!((&client).read(&mut [0; 64]), Ok(n) if n > 0) {});
            s.spawn(|| while (&client).write(&[1; 64]).is_ok() {});
            s.spawn(|| while matches!((&server).read(&mut [0; 60_000]), Ok(n) if n > 0) {});
            s.spawn(|| while (&server).write(&[2; 64]).is_ok() {});
            for _ in 0..i % 50 {
                std::thread::yield_now();
            }
            let c = [0; 2].map(|_| s.spawn(|| client.close()));
            c.into_iter().map(|c| c.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(closes.iter().filter(|c| c.is_ok()).count(), 1, "{closes:?}");
        let e = closes.into_iter().find_map(Result::err).unwrap();
        assert_eq!(e.kind(), ErrorKind::ConnectionAborted);
    }
}
