//! What goes wrong gives a clear error, leaves nothing behind and hangs nobody.
use gosched_net::{
    PollFd, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, copy, dial,
    lookup_host,
};
use gosched_runtime::{spawn, yield_now};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// Runs `main` as a goroutine.
fn run<T: Send>(main: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests keeps a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched_runtime::run(main) }
}

fn pair() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    (c, l.accept().unwrap().0)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, |d| d.count())
}

// ------------------------------------------------------------------------------------- no descriptors are left

const ROLE: &str = "GOSCHED_TEST_BAD_INPUT_CHILD";

/// Runs the named test in a process of its own, whose limit of descriptors may be lowered. True: this is that process.
fn alone(test: &str) -> bool {
    if std::env::var_os(ROLE).is_some() {
        return true;
    }
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, "1")
        // Set, so that sysmon opens no files once a second to look for it: one that it closes would be one too many.
        .env("GOMAXPROCS", std::env::var_os("GOMAXPROCS").unwrap_or("2".into()))
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}{stderr}");
    false
}

/// Takes all descriptors that there are, but for `left`.
fn hoard(left: usize) -> Vec<File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: a plain call with a struct of this stack.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut all: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    all.truncate(all.len() - left);
    all
}

fn assert_exhausted<T: std::fmt::Debug>(r: io::Result<T>) {
    assert_eq!(r.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}

#[test]
fn without_descriptors_opening_fails_and_what_is_open_goes_on() {
    if !alone("without_descriptors_opening_fails_and_what_is_open_goes_on") {
        return;
    }
    run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let (mut c, mut s) = pair();
        let (reader, writer) = io::pipe().unwrap();
        let before = descriptors();
        let hoarded = hoard(0);
        for _ in 0..3 {
            assert_exhausted(TcpStream::connect(addr));
            assert_exhausted(TcpStream::connect_timeout(&addr, Duration::from_secs(5)));
            assert_exhausted(TcpListener::bind("127.0.0.1:0"));
            assert_exhausted(UdpSocket::bind("127.0.0.1:0"));
            assert_exhausted(UnixStream::pair());
            assert_exhausted(UnixDatagram::unbound());
            assert_exhausted(dial("tcp", &addr.to_string()));
            assert_exhausted(dial("udp", &addr.to_string()));
        }
        // A clone and a PollFd take none, nor does closing.
        let clone = c.try_clone().unwrap();
        let reader = PollFd::new(reader).unwrap();
        (&writer).write_all(b"x").unwrap();
        assert_eq!((&reader).read(&mut [0; 8]).unwrap(), 1);
        c.write_all(b"hello").unwrap();
        s.read_exact(&mut [0; 5]).unwrap();
        clone.close().unwrap();
        drop(hoarded);
        assert_eq!(descriptors(), before);
        TcpStream::connect(addr).unwrap();
    });
}

#[test]
fn the_first_socket_of_a_process_may_fail_and_the_next_one_work() {
    if !alone("the_first_socket_of_a_process_may_fail_and_the_next_one_work") {
        return;
    }
    run(|| {
        // The poller's own descriptors cannot be made; later they can.
        for left in 0..4 {
            let hoarded = hoard(left);
            assert_exhausted(TcpListener::bind("127.0.0.1:0"));
            assert_exhausted(PollFd::new(&hoarded[0]));
        }
        let (mut c, mut s) = pair();
        c.write_all(b"x").unwrap();
        s.read_exact(&mut [0; 1]).unwrap();
    });
}

#[test]
fn a_name_that_is_dialled_on_the_last_descriptors_fails_or_is_reached() {
    if !alone("a_name_that_is_dialled_on_the_last_descriptors_fails_or_is_reached") {
        return;
    }
    run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("localhost:{}", l.local_addr().unwrap().port());
        // What the resolver makes once is made.
        drop((dial("tcp", &name).unwrap(), l.accept().unwrap()));
        let before = descriptors();
        let mut reached = 0;
        // The resolver needs some, one after the other, and so do the sockets: each may be the one that is not there.
        for left in 0..8 {
            let hoarded = hoard(left);
            let tcp = dial("tcp", &name);
            let udp = dial("udp", &name);
            let found = lookup_host(&name).map(Iterator::count);
            drop(hoarded);
            if let Ok(mut tcp) = tcp {
                reached += 1;
                tcp.write_all(b"x").unwrap();
                l.accept().unwrap().0.read_exact(&mut [0]).unwrap();
            }
            drop(udp);
            assert!(found.is_err() || found.is_ok_and(|n| n > 0));
            assert_eq!(descriptors(), before, "{left} left");
        }
        assert!(reached > 0, "enough in the end");
    });
}

