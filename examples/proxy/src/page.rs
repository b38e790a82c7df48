//! What goes on, over HTTP: `/` for people, `/metrics` for Prometheus.
//!
//! It shows who talks to whom, so it listens on loopback only, and answers only requests that name this machine: a page of
//! some site cannot ask through the browser of whoever runs the proxy (DNS rebinding). A request must be there within ten
//! seconds and 4 KiB; a connection carries one. The scheduler has a page of its own (`--debug`), which this one points to.

use crate::client::farewell;
use crate::conn::{Traffic, View};
use crate::server::Server;
use gosched::go;
use gosched::net::{TcpListener, TcpStream};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(10);
const HEAD: usize = 4 << 10;
/// Of tables.
const ROWS: usize = 200;

/// Serves on `addr` until the process ends.
pub(crate) fn serve(addr: &str, server: Arc<Server>, debug: Option<SocketAddr>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(addr)?;
    let addr = listener.local_addr()?;
    if !addr.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the page is for this machine: a loopback address",
        ));
    }
    go!({
        while let Ok((stream, _)) = listener.accept() {
            let server = server.clone();
            go!({
                // Whoever asks and goes away need not be told of it.
                let _ = answer(&stream, &server, debug);
            });
        }
    });
    Ok(addr)
}

fn answer(mut stream: &TcpStream, server: &Server, debug: Option<SocketAddr>) -> io::Result<()> {
    stream.set_deadline(Some(Instant::now() + TIME))?;
    let (mut buf, mut len) = ([0; HEAD], 0);
    let (status, kind, body) = loop {
        let n = stream.read(&mut buf[len..])?;
        len += n;
        if let Some(path) = path(&buf[..len]) {
            break match path {
                Ok("/") => ("200 OK", "text/html; charset=utf-8", html(server, debug)),
                Ok("/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics(server)),
                Ok(_) => ("404 Not Found", "text/plain", "there are / and /metrics\n".into()),
                Err(status) => (status, "text/plain", format!("{status}\n")),
            };
        }
        if n == 0 || len == HEAD {
            break ("400 Bad Request", "text/plain", "the request has no end\n".into());
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head, body].concat().into_bytes())?;
    farewell(stream);
    Ok(())
}

/// The path of a request, if it is all there.
fn path(bytes: &[u8]) -> Option<Result<&str, &'static str>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Err("400 Bad Request")),
    }
    if parsed.method != Some("GET") {
        return Some(Err("405 Method Not Allowed"));
    }
    let mut hosts = parsed.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("host"));
    if !hosts.all(|f| is_this_machine(f.value)) {
        return Some(Err("403 Forbidden"));
    }
    Some(Ok(parsed.path.unwrap_or_default()))
}

fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Tunnels that are open, and connections that are none yet.
fn open(server: &Server) -> (Vec<(SocketAddr, Duration, View)>, usize) {
    let conns = server.table.open();
    let tunnels: Vec<_> = conns.iter().filter_map(|c| Some((c.peer, c.began.elapsed(), c.view()?))).collect();
    let opening = conns.len() - tunnels.len();
    (tunnels, opening)
}

