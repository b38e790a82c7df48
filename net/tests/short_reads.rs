//! After a short read the next one parks without asking the kernel; no wake-up may be lost by that.
mod common;
use common::*;
use std::io::{Read, Write};

#[test]
fn chunks_of_any_size_arrive_in_buffers_of_any_size() {
    let _alone = alone();
    // Each chunk waits for its answer, so a wake-up that is lost ends in a hang, not in a delay.
    for seed in 1..=rounds(4) as u64 {
        let (mut client, mut server) = pair();
        // Or each answer to a part of a chunk waits 40 ms for the other end's acknowledgement.
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        std::thread::scope(|s| {
            s.spawn(move || {
                let mut rng = Rng(seed * 0x9E37_79B9);
                let mut total = 0u8;
                for _ in 0..1000 {
                    let n = 1 + rng.below(3000);
                    client.write_all(&vec![1; n]).unwrap();
                    let mut ack = [0];
                    total = total.wrapping_add(n as u8);
                    loop {
                        client.read_exact(&mut ack).unwrap();
                        if ack[0] == total {
                            break;
                        }
                    }
                }
            });
            s.spawn(move || {
                let mut rng = Rng(seed * 0x51_7CC1);
                let (mut buf, mut total) = (vec![0; 4096], 0u8);
                loop {
                    let size = 1 + rng.below(4095);
                    if rng.below(8) == 0 && server.peek(&mut buf[..size]).unwrap() == 0 {
                        break;
                    }
                    let n = server.read(&mut buf[..size]).unwrap();
                    if n == 0 {
                        break;
                    }
                    total = total.wrapping_add(n as u8);
                    if server.write_all(&[total]).is_err() {
                        break; // the client has had its answer and gone
                    }
                }
            });
        });
    }
}

#[test]
fn a_fast_stream_through_small_and_large_buffers_stays_whole() {
    let _alone = alone();
    for seed in 1..=rounds(6) as u64 {
        let (mut client, mut server) = pair();
        const TOTAL: usize = 8 << 20;
        std::thread::scope(|s| {
            s.spawn(move || {
                let mut rng = Rng(seed);
                let mut sent = 0;
                while sent < TOTAL {
                    let n = (1 + rng.below(200_000)).min(TOTAL - sent);
                    let chunk: Vec<u8> = (sent..sent + n).map(|i| (i % 253) as u8).collect();
                    client.write_all(&chunk).unwrap();
                    sent += n;
                }
            });
            let mut rng = Rng(seed + 99);
            let (mut buf, mut at) = (vec![0; 150_000], 0);
            loop {
                let size = 1 + rng.below(150_000);
                let n = server.read(&mut buf[..size]).unwrap();
                if n == 0 {
                    break;
                }
                assert!(buf[..n].iter().enumerate().all(|(i, &b)| b == ((at + i) % 253) as u8));
                at += n;
            }
            assert_eq!(at, TOTAL);
        });
    }
}

#[test]
fn urgent_data_in_the_middle_does_not_hide_what_follows() {
    // A read stops at urgent data, short, with more behind it that came with the same edge.
    let _alone = alone();
    for _ in 0..rounds(200) {
        let (client, mut server) = pair();
        let raw = socket2::SockRef::from(&client);
        assert_eq!(raw.send(b"before").unwrap(), 6);
        assert_eq!(raw.send_out_of_band(b"!").unwrap(), 1);
        assert_eq!(raw.send(b"after").unwrap(), 5);
        let (mut got, mut buf) = (Vec::new(), [0; 64]);
        while got.len() < 11 {
            let n = server.read(&mut buf).unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        assert_eq!(got, b"beforeafter");
    }
}

#[test]
fn an_error_after_the_last_data_is_seen() {
    let _alone = alone();
    for _ in 0..rounds(1000) {
        let (client, server) = pair();
        (&client).write_all(b"abc").unwrap();
        client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        // Half of the time the data is read before the reset comes.
        let mut buf = [0; 64];
        let first = (&server).read(&mut buf);
        drop(client);
        assert_eq!(first.unwrap(), 3);
        assert_eq!((&server).read(&mut buf).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}
