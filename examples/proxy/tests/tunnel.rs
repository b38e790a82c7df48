//! What goes through: every byte of much, each sort of end as what it was, and the ends that the proxy makes itself.
#![cfg(target_os = "linux")]

mod common;

use common::{Pattern, Program, echo, echoes, eventually, patience, target, to_the_end, tool, until};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const MUCH: usize = 100 << 20;

#[test]
fn much_goes_both_ways_at_once_and_arrives() {
    let forwarded = both_ways_target(MUCH / 4);
    let proxy = Program::start(&["--forward", &format!("127.0.0.1:0={forwarded}")]);
    both_ways(&proxy.socks(both_ways_target(MUCH)), MUCH);
    both_ways(&proxy.http(both_ways_target(MUCH / 4)), MUCH / 4);
    let addr: SocketAddr = proxy.told("forwarding ").parse().unwrap();
    both_ways(&common::patient(TcpStream::connect(addr).unwrap()), MUCH / 4);
    for (protocol, len) in [("socks5", MUCH), ("connect", MUCH / 4), ("forward", MUCH / 4)] {
        proxy.logged(&[&format!("protocol=\"{protocol}\""), &format!("up={len} down={len}")]);
    }
    assert_eq!(proxy.end(), "3 connections, 0 cut off");
}

/// Sends one pattern, and expects the other.
fn exchange(stream: &TcpStream, sent: u64, expected: u64, len: usize) {
    thread::scope(|s| {
        s.spawn(|| {
            Pattern::new(sent).feed(stream, len);
            stream.shutdown(Shutdown::Write).unwrap();
        });
        Pattern::new(expected).expect(stream, len);
    });
}

fn both_ways(stream: &TcpStream, len: usize) {
    exchange(stream, 1, 2, len);
}

fn both_ways_target(len: usize) -> SocketAddr {
    target(move |stream| exchange(&stream, 2, 1, len))
}

