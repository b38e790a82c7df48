//! kill -9, torn and damaged logs, logs that are written anew.

use crate::process::{Client, Dir, Kv, Reply, bulk, command, eventually, wait};
use crate::programs::{Signal, signal};
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::scope;

/// Writes until the server is gone. Gives the last number of the counter that was acknowledged, and all of those that
/// have a key.
fn write_until_the_end(kv: &Kv, t: usize, begun: &Barrier, acknowledged: &AtomicUsize) -> (i64, Vec<i64>) {
    let mut c = kv.client();
    let (mut last, mut keys) = (c.ask(&format!("INCR n{t}")).int(), Vec::new());
    begun.wait();
    loop {
        let next = last + 1;
        // One after the other, or in a pipeline; what belongs together in a transaction.
        let ok = if next % 2 == 0 {
            let key = format!("k{t}:{next}");
            c.try_cmd(&["SET", &key, "v"]).is_ok_and(|r| r.is_ok())
                && c.try_cmd(&["INCR", &format!("n{t}")]).is_ok_and(|r| r == Reply::Int(next))
        } else {
            let request = format!(
                "SET k{t}:{next} v\r\nMULTI\r\nINCR n{t}\r\nINCR m{t}\r\nRPUSH l{t} {next}\r\nEXEC\r\n"
            );
            std::io::Write::write_all(&mut &c.stream, request.as_bytes()).is_ok()
                && (0..5).all(|_| c.try_read().is_ok())
                && matches!(c.try_read(), Ok(Reply::Array(a)) if a[0] == Reply::Int(next))
        };
        if !ok {
            return (last, keys);
        }
        last = next;
        keys.push(last);
        acknowledged.fetch_add(1, SeqCst);
    }
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    const CLIENTS: usize = 6;
    let dir = Dir::new();
    // Small, so that it falls on a log that is being written anew as well.
    let more = ["--rewrite-min-size", "3000"];
    let mut keys = vec![Vec::new(); CLIENTS];
    for round in 0..6usize {
        let kv = Kv::logging(&dir, "always", &more);
        let acknowledged = AtomicUsize::new(0);
        let begun = Barrier::new(CLIENTS);
        let kept: Vec<(i64, Vec<i64>)> = scope(|s| {
            let (kv, begun, acknowledged) = (&kv, &begun, &acknowledged);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|t| s.spawn(move || write_until_the_end(kv, t, begun, acknowledged)))
                .collect();
            let moment = 30 + 37 * round;
            eventually("many are acknowledged", || acknowledged.load(SeqCst) >= moment);
            signal(&kv.child, Signal::KILL);
            clients.into_iter().map(|c| c.join().unwrap()).collect()
        });
        drop(kv);
        let kv = Kv::logging(&dir, "always", &more);
        let mut c = kv.client();
        for (t, (last, new)) in kept.into_iter().enumerate() {
            let n = c.ask(&format!("GET n{t}")).int();
            // One more may have come to the disk without its answer.
            assert!((last..=last + 1).contains(&n), "round {round}: {n} after {last}; {}", dir.said());
            keys[t].extend(new);
            for i in &keys[t] {
                assert_eq!(c.ask(&format!("EXISTS k{t}:{i}")).int(), 1, "round {round}: k{t}:{i} is lost");
            }
            let m = c.cmd(&["GET", &format!("m{t}")]);
            let m = if m == Reply::Null { 0 } else { m.int() };
            assert_eq!(m, c.ask(&format!("LLEN l{t}")).int(), "half of a transaction");
        }
        kv.kill();
    }
}

/// A log of three batches, and where they end.
fn three_batches(dir: &Dir) -> (Vec<u8>, [usize; 3]) {
    let kv = Kv::logging(dir, "always", &[]);
    let mut c = kv.client();
    let ends = ["SET a 1", "RPUSH l 1 2 3", "HSET h f v g w"].map(|command| {
        assert!(!matches!(c.ask(command), Reply::Error(_)));
        fs::metadata(dir.log()).unwrap().len() as usize
    });
    assert!(kv.stop().success());
    let log = fs::read(dir.log()).unwrap();
    assert_eq!(log.len(), ends[2]);
    (log, ends)
}

#[test]
fn a_torn_end_is_cut_off() {
    let dir = Dir::new();
    let (log, ends) = three_batches(&dir);
    let mut cases: Vec<(Vec<u8>, usize)> = Vec::new();
    for cut in [ends[1] + 1, ends[1] + 15, ends[1] + 16, ends[1] + 17, ends[2] - 1] {
        cases.push((log[..cut].to_vec(), 2));
    }
    cases.push((log[..ends[0] + 3].to_vec(), 1));
    cases.push((log[..9].to_vec(), 0));
    cases.push((log[..3].to_vec(), 0));
    cases.push((Vec::new(), 0));
    // The length is there, the bytes are not.
    cases.push(([&log[..ends[1]], &[0; 100]].concat(), 2));
    cases.push(([&log[..ends[2] - 5], &[0; 5]].concat(), 2));
    for (i, (bytes, whole)) in cases.into_iter().enumerate() {
        fs::write(dir.log(), &bytes).unwrap();
        let kv = Kv::logging(&dir, "always", &[]);
        assert_eq!(
            dir.said().contains("was not finished. Cut off"),
            bytes.len() > 8,
            "case {i}: {}",
            dir.said()
        );
        let mut c = kv.client();
        assert_eq!(c.ask("EXISTS a l h").int(), whole as i64, "case {i}");
        // It goes on from there.
        assert!(c.ask("SET new 1").is_ok());
        kv.kill();
        let kv = Kv::logging(&dir, "always", &[]);
        assert_eq!(kv.client().ask("EXISTS a l h new").int(), whole as i64 + 1, "case {i}");
        assert_eq!(dir.said(), "", "case {i}");
    }
}

