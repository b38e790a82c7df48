//! One socket, many users; and many sockets, one process.
mod common;
use common::*;
use gosched_net::TcpStream;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn concurrent_readers_get_each_byte_once() {
    let _alone = alone();
    for _ in 0..rounds(4) {
        let (client, server) = pair();
        let sums = [const { AtomicUsize::new(0) }; 256];
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    let mut buf = [0; 37];
                    loop {
                        let n = (&server).read(&mut buf).unwrap();
                        if n == 0 {
                            break;
                        }
                        buf[..n].iter().for_each(|&b| {
                            sums[usize::from(b)].fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
            let data: Vec<u8> = (0..=255).cycle().take(256 * 200).collect();
            for chunk in data.chunks(100) {
                (&client).write_all(chunk).unwrap();
            }
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert!(sums.iter().all(|n| n.load(Ordering::Relaxed) == 200));
    }
}

#[test]
fn concurrent_accepts_each_get_a_connection() {
    let _alone = alone();
    let (l, addr) = listener();
    for _ in 0..rounds(100) {
        std::thread::scope(|s| {
            let accepts = [0; 4].map(|_| s.spawn(|| l.accept().unwrap().1));
            let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(addr).unwrap()).collect();
            let mut accepted: Vec<_> = accepts.into_iter().map(|a| a.join().unwrap()).collect();
            let mut own: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
            accepted.sort();
            own.sort();
            assert_eq!(accepted, own);
        });
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn short_connections_leave_no_descriptor_behind() {
    let _alone = alone();
    let n = if cfg!(debug_assertions) { 2000 } else { 5000 };
    let (l, addr) = listener();
    // What is made once is made.
    TcpStream::connect(addr).unwrap().close().unwrap();
    drop(l.accept().unwrap());
    let before = open_files();
    std::thread::scope(|s| {
        s.spawn(|| {
            for i in 0..n {
                let mut c = TcpStream::connect(addr).unwrap();
                c.write_all(b"hi").unwrap();
                assert_eq!(c.read(&mut [0; 8]).unwrap(), 2);
                // Reset on close, or the ports run out.
                c.set_linger(Some(std::time::Duration::ZERO)).unwrap();
                if i % 3 == 0 {
                    c.close().unwrap();
                }
            }
        });
        for i in 0..n {
            let (mut c, _) = l.accept().unwrap();
            let mut buf = [0; 2];
            c.read_exact(&mut buf).unwrap();
            c.write_all(&buf).unwrap();
            if i % 5 == 0 {
                let _ = c.read(&mut buf);
                c.close().unwrap();
            }
        }
    });
    assert_eq!(open_files(), before);
    assert!(gosched_net::netpoller().unwrap().is_active());
    drop(l);
    assert!(!gosched_net::netpoller().unwrap().is_active());
}
