//! What the server can do, asked by curl, wrk, Chromium, and by bytes where it matters how they come.
#![cfg(target_os = "linux")]

mod common;

use common::{Dir, Killed, Program, curl, data, patience, run, to_the_end, tool, until};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Instant;

#[test]
fn curl_is_answered() {
    let Some(tool) = tool("curl") else { return };
    let (server, dir) = (Program::start(&[]), Dir::new());
    let ask = |args: &[&str]| curl(&tool, args);

    // Keep-alive: one connection for three requests, one of which has no route, and a second one after `close`.
    let connects = "%{http_code} %{num_connects}\n";
    let mut args = vec!["-w", connects, "-o", "/dev/null"];
    let urls = [server.url("/plaintext"), server.url("/nothing"), server.url("/plaintext")];
    for (i, url) in urls.iter().enumerate() {
        args.extend(if i == 0 { &[][..] } else { &["-o", "/dev/null"] });
        args.push(url);
    }
    assert_eq!(ask(&args), ("200 1\n404 0\n200 0\n".into(), 0));

    // HEAD: the same head, and nothing else. HTTP/1.0 is still spoken.
    let (head, code) = ask(&["-I", &server.url("/plaintext")]);
    assert!(code == 0 && head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\ncontent-length: 13\r\n")
            && head
                .ends_with(" GMT\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\n\r\n"),
        "{head}"
    );
    let (old, _) = ask(&["-i", "--http1.0", &server.url("/lines?n=3&ms=0")]);
    assert!(
        old.contains("\r\nconnection: close\r\n") && old.ends_with("\r\n\r\nline 1\nline 2\nline 3\n"),
        "{old}"
    );
    assert!(!old.contains("transfer-encoding"), "{old}");

    // A streamed answer; and bodies in both directions, with a length (curl waits for 100 Continue then), and in chunks.
    assert_eq!(ask(&[&server.url("/lines?n=3&ms=1")]), ("line 1\nline 2\nline 3\n".into(), 0));
    let sent = data(300_000);
    let (from, back) = (dir.file("sent", &sent), dir.path("back"));
    let all = format!("@{from}");
    for how in [["-H", "Expect: 100-continue"], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]] {
        let (head, code) =
            ask(&[how[0], how[1], "--data-binary", &all, "-D", "-", "-o", &back, &server.url("/echo")]);
        assert!(code == 0 && head.contains("\r\ntransfer-encoding: chunked\r\n"), "{how:?}: {head}");
        // (What curl expects by itself differs from one version to the next.)
        let told = head.starts_with("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(told == how[1].contains("100") || how[1].contains("chunked"), "{how:?}: {head}");
        assert!(std::fs::read(&back).unwrap() == sent, "{how:?}");
        assert_eq!(
            ask(&[how[0], how[1], "--data-binary", &all, &server.url("/size")]),
            ("300000\n".into(), 0)
        );
    }

    // The wrong method is told the right one; what is too large is not asked for.
    let (no, _) = ask(&["-i", "-X", "DELETE", &server.url("/echo")]);
    assert!(no.starts_with("HTTP/1.1 405 ") && no.contains("\r\nallow: POST\r\n"), "{no}");
    let large = format!("@{}", dir.file("large", data((1 << 20) + 1)));
    let (no, _) = ask(&["-i", "-H", "Expect: 100-continue", "--data-binary", &large, &server.url("/size")]);
    assert!(no.starts_with("HTTP/1.1 413 "), "{no}");

    server.logged(&["access", "method=\"POST\"", "path=\"/size\"", "status=413"]);
    server.logged(&["access", "method=\"GET\"", "path=\"/plaintext\"", "status=200", "bytes=13"]);
    assert!(server.end().ends_with("; 0 cut off"));
}