#[test]
fn a_copy_without_descriptors_for_a_pipe_goes_the_plain_way() {
    if !alone("a_copy_without_descriptors_for_a_pipe_goes_the_plain_way") {
        return;
    }
    run(|| {
        let ((mut c, a), (b, mut d)) = (pair(), pair());
        let _hoarded = hoard(1);
        let copying = spawn(move || copy(&a, &b));
        let feeding = spawn(move || c.write_all(&vec![9; 2_000_000]));
        let mut got = Vec::new();
        d.read_to_end(&mut got).unwrap();
        feeding.join().unwrap().unwrap();
        assert_eq!((copying.join().unwrap().unwrap(), got.len()), (2_000_000, 2_000_000));
        assert!(got.iter().all(|&b| b == 9));
    });
}

// ------------------------------------------------------------------------------------------- peers that are gone

#[test]
fn a_half_closed_peer_can_still_be_written_to() {
    run(|| {
        let (mut c, mut s) = pair();
        c.shutdown(Shutdown::Write).unwrap();
        assert_eq!(s.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(s.read(&mut [0; 8]).unwrap(), 0);
        s.write_all(b"still here").unwrap();
        let mut buf = [0; 10];
        c.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"still here");
        assert_eq!(c.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        // The second half.
        s.shutdown(Shutdown::Both).unwrap();
        assert_eq!(c.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn a_reset_peer_is_an_error_for_a_parked_reader_and_a_parked_writer() {
    run(|| {
        for _ in 0..20 {
            let (c, s) = pair();
            let mut reader = s.try_clone().unwrap();
            let reading = spawn(move || reader.read(&mut [0; 8]));
            let writing = spawn(move || {
                let chunk = [0; 65_536];
                loop {
                    if let Err(e) = (&s).write_all(&chunk) {
                        return e;
                    }
                }
            });
            (0..20).for_each(|_| yield_now());
            c.set_linger(Some(Duration::ZERO)).unwrap();
            drop(c); // resets
            // One of the two is told of the reset, the other may learn of it only that the connection has ended.
            let gone = |k| matches!(k, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            assert!(gone(writing.join().unwrap().kind()));
            match reading.join().unwrap() {
                Ok(n) => assert_eq!(n, 0),
                Err(e) => assert!(gone(e.kind()), "{e}"),
            }
        }
    });
}

#[test]
fn a_datagram_to_nobody_is_refused_at_the_next_call() {
    run(|| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
        a.connect(nobody.local_addr().unwrap()).unwrap();
        drop(nobody);
        a.send(b"anybody?").unwrap();
        let e = a.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
    });
}

// ---------------------------------------------------------------------------------------------------- datagrams

#[test]
fn what_does_not_fit_into_the_buffer_is_lost_and_the_next_datagram_is_whole() {
    run(|| {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let to = b.local_addr().unwrap();
        let mut buf = [0; 4];
        for round in 0..3 {
            a.send_to(b"longer than four", to).unwrap();
            a.send_to(b"next", to).unwrap();
            if round == 1 {
                assert_eq!(b.peek_from(&mut buf).unwrap().0, 4);
            }
            assert_eq!((b.recv_from(&mut buf).unwrap().0, &buf), (4, b"long"));
            assert_eq!((b.recv(&mut buf).unwrap(), &buf), (4, b"next"));
        }
        // Into nothing: the datagram is taken all the same.
        a.send_to(b"x", to).unwrap();
        a.send_to(b"y", to).unwrap();
        assert_eq!(b.recv(&mut []).unwrap(), 0);
        assert_eq!((b.recv(&mut buf).unwrap(), buf[0]), (1, b'y'));

        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(b"longer than four").unwrap();
        a.send(b"next").unwrap();
        assert_eq!((b.recv(&mut buf).unwrap(), &buf), (4, b"long"));
        assert_eq!((b.recv(&mut buf).unwrap(), &buf), (4, b"next"));
    });
}

#[test]
fn a_datagram_that_is_too_large_is_refused_at_once() {
    run(|| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let e = a.send_to(&vec![0; 70_000], a.local_addr().unwrap()).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EMSGSIZE));
        let (a, _b) = UnixDatagram::pair().unwrap();
        let e = a.send(&vec![0; 16 << 20]).unwrap_err();
        assert!(matches!(e.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS)), "{e}");
    });
}

// -------------------------------------------------------------------------------------------- names and addresses

#[test]
fn a_name_that_does_not_resolve_is_an_error_everywhere() {
    run(|| {
        // .invalid never resolves (RFC 2606).
        let name = "no-such-host.invalid:80";
        assert!(lookup_host(name).is_err());
        assert!(dial("tcp", name).is_err());
        assert!(dial("udp", name).is_err());
        assert!(TcpStream::connect(name).is_err());
        assert!(TcpListener::bind(name).is_err());
        assert!(UdpSocket::bind(name).is_err());
        for nonsense in ["", ":", "localhost", "localhost:", "localhost:notaport", "1.2.3.4:99999"] {
            assert_eq!(dial("tcp", nonsense).unwrap_err().kind(), ErrorKind::InvalidInput, "{nonsense:?}");
        }
        assert_eq!(dial("carrier pigeon", "127.0.0.1:1").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(
            TcpStream::connect(&[][..] as &[std::net::SocketAddr]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn a_port_or_path_in_use_is_an_error() {
    run(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(TcpListener::bind(l.local_addr().unwrap()).unwrap_err().kind(), ErrorKind::AddrInUse);
        let u = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(UdpSocket::bind(u.local_addr().unwrap()).unwrap_err().kind(), ErrorKind::AddrInUse);
        let path = std::env::temp_dir().join(format!("gosched-bad-input-{}", std::process::id()));
        let _l = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(UnixDatagram::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        let long = "x".repeat(300);
        assert_eq!(UnixStream::connect(&long).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(TcpListener::bind("192.0.2.1:0").is_err(), "an address of somebody else");
    });
}

// ------------------------------------------------------------------------------------------------------- time-outs

#[test]
fn time_limits_of_zero_and_without_end() {
    run(|| {
        let (mut c, mut s) = pair();
        let addr = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = addr.local_addr().unwrap();
        assert_eq!(c.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(c.set_write_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(
            TcpStream::connect_timeout(&at, Duration::ZERO).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        TcpStream::connect_timeout(&at, Duration::MAX).unwrap();
        c.set_read_timeout(Some(Duration::MAX)).unwrap();
        c.set_write_timeout(Some(Duration::MAX)).unwrap();
        let reading = spawn(move || (c.read(&mut [0; 8]), c));
        (0..50).for_each(|_| yield_now());
        s.write_all(b"in time").unwrap();
        let (read, c) = reading.join().unwrap();
        assert_eq!(read.unwrap(), 7);
        // The smallest limit is one, a moment long gone is passed, and the furthest moment never comes.
        c.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
        assert_eq!((&c).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        c.set_read_timeout(None).unwrap();
        let now = Instant::now();
        c.set_read_deadline(now.checked_sub(Duration::from_secs(1)).or(Some(now))).unwrap();
        assert_eq!((&c).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        let mut far = Duration::MAX;
        while now.checked_add(far).is_none() {
            far /= 2;
        }
        c.set_read_deadline(Some(now + far)).unwrap();
        s.write_all(b"x").unwrap();
        assert_eq!((&c).read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn failures_leave_no_descriptors_behind() {
    if !alone("failures_leave_no_descriptors_behind") {
        return;
    }
    run(|| {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let before = descriptors();
        for _ in 0..50 {
            assert!(TcpStream::connect(nobody).is_err());
            assert!(dial("tcp", &nobody.to_string()).is_err());
            assert!(TcpListener::bind(busy.local_addr().unwrap()).is_err());
            assert!(UnixStream::connect("/no/such/socket").is_err());
            assert!(dial("unix", "/no/such/socket").is_err());
            assert!(dial("unixgram", "/no/such/socket").is_err());
            let (r, _w) = io::pipe().unwrap();
            let _first = PollFd::new(&r).unwrap();
            assert!(PollFd::new(r.try_clone().unwrap()).is_ok());
            assert!(PollFd::new(&r).is_err());
        }
        // (Sysmon has a file open now and then, perhaps when we began.)
        let start = std::time::Instant::now();
        while descriptors() > before {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} descriptors, {before} before",
                descriptors()
            );
            gosched_runtime::sleep(Duration::from_millis(1));
        }
    });
}
