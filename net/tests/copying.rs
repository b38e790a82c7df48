//! Copying between sockets, and from files: every byte arrives, whichever way it takes.
use gosched_net::{Conn, CopyStream, TcpListener, TcpStream, UnixDatagram, UnixStream, copy, send_file};
use gosched_runtime::{scope, spawn};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Runs `main` as a goroutine.
fn run<T: Send>(main: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests keeps a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched_runtime::run(main) }
}

fn tcp() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    (c, l.accept().unwrap().0)
}

/// Bytes that tell where in the stream they belong.
fn pattern(at: u64, buf: &mut [u8]) {
    for (i, b) in buf.iter_mut().enumerate() {
        let n = at + i as u64;
        *b = (n ^ (n >> 8) ^ (n >> 16)) as u8;
    }
}

fn feed(mut to: impl Write, len: u64, piece: usize) {
    let (mut at, mut buf) = (0, vec![0; piece]);
    while at < len {
        let n = piece.min((len - at) as usize);
        pattern(at, &mut buf[..n]);
        to.write_all(&buf[..n]).unwrap();
        at += n as u64;
    }
}

fn expect(mut from: impl Read, len: u64) {
    let (mut at, mut buf, mut want) = (0, vec![0; 70_000], vec![0; 70_000]);
    loop {
        let n = from.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        pattern(at, &mut want[..n]);
        assert!(buf[..n] == want[..n], "wrong bytes within {n} from {at}");
        at += n as u64;
    }
    assert_eq!(at, len);
}

/// source ─► (a, b: copied) ─► sink
fn through<A, B>(source: impl Write + Send, (a, b): (A, B), sink: impl Read + Send, len: u64, piece: usize)
where
    A: CopyStream + Send,
    B: CopyStream + Send,
{
    scope(|s| {
        s.spawn(move || feed(source, len, piece));
        let copied = s.spawn(move || copy(&a, &b).unwrap());
        expect(sink, len);
        assert_eq!(copied.join().unwrap(), len);
    });
}

