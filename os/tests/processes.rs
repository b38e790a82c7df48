//! Children: their pipes park, their end is waited for without a thread, and nothing is left of one that fails.
mod common;
use common::*;
use gosched_os::process::{Child, Command, Stdio};
use gosched_runtime::{go, scope, sleep, spawn};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn sh(script: &str) -> Command {
    let mut c = Command::new("sh");
    c.args(["-c", script]);
    c
}

/// Whether the process is gone altogether, not even a zombie.
fn gone(pid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::kill(pid as i32, 0) != 0 }
}

#[test]
fn output_gives_what_was_written_and_how_it_ended() {
    run(|| {
        let mut c = sh("echo out; echo err >&2; exit 7");
        for _ in 0..2 {
            let output = c.output().unwrap();
            assert_eq!(output.status.code(), Some(7));
            assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        }
        // What was said stays said.
        let output = sh("echo out; echo err >&2").stderr(Stdio::null()).output().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (4, 0));
        // No stdin: it is at its end.
        assert_eq!(Command::new("cat").output().unwrap().stdout, b"");
        assert!(sh("exit 0").status().unwrap().success());
    });
}

#[test]
fn much_on_both_outputs_at_once_does_not_hold_the_child_up() {
    run(|| {
        let script = "head -c 500000 /dev/zero >&2; head -c 400000 /dev/zero; head -c 300000 /dev/zero >&2";
        let output = sh(script).output().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (400_000, 800_000));
    });
}

#[test]
fn a_conversation_with_a_child() {
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        for round in 0..50u32 {
            let line = format!("line {round}\n");
            to.write_all(line.as_bytes()).unwrap();
            let mut back = vec![0; line.len()];
            from.read_exact(&mut back).unwrap();
            assert_eq!(back, line.as_bytes());
        }
        // More than the pipes hold: the writer parks until the reader comes.
        let all = vec![b'x'; 1_000_000];
        scope(|s| {
            s.spawn(move || to.write_all(&all).unwrap());
            let mut back = Vec::new();
            from.read_to_end(&mut back).unwrap();
            assert_eq!(back.len(), 1_000_000);
        });
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn others_run_while_a_goroutine_waits_for_a_child() {
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let counter = turns.clone();
        let waiting = spawn(move || child.wait().unwrap());
        go(move || {
            while counter.fetch_add(1, Ordering::Relaxed) < 100 {
                gosched_runtime::yield_now();
            }
            drop(stdin);
        });
        assert!(waiting.join().unwrap().success());
        assert!(turns.load(Ordering::Relaxed) >= 100);
    });
}

#[test]
fn waiting_for_many_children_takes_no_thread_each() {
    if !alone("waiting_for_many_children_takes_no_thread_each") {
        return;
    }
    run(|| {
        let mut children: Vec<Child> =
            (0..30).map(|_| Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()).collect();
        let stdins: Vec<_> = children.iter_mut().map(|c| c.stdin.take().unwrap()).collect();
        let waiting: Vec<_> =
            children.into_iter().map(|mut c| spawn(move || c.wait().unwrap().success())).collect();
        sleep(Duration::from_millis(100));
        if cfg!(target_os = "linux") {
            assert!(threads() < 25, "{} threads", threads());
        }
        drop(stdins);
        assert!(waiting.into_iter().all(|w| w.join().unwrap()));
    });
}

#[test]
fn a_child_that_never_ends_is_given_up_after_the_limit_and_goes_on() {
    run(|| {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), None);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(child.wait_timeout(Duration::from_millis(15)).unwrap(), None);
        }
        assert!(start.elapsed() >= Duration::from_millis(45) && start.elapsed() < NEVER);
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        let status = child.wait_timeout(Duration::MAX).unwrap().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        // The answer stays, killing it again is nothing.
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.wait_timeout(Duration::ZERO).unwrap(), Some(status));
        child.kill().unwrap();
        // A limit that a quick child does not reach.
        let mut quick = sh("exit 4").spawn().unwrap();
        assert_eq!(quick.wait_timeout(NEVER).unwrap().unwrap().code(), Some(4));
    });
}

