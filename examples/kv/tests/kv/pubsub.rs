//! Publish and subscribe, with a subscriber who does not read.

use crate::process::{Client, Dir, Kv, Reply, bulk, eventually};

fn message(c: &mut Client) -> Vec<String> {
    let (Reply::Array(words) | Reply::Push(words)) = c.read() else { panic!("no message") };
    words.iter().map(|w| if let Reply::Int(n) = w { n.to_string() } else { w.text() }).collect()
}

#[test]
fn messages_go_to_those_who_listen() {
    let kv = Kv::start(&Dir::new(), &[]);
    let (mut a, mut b, mut p) = (kv.client(), kv.client(), kv.client());
    a.send(&["SUBSCRIBE", "news", "sport"]).unwrap();
    assert_eq!(message(&mut a), ["subscribe", "news", "1"]);
    assert_eq!(message(&mut a), ["subscribe", "sport", "2"]);
    assert!(a.ask("GET x").is_error("ERR Can't execute 'get'"));
    assert_eq!(a.ask("PING"), Reply::Array(vec![bulk("pong"), bulk("")]));
    b.ask("HELLO 3");
    assert!(matches!(b.ask("PSUBSCRIBE n?ws*"), Reply::Push(_)));
    assert!(b.ask("SET x 1").is_ok());
    for i in 0..100 {
        assert_eq!(p.ask(&format!("PUBLISH news {i}")), Reply::Int(2));
    }
    for i in 0..100 {
        assert_eq!(message(&mut a), ["message", "news", &i.to_string()]);
        assert_eq!(message(&mut b), ["pmessage", "n?ws*", "news", &i.to_string()]);
    }
    // In a transaction as well.
    p.raw(b"MULTI\r\nPUBLISH sport x\r\nPUBLISH other x\r\nEXEC\r\n");
    (0..3).for_each(|_| drop(p.read()));
    assert_eq!(p.read(), Reply::Array(vec![Reply::Int(1), Reply::Int(0)]));
    assert_eq!(message(&mut a), ["message", "sport", "x"]);
    a.send(&["UNSUBSCRIBE"]).unwrap();
    let mut left = [message(&mut a), message(&mut a)];
    left.sort();
    assert_eq!(left.each_ref().map(|l| l[1].as_str()), ["news", "sport"]);
    assert!(a.ask("SET y 1").is_ok());
    assert_eq!(p.ask("PUBLISH sport x"), Reply::Int(0));
    // Who goes away is forgotten.
    drop(b);
    eventually("one less", || p.ask("PUBLISH news x") == Reply::Int(0));
    assert_eq!(kv.info("pubsub_patterns"), 0);
}

#[test]
fn a_subscriber_who_does_not_read_is_cut_off_and_nobody_waits_for_him() {
    let dir = Dir::new();
    let kv = Kv::start(&dir, &["--pubsub-limit", "200000"]);
    let (mut slow, mut quick, mut publisher) = (kv.client(), kv.client(), kv.client());
    for c in [&mut slow, &mut quick] {
        c.ask("SUBSCRIBE c");
    }
    let text = "x".repeat(10_000);
    // What the system buffers for him comes first, however much that is.
    let mut sent = 0;
    loop {
        let reached = publisher.cmd(&["PUBLISH", "c", &text]).int();
        sent += 1;
        assert_eq!(message(&mut quick)[2], text);
        if reached == 1 {
            break;
        }
        assert!(reached == 2 && sent < 100_000);
    }
    assert!(sent > 20, "{sent}");
    eventually("he has gone", || kv.info("subscribers_cut_off") == 1);
    // He gets what was on its way, and the end.
    let mut got = 0;
    while slow.try_read().is_ok() {
        got += 1;
    }
    assert!(got < sent, "{got} of {sent}");
    assert_eq!(publisher.ask("PUBLISH c x"), Reply::Int(1));
    assert_eq!(message(&mut quick)[2], "x");
}
