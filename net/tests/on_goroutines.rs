//! The sockets under the scheduler: goroutines park on them, and the scheduler's own polling readies them.

use gosched_net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use gosched_runtime::{go, spawn, yield_now};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs `main` as a goroutine.
fn run<T: Send>(main: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests keeps a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched_runtime::run(main) }
}

const SOON: Duration = Duration::from_millis(20);
/// Long enough that no test machine is that slow.
const NEVER: Duration = Duration::from_secs(30);

fn assert_closed<T: std::fmt::Debug>(r: std::io::Result<T>) {
    assert_eq!(r.unwrap_err().to_string(), "use of closed network connection");
}

/// Gives the other goroutines time to park.
fn settle() {
    for _ in 0..100 {
        yield_now();
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    (c, l.accept().unwrap().0)
}

#[test]
fn an_echo_server_serves_many_clients_at_once() {
    run(|| {
        let l = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = l.local_addr().unwrap();
        let server = l.clone();
        let accepting = spawn(move || {
            for s in server.incoming() {
                let Ok(mut s) = s else { return };
                go(move || {
                    let mut buf = [0; 512];
                    while let Ok(n @ 1..) = s.read(&mut buf) {
                        s.write_all(&buf[..n]).unwrap();
                    }
                });
            }
        });
        let clients: Vec<_> = (0..100u8)
            .map(|id| {
                spawn(move || {
                    let mut c = TcpStream::connect(addr).unwrap();
                    let mut buf = [0; 64];
                    for round in 0..100u8 {
                        let msg = [id ^ round; 64];
                        c.write_all(&msg).unwrap();
                        c.read_exact(&mut buf).unwrap();
                        assert_eq!(buf, msg);
                    }
                })
            })
            .collect();
        for c in clients {
            c.join().unwrap();
        }
        l.close().unwrap();
        accepting.join().unwrap();
    });
}

#[test]
fn a_parked_reader_leaves_its_thread_to_others() {
    // More goroutines parked on sockets than there could be threads, one byte each at the end.
    run(|| {
        let pairs: Vec<_> = (0..2000).map(|_| UnixStream::pair().unwrap()).collect();
        let got = Arc::new(AtomicUsize::new(0));
        let (writers, readers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let readers: Vec<_> = readers
            .into_iter()
            .map(|mut r| {
                let got = got.clone();
                spawn(move || {
                    got.fetch_add(r.read(&mut [0; 8]).unwrap(), Ordering::Relaxed);
                })
            })
            .collect();
        settle();
        for mut w in &writers {
            w.write_all(b"x").unwrap();
        }
        for r in readers {
            r.join().unwrap();
        }
        assert_eq!(got.load(Ordering::Relaxed), 2000);
    });
}

#[test]
fn close_ends_parked_calls_on_every_handle() {
    run(|| {
        for _ in 0..100 {
            let (c, mut s) = pair();
            let c = Arc::new(c);
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let c = c.clone();
                    spawn(move || (&*c).read(&mut [0; 8]))
                })
                .collect();
            settle();
            c.try_clone().unwrap().close().unwrap();
            for r in readers {
                assert_closed(r.join().unwrap());
            }
            assert_eq!(s.read(&mut [0; 8]).unwrap(), 0);

            let l = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let addr = l.local_addr().unwrap();
            let accept = {
                let l = l.clone();
                spawn(move || l.accept())
            };
            settle();
            l.close().unwrap();
            TcpListener::builder().reuse_address(false).bind(addr).unwrap();
            assert_closed(accept.join().unwrap());
        }
    });
}

#[test]
fn deadlines_end_calls_before_and_while_they_are_parked() {
    run(|| {
        let (mut c, mut s) = pair();
        let start = Instant::now();
        c.set_read_deadline(Some(start + SOON)).unwrap();
        assert_eq!(c.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= SOON && start.elapsed() < NEVER);
        s.write_all(b"data").unwrap();
        assert_eq!(c.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        c.set_read_deadline(None).unwrap();
        assert_eq!(c.read(&mut [0; 8]).unwrap(), 4);

        let c = Arc::new(c);
        for i in 0..100 {
            c.set_read_deadline([None, Some(Instant::now() + NEVER)][i % 2]).unwrap();
            let reader = {
                let c = c.clone();
                spawn(move || (&*c).read(&mut [0; 8]))
            };
            settle();
            c.set_read_deadline(Some(Instant::now())).unwrap();
            assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        }
        c.set_read_deadline(None).unwrap();
        c.set_read_timeout(Some(SOON)).unwrap();
        let start = Instant::now();
        assert_eq!((&*c).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= SOON && start.elapsed() < NEVER);
    });
}

#[test]
fn data_that_comes_at_the_moment_of_the_limit_is_not_lost() {
    run(|| {
        let (mut c, s) = pair();
        let s = Arc::new(s);
        let (mut late, mut got) = (0, 0);
        for i in 0..500 {
            c.set_read_timeout(Some(Duration::from_micros(200 + (i * 37) % 300))).unwrap();
            let writer = {
                let s = s.clone();
                spawn(move || {
                    gosched_runtime::sleep(Duration::from_micros(250));
                    (&*s).write_all(b"x").unwrap();
                })
            };
            match c.read(&mut [0; 1]) {
                Ok(n) => got += n,
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    late += 1;
                }
            }
            writer.join().unwrap();
        }
        c.set_read_timeout(Some(NEVER)).unwrap();
        c.read_exact(&mut vec![0; late]).unwrap();
        assert_eq!(got + late, 500);
    });
}

#[test]
fn a_connect_that_is_not_answered_times_out() {
    run(|| {
        let l = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let mut kept = Vec::new();
        let e = loop {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
                Ok(c) => kept.push(c),
                Err(e) => break e,
            }
            assert!(kept.len() < 20, "the queue does not fill up");
        };
        assert_eq!(e.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn threads_and_goroutines_talk_to_each_other() {
    run(|| {
        let (c, s) = pair();
        let thread = std::thread::spawn(move || {
            let mut buf = [0; 32];
            while let Ok(n @ 1..) = (&c).read(&mut buf) {
                (&c).write_all(&buf[..n]).unwrap();
            }
        });
        let (mut s, mut buf) = (s, [0; 5]);
        for _ in 0..500 {
            s.write_all(b"hello").unwrap();
            s.read_exact(&mut buf).unwrap();
        }
        drop(s);
        spawn(move || thread.join().unwrap()).join().unwrap();
    });
}

#[test]
fn udp_receivers_park() {
    run(|| {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let at_b = b.local_addr().unwrap();
        let r = spawn(move || b.recv_from(&mut [0; 8]).unwrap());
        settle();
        a.send_to(b"ab", at_b).unwrap();
        assert_eq!(r.join().unwrap(), (2, a.local_addr().unwrap()));
    });
}
