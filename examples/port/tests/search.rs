//! The search as a process, asked by curl, and by bytes where somebody hangs up.
#![cfg(target_os = "linux")]

mod common;

use common::{Server, eventually, run, tool};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Command;

/// A directory with texts.
struct Texts(PathBuf);

impl Texts {
    fn new(name: &str) -> Texts {
        let dir = std::env::temp_dir().join(format!("gosched-search-{}-{name}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let a = "# Channels close once\n\nA Channel is closed by close.\n```\nch.close(); // channel\n```\nnothing here\n";
        std::fs::write(dir.join("a.md"), a).unwrap();
        std::fs::write(dir.join("b.md"), "channel\n".repeat(30) + "\n## close the CHANNEL\n").unwrap();
        std::fs::write(dir.join("c.txt"), "channel close\n").unwrap();
        Texts(dir)
    }

    fn serve(&self, args: &[&str]) -> Server {
        let mut all = vec!["--root", self.0.to_str().unwrap()];
        all.extend(if args.contains(&"--latency") { &[][..] } else { &["--latency", "0"] });
        all.extend(args);
        Server::start(env!("CARGO_BIN_EXE_search"), &all)
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ask(stream: &mut TcpStream, target: &str) {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
}

fn answer(mut stream: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn get(server: &Server, target: &str) -> (u16, Value) {
    let mut stream = server.connect();
    ask(&mut stream, target);
    answer(stream)
}

/// Waits until the numbers are these: answered, given up; and nobody but who has just asked is left.
#[track_caller]
fn settled(server: &Server, answered: u64, given_up: u64, goroutines: &Value) {
    eventually("all have ended", || {
        let stats = get(server, "/stats").1;
        let counted = stats["answered"].as_u64().unwrap() + stats["given_up"].as_u64().unwrap();
        assert!(stats["answered"].as_u64() <= Some(answered), "{stats}");
        counted == answered + given_up && stats["goroutines"] == *goroutines
    });
}

#[test]
fn curl_finds_what_there_is() {
    let Some(curl) = tool("curl") else { return };
    let texts = Texts::new("curl");
    let server = texts.serve(&["--log"]);
    let url = format!("http://{}/search", server.addr);
    let get = |more: &[&str]| {
        let (out, err, _) = run(Command::new(&curl)
            .args(["-sS", "--noproxy", "*", "-w", "%{http_code}", "-G", &url])
            .args(more));
        let (body, code) = out.split_at(out.len().saturating_sub(3));
        (code.to_owned(), serde_json::from_str::<Value>(body).unwrap_or_else(|_| panic!("{out}{err}")))
    };
    let (code, found) = get(&["--data-urlencode", "q=close  channel", "--data-urlencode", "timeout=60000"]);
    assert_eq!((&*code, &found["query"], &found["missing"]), ("200", &json!("close  channel"), &json!([])));
    let hit = |file: &str, line: u64, text: &str| json!({"file": file, "line": line, "text": text});
    assert_eq!(
        found["results"],
        json!({
            "headings": [hit("a.md", 1, "# Channels close once"), hit("b.md", 32, "## close the CHANNEL")],
            "prose": [hit("a.md", 3, "A Channel is closed by close.")],
            "code": [hit("a.md", 5, "ch.close(); // channel")],
        })
    );
    let (_, many) = get(&["-d", "q=channel", "-d", "timeout=60000"]);
    assert_eq!(many["results"]["prose"].as_array().unwrap().len(), 10);
    let (code, none) = get(&["-d", "q=nobody", "-d", "timeout=60000"]);
    assert_eq!((&*code, &none["results"]), ("200", &json!({"headings": [], "prose": [], "code": []})));
    let (last, log) = server.end();
    assert!(last.starts_with('{') && last.contains("\"searches\":3"), "{last}");
    assert!(log.lines().count() == 3 && log.starts_with("127."), "{log}");
    assert!(log.contains(" \"close  channel\": 200 in ") && log.contains(", missing []\n"), "{log}");
}

#[test]
fn the_fastest_replica_counts_and_the_others_give_up() {
    let texts = Texts::new("fastest");
    let server = texts.serve(&["--replicas", "4", "--stuck", "3"]);
    let goroutines = get(&server, "/stats").1["goroutines"].clone();
    for n in 1..=10 {
        let (code, found) = get(&server, "/search?q=channel&timeout=60000");
        assert_eq!((code, &found["missing"]), (200, &json!([])));
        // One of each kind has answered; three of each have heard that nobody waits for them any more.
        settled(&server, 3 * n, 9 * n, &goroutines);
    }
}

#[test]
fn who_is_slower_gives_up_while_the_request_goes_on() {
    let texts = Texts::new("slower");
    let server = texts.serve(&["--stuck", "2", "--mute", "code"]);
    let goroutines = get(&server, "/stats").1["goroutines"].clone();
    let mut stream = server.connect();
    ask(&mut stream, "/search?q=channel&timeout=60000");
    // Two kinds have an answer each, from one of three; the third kind is waited for.
    eventually("the others have given up", || {
        let stats = get(&server, "/stats").1;
        stats["asked"] == json!(9) && stats["answered"] == json!(2) && stats["given_up"] == json!(4)
    });
    drop(stream);
    settled(&server, 2, 7, &goroutines);
}

#[test]
fn what_is_late_is_missing() {
    let texts = Texts::new("late");
    let server = texts.serve(&["--mute", "code"]);
    let goroutines = get(&server, "/stats").1["goroutines"].clone();
    let (code, found) = get(&server, "/search?q=channel&timeout=1000");
    assert_eq!((code, &found["missing"]), (200, &json!(["code"])));
    assert_eq!(found["results"].as_object().unwrap().len(), 2);
    assert!(found["millis"].as_u64() >= Some(1000));
    eventually("all have ended", || {
        let stats = get(&server, "/stats").1;
        stats["given_up"].as_u64() >= Some(3) && stats["goroutines"] == goroutines
    });

    let server = texts.serve(&["--stuck", "3"]);
    let goroutines = get(&server, "/stats").1["goroutines"].clone();
    let (code, found) = get(&server, "/search?q=channel&timeout=20");
    assert_eq!((code, &found["missing"]), (504, &json!(["headings", "prose", "code"])));
    settled(&server, 0, 9, &goroutines);
}

#[test]
fn who_hangs_up_is_not_worked_for() {
    let texts = Texts::new("gone");
    let server = texts.serve(&["--stuck", "3"]);
    let goroutines = get(&server, "/stats").1["goroutines"].clone();
    for n in 1..=3 {
        let mut stream = server.connect();
        ask(&mut stream, "/search?q=channel&timeout=60000");
        eventually("it is asked", || get(&server, "/stats").1["asked"] == json!(9 * n));
        // Well before the minute is over. (To end one direction is to hang up, as for Go's server.)
        if n == 2 {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(answer(stream).0, 504);
        } else {
            drop(stream);
        }
        settled(&server, 0, 9 * n, &goroutines);
    }
    // Nor does a search keep the server from its end, nor who has not said yet what he wants.
    let mut stream = server.connect();
    let _idle = server.connect();
    ask(&mut stream, "/search?q=channel&timeout=60000");
    eventually("it is asked", || get(&server, "/stats").1["asked"] == json!(36));
    server.end();
    assert_eq!(answer(stream).0, 504);
}

#[test]
fn many_at_once() {
    let texts = Texts::new("many");
    let server = texts.serve(&["--latency", "10"]);
    let goroutines = get(&server, "/stats").1["goroutines"].clone();
    std::thread::scope(|s| {
        for i in 0..20 {
            let server = &server;
            s.spawn(move || {
                for timeout in [1, 5, 60_000] {
                    let (code, found) = get(server, &format!("/search?q=channel&timeout={timeout}&i={i}"));
                    let missing = found["missing"].as_array().unwrap().len();
                    assert_eq!(code, if missing == 3 { 504 } else { 200 });
                    assert!(timeout < 60_000 || missing == 0);
                }
            });
        }
    });
    eventually("all have ended", || {
        let stats = get(&server, "/stats").1;
        let n = |name: &str| stats[name].as_u64().unwrap();
        n("searches") == 60
            && n("answered") + n("given_up") == n("asked")
            && stats["goroutines"] == goroutines
    });
}

#[test]
fn bad_requests() {
    let texts = Texts::new("bad");
    let server = texts.serve(&[]);
    for (target, code) in [
        ("/search", 400),
        ("/search?q=", 400),
        ("/search?q=+%20", 400),
        ("/search?q=x&timeout=0", 400),
        ("/search?q=x&timeout=60001", 400),
        ("/search?q=x&timeout=soon", 400),
        ("/", 404),
        ("/search/?q=x", 404),
        ("/search?q=%ff&timeout=60000", 200),
    ] {
        assert_eq!(get(&server, target).0, code, "{target}");
    }
    for bytes in ["POST /search?q=x HTTP/1.1\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET /search?q=x"] {
        let mut stream = server.connect();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(answer(stream).0, 400, "{bytes:?}");
    }
    // A head without an end: the server may be gone before it has all of it.
    let mut stream = server.connect();
    let _ = stream.write_all(format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)).as_bytes());
    let mut end = Vec::new();
    let _ = stream.read_to_end(&mut end);
    server.end();
    let (_, err, code) = run(Command::new(env!("CARGO_BIN_EXE_search")).args(["--root", "/none"]));
    assert!(code == 1 && err.contains("/none: No such file"), "{err}");
}
