//! The word count as a process, beside tr, sort and uniq.
#![cfg(target_os = "linux")]

mod common;

use common::{Dir, Rng, finish, patience, pipeline, run, said, signal, tool};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the tools of the system make of the same files. (A newline between them: a word does not go from one to the next.)
fn by_tools(files: &[String], fold: bool) -> Option<Vec<u8>> {
    tool("tr").and(tool("sort")).and(tool("uniq"))?;
    let lower = if fold { "tr A-Z a-z" } else { "cat" };
    let script = format!(
        "export LC_ALL=C; for f; do cat \"$f\"; echo; done | {lower} | tr -cs 'A-Za-z0-9\\200-\\377' '\\n' | \
         grep -av '^$' | sort | uniq -c | sort -k1,1nr -k2"
    );
    let out = Command::new("sh").args(["-c", &script, "sh"]).args(files).output().unwrap();
    Some(out.stdout)
}

fn count(args: &[&str]) -> Vec<u8> {
    let mut all = vec!["wordcount", "-n", "0"];
    all.extend(args);
    let out = finish(pipeline(&all).spawn().unwrap());
    assert_eq!(out.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    assert!(out.stderr.is_empty(), "no bar where there is no terminal");
    out.stdout
}

/// Text in which words of many lengths come often and seldom; with NULs, umlauts, and bytes that are no UTF-8.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let bits = rng.below(12);
        let n = rng.below(1 << bits);
        match rng.below(4) {
            0 => text.extend(format!("Wort{n}").bytes()),
            1 => text.extend(format!("gr\u{fc}n{}", "x".repeat(n % 90)).bytes()),
            2 => text.extend([0xff, b'A' + (n % 26) as u8, 0x80]),
            _ => text.extend(n.to_string().bytes()),
        }
        text.push(b" \n\0,'-"[rng.below(6)]);
    }
    text
}

#[test]
fn the_counts_are_those_of_the_tools() {
    let dir = Dir::new();
    let mut files = vec![dir.file("empty", ""), dir.file("spaces", " \n\0\n")];
    for (i, len) in [1, 100, 65_535, 65_536, 65_537, 300_000].into_iter().enumerate() {
        files.push(dir.file(&format!("d{}/e/f{i}", i % 3), text(i as u64 + 1, len)));
    }
    // Pieces that end in a word, which goes on.
    files.push(dir.file("d0/long", "ab".repeat(20_000) + " " + &"cd".repeat(32_768)));
    let one_line: Vec<u8> =
        text(99, 1 << 20).into_iter().map(|b| if b == b'\n' { b' ' } else { b }).collect();
    files.push(dir.file("one line", one_line));
    let Some(theirs) = by_tools(&files, false) else { return };
    assert!(theirs.len() > 10_000);
    let named: Vec<&str> = files.iter().map(String::as_str).collect();
    assert!(count(&named) == theirs);
    assert!(count(&[dir.here()]) == theirs, "the directory has the same files");
    assert!(count(&[dir.here(), "--mappers", "1", "--reducers", "1"]) == theirs);
    assert!(count(&["--mappers", "20", "--reducers", "13", dir.here()]) == theirs);
    assert!(count(&["--fold", dir.here()]) == by_tools(&files, true).unwrap());
    for procs in ["1", "2", "8"] {
        let (out, _, code) = run(pipeline(&["wordcount", "-n", "20", dir.here()]).env("GOMAXPROCS", procs));
        let first: Vec<u8> = theirs.split_inclusive(|b| *b == b'\n').take(20).flatten().copied().collect();
        assert!(code == 0 && out == String::from_utf8_lossy(&first), "{out}");
    }
    // Twice the same file is twice the words.
    let (out, _, _) = run(&mut pipeline(&["wordcount", &files[2], &files[2]]));
    assert!(out.trim_start().starts_with('2'), "{out}");
}

