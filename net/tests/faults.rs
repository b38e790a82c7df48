//! What sockets do where the system refuses a call: each of the first calls at each point is refused in turn, in a
//! conversation between two goroutines. Either nobody notices, or somebody gets the system's error; and then there is no
//! descriptor and no goroutine left over, nobody hangs, and the same conversation works.
//!
//! With the feature `faults`: cargo test -p gosched-net --features faults --test faults
//!
//! What is not planned here, because no kernel does it: a TCP transfer that stops short without being empty or full, and an
//! EAGAIN of a socket that has data and will make no event (fd.rs rests on both, "Drained"). An EAGAIN that another event
//! follows is here. A connect that says EINTR goes on by itself, so a refused one cannot say it.

mod common;
use common::*;

use gosched_net::{
    Conn, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, copy, dial, send_file,
};
use gosched_runtime::faults::{Fault, Point, plan};
use gosched_runtime::{num_goroutine, spawn, yield_now};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;

/// The errors of all who took part; empty where all went well.
type Errors = Vec<io::Error>;
type Conversation = fn() -> Errors;

fn said(errors: &Errors, errno: i32) -> bool {
    errors.iter().any(|e| e.raw_os_error() == Some(errno))
}

fn errors<const N: usize>(all: [io::Result<()>; N]) -> Errors {
    all.into_iter().filter_map(Result::err).collect()
}

/// Runs the conversation with the `n`th call refused, for each `n` that it comes to, a dozen at most; `judge` sees how it
/// ended. Gives how often a call was refused.
#[track_caller]
fn sweep(talk: Conversation, point: Point, fault: Fault, judge: impl Fn(&Errors) -> bool) -> u64 {
    let clean = |what: &str| {
        let errors = run(talk);
        assert!(errors.is_empty(), "{what}: {errors:?}");
    };
    clean("before");
    let before = descriptors();
    let counting = plan(point, 1, 0, fault);
    clean("counting");
    let calls = counting.calls();
    drop(counting);
    assert!(calls > 0, "{point:?} is not on the way");
    let mut refused = 0;
    for n in 1..=calls.min(12) {
        let planned = plan(point, n, 1, fault);
        let errors = run(talk);
        let hits = planned.hits();
        drop(planned);
        refused += hits;
        // How many calls it takes may differ from run to run.
        let ok = if hits == 0 { errors.is_empty() } else { judge(&errors) };
        assert!(ok, "{point:?} {fault:?}, call {n} of {calls}: {errors:?}");
        eventually("everything has ended", || num_goroutine() == 0 && descriptors() <= before);
    }
    clean("after");
    assert!(refused > 0);
    refused
}

/// Every refusal goes unnoticed.
#[track_caller]
fn absorbed(talk: Conversation, point: Point, errnos: &[i32]) {
    for &e in errnos {
        sweep(talk, point, Fault::Errno(e), Errors::is_empty);
    }
}

/// Every refusal is told as it is.
#[track_caller]
fn told(talk: Conversation, point: Point, errnos: &[i32]) {
    for &e in errnos {
        sweep(talk, point, Fault::Errno(e), |errors| said(errors, e));
    }
}

// ------------------------------------------------------------------------------------------ conversations

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 % 251) as u8).collect()
}

/// Sends all and reads the answer, which is the same.
fn ask(mut s: impl Read + Write, end: impl FnOnce() -> io::Result<()>, n: usize) -> io::Result<()> {
    let (sent, mut got) = (pattern(n), Vec::new());
    s.write_all(&sent)?;
    end()?;
    s.read_to_end(&mut got)?;
    if got.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    assert!(sent == got, "{} bytes of {} came back", got.len(), sent.len());
    Ok(())
}

/// A listener with one client. Whoever fails ends the other: the client by its listener, the server by its socket.
macro_rules! echo {
    ($name:ident, $listen:expr, $connect:expr, $n:expr) => {
        fn $name() -> Errors {
            let bound = $listen;
            let _place = clear(&bound);
            let listener = match bound {
                Ok(l) => l,
                Err(e) => return vec![e],
            };
            let theirs = match listener.try_clone() {
                Ok(l) => l,
                Err(e) => return vec![e],
            };
            let server = spawn(move || {
                let served = theirs.accept().and_then(|(s, _)| {
                    io::copy(&mut &s, &mut &s)?;
                    s.shutdown(Shutdown::Write)
                });
                // What waits in its queue is sent away.
                let _ = theirs.close();
                match served {
                    // The client's end of the matter.
                    Err(e) if e.kind() == io::ErrorKind::ConnectionAborted && e.raw_os_error().is_none() => {
                        Ok(())
                    }
                    r => r,
                }
            });
            let connect = $connect;
            let asked = connect(&listener).and_then(|c| {
                let end = c.try_clone()?;
                ask(&c, || end.shutdown(Shutdown::Write), $n)
            });
            if asked.is_err() {
                let _ = listener.close();
            }
            errors([asked, server.join().unwrap()])
        }
    };
}