/// Names of hosts have no letters that mean something here (target.rs).
fn html(server: &Server, debug: Option<SocketAddr>) -> String {
    let (mut tunnels, opening) = open(server);
    let totals = server.table.totals();
    let mut page = String::from(
        "<!DOCTYPE html><meta charset=utf-8><meta http-equiv=refresh content=2><title>proxy</title><style>\
         body{font:14px sans-serif;margin:2em}td,th{text-align:left;padding:1px 12px 1px 0}.n{text-align:right}</style>",
    );
    let _ = write!(
        page,
        "<h1>proxy</h1><p>{} connections so far; open: {} tunnels, {opening} on their way. <a href=/metrics>metrics</a>",
        server.table.accepted(),
        tunnels.len(),
    );
    if let Some(addr) = debug {
        let _ = write!(page, " <a href=http://{addr}/>the scheduler</a>");
    }
    page +=
        "<h2>open tunnels</h2><table><tr><th>client<th>by<th>target<th>bytes up<th>down<th>seconds<th>idle";
    tunnels.sort_by_key(|(_, age, _)| *age);
    let mut targets: BTreeMap<&str, (u64, Traffic)> =
        totals.targets.iter().map(|(name, t)| (name.as_str(), (t.tunnels, t.traffic))).collect();
    for (peer, age, view) in tunnels.iter().take(ROWS) {
        let (View { protocol, to, traffic: Traffic { up, down }, idle }, age) = (view, age.as_secs());
        let idle = idle.as_secs();
        let _ = write!(
            page,
            "<tr><td>{peer}<td>{protocol}<td>{to}<td class=n>{up}<td class=n>{down}<td class=n>{age}<td class=n>{idle}"
        );
    }
    for (_, _, view) in &tunnels {
        let (count, traffic) = targets.entry(&view.to).or_default();
        *count += 1;
        traffic.add(view.traffic);
    }
    page += "</table><h2>targets</h2><table><tr><th>target<th>tunnels<th>bytes up<th>down";
    let mut targets: Vec<_> = targets.into_iter().collect();
    targets.sort_by_key(|(_, (_, Traffic { up, down }))| std::cmp::Reverse(up + down));
    for (name, (count, Traffic { up, down })) in targets.into_iter().take(ROWS) {
        let _ = write!(page, "<tr><td>{name}<td class=n>{count}<td class=n>{up}<td class=n>{down}");
    }
    page += "</table><h2>refused</h2><table>";
    for (name, count) in &totals.refused {
        let _ = write!(page, "<tr><td>{name}<td class=n>{count}");
    }
    page + "</table>\n"
}

fn metrics(server: &Server) -> String {
    let (tunnels, opening) = open(server);
    let totals = server.table.totals();
    let mut traffic = totals.traffic;
    tunnels.iter().for_each(|(_, _, view)| traffic.add(view.traffic));
    let mut begun = totals.tunnels;
    tunnels.iter().for_each(|(_, _, view)| *begun.entry(view.protocol).or_default() += 1);
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, label: &str, values: &[(&str, u64)]| {
        let _ = writeln!(text, "# HELP proxy_{name} {help}\n# TYPE proxy_{name} {kind}");
        for (value, n) in values {
            let label = if label.is_empty() { String::new() } else { format!("{{{label}=\"{value}\"}}") };
            let _ = writeln!(text, "proxy_{name}{label} {n}");
        }
    };
    let all = |map: &BTreeMap<&'static str, u64>| map.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>();
    family("connections_total", "counter", "Connections accepted.", "", &[("", server.table.accepted())]);
    let open = [("opening", opening as u64), ("tunnel", tunnels.len() as u64)];
    family("connections_open", "gauge", "Connections that are open.", "phase", &open);
    family("tunnels_total", "counter", "Tunnels, open ones included.", "protocol", &all(&begun));
    let bytes = [("up", traffic.up), ("down", traffic.down)];
    family("bytes_total", "counter", "Bytes that went through tunnels.", "direction", &bytes);
    family("refused_total", "counter", "Connections that got no tunnel.", "reason", &all(&totals.refused));
    family("cut_total", "counter", "Tunnels that did not end by themselves.", "reason", &all(&totals.cut));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_must_name_this_machine() {
        let get = |fields: &str| format!("GET /metrics HTTP/1.1\r\n{fields}\r\n");
        for host in ["localhost", "127.0.0.1:99", "[::1]:99"] {
            assert_eq!(path(get(&format!("Host: {host}\r\n")).as_bytes()), Some(Ok("/metrics")));
        }
        assert_eq!(path(b"GET /met"), None);
        assert_eq!(path(get("Host: evil.example\r\n").as_bytes()), Some(Err("403 Forbidden")));
        assert_eq!(path(b"POST / HTTP/1.1\r\n\r\n"), Some(Err("405 Method Not Allowed")));
        assert_eq!(path(b"\x16\x03"), Some(Err("400 Bad Request")));
    }
}
