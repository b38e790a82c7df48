//! The trace of an echo server at work is what trace viewers read, and has as many goroutines as the numbers say that there
//! are.

use gosched_runtime::{Builder, sleep};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

#[test]
fn a_trace_of_an_echo_server_has_all_its_goroutines() {
    const CLIENTS: usize = 40;
    // SAFETY: no goroutine here borrows from a thread-local, or holds a thread's value while it parks.
    let (alive, trace) = unsafe {
        gosched_runtime::run(|| {
            let before = gosched_runtime::debug::stats().goroutines;
            let listener = gosched_net::TcpListener::bind("127.0.0.1:0").unwrap();
            let at = listener.local_addr().unwrap();
            let named = |what: &str| Builder::new().name(format!("echo {what}"));
            let stop = Arc::new(AtomicBool::new(false));
            let rounds: Arc<[AtomicUsize]> = (0..CLIENTS).map(|_| AtomicUsize::new(0)).collect();
            let mut all = Vec::new();
            for i in 0..CLIENTS {
                let (stop, rounds) = (stop.clone(), rounds.clone());
                let client = named(&format!("client {i}")).spawn(move || {
                    let mut c = gosched_net::TcpStream::connect(at).unwrap();
                    while !stop.load(Relaxed) {
                        c.write_all(b"there and back").unwrap();
                        c.read_exact(&mut [0; 14]).unwrap();
                        rounds[i].fetch_add(1, Relaxed);
                    }
                });
                all.push(client.unwrap());
                let (mut c, _) = listener.accept().unwrap();
                let echoes = named(&format!("server {i}")).spawn(move || {
                    let mut buf = [0; 64];
                    while let Ok(n @ 1..) = c.read(&mut buf) {
                        c.write_all(&buf[..n]).unwrap();
                    }
                });
                all.push(echoes.unwrap());
            }
            let alive = gosched_runtime::debug::stats().goroutines - before;
            let file = std::env::temp_dir().join(format!("gosched-echo-{}.json", std::process::id()));
            gosched_runtime::debug::trace::start(std::fs::File::create(&file).unwrap()).unwrap();
            // Until each has been there and back, from its own start.
            let counts = || rounds.iter().map(|n| n.load(Relaxed)).collect::<Vec<_>>();
            let first = counts();
            while !counts().iter().zip(&first).all(|(now, first)| now >= &(first + 2)) {
                sleep(Duration::from_millis(1));
            }
            gosched_runtime::debug::trace::stop().unwrap();
            stop.store(true, Relaxed);
            all.into_iter().for_each(|h| h.join().unwrap());
            let trace = std::fs::read_to_string(&file).unwrap();
            std::fs::remove_file(file).unwrap();
            (alive, trace)
        })
    };
    let trace: Value = serde_json::from_str(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    // What each phase must have for chrome://tracing and Perfetto.
    for e in events {
        let has = |field: &str| assert!(!e[field].is_null(), "no {field}: {e}");
        has("pid");
        match e["ph"].as_str().unwrap() {
            "X" => ["ts", "dur", "tid", "name"].into_iter().for_each(has),
            "s" | "f" => ["ts", "id", "tid", "cat", "name"].into_iter().for_each(has),
            "i" => ["ts", "s", "tid", "name"].into_iter().for_each(has),
            "C" => ["ts", "name", "args"].into_iter().for_each(has),
            "M" => ["name", "args"].into_iter().for_each(has),
            other => panic!("{other}: {e}"),
        }
    }
    // SELECT count(DISTINCT g) FROM runs WHERE name LIKE '%echo%'
    let echo = |e: &&Value| e["cat"] == "run" && e["name"].as_str().unwrap().contains(" echo ");
    let distinct: HashSet<u64> =
        events.iter().filter(echo).map(|e| e["args"]["g"].as_u64().unwrap()).collect();
    assert_eq!((alive, distinct.len()), (2 * CLIENTS, 2 * CLIENTS));
}
