//! What a child gets of its parent and what it does not: descriptors, pipes, the way it ends by a signal.
mod common;
use common::*;
use gosched_net::{TcpListener, TcpStream, UdpSocket, UnixStream, copy};
use gosched_os::fs;
use gosched_os::process::{Command, Stdio};
use gosched_os::signal::{self, SIGUSR1};
use gosched_runtime::spawn;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

fn sh(script: &str) -> Command {
    let mut c = Command::new("sh");
    c.args(["-c", script]);
    c
}

#[cfg(target_os = "linux")]
#[test]
fn no_descriptor_of_ours_but_its_three_streams() {
    const NAME: &str = "no_descriptor_of_ours_but_its_three_streams";
    if !alone(NAME) {
        return;
    }
    run(|| {
        // What this process was given may go on to its children; everything below is ours.
        let list = || {
            let out = Command::new("ls").arg("/proc/self/fd").output().unwrap();
            String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let given: Vec<_> = list();
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let c = TcpStream::connect(l.local_addr().unwrap()).unwrap();
        let (s, _) = l.accept().unwrap();
        let u = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        let file = fs::File::open("Cargo.toml").unwrap();
        let signals = signal::notify(&[SIGUSR1]);
        // A pipe of a copy, left in the pool.
        let copying = spawn(move || copy(&s, &a));
        let feeding = spawn(move || (&c).write_all(&vec![1; 500_000]).unwrap());
        (&b).read_exact(&mut vec![0; 500_000]).unwrap();
        feeding.join().unwrap();
        copying.join().unwrap().unwrap();
        // A closed socket's placeholder, a silent child's pipes and pidfd.
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
        closed.close().unwrap();
        let mut silent = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = silent.stdin.take().unwrap();
        assert_eq!(silent.wait_timeout(Duration::from_millis(1)).unwrap(), None);
        assert_eq!(list(), given);
        drop(to);
        assert!(silent.wait().unwrap().success());
        drop((l, u, b, file, closed));
        signal::stop(&signals);
    });
}

#[test]
fn whoever_inherited_the_pipes_does_not_hold_wait_up() {
    run(|| {
        // The child ends at once, and leaves somebody behind who holds its output open.
        let mut child = sh("sleep 1000 & echo $!").stdout(Stdio::piped()).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let mut out = child.stdout.take().unwrap();
        let mut pid = [0; 16];
        let n = out.read(&mut pid).unwrap();
        let left_behind: i32 = std::str::from_utf8(&pid[..n]).unwrap().trim().parse().unwrap();
        // The output has no end while that one lives: a deadline gives up, and its death is the end.
        out.set_deadline(Some(Instant::now() + Duration::from_millis(10))).unwrap();
        assert_eq!(out.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        out.set_deadline(None).unwrap();
        let reading = spawn(move || out.read(&mut [0; 8]));
        settle();
        // SAFETY: plain numbers: the process that the script has named, which nobody has waited for.
        assert_eq!(unsafe { libc::kill(left_behind, libc::SIGKILL) }, 0);
        assert_eq!(reading.join().unwrap().unwrap(), 0);
    });
}

#[test]
fn a_child_that_writes_to_nobody_ends_by_sigpipe() {
    run(|| {
        // This process ignores SIGPIPE; what it starts does not.
        let mut child = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 100]).unwrap();
        drop(out);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGPIPE));
    });
}

#[test]
fn a_child_that_is_stopped_has_not_ended() {
    run(|| {
        for _ in 0..5 {
            let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            to.write_all(b"ping").unwrap();
            from.read_exact(&mut [0; 4]).unwrap();
            let pid = child.id() as i32;
            // SAFETY: plain numbers; a child of ours that has not been waited for, since its input is open.
            let send = |signal| assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
            send(libc::SIGSTOP);
            assert_eq!(child.wait_timeout(Duration::from_millis(20)).unwrap(), None);
            assert_eq!(child.try_wait().unwrap(), None);
            let waiting = spawn(move || child.wait().unwrap());
            settle();
            for signal in [libc::SIGCONT, libc::SIGSTOP, libc::SIGCONT] {
                send(signal);
                gosched_runtime::sleep(Duration::from_millis(5));
            }
            to.write_all(b"pong").unwrap();
            from.read_exact(&mut [0; 4]).unwrap();
            assert!(!waiting.is_finished());
            drop(to);
            assert!(waiting.join().unwrap().success());
        }
    });
}

#[test]
fn what_cannot_be_started_leaves_no_pipes_behind() {
    if !alone("what_cannot_be_started_leaves_no_pipes_behind") {
        return;
    }
    run(|| {
        let piped = |program: &str| {
            let mut c = Command::new(program);
            c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        };
        assert!(piped("true").unwrap().wait().unwrap().success());
        let before = descriptors();
        for _ in 0..10 {
            assert_eq!(piped("no-such-program-anywhere").unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(piped("/").unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(piped("a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
            assert!(sh("true").env("A\0B", "x").stdin(Stdio::piped()).spawn().is_err());
            assert_eq!(descriptors(), before);
        }
    });
}

#[test]
fn children_that_wait_and_children_that_end_are_started_side_by_side() {
    run(|| {
        // One that waited would hold up one that ends, had it inherited the other's pipes.
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                spawn(|| {
                    let mut child =
                        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                    (child.stdin.take().unwrap(), child)
                })
            })
            .collect();
        let ending: Vec<_> = (0..8)
            .map(|i| {
                spawn(move || {
                    let output = sh(&format!("exit {}", 248 + i)).output().unwrap();
                    assert_eq!(output.status.code(), Some(248 + i));
                })
            })
            .collect();
        ending.into_iter().for_each(|e| e.join().unwrap());
        for w in waiting {
            let (to, mut child) = w.join().unwrap();
            assert_eq!(child.try_wait().unwrap(), None);
            drop(to);
            assert!(child.wait().unwrap().success());
        }
    });
}

#[test]
fn one_end_of_a_child_is_one_sigchld() {
    if !alone("one_end_of_a_child_is_one_sigchld") {
        return;
    }
    run(|| {
        let ends = signal::notify(&[signal::Signal::SIGCHLD]);
        for _ in 0..5 {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let to = child.stdin.take();
            assert_eq!(child.wait_timeout(Duration::from_millis(1)).unwrap(), None);
            assert!(ends.try_recv().is_err(), "nobody has ended");
            drop(to);
            assert!(child.wait().unwrap().success());
            assert_eq!(ends.recv(), Some(signal::Signal::SIGCHLD));
            assert!(ends.recv_timeout(Duration::from_millis(10)).is_err(), "only one has ended");
        }
        signal::stop(&ends);
    });
}
