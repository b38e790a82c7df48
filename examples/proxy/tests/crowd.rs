//! Too much of everything: clients, slow ones, connections of one, and too few descriptors. Each has its end, somebody else
//! is served meanwhile or afterwards, and nothing is left behind.
#![cfg(target_os = "linux")]

mod common;

use common::{Program, echo, echoes, eventually, nobody, patience, patient, target, to_the_end};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Thousands of clients that send a byte of their request now and then: all of them are sent away, and meanwhile others get
/// their tunnels.
#[test]
fn slow_clients_hold_up_nobody() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let clients = most.saturating_sub(500).min(4_000) as usize;
    assert!(clients >= 1_000, "there must be descriptors for 1,000 clients");
    let many = ["--connections", "100000", "--per-client", "100000"];
    let proxy = Program::start(&[&many[..], &["--handshake", "5000", "--log", "off"]].concat());
    let (echo, began) = (echo(), Instant::now());
    let mut slow: Vec<TcpStream> = (0..clients)
        .map(|i| {
            let mut stream = proxy.connect();
            let _ = stream.write(if i % 2 == 0 { b"CONNECT h:1 HTTP/1.1\r\nX: " } else { &[5, 255] });
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let (mut served, mut told) = (0, 0);
    while !slow.is_empty() {
        assert!(began.elapsed() < patience(), "{} are still there", slow.len());
        slow.retain_mut(|stream| {
            let _ = stream.write(b"x");
            let mut buf = [0; 512];
            match stream.read(&mut buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => true,
                Ok(n) => {
                    assert!(
                        n == 0 || buf.starts_with(b"HTTP/1.1 408 ") || buf.starts_with(&[5, 255]),
                        "{:?}",
                        &buf[..n]
                    );
                    told += usize::from(n > 0);
                    false
                }
                Err(_) => false,
            }
        });
        echoes(&mut proxy.socks(echo), b"fast");
        served += 1;
    }
    println!("{clients} slow clients, {told} told so; {served} others were served meanwhile");
    assert!(told > 0);
    proxy.end();
}

/// A connection from another address of this machine.
fn from(source: [u8; 4], proxy: &Program) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&proxy.addr.into()).unwrap();
    patient(socket.into())
}

