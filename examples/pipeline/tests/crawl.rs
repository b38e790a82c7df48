//! The crawler as a process: against our own web, against Python's server, against a server that does as the test likes; and
//! with a crawler in Python for a second opinion.
#![cfg(target_os = "linux")]

mod common;

use common::{Dir, Killed, finish, loopback, pipeline, run, said, signal, tool};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// Starts a server that says on stdout where it listens.
fn server(mut command: Command) -> (Killed, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.split_whitespace().find(|w| w.contains("http://")).unwrap_or_else(|| panic!("{line:?}"));
    (Killed(child), url.trim_matches(['(', ')']).to_owned())
}

#[test]
fn the_same_seed_has_the_same_report_however_it_is_crawled() {
    let seed = |more: &[&str], procs: &str| {
        let mut args = vec!["crawl", "--seed", "7", "--size", "150"];
        args.extend(more);
        let (out, err, code) = run(pipeline(&args).env("GOMAXPROCS", procs));
        assert_eq!((&*err, code), ("", 0), "{more:?}");
        out
    };
    let first = seed(&[], "2");
    assert!(first.starts_with("pages         150\nredirects"), "{first}");
    assert!(first.contains("\n  404 /gone/") && first.contains(" <- /p/"), "{first}");
    for procs in ["1", "2", "8"] {
        for more in [&["--fetchers", "1", "--parsers", "1"][..], &["--fetchers", "40", "--parsers", "7"]] {
            assert_eq!(seed(more, procs), first, "{procs} {more:?}");
        }
    }
    let (other, _, _) = run(&mut pipeline(&["crawl", "--seed", "8", "--size", "150"]));
    assert_ne!(other, first);
    let (one, _, code) = run(&mut pipeline(&["crawl", "--size", "1", "--max-pages", "1"]));
    assert!(code == 0 && one.starts_with("pages           1\n"), "{one}");
}

#[test]
fn a_crawler_in_python_finds_the_same() {
    let Some(python) = tool("python3") else { return };
    let addr = loopback().to_string();
    let (mut web, url) = server(pipeline(&["web", "--addr", &addr, "--seed", "3", "--size", "60"]));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts/crawl.py");
    let (theirs, err, _) = run(Command::new(python).args([script, &url]));
    assert!(theirs.starts_with("pages "), "{err}");
    let (ours, err, code) = run(&mut pipeline(&["crawl", &url]));
    assert_eq!((&*ours, &*err, code), (&*theirs, "", 0));
    // A server ends in order at a signal.
    signal(&web.0, Signal::TERM);
    assert_eq!(web.0.wait().unwrap().code(), Some(0));
}

#[test]
fn the_server_of_python_is_crawled() {
    let Some(python) = tool("python3") else { return };
    let dir = Dir::new();
    dir.file(
        "index.html",
        "<a href=a.html>a</a><a href='d/'>d</a><a href=none.html>?</a><a href='t.txt'>t</a>",
    );
    dir.file("a.html", "<base href='/d/'><a href='b.html'>b</a><a href='http://127.0.0.1:1/'>elsewhere</a>");
    dir.file("d/b.html", "<a href='../'>up</a><a href=/none.html>?</a><a href='e%20f.html'>e f</a>");
    dir.file("d/e f.html", "no links");
    dir.file("t.txt", "<a href=not-in-a-text>");
    let ip = loopback().ip().to_string();
    let mut command = Command::new(python);
    command.args(["-u", "-m", "http.server", "0", "--bind", &ip, "-d", dir.here()]).stderr(Stdio::null());
    let (_server, url) = server(command);
    let (out, err, code) = run(&mut pipeline(&["crawl", &url]));
    // The list of d, which Python makes, is a page: it leads to b and to "e f".
    let expected = "pages           6\nredirects       0\nlinks          10\nelsewhere       1\ndead links      2\n  \
                    404 /none.html <- / /d/b.html\n";
    assert_eq!((&*out, &*err, code), (expected, "", 0));
}

/// A server that gives each connection to `answer`, with the path that is asked for.
fn serve(answer: impl Fn(&str, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(loopback()).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            let path = loop {
                let mut next = String::new();
                if reader.read_line(&mut next).unwrap_or(0) <= 2 {
                    break line.split(' ').nth(1).unwrap_or_default().to_owned();
                }
                line.push_str(&next);
            };
            answer(&path, reader.into_inner());
        }
    });
    url
}