#[test]
fn every_byte_arrives_whatever_the_two_ends_are() {
    run(|| {
        for (len, piece) in [(0, 1), (1, 1), (5_000, 7), (3_000_000, 100_000), (300_001, 4_096)] {
            let ((c, a), (b, d)) = (tcp(), tcp());
            through(c, (a, b), d, len, piece);
            let ((c, a), (b, d)) = (tcp(), UnixStream::pair().unwrap());
            through(c, (a, b), d, len, piece);
            let ((c, a), (b, d)) = (UnixStream::pair().unwrap(), tcp());
            through(c, (a, b), d, len, piece);
            let ((c, a), (b, d)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
            through(c, (a, b), d, len, piece);
        }
    });
}

#[test]
fn many_copies_at_once_share_the_pipes() {
    run(|| {
        let copies: Vec<_> = (0..40)
            .map(|i| {
                spawn(move || {
                    let ((c, a), (b, d)) = (tcp(), tcp());
                    through(c, (a, b), d, 400_000 + i, 70_000);
                })
            })
            .collect();
        for c in copies {
            c.join().unwrap();
        }
    });
}

#[test]
fn a_slow_sink_parks_the_copy_and_a_deadline_ends_it() {
    run(|| {
        let ((c, a), (b, _kept)) = (tcp(), tcp());
        let feeder = spawn(move || {
            let chunk = [0; 100_000];
            while (&c).write_all(&chunk).is_ok() {}
        });
        b.set_write_deadline(Some(Instant::now() + Duration::from_millis(100))).unwrap();
        assert_eq!(copy(&a, &b).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(a);
        feeder.join().unwrap();
    });
}

#[test]
fn a_sink_that_is_gone_is_an_error_and_the_pipe_is_not_used_again() {
    run(|| {
        for _ in 0..20 {
            let ((c, a), (b, d)) = (tcp(), tcp());
            drop(d);
            let feeder = spawn(move || {
                let chunk = [7; 100_000];
                while (&c).write_all(&chunk).is_ok() {}
            });
            let e = copy(&a, &b).unwrap_err();
            assert!(matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{e}");
            drop(a);
            feeder.join().unwrap();
            // What was left in that pipe is not in this stream.
            let ((c, a), (b, d)) = (tcp(), tcp());
            through(c, (a, b), d, 500_000, 100_000);
        }
    });
}

#[test]
fn close_ends_a_copy_that_is_parked_on_its_source() {
    run(|| {
        for spliced in [false, true] {
            let ((mut c, a), (b, d)) = (tcp(), tcp());
            let handle = a.try_clone().unwrap();
            let copying = spawn(move || copy(&a, &b));
            if spliced {
                c.write_all(&vec![1; 1 << 20]).unwrap();
                (&d).read_exact(&mut vec![0; 1 << 20]).unwrap();
            }
            gosched_runtime::sleep(Duration::from_millis(5));
            handle.close().unwrap();
            assert_eq!(copying.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
        }
    });
}

#[test]
fn a_copy_from_or_to_what_is_closed_already_is_an_error() {
    run(|| {
        let aborted =
            |r: std::io::Result<u64>| assert_eq!(r.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        for (source, sink) in [(true, false), (false, true), (true, true)] {
            let ((mut c, a), (b, mut d)) = (tcp(), tcp());
            c.write_all(b"there is something").unwrap();
            source.then(|| a.close().unwrap());
            sink.then(|| b.close().unwrap());
            aborted(copy(&a, &b));
            if !sink {
                // What is open is as good as before.
                (&b).write_all(b"bye").unwrap();
                d.read_exact(&mut [0; 3]).unwrap();
            }
        }
    });
}

#[test]
fn datagrams_as_large_as_the_buffer_are_copied_whole() {
    run(|| {
        let ((a, b), (c, mut d)) = (UnixDatagram::pair().unwrap(), tcp());
        let sent: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8).collect();
        // As large as the buffer, which is when a stream would be spliced from then on.
        a.send(&sent).unwrap();
        a.send(b"small").unwrap();
        let copying = spawn(move || copy(&Conn::from(b), &Conn::from(c)));
        let mut got = vec![0; 65_541];
        d.read_exact(&mut got).unwrap();
        assert!(got[..65_536] == sent && &got[65_536..] == b"small");
        a.send(b"").unwrap(); // the end, for a reader
        assert_eq!(copying.join().unwrap().unwrap(), 65_541);
    });
}

fn temporary(len: u64) -> File {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("gosched-copying-{}-{n}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    feed(&mut file, len, 65_536);
    file
}

#[test]
fn a_file_is_sent_from_any_offset_and_its_position_stays() {
    run(|| {
        let len = 2_000_000;
        let mut file = temporary(len);
        file.rewind().unwrap();
        for (offset, count) in [(0, len), (0, u64::MAX), (1_999_999, 10), (len, 5), (12_345, 700_000), (3, 0)]
        {
            let (out, mut inbound) = tcp();
            let want = len.saturating_sub(offset).min(count);
            scope(|s| {
                let reading = s.spawn(move || {
                    let mut got = Vec::new();
                    inbound.read_to_end(&mut got).unwrap();
                    got
                });
                assert_eq!(send_file(&file, &out, offset, count).unwrap(), want);
                out.shutdown(Shutdown::Write).unwrap();
                let mut expected = vec![0; want as usize];
                file.read_exact_at(&mut expected, offset).unwrap();
                assert!(reading.join().unwrap() == expected, "from {offset}, {count}");
            });
            assert_eq!(file.stream_position().unwrap(), 0);
        }
    });
}

#[test]
fn what_sendfile_refuses_is_read_and_written() {
    run(|| {
        // A pipe has no offset to send from: the plain way says so too.
        let (reader, _writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let (out, _in) = tcp();
        assert!(send_file(&file, &out, 0, 10).is_err());
        // A file of the kernel's own has no pages.
        let file = File::open("/proc/self/status").or_else(|_| File::open("Cargo.toml")).unwrap();
        let (out, mut inbound) = tcp();
        let n = send_file(&file, &out, 0, 6).unwrap();
        let mut buf = vec![0; n as usize];
        inbound.read_exact(&mut buf).unwrap();
        assert_eq!(n, 6);
        // An offset beyond all files.
        assert!(send_file(&file, &out, u64::MAX, 1).is_err());
    });
}

#[test]
fn a_file_is_sent_from_beyond_four_gibibytes() {
    run(|| {
        let file = temporary(0);
        let far = (1 << 32) + 12_345;
        file.write_all_at(b"far away", far).unwrap();
        let (out, mut inbound) = tcp();
        // And past two pieces of it, with nothing before but a hole.
        assert_eq!(send_file(&file, &out, far, u64::MAX).unwrap(), 8);
        let mut got = [0; 8];
        inbound.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"far away");
        let hole = 9_000_000;
        let reading = spawn(move || {
            let mut got = vec![1; hole + 8];
            inbound.read_exact(&mut got).unwrap();
            assert!(got[..hole].iter().all(|&b| b == 0) && &got[hole..] == b"far away");
        });
        assert_eq!(send_file(&file, &out, far - hole as u64, u64::MAX).unwrap(), hole as u64 + 8);
        reading.join().unwrap();
    });
}

#[test]
fn a_passed_deadline_sends_nothing_of_a_file() {
    run(|| {
        let file = temporary(500_000);
        let (out, mut inbound) = tcp();
        out.set_write_deadline(Some(Instant::now())).unwrap();
        for _ in 0..2 {
            assert_eq!(send_file(&file, &out, 0, u64::MAX).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        // Nor of a stream.
        let (mut c, a) = tcp();
        c.write_all(b"data").unwrap();
        assert_eq!(copy(&a, &out).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(out);
        let mut got = Vec::new();
        inbound.read_to_end(&mut got).unwrap();
        assert!(got.is_empty());
    });
}

#[test]
fn a_file_that_nobody_takes_parks_until_a_deadline_or_close() {
    run(|| {
        for closing in [false, true] {
            let file = temporary(0);
            file.set_len(1 << 30).unwrap(); // a hole
            let (out, _kept) = tcp();
            let handle = out.try_clone().unwrap();
            let sending = spawn(move || send_file(&file, &out, 0, u64::MAX));
            gosched_runtime::sleep(Duration::from_millis(5));
            assert!(!sending.is_finished());
            let kind = if closing {
                handle.close().unwrap();
                ErrorKind::ConnectionAborted
            } else {
                handle.set_write_deadline(Some(Instant::now())).unwrap();
                ErrorKind::TimedOut
            };
            assert_eq!(sending.join().unwrap().unwrap_err().kind(), kind);
        }
    });
}
