//! Transactions among many clients.

use crate::process::{Dir, Kv, Reply};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::scope;

#[test]
fn nobody_sees_half_of_a_transaction() {
    let kv = Kv::start(&Dir::new(), &[]);
    const ACCOUNTS: usize = 16;
    let all = (0..ACCOUNTS).map(|i| format!(" account{i}")).collect::<String>();
    let mut c = kv.client();
    (0..ACCOUNTS).for_each(|i| assert!(c.ask(&format!("SET account{i} 100")).is_ok()));
    let done = AtomicBool::new(false);
    scope(|s| {
        let writers: Vec<_> = (0..6usize)
            .map(|t| {
                let kv = &kv;
                s.spawn(move || {
                    let mut c = kv.client();
                    for i in 0..200 {
                        let (from, to, sum) = ((t + i) % ACCOUNTS, (t * 5 + i * 3 + 1) % ACCOUNTS, i % 7);
                        // In one write, or command by command.
                        let commands = [
                            "MULTI".into(),
                            format!("DECRBY account{from} {sum}"),
                            format!("INCRBY account{to} {sum}"),
                            "EXEC".into(),
                        ];
                        if i % 2 == 0 {
                            c.raw(format!("{}\r\n", commands.join("\r\n")).as_bytes());
                            (0..3).for_each(|_| drop(c.read()));
                            assert!(matches!(c.read(), Reply::Array(_)));
                        } else {
                            assert!(
                                commands.iter().all(|command| !matches!(c.ask(command), Reply::Error(_)))
                            );
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            s.spawn(|| {
                let mut c = kv.client();
                while !done.load(SeqCst) {
                    let Reply::Array(balances) = c.ask(&format!("MGET{all}")) else { panic!() };
                    assert_eq!(balances.iter().map(Reply::int).sum::<i64>(), 100 * ACCOUNTS as i64);
                }
            });
        }
        let ended: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
        done.store(true, SeqCst);
        assert!(ended.iter().all(|r| r.is_ok()));
    });
}

#[test]
fn a_watched_key_that_changes_stops_the_transaction() {
    let kv = Kv::start(&Dir::new(), &[]);
    scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let mut c = kv.client();
                for _ in 0..50 {
                    loop {
                        c.ask("WATCH counter");
                        let n = match c.ask("GET counter") {
                            Reply::Null => 0,
                            n => n.int(),
                        };
                        c.ask("MULTI");
                        c.ask(&format!("SET counter {}", n + 1));
                        match c.ask("EXEC") {
                            Reply::Null => {}
                            Reply::Array(_) => break,
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(kv.client().ask("GET counter").int(), 200);
}