#[test]
fn nothing_to_count_and_no_reader() {
    let dir = Dir::new();
    let empty = dir.file("empty", "");
    for args in [&["wordcount", &*empty][..], &["wordcount", dir.here()], &["wordcount", "/dev/null"]] {
        assert_eq!(run(&mut pipeline(args)), (String::new(), String::new(), 0));
    }
    let words: String = (0..100_000).map(|i| format!("w{i} ")).collect();
    let many = dir.file("many", words);
    let mut child = pipeline(&["wordcount", "-n", "0", &many]).spawn().unwrap();
    drop(child.stdout.take()); // as `| head` does
    assert_eq!(said(finish(child)), (String::new(), String::new(), 1));
    let (_, err, code) = run(&mut pipeline(&["wordcount"]));
    assert!(code == 2 && err.contains("<PATHS>..."), "{err}");
}

#[test]
fn links_are_followed_where_that_is_asked_for_and_loops_are_seen() {
    let dir = Dir::new();
    dir.file("d/a", "one two");
    dir.file("elsewhere/b", "two");
    symlink("..", dir.0.join("d/up")).unwrap();
    symlink("self", dir.0.join("d/self")).unwrap();
    symlink("../elsewhere", dir.0.join("d/away")).unwrap();
    symlink("../elsewhere/b", dir.0.join("d/file")).unwrap();
    let d = dir.path("d");
    assert_eq!(
        run(&mut pipeline(&["wordcount", &d])),
        ("      1 one\n      1 two\n".into(), String::new(), 0)
    );
    // What leads up, or to itself, is not followed.
    let (out, err, code) = run(&mut pipeline(&["wordcount", "-L", &d]));
    assert_eq!((&*out, code), ("      3 two\n      1 one\n", 1), "{err}");
    assert!(err.contains("File system loop found") && err.contains("d/self: Too many levels"), "{err}");
    assert!(err.ends_with("pipeline: 2 not read as they should be\n"), "{err}");
    // A link that is named is followed: to a directory, and to a file.
    let (away, file) = (dir.path("d/away"), dir.path("d/file"));
    assert_eq!(run(&mut pipeline(&["wordcount", &away, &file])), ("      2 two\n".into(), String::new(), 0));
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_is_counted() {
    let dir = Dir::new();
    let good = dir.file("good", "a b a");
    let (none, dangling, around) = (dir.path("none"), dir.path("dangling"), dir.path("around"));
    symlink("nowhere", &dangling).unwrap();
    symlink("around", &around).unwrap();
    let below = format!("{good}/below");
    let long = dir.path(&"n".repeat(300));
    let socket = dir.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // (Nobody may read at the address 0 of a process, not even root.)
    let bad = [&*none, &dangling, &around, &below, &long, &socket, "/proc/self/mem"];
    let mut args = vec!["wordcount", &*good];
    args.extend(bad);
    args.push(&good);
    let (out, err, code) = run(&mut pipeline(&args));
    assert_eq!((&*out, code), ("      4 a\n      2 b\n", 1), "{err}");
    for (path, why) in bad.iter().zip([
        "No such file",
        "No such file",
        "Too many levels",
        "Not a directory",
        "File name too long",
        "No such device",
        "Input/output error",
    ]) {
        assert!(err.lines().any(|l| l.contains(path) && l.contains(why)), "{path}: {why}: {err}");
    }
    assert!(err.ends_with("pipeline: 7 not read as they should be\n"), "{err}");
    // In a directory only files are meant.
    assert_eq!(
        run(&mut pipeline(&["wordcount", dir.here()])),
        ("      2 a\n      1 b\n".into(), String::new(), 0)
    );
}

#[test]
fn a_word_without_end_counts_by_its_beginning() {
    let dir = Dir::new();
    let long = dir.file("long", "x".repeat(5 << 20));
    let (out, err, code) = run(&mut pipeline(&["wordcount", &long]));
    assert_eq!(out, format!("      1 {}\n", "x".repeat(64 << 10)));
    assert!(code == 1 && err.contains("long: a word is longer than 65536 bytes, and cut off\n"), "{err}");
}

/// A pipe with a name, from which the program reads. Opening it waits until it does.
fn fifo(dir: &Dir, args: &[&str]) -> Option<(std::process::Child, fs::File)> {
    let (mkfifo, path) = (tool("mkfifo")?, dir.path("fifo"));
    assert!(Command::new(mkfifo).arg(&path).status().unwrap().success());
    let mut all = vec!["wordcount", &*path];
    all.extend(args);
    let child = pipeline(&all).spawn().unwrap();
    Some((child, OpenOptions::new().write(true).open(&path).unwrap()))
}

#[test]
fn a_line_without_end_needs_no_memory() {
    let dir = Dir::new();
    let Some((child, mut pipe)) = fifo(&dir, &[]) else { return };
    let piece: String = (0..10_000).map(|i| format!("word{} ", i % 700)).collect();
    for _ in 0..300 {
        pipe.write_all(piece.as_bytes()).unwrap();
    }
    // It has read all but what fits into the pipe; the most that it ever needed:
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    let (peak, sent) = (peak.parse::<usize>().unwrap() << 10, 300 * piece.len());
    assert!(peak < sent / 4 * 3, "{peak} bytes for {sent}");
    drop(pipe);
    let (out, err, code) = said(finish(child));
    // Of 10,000 words 200 come 15 times, and the others 14 times.
    assert!(out.starts_with("   4500 word0\n   4500 word1\n") && err.is_empty() && code == 0, "{out}{err}");
}

#[test]
fn a_file_that_vanishes_is_a_problem() {
    let dir = Dir::new();
    let (there, gone) = (dir.file("there", "c"), dir.file("gone", "b"));
    let Some((child, mut pipe)) = fifo(&dir, &["--mappers", "1", &gone, &there]) else { return };
    // The only mapper reads from the pipe; whoever looks for files has found the next one, or will not.
    fs::remove_file(&gone).unwrap();
    pipe.write_all(b"a a").unwrap();
    drop(pipe);
    let (out, err, code) = said(finish(child));
    assert_eq!((&*out, code), ("      2 a\n      1 c\n", 1));
    assert!(err.contains("gone: ") && err.contains("No such file"), "{err}");
}

#[test]
fn a_signal_ends_it_and_a_second_one_does_in_any_case() {
    let dir = Dir::new();
    let Some((child, mut pipe)) = fifo(&dir, &[]) else { return };
    signal(&child, Signal::INT);
    let reader = std::thread::spawn(move || said(finish(child)));
    while pipe.write_all(b"more ").is_ok() {} // until nobody reads
    assert_eq!(reader.join().unwrap(), (String::new(), "pipeline: SIGINT: given up\n".into(), 130));

    // A read that does not return. (The first signal may come before it, and then ends the program: once more.)
    let start = Instant::now();
    loop {
        let dir = Dir::new();
        let Some((mut child, _pipe)) = fifo(&dir, &[]) else { return };
        let status = loop {
            std::thread::sleep(Duration::from_millis(10));
            signal(&child, Signal::TERM);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < patience());
        };
        if status.signal() == Some(Signal::TERM.as_raw()) {
            return;
        }
        assert!(status.code() == Some(143) && start.elapsed() < patience(), "{status}");
    }
}

