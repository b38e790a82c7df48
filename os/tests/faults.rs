//! What becomes of children and signals where the system refuses a call: each call in turn. There is an error or there is
//! none, but never a descriptor left, nor a child that nobody knows of.
//!
//! With the feature `faults`: cargo test -p gosched-os --features faults --test faults

mod common;
use common::*;
use gosched_os::process::{Command, Output, Stdio};
use gosched_os::signal::{self, Signal};
use gosched_runtime::faults::{Fault, Point, plan};
use gosched_runtime::num_goroutine;
use std::io;
use std::time::Duration;

/// Whether this process has a child, be it a zombie.
fn has_children() -> bool {
    // SAFETY: no place for a status; WNOHANG and WNOWAIT only look.
    let r = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
    };
    r == 0
}

/// A child with three pipes that lives until its stdin ends.
fn talk() -> io::Result<Output> {
    let mut command = Command::new("sh");
    command.args(["-c", "read line; echo out; echo err >&2; exit 3"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn()?.wait_with_output()
}

fn assert_clean(r: io::Result<Output>) {
    let output = r.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
}

/// Refuses each call at `point` in turn, until there is none more to refuse; `judge` sees what came of it.
fn sweep(point: Point, errno: i32, judge: impl Fn(io::Result<Output>)) {
    assert_clean(talk());
    let (before, goroutines) = (descriptors(), num_goroutine());
    for n in 1.. {
        let planned = plan(point, n, 1, Fault::Errno(errno));
        let r = talk();
        let hits = planned.hits();
        drop(planned);
        if hits == 0 {
            assert!(n > 1, "{point:?} is not on the way");
            assert_clean(r);
            break;
        }
        judge(r);
        assert!(!has_children(), "{point:?}, call {n}: a child is left");
        eventually("all is as before", || descriptors() == before && num_goroutine() == goroutines);
        assert_clean(talk());
    }
}

#[test]
fn a_child_that_cannot_be_had() {
    if alone("a_child_that_cannot_be_had") {
        run(|| {
            for errno in [libc::EAGAIN, libc::ENOMEM, libc::EMFILE] {
                sweep(Point::Fork, errno, |r| assert_eq!(r.unwrap_err().raw_os_error(), Some(errno)));
            }
        });
    }
}

#[test]
fn a_child_whose_pipes_cannot_be_watched_is_ended() {
    if alone("a_child_whose_pipes_cannot_be_watched_is_ended") {
        run(|| {
            for errno in [libc::ENOSPC, libc::ENOMEM] {
                // The pidfd can be done without; a pipe of the child's cannot.
                sweep(Point::Register, errno, |r| match r {
                    Ok(output) => assert_clean(Ok(output)),
                    Err(e) => assert_eq!(e.raw_os_error(), Some(errno)),
                });
            }
        });
    }
}

#[test]
fn a_child_that_makes_no_event_of_its_end_is_waited_for_all_the_same() {
    if alone("a_child_that_makes_no_event_of_its_end_is_waited_for_all_the_same") {
        run(|| {
            for errno in [libc::EMFILE, libc::ENFILE, libc::ENOSYS, libc::EPERM] {
                let planned = plan(Point::Pidfd, 1, u64::MAX, Fault::Errno(errno));
                let before = descriptors();
                // Alive when it is waited for, so that its end is one to wait for.
                let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
                assert_eq!(child.wait_timeout(Duration::from_millis(20)).unwrap(), None);
                child.kill().unwrap();
                assert!(!child.wait().unwrap().success());
                assert_eq!((planned.hits(), descriptors(), has_children()), (1, before, false));
            }
        });
    }
}

/// The first try is refused at `point`, the next one works.
fn signals_refused_at(point: Point) {
    run(move || {
        let planned = plan(point, 1, 1, Fault::Errno(libc::EMFILE));
        let e = signal::try_notify(&[Signal::SIGUSR1]).unwrap_err();
        assert_eq!((e.raw_os_error(), planned.hits()), (Some(libc::EMFILE), 1));
        let rx = signal::try_notify(&[Signal::SIGUSR1]).unwrap();
        signal::raise(Signal::SIGUSR1).unwrap();
        assert_eq!(rx.recv(), Some(Signal::SIGUSR1));
        signal::stop(&rx);
        // And once more, with everything in place.
        let before = descriptors();
        let rx = signal::try_notify(&[Signal::SIGUSR1]).unwrap();
        signal::stop(&rx);
        eventually("no descriptor more", || descriptors() == before);
    });
}

#[test]
fn signals_whose_pipe_cannot_be_had_come_with_the_next_try() {
    if alone("signals_whose_pipe_cannot_be_had_come_with_the_next_try") {
        signals_refused_at(Point::Pipe);
    }
}

#[test]
fn signals_whose_pipe_cannot_be_watched_come_with_the_next_try() {
    if alone("signals_whose_pipe_cannot_be_watched_come_with_the_next_try") {
        signals_refused_at(Point::Register);
    }
}
