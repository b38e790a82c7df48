//! The door: the page, upgrades that are none, and requests that are none.

use crate::client::{Client, request};
use crate::process::{Chat, Dir, eventually, to_the_end};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn each_request_has_its_answer() {
    let chat = Chat::start(&Dir::new(), &[]);
    let good = request("r", "n");
    let without = |field: &str| {
        let lines: Vec<&str> = good.split("\r\n").filter(|l| !l.to_lowercase().starts_with(field)).collect();
        lines.join("\r\n")
    };
    let with = |field: &str| good.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
    let ws = |query: &str| good.replace("/ws?room=r&name=n", query);
    let many: String = (0..70).map(|i| format!("x{i}: y\r\n")).collect();
    let cases: &[(&str, String, &str)] = &[
        ("200", "GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), "<!doctype html>"),
        ("200", "GET /?room=r HTTP/1.0\r\n\r\n".into(), "<!doctype html>"),
        ("404", "GET /other HTTP/1.1\r\nHost: h\r\n\r\n".into(), "nothing here"),
        ("404", "GET /ws/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), "nothing here"),
        ("405", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc".into(), "GET only"),
        ("405", "HEAD /ws HTTP/1.1\r\nHost: h\r\n\r\n".into(), "GET only"),
        ("400", "GET /ws?room=r&name=n HTTP/1.1\r\nHost: h\r\n\r\n".into(), "no upgrade"),
        ("400", without("connection"), "no upgrade"),
        ("400", without("upgrade"), "no upgrade"),
        ("400", without("sec-websocket-key"), "no upgrade"),
        ("400", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "no upgrade"),
        ("426", without("sec-websocket-version"), "version of WebSocket is 13"),
        ("426", good.replace("Version: 13", "Version: 8"), "version of WebSocket is 13"),
        ("505", good.replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.1"),
        ("403", with("Origin: http://elsewhere.example"), "from elsewhere"),
        ("403", with("Origin: null"), "from elsewhere"),
        ("400", ws("/ws"), "the room is missing"),
        ("400", ws("/ws?room=r"), "the name is missing"),
        ("400", ws("/ws?room=&name=n"), "the room is missing"),
        ("400", ws(&format!("/ws?room={}&name=n", "x".repeat(65))), "the room is too long"),
        ("400", ws(&format!("/ws?room=r&name={}", "x".repeat(33))), "the name is too long"),
        ("400", ws("/ws?room=r&name=%00"), "the name is no name"),
        ("400", ws("/ws?room=r&name=%ff"), "the name is no name"),
        ("400", ws("/ws?room=%20&name=n"), "the room is no name"),
        ("400", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".into(), "no request"),
        ("400", "GET / HTTP/7.1\r\n\r\n".into(), "no request"),
        ("400", with("no colon"), "no request"),
        ("431", format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(9000)), "too long"),
        ("431", format!("GET / HTTP/1.1\r\n{many}\r\n"), "too many fields"),
    ];
    for (status, request, words) in cases {
        let answer = chat.answers(request.as_bytes());
        let shown = format!("{request:.200}\n\n{answer:.400}");
        let (head, body) = answer.split_once("\r\n\r\n").expect(&shown);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && body.contains(words), "{shown}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{shown}");
        assert_eq!(*status == "426", head.contains("\r\nSec-WebSocket-Version: 13"), "{shown}");
        assert_eq!(*status == "405", head.contains("\r\nAllow: GET\r\n"), "{shown}");
    }
    // The longest names, in characters and not bytes; from a page of ours; in pieces.
    let (room, name) = ("%C3%A9".repeat(64), "%F0%9F%98%80".repeat(32));
    let mut stream = chat.connect();
    let own = request(&room, &name).replace("Host: here", "Host: here:80\r\nOrigin: http://here:80");
    let (first, rest) = own.split_at(own.len() - 2);
    stream.write_all(first.as_bytes()).unwrap();
    stream.write_all(rest.as_bytes()).unwrap();
    let head = head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(Client { stream }.event()["you"], "😀".repeat(32));
    chat.lives();
}

fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// Whether he is let in now. (Who is refused before he has asked may see a reset: what he asks is not read.)
fn enters(chat: &Chat, room: &str) -> Option<Client> {
    let mut stream = chat.connect();
    stream.write_all(request(room, "c").as_bytes()).ok()?;
    head(&mut stream).ok()?.contains(" 101 ").then_some(Client { stream })
}

#[test]
fn a_request_that_does_not_come_is_not_waited_for() {
    let chat = Chat::start(&Dir::new(), &["--handshake", "300", "--close", "5000"]);
    // One who says nothing, and one who sends a byte now and then: for both the same deadline.
    let mut silent = chat.connect();
    let began = Instant::now();
    let mut slow = chat.connect();
    let drip = std::thread::spawn({
        let mut slow = slow.try_clone().unwrap();
        move || {
            for byte in request("r", "slow").bytes().cycle() {
                // Refused once the server has heard him out for long enough.
                if slow.write_all(&[byte]).is_err() {
                    return;
                }
                sleep(Duration::from_millis(20));
            }
        }
    });
    let answer = to_the_end(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(to_the_end(&mut silent), "");
    assert!(began.elapsed().as_millis() >= 290, "not before");
    drop(slow);
    drip.join().unwrap();
    // Half a request, and the end: nobody to answer.
    let mut half = chat.connect();
    half.write_all(b"GET / HT").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(to_the_end(&mut half), "");
    // Who is in has all the time that he wants.
    let mut c = chat.member("r", "c");
    sleep(Duration::from_millis(400));
    c.text("later");
    assert_eq!(c.said().1, "later");
    chat.lives();
}

#[test]
fn one_too_many() {
    let chat = Chat::start(&Dir::new(), &["--connections", "3", "--rooms", "2"]);
    let (a, b) = (chat.member("a", "a"), chat.member("b", "b"));
    // A third room is one too many, a third connection is not.
    let answer = chat.answers(request("c", "c").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("too many rooms"), "{answer}");
    let mut third = None;
    eventually("the refused one is gone", || {
        third = enters(&chat, "a");
        third.is_some()
    });
    let answer = to_the_end(&mut chat.connect());
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("too many connections"), "{answer}");
    // The places are free again when somebody has left.
    drop((a, b, third));
    eventually("there is room again", || enters(&chat, "c").is_some());
}