#[test]
fn wait_closes_the_childs_stdin_first() {
    run(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(child.wait_with_output().unwrap().stdout, b"");
    });
}

#[test]
fn a_dropped_child_lives_on() {
    run(|| {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let Child { stdin, stdout, .. } = child;
        let (mut stdin, mut stdout) = (stdin.unwrap(), stdout.unwrap());
        stdin.write_all(b"x").unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        assert!(!gone(pid));
        drop(stdin);
        assert_eq!(stdout.read(&mut [0]).unwrap(), 0);
        // SAFETY: a plain call; nobody else waits for that child.
        assert_eq!(unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) }, pid as i32);
    });
}

#[test]
fn what_cannot_be_started_is_an_error() {
    run(|| {
        assert_eq!(Command::new("/no/such/program").spawn().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(Command::new("/").spawn().unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(Command::new("a\0b").spawn().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(sh("true").current_dir("/no/such/place").status().is_err());
        // A reader that is gone: SIGPIPE is ignored, the write says it.
        let mut child = sh("exec <&-; exec sleep 1000").stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let e = loop {
            if let Err(e) = stdin.write(&[0; 4096]) {
                break e;
            }
        };
        assert_eq!(e.kind(), ErrorKind::BrokenPipe);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn a_pipe_of_a_child_can_be_the_stdin_of_another() {
    run(|| {
        let mut one = sh("sleep 0.05; echo hello").stdout(Stdio::piped()).spawn().unwrap();
        // In blocking mode, as cat expects: it does not know EAGAIN.
        let two = Command::new("cat").stdin(one.stdout.take().unwrap()).output().unwrap();
        assert_eq!((two.status.success(), &two.stdout[..]), (true, &b"hello\n"[..]));
        assert!(one.wait().unwrap().success());
    });
}

#[test]
fn a_deadline_and_close_end_a_read_from_a_silent_child() {
    run(|| {
        let mut child = Command::new("sleep").arg("1000").stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.set_deadline(Some(Instant::now() + Duration::from_millis(10))).unwrap();
        assert_eq!(out.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        out.close().unwrap();
        assert_eq!(out.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn without_descriptors_nothing_is_left_behind() {
    if !alone("without_descriptors_nothing_is_left_behind") {
        return;
    }
    run(|| {
        // One that runs already is waited for without a pidfd.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let before = descriptors();
        for left in 0..12 {
            let hoarded = hoard(left);
            let piped =
                sh("exit 0").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            match piped {
                Ok(mut child) => drop(child.wait().unwrap()),
                Err(e) => assert_eq!(e.raw_os_error(), Some(libc::EMFILE)),
            }
            drop(hoarded);
            assert_eq!(descriptors(), before, "{left} left");
        }
        {
            let _hoarded = hoard(0);
            assert_exhausted(Command::new("true").stdout(Stdio::piped()).spawn());
            assert_eq!(
                child.wait_timeout(Duration::from_millis(20)).unwrap_or(None),
                child.try_wait().unwrap()
            );
            assert!(child.wait().unwrap().success());
        }
        // No zombies: there is no child to wait for.
        // SAFETY: a plain call.
        assert_eq!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }, -1);
    });
}

#[test]
fn many_at_once() {
    run(|| {
        let all: Vec<_> = (0..20)
            .map(|i| {
                spawn(move || {
                    let output = sh(&format!("echo {i}; exit {i}")).output().unwrap();
                    assert_eq!(output.status.code(), Some(i));
                    assert_eq!(output.stdout, format!("{i}\n").as_bytes());
                })
            })
            .collect();
        all.into_iter().for_each(|j| j.join().unwrap());
    });
}
