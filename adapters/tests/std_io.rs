//! What std and serde_json put around a stream works around ours.
//!
//! Thread-locals: neither holds one. std's adapters and `io::copy` keep their buffers in themselves or on the stack
//! (`io::copy` between two sockets of ours is the plain loop over 8 KiB: the goroutine's stack has room for it);
//! serde_json reads byte by byte from what it is given, without state outside of it.

use gosched::net::{TcpStream, UnixStream};
use gosched::{scope, spawn};
use gosched_adapters::{Server, WAITERS, data, on_goroutine, pair, patience, while_waiting};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, LineWriter, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

const MIB: usize = 1 << 20;

#[test]
fn lines_in_and_formatted_lines_out() {
    on_goroutine(|| {
        let server = Server::start(|stream| {
            let mut out = BufWriter::new(&stream);
            for line in BufReader::new(&stream).lines() {
                let n: u64 = line.unwrap().parse().unwrap();
                writeln!(out, "{n} squared is {:>20}", n * n).unwrap();
            }
            out.flush().unwrap();
        });
        let addr = server.addr;
        let clients: Vec<_> = (0..20u64)
            .map(|c| {
                spawn(move || {
                    let stream = TcpStream::connect(addr).unwrap();
                    scope(|s| {
                        s.spawn(|| {
                            let mut out = LineWriter::new(&stream);
                            (c..c + 200).for_each(|n| writeln!(out, "{n}").unwrap());
                            out.flush().unwrap();
                            stream.shutdown(Shutdown::Write).unwrap();
                        });
                        let lines = BufReader::with_capacity(7, &stream).lines().map(|l| l.unwrap());
                        assert!(lines.eq((c..c + 200).map(|n| format!("{n} squared is {:>20}", n * n))));
                    });
                })
            })
            .collect();
        clients.into_iter().for_each(|c| c.join().unwrap());
    });
}