#[test]
fn requests_that_come_together_are_answered_together() {
    const GET: &str = "GET /plaintext HTTP/1.1\r\nHost: h\r\n\r\n";
    const POST: &str = "POST /size HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345";
    const CHUNKS: &str = "POST /size HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n";
    let server = Program::start(&[]);
    let mut client = server.connect();
    let bodies: Vec<&str> = (0..30).map(|i| ["Hello, World!", "5\n", "4\n"][i % 3]).collect();
    let requests: String = (0..30).map(|i| [GET, POST, CHUNKS][i % 3]).collect();
    assert!(requests.len() < 4096, "what the server reads at once");
    client.write_all(requests.as_bytes()).unwrap();
    // With one write, so they are there with one read.
    let mut buf = [0; 32 << 10];
    let n = client.read(&mut buf).unwrap();
    let answers = std::str::from_utf8(&buf[..n]).unwrap();
    let got: Vec<&str> =
        answers.split("HTTP/1.1 200 OK\r\n").skip(1).map(|a| a.split_once("\r\n\r\n").unwrap().1).collect();
    assert_eq!(got, bodies);

    // Who does not wait for 100 Continue does not get it, and the connection goes on.
    let eager = "POST /size HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
    client.write_all(format!("{eager}{GET}").as_bytes()).unwrap();
    let answers = until(&mut client, "Hello, World!");
    assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("\r\n\r\n3\n"), "{answers}");

    // Cut anywhere, they are the same.
    let two = format!("{CHUNKS}{GET}");
    for at in 1..two.len() {
        client.write_all(&two.as_bytes()[..at]).unwrap();
        std::thread::yield_now();
        client.write_all(&two.as_bytes()[at..]).unwrap();
        until(&mut client, "\r\n\r\n4\n");
        until(&mut client, "\r\n\r\nHello, World!");
    }
    // More than fits anywhere, from a client that reads and writes at the same time.
    let mut writing = client.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..2_000 {
            writing.write_all(GET.as_bytes()).unwrap();
        }
        writing.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(to_the_end(&mut client).matches("\r\n\r\nHello, World!").count(), 2_000);
    writer.join().unwrap();
    server.end();
}

