//! Clients that do not read, and clients that say too much.

use crate::client::{CLOSE, Client, FIN, PING, TEXT, frame};
use crate::process::{Chat, Dir, eventually};
use std::fs;
use std::io::Write;
use std::time::Instant;

#[test]
fn a_client_that_does_not_read_stops_nobody_and_is_dropped() {
    let dir = Dir::new();
    let chat = Chat::start(&dir, &["--rate", "0", "--mailbox", "100000", "--close", "600000"]);
    let (mut quick, mut slow) = (chat.member("r", "quick"), chat.member("r", "slow"));
    let text = "x".repeat(4000);
    // 8 MB: more than the system and the mailbox hold together.
    const SAID: u64 = 2000;
    for _ in 0..SAID {
        quick.text(&text);
        assert_eq!(quick.said().0, "quick");
    }
    // What he reads now is what was sent before he was given up, each whole and in order, and then why.
    let mut heard = 0_u64;
    let (code, reason) = loop {
        let (first, payload) = slow.frame().unwrap();
        if first == FIN | CLOSE {
            break (
                u16::from_be_bytes([payload[0], payload[1]]),
                String::from_utf8(payload[2..].to_vec()).unwrap(),
            );
        }
        let event: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        if event["text"].is_string() {
            heard += 1;
            assert_eq!(event["id"], heard);
            assert_eq!(event["text"].as_str().unwrap().len(), 4000);
        }
    };
    assert_eq!((code, &reason[..]), (1008, "too slow: too much waits for this client"));
    assert!(heard < SAID, "nothing was kept from him");
    drop(slow);
    while quick.event()["left"] != "slow" {}
    quick.leave();
    chat.lives();
}

#[test]
fn who_is_slow_for_a_while_misses_nothing() {
    let chat = Chat::start(&Dir::new(), &["--rate", "0", "--mailbox", "100000000"]);
    let (mut quick, mut slow) = (chat.member("r", "quick"), chat.member("r", "slow"));
    let text = "x".repeat(4000);
    // Several times: each time the goroutine that writes begins, and ends when all is written.
    for round in 0..3 {
        const N: u64 = 1000;
        for _ in 0..N {
            quick.text(&text);
            assert_eq!(quick.said().0, "quick");
        }
        for n in 1..=N {
            let event = loop {
                let event = slow.event();
                if event["text"].is_string() {
                    break event;
                }
            };
            assert_eq!(event["id"], round * N + n);
        }
    }
    slow.leave();
    quick.leave();
}

#[test]
fn a_client_that_says_too_much_is_dropped() {
    let chat = Chat::start(&Dir::new(), &["--rate", "10"]);
    let mut witness = chat.member("r", "witness");
    let began = Instant::now();
    let mut flood = chat.member("r", "flood");
    // Twice a second's worth at once is allowed.
    (0..20).for_each(|i| flood.text(&i.to_string()));
    (0..20).for_each(|i| assert_eq!(flood.said(), ("flood".into(), i.to_string())));
    let all: Vec<u8> = (0..1000).flat_map(|_| frame(FIN | TEXT, b"and more")).collect();
    let _ = flood.stream.write_all(&all);
    assert_eq!(flood.closed(), (1008, "too many messages".into()));
    let allowed = 20 + began.elapsed().as_millis() / 100 + 1;
    drop(flood);
    let mut said = 0;
    loop {
        let event = witness.event();
        said += u128::from(event["text"].is_string());
        if event["left"] == "flood" {
            break;
        }
    }
    assert!((20..=allowed).contains(&said), "{said}, and {allowed} are allowed");
    // Pings count as well.
    let mut pings = chat.member("r", "pings");
    let _ = pings.stream.write_all(&frame(FIN | PING, b"x").repeat(1000));
    assert_eq!(pings.closed().0, 1008);
    witness.leave();
}

#[test]
fn what_is_announced_costs_nothing_before_it_comes() {
    let chat = Chat::start(&Dir::new(), &["--message", "16000000", "--rooms", "2"]);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", chat.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    };
    let mut all: Vec<_> = (0..100).map(|i| chat.member("r", &i.to_string())).collect();
    let before = resident();
    let begun = &frame(FIN | TEXT, &vec![b'x'; 15_000_000])[..100];
    all.iter_mut().for_each(|c| c.raw(begun));
    let mut c = chat.member("r", "c");
    c.text("hello");
    assert_eq!(c.said().1, "hello");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more, with 1.5 GB announced");
    drop(all);
    eventually("they have left", || {
        let mut d = Client::enter(chat.connect(), "r", "d");
        let (_, members) = d.until_in_counted();
        d.leave();
        members == 2
    });
}
