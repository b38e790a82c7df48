//! Deadlines of goroutines: taken back, of any length, moved by several at once, on sockets of every family.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener};
use gosched_runtime::{scope, set_gomaxprocs, sleep, spawn};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(10);

fn passed() -> Option<Instant> {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(5)).or(Some(now))
}

#[test]
fn a_deadline_that_was_taken_back_ends_nothing() {
    run(|| {
        for _ in 0..10 {
            // A passed one, in the end without any: accept, read and write park until they are sent away by `close`.
            let l = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            l.set_deadline(passed()).unwrap();
            assert_timed_out(l.accept());
            l.set_deadline(None).unwrap();
            let accepting = spawn({
                let l = l.clone();
                move || l.accept()
            });

            let place = Place::new("taken-back");
            let u = Arc::new(UnixListener::bind(&place.0).unwrap());
            u.set_deadline(passed()).unwrap();
            assert_timed_out(u.accept());
            u.set_deadline(None).unwrap();
            let accepting_unix = spawn({
                let u = u.clone();
                move || u.accept()
            });

            let (reader, _kept) = connected();
            reader.set_deadline(passed()).unwrap();
            reader.set_write_deadline(passed()).unwrap();
            reader.set_read_deadline(None).unwrap();
            assert_timed_out((&reader).write(b"x"));
            let reading = spawn({
                let reader = reader.try_clone().unwrap();
                move || (&reader).read(&mut [0; 8])
            });

            let (writer, _kept) = connected();
            writer.set_deadline(passed()).unwrap();
            writer.set_read_deadline(passed()).unwrap();
            writer.set_write_deadline(None).unwrap();
            assert_timed_out((&writer).read(&mut [0; 8]));
            let writing = spawn({
                let writer = writer.try_clone().unwrap();
                move || -> io::Result<()> {
                    loop {
                        (&writer).write_all(&[0; 65_536])?;
                    }
                }
            });

            sleep(SOON);
            assert!(!accepting.is_finished() && !accepting_unix.is_finished());
            assert!(!reading.is_finished() && !writing.is_finished());
            l.close().unwrap();
            u.close().unwrap();
            reader.close().unwrap();
            writer.close().unwrap();
            assert_closed(accepting.join().unwrap());
            assert_closed(accepting_unix.join().unwrap());
            assert_closed(reading.join().unwrap());
            assert_closed(writing.join().unwrap());
        }
    });
}

#[test]
fn a_deadline_of_any_length_ends_a_read() {
    run(|| {
        let before = set_gomaxprocs(0);
        for procs in [before, 1, 4] {
            set_gomaxprocs(procs);
            let nanos = [1, 2, 5, 50, 100, 200, 500, 750, 1_000, 5_000, 25_000, 250_000, 500_000, 1_000_000]
                .into_iter()
                .chain([5_000_000, 50_000_000]);
            for limit in nanos.map(Duration::from_nanos) {
                for _ in 0..3 {
                    let (mut c, _s) = connected();
                    let deadline = Instant::now() + limit;
                    c.set_deadline(Some(deadline)).unwrap();
                    let e = io::copy(&mut c, &mut io::sink()).unwrap_err();
                    assert_eq!(e.kind(), ErrorKind::TimedOut, "{limit:?}");
                    assert!(Instant::now() >= deadline, "{limit:?}");
                }
            }
        }
        set_gomaxprocs(before);
    });
}

#[test]
fn a_write_ends_at_its_deadline_and_not_before() {
    run(|| {
        let (mut c, _s) = connected();
        let chunk = [0; 65_536];
        // Full, so that a write parks.
        c.set_write_timeout(Some(SOON)).unwrap();
        while c.write(&chunk).is_ok() {}
        for _ in 0..5 {
            let deadline = Instant::now() + SOON;
            c.set_write_deadline(Some(deadline)).unwrap();
            // Without the limit for each call, which would be as short.
            c.set_write_timeout(None).unwrap();
            let r = loop {
                match c.write(&chunk) {
                    Ok(_) => continue, // the kernel has found room for more
                    r => break r,
                }
            };
            assert_timed_out(r);
            assert!(Instant::now() >= deadline);
        }
    });
}

