//! What no proper client sends, and clients that wait, or are gone.

use crate::process::{Client, Dir, Kv, Reply, bulk, eventually};
use crate::programs::patience;
use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::time::Instant;

fn resident(kv: &Kv) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", kv.child.id())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn malformed_requests_get_an_error_and_the_end() {
    let kv = Kv::start(&Dir::new(), &[]);
    let long = "a".repeat(70_000);
    let cases: &[&[u8]] = &[
        b"*x\r\n",
        b"*1\r\n+PING\r\n",
        b"*1\r\n$-5\r\n",
        b"*1\r\n$99999999999999\r\n",
        b"*1\r\n$67108865\r\n",
        b"*1048577\r\n",
        b"*1\r\n$4\r\nPINGxx",
        b"*99999999999999999999999999999999999999",
        long.as_bytes(),
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n\xff\xfe\r\n",
    ];
    for case in cases {
        let mut c = kv.client();
        // The request before is answered.
        c.raw(b"*1\r\n$4\r\nPING\r\n");
        // The server may be gone before it has read all of it.
        let _ = c.stream.write_all(case);
        assert_eq!(c.read(), Reply::Simple("PONG".into()), "{}", case.escape_ascii());
        assert!(c.read().is_error("ERR Protocol error"), "{}", case.escape_ascii());
        assert!(c.at_end());
    }
    // No request at all: a connection that sends nothing but rubbish, with line ends in it.
    let mut c = kv.client();
    c.raw(b"GET / HTTP/1.1\r\n\x00\xff\xfe\r\n\r\n");
    assert!(c.read().is_error("ERR wrong number") && c.read().is_error("ERR unknown command '\\x00\\xff"));
    assert!(kv.client().ask("DBSIZE").int() == 0);
}

#[test]
fn bytes_of_any_kind_come_back() {
    let kv = Kv::start(&Dir::new(), &[]);
    let mut c = kv.client();
    let every: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\xff\xfe\r\n\0", &every, &every.repeat(20_000)] {
        assert!(c.cmd(&[b"SET", &every[..], value]).is_ok());
        assert!(c.cmd(&[b"GET", &every[..]]) == Reply::Bulk(value.to_vec()));
    }
    // Byte by byte, and a hundred at once.
    for byte in Client::encode(&["ECHO", "in pieces"]) {
        c.raw(&[byte]);
    }
    assert_eq!(c.read(), bulk("in pieces"));
    c.raw(&Client::encode(&["INCR", "n"]).repeat(100));
    assert!((1..=100).all(|i| c.read() == Reply::Int(i)));
}

#[test]
fn what_is_announced_costs_nothing_before_it_comes() {
    let kv = Kv::start(&Dir::new(), &[]);
    let before = resident(&kv);
    let mut all: Vec<_> = (0..100).map(|_| kv.client()).collect();
    all.iter_mut().for_each(|c| c.raw(b"*1000000\r\n$3\r\nSET\r\n$67108864\r\nx"));
    eventually("all are in", || kv.info("connected_clients") == 101);
    assert_eq!(kv.client().ask("PING"), Reply::Simple("PONG".into()));
    let grown = resident(&kv).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more, with 6.4 GB announced");
}

#[test]
fn a_client_that_has_said_all_gets_its_answers() {
    let kv = Kv::start(&Dir::new(), &[]);
    let mut c = kv.client();
    c.raw(&Client::encode(&["INCR", "n"]).repeat(1_000));
    c.raw(b"*1\r\n$4\r\nPI");
    c.stream.shutdown(Shutdown::Write).unwrap();
    assert!((1..=1_000).all(|i| c.read() == Reply::Int(i)));
    assert!(c.at_end());
    eventually("it has gone", || kv.info("connected_clients") == 1);
}

