//! The page and the numbers: what is open, while it is open, and what has been.
#![cfg(target_os = "linux")]

mod common;

use common::{Program, echo, echoes, eventually, nobody, patient, to_the_end};
use std::io::Write;
use std::net::TcpStream;

fn get(addr: &str, path: &str, host: &str) -> String {
    let mut stream = patient(TcpStream::connect(addr).unwrap());
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    String::from_utf8(to_the_end(&mut stream)).unwrap()
}

#[test]
fn what_goes_on_is_shown() {
    let proxy = Program::start(&["--page", "127.0.0.1:0", "--debug", "127.0.0.1:0"]);
    let addr = |word| proxy.told(word).strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let (page, debug) = (addr("page on "), addr("debugging on "));
    let metrics = || get(&page, "/metrics", &page);
    assert!(metrics().contains("\nproxy_connections_total 0\n"));

    let echo = echo();
    let mut tunnel = proxy.socks(echo);
    echoes(&mut tunnel, &[1; 100_000]);
    // Of one that is open.
    let html = get(&page, "/", "localhost");
    assert!(html.starts_with("HTTP/1.1 200 OK\r\n"), "{html}");
    let client = tunnel.local_addr().unwrap();
    let row = format!("<td>{client}<td>socks5<td>{echo}<td class=n>100000<td class=n>100000<td");
    assert!(html.contains(&row), "{html}");
    assert!(html.contains(&format!("<td>{echo}<td class=n>1<td class=n>100000<td class=n>100000")), "{html}");
    assert!(html.contains(&format!("http://{debug}/")), "{html}");
    let text = metrics();
    for line in [
        "proxy_connections_total 1",
        "proxy_connections_open{phase=\"tunnel\"} 1",
        "proxy_tunnels_total{protocol=\"socks5\"} 1",
        "proxy_bytes_total{direction=\"up\"} 100000",
        "proxy_bytes_total{direction=\"down\"} 100000",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    // Of those that were, and of those that were refused.
    drop(tunnel);
    proxy.answers(format!("CONNECT {} HTTP/1.1\r\n\r\n", nobody()).as_bytes());
    eventually("it is counted", || metrics().contains("\nproxy_refused_total{reason=\"refused\"} 1\n"));
    eventually("it has ended", || metrics().contains("\nproxy_connections_open{phase=\"tunnel\"} 0\n"));
    assert!(metrics().contains("\nproxy_bytes_total{direction=\"up\"} 100000\n"));
    assert!(get(&page, "/", &page).contains("<td>refused<td class=n>1"));

    // It answers for this machine, and nothing else.
    assert!(get(&page, "/", "evil.example").starts_with("HTTP/1.1 403 "));
    assert!(get(&page, "/other", &page).starts_with("HTTP/1.1 404 "));
    assert!(get(&debug, "/debug/stacks", &debug).contains("goroutine "));
    proxy.end();
}

#[test]
fn the_page_is_for_this_machine() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_proxy"))
        .args(["--listen", "127.0.0.1:0", "--page", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("loopback"), "{out:?}");
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_proxy")).arg("--deny").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("usage: proxy"), "{out:?}");
}
