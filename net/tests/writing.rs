//! Writing: more slices than one call takes, to a peer that is gone, and to one that listens no more.
mod common;
use common::*;
use gosched_net::{PollFd, TcpStream, UnixStream, dial};
use gosched_runtime::spawn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// All of them, however many a call takes; gives the number of calls.
fn write_all_vectored(to: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<usize> {
    let mut calls = 0;
    while !slices.is_empty() {
        calls += 1;
        match to.write_vectored(slices)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            n => IoSlice::advance_slices(&mut slices, n),
        }
    }
    Ok(calls)
}

#[test]
fn any_number_of_slices_is_written_and_read() {
    run(|| {
        fn through(mut a: impl Write + Send + 'static, mut b: impl Read) {
            for count in [0usize, 1, 10, 1_023, 1_024, 1_025, 5_000] {
                let sent: Vec<u8> = (0..count).map(|i| (i % 251) as u8).collect();
                let expected = sent.clone();
                let writing = spawn(move || {
                    let mut slices: Vec<_> = sent.chunks(1).map(IoSlice::new).collect();
                    let calls = write_all_vectored(&mut a, &mut slices).unwrap();
                    // As many as the system takes at a time, not one by one.
                    assert!(calls <= count.div_ceil(1_024) + 10, "{calls} calls for {count} slices");
                    a
                });
                let mut got = vec![0; count];
                let mut have = 0;
                while have < count {
                    let mut slices: Vec<_> = got[have..].chunks_mut(1).map(IoSliceMut::new).collect();
                    have += match b.read_vectored(&mut slices).unwrap() {
                        0 => panic!("the end after {have} of {count}"),
                        n => n,
                    };
                }
                assert!(got == expected);
                a = writing.join().unwrap();
            }
        }
        let (a, b) = connected();
        through(a, b);
        let (a, b) = UnixStream::pair().unwrap();
        through(a, b);
    });
}

#[test]
fn slices_make_one_datagram() {
    run(|| {
        let s = gosched_net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut c = dial("udp", &s.local_addr().unwrap().to_string()).unwrap();
        let parts: Vec<_> = (0..2_000u32).map(|i| [i as u8]).collect();
        let slices: Vec<_> = parts.iter().map(|p| IoSlice::new(p)).collect();
        assert_eq!(c.write_vectored(&slices).unwrap(), 2_000);
        let mut got = [0; 4_000];
        assert_eq!(s.recv(&mut got).unwrap(), 2_000);
        assert!(got[..2_000].iter().eq(parts.iter().flatten()));
    });
}

#[test]
fn slices_to_a_peer_that_is_gone_are_an_error() {
    run(|| {
        for _ in 0..10 {
            let (mut a, b) = connected();
            drop(b);
            // A few bytes go before the connection is known to be gone, a gibibyte does not.
            let block = vec![0; 1 << 20];
            let mut slices: Vec<_> = (0..1_024).map(|_| IoSlice::new(&block)).collect();
            let e = write_all_vectored(&mut a, &mut slices).unwrap_err();
            assert!(matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{e}");
        }
    });
}

#[test]
fn a_peer_that_writes_no_more_does_not_make_a_full_writer_spin() {
    // Its end is an event on our side, and would wake the writer again and again were it taken for room.
    run(|| {
        let (a, b) = connected();
        b.shutdown(Shutdown::Write).unwrap();
        let a = PollFd::new(std::net::TcpStream::from(a)).unwrap();
        let (mut late, mut vain) = (false, 0);
        let e = loop {
            let written = a.write_with(|mut s| {
                let r = s.write(&[b'a'; 8_192]);
                if matches!(&r, Err(e) if e.kind() == ErrorKind::WouldBlock) {
                    vain += 1;
                    assert!(vain < 20, "it spins");
                    if !late {
                        a.set_write_deadline(Some(Instant::now() + Duration::from_millis(50))).unwrap();
                        late = true;
                    }
                } else {
                    vain = 0;
                }
                r
            });
            if let Err(e) = written {
                break e;
            }
        };
        assert_eq!(e.kind(), ErrorKind::TimedOut);
        drop(b);
    });
}

#[test]
fn a_stream_that_was_closed_for_reading_can_still_be_written() {
    run(|| {
        let (c, mut s) = connected();
        (0..3).for_each(|_| c.shutdown(Shutdown::Read).unwrap());
        assert_eq!((&c).read(&mut [0; 8]).unwrap(), 0);
        let write = |c: &TcpStream| (&mut &*c).write_all(b"still");
        write(&c).unwrap();
        let mut got = [0; 5];
        s.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"still");
        (0..3).for_each(|_| c.shutdown(Shutdown::Write).unwrap());
        assert_eq!(write(&c).unwrap_err().kind(), ErrorKind::BrokenPipe);
        c.close().unwrap();
        (0..3).for_each(|_| assert_closed(c.close()));
    });
}