#[test]
fn a_reader_and_a_writer_prolong_their_own_deadlines() {
    run(|| {
        let (c, s) = connected();
        let (c, s) = (Arc::new(c), Arc::new(s));
        let end = |c: &Arc<TcpStream>| {
            let (r, w) = (c.clone(), c.clone());
            let reading = spawn(move || {
                // Room for more than comes: a short read lets the next one park without asking.
                let (mut buf, mut have) = ([0; 64], 0u32);
                while have < 1_000 {
                    r.set_read_deadline(Some(Instant::now() + HOUR)).unwrap();
                    let n = (&*r).read(&mut buf).unwrap();
                    assert_ne!(n, 0);
                    for &b in &buf[..n] {
                        assert_eq!(b, have as u8);
                        have += 1;
                    }
                }
            });
            let writing = spawn(move || {
                for n in 0..1_000u32 {
                    w.set_write_deadline(Some(Instant::now() + HOUR)).unwrap();
                    (&*w).write_all(&[n as u8]).unwrap();
                }
            });
            [reading, writing]
        };
        end(&c).into_iter().chain(end(&s)).for_each(|g| g.join().unwrap());
    });
}

#[test]
fn deadlines_that_pass_at_once_race_with_reads_and_writes() {
    run(|| {
        let (c, s) = connected();
        let over = AtomicBool::new(false);
        // Nothing but data and deadlines come of it.
        let only_late = |r: io::Result<usize>| match r {
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::TimedOut);
                // It did not park, and would not let anybody else have the P.
                gosched_runtime::yield_now();
            }
        };
        scope(|t| {
            t.spawn(|| {
                for i in 0..1_000 {
                    // Passed at once, or under a call that is parked already.
                    let soon = Duration::from_micros([0, 2, 50, 300][i % 4]);
                    c.set_read_deadline(Some(Instant::now() + soon)).unwrap();
                    c.set_write_deadline(Some(Instant::now() + soon)).unwrap();
                    match i % 8 {
                        7 => sleep(soon),
                        _ => gosched_runtime::yield_now(),
                    }
                }
                over.store(true, Ordering::Relaxed);
                c.set_deadline(Some(Instant::now())).unwrap();
            });
            t.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    only_late((&c).read(&mut [0; 8]));
                }
            });
            t.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    only_late((&c).write(&[1; 8]));
                }
            });
            t.spawn(|| {
                // So that there is something to read, and room to write; without ever waiting for the two.
                s.set_nonblocking(true).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let _ = (&s).write(&[2; 8]);
                    while matches!((&s).read(&mut [0; 4096]), Ok(1..)) {}
                    sleep(Duration::from_micros(200));
                }
                s.set_nonblocking(false).unwrap();
            });
        });
        // And the connection is as good as before.
        c.set_deadline(None).unwrap();
        c.shutdown(std::net::Shutdown::Write).unwrap();
        io::copy(&mut &s, &mut io::sink()).unwrap();
        drop(s);
        io::copy(&mut &c, &mut io::sink()).unwrap();
    });
}

#[test]
fn deadlines_moved_by_many_at_once_stay_in_order() {
    run(|| {
        let pairs: Arc<Vec<_>> = Arc::new((0..10).map(|_| connected()).collect());
        let readers: Vec<_> = (0..pairs.len())
            .map(|k| {
                let pairs = pairs.clone();
                spawn(move || (&pairs[k].0).read(&mut [0; 8]))
            })
            .collect();
        let now = Instant::now();
        let movers: Vec<_> = (0..8u32)
            .map(|i| {
                let pairs = pairs.clone();
                spawn(move || {
                    // Earlier and earlier, so that each goes before others in the heap.
                    for j in (1..=100u32).rev() {
                        for (k, (c, _)) in pairs.iter().enumerate() {
                            let later = Duration::from_secs(u64::from(i * j) * k as u64);
                            c.set_read_deadline(Some(now + 2 * HOUR + later)).unwrap();
                            c.set_write_deadline(Some(now + HOUR + later)).unwrap();
                        }
                    }
                })
            })
            .collect();
        movers.into_iter().for_each(|m| m.join().unwrap());
        assert!(readers.iter().all(|r| !r.is_finished()));
        // The last word counts.
        for (c, _) in pairs.iter() {
            c.set_read_deadline(Some(Instant::now())).unwrap();
        }
        readers.into_iter().for_each(|r| assert_timed_out(r.join().unwrap()));
    });
}