/// Large transfers do not pass through the process's memory.
#[test]
fn the_kernel_moves_the_bytes() {
    let Some(strace) = tool("strace") else { return };
    let file = std::env::temp_dir().join(format!("gosched-proxy-strace-{}", std::process::id()));
    // -D: the proxy is our child, and strace its.
    let name = file.display().to_string();
    let before = [strace.to_str().unwrap(), "-D", "-f", "-qq", "-e", "trace=splice", "-o", &name];
    let proxy = Program::start_under(&before, &[]);
    const LEN: usize = MUCH / 4;
    let source = target(|stream| Pattern::new(7).feed(&stream, LEN));
    let client = proxy.socks(source);
    client.shutdown(Shutdown::Write).unwrap();
    Pattern::new(7).expect(&client, LEN);
    proxy.end();
    let moved = || -> usize {
        let calls = std::fs::read_to_string(&file).unwrap();
        // Out of a pipe, into the socket: half of all that is moved.
        calls.lines().filter_map(|l| l.rsplit_once(" = ")?.1.trim().parse::<usize>().ok()).sum::<usize>() / 2
    };
    eventually("strace has written it all", || moved() > LEN / 2);
    println!("{} of {LEN} bytes were spliced", moved());
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn an_end_is_carried_over_as_what_it_was() {
    let proxy = Program::start(&[]);
    // The client's end: the target hears of it, and can still speak.
    let after = target(|mut stream| {
        let all = to_the_end(&mut stream);
        stream.write_all(&all).unwrap();
    });
    let mut client = proxy.socks(after);
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(to_the_end(&mut client), b"all of it");
    // The target's end: the client hears of it, and can still speak.
    let (tell, told) = mpsc::channel();
    let first = target(move |mut stream| {
        stream.write_all(b"that was it").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        tell.send(to_the_end(&mut stream)).unwrap();
    });
    let mut client = proxy.http(first);
    assert_eq!(to_the_end(&mut client), b"that was it");
    client.write_all(b"thank you").unwrap();
    drop(client);
    assert_eq!(told.recv_timeout(patience()).unwrap(), b"thank you");
    // A client's reset.
    let (tell, told) = mpsc::channel();
    let reset = target(move |mut stream| {
        let mut one = [0];
        stream.read_exact(&mut one).unwrap();
        tell.send(stream.read(&mut one)).unwrap();
    });
    let mut client = proxy.socks(reset);
    client.write_all(b"x").unwrap();
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let end = told.recv_timeout(patience()).unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.logged(&["protocol=\"socks5\"", "failed="]);
    // A target's.
    let reset = target(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let mut client = proxy.socks(reset);
    client.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.lives();
    assert!(proxy.end().ends_with(" 0 cut off"));
}

/// A server that has heard enough of an upload says so and closes: what it said arrives.
#[test]
fn last_words_arrive() {
    let proxy = Program::start(&[]);
    let enough = target(|mut stream| {
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.write_all(b"enough").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // Closed with much unread, which is a reset.
    });
    let mut client = proxy.socks(enough);
    let mut sending = client.try_clone().unwrap();
    let sender = thread::spawn(move || while sending.write_all(&[1; 10_000]).is_ok() {});
    assert_eq!(until(&mut client, "enough"), "enough");
    sender.join().unwrap();
    proxy.end();
}

#[test]
fn an_idle_tunnel_is_cut_and_no_other() {
    let proxy = Program::start(&["--idle", "4000"]);
    // One that is used, if only one way and a byte now and then.
    let trickle = target(|mut stream| {
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut used = proxy.socks(trickle);
    let began = Instant::now();
    let mut silent = proxy.http(echo());
    echoes(&mut silent, b"hello");
    // One whose client takes nothing: much is on its way, and stays there.
    let full = target(|mut stream| while stream.write_all(&[0; 100_000]).is_ok() {});
    let mut stalled = proxy.socks(full);
    let ends = thread::spawn(move || {
        let mut byte = [0];
        let end = silent.read(&mut byte);
        assert!(began.elapsed() >= Duration::from_millis(4000));
        end.unwrap_err().kind()
    });
    while !ends.is_finished() {
        assert_eq!(used.read(&mut [0]).unwrap(), 1);
    }
    // A reset: nobody shall take what came for the whole.
    assert_eq!(ends.join().unwrap(), ErrorKind::ConnectionReset);
    proxy.logged(&["protocol=\"connect\"", "up=5 down=5", "cut=\"idle\""]);
    proxy.logged(&[&format!("to=\"{full}\""), "up=0", "cut=\"idle\""]);
    let mut rest = Vec::new();
    assert!(stalled.read_to_end(&mut rest).is_err() && !rest.is_empty());
    assert_eq!(used.read(&mut [0]).unwrap(), 1);
    drop(used);
    proxy.end();
}

#[test]
fn the_end_lets_tunnels_finish() {
    let mut proxy = Program::start(&["--grace", "100000", "--handshake", "100000", "--connect", "100000"]);
    let (silent, _kept) = common::silent();
    let mut open = proxy.socks(echo());
    echoes(&mut open, b"before");
    // Those without a tunnel: nothing said, half a request, and one whose target does not answer.
    let (mut new, mut half, mut dialling) = (proxy.connect(), proxy.connect(), proxy.connect());
    half.write_all(b"CONNECT h:1 HT").unwrap();
    dialling.write_all(format!("CONNECT {silent} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    eventually("all are there", || proxy.descriptors().0 >= 7);
    proxy.terminate();
    eventually("nobody listens", || TcpStream::connect(proxy.addr).is_err());
    assert_eq!(to_the_end(&mut new), b"");
    // (Of what has not been read as yet nothing is known.)
    let answer = to_the_end(&mut half);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    let answer = to_the_end(&mut dialling);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "), "{answer:?}");
    echoes(&mut open, b"after");
    drop(open);
    assert!(proxy.ended().ends_with(" connections, 0 cut off"));
}

#[test]
fn who_does_not_finish_is_cut_off() {
    // By the end of the grace time, or by a second signal.
    for grace in ["50", "100000"] {
        let mut proxy = Program::start(&["--grace", grace]);
        let mut open = proxy.socks(echo());
        echoes(&mut open, b"before");
        proxy.terminate();
        if grace == "100000" {
            proxy.signal();
        }
        assert_eq!(open.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        proxy.logged(&["cut=\"end\""]);
        assert_eq!(proxy.ended(), "1 connections, 1 cut off");
    }
}