echo!(tcp, TcpListener::bind("127.0.0.1:0"), |l: &TcpListener| TcpStream::connect(l.local_addr()?), 3000);
echo!(unix, UnixListener::bind(path()), |_: &UnixListener| UnixStream::connect(path()), 3000);

/// The one path of the Unix sockets here.
fn path() -> PathBuf {
    std::env::temp_dir().join(format!("gosched-{}-faults", std::process::id()))
}

/// Free again, after a conversation. A bind that failed has left nothing there.
fn clear<T>(bound: &io::Result<T>) -> Place {
    assert!(bound.is_ok() || !path().exists(), "a failed bind has left its file");
    Place(path())
}

/// By name, which takes a thread.
fn dialled() -> Errors {
    let talk = || {
        let l = TcpListener::bind("127.0.0.1:0")?;
        let Conn::Tcp(c) = dial("tcp4", &format!("localhost:{}", l.local_addr()?.port()))? else {
            unreachable!()
        };
        let (s, _) = l.accept()?;
        (&c).write_all(b"hello")?;
        let mut buf = [0; 5];
        (&s).read_exact(&mut buf)
    };
    errors([talk()])
}

fn udp() -> Errors {
    let talk = || {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        a.connect(b.local_addr()?)?;
        let (echo, client) = (b.try_clone()?, a.try_clone()?);
        let server = spawn(move || {
            let mut buf = [0; 100];
            let served = echo.recv_from(&mut buf).and_then(|(n, from)| echo.send_to(&buf[..n], from));
            if served.is_err() {
                // Whoever waits for the answer waits no longer.
                let _ = client.close();
            }
            served.map(|_| ())
        });
        let asked = a.send(b"hello").and_then(|_| {
            let mut buf = [0; 100];
            a.recv(&mut buf).map(|n| assert_eq!(&buf[..n], b"hello"))
        });
        if asked.is_err() {
            let _ = b.close();
        }
        Ok(errors([asked, server.join().unwrap()]))
    };
    talk().unwrap_or_else(|e: io::Error| vec![e])
}

fn unix_datagrams() -> Errors {
    let talk = || {
        let bound = UnixDatagram::bind(path());
        let _place = clear(&bound);
        let (a, b) = (bound?, UnixDatagram::unbound()?);
        b.connect(path())?;
        for n in 0..3 {
            assert_eq!(b.send(&[n; 10])?, 10);
        }
        for n in 0..3 {
            let mut buf = [0; 100];
            assert_eq!((a.recv(&mut buf)?, buf[0]), (10, n));
        }
        Ok(())
    };
    errors([talk()])
}

/// A megabyte through a proxy that copies inside the kernel; and a file.
fn copied() -> Errors {
    let talk = || {
        let (client, inbound) = try_connected()?;
        let (outbound, server) = try_connected()?;
        let proxy = spawn(move || copy(&inbound, &outbound).map(|_| ()));
        let writer = spawn(move || {
            (&client).write_all(&pattern(1 << 20))?;
            client.shutdown(Shutdown::Write)
        });
        let mut got = Vec::new();
        let read = (&server).read_to_end(&mut got).map(|_| ());
        drop(server);
        let all = errors([read, proxy.join().unwrap(), writer.join().unwrap()]);
        assert!(!all.is_empty() || got == pattern(1 << 20), "{} bytes came", got.len());
        Ok(all)
    };
    talk().unwrap_or_else(|e| vec![e])
}

fn file_sent() -> Errors {
    let talk = || {
        let path = std::env::temp_dir().join(format!("gosched-{}-faults-file", std::process::id()));
        std::fs::write(&path, pattern(300_000))?;
        let file = std::fs::File::open(&path)?;
        std::fs::remove_file(&path)?;
        let (a, b) = try_connected()?;
        let reader = spawn(move || {
            let mut got = Vec::new();
            (&b).read_to_end(&mut got).map(|_| got)
        });
        let sent = send_file(&file, &a, 0, u64::MAX).map(|_| ());
        drop(a);
        let got = reader.join().unwrap();
        assert!(sent.is_err() || got.as_ref().is_ok_and(|got| *got == pattern(300_000)));
        Ok(errors([sent, got.map(|_| ())]))
    };
    talk().unwrap_or_else(|e: io::Error| vec![e])
}

fn try_connected() -> io::Result<(TcpStream, TcpStream)> {
    let l = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(l.local_addr()?)?;
    Ok((client, l.accept()?.0))
}

// -------------------------------------------------------------------------------------------------- tests