#[test]
fn who_says_nothing_for_too_long_is_closed() {
    let kv = Kv::start(&Dir::new(), &["--timeout", "1"]);
    let start = Instant::now();
    let (mut silent, mut half, mut subscriber) = (kv.client(), kv.client(), kv.client());
    half.raw(b"*1\r\n$4\r\nPI");
    subscriber.ask("SUBSCRIBE c");
    assert!(silent.at_end() && half.at_end());
    assert!(start.elapsed().as_millis() >= 990, "not before");
    // One who listens may be silent.
    assert_eq!(kv.client().ask("PUBLISH c m"), Reply::Int(1));
    assert!(matches!(subscriber.read(), Reply::Array(_)));
}

#[test]
fn a_client_that_does_not_read_stops_nobody() {
    let kv = Kv::start(&Dir::new(), &[]);
    let mut c = kv.client();
    assert!(c.cmd(&["SET", "large", &"x".repeat(1 << 20)]).is_ok());
    let mut deaf: Vec<_> = (0..4).map(|_| kv.client()).collect();
    // 64 MiB of answers each, which nobody buffers.
    deaf.iter_mut().for_each(|d| d.raw(&Client::encode(&["GET", "large"]).repeat(64)));
    for i in 1..=100 {
        assert_eq!(c.ask("INCR n"), Reply::Int(i));
    }
    // They can have them all the same.
    for d in &mut deaf {
        (0..64).for_each(|_| assert!(matches!(d.read(), Reply::Bulk(b) if b.len() == 1 << 20)));
    }
}

#[test]
fn twelve_hundred_slow_clients() {
    let kv = Kv::start(&Dir::new(), &[]);
    let request = Client::encode(&["ECHO", "slowly"]);
    let mut all: Vec<_> = (0..1_200).map(|_| kv.client()).collect();
    let mut quick = kv.client();
    for (i, piece) in request.chunks(9).enumerate() {
        all.iter_mut().for_each(|c| c.raw(piece));
        assert_eq!(quick.ask("INCR n"), Reply::Int(i as i64 + 1));
    }
    assert!(all.iter_mut().all(|c| c.read() == bulk("slowly")));
    assert_eq!(kv.info("connected_clients"), 1_202);
    drop(all);
    eventually("they have gone", || kv.info("connected_clients") == 2);
}

#[test]
fn one_client_too_many() {
    let kv = Kv::start(&Dir::new(), &["--maxclients", "3"]);
    let mut all: Vec<_> = (0..3).map(|_| kv.client()).collect();
    all.iter_mut().for_each(|c| assert_eq!(c.ask("PING"), Reply::Simple("PONG".into())));
    let mut c = kv.client();
    assert!(c.read().is_error("ERR max number of clients"));
    assert!(c.at_end());
    drop(all.pop());
    eventually("there is room again", || kv.client().try_cmd(&["PING"]).is_ok_and(|r| r.text() == "PONG"));
}

#[test]
fn sigterm_answers_what_was_read_and_loses_nothing() {
    let dir = Dir::new();
    let kv = Kv::logging(&dir, "no", &[]);
    let acknowledged: Vec<i64> = std::thread::scope(|s| {
        let clients: Vec<_> = (0..4)
            .map(|t| {
                let kv = &kv;
                s.spawn(move || {
                    let mut c = kv.client();
                    let (mut last, batch) = (0, Client::encode(&["INCR", &format!("n{t}")]).repeat(10));
                    while c.stream.write_all(&batch).is_ok() {
                        for _ in 0..10 {
                            match c.try_read() {
                                Ok(reply) => last = reply.int(),
                                Err(_) => return last,
                            }
                        }
                    }
                    last
                })
            })
            .collect();
        let mut c = kv.client();
        let start = Instant::now();
        let busy = |c: &mut Client| {
            (0..4).all(|t| matches!(c.ask(&format!("GET n{t}")), Reply::Bulk(b) if b.len() > 2))
        };
        while !busy(&mut c) {
            assert!(start.elapsed() < patience());
        }
        kv.term();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert!(kv.stop().success(), "{}", dir.said());
    let kv = Kv::logging(&dir, "no", &[]);
    for (t, last) in acknowledged.into_iter().enumerate() {
        let n = kv.client().ask(&format!("GET n{t}")).int();
        assert!(n >= last && last > 0, "{n} after {last} was acknowledged");
    }
}
