//! Descriptors of other people: parking on them, deadlines, closing, what cannot be watched, and how they are given back.
use gosched_net::{PollFd, TcpListener, TcpStream};
use gosched_runtime::{go, scope, sleep, spawn, yield_now};
use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnix;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs `main` as a goroutine.
fn run<T: Send>(main: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests keeps a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched_runtime::run(main) }
}

/// Long enough that no test machine is that slow.
const NEVER: Duration = Duration::from_secs(30);

fn settle() {
    for _ in 0..50 {
        yield_now();
    }
}

fn pipe() -> (PollFd<PipeReader>, PollFd<PipeWriter>) {
    let (r, w) = std::io::pipe().unwrap();
    (PollFd::new(r).unwrap(), PollFd::new(w).unwrap())
}

fn assert_closed<T: std::fmt::Debug>(r: std::io::Result<T>) {
    let e = r.unwrap_err();
    assert_eq!(
        (e.kind(), e.to_string().as_str()),
        (ErrorKind::ConnectionAborted, "use of closed network connection")
    );
}

fn nonblocking(fd: &impl AsFd) -> bool {
    socket2::SockRef::from(fd).nonblocking().unwrap()
}

#[test]
fn both_ends_of_a_pipe_park() {
    run(|| {
        // More than a pipe holds, so that the writer parks too.
        let (mut r, mut w) = pipe();
        let len = 3_000_000;
        let writing = spawn(move || {
            let all: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            w.write_all(&all).unwrap();
        });
        let mut got = Vec::new();
        r.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), len);
        assert!(got.iter().enumerate().all(|(i, &b)| b == (i % 251) as u8));
        writing.join().unwrap();
    });
}