#[test]
fn accept() {
    let _alone = alone();
    for talk in [tcp as Conversation, unix] {
        // Of one connection; of the system for a moment.
        absorbed(
            talk,
            Point::Accept,
            &[
                libc::EINTR,
                libc::ECONNABORTED,
                libc::ECONNRESET,
                libc::EPROTO,
                libc::ENETUNREACH,
                libc::ETIMEDOUT,
            ],
        );
        absorbed(talk, Point::Accept, &[libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM]);
        told(talk, Point::Accept, &[libc::EINVAL, libc::EPERM]);
    }
}

#[test]
fn an_accept_that_was_told_eagain_finds_the_connection_with_the_next_one() {
    let _alone = alone();
    run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let planned = plan(Point::Accept, 1, 1, Fault::Errno(libc::EAGAIN));
        let first = TcpStream::connect(addr).unwrap();
        let server = spawn(move || [l.accept().unwrap().1, l.accept().unwrap().1]);
        while planned.hits() == 0 {
            yield_now();
        }
        let second = TcpStream::connect(addr).unwrap();
        let wanted = [first.local_addr().unwrap(), second.local_addr().unwrap()];
        assert_eq!(server.join().unwrap(), wanted);
    });
}

#[test]
fn reads() {
    let _alone = alone();
    for talk in [tcp as Conversation, unix, udp, unix_datagrams] {
        absorbed(talk, Point::Recv, &[libc::EINTR]);
        told(talk, Point::Recv, &[libc::ECONNRESET, libc::ETIMEDOUT, libc::ENOMEM]);
    }
    sweep(unix, Point::Recv, Fault::Short(1), Errors::is_empty);
}

#[test]
fn a_read_that_was_told_eagain_goes_on_with_the_next_event() {
    let _alone = alone();
    run(|| {
        let (client, server) = connected();
        (&client).write_all(b"one ").unwrap();
        let planned = plan(Point::Recv, 1, 1, Fault::Errno(libc::EAGAIN));
        let reader = spawn(move || {
            let mut text = String::new();
            (&server).read_to_string(&mut text).map(|_| text)
        });
        while planned.hits() == 0 {
            yield_now();
        }
        (&client).write_all(b"two").unwrap();
        drop(client);
        assert_eq!(reader.join().unwrap().unwrap(), "one two");
    });
}

#[test]
fn writes() {
    let _alone = alone();
    for talk in [tcp as Conversation, unix, udp, unix_datagrams] {
        absorbed(talk, Point::Send, &[libc::EINTR]);
        told(talk, Point::Send, &[libc::EPIPE, libc::ENOBUFS, libc::ENOMEM]);
    }
    sweep(unix, Point::Send, Fault::Short(1), Errors::is_empty);
}

#[test]
fn sockets_and_connections() {
    let _alone = alone();
    for talk in [tcp as Conversation, unix, udp, unix_datagrams, dialled] {
        told(talk, Point::Socket, &[libc::EMFILE, libc::ENFILE, libc::ENOBUFS]);
        told(talk, Point::Connect, &[libc::ECONNREFUSED, libc::ENETUNREACH, libc::EADDRNOTAVAIL]);
    }
    absorbed(unix, Point::Connect, &[libc::EINTR]);
}

#[test]
fn the_poller_has_no_room() {
    let _alone = alone();
    for errno in [libc::ENOSPC, libc::ENOMEM] {
        for talk in [udp as Conversation, unix_datagrams] {
            told(talk, Point::Register, &[errno]);
        }
        for talk in [tcp as Conversation, unix] {
            // A connection that cannot be watched when it is accepted is closed, and the listener goes on: its client sees
            // the end.
            sweep(talk, Point::Register, Fault::Errno(errno), |errors| !errors.is_empty());
        }
    }
}

#[test]
fn names_need_a_thread() {
    let _alone = alone();
    told(dialled, Point::Resolver, &[libc::EAGAIN, libc::ENOMEM]);
    // More refusals than there may be lookups at once: each has given its place back.
    let planned = plan(Point::Resolver, 1, 100, Fault::Errno(libc::EAGAIN));
    for _ in 0..100 {
        assert!(said(&run(dialled), libc::EAGAIN));
    }
    assert_eq!(planned.hits(), 100);
    assert!(run(dialled).is_empty());
}

#[test]
fn copies_inside_the_kernel() {
    let _alone = alone();
    // Where the kernel will not, the bytes go through our memory.
    absorbed(copied, Point::Transfer, &[libc::EINTR, libc::EINVAL, libc::ENOSYS]);
    told(copied, Point::Transfer, &[libc::EIO, libc::ENOMEM]);
    absorbed(file_sent, Point::Transfer, &[libc::EINTR, libc::EINVAL, libc::ENOSYS]);
    told(file_sent, Point::Transfer, &[libc::EIO]);
}
