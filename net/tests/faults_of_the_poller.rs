//! What happens once in a process, refused: the poller and the descriptor that closed sockets' numbers stand for, the
//! poller's wait, the first pipe of a copy; and descriptors that run out in earnest, under connections that are in use.
//!
//! The tests run themselves as child processes. With the feature `faults`:
//! cargo test -p gosched-net --features faults --test faults_of_the_poller

mod common;
use common::*;

use gosched_net::{TcpListener, TcpStream, UdpSocket, UnixStream, copy, dial};
use gosched_runtime::faults::{Fault, Point, plan};
use gosched_runtime::spawn;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Output};

const ROLE: &str = "GOSCHED_TEST_FAULTS_CHILD";
const FOR_EVER: u64 = u64::MAX;

/// The end of a child that is the test `test` in the role `role`; in the child, `None` and the role is played.
fn child(test: &str, role: &str, play: fn(&str)) -> Option<Output> {
    if let Ok(role) = std::env::var(ROLE) {
        play(&role);
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    Some(command.args(["--exact", test, "--nocapture"]).env(ROLE, role).output().unwrap())
}

#[track_caller]
fn assert_passed(out: &Output) {
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// A connection over which something goes.
fn works() {
    let (client, server) = connected();
    let echo = spawn(move || io::copy(&mut &server, &mut &server));
    (&client).write_all(b"hello").unwrap();
    let mut buf = [0; 5];
    (&client).read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"hello");
    drop(client);
    assert_eq!(echo.join().unwrap().unwrap(), 5);
}

#[test]
fn what_is_made_once_is_made_by_the_next_who_needs_it() {
    const TEST: &str = "what_is_made_once_is_made_by_the_next_who_needs_it";
    // The poller is made of three; the second socket that is made is the placeholder.
    for role in ["poller 1", "poller 2", "poller 3", "socket 1", "socket 2"] {
        let out = child(TEST, role, |role| {
            let (point, n) = role.split_once(' ').unwrap();
            let point = if point == "poller" { Point::Poller } else { Point::Socket };
            let planned = plan(point, n.parse().unwrap(), 1, Fault::Errno(libc::EMFILE));
            run(|| {
                let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
                let e = TcpListener::bind("127.0.0.1:0").unwrap_err();
                assert_eq!(e.raw_os_error(), Some(libc::EMFILE));
                // What came before it may be kept for the next, all else is gone: epoll, its duplicate, the waker.
                let kept = std::fs::read_dir("/proc/self/fd").unwrap().count() - before;
                assert!(kept == 0 || kept == 3, "{kept} descriptors");
                works();
            });
            assert_eq!(planned.hits(), 1);
        });
        match out {
            Some(out) => assert_passed(&out),
            None => return,
        }
    }
}

#[test]
fn a_wait_that_is_interrupted_again_and_again_loses_no_event() {
    let out = child("a_wait_that_is_interrupted_again_and_again_loses_no_event", "wait", |_| {
        run(|| {
            for n in 1..20 {
                let planned = plan(Point::Wait, n, n * 5, Fault::Errno(libc::EINTR));
                // It comes to a wait at some time.
                while planned.hits() == 0 {
                    works();
                }
            }
        });
    });
    out.iter().for_each(assert_passed);
}

#[test]
fn a_wait_that_fails_for_good_is_the_end_and_says_so() {
    let out = child("a_wait_that_fails_for_good_is_the_end_and_says_so", "wait", |_| {
        let _planned = plan(Point::Wait, 1, FOR_EVER, Fault::Errno(libc::EBADF));
        run(|| (0..1000).for_each(|_| works()));
    });
    let Some(out) = out else { return };
    let err = String::from_utf8_lossy(&out.stderr);
    let line = "fatal error: gosched: polling the network failed: Bad file descriptor (os error 9)";
    assert!(!out.status.success() && err.lines().any(|l| l == line), "{err}");
}

#[test]
fn a_copy_without_a_pipe_goes_through_memory() {
    let out = child("a_copy_without_a_pipe_goes_through_memory", "pipe", |_| {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOSYS] {
            let planned = plan(Point::Pipe, 1, FOR_EVER, Fault::Errno(errno));
            run(|| {
                let ((client, inbound), (outbound, server)) = (connected(), connected());
                let proxy = spawn(move || copy(&inbound, &outbound));
                let writer = spawn(move || (&client).write_all(&[7; 1 << 20]));
                let mut got = Vec::new();
                (&server).read_to_end(&mut got).unwrap();
                writer.join().unwrap().unwrap();
                assert_eq!((got.len(), proxy.join().unwrap().unwrap()), (1 << 20, 1 << 20));
                assert!(got.iter().all(|&b| b == 7));
            });
            assert!(planned.hits() > 0, "it never asked for one");
        }
    });
    out.iter().for_each(assert_passed);
}