#[test]
fn a_thousand_parked_readers_take_no_threads() {
    run(|| {
        // Fewer where the limit of descriptors is low.
        let pipes: Vec<_> = (0..1000)
            .map_while(|_| {
                let (r, w) = std::io::pipe().ok()?;
                Some((PollFd::new(r).ok()?, w))
            })
            .take(400)
            .collect();
        let (readers, mut writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let readers: Vec<_> =
            readers.into_iter().map(|mut r| spawn(move || r.read(&mut [0; 8]).unwrap())).collect();
        settle();
        for w in &mut writers {
            w.write_all(b"abc").unwrap();
        }
        for r in readers {
            assert_eq!(r.join().unwrap(), 3);
        }
    });
}

#[test]
fn readable_means_readable_now_not_that_something_has_come() {
    run(|| {
        let (r, w) = pipe();
        (&w).write_all(b"abcdef").unwrap();
        for _ in 0..3 {
            r.wait_readable().unwrap();
            // A part only: no new edge follows, and there is more.
            r.read_with(|mut r| r.read(&mut [0; 2])).unwrap();
        }
        r.set_read_deadline(Some(Instant::now() + Duration::from_millis(10))).unwrap();
        assert_eq!(r.wait_readable().unwrap_err().kind(), ErrorKind::TimedOut);
        r.set_read_deadline(None).unwrap();
        drop(w);
        r.wait_readable().unwrap();
    });
}

#[test]
fn a_full_pipe_is_writable_again_when_it_was_read_from() {
    run(|| {
        let (r, w) = pipe();
        w.wait_writable().unwrap();
        while w.get_ref().write(&[0; 4096]).is_ok() {}
        w.set_write_deadline(Some(Instant::now())).unwrap();
        assert_eq!(w.wait_writable().unwrap_err().kind(), ErrorKind::TimedOut);
        w.set_write_deadline(None).unwrap();
        let waiting = spawn(move || w.wait_writable());
        settle();
        r.read_with(|mut r| r.read_exact(&mut [0; 8192])).unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn deadlines_end_calls_before_and_while_they_are_parked() {
    run(|| {
        let (r, _w) = pipe();
        let r = Arc::new(r);
        for round in 0..50 {
            r.set_deadline([None, Some(Instant::now() + NEVER)][round % 2]).unwrap();
            let reading = {
                let r = r.clone();
                spawn(move || r.read_with(|mut r| r.read(&mut [0; 8])))
            };
            if round % 3 != 0 {
                settle();
            }
            r.set_read_deadline(Some(Instant::now())).unwrap();
            assert_eq!(reading.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        }
    });
}

#[test]
fn close_ends_parked_calls_and_the_other_end_sees_it() {
    run(|| {
        for round in 0..50 {
            let (mut a, b) = StdUnix::pair().unwrap();
            let b = Arc::new(PollFd::new(b).unwrap());
            let reading: Vec<_> = (0..3)
                .map(|_| {
                    let b = b.clone();
                    spawn(move || (&*b).read(&mut [0; 8]))
                })
                .collect();
            if round % 2 == 0 {
                settle();
            }
            b.close().unwrap();
            for r in reading {
                assert_closed(r.join().unwrap());
            }
            assert_closed(b.close());
            assert_closed(b.cancel());
            assert_closed(b.set_deadline(None));
            assert_closed(b.wait_writable());
            assert_closed((&*b).read(&mut []));
            assert_eq!(a.read(&mut [0; 8]).unwrap(), 0);
            // The number is not given to others while the handle lives.
            let others: Vec<_> = (0..4).map(|_| File::open("/dev/null").unwrap()).collect();
            assert!(others.iter().all(|f| f.as_raw_fd() != b.as_raw_fd()));
        }
    });
}

#[test]
fn cancel_ends_parked_calls_and_leaves_the_descriptor_as_it_was() {
    run(|| {
        let (mut r, mut w) = std::io::pipe().unwrap();
        for _ in 0..50 {
            let polled = PollFd::new(&r).unwrap();
            assert!(nonblocking(&r));
            scope(|s| {
                let waiting = s.spawn(|| polled.wait_readable());
                settle();
                polled.cancel().unwrap();
                assert_closed(waiting.join().unwrap());
            });
            assert!(!nonblocking(&r));
        }
        w.write_all(b"x").unwrap();
        assert_eq!(r.read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn the_mode_comes_back_with_the_value() {
    run(|| {
        let (r, w) = std::io::pipe().unwrap();
        let shared = r.try_clone().unwrap();
        let polled = PollFd::new(r).unwrap();
        assert!(nonblocking(&shared));
        let r = polled.into_inner();
        assert!(!nonblocking(&shared));
        drop(PollFd::new(r).unwrap());
        assert!(!nonblocking(&shared));
        // What came non-blocking goes non-blocking.
        socket2::SockRef::from(&w).set_nonblocking(true).unwrap();
        assert!(nonblocking(&PollFd::new(w).unwrap().into_inner()));
        let polled = PollFd::new_blocking(shared).unwrap();
        assert!(!nonblocking(&polled));
    });
}

#[test]
fn an_unchanged_mode_parks_too() {
    run(|| {
        let (r, w) = std::io::pipe().unwrap();
        let (mut r, mut w) = (PollFd::new_blocking(r).unwrap(), PollFd::new_blocking(w).unwrap());
        let reading = spawn(move || {
            let mut all = Vec::new();
            r.read_to_end(&mut all).unwrap();
            all
        });
        for _ in 0..20 {
            settle();
            w.write_all(b"0123456789").unwrap();
        }
        drop(w);
        assert_eq!(reading.join().unwrap().len(), 200);
    });
}

#[test]
fn close_ends_a_call_on_a_descriptor_in_blocking_mode() {
    run(|| {
        for round in 0..30 {
            let (r, _w) = std::io::pipe().unwrap();
            let r = Arc::new(PollFd::new_blocking(r).unwrap());
            let reading = {
                let r = r.clone();
                spawn(move || (&*r).read(&mut [0; 8]))
            };
            if round % 2 == 0 {
                settle();
            }
            r.close().unwrap();
            assert_closed(reading.join().unwrap());
        }
    });
}

#[test]
fn special_files_are_read_by_several_at_once() {
    run(|| {
        let all: Vec<_> = ["/dev/null", "/proc/stat", "/proc/self/status"]
            .into_iter()
            .filter(|path| File::open(path).is_ok())
            .flat_map(|path| [path; 4])
            .map(|path| {
                spawn(move || {
                    for _ in 0..50 {
                        let mut text = String::new();
                        PollFd::new(File::open(path).unwrap()).unwrap().read_to_string(&mut text).unwrap();
                        assert_eq!(text.is_empty(), path == "/dev/null");
                    }
                })
            })
            .collect();
        all.into_iter().for_each(|r| r.join().unwrap());
    });
}

#[test]
fn a_file_needs_no_waiting_and_says_so() {
    run(|| {
        let file = PollFd::new(File::open("Cargo.toml").unwrap()).unwrap();
        file.wait_readable().unwrap();
        let mut text = String::new();
        (&file).read_to_string(&mut text).unwrap();
        assert!(text.contains("[package]"));
        file.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!((&file).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        file.set_deadline(None).unwrap();
        // An operation that says "later" although there is nothing to wait for is not asked for ever.
        let e = file.read_with(|_| Err::<(), _>(ErrorKind::WouldBlock.into())).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::WouldBlock);
        file.close().unwrap();
        assert_closed((&file).read(&mut [0; 8]));
        let mut null = PollFd::new_blocking(File::options().write(true).open("/dev/null").unwrap()).unwrap();
        null.write_all(b"gone").unwrap();
    });
}

#[test]
fn one_descriptor_is_in_one_place_at_a_time() {
    run(|| {
        let (r, _w) = std::io::pipe().unwrap();
        let first = PollFd::new(&r).unwrap();
        assert_eq!(PollFd::new(&r).unwrap_err().kind(), ErrorKind::AlreadyExists);
        // The failure has not touched the first one's mode.
        assert!(nonblocking(&r));
        drop(first);
        PollFd::new(&r).unwrap();
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(PollFd::new(&l).unwrap_err().kind(), ErrorKind::AlreadyExists);
        TcpStream::connect(l.local_addr().unwrap()).unwrap();
    });
}

#[test]
fn a_socket_of_std_accepts_and_talks() {
    run(|| {
        let l = PollFd::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let addr = l.get_ref().local_addr().unwrap();
        let serving = spawn(move || {
            let (s, _) = l.read_with(|l| l.accept()).unwrap();
            let s = PollFd::new(s).unwrap();
            let mut buf = [0; 5];
            (&s).read_exact(&mut buf).unwrap();
            (&s).write_all(&buf).unwrap();
        });
        let mut c = TcpStream::connect(addr).unwrap();
        settle();
        c.write_all(b"hello").unwrap();
        let mut buf = [0; 5];
        c.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello");
        serving.join().unwrap();
    });
}

#[test]
fn a_reader_and_a_writer_are_inside_at_once() {
    run(|| {
        let (a, b) = StdUnix::pair().unwrap();
        let (a, b) = (PollFd::new(a).unwrap(), PollFd::new(b).unwrap());
        scope(|s| {
            let answer = s.spawn(|| {
                let mut buf = [0; 4];
                (&a).read_exact(&mut buf).unwrap();
                buf
            });
            s.spawn(|| (&a).write_all(b"ping").unwrap());
            let mut buf = [0; 4];
            (&b).read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"ping");
            (&b).write_all(b"pong").unwrap();
            assert_eq!(&answer.join().unwrap(), b"pong");
        });
    });
}

#[test]
fn a_dropped_pollfd_leaves_nothing_in_the_poller() {
    run(|| {
        // The number is used again at once, and an event of the last use must not count for the next.
        for _ in 0..300 {
            let (r, w) = pipe();
            go(move || drop((&w).write_all(b"x")));
            assert_eq!((&r).read(&mut [0; 8]).unwrap(), 1);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn timers_and_event_counters_park() {
    run(|| {
        // SAFETY: plain numbers; the descriptors are new, and nobody else's.
        let (timer, event) = unsafe {
            (
                OwnedFd::from_raw_fd(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC)),
                OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)),
            )
        };
        let after = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let every = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: every, it_value: after };
        // SAFETY: a struct of this stack.
        let set = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &spec, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let read = |fd: &OwnedFd| {
            let mut count = 0u64;
            // SAFETY: eight bytes of this stack.
            match unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), 8) } {
                8 => Ok(count),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        let timer = PollFd::new(timer).unwrap();
        let start = Instant::now();
        assert_eq!(timer.read_with(read).unwrap(), 1);
        assert!(start.elapsed() < NEVER);

        let event = Arc::new(PollFd::new(event).unwrap());
        let adder = event.clone();
        go(move || {
            sleep(Duration::from_millis(2));
            let three = 3u64;
            // SAFETY: eight bytes of this stack.
            adder
                .write_with(|fd| match unsafe { libc::write(fd.as_raw_fd(), (&raw const three).cast(), 8) } {
                    8 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                })
                .unwrap();
        });
        assert_eq!(event.read_with(read).unwrap(), 3);
    });
}