#[test]
fn a_std_thread_is_the_peer() {
    on_goroutine(|| {
        let server = Server::start(|stream| {
            io::copy(&mut &stream, &mut &stream).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let addr = server.addr;
        let thread = std::thread::spawn(move || {
            let (stream, sent) = (std::net::TcpStream::connect(addr).unwrap(), data(1, MIB));
            stream.set_read_timeout(Some(patience())).unwrap();
            let mut got = Vec::new();
            std::thread::scope(|s| {
                s.spawn(|| {
                    (&stream).write_all(&sent).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                });
                (&stream).read_to_end(&mut got).unwrap();
            });
            assert!(got == sent);
        });
        gosched::syscall(|| thread.join()).unwrap();
    });
}

#[test]
fn copy_take_and_chain() {
    on_goroutine(|| {
        let (a, b) = pair();
        let (c, d) = pair();
        let sent = data(2, MIB);
        let writer = {
            let sent = sent.clone();
            spawn(move || {
                io::copy(&mut &sent[..], &mut &a).unwrap();
                a.shutdown(Shutdown::Write).unwrap();
            })
        };
        // From socket to socket, all that comes.
        let relay = spawn(move || {
            let n = io::copy(&mut &b, &mut &c).unwrap();
            c.shutdown(Shutdown::Write).unwrap();
            n
        });
        // In two pieces of which one ends within the stream, behind something that is not from it.
        let mut got = Vec::new();
        let head = &b"head"[..];
        head.chain((&d).take(1_000)).read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), 4 + 1_000);
        (&d).read_to_end(&mut got).unwrap();
        assert!(got[..4] == *b"head" && got[4..] == sent[..]);
        writer.join().unwrap();
        assert_eq!(relay.join().unwrap(), MIB as u64);

        // A reader that copies, and one that ends too early.
        let (mut a, b) = pair();
        a.write_all(b"short").unwrap();
        drop(a);
        let e = (&b).read_exact(&mut [0; 6]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn vectored_writes_and_bytes_and_boxed_traits() {
    on_goroutine(|| {
        let (mut client, server) = pair();
        let sent = client.write_vectored(&[io::IoSlice::new(b"ab"), io::IoSlice::new(b"cd")]).unwrap();
        assert_eq!(sent, 4);
        client.shutdown(Shutdown::Write).unwrap();
        let boxed: Box<dyn Read + Send> = Box::new(server);
        let bytes: io::Result<Vec<u8>> = BufReader::new(boxed).bytes().collect();
        assert_eq!(bytes.unwrap(), b"abcd");
    });
}

#[test]
fn json_comes_from_the_socket() {
    on_goroutine(|| {
        let server = Server::start(|stream| {
            // Several values, one after the other, on one connection.
            let mut out = BufWriter::new(&stream);
            for value in serde_json::Deserializer::from_reader(BufReader::new(&stream)).into_iter::<Value>() {
                match value {
                    Ok(v) => serde_json::to_writer(&mut out, &json!({ "sum": sum(&v) })).unwrap(),
                    Err(e) => serde_json::to_writer(&mut out, &json!({ "error": e.to_string() })).unwrap(),
                }
                out.flush().unwrap();
            }
        });
        let addr = server.addr;
        scope(|s| {
            for c in 0..20i64 {
                s.spawn(move || {
                    let stream = TcpStream::connect(addr).unwrap();
                    let mut answers =
                        serde_json::Deserializer::from_reader(BufReader::new(&stream)).into_iter::<Value>();
                    for i in 0..20 {
                        let question = json!({ "numbers": [c, i, 1], "nested": { "numbers": [100] } });
                        serde_json::to_writer(BufWriter::new(&stream), &question).unwrap();
                        assert_eq!(answers.next().unwrap().unwrap(), json!({ "sum": c + i + 101 }));
                    }
                    (&stream).write_all(b"{oh").unwrap();
                    let e = answers.next().unwrap().unwrap();
                    assert!(e["error"].as_str().unwrap().contains("line 1 column"), "{e}");
                });
            }
        });
        // One value, and the end of the stream after it.
        let (client, server) = pair();
        spawn(move || write!(&client, "[1, 2, {}]", 3).unwrap());
        assert_eq!(serde_json::from_reader::<_, Value>(&server).unwrap(), json!([1, 2, 3]));
    });
}

fn sum(v: &Value) -> i64 {
    match v {
        Value::Number(n) => n.as_i64().unwrap_or(0),
        Value::Array(a) => a.iter().map(sum).sum(),
        Value::Object(o) => o.values().map(sum).sum(),
        _ => 0,
    }
}

#[test]
fn a_deadline_ends_a_buffered_read_and_loses_nothing() {
    on_goroutine(|| {
        let (mut client, server) = pair();
        client.write_all(b"half a ").unwrap();
        server.set_read_deadline(Some(Instant::now() + std::time::Duration::from_millis(20))).unwrap();
        let (mut lines, mut line) = (BufReader::new(&server), Vec::new());
        // What came before the deadline stays in `line`.
        let e = lines.read_until(b'\n', &mut line).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimedOut);
        server.set_read_deadline(None).unwrap();
        client.write_all(b"line\n").unwrap();
        lines.read_until(b'\n', &mut line).unwrap();
        assert_eq!(line, b"half a line\n");
    });
}

#[test]
fn readers_that_wait_are_parked() {
    on_goroutine(|| {
        let (clients, servers): (Vec<_>, Vec<_>) = (0..WAITERS).map(|_| UnixStream::pair().unwrap()).unzip();
        let waits = servers
            .into_iter()
            .enumerate()
            .map(|(i, s)| -> Box<dyn FnOnce() -> u64 + Send> {
                match i % 3 {
                    0 => {
                        Box::new(move || BufReader::new(s).lines().next().unwrap().unwrap().parse().unwrap())
                    }
                    1 => Box::new(move || serde_json::from_reader(s).unwrap()),
                    _ => Box::new(move || {
                        let mut text = Vec::new();
                        io::copy(&mut &s, &mut text).unwrap();
                        String::from_utf8(text).unwrap().trim().parse().unwrap()
                    }),
                }
            })
            .collect();
        let got = while_waiting(waits, move || {
            clients.into_iter().enumerate().for_each(|(i, mut c)| writeln!(c, "{i}").unwrap());
        });
        assert!(got.into_iter().eq(0..WAITERS as u64));
    });
}