fn refused_in_each_language(proxy: &Program, source: [u8; 4]) {
    let target = nobody();
    let ask = |bytes: &[u8]| {
        let mut client = from(source, proxy);
        client.write_all(bytes).unwrap();
        to_the_end(&mut client)
    };
    let socks = [&[5, 1, 0][..], &common::socks_request(target)].concat();
    assert_eq!(ask(&socks), [5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    for request in
        [format!("CONNECT {target} HTTP/1.1\r\n\r\n"), format!("GET http://{target}/ HTTP/1.1\r\n\r\n")]
    {
        let answer = ask(request.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_full_proxy_says_so() {
    let forward = format!("127.0.0.1:0={}", echo());
    let proxy = Program::start(&["--connections", "2", "--handshake", "100000", "--forward", &forward]);
    let echo = echo();
    let (mut one, mut two) = (proxy.socks(echo), proxy.http(echo));
    refused_in_each_language(&proxy, [127, 0, 0, 1]);
    let forwarded = TcpStream::connect(proxy.told("forwarding ")).unwrap();
    assert_eq!(to_the_end(&mut patient(forwarded)), b"");
    // Those who wait to be told are not many either: the rest is closed at once.
    let waiting: Vec<_> = (0..70).map(|_| proxy.connect()).collect();
    waiting.iter().for_each(|client| client.set_nonblocking(true).unwrap());
    let closed = || waiting.iter().filter(|client| matches!((&mut &**client).read(&mut [0]), Ok(0))).count();
    eventually("some are closed at once", || closed() >= 70 - 64);
    assert!(closed() < 70);
    drop(waiting);
    echoes(&mut one, b"one");
    echoes(&mut two, b"two");
    drop(one);
    eventually("there is a place again", || {
        let mut client = proxy.connect();
        client.write_all(&[&[5, 1, 0][..], &common::socks_request(echo)].concat()).unwrap();
        let mut reply = [0; 4];
        client.read_exact(&mut reply).is_ok() && reply[3] == 0
    });
    proxy.logged(&["protocol=\"unknown\"", "refused=\"full\""]);
    drop(two);
    proxy.end();
}

#[test]
fn one_client_does_not_have_it_all() {
    let proxy = Program::start(&["--per-client", "2"]);
    let echo = echo();
    let connect = |source| {
        let mut client = from(source, &proxy);
        client.write_all(format!("CONNECT {echo} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        assert!(common::until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 200 "));
        client
    };
    let mut mine = [connect([127, 0, 0, 1]), connect([127, 0, 0, 1])];
    refused_in_each_language(&proxy, [127, 0, 0, 1]);
    let mut other = connect([127, 0, 0, 2]);
    echoes(&mut other, b"other");
    echoes(&mut mine[1], b"mine");
    proxy.logged(&["refused=\"too_many\""]);
    drop((mine, other));
    proxy.end();
}

#[test]
fn without_descriptors_it_waits_and_lives() {
    let few = ["sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"];
    let proxy = Program::start_under(&few, &["--connections", "1000", "--handshake", "2000"]);
    let echo = echo();
    // Tunnels until there is no descriptor for one more: it is refused, or not even heard.
    let (mut tunnels, mut refused) = (Vec::new(), 0);
    for _ in 0..60 {
        let mut client = proxy.connect();
        client.set_read_timeout(Some(Duration::from_millis(2000))).unwrap();
        client.write_all(format!("CONNECT {echo} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut status = [0; 12];
        match client.read_exact(&mut status) {
            Ok(()) if &status == b"HTTP/1.1 200" => tunnels.push(patient(client)),
            Ok(()) => {
                assert_eq!(&status, b"HTTP/1.1 503");
                refused += 1;
            }
            Err(_) => refused += 1,
        }
        if refused == 3 {
            break;
        }
    }
    assert!(refused == 3 && tunnels.len() >= 5, "{} tunnels, {refused} refused", tunnels.len());
    println!("{} tunnels", tunnels.len());
    // Those that are open go on; and when they have ended there are others.
    for tunnel in &mut tunnels {
        common::until(tunnel, "\r\n\r\n");
        echoes(tunnel, b"still here");
    }
    drop(tunnels);
    eventually("there is room again", || {
        proxy
            .answers(format!("CONNECT {} HTTP/1.1\r\n\r\n", nobody()).as_bytes())
            .starts_with(b"HTTP/1.1 502")
    });
    proxy.lives();
    proxy.end();
}

#[test]
fn nothing_is_left_behind() {
    let proxy = Program::start(&["--connect", "1500", "--handshake", "4000"]);
    let (echo, nobody, (silent, _kept)) = (echo(), nobody(), common::silent());
    let server = target(|mut stream| {
        common::until(&mut stream, "\r\n\r\n");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbody").unwrap();
    });
    let at_first = proxy.descriptors();
    let mut others = None;
    for round in 0..2 {
        let slow: Vec<_> = (0..10).map(|_| proxy.connect()).collect();
        slow.iter().for_each(|mut client| client.write_all(b"CONN").unwrap());
        for i in 0..40 {
            let mut tunnel = if i % 2 == 0 { proxy.socks(echo) } else { proxy.http(echo) };
            echoes(&mut tunnel, &[7; 200_000]);
            match i % 4 {
                0 => drop(to_the_end_of(tunnel)),
                1 => SockRef::from(&tunnel).set_linger(Some(Duration::ZERO)).unwrap(),
                _ => {}
            }
            for request in [
                format!("CONNECT {nobody} HTTP/1.1\r\n\r\n"),
                format!("GET http://{server}/ HTTP/1.1\r\n\r\n"),
                "GET / HTTP/1.1\r\n\r\n".to_owned(),
            ] {
                proxy.answers(request.as_bytes());
            }
            if i % 20 == 0 {
                proxy.answers(format!("CONNECT {silent} HTTP/1.1\r\n\r\n").as_bytes());
            }
        }
        slow.into_iter().for_each(|mut client| drop(to_the_end(&mut client)));
        eventually("all sockets are closed", || proxy.descriptors().0 == at_first.0);
        let now = proxy.descriptors();
        // Empty pipes are kept for the next transfer; a few, and no more with time.
        assert!(now.1 <= at_first.1 + 64, "{now:?}");
        assert_eq!(*others.get_or_insert(now.2), now.2, "in round {round}");
    }
    assert!(proxy.end().ends_with(" 0 cut off"));
}

fn to_the_end_of(mut stream: TcpStream) -> Vec<u8> {
    stream.shutdown(Shutdown::Write).unwrap();
    to_the_end(&mut stream)
}
