//! Files through announced calls, and the standard streams.
mod common;
use common::*;
use gosched_os::fs::{self, File, OpenOptions};
use gosched_os::io::{stdin, stdout};
use gosched_runtime::{go, spawn};
use std::io::{BufRead, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn place(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("gosched-os-{}-{name}", std::process::id()))
}

#[test]
fn a_file_is_what_std_says_it_is() {
    run(|| {
        let path = place("file");
        let file = File::create_new(&path).unwrap();
        assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        (&file).write_all(b"hello world").unwrap();
        assert_eq!((&file).seek(SeekFrom::Start(6)).unwrap(), 6);
        let mut text = String::new();
        (&file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "world");
        file.write_all_at(b"HELLO", 0).unwrap();
        let mut five = [0; 5];
        file.read_exact_at(&mut five, 0).unwrap();
        assert_eq!(&five, b"HELLO");
        assert_eq!(file.read_at(&mut five, 100).unwrap(), 0);
        file.set_len(5).unwrap();
        file.sync_data().unwrap();
        assert_eq!((file.metadata().unwrap().len(), std::fs::read(&path).unwrap()), (5, b"HELLO".to_vec()));
        let mut appended = OpenOptions::new().append(true).open(&path).unwrap();
        appended.write_all(b"!").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "HELLO!");
        assert_eq!(fs::copy(&path, path.with_extension("2")).unwrap(), 6);
        fs::rename(path.with_extension("2"), &path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    run(|| {
        let dir = place("dir");
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("c"), "x").unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["a", "c"]);
        assert!(fs::remove_dir(&dir).is_err());
        fs::remove_dir_all(&dir).unwrap();
        assert!(!fs::exists(&dir).unwrap());
        assert!(fs::read_dir(&dir).is_err());
    });
}

#[test]
fn a_call_that_blocks_for_long_holds_nobody_up() {
    run(|| {
        // Opening a FIFO blocks until somebody opens its other side.
        let path = place("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a string that ends in a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let reading = spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap()
        });
        let turns = Arc::new(AtomicUsize::new(0));
        let counter = turns.clone();
        go(move || {
            for _ in 0..100 {
                counter.fetch_add(1, Ordering::Relaxed);
                gosched_runtime::yield_now();
            }
        });
        eventually("others have run", || turns.load(Ordering::Relaxed) == 100);
        fs::write(&path, "at last").unwrap();
        assert_eq!(reading.join().unwrap(), "at last");
        fs::remove_file(&path).unwrap();
    });
}

/// Starts the named test as a child with this stdin.
fn with_stdin(test: &str, stdin: Stdio) -> Child {
    alone_command(test).stdin(stdin).stdout(Stdio::piped()).spawn().unwrap()
}

fn said(child: Child) -> String {
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn lines_of_stdin_come_as_they_are_written() {
    const NAME: &str = "lines_of_stdin_come_as_they_are_written";
    if is_child() {
        return run(|| {
            let turns = Arc::new(AtomicUsize::new(0));
            let counter = turns.clone();
            go(move || {
                loop {
                    counter.fetch_add(1, Ordering::Relaxed);
                    gosched_runtime::sleep(std::time::Duration::from_millis(1));
                }
            });
            let mut first = String::new();
            assert_eq!(stdin().read_line(&mut first).unwrap(), 6);
            let before = turns.load(Ordering::Relaxed);
            writeln!(stdout(), "<{}>", first.trim_end()).unwrap();
            let rest: Vec<_> = stdin().lines().map(|l| l.unwrap()).collect();
            assert!(turns.load(Ordering::Relaxed) > before, "nobody ran meanwhile");
            println!("<{}>", rest.join("|"));
            assert_eq!(stdin().read_line(&mut first).unwrap(), 0);
        });
    }
    let mut child = with_stdin(NAME, Stdio::piped());
    let mut to = child.stdin.take().unwrap();
    let mut from = std::io::BufReader::new(child.stdout.take().unwrap());
    to.write_all(b"first\n").unwrap();
    let mut answer = String::new();
    while !answer.contains("<first>") {
        assert_ne!(from.read_line(&mut answer).unwrap(), 0, "{answer}");
    }
    std::thread::sleep(std::time::Duration::from_millis(30));
    to.write_all(b"second\nthi").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    to.write_all(b"rd").unwrap();
    drop(to);
    from.read_to_string(&mut answer).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(answer.contains("<second|third>"), "{answer}");
}

#[test]
fn stdin_may_be_a_file_nothing_or_closed_and_its_mode_stays() {
    const NAME: &str = "stdin_may_be_a_file_nothing_or_closed_and_its_mode_stays";
    if is_child() {
        return run(|| {
            let mut text = String::new();
            stdin().lock().read_to_string(&mut text).unwrap();
            // SAFETY: a plain question about descriptor 0.
            let flags = unsafe { libc::fcntl(0, libc::F_GETFL) };
            println!("<{}:{}>", text.len(), flags > 0 && flags & libc::O_NONBLOCK != 0);
        });
    }
    let len = std::fs::metadata("Cargo.toml").unwrap().len();
    let file = std::fs::File::open("Cargo.toml").unwrap();
    assert!(said(with_stdin(NAME, file.into())).contains(&format!("<{len}:false>")));
    assert!(said(with_stdin(NAME, Stdio::null())).contains("<0:false>"));
    let mut child = with_stdin(NAME, Stdio::piped());
    child.stdin.take().unwrap().write_all(b"abc").unwrap();
    assert!(said(child).contains("<3:false>"));
}

#[test]
fn two_readers_of_stdin_share_its_lines() {
    const NAME: &str = "two_readers_of_stdin_share_its_lines";
    if is_child() {
        return run(|| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    spawn(|| {
                        let mut count = 0;
                        let mut line = String::new();
                        while stdin().read_line(&mut line).unwrap() > 0 {
                            assert_eq!(line, "0123456789\n");
                            line.clear();
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            let total: i32 = readers.into_iter().map(|r| r.join().unwrap()).sum();
            println!("<{total}>");
        });
    }
    let mut child = with_stdin(NAME, Stdio::piped());
    let mut to = child.stdin.take().unwrap();
    for _ in 0..1000 {
        to.write_all(b"0123456789\n").unwrap();
    }
    drop(to);
    assert!(said(child).contains("<1000>"));
}
