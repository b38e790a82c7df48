//! What people use: curl through the proxy in each of its ways, to HTTP and HTTPS servers.
#![cfg(target_os = "linux")]

mod common;

use common::{Program, curl, target, tool, until};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("gosched-proxy-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An HTTPS server that answers with a page about the connection.
struct Https(Child, u16);

impl Https {
    fn start(openssl: &PathBuf, dir: &Dir) -> Https {
        let (key, cert) = (dir.path("key.pem"), dir.path("cert.pem"));
        let made = Command::new(openssl)
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-keyout", &key, "-out", &cert])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new(openssl)
            .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-cert", &cert, "-key", &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "openssl does not listen");
            if let Some(addr) = line.strip_prefix("ACCEPT ") {
                break addr.trim().rsplit(':').next().unwrap().parse().unwrap();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Https(child, port)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn curl_in_each_way() {
    let Some(tool) = tool("curl") else { return };
    let proxy = Program::start(&[]);
    let server = target(|mut stream| {
        let head = until(&mut stream, "\r\n\r\n");
        let line = head.lines().next().unwrap();
        let length = line.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: keep-alive\r\n\r\n{line}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let proxy_url = |scheme: &str| format!("{scheme}://{}", proxy.addr);
    let url = format!("http://{server}/some/path?q");
    let got = ("GET /some/path?q HTTP/1.1".to_owned(), 0);
    for args in [
        &["-x", &proxy_url("socks5")][..],
        &["-x", &proxy_url("socks5h")],
        &["--socks5", &proxy.addr.to_string()],
        &["--socks5-hostname", &proxy.addr.to_string()],
        &["-x", &proxy_url("http")],
        &["-p", "-x", &proxy_url("http")],
        &["-0", "-p", "-x", &proxy_url("http")],
    ] {
        let (text, code) = curl(&tool, &[args, &[&url[..]]].concat());
        assert_eq!((text.replace("HTTP/1.0", "HTTP/1.1"), code), got, "{args:?}");
    }
    // Two requests to two hosts over what curl would take for one connection.
    let other = target(|mut stream| {
        until(&mut stream, "\r\n\r\n");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother").unwrap();
    });
    let (text, code) = curl(&tool, &["-x", &proxy_url("http"), &url, &format!("http://{other}/")]);
    assert_eq!((text.as_str(), code), ("GET /some/path?q HTTP/1.1other", 0));
    // What does not work, in curl's words: 97 is a SOCKS error, 56 a refused CONNECT.
    let nobody = format!("http://{}/", common::nobody());
    assert_eq!(curl(&tool, &["-x", &proxy_url("socks5h"), &nobody]).1, 97);
    assert_eq!(curl(&tool, &["-p", "-x", &proxy_url("http"), &nobody]).1, 56);
    let (code, _) =
        curl(&tool, &["-o", "/dev/null", "-w", "%{http_code}", "-x", &proxy_url("http"), &nobody]);
    assert_eq!(code, "502");
    for protocol in ["socks5", "connect", "http"] {
        proxy.logged(&[
            "access",
            &format!("protocol=\"{protocol}\""),
            &format!("to=\"{server}\""),
            "up=",
            "down=",
        ]);
    }
    proxy.end();
}

#[test]
fn curl_to_https() {
    let (Some(tool), Some(openssl)) = (tool("curl"), tool("openssl")) else { return };
    let dir = Dir::new("https");
    let (proxy, server) = (Program::start(&[]), Https::start(&openssl, &dir));
    let cert = dir.path("cert.pem");
    for scheme in ["http", "socks5", "socks5h"] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{}/", server.1);
            let (text, code) =
                curl(&tool, &["--cacert", &cert, "-x", &format!("{scheme}://{}", proxy.addr), &url]);
            assert!(code == 0 && text.contains("s_server"), "{scheme} {host}: {code} {text}");
        }
    }
    proxy.end();
}

#[test]
fn curl_with_a_password() {
    let Some(tool) = tool("curl") else { return };
    let dir = Dir::new("users");
    std::fs::write(dir.path("users"), "ann:secret\n").unwrap();
    let proxy = Program::start(&["--users", &dir.path("users")]);
    let server = target(|mut stream| {
        let head = until(&mut stream, "\r\n\r\n");
        assert!(!head.contains("Proxy-"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin").unwrap();
    });
    let url = format!("http://{server}/");
    for scheme in ["socks5", "http"] {
        let proxy = format!("{scheme}://{}", proxy.addr);
        let ask = |user: &str| curl(&tool, &["-f", "-x", &proxy, "--proxy-user", user, &url]);
        assert_eq!(ask("ann:secret"), ("in".into(), 0), "{scheme}");
        assert_ne!(ask("ann:Secret").1, 0, "{scheme}");
        assert_ne!(curl(&tool, &["-f", "-x", &proxy, &url]).1, 0, "{scheme}");
    }
    proxy.end();
}