#[test]
fn a_passed_deadline_wins_over_a_datagram_that_waits() {
    run(|| {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let at_b = b.local_addr().unwrap();
        let mut buf = [0; 8];
        a.send_to(b"waits", at_b).unwrap();
        assert_eq!(b.peek_from(&mut buf).unwrap().0, 5);
        for _ in 0..2 {
            b.set_read_deadline(passed()).unwrap();
            assert_timed_out(b.recv_from(&mut buf));
            assert_timed_out(b.peek_from(&mut buf));
            assert_timed_out(b.recv(&mut buf));
            assert_timed_out(b.recv(&mut []));
        }
        b.set_read_deadline(Some(Instant::now() + HOUR)).unwrap();
        assert_eq!(b.recv_from(&mut buf).unwrap().0, 5);
        a.set_write_deadline(passed()).unwrap();
        assert_timed_out(a.send_to(b"late", at_b));
        let deadline = Instant::now() + SOON;
        b.set_read_deadline(Some(deadline)).unwrap();
        assert_timed_out(b.recv_from(&mut buf));
        assert!(Instant::now() >= deadline);

        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(b"waits").unwrap();
        b.set_read_deadline(passed()).unwrap();
        assert_timed_out(b.recv_from(&mut buf));
        assert_timed_out(b.recv(&mut buf));
        b.set_read_deadline(None).unwrap();
        assert_eq!(b.recv(&mut buf).unwrap(), 5);
        a.set_write_deadline(passed()).unwrap();
        assert_timed_out(a.send(b"late"));
        let deadline = Instant::now() + SOON;
        b.set_read_deadline(Some(deadline)).unwrap();
        assert_timed_out(b.recv(&mut buf));
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn the_limit_of_a_connect_is_over_with_it() {
    run(|| {
        for _ in 0..5 {
            let l = TcpListener::bind("127.0.0.1:0").unwrap();
            let limit = Duration::from_millis(100);
            let mut c = loop {
                match TcpStream::connect_timeout(&l.local_addr().unwrap(), limit) {
                    Ok(c) => break c,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::TimedOut), // a machine that stood still
                }
            };
            // Those that came too late may stand in the queue all the same.
            let own = c.local_addr().unwrap();
            let mut s = loop {
                let (s, from) = l.accept().unwrap();
                if from == own {
                    break s;
                }
            };
            let reading = spawn(move || {
                let mut line = [0; 4];
                c.read_exact(&mut line).map(|()| line)
            });
            sleep(limit + SOON);
            s.write_all(b"echo").unwrap();
            assert_eq!(&reading.join().unwrap().unwrap(), b"echo");
        }
    });
}

/// Long deadlines, which mostly do not pass, with short ones between them that do, on connections that come and go: a read
/// ends by its byte or by its own deadline, whatever the alarm was set for before.
#[test]
fn short_deadlines_between_long_ones_pass_in_time() {
    run(|| {
        scope(|s| {
            for k in 0..24u64 {
                s.spawn(move || {
                    let mut x = k + 1;
                    let mut random = move |n: u64| {
                        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        (x >> 33) % n
                    };
                    for _ in 0..4 {
                        let (reader, writer) = connected();
                        for _ in 0..25 {
                            let (begun, short) = (Instant::now(), random(3) == 0);
                            let limit = if short { Duration::from_micros(random(3000)) } else { HOUR };
                            reader.set_read_deadline(Some(begun + limit)).unwrap();
                            let sent = (!short || random(4) == 0).then(|| {
                                let (mut writer, pause) = (writer.try_clone().unwrap(), random(1500));
                                spawn(move || {
                                    sleep(Duration::from_micros(pause));
                                    writer.write_all(b"x").unwrap();
                                })
                            });
                            match (&reader).read(&mut [0]) {
                                Ok(n) => assert_eq!((n, sent.is_some()), (1, true)),
                                Err(e) => {
                                    assert_eq!(e.kind(), ErrorKind::TimedOut);
                                    assert!(short && begun.elapsed() >= limit);
                                    reader.set_read_deadline(None).unwrap();
                                    if sent.is_some() {
                                        assert_eq!((&reader).read(&mut [0]).unwrap(), 1);
                                    }
                                }
                            }
                            if let Some(sent) = sent {
                                sent.join().unwrap();
                            }
                        }
                    }
                });
            }
        });
    });
}
