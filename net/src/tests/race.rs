//! Who wins, when the other starts, and that the loser leaves nothing behind.
use super::*;
use crate::TcpListener;
use gosched_runtime::{run, spawn, yield_now};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex as StdMutex, MutexGuard};

const FOREVER: Duration = Duration::MAX;

/// One test at a time: they count descriptors.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: StdMutex<()> = StdMutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn on_goroutine<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: nothing here is tied to a thread while it parks.
    unsafe { run(f) }
}

fn listen(ip: impl Into<std::net::IpAddr>) -> (TcpListener, SocketAddr) {
    let l = TcpListener::bind((ip.into(), 0)).unwrap();
    let addr = l.local_addr().unwrap();
    (l, addr)
}

/// An address at which a connect is refused as long as the socket is kept.
fn refused(ip: impl Into<std::net::IpAddr>) -> (socket2::Socket, SocketAddr) {
    let addr = SocketAddr::new(ip.into(), 0);
    let s = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None).unwrap();
    s.bind(&addr.into()).unwrap();
    let addr = s.local_addr().unwrap().as_socket().unwrap();
    (s, addr)
}

/// An address at which a connect hangs: nobody accepts, and there is no room for one more to wait.
#[cfg(target_os = "linux")]
fn silent() -> (Vec<socket2::Socket>, SocketAddr) {
    let new = || {
        let s = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        s.set_nonblocking(true).unwrap();
        s
    };
    let l = new();
    l.bind(&SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0).into()).unwrap();
    l.listen(0).unwrap();
    let addr = l.local_addr().unwrap();
    let mut kept = vec![l];
    // Those who find room are connected at once; the first who is not shows that it is full.
    loop {
        let s = new();
        let _ = s.connect(&addr);
        let connected = s.peer_addr().is_ok();
        kept.push(s);
        if !connected {
            return (kept, addr.as_socket().unwrap());
        }
    }
}

#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Both ends are of one connection.
fn assert_joined(mut ours: &TcpStream, l: &TcpListener) {
    let (mut theirs, _) = l.accept().unwrap();
    ours.write_all(b"x").unwrap();
    assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_silent_address_does_not_keep_the_other_family_waiting() {
    let _alone = alone();
    let (_kept, silent) = silent();
    on_goroutine(move || {
        let (l, good) = listen(Ipv4Addr::LOCALHOST);
        // What the first one needs for good is there.
        drop(connect(vec![silent, good], Duration::ZERO).unwrap());
        drop(l.accept().unwrap());
        for n in 0..20 {
            let before = descriptors();
            let s = connect(vec![silent, good], Duration::from_millis(n)).unwrap();
            assert_eq!(s.peer_addr().unwrap(), good);
            assert_joined(&s, &l);
            drop(s);
            // The loser goes by itself.
            while descriptors() > before {
                yield_now();
            }
        }
    });
}

#[test]
fn a_refusal_starts_the_other_family_at_once() {
    let _alone = alone();
    let (_kept, bad) = refused(Ipv6Addr::LOCALHOST);
    on_goroutine(move || {
        let (l, good) = listen(Ipv4Addr::LOCALHOST);
        let s = connect(vec![bad, bad, good], FOREVER).unwrap();
        assert_joined(&s, &l);
        // In its own family the next one is tried, and nobody else.
        let (_kept, bad) = refused(Ipv4Addr::LOCALHOST);
        let (other, six) = listen(Ipv6Addr::LOCALHOST);
        let s = connect(vec![bad, six, good], FOREVER).unwrap();
        assert_joined(&s, &l);
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn the_second_family_is_not_asked_where_the_first_answers() {
    let _alone = alone();
    on_goroutine(|| {
        let (l, good) = listen(Ipv6Addr::LOCALHOST);
        let (other, four) = listen(Ipv4Addr::LOCALHOST);
        let s = connect(vec![good, four], FOREVER).unwrap();
        assert_joined(&s, &l);
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn where_both_fail_the_first_familys_error_is_told() {
    let _alone = alone();
    let (_kept, four) = refused(Ipv4Addr::LOCALHOST);
    // A link-local address without the link.
    let nowhere = SocketAddr::new("fe80::1".parse().unwrap(), 9);
    on_goroutine(move || {
        let of_nowhere = TcpStream::connect(nowhere).unwrap_err();
        assert_ne!(of_nowhere.kind(), ErrorKind::ConnectionRefused);
        for delay in [Duration::ZERO, FOREVER] {
            let e = connect(vec![nowhere, four], delay).unwrap_err();
            assert_eq!(e.raw_os_error(), of_nowhere.raw_os_error());
            let e = connect(vec![four, nowhere], delay).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
        }
        assert_eq!(connect(vec![], FOREVER).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn of_two_who_answer_one_is_taken_and_the_other_closed() {
    let _alone = alone();
    on_goroutine(|| {
        let (l6, six) = listen(Ipv6Addr::LOCALHOST);
        let (l4, four) = listen(Ipv4Addr::LOCALHOST);
        // Whatever comes is told its family, and kept until its other end goes.
        let servers = [(l6, b'6'), (l4, b'4')].map(|(l, name)| {
            let l = Arc::new(l);
            let theirs = l.clone();
            let server = spawn(move || {
                while let Ok((mut s, _)) = theirs.accept() {
                    spawn(move || {
                        s.write_all(&[name]).ok();
                        let _ = s.read(&mut [0; 8]);
                    });
                }
            });
            (l, server)
        });
        let before = descriptors();
        for _ in 0..200 {
            let mut s = connect(vec![six, four], Duration::ZERO).unwrap();
            let mut name = [0];
            s.read_exact(&mut name).unwrap();
            assert_eq!(name[0] == b'6', s.peer_addr().unwrap() == six);
        }
        while descriptors() > before {
            yield_now();
        }
        for (l, server) in servers {
            l.close().unwrap();
            server.join().unwrap();
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn plain_threads_race_as_well() {
    let _alone = alone();
    let (_kept, silent) = silent();
    on_goroutine(move || {
        let (l, good) = listen(Ipv4Addr::LOCALHOST);
        let dialling = std::thread::spawn(move || connect(vec![silent, good], Duration::from_millis(5)));
        let (mut theirs, _) = l.accept().unwrap();
        theirs.write_all(b"x").unwrap();
        let mut ours = gosched_runtime::syscall(|| dialling.join()).unwrap().unwrap();
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 1);
    });
}