#[test]
fn a_timeout_ends_it() {
    let dir = Dir::new();
    let Some((child, mut pipe)) = fifo(&dir, &["--timeout", "0.05"]) else { return };
    while pipe.write_all(b"more ").is_ok() {}
    assert_eq!(said(finish(child)), (String::new(), "pipeline: context deadline exceeded\n".into(), 1));
}

#[test]
fn the_bar_is_for_terminals() {
    let Some(python) = tool("python3") else { return };
    let dir = Dir::new();
    let file = dir.file("file", text(5, 500_000));
    let (plain, _, _) = run(&mut pipeline(&["wordcount", "-n", "3", &file]));
    let plain = plain.replace('\n', "\r\n");
    // Python makes a terminal for its child, and passes on what comes from there.
    let script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let program = env!("CARGO_BIN_EXE_pipeline");
    let on_terminal = |more: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-c", script, program, "wordcount", "-n", "3", &file, "/none"]).args(more);
        run(command.env("TERM", "xterm"))
    };
    let (quiet, _, code) = on_terminal(&["--quiet"]);
    assert!(code == 1 && !quiet.contains('\x1b') && quiet.contains(&plain), "{quiet:?}");
    let (bar, _, code) = on_terminal(&[]);
    assert!(code == 1 && bar.contains("KiB of 488.") && bar.contains(&plain), "{bar:?}");
    assert!(bar.contains("pipeline: /none: ") || bar.contains("No such file"), "{bar:?}");
}
