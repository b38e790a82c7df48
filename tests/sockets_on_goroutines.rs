//! Sockets on goroutines: every byte arrives, in both directions, on many connections at once; a parked call ends by
//! close, deadline or the peer; what std's adapters expect holds.

mod common;
use common::*;

use gosched::chan::Chan;
use gosched::net::{TcpListener, TcpStream};
use gosched::{go, spawn};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, OnceLock, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Tests run side by side, except the one that counts the process' descriptors.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

/// [`rt`], beside others.
#[track_caller]
fn net<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let _beside = DESCRIPTORS.read().unwrap_or_else(|e| e.into_inner());
    rt(f)
}

/// `len` bytes that are those of connection `i`, and no other's.
fn data(i: usize, len: usize) -> Vec<u8> {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    let block = BLOCK.get_or_init(|| {
        let mut rng = Rng(7);
        (0..MIB + 64 * KIB).map(|_| rng.below(256) as u8).collect()
    });
    let start = i * 97 % (64 * KIB);
    block[start..start + len].to_vec()
}

fn listener() -> (TcpListener, SocketAddr) {
    let l = TcpListener::bind(loopback()).unwrap();
    let addr = l.local_addr().unwrap();
    (l, addr)
}

fn pair() -> (TcpStream, TcpStream) {
    let (l, addr) = listener();
    let client = TcpStream::connect(addr).unwrap();
    let (server, peer) = l.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

/// An echo server that runs until the listener is closed.
fn echo_server() -> (TcpListener, SocketAddr) {
    let (l, addr) = listener();
    let accepting = l.try_clone().unwrap();
    go!({
        while let Ok((stream, _)) = accepting.accept() {
            go!({
                let _ = io::copy(&mut &stream, &mut &stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    (l, addr)
}

#[track_caller]
fn assert_closed<T: std::fmt::Debug>(r: io::Result<T>) {
    let e = r.unwrap_err();
    assert_eq!(e.to_string(), "use of closed network connection");
    assert_eq!(e.kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn two_hundred_clients_of_one_echo_server() {
    net(|| {
        let (l, addr) = echo_server();
        let hs: Vec<_> = (0..200)
            .map(|i| {
                spawn(move || {
                    let (mut s, sent) = (TcpStream::connect(addr).unwrap(), data(i, 64 * KIB));
                    let mut got = vec![0; 8 * KIB];
                    for piece in sent.chunks(8 * KIB) {
                        s.write_all(piece).unwrap();
                        s.read_exact(&mut got).unwrap();
                        assert!(got == piece);
                    }
                    s.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(s.read(&mut got).unwrap(), 0);
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
        l.close().unwrap();
    });
}

#[test]
fn a_mebibyte_both_ways_at_once_on_fifty_connections() {
    net(|| {
        let (l, addr) = listener();
        let one_end = |s: TcpStream, out: usize, back: usize| {
            let s = Arc::new(s);
            let w = s.clone();
            let writer = spawn(move || {
                (&*w).write_all(&data(out, MIB)).unwrap();
                w.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            (&*s).read_to_end(&mut got).unwrap();
            assert!(got == data(back, MIB));
            writer.join().unwrap();
        };
        let clients: Vec<_> = (0..50)
            .map(|i| {
                spawn(move || {
                    let s = TcpStream::connect(addr).unwrap();
                    (&s).write_all(&[i as u8]).unwrap(); // who it is
                    one_end(s, i, i + 1000);
                })
            })
            .collect();
        let servers: Vec<_> = (0..50)
            .map(|_| {
                let mut s = l.accept().unwrap().0;
                spawn(move || {
                    let mut who = [0];
                    s.read_exact(&mut who).unwrap();
                    one_end(s, who[0] as usize + 1000, who[0] as usize);
                })
            })
            .collect();
        clients.into_iter().chain(servers).for_each(|h| h.join().unwrap());
    });
}

#[test]
fn close_wakes_a_parked_reader() {
    net(|| {
        for round in 0..100 {
            let (client, mut server) = pair();
            let (reader, here) = (client.try_clone().unwrap(), Chan::<()>::new(0));
            let there = here.clone();
            let r = spawn(move || {
                there.close();
                (&reader).read(&mut [0; 8])
            });
            here.recv();
            if round % 10 == 0 {
                settle(); // else it may be on its way still: it must not sleep through the close either
            }
            client.close().unwrap();
            assert_closed(r.join().unwrap());
            assert_closed((&client).write(b"x"));
            assert_closed(client.close());
            assert_eq!(server.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
        }
    });
}

#[test]
fn close_wakes_a_parked_writer() {
    net(|| {
        for _ in 0..5 {
            let (client, _server) = pair();
            let writer = client.try_clone().unwrap();
            let w = spawn(move || -> io::Result<()> {
                let block = vec![0; MIB];
                loop {
                    (&writer).write_all(&block)?;
                }
            });
            settle();
            client.close().unwrap();
            assert_closed(w.join().unwrap());
        }
    });
}

#[test]
fn closing_the_listener_ends_accept_and_frees_the_port() {
    net(|| {
        let (mut l, addr) = listener();
        for _ in 0..50 {
            let (accepting, here) = (l.try_clone().unwrap(), Chan::<()>::new(0));
            let there = here.clone();
            let a = spawn(move || {
                there.close();
                accepting.accept()
            });
            here.recv();
            l.close().unwrap();
            assert_closed(a.join().unwrap());
            l = TcpListener::bind(addr).unwrap(); // at once
            let mut client = TcpStream::connect(addr).unwrap();
            let (mut server, _) = l.accept().unwrap();
            // The client ends first, so that it is the one whose port lingers.
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
            drop(server);
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        }
    });
}

#[test]
fn a_deadline_ends_a_parked_read() {
    net(|| {
        for round in 0..50 {
            let (client, mut server) = pair();
            // Set before the read,
            let soon = Instant::now() + Duration::from_millis(2);
            client.set_read_deadline(Some(soon)).unwrap();
            assert_eq!((&client).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(Instant::now() >= soon);
            // and under it.
            client.set_read_deadline([None, Some(Instant::now() + LONG)][round % 2]).unwrap();
            let (reader, here) = (client.try_clone().unwrap(), Chan::<()>::new(0));
            let there = here.clone();
            let r = spawn(move || {
                there.close();
                (&reader).read(&mut [0; 8])
            });
            here.recv();
            client.set_read_deadline(Some(Instant::now())).unwrap();
            assert_eq!(r.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
            // Moved on, the connection is as good as before.
            client.set_deadline(None).unwrap();
            server.write_all(b"on").unwrap();
            let mut got = [0; 2];
            (&client).read_exact(&mut got).unwrap();
            assert_eq!(&got, b"on");
        }
    });
}

#[test]
fn a_read_timeout_counts_for_each_read() {
    net(|| {
        let (mut client, mut server) = pair();
        client.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
        for _ in 0..5 {
            let start = Instant::now();
            let kind = client.read(&mut [0; 8]).unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
            assert!(start.elapsed() >= Duration::from_millis(3));
        }
        server.write_all(b"now").unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 3);
        // A listener's deadline, too.
        let (l, _) = listener();
        l.set_deadline(Some(Instant::now() + Duration::from_millis(3))).unwrap();
        assert_eq!(l.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_plain_std_client_talks_to_our_server() {
    net(|| {
        let (l, addr) = echo_server();
        let ts: Vec<_> = (0..8)
            .map(|i| {
                thread::spawn(move || {
                    let (s, sent) = (std::net::TcpStream::connect(addr).unwrap(), data(i, 256 * KIB));
                    s.set_read_timeout(Some(LONG)).unwrap();
                    let mut got = vec![0; sent.len()];
                    thread::scope(|scope| {
                        scope.spawn(|| (&s).write_all(&sent).unwrap());
                        (&s).read_exact(&mut got).unwrap();
                    });
                    assert!(got == sent);
                })
            })
            .collect();
        ts.into_iter().for_each(|t| t.join().unwrap());
        // And a plain thread may use our sockets.
        let t = thread::spawn(move || {
            let mut s = TcpStream::connect(addr).unwrap();
            s.write_all(b"from a thread").unwrap();
            let mut got = [0; 13];
            s.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"from a thread");
        });
        t.join().unwrap();
        l.close().unwrap();
    });
}

#[test]
fn a_connection_to_nobody_is_refused() {
    net(|| {
        for _ in 0..50 {
            let (l, addr) = listener();
            l.close().unwrap();
            assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let e = TcpStream::connect_timeout(&addr, LONG).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn short_connections_leave_no_descriptor_behind() {
    let _alone = DESCRIPTORS.write().unwrap_or_else(|e| e.into_inner());
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    rt(move || {
        let short = |addr: SocketAddr, i: usize| {
            let mut s = TcpStream::connect(addr).unwrap();
            let sent = data(i, 32);
            s.write_all(&sent).unwrap();
            let mut got = [0; 32];
            s.read_exact(&mut got).unwrap();
            assert!(got[..] == sent);
            match i % 3 {
                0 => drop(s),
                1 => s.close().unwrap(),
                _ => {
                    s.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(s.read(&mut got).unwrap(), 0);
                }
            }
        };
        let (l, addr) = echo_server();
        short(addr, 0); // whatever is made once, has been
        let before = {
            // Until the connection of the warm-up is gone on the server's side as well.
            let mut last = count();
            eventually("the number of descriptors stands still", || {
                gosched::time::sleep(Duration::from_millis(20));
                std::mem::replace(&mut last, count()) == last
            });
            last
        };
        let hs: Vec<_> = (0..20)
            .map(|c| {
                spawn(move || {
                    for i in 0..50 {
                        short(addr, c * 50 + i);
                    }
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
        eventually("as many descriptors as before", || count() <= before);
        l.close().unwrap();
    });
}

#[test]
fn shutdown_of_writing_is_the_end_for_the_reader_only() {
    net(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"question");
        assert!(client.write(b"x").is_err());
        server.write_all(b"answer").unwrap();
        drop(server);
        got.clear();
        client.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"answer");
        // Of reading: who is parked sees the end.
        let (client, _server) = pair();
        let reader = client.try_clone().unwrap();
        let r = spawn(move || (&reader).read(&mut [0; 8]).unwrap());
        settle();
        client.shutdown(Shutdown::Read).unwrap();
        assert_eq!(r.join().unwrap(), 0);
    });
}

#[test]
fn one_goroutine_reads_and_one_writes() {
    net(|| {
        let (client, server) = pair();
        let (client, server) = (Arc::new(client), Arc::new(server));
        // Answers come while questions are still being sent, by another goroutine, on either side.
        let (questions, todo) = (server.clone(), Chan::new(16));
        let incoming = todo.clone();
        let r = spawn(move || {
            let mut buf = [0; 4];
            while (&*questions).read_exact(&mut buf).is_ok() {
                incoming.send(u32::from_le_bytes(buf));
            }
            incoming.close();
        });
        let w =
            spawn(move || todo.iter().for_each(|n| (&*server).write_all(&(n * 2).to_le_bytes()).unwrap()));
        let asking = client.clone();
        let ask = spawn(move || {
            for n in 0..3_000u32 {
                (&*asking).write_all(&n.to_le_bytes()).unwrap();
            }
            asking.shutdown(Shutdown::Write).unwrap();
        });
        let mut buf = [0; 4];
        for n in 0..3_000u32 {
            (&*client).read_exact(&mut buf).unwrap();
            assert_eq!(u32::from_le_bytes(buf), n * 2);
        }
        for h in [r, w, ask] {
            h.join().unwrap();
        }
    });
}

#[test]
fn the_adapters_of_std_work() {
    net(|| {
        let (client, server) = pair();
        let h = spawn(move || {
            let (mut lines, mut out) = (BufReader::new(&server), BufWriter::new(&server));
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                let n: u64 = line.trim().parse().unwrap();
                writeln!(out, "{}", n * n).unwrap();
                line.clear();
            }
            out.flush().unwrap();
        });
        let mut out = BufWriter::new(client.try_clone().unwrap());
        for n in 0..1_000u64 {
            writeln!(out, "{n}").unwrap();
        }
        out.flush().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let squares: Vec<u64> =
            BufReader::new(&client).lines().map(|l| l.unwrap().parse().unwrap()).collect();
        assert!(squares.into_iter().eq((0..1_000u64).map(|n| n * n)));
        h.join().unwrap();

        let (client, server) = pair();
        let h = spawn(move || io::copy(&mut &server, &mut &server).unwrap());
        let sent = data(3, MIB);
        let (writer, all) = (client.try_clone().unwrap(), sent.clone());
        let w = spawn(move || {
            let n = io::copy(&mut &all[..], &mut &writer).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            n
        });
        let mut got = Vec::new();
        io::copy(&mut (&client).take(u64::MAX), &mut got).unwrap();
        assert!(got == sent);
        assert_eq!((h.join().unwrap(), w.join().unwrap()), (MIB as u64, MIB as u64));
    });
}
