//! The same server over TLS, asked by curl and openssl.
#![cfg(target_os = "linux")]

mod common;

use common::{Dir, Program, curl, data, tool};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The server, and the directory that has its authority's certificate and a large file.
fn start(args: &[&str]) -> (Program, Dir, String) {
    let dir = Dir::new();
    dir.file("large.bin", data(2_000_001));
    let ca = dir.path("ca.pem");
    let server = Program::start(&[&["--tls", &ca, "--root", &dir.path("")], args].concat());
    (server, dir, ca)
}

/// It still serves: a handshake, a request.
fn lives(tool: &Path, server: &Program, ca: &str) {
    let (at, url) = at(server, "/plaintext");
    assert_eq!(curl(tool, &["--cacert", ca, "--resolve", &at, &url]), ("Hello, World!".into(), 0));
}

fn at(server: &Program, path: &str) -> (String, String) {
    let (ip, port) = (server.addr.ip(), server.addr.port());
    (format!("localhost:{port}:{ip}"), format!("https://localhost:{port}{path}"))
}

#[test]
fn curl_trusts_the_certificate_that_was_written() {
    let Some(tool) = tool("curl") else { return };
    let (server, dir, ca) = start(&[]);
    let ask = |args: &[&str], path: &str| {
        let (at, url) = at(&server, path);
        let all = ["--cacert", &ca, "--resolve", &at];
        curl(&tool, &[&all[..], args, &[&url]].concat())
    };
    lives(&tool, &server, &ca);
    // Bodies both ways, a file.
    let (sent, back) = (dir.path("large.bin"), dir.path("back"));
    let body = format!("@{sent}");
    assert_eq!(ask(&["-o", &back], "/large.bin"), (String::new(), 0));
    assert!(std::fs::read(&back).unwrap() == std::fs::read(&sent).unwrap());
    let small = format!("@{}", dir.file("small", data(300_000)));
    assert_eq!(ask(&["--data-binary", &small, "-o", &back, "-H", "Expect: 100-continue"], "/echo").1, 0);
    assert!(std::fs::read(&back).unwrap() == data(300_000));
    assert_eq!(ask(&["--data-binary", &body, "-o", "/dev/null", "-w", "%{http_code}"], "/size").0, "413");
    assert_eq!(ask(&["-N"], "/lines?n=3&ms=1"), ("line 1\nline 2\nline 3\n".into(), 0));
    assert_eq!(ask(&["--tls-max", "1.2"], "/plaintext"), ("Hello, World!".into(), 0));
    // One who trusts others refuses (60), and the server is told.
    let (at, url) = at(&server, "/plaintext");
    let other = start(&[]);
    assert_eq!(curl(&tool, &["--cacert", &other.2, "--resolve", &at, &url]).1, 60);
    server.logged(&["connection", "error=", "UnknownCA"]);
    lives(&tool, &server, &ca);
    server.end();
    other.0.end();
}

#[test]
fn openssl_resumes_its_session() {
    let Some(openssl) = tool("openssl") else { return };
    let (server, dir, ca) = start(&[]);
    let request = dir.file("request", b"GET /plaintext HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let client = |args: &[&str]| {
        let out = Command::new(&openssl)
            .args(["s_client", "-connect", &server.addr.to_string(), "-servername", "localhost"])
            .args(["-CAfile", &ca, "-verify_return_error", "-ign_eof"])
            .args(args)
            .stdin(std::fs::File::open(&request).unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    };
    for version in ["-tls1_3", "-tls1_2"] {
        let session = dir.path(version);
        let first = client(&[version, "-alpn", "h2,http/1.1", "-sess_out", &session]);
        assert!(first.contains("\nNew, TLSv1.") && first.contains("Hello, World!"), "{first}");
        assert!(first.contains("Verify return code: 0 (ok)"), "{first}");
        assert!(first.contains("ALPN protocol: http/1.1"), "{first}");
        let second = client(&[version, "-sess_in", &session]);
        assert!(second.contains("\nReused, TLSv1.") && second.contains("Hello, World!"), "{second}");
    }
    // No protocol in common.
    let no = client(&["-alpn", "h2"]);
    assert!(no.contains("no application protocol") && !no.contains("Hello"), "{no}");
    server.logged(&["connection", "error="]);
    server.end();
}

#[test]
fn what_is_no_tls_is_told_so_and_hurts_nobody() {
    let Some(tool) = tool("curl") else { return };
    let (server, _dir, ca) = start(&[]);
    // One with little time, for those who wait.
    let (hasty, _hasty_dir, _) = start(&["--head-time", "300"]);
    // HTTP without TLS, by a client that reads and by one that has sent much.
    let (text, code) = curl(&tool, &["-w", "%{http_code}", &server.url("/plaintext")]);
    assert_eq!((text.as_str(), code), ("this port speaks HTTPS and not HTTP\n400", 0));
    server.logged(&["connection", "no TLS"]);
    let answer = server.answers(&[b"POST /size HTTP/1.1\r\nHost: h\r\n\r\n", &data(50_000)[..]].concat());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(server.answers(b"\x00\x01noise"), "");
    // A handshake that is cut off at each place: its record's head, its body; then ended, or left to wait.
    let hello = client_hello();
    for len in [1, 3, 5, 6, 40, hello.len() - 1] {
        let mut ended = server.connect();
        ended.write_all(&hello[..len]).unwrap();
        ended.shutdown(std::net::Shutdown::Write).unwrap();
        let mut waits = hasty.connect();
        let _ = waits.write_all(&hello[..len]);
        for stream in [&mut ended, &mut waits] {
            let n = stream.read_to_end(&mut Vec::new());
            assert!(n.as_ref().is_ok_and(|&n| n < 10) || reset(&n), "an alert at the most: {n:?}");
        }
    }
    // A record that is longer than any may be, and a second one that is noise.
    let mut long = server.connect();
    long.write_all(&[&[22, 3, 1, 0xff, 0xff][..], &[0; 1000]].concat()).unwrap();
    let mut noise = server.connect();
    noise.write_all(&[&hello[..], &data(1000)].concat()).unwrap();
    for stream in [&mut long, &mut noise] {
        let r = stream.read_to_end(&mut Vec::new());
        assert!(r.is_ok() || reset(&r), "{r:?}");
    }
    server.logged(&["connection", "error="]);
    hasty.logged(&["connection", "error="]);
    lives(&tool, &server, &ca);
    assert!(server.end().ends_with("; 0 cut off"));
    assert!(hasty.end().ends_with("; 0 cut off"));
}

/// The server may close with bytes unread.
fn reset(r: &std::io::Result<usize>) -> bool {
    r.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
}

/// What openssl would begin with, made by rustls.
fn client_hello() -> Vec<u8> {
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn the_end_finishes_a_request_over_tls_as_well() {
    let Some(openssl) = tool("openssl") else { return };
    let (mut server, _dir, ca) = start(&["--grace", "100000"]);
    let mut client = Command::new(openssl)
        .args(["s_client", "-quiet", "-connect", &server.addr.to_string(), "-CAfile", &ca])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    to.write_all(b"POST /size HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        .unwrap();
    common::until(&mut from, "HTTP/1.1 100 Continue\r\n\r\n");
    server.terminate();
    to.write_all(b"0123456789").unwrap();
    common::until(&mut from, "\r\n\r\n10\n");
    assert_eq!(from.read(&mut [0; 1]).unwrap(), 0);
    client.wait().unwrap();
    assert_eq!(server.ended(), "served 1 connections, 1 requests; 0 cut off");
}