#[test]
fn a_copy_whose_target_takes_no_splice_needs_no_descriptor() {
    let out = child("a_copy_whose_target_takes_no_splice_needs_no_descriptor", "pipe", |_| {
        run(|| {
            let copied = || {
                let ((client, inbound), (outbound, server)) = (connected(), connected());
                (client, server, spawn(move || copy(&inbound, &outbound)))
            };
            let mut refused = 0;
            // Splices fill the pipe and empty it, more or less in turn.
            for n in 1..=8 {
                // One pipe is in the pool after this.
                let (client, server, proxy) = copied();
                let writer = spawn(move || (&client).write_all(&[7; 1 << 20]));
                assert_eq!(io::copy(&mut &server, &mut io::sink()).unwrap(), 1 << 20);
                writer.join().unwrap().unwrap();
                proxy.join().unwrap().unwrap();

                let (client, server, proxy) = copied();
                let planned = plan(Point::Transfer, n, 1, Fault::Errno(libc::EINVAL));
                let hoard = hoard();
                assert!(!hoard.is_empty());
                // (Open to the end: no descriptor becomes free.)
                let writer = spawn(move || {
                    (&client).write_all(&[7; 1 << 20])?;
                    client.shutdown(Shutdown::Write).map(|()| client)
                });
                let came = io::copy(&mut &server, &mut io::sink()).unwrap();
                assert_eq!((came, proxy.join().unwrap().unwrap()), (1 << 20, 1 << 20));
                drop(writer.join().unwrap().unwrap());
                refused += planned.hits();
            }
            assert!(refused > 3, "{refused}");
        });
    });
    out.iter().for_each(assert_passed);
}

/// All descriptors there are.
fn hoard() -> Vec<File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: a plain call with a struct of this stack.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn descriptors_run_out_under_connections_in_use() {
    let out = child("descriptors_run_out_under_connections_in_use", "exhausted", |_| run(exhausted));
    out.iter().for_each(assert_passed);
}

fn exhausted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = connected();
    let (closed, _) = connected();
    let text = addr.to_string();
    for _ in 0..3 {
        let mut hoard = hoard();
        let none = |e: io::Error| assert_eq!(e.raw_os_error(), Some(libc::EMFILE), "{e}");
        none(TcpStream::connect(addr).unwrap_err());
        none(dial("tcp", &text).unwrap_err());
        none(TcpListener::bind("127.0.0.1:0").unwrap_err());
        none(UdpSocket::bind("127.0.0.1:0").unwrap_err());
        none(UnixStream::pair().unwrap_err());
        // One is enough for a connection, but not for both its ends: the accept waits.
        drop(hoard.pop());
        let waits = listener.try_clone().unwrap();
        let accept = spawn(move || waits.accept());
        let half = TcpStream::connect(addr).unwrap();
        // What there is goes on.
        let echo = spawn({
            let server = server.try_clone().unwrap();
            move || {
                let mut buf = [0; 5];
                (&server).read_exact(&mut buf).and_then(|()| (&server).write_all(&buf))
            }
        });
        (&client).write_all(b"hello").unwrap();
        let mut buf = [0; 5];
        (&client).read_exact(&mut buf).unwrap();
        echo.join().unwrap().unwrap();
        drop(hoard);
        let (accepted, _) = accept.join().unwrap().unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&accepted).read(&mut [0]).unwrap(), 0);
        works();
    }
    // A close needs none.
    let hoard = hoard();
    closed.close().unwrap();
    listener.close().unwrap();
    assert!(!hoard.is_empty());
}
