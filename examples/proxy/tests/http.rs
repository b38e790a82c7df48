//! HTTP, byte by byte: what the target gets to see of a plain request and the client of its answer, and every sort of bad
//! request with the status that is expected.
#![cfg(target_os = "linux")]

mod common;

use common::{Program, echo, echoes, nobody, silent, target, target_at, to_the_end, until};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_tunnel_begins_after_the_head() {
    let proxy = Program::start(&[]);
    let echo = echo();
    // What follows the head at once is the target's.
    let mut client = proxy.connect();
    client
        .write_all(format!("CONNECT {echo} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nearly").as_bytes())
        .unwrap();
    assert_eq!(until(&mut client, "early"), "HTTP/1.1 200 Connection established\r\n\r\nearly");
    echoes(&mut client, b"late");
    drop(client);
    // By name, in HTTP/1.0, byte by byte.
    let local = target_at(TcpListener::bind("127.0.0.1:0").unwrap(), |stream| {
        std::io::copy(&mut &stream, &mut &stream).unwrap();
    });
    let mut client = proxy.connect();
    client.set_nodelay(true).unwrap();
    for byte in format!("CONNECT localhost:{} HTTP/1.0\r\n\r\n", local.port()).bytes() {
        client.write_all(&[byte]).unwrap();
    }
    assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
    echoes(&mut client, b"hello");
    drop(client);
    proxy.end();
}

/// A target that says what it was asked, and answers `answer`.
fn server(answer: &'static [u8]) -> (SocketAddr, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let addr = target(move |mut stream| {
        let mut all = until(&mut stream, "\r\n\r\n");
        if all.contains("Content-Length: 4\r\n") {
            let mut body = [0; 4];
            stream.read_exact(&mut body).unwrap();
            all.push_str(&text(&body));
        }
        let _ = tell.send(all); // not every test asks
        stream.write_all(answer).unwrap();
    });
    (addr, told)
}

#[test]
fn a_plain_request_is_sent_on() {
    let proxy = Program::start(&[]);
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nKeep-Alive: 5\r\nConnection: keep-alive, X-Hop\r\n\
        X-Hop: 1\r\nX-End: 2\r\n\r\nall of it";
    let (addr, told) = server(answer);
    let request = format!(
        "PUT http://{addr}/a/b?c=d HTTP/1.1\r\nHost: elsewhere\r\nProxy-Connection: keep-alive\r\nConnection: X-Mine\r\n\
         X-Mine: 1\r\nX-Yours: 2\r\nContent-Length: 4\r\nTE: trailers\r\n\r\nbody"
    );
    let got = text(&proxy.answers(request.as_bytes()));
    let want =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nX-End: 2\r\nConnection: close\r\n\r\nall of it";
    assert_eq!(got, want);
    let want = format!(
        "PUT /a/b?c=d HTTP/1.1\r\nHost: {addr}\r\nX-Yours: 2\r\nContent-Length: 4\r\nVia: 1.1 proxy\r\n\
         Connection: close\r\n\r\nbody"
    );
    assert_eq!(told.recv().unwrap(), want);
    // In the client's version, and with a path where there is none.
    let got = text(&proxy.answers(format!("GET http://{addr} HTTP/1.0\r\n\r\n").as_bytes()));
    assert!(got.ends_with("\r\n\r\nall of it"), "{got}");
    let want = format!("GET / HTTP/1.0\r\nHost: {addr}\r\nVia: 1.0 proxy\r\nConnection: close\r\n\r\n");
    assert_eq!(told.recv().unwrap(), want);
    proxy.logged(&["access", "protocol=\"http\"", &format!("to=\"{addr}\"")]);
    proxy.end();
}

