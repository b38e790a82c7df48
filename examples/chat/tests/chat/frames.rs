//! What RFC 6455 asks of a server, frame by frame: what is right, what is wrong, and what has no end.

use crate::client::{BINARY, CLOSE, Client, FIN, PING, PONG, TEXT, frame, request};
use crate::process::{Chat, Dir};
use std::io::{Read, Write};
use std::net::Shutdown;

/// What closes a connection on which these bytes come.
#[track_caller]
fn closed_by(chat: &Chat, bytes: &[u8]) -> u16 {
    let mut c = chat.member("r", "bad");
    c.raw(bytes);
    let (code, reason) = c.closed();
    assert!(!reason.is_empty() || code == 1000 || code == 1005);
    code
}

#[test]
fn every_violation_has_its_code() {
    let dir = Dir::new();
    let chat = Chat::start(&dir, &["--message", "1000"]);
    let mut witness = chat.member("r", "witness");
    let unmasked = [&[FIN | TEXT, 5][..], b"hello"].concat();
    let huge = [&[FIN | TEXT, 0x80 | 127][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    let parts = [frame(TEXT, &[b'a'; 600]), frame(FIN, &[b'b'; 600])].concat();
    let split = "é".as_bytes();
    let cases: &[(u16, &str, Vec<u8>)] = &[
        (1007, "no UTF-8", frame(FIN | TEXT, b"\xff\xfe")),
        (1007, "half a character", frame(FIN | TEXT, &split[..1])),
        (1007, "no UTF-8, in fragments", [frame(TEXT, b"fine"), frame(FIN, b"\xc3\x28")].concat()),
        (1007, "a surrogate", frame(FIN | TEXT, b"\xed\xa0\x80")),
        (1009, "too long", frame(FIN | TEXT, &[b'x'; 1001])),
        (1009, "longer than there is", huge),
        (1009, "too long together", parts),
        (1002, "unmasked", unmasked),
        (1002, "a reserved bit", frame(FIN | 0x40 | TEXT, b"x")),
        (1002, "a reserved opcode", frame(FIN | 3, b"x")),
        (1002, "a reserved control opcode", frame(FIN | 11, b"x")),
        (1002, "a fragment of nothing", frame(FIN, b"x")),
        (1002, "a text within a text", [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat()),
        (1002, "a ping in fragments", frame(PING, b"x")),
        (1002, "a ping that is too long", frame(FIN | PING, &[b'x'; 126])),
        (1002, "a close of one byte", frame(FIN | CLOSE, b"x")),
        (1002, "a close with a code that is none", frame(FIN | CLOSE, &999_u16.to_be_bytes())),
        (1003, "binary", frame(FIN | BINARY, b"x")),
        (1005, "a close without a code", frame(FIN | CLOSE, b"")),
        (1000, "a close", frame(FIN | CLOSE, &1000_u16.to_be_bytes())),
    ];
    for (code, what, bytes) in cases {
        assert_eq!(closed_by(&chat, bytes), *code, "{what}");
        // Who was there sees him come and go, and nothing else.
        assert_eq!(witness.event()["joined"], "bad", "{what}");
        assert_eq!(witness.event()["left"], "bad", "{what}");
    }
    witness.text("and nothing else");
    assert_eq!(witness.said().1, "and nothing else");
    witness.leave();
}

#[test]
fn what_is_right_is_taken_in_any_shape() {
    let chat = Chat::start(&Dir::new(), &["--message", "1000", "--rate", "0"]);
    let mut c = chat.member("r", "c");
    // In fragments that split a character, with a ping in between, which is answered at once.
    let text = "in fragments: é";
    let (a, b) = text.as_bytes().split_at(text.len() - 1);
    c.raw(&[frame(TEXT, a), frame(FIN | PING, b"there?")].concat());
    let pong = loop {
        let (first, payload) = c.frame().unwrap();
        if first != FIN | TEXT {
            break (first, payload);
        }
    };
    assert_eq!(pong, (FIN | PONG, b"there?".to_vec()));
    c.raw(&[frame(0, b""), frame(FIN, b)].concat());
    assert_eq!(c.said().1, text);
    // As long as allowed; nothing at all, which is no message; byte by byte; and with a request in one packet.
    let longest = "x".repeat(1000);
    c.text(&longest);
    assert_eq!(c.said().1, longest);
    c.text("");
    for byte in frame(FIN | TEXT, b"byte by byte") {
        c.raw(&[byte]);
    }
    assert_eq!(c.said().1, "byte by byte");
    let all: Vec<u8> = (0..200).flat_map(|i| frame(FIN | TEXT, format!("{i}").as_bytes())).collect();
    c.raw(&all);
    (0..200).for_each(|i| assert_eq!(c.said().1, i.to_string()));
    // A pong that nobody has asked for is allowed.
    c.raw(&frame(FIN | PONG, b"unasked"));
    // What JSON and HTML have a meaning for is text.
    let odd = "\"\\ \u{1} \u{2028} <b>&amp;</b> 😀";
    c.text(odd);
    assert_eq!(c.said().1, odd);
    c.leave();
}

#[test]
fn who_is_gone_in_the_middle_has_left() {
    let chat = Chat::start(&Dir::new(), &[]);
    let mut witness = chat.member("r", "witness");
    let whole = frame(FIN | TEXT, b"never whole");
    for cut in [0, 1, 2, 5, whole.len() - 1] {
        let mut c = chat.member("r", "half");
        assert_eq!(witness.event()["joined"], "half");
        c.raw(&whole[..cut]);
        match cut % 2 {
            // The connection ends in order, or with a reset: bytes of ours are unread.
            0 => c.stream.shutdown(Shutdown::Write).unwrap(),
            _ => drop(c),
        }
        assert_eq!(witness.event()["left"], "half", "cut at {cut}");
    }
    witness.leave();
    chat.lives();
}

#[test]
fn frames_behind_the_request_are_not_lost() {
    let chat = Chat::start(&Dir::new(), &[]);
    let mut stream = chat.connect();
    // An eager client: its first message comes with the request.
    let eager = [request("r", "eager").into_bytes(), frame(FIN | TEXT, b"at once")].concat();
    stream.write_all(&eager).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut c = Client { stream };
    c.until_in();
    assert_eq!(c.said(), ("eager".into(), "at once".into()));
    c.leave();
}