/// Starts where it should not; gives what the server says.
fn refuses(dir: &Dir) -> String {
    let log = dir.log();
    let mut child =
        command(&dir.0, &["--appendonly", "yes", "--appendfilename", log.to_str().unwrap()]).spawn().unwrap();
    assert_eq!(wait(&mut child).code(), Some(1));
    dir.said()
}

#[test]
fn a_damaged_log_is_an_error_and_stays_as_it_is() {
    let dir = Dir::new();
    let (log, ends) = three_batches(&dir);
    // In a length, in a checksum, in a command; and a batch that is missing in part, with one behind it.
    for (at, whole) in [(8, 0), (ends[0] + 7, 1), (ends[0] + 9, 1), (ends[0] + 30, 1), (ends[1] + 2, 2)] {
        let mut bytes = log.clone();
        bytes[at] ^= 0x40;
        fs::write(dir.log(), &bytes).unwrap();
        let said = refuses(&dir);
        let place = if whole == 0 { 8 } else { ends[whole - 1] };
        assert!(said.contains(&format!("damaged at byte {place}")), "{at}: {said}");
        assert!(fs::read(dir.log()).unwrap() == bytes);
        // The user may decide to go on without the rest.
        let kv = Kv::logging(&dir, "always", &["--repair-log"]);
        assert!(dir.said().contains("Cut off"));
        assert_eq!(kv.client().ask("EXISTS a l h").int(), whole as i64);
    }
    fs::write(dir.log(), "a letter to a friend").unwrap();
    assert!(refuses(&dir).contains("not a log"));
    assert_eq!(fs::read_to_string(dir.log()).unwrap(), "a letter to a friend");
    fs::remove_file(dir.log()).unwrap();
    let _kv = Kv::logging(&dir, "always", &[]);
    assert!(refuses(&dir).contains("another server has this log"));
}

fn all_there_is(c: &mut Client) -> Vec<Reply> {
    [
        "GET s",
        "GET n0",
        "GET n1",
        "LRANGE l 0 -1",
        "HGET h f7",
        "HLEN h",
        "GET gone",
        "LRANGE long 0 -1",
        "DBSIZE",
    ]
    .map(|command| c.ask(command))
    .into()
}

#[test]
fn the_log_is_written_anew_while_clients_write() {
    let dir = Dir::new();
    let kv = Kv::logging(&dir, "everysec", &["--rewrite-min-size", "100000"]);
    let mut c = kv.client();
    c.ask("SET s v EX 1000");
    c.ask("SET gone v");
    c.ask("DEL gone");
    c.ask("RPUSH l a b c");
    (0..100).for_each(|i| drop(c.ask(&format!("HSET h f{i} v{i}"))));
    // Longer than one command of the new log.
    let text = "y".repeat(300_000);
    (0..5).for_each(|i| drop(c.cmd(&["RPUSH", "long", &format!("{i}{text}")])));
    scope(|s| {
        for t in 0..2 {
            let kv = &kv;
            s.spawn(move || {
                let mut c = kv.client();
                let numbers = format!("INCR n{t}\r\nINCR n{}\r\n", 1 - t).repeat(20);
                let batch = format!("{numbers}SET filler {}\r\n", "z".repeat(20_000));
                while kv.info("aof_rewrites") < 3 {
                    c.raw(batch.as_bytes());
                    assert!((0..40).all(|_| c.read().int() > 0) && c.read().is_ok());
                }
            });
        }
    });
    let rewrites = kv.info("aof_rewrites");
    assert!(c.ask("BGREWRITEAOF").text().contains("started"));
    eventually("one more", || kv.info("aof_rewrites") > rewrites && kv.info("aof_rewrite_in_progress") == 0);
    let (expected, size) = (all_there_is(&mut c), kv.info("aof_current_size"));
    assert!(size < 1_540_000, "{size}");
    assert_eq!(expected[6], Reply::Null);
    assert!(matches!(&expected[7], Reply::Array(a) if a.len() == 5));
    assert!(kv.stop().success(), "{}", dir.said());
    // As a crash leaves it.
    fs::write(dir.0.join("log.new"), "rubbish").unwrap();
    let kv = Kv::logging(&dir, "everysec", &[]);
    let mut c = kv.client();
    assert!(all_there_is(&mut c) == expected);
    assert!((1..=1000).contains(&c.ask("TTL s").int()));
    assert_eq!(c.ask("HGET h f99"), bulk("v99"));
    assert!(!dir.0.join("log.new").exists());
}

#[test]
fn the_end_does_not_wait_for_a_new_log() {
    let dir = Dir::new();
    for _ in 0..5 {
        let kv = Kv::logging(&dir, "everysec", &["--rewrite-min-size", "1"]);
        let mut c = kv.client();
        // One is going on, and another one is wanted, when the signal comes.
        c.raw("INCR n\r\nBGREWRITEAOF\r\n".repeat(20).as_bytes());
        (0..40).for_each(|_| drop(c.read()));
        assert!(kv.stop().success(), "{}", dir.said());
    }
    let kv = Kv::logging(&dir, "everysec", &[]);
    assert_eq!(kv.client().ask("GET n").int(), 100);
}