#[test]
fn bad_requests_are_refused() {
    let ((silent, _kept), nobody, echo) = (silent(), nobody(), echo());
    let (smtp, _) = server(b"220 mail.example\r\n");
    let (mute, _) = server(b"");
    let (half, _) = server(b"HTTP/1.1 200 OK\r\nX: ");
    let chatty = target(|mut stream| while stream.write_all(b"220 mail.example\r\n").is_ok() {});
    let proxy = Program::start(&["--head", "1000", "--connect", "1500", "--deny", ".denied.example"]);
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
    let with =
        |field: &[u8]| [format!("CONNECT {echo} HTTP/1.1\r\n").as_bytes(), field, b"\r\n\r\n"].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a path", get("/"), 400),
        ("no scheme", get("h/x"), 400),
        ("another scheme", get("https://h/"), 501),
        ("ftp", get("ftp://h/"), 501),
        ("no host", get("http:///x"), 400),
        ("a user", get("http://user:password@h/"), 400),
        ("a port that is none", get("http://h:80a/"), 400),
        ("a port that is too large", connect("h:65536"), 400),
        ("no port", connect("h"), 400),
        ("a signed port", connect("h:+80"), 400),
        ("a path to tunnel to", connect("h:80/x"), 400),
        ("an address without brackets", connect("::1:80"), 400),
        ("brackets that stay open", connect("[::1"), 400),
        ("not UTF-8", b"CONNECT \xff\xfe:80 HTTP/1.1\r\n\r\n".to_vec(), 400),
        ("a zero", b"CONNECT h\0:80 HTTP/1.1\r\n\r\n".to_vec(), 400),
        ("a bad version", b"CONNECT h:80 HTTP/2.0\r\n\r\n".to_vec(), 505),
        ("no version", b"CONNECT h:80\r\n\r\n".to_vec(), 400),
        ("noise", b"G\x00\x01\x02\xff\r\n\r\n".to_vec(), 400),
        ("not UTF-8 in a name", with(b"\xff: x"), 400),
        ("a zero in a value", with(b"X: \0"), 400),
        ("a space before the colon", with(b"X : y"), 400),
        ("a long field", with(&[b'x'; 1000]), 431),
        ("a head without end", [&connect("h:80")[..23], &[b'a'; 100_000]].concat(), 431),
        ("many fields", with(&b"a: b\r\n".repeat(97)), 431),
        ("nobody listens", connect(&nobody.to_string()), 502),
        ("nobody listens, plain", get(&format!("http://{nobody}/")), 502),
        ("no such name", connect("a..example:80"), 502),
        ("no way", connect("224.0.0.1:80"), 502),
        ("no answer", connect(&silent.to_string()), 504),
        ("no answer, plain", get(&format!("http://{silent}/")), 504),
        ("a target that speaks something else", get(&format!("http://{smtp}/")), 502),
        ("a target that speaks something else, and on", get(&format!("http://{chatty}/")), 502),
        ("a target that says nothing", get(&format!("http://{mute}/")), 502),
        ("a target that says half", get(&format!("http://{half}/")), 502),
        ("denied", connect("x.DENIED.example.:80"), 403),
        ("denied, plain", get("http://denied.example/"), 403),
    ];
    for (what, bytes, status) in &cases {
        let answer = text(&proxy.answers(bytes));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
    // Bytes that nobody reads may be any.
    let mut client = proxy.connect();
    client.write_all(&with(b"X: \xff\xfe")).unwrap();
    assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
    drop(client);
    proxy.lives();
    proxy.end();
}

#[test]
fn half_a_client() {
    let proxy = Program::start(&[]);
    let (addr, told) = server(b"HTTP/1.1 200 OK\r\n\r\nyes");
    let half = |bytes: &str| {
        let mut client = proxy.connect();
        client.write_all(bytes.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        text(&to_the_end(&mut client))
    };
    // It has said all, and still reads.
    assert!(half(&format!("GET http://{addr}/ HTTP/1.1\r\n\r\n")).ends_with("\r\n\r\nyes"));
    assert!(told.recv().unwrap().starts_with("GET / "));
    // It ends in the middle.
    for bytes in ["", "C", "CONNECT h:1 HTTP/1.1\r\n", "GET http://h/ HTTP/1.1\r\nX: y\r\n"] {
        assert_eq!(half(bytes), "", "{bytes:?}");
    }
    proxy.lives();
    assert!(proxy.end().ends_with(" 0 cut off"));
}

/// A target that takes a request and never answers it: in the end the client is told.
#[test]
fn an_answer_that_does_not_come() {
    let proxy = Program::start(&["--idle", "300"]);
    let mute = target(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let answer = text(&proxy.answers(format!("GET http://{mute}/ HTTP/1.1\r\n\r\n").as_bytes()));
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.ends_with("does not answer\n"), "{answer}");
    proxy.logged(&["protocol=\"http\"", "cut=\"idle\""]);
    proxy.end();
}

#[test]
fn a_request_has_its_time() {
    let proxy = Program::start(&["--handshake", "200"]);
    // Silence is answered by silence; half of a request of HTTP by an answer, of SOCKS by none.
    assert_eq!(to_the_end(&mut proxy.connect()), b"");
    common::eventually("408", || {
        // (On a busy machine nothing may have come in time.)
        let mut client = proxy.connect();
        let mut answer = Vec::new();
        let _ = client.write_all(b"CONNECT h:1 HTT").and_then(|()| client.read_to_end(&mut answer));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", text(&answer));
        !answer.is_empty()
    });
    let mut client = proxy.connect();
    client.write_all(&[5, 1, 0, 5, 1]).unwrap();
    let answer = to_the_end(&mut client);
    assert!(answer.is_empty() || answer == [5, 0], "{answer:?}");
    proxy.logged(&["access", "refused=\"slow\""]);
    // It is the request's time, and not the tunnel's.
    let echo = echo();
    let mut tunnel = loop {
        let mut client = proxy.connect();
        let mut status = [0; 12];
        let sent = client.write_all(format!("CONNECT {echo} HTTP/1.1\r\n\r\n").as_bytes());
        if sent.and_then(|()| client.read_exact(&mut status)).is_ok() && &status == b"HTTP/1.1 200" {
            break client;
        }
    };
    until(&mut tunnel, "\r\n\r\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    echoes(&mut tunnel, b"later");
    drop(tunnel);
    proxy.end();
}