#[test]
fn a_streamed_answer_comes_as_it_is_made() {
    let server = Program::start(&[]);
    // No end: whoever reads a line has it before the answer is whole.
    let mut client = server.connect();
    client.write_all(b"GET /lines?ms=1 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    until(&mut client, "\r\n\r\n7\r\nline 1\n\r\n7\r\nline 2\n\r\n");
    // Who goes in the middle ends it: the server's write fails.
    drop(client);
    server.logged(&["access", "path=\"/lines\""]);
    // An echo answers before it has all.
    let mut client = server.connect();
    client.write_all(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc").unwrap();
    until(&mut client, "\r\n\r\n3\r\nabc\r\n");
    client.write_all(b"def").unwrap();
    until(&mut client, "3\r\ndef\r\n0\r\n\r\n");
    server.end();
}

#[test]
fn files_and_nothing_else() {
    let Some(tool) = tool("curl") else { return };
    let (outside, root) = (Dir::new(), Dir::new());
    let large = data(3_000_001);
    outside.file("secret", b"not for you");
    root.file("large.bin", &large);
    root.file("é è.txt", "text\n".as_bytes());
    std::fs::create_dir(root.0.join("sub")).unwrap();
    root.file("sub/index.html", b"<p>index");
    symlink(outside.path("secret"), root.path("link")).unwrap();
    symlink(&outside.0, root.path("door")).unwrap();
    symlink("round", root.path("round")).unwrap();
    symlink("sub", root.path("sub2")).unwrap();
    let fifo = root.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let server = Program::start(&["--root", &root.path("")]);
    let ask = |args: &[&str]| curl(&tool, args);

    // Through sendfile, twice on one connection.
    let (one, two, url) = (outside.path("1"), outside.path("2"), server.url("/large.bin"));
    assert_eq!(ask(&["-w", "%{num_connects}", "-o", &one, &url, "-o", &two, &url]), ("10".into(), 0));
    assert!(std::fs::read(one).unwrap() == large && std::fs::read(two).unwrap() == large);
    let code = |path: &str| {
        ask(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", &server.url(path)]).0
    };
    assert_eq!(ask(&[&server.url("/%C3%A9%20%c3%a8.txt")]), ("text\n".into(), 0));
    assert_eq!(code("/sub"), format!("301 {}", server.url("/sub/")));
    assert_eq!(ask(&[&server.url("/sub2/")]), ("<p>index".into(), 0));
    for path in [
        "/",
        "/none",
        "/link",
        "/door/secret",
        "/door/",
        "/round",
        "/fifo",
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "//sub",
        "/sub%00",
        &format!("/{}", "x".repeat(4000)),
    ] {
        assert_eq!(code(path), "404 ", "{path}");
    }
    // What has not changed is not sent again.
    let url = server.url("/sub/");
    let (head, _) = ask(&["-I", &url]);
    let modified = head.lines().find_map(|l| l.strip_prefix("last-modified: ")).unwrap();
    let since = |when: &str| {
        ask(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("If-Modified-Since: {when}"), &url]).0
    };
    assert_eq!(since(modified), "304");
    assert_eq!(since("Tue, 15 Nov 1994 08:12:31 GMT"), "200");
    assert_eq!(since("soon"), "200");
    server.end();
}

#[test]
fn wrk_finds_no_errors() {
    let Some(tool) = tool("wrk") else { return };
    let (server, dir) = (Program::start(&["--log", "off"]), Dir::new());
    let script = dir.file(
        "pipeline.lua",
        b"init = function() local r = {} for i = 1, 16 do r[i] = wrk.format(nil, '/plaintext') end req = table.concat(r) end
          request = function() return req end",
    );
    for more in [&[][..], &["-s", &script]] {
        let url = server.url("/plaintext");
        let mut args = vec!["-t1", "-c16", "-d1s", "--timeout", "60s"];
        args.extend(more);
        args.push(&url);
        let (text, _, code) = run(Command::new(&tool).args(&args));
        assert!(code == 0 && text.contains("Requests/sec"), "{text}");
        assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
        let requests = text.lines().find_map(|l| l.split_once(" requests in ")).unwrap().0.trim();
        assert!(requests.parse::<u64>().unwrap() > 100, "{text}");
    }
    server.end();
}

#[test]
fn chromium_shows_the_page() {
    let Some(tool) = tool("chromium") else { return };
    let (server, home) = (Program::start(&[]), Dir::new());
    let browser = Command::new(tool)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", home.path("")))
        .arg(server.url("/?tell"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Killed)
        .unwrap();
    // When it has all its answers, the page asks for a path that says what it shows.
    let shown = [
        "200%20Hello%2C%20World!",
        "line%201%0Aline%202%0Aline%203%0Aline%204%0Aline%205",
        "200%2C%2050000%20characters%20came%20back",
        "404%20there%20is%20nothing%20here",
        "streamed",
    ];
    let said = server.logged(&["access", "path=\"/shown/"]);
    drop(browser);
    assert!(said.contains(&format!("path=\"/shown/{}\"", shown.join("/"))), "{said}");
    for path in ["/", "/style.css", "/script.js"] {
        server.logged(&["access", &format!("path=\"{path}\""), "status=200"]);
    }
    server.end();
}

/// Nobody is accepted any more.
fn refused(server: &Program) {
    let began = Instant::now();
    while TcpStream::connect(server.addr).is_ok() {
        assert!(began.elapsed() < patience(), "it still listens");
        std::thread::yield_now();
    }
}

#[test]
fn the_end_lets_requests_finish() {
    let mut server = Program::start(&["--grace", "100000", "--idle-time", "100000", "--head-time", "100000"]);
    // Idle ones, one without a request as yet, and three in the middle of one: its head, its body, an answer without end.
    let (mut idle, mut new) = (server.connect(), server.connect());
    idle.write_all(b"GET /plaintext HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    until(&mut idle, "Hello, World!");
    let mut heads = server.connect();
    heads.write_all(b"GET /plaintext HTTP/1.1\r\nHost: h\r\n\r\nGET /plaintext HT").unwrap();
    until(&mut heads, "Hello, World!");
    let mut body = server.connect();
    body.write_all(b"POST /size HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        .unwrap();
    until(&mut body, "HTTP/1.1 100 Continue\r\n\r\n");
    let mut lines = server.connect();
    lines.write_all(b"GET /lines?ms=3600000 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    until(&mut lines, "line 1\n\r\n");

    server.terminate();
    refused(&server);
    // In order, without a word.
    assert_eq!(to_the_end(&mut idle), "");
    assert_eq!(to_the_end(&mut new), "");
    assert!(to_the_end(&mut lines).ends_with("the server ends\n\r\n0\r\n\r\n"));
    heads.write_all(b"TP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let answer = to_the_end(&mut heads);
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("Hello, World!"), "{answer}");
    body.write_all(b"0123456789").unwrap();
    let answer = to_the_end(&mut body);
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("\r\n\r\n10\n"), "{answer}");
    // (And perhaps connections of `refused`.)
    assert!(server.ended().ends_with(" connections, 5 requests; 0 cut off"));
}

#[test]
fn who_does_not_finish_is_cut_off() {
    // By the end of the grace time, or by a second signal.
    for grace in ["50", "100000"] {
        let mut server = Program::start(&["--grace", grace, "--linger", "0"]);
        let mut body = server.connect();
        body.write_all(
            b"POST /size HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        )
        .unwrap();
        until(&mut body, "HTTP/1.1 100 Continue\r\n\r\n");
        server.terminate();
        if grace == "100000" {
            server.signal();
        }
        assert!(!matches!(body.read(&mut [0; 1]), Ok(1)), "no answer");
        assert_eq!(server.ended(), "served 1 connections, 1 requests; 1 cut off");
    }
}
