//! Bytes arrive, all of them and in order, in both directions at once.
mod common;
use common::*;
use gosched_net::TcpStream;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;

const MIB: usize = 1 << 20;

#[test]
fn a_mebibyte_is_echoed_while_it_is_sent() {
    let _alone = alone();
    let data: Vec<u8> = (0..MIB).map(|i| (i * 31 % 251) as u8).collect();
    for _ in 0..rounds(5) {
        let (client, server) = pair();
        std::thread::scope(|s| {
            s.spawn(move || {
                let n = std::io::copy(&mut &server, &mut &server).unwrap();
                assert_eq!(n, MIB as u64);
            });
            let (sent, reader) = (&data, &client);
            s.spawn(move || {
                let mut got = Vec::new();
                (&mut &*reader).read_to_end(&mut got).unwrap();
                assert!(got == *sent);
            });
            (&client).write_all(&data).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
    }
}

#[test]
fn a_writer_parks_while_the_other_end_does_not_read() {
    let _alone = alone();
    let (client, server) = pair();
    let data = vec![7u8; 16 * MIB]; // more than both buffers hold
    std::thread::scope(|s| {
        s.spawn(|| (&client).write_all(&data).unwrap());
        eventually("the writer parks", parked);
        let mut got = vec![0; data.len()];
        (&server).read_exact(&mut got).unwrap();
        assert!(got == data);
    });
}

#[test]
fn vectored_transfers_use_all_slices() {
    let _alone = alone();
    let (mut client, mut server) = pair();
    let sent =
        client.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]).unwrap();
    assert_eq!(sent, 5);
    let (mut a, mut b) = ([0; 3], [0; 8]);
    eventually("all has arrived", || server.peek(&mut [0; 8]).unwrap() == 5);
    let got = server.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap();
    assert_eq!((got, &a, &b[..2]), (5, b"abc", &b"de"[..]));
}

#[test]
fn peek_leaves_the_data_and_never_hides_it_from_a_read() {
    let _alone = alone();
    let (mut client, mut server) = pair();
    let mut buf = [0; 64];
    for i in 0..rounds(2000) {
        // A short read, so that the next operation parks first; then peek spends the edge.
        client.write_all(&[i as u8; 3]).unwrap();
        assert!(server.peek(&mut buf).unwrap() > 0);
        let mut got = 0;
        while got < 3 {
            got += server.read(&mut buf).unwrap();
        }
        assert_eq!((got, buf[0]), (3, i as u8));
    }
}

#[test]
fn an_empty_buffer_reads_nothing_at_once() {
    let _alone = alone();
    let (client, server) = pair();
    assert_eq!((&client).read(&mut []).unwrap(), 0);
    assert_eq!((&client).read_vectored(&mut []).unwrap(), 0);
    assert_eq!(client.peek(&mut []).unwrap(), 0);
    assert_eq!((&client).write(&[]).unwrap(), 0);
    std::thread::scope(|s| {
        let r = s.spawn(|| (&client).read(&mut [0; 1]).unwrap());
        eventually("the reader parks", parked);
        // Also while somebody else has the turn.
        assert_eq!((&client).read(&mut []).unwrap(), 0);
        drop(server);
        assert_eq!(r.join().unwrap(), 0);
    });
}

#[test]
fn the_end_that_comes_with_the_last_data_is_seen() {
    let _alone = alone();
    // The end of the stream may share its edge with data; the read of that data is short, and still the next one must
    // not park for an edge that will not come.
    for _ in 0..rounds(3000) {
        let (client, server) = pair();
        (&client).write_all(b"last").unwrap();
        drop(client);
        let mut got = Vec::new();
        (&mut &server).read_to_end(&mut got).unwrap();
        assert_eq!(got, b"last");
    }
}

fn is_send_sync<T: Send + Sync + 'static>() {}

#[test]
fn sockets_are_shared_between_threads() {
    is_send_sync::<TcpStream>();
    is_send_sync::<gosched_net::TcpListener>();
}