#[test]
fn whatever_http_allows_is_read() {
    let head = "HTTP/1.1 200 OK\r\ncontent-TYPE: TEXT/HTML; charset=x\r\n";
    let long = format!("{}<a href=/too-late>", " ".repeat(4 << 20));
    let url = serve(move |path, mut stream| {
        let answer = match path {
            "/" => format!(
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{head}Transfer-Encoding: chunked\r\n\r\n\
                 1b;x=y\r\n<a href=length><a href=end>\r\n1\r\n<\r\nC\r\na href=many>\r\n0\r\nTrailer: t\r\n\r\n"
            ),
            "/length" => format!("{head}Content-Length: 13\r\n\r\n<a href=long><a href=not-of-it>"),
            "/end" => format!("{head}\r\n<a href=moved>"),
            "/many" => {
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len())
            }
            "/long" => format!("{head}Content-Length: {}\r\n\r\n{long}", long.len()),
            "/moved" => "HTTP/1.1 307 \r\nLocation: https://elsewhere.example/\r\n\r\n".into(),
            _ => "HTTP/1.1 410 Gone\r\n\r\n".into(),
        };
        // In pieces, some of one byte: and the reader may have had enough.
        let (first, rest) = answer.as_bytes().split_at(answer.len().min(400));
        for byte in first {
            let _ = stream.write_all(&[*byte]);
        }
        let _ = stream.write_all(rest);
    });
    let (out, err, code) = run(&mut pipeline(&["crawl", &url]));
    let expected =
        "pages           5\nredirects       1\nlinks           5\nelsewhere       1\ndead links      0\n";
    assert_eq!((&*out, &*err, code), (expected, "", 0));
}

#[test]
fn what_is_no_answer_ends_it_all() {
    for (answer, expected) in [
        ("rubbish\r\n\r\n", "/bad: invalid HTTP version"),
        ("", "/bad: cut off"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nfour", "/bad: cut off"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: many\r\n\r\n",
            "a length that is no number",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "a chunk",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "invalid chunk size",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "/bad: cut off",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "a coding that was not asked for"),
        ("HTTP/1.1 503 Busy\r\n\r\n", "/bad: the server says 503"),
        (&"x: y\r\n".repeat(20_000), "/bad: invalid HTTP version"),
        (&format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(80_000)), "/bad: a head that is too long"),
        (&format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101)), "/bad: too many headers"),
    ] {
        let bad = answer.to_owned();
        let url = serve(move |path, mut stream| {
            let links = (0..20).map(|i| format!("<a href={i}>")).collect::<String>();
            let good = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<a href=bad>{links}");
            let _ = stream.write_all(if path == "/bad" { bad.as_bytes() } else { good.as_bytes() });
        });
        let (out, err, code) = run(&mut pipeline(&["crawl", &url]));
        assert!(out.is_empty() && code == 1 && err.contains(expected), "{answer:.60}: {err}");
    }
}

#[test]
fn a_silent_page_is_given_up_in_time() {
    let (_, err, code) = run(&mut pipeline(&["crawl", "--silent", "0", "--page-timeout", "0.2"]));
    assert!(code == 1 && err.ends_with("/p/0: no answer within 200ms\n"), "{err}");
    let (_, err, code) = run(&mut pipeline(&["crawl", "--silent", "3", "--timeout", "0.2"]));
    assert_eq!((&*err, code), ("pipeline: context deadline exceeded\n", 1));
    let (_, err, code) = run(&mut pipeline(&["crawl", "--broken", "3"]));
    assert!(code == 1 && err.contains("/p/3: invalid HTTP version"), "{err}");
}

#[test]
fn a_signal_ends_it() {
    for (sent, name, expected) in [(Signal::INT, "SIGINT", 130), (Signal::TERM, "SIGTERM", 143)] {
        let listener = TcpListener::bind(loopback()).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let child = pipeline(&["crawl", &url]).spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap(); // it has asked, and waits for us
        signal(&child, sent);
        let (out, err, code) = said(finish(child));
        assert_eq!((&*out, &*err, code), ("", &*format!("pipeline: {name}: given up\n"), expected));
    }
}

#[test]
fn nobody_there_and_bad_arguments() {
    let addr = TcpListener::bind(loopback()).unwrap().local_addr().unwrap(); // closed again
    let refused = format!("http://{addr}/");
    for (args, text, expected) in [
        (&["crawl", &*refused][..], "Connection refused", 1),
        (&["crawl", "https://h/"], "only http:// addresses", 1),
        (&["crawl", "mailto:a@b"], "only http:// addresses", 1),
        (&["crawl", "no address"], "relative URL without a base", 1),
        (&["crawl", "http://h:99999/"], "invalid port number", 1),
        (&["crawl", "--fetchers", "0"], "no number from 1 to 1024", 2),
        (&["crawl", "--timeout", "soon"], "no number", 2),
        (&["crawl", "--timeout=-1"], "negative", 2),
        (&["crawl", "--size", "x"], "invalid value 'x'", 2),
        (&["web", "--addr", "127.0.0.1"], "127.0.0.1: ", 1),
        (&["fly"], "unrecognized subcommand", 2),
    ] {
        let (out, err, code) = run(&mut pipeline(args));
        assert!(out.is_empty() && err.contains(text) && code == expected, "{args:?}: {code} {err}");
    }
}
