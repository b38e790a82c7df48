//! The server, asked by plain clients: each path, and those who ask wrongly.

use gosched_debug::{Server, serve, serve_on_any_interface};
use gosched_runtime::syscall;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

fn run<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests borrows from a thread-local, or holds a thread's value while it parks.
    unsafe { gosched_runtime::run(f) }
}

/// With a server, a plain thread that asks.
fn asked<T: Send>(ask: impl FnOnce(SocketAddr) -> T + Send) -> T {
    run(|| {
        let server = serve("127.0.0.1:0").unwrap();
        let addr = server.local_addr();
        let answer = syscall(|| std::thread::scope(|s| s.spawn(|| ask(addr)).join().unwrap()));
        server.close().unwrap();
        answer
    })
}

/// Sends `request`, and gives all that comes: the head and the body.
fn send(addr: SocketAddr, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(request).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let all = String::from_utf8(all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {all}"));
    (head.to_string(), body.to_string())
}

fn get(addr: SocketAddr, path: &str) -> (String, String) {
    send(addr, format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())
}

/// There is one trace at a time.
fn tracing() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn status(head: &str) -> u32 {
    head.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no status: {head}"))
}

#[test]
fn each_path_answers() {
    asked(|addr| {
        let (head, stacks) = get(addr, "/debug/stacks");
        assert!(status(&head) == 200 && head.contains("text/plain"), "{head}");
        assert!(stacks.starts_with("goroutine ") && stacks.contains("\"debug server 127.0.0.1:"), "{stacks}");

        let (head, stats) = get(addr, "/debug/stats");
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert!(status(&head) == 200 && head.contains("application/json"), "{head}");
        assert!(stats["goroutines"].as_u64().unwrap() >= 3);
        assert_eq!(stats["local_runqs"].as_array().unwrap().len() as u64, stats["procs"].as_u64().unwrap());

        assert_eq!(stats["latencies"]["buckets"].as_array().unwrap().len(), 32);
        assert!(stats["hogs"].is_array() && stats["retakes"].is_u64());

        let (head, leaks) = get(addr, "/debug/leaks");
        assert!(status(&head) == 200 && leaks == "no goroutine is known to have leaked\n", "{head}{leaks}");

        let (head, page) = get(addr, "/");
        assert!(status(&head) == 200 && head.contains("text/html"), "{head}");
        assert!(page.contains("/debug/events") && !page.contains("http://") && !page.contains("https://"));

        let (head, body) = get(addr, "/nothing");
        assert!(status(&head) == 404 && body.contains("/metrics"), "{head}{body}");
    });
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let (head, text) = asked(|addr| get(addr, "/metrics"));
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let mut family = None;
    let mut samples = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            family = Some(name.to_string());
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let base = name.split('{').next().unwrap();
            if let Some(of_histogram) = base.strip_prefix("gosched_sched_latencies_seconds_") {
                assert!(["bucket", "sum", "count"].contains(&of_histogram), "{line}");
                assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
                continue;
            }
            assert_eq!(Some(base), family.as_deref(), "{line}");
            value.parse::<u64>().unwrap();
            samples += 1;
        }
    }
    assert!(samples > 10 && text.contains("gosched_goroutines{state=\"waiting\"} "), "{text}");
    assert!(text.ends_with('\n'));
    // A histogram: the buckets add up, to what is in the last one.
    let after = |what: &str| {
        text.lines().filter_map(|l| l.strip_prefix(what)?.rsplit(' ').next()).collect::<Vec<_>>()
    };
    let buckets = after("gosched_sched_latencies_seconds_bucket{le=\"");
    let counts: Vec<u64> = buckets.iter().map(|n| n.parse().unwrap()).collect();
    assert!(counts.len() == 32 && counts.is_sorted(), "{counts:?}");
    assert_eq!(after("gosched_sched_latencies_seconds_count"), [buckets[31]]);
    assert!(
        text.contains("_bucket{le=\"0.000001024\"} ") && text.contains("_bucket{le=\"+Inf\"} "),
        "{text}"
    );
}

#[test]
fn a_trace_comes_whole_and_bad_lengths_do_not() {
    let _one = tracing();
    asked(|addr| {
        let (head, trace) = get(addr, "/debug/trace?seconds=0.2");
        assert_eq!(status(&head), 200, "{head}");
        let trace: Value = serde_json::from_str(&trace).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        assert!(events.iter().any(|e| e["cat"] == "run"), "the goroutine that answers runs");
        for bad in ["seconds=x", "seconds=0", "seconds=-1", "seconds=", "second=1", "seconds=1&seconds=2"] {
            let (head, _) = get(addr, &format!("/debug/trace?{bad}"));
            assert_eq!(status(&head), 400, "{bad}: {head}");
        }
        // One at a time: the second is told.
        let answers: Vec<u32> = std::thread::scope(|s| {
            let both = [(); 2].map(|()| s.spawn(|| status(&get(addr, "/debug/trace?seconds=1").0)));
            both.map(|t| t.join().unwrap()).to_vec()
        });
        assert!(answers.contains(&200), "{answers:?}");
        assert!(answers.iter().all(|s| [200, 409].contains(s)), "{answers:?}");
    });
}

