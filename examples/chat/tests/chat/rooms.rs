//! Rooms: who hears what, and in which order; who is asked whether he is there; and the end.

use crate::client::{CLOSE, Client, FIN, PING, PONG, TEXT, frame};
use crate::process::{Chat, Dir, to_the_end, wait};
use std::io::Write;
use std::time::Instant;

#[test]
fn a_room_hears_what_is_said_in_it() {
    let chat = Chat::start(&Dir::new(), &[]);
    let mut ann = chat.member("one", "ann");
    let mut bob = chat.member("one", "bob");
    assert_eq!(ann.event(), serde_json::json!({"joined": "bob", "members": 2}));
    let mut eve = chat.member("two", "eve");
    ann.text("to one");
    eve.text("to two");
    let heard = bob.event();
    assert_eq!(ann.event(), heard, "the same for who has said it");
    assert_eq!((&heard["from"], &heard["text"], &heard["id"]), (&"ann".into(), &"to one".into(), &1.into()));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    assert!(heard["at"].as_u64().unwrap().abs_diff(now) < 600_000, "{heard}");
    assert_eq!(eve.said(), ("eve".into(), "to two".into()));
    bob.leave();
    assert_eq!(ann.event(), serde_json::json!({"left": "bob", "members": 1}));
    // What was said is there for who comes, whether the room went on or was empty meanwhile.
    let mut late = Client::enter(chat.connect(), "one", "late");
    assert_eq!(late.until_in(), [(1, "to one".into())]);
    late.leave();
    ann.leave();
    let mut again = Client::enter(chat.connect(), "one", "ann");
    assert_eq!(again.until_in(), [(1, "to one".into())]);
    again.text("second");
    assert_eq!(again.said().1, "second");
    again.leave();
    eve.leave();
}

#[test]
fn all_hear_the_same_in_one_order() {
    const EACH: usize = 100;
    const MEMBERS: usize = 8;
    let chat = Chat::start(&Dir::new(), &["--rate", "0"]);
    let members: Vec<_> = (0..MEMBERS).map(|i| chat.member("r", &i.to_string())).collect();
    let heard: Vec<Vec<(String, String)>> = std::thread::scope(|s| {
        let threads: Vec<_> = members
            .into_iter()
            .map(|mut c| {
                s.spawn(move || {
                    (0..EACH).for_each(|n| c.text(&n.to_string()));
                    let heard = (0..EACH * MEMBERS).map(|_| c.said()).collect();
                    c.leave();
                    heard
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(heard.iter().all(|h| *h == heard[0]));
    for i in 0..MEMBERS {
        let of_one = heard[0].iter().filter(|(from, _)| *from == i.to_string());
        assert!(of_one.map(|(_, text)| text.parse::<usize>().unwrap()).eq(0..EACH));
    }
}

#[test]
fn who_is_silent_is_asked_and_dropped_at_last() {
    let chat = Chat::start(&Dir::new(), &["--ping", "1000"]);
    let (mut witness, began) = (chat.member("r", "witness"), Instant::now());
    // One answers pings and one does not; one is in the middle of a frame.
    let (mut deaf, mut half) = (chat.member("r", "deaf"), chat.member("r", "half"));
    half.raw(&frame(FIN | TEXT, &[b'x'; 100])[..50]);
    let answering = std::thread::spawn(move || {
        // For longer than the others have.
        let mut asked = 0;
        while asked < 5 {
            let (first, payload) = witness.frame().unwrap();
            assert_ne!(first & 0x0f, CLOSE, "{:?}", String::from_utf8_lossy(&payload));
            if first == FIN | PING {
                asked += 1;
                witness.raw(&frame(FIN | PONG, &payload));
            }
        }
        witness.text("still here");
        assert_eq!(witness.said().1, "still here");
        witness.leave();
    });
    for c in [&mut deaf, &mut half] {
        let mut pings = 0;
        let code = loop {
            let (first, payload) = c.frame().unwrap();
            match first & 0x0f {
                PING => pings += 1,
                CLOSE => break u16::from_be_bytes([payload[0], payload[1]]),
                _ => {}
            }
        };
        assert!(pings >= 1 && code == 1008, "{pings} pings, {code}");
    }
    assert!(began.elapsed().as_millis() >= 2900, "not before");
    answering.join().unwrap();
}

#[test]
fn the_end_says_goodbye_to_everybody() {
    let dir = Dir::new();
    // A handshake that would last for ever, were it waited for.
    let mut chat = Chat::start(&dir, &["--handshake", "1000000", "--close", "2000"]);
    let mut members: Vec<_> = (0..20).map(|i| chat.member(&format!("r{}", i % 4), &i.to_string())).collect();
    for (i, c) in members.iter_mut().enumerate() {
        c.text(&format!("last words of {i}"));
    }
    // All of them are in the rooms' hands now.
    for (i, c) in members.iter_mut().enumerate() {
        while c.said().0 != i.to_string() {}
    }
    let (mut silent, mut half) = (chat.connect(), chat.connect());
    half.write_all(b"GET /ws?room=r HTTP/1.1\r\n").unwrap();
    // One who does not answer the close: he has his time, and then it is over.
    let mut rude = chat.member("r0", "rude");
    chat.term();
    for mut c in members {
        let (code, reason) = loop {
            let (first, payload) = c.frame().unwrap();
            if first == FIN | CLOSE {
                break (u16::from_be_bytes([payload[0], payload[1]]), payload[2..].to_vec());
            }
        };
        assert_eq!((code, &reason[..]), (1001, &b"the server ends"[..]));
        c.raw(&frame(FIN | CLOSE, &code.to_be_bytes()));
        assert!(c.frame().is_err(), "and nothing else");
    }
    assert_eq!(to_the_end(&mut silent), "");
    let answer = to_the_end(&mut half);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the server ends"), "{answer}");
    assert_eq!(rude.closed().0, 1001);
    assert_eq!(wait(&mut chat.child).code(), Some(0), "{}", dir.said());
    assert!(dir.said().contains("SIGTERM: stopping"), "{}", dir.said());
    // And it is all there.
    let chat = Chat::start(&dir, &[]);
    for room in 0..4 {
        let mut c = Client::enter(chat.connect(), &format!("r{room}"), "after");
        let mut texts: Vec<String> = c.until_in().into_iter().map(|(_, text)| text).collect();
        let mut expected: Vec<String> = (0..5).map(|i| format!("last words of {}", room + 4 * i)).collect();
        texts.sort();
        expected.sort();
        assert_eq!(texts, expected);
    }
}
