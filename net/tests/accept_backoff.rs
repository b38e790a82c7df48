//! A server that runs out of descriptors waits for some and goes on.
//!
//! The test runs itself as a child process, whose limit it lowers and whose stderr it reads.
mod common;
use common::*;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

const ROLE: &str = "GOSCHED_TEST_ACCEPT_BACKOFF_CHILD";

#[test]
fn accept_waits_out_a_lack_of_descriptors() {
    if std::env::var_os(ROLE).is_some() {
        return child();
    }
    // A file, of which the child sees how much has been written to it.
    let path = std::env::temp_dir().join(format!("gosched-accept-{}", std::process::id()));
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "accept_waits_out_a_lack_of_descriptors", "--nocapture"])
        .env(ROLE, "1")
        .stderr(File::create(&path).unwrap())
        .status()
        .unwrap();
    let err = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(status.success(), "{err}");
    let lines: Vec<_> = err.lines().filter(|l| l.starts_with("gosched: ")).collect();
    // One for each of the child's three episodes, however often it tried in each.
    assert_eq!(lines.len(), 3, "{err}");
    for line in lines {
        assert!(line.starts_with("gosched: accept on 127.0.0.1:"), "{line}");
        assert!(line.ends_with(": Too many open files (os error 24); retrying in 5 ms"), "{line}");
    }
}

/// Takes all descriptors that there are.
fn hoard() -> Vec<File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: a plain call with a struct of this stack.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn child() {
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned().unwrap());
    let written = || stderr.metadata().unwrap().len();
    let (l, addr) = listener();
    let address = socket2::SockAddr::from(addr);
    for _ in 0..2 {
        std::thread::scope(|s| {
            let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let hoard = hoard();
            // It may find at once that there are none: the kernel looks for a descriptor before it looks for a client.
            let before = written();
            let accept = s.spawn(|| l.accept());
            client.connect(&address).unwrap();
            eventually("accept tells that there are none", || written() > before);
            // Several rounds of the back-off: 5, 10, 20 …
            std::thread::sleep(Duration::from_millis(60));
            assert!(!accept.is_finished());
            assert!(hoard.iter().all(|f| f.as_raw_fd() != client.as_raw_fd()));
            drop(hoard);
            accept.join().unwrap().unwrap();
        });
    }
    // `close` ends the wait, and needs no descriptor for that.
    std::thread::scope(|s| {
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let hoard = hoard();
        let before = written();
        let accept = s.spawn(|| l.accept());
        client.connect(&address).unwrap();
        eventually("accept tells that there are none", || written() > before);
        std::thread::sleep(Duration::from_millis(700)); // in the pause of 640 ms, or close to the next
        let start = Instant::now();
        l.close().unwrap();
        assert_closed(accept.join().unwrap());
        assert!(start.elapsed() < Duration::from_millis(300));
        drop(hoard);
    });
}
