//! What must not work, each with the answer that is expected; after each the server serves.
#![cfg(target_os = "linux")]

mod common;

use common::{Dir, Program, patience, to_the_end, until};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

#[test]
fn bad_requests_are_refused() {
    let server = Program::start(&["--head", "1000", "--body", "10", "--linger", "100000"]);
    let post = |fields: &str| format!("POST /size HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
    let get = |target: &[u8]| [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let chunks = |text: &str| [post("Transfer-Encoding: chunked\r\n"), text.into()].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a long field", post(&format!("X: {}\r\n", "y".repeat(1000))), 431),
        ("a long path", get(&[b'/'; 1000]), 431),
        ("many fields", post(&"a:b\r\n".repeat(65)), 431),
        ("a head without end", [post("")[..21].to_vec(), b"X: ".to_vec(), vec![b'a'; 100_000]].concat(), 431),
        ("a long body", post("Content-Length: 11\r\n"), 413),
        ("long chunks", chunks("6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n"), 413),
        ("a long chunk", chunks("fffffffffffffff\r\n"), 413),
        ("noise", b"\x00\x01\x02\xff\r\n\r\n".to_vec(), 400),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
        ("no version", b"GET /\r\n\r\n".to_vec(), 400),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 505),
        ("no Host", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        ("two Hosts", post("Host: i\r\n"), 400),
        ("a target that is no path", get(b"plaintext"), 400),
        ("a proxy's business", b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 400),
        ("not UTF-8 in the path", get(b"/\xff\xfe"), 400),
        ("not UTF-8 in the path, encoded", get(b"/%ff%fe"), 400),
        ("not UTF-8 in a name", b"GET / HTTP/1.1\r\nHost: h\r\n\xff: x\r\n\r\n".to_vec(), 400),
        ("not UTF-8 in Host", b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n".to_vec(), 400),
        ("not UTF-8 in a length", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: \xff\r\n\r\n".to_vec(), 400),
        ("a zero in a value", b"GET / HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n".to_vec(), 400),
        ("a space before the colon", post("Content-Length : 5\r\n"), 400),
        ("a folded field", post("X: a\r\n b\r\n"), 400),
        ("a bare LF", post("X: a\nY: b\r\n"), 400),
        (
            "both lengths",
            [post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), b"0\r\n\r\n".to_vec()].concat(),
            400,
        ),
        ("both lengths, turned round", post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400),
        ("two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n"), 400),
        ("a signed length", post("Content-Length: +3\r\n"), 400),
        ("chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("an unknown coding", post("Transfer-Encoding: gzip\r\n"), 501),
        ("an unknown expectation", post("Content-Length: 3\r\nExpect: more\r\n"), 417),
        ("a chunk without a size", chunks("\r\nabc\r\n"), 400),
        ("a chunk with a bad size", chunks("x\r\nabc\r\n"), 400),
        ("a chunk with a signed size", chunks("+3\r\nabc\r\n"), 400),
        ("a chunk with too large a size", chunks("10000000000000003\r\nabc\r\n"), 400),
        ("a chunk that is longer than it says", chunks("3\r\nabcd\r\n0\r\n\r\n"), 400),
        ("a chunk with a bare LF", chunks("3\nabc\n0\n\n"), 400),
        ("a chunk with a bare LF in its extension", chunks("3;a\nb\r\nabc\r\n"), 400),
        ("a long extension", chunks(&format!("3;{}\r\nabc\r\n", "x".repeat(300))), 400),
        ("a long trailer", chunks(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(200))), 431),
    ];
    for (what, bytes, status) in cases {
        // A second request after each: were it answered, then whoever sent the first has smuggled it.
        let answer = server.answers(&[&bytes[..], b"GET /plaintext HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        // (A path of bytes that are no text is a good request for nothing.)
        if what != "not UTF-8 in the path, encoded" {
            assert!(answer.contains("\r\nconnection: close\r\n"), "{what}: {answer}");
        }
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        server.logged(&["access", &format!("status={status}")]);
    }
    // Bytes that nobody reads may be any.
    let fine = b"GET /plaintext HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: \xff\xfe\r\n\r\n";
    assert!(server.answers(fine).starts_with("HTTP/1.1 200 "));
    server.lives();
    assert!(server.end().ends_with("; 0 cut off"));
}

#[test]
fn half_a_client() {
    let server = Program::start(&[]);
    let half = |bytes: &[u8]| {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        to_the_end(&mut stream)
    };
    // It has said all, and still reads: it gets all.
    let get = b"GET /lines?n=3&ms=5 HTTP/1.1\r\nHost: h\r\n\r\nGET /plaintext HTTP/1.1\r\nHost: h\r\n\r\n";
    let both = half(get);
    assert!(both.contains("line 3\n") && both.ends_with("Hello, World!"), "{both}");
    // It ends in the middle of something.
    assert_eq!(half(b""), "");
    assert!(half(b"GET /plaintext HTTP/1.1\r\nHo").starts_with("HTTP/1.1 400 "));
    let post = "POST /size HTTP/1.1\r\nHost: h\r\n";
    assert!(half(format!("{post}Content-Length: 9\r\n\r\n1234").as_bytes()).starts_with("HTTP/1.1 400 "));
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    for rest in ["", "5", "5\r\n12", "5\r\n12345", "5\r\n12345\r\n0\r\n", "0\r\na: b\r\n"] {
        let answer = half(format!("{chunked}{rest}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{rest:?}: {answer}");
    }
    // It reads nothing, and is gone.
    for _ in 0..20 {
        let mut stream = server.connect();
        stream.write_all(&get.repeat(20)).unwrap();
    }
    server.lives();
    server.end();
}

/// Each server has one short limit, so that nothing else depends on how fast this test is.
#[test]
fn each_wait_has_its_end() {
    // For the head, which nobody can send in no time: a client that was too slow itself is closed without a word, and
    // tries again.
    let server = Program::start(&["--head-time", "150", "--linger", "100000"]);
    assert_eq!(to_the_end(&mut server.connect()), "", "silence");
    let began = Instant::now();
    for (bytes, status) in [
        (&b"GET /plaintext HTT"[..], 408),
        (b"GET /no HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 404),
    ] {
        let mut answer = Vec::new();
        while answer.is_empty() {
            assert!(began.elapsed() < patience(), "never served");
            let mut stream = server.connect();
            let _ = stream.write_all(bytes).and_then(|()| stream.read_to_end(&mut answer));
        }
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{answer:?}");
    }
    server.end();

    let server = Program::start(&["--idle-time", "150"]);
    let answer = server.answers(b"GET /plaintext HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("Hello, World!"), "{answer}");
    server.end();

    let server = Program::start(&["--body-time", "150", "--linger", "100000"]);
    for body in ["Content-Length: 9\r\n\r\n1234", "Transfer-Encoding: chunked\r\n\r\n5\r\n1234"] {
        let answer = server.answers(format!("POST /size HTTP/1.1\r\nHost: h\r\n{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    server.lives();
    server.end();

    // Nobody who reads: a file (larger than what sockets hold; it takes no room), and an answer that is made.
    const LARGE: usize = 256 << 20;
    let root = Dir::new();
    std::fs::File::create(root.path("large")).unwrap().set_len(LARGE as u64).unwrap();
    let server = Program::start(&["--write-time", "150", "--root", &root.path("")]);
    for path in ["/large", "/lines?ms=0"] {
        let mut stream = server.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        server.logged(&["access", &format!("path=\"{}\"", path.split('?').next().unwrap())]);
        let (mut all, mut buf) = (0, vec![0; 1 << 16]);
        while let Ok(n @ 1..) = stream.read(&mut buf) {
            all += n;
        }
        assert!(all < LARGE, "{path}: it was cut off");
    }
    server.lives();
    server.end();
}

/// Ten thousand clients that send a byte now and then, as many as descriptors allow: each is told so and cut off, and
/// meanwhile one that is not slow is served. (On a busy machine some have not sent their first byte in time, and are closed
/// without a word.)
#[test]
fn slow_clients_hold_up_nobody() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let allowed = limit.current.map_or(10_000, |n| n.saturating_sub(500)).min(10_000) as usize;
    assert!(allowed >= 1_000, "there must be descriptors for 1,000 clients");
    println!("{allowed} clients");
    let server = Program::start(&["--head-time", "1500", "--linger", "100000", "--log", "off"]);
    const GET: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: h\r\n\r\n";
    // The limit holds for this one's first request as well: it may take more than one try on a busy machine.
    let (began, mut first) = (Instant::now(), [0; 1]);
    let mut fast = loop {
        assert!(began.elapsed() < patience(), "never served");
        let mut fast = server.connect();
        if fast.write_all(GET).is_ok() && fast.read_exact(&mut first).is_ok() {
            break fast;
        }
    };
    until(&mut fast, "\r\n\r\nHello, World!");
    let mut serve_fast = || {
        fast.write_all(GET).unwrap();
        until(&mut fast, "\r\n\r\nHello, World!");
    };
    let mut slow: Vec<TcpStream> = (0..allowed)
        .map(|_| {
            let mut stream = server.connect();
            let _ = stream.write_all(b"GET /plaintext HTTP/1.1\r\nHost: h\r\n");
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let (began, mut served, mut told) = (Instant::now(), 0, 0);
    while !slow.is_empty() {
        assert!(began.elapsed() < patience(), "{} are still there", slow.len());
        // Each round a byte of a field from everybody, until it is told that it takes too long.
        slow.retain_mut(|stream| {
            let _ = stream.write(b"x");
            let mut buf = [0; 512];
            let answer = match stream.read(&mut buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::ConnectionReset => "",
                n => std::str::from_utf8(&buf[..n.unwrap()]).unwrap(),
            };
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
            told += usize::from(!answer.is_empty());
            false
        });
        serve_fast();
        served += 1;
    }
    println!("{told} were told that they are slow; {served} fast requests meanwhile");
    assert!(told > 0);
    assert!(server.end().ends_with("; 0 cut off"));
}