#[test]
fn a_client_that_goes_away_ends_its_trace() {
    let _one = tracing();
    asked(|addr| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"GET /debug/trace?seconds=60 HTTP/1.1\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        drop(stream);
        // Only when that one has ended can there be another, long before its minute is over.
        let mut tries = 0;
        while status(&get(addr, "/debug/trace?seconds=0.01").0) == 409 {
            tries += 1;
            assert!(tries < 5_000, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
}

#[test]
fn events_are_snapshots() {
    asked(|addr| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"GET /debug/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        let mut buf = [0; 4096];
        while text.matches("\n\n").count() < 3 {
            let n = stream.read(&mut buf).unwrap();
            assert!(n > 0, "{text}");
            text.push_str(std::str::from_utf8(&buf[..n]).unwrap());
        }
        let event = text.split("data: ").nth(2).unwrap().trim();
        let seen: Value = serde_json::from_str(event).unwrap();
        assert_eq!(seen["ps"].as_array().unwrap().len(), gosched_runtime::gomaxprocs());
        assert!(seen["goroutines"].as_u64().unwrap() >= 3, "{seen}");
        // Somebody sends this, so somebody runs.
        assert!(seen["ms"].as_array().unwrap().iter().any(|m| m["g"].is_u64()), "{seen}");
    });
}

#[test]
fn head_has_no_body_and_nothing_else_is_allowed() {
    asked(|addr| {
        for path in ["/", "/debug/stacks", "/debug/trace", "/debug/events"] {
            let (head, body) = send(addr, format!("HEAD {path} HTTP/1.1\r\n\r\n").as_bytes());
            assert_eq!((status(&head), body.as_str()), (200, ""), "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let (head, _) =
                send(addr, format!("{method} / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").as_bytes());
            assert!(status(&head) == 405 && head.contains("Allow: GET, HEAD"), "{head}");
        }
    });
}

#[test]
fn bad_requests_get_errors() {
    asked(|addr| {
        let of = |request: &[u8]| status(&send(addr, request).0);
        assert_eq!(of(b"\0\x01\x02\r\n\r\n"), 400);
        assert_eq!(of(b"GET / HTTP/9.9\r\n\r\n"), 400);
        assert_eq!(of(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)).as_bytes()), 431);
        assert_eq!(of(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100)).as_bytes()), 431);
        assert_eq!(of(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403);
        // One that ends in the middle.
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"GET / HT").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), 400);
        // And one that never ends does not get in the way of others.
        let mut slow = TcpStream::connect(addr).unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        assert_eq!(status(&get(addr, "/metrics").0), 200);
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), 408);
    });
}

#[test]
fn only_loopback_unless_it_is_said() {
    run(|| {
        for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let e = serve(open).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidInput);
            assert!(e.to_string().contains("serve_on_any_interface"), "{e}");
        }
        let server = serve_on_any_interface("0.0.0.0:0").unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
        let ask = || send(addr, b"GET /metrics HTTP/1.1\r\nHost: gosched.example\r\n\r\n").0;
        assert_eq!(status(&syscall(ask)), 200);
        server.close().unwrap();
    });
}

#[test]
fn it_can_be_opened_from_a_plain_thread_and_outlives_its_handle() {
    run(|| {
        syscall(|| {
            let on_thread = || {
                let server: Server = serve("127.0.0.1:0").unwrap();
                server.local_addr()
            };
            let addr = std::thread::spawn(on_thread).join().unwrap();
            assert_eq!(status(&get(addr, "/debug/stats").0), 200);
        });
    });
}

#[test]
fn curl_is_content() {
    if Command::new("curl").arg("--version").output().is_err() {
        return; // not everywhere
    }
    let _one = tracing();
    asked(|addr| {
        let curl = |path: &str| {
            let out =
                Command::new("curl").args(["-sS", "-f", &format!("http://{addr}{path}")]).output().unwrap();
            assert!(out.status.success(), "{path}: {}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        };
        for path in ["/", "/metrics", "/debug/stacks"] {
            assert!(!curl(path).is_empty());
        }
        serde_json::from_str::<Value>(&curl("/debug/stats")).unwrap();
        serde_json::from_str::<Value>(&curl("/debug/trace?seconds=0.1")).unwrap();
    });
}
