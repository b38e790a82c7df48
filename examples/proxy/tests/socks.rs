//! SOCKS5, byte by byte: good requests, and every sort of bad one with the reply that is expected; after all of them the
//! server serves.
#![cfg(target_os = "linux")]

mod common;

use common::{Program, Rng, echo, echoes, nobody, silent, socks_name, socks_request, target_at, to_the_end};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc;

/// A reply without an address.
fn no(code: u8) -> Vec<u8> {
    vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[test]
fn addresses_and_names_are_connected_to() {
    let proxy = Program::start(&[]);
    let (tell, told) = mpsc::channel();
    let listen = |addr: IpAddr| TcpListener::bind((addr, 0));
    let serve = |listener| {
        let tell = tell.clone();
        target_at(listener, move |stream| {
            tell.send(stream.peer_addr().unwrap()).unwrap();
            std::io::copy(&mut &stream, &mut &stream).unwrap();
        })
    };
    let v4 = serve(listen(Ipv4Addr::LOCALHOST.into()).unwrap());
    let v6 = listen(Ipv6Addr::LOCALHOST.into()).map(serve);
    let mut cases =
        vec![socks_request(v4), socks_name(b"127.0.0.1", v4.port()), socks_name(b"localhost", v4.port())];
    match v6 {
        Ok(v6) => cases.extend([socks_request(v6), socks_name(b"::1", v6.port())]),
        Err(e) => println!("IPv6 is not tested: {e}"),
    }
    for request in cases {
        let mut client = proxy.connect();
        client.write_all(&[5, 1, 0]).unwrap();
        let mut method = [0; 2];
        client.read_exact(&mut method).unwrap();
        assert_eq!(method, [5, 0]);
        client.write_all(&request).unwrap();
        let mut head = [0; 4];
        client.read_exact(&mut head).unwrap();
        let (mut v4, mut v6, mut port) = ([0; 4], [0; 16], [0; 2]);
        let ip: IpAddr = match head {
            [5, 0, 0, 1] => {
                client.read_exact(&mut v4).unwrap();
                v4.into()
            }
            [5, 0, 0, 4] => {
                client.read_exact(&mut v6).unwrap();
                v6.into()
            }
            _ => panic!("{request:?}: {head:?}"),
        };
        client.read_exact(&mut port).unwrap();
        // The address in the reply is the one that the target sees.
        assert_eq!(told.recv().unwrap(), SocketAddr::new(ip, u16::from_be_bytes(port)));
        echoes(&mut client, b"hello");
    }
    assert!(proxy.end().ends_with(" 0 cut off"));
}

#[test]
fn bad_requests_get_their_codes() {
    let (nobody, (silent, _kept)) = (nobody(), silent());
    let proxy =
        Program::start(&["--connect", "1500", "--deny", "198.51.100.0/24", "--deny", "denied.example"]);
    // What it says to a greeting that is fine.
    let after = |request: &[u8]| [&[5, 1, 0][..], request].concat();
    let said = |reply: Vec<u8>| [vec![5, 0], reply].concat();
    let command = |n: u8| after(&[5, n, 0, 1, 127, 0, 0, 1, 0, 80]);
    let kind = |n: u8| after(&[5, 1, 0, n, 1, 97, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let name = |name: &[u8]| after(&socks_name(name, 80));
    let address = |addr: &str| after(&socks_request(addr.parse().unwrap()));
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        ("no methods", vec![5, 0], vec![5, 255]),
        ("passwords only", vec![5, 1, 2], vec![5, 255]),
        ("GSSAPI only", vec![5, 1, 1], vec![5, 255]),
        ("many methods, none of ours", [vec![5, 255], (1..=255).collect()].concat(), vec![5, 255]),
        ("SOCKS4", vec![4, 1, 0, 80, 127, 0, 0, 1, 0], vec![]),
        ("SOCKS6", vec![6, 1, 0], vec![]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), vec![]),
        ("zeros", vec![0; 100], vec![]),
        ("a request of SOCKS4", after(&[4, 1, 0, 1, 127, 0, 0, 1, 0, 80]), said(no(1))),
        ("something reserved", after(&[5, 1, 7, 1, 127, 0, 0, 1, 0, 80]), said(no(1))),
        ("BIND", command(2), said(no(7))),
        ("UDP ASSOCIATE", command(3), said(no(7))),
        ("command 0", command(0), said(no(7))),
        ("command 255", command(255), said(no(7))),
        ("address type 0", kind(0), said(no(8))),
        ("address type 2", kind(2), said(no(8))),
        ("address type 255", kind(255), said(no(8))),
        ("an empty name", name(b""), said(no(4))),
        ("not UTF-8", name(b"\xff\xfe.example"), said(no(4))),
        ("a zero", name(b"localhost\0.example"), said(no(4))),
        ("a line's end", name(b"localhost\r\nHost: x"), said(no(4))),
        ("a space", name(b"local host"), said(no(4))),
        ("a name in brackets", name(b"[::1]"), said(no(4))),
        ("a port in a name", name(b"localhost:80"), said(no(4))),
        ("a name of 255 bytes", name(&[b'a'; 255]), said(no(4))),
        ("a name with an empty part", name(b"a..example"), said(no(4))),
        ("a name with a long part", name(&[&[b'a'; 64][..], b".example"].concat()), said(no(4))),
        ("nobody listens", address(&nobody.to_string()), said(no(5))),
        ("port 0", address("127.0.0.1:0"), said(no(5))),
        ("a group's address, to which there is no way", address("224.0.0.1:80"), said(no(3))),
        ("no answer", address(&silent.to_string()), said(no(6))),
        ("a network that is denied", address("198.51.100.7:80"), said(no(2))),
        ("the same in IPv6", address("[::ffff:198.51.100.7]:80"), said(no(2))),
        ("a name that is denied", name(b"Denied.Example."), said(no(2))),
    ];
    for (what, bytes, reply) in &cases {
        assert_eq!(proxy.answers(bytes), *reply, "{what}");
    }
    // And with a client that has gone silent for good: shut down, it still reads.
    for (what, bytes, reply) in &cases {
        let mut client = proxy.connect();
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(to_the_end(&mut client), *reply, "{what}, shut down");
    }
    for refused in ["command", "address_type", "bad_name", "unresolved", "refused", "timed_out", "forbidden"]
    {
        proxy.logged(&["access", "protocol=\"socks5\"", &format!("refused=\"{refused}\"")]);
    }
    proxy.lives();
    proxy.end();
}

#[test]
fn private_targets_are_refused_by_address_whatever_their_name() {
    let proxy = Program::start(&["--deny-private"]);
    let echo = echo();
    let mapped = match echo {
        SocketAddr::V4(a) => SocketAddr::new(a.ip().to_ipv6_mapped().into(), a.port()),
        v6 => v6,
    };
    let addrs = [echo, mapped, ([0, 0, 0, 0], echo.port()).into(), ([10, 0, 0, 1], 80).into()];
    // What a resolver takes for 127.0.0.1, or what some do: then there is no such name.
    let all: [&[u8]; 4] = [b"localhost", b"127.1", b"0x7f000001", b"2130706433"];
    let some: [&[u8]; 2] = [b"LOCALHOST.", b"0"];
    let (all, some) = (all.map(|n| socks_name(n, echo.port())), some.map(|n| socks_name(n, echo.port())));
    for request in addrs.map(socks_request).iter().chain(&all).chain(&some) {
        let answer = proxy.answers(&[&[5, 1, 0][..], request].concat());
        let no_such = some.contains(request) && answer == [vec![5, 0], no(4)].concat();
        assert!(answer == [vec![5, 0], no(2)].concat() || no_such, "{request:?}: {answer:?}");
    }
    let answer = proxy.answers(format!("CONNECT localhost:{} HTTP/1.1\r\n\r\n", echo.port()).as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
    proxy.end();
}

#[test]
fn passwords() {
    let file = std::env::temp_dir().join(format!("gosched-proxy-users-{}", std::process::id()));
    std::fs::write(&file, "ann:secret\nbob:x:y\n").unwrap();
    let proxy = Program::start(&["--users", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    let echo = echo();
    let login = |name: &[u8], password: &[u8]| {
        let len = |bytes: &[u8]| [bytes.len() as u8];
        [&[5, 2, 0, 2, 1][..], &len(name), name, &len(password), password].concat()
    };
    for (what, bytes, reply) in [
        ("no password offered", vec![5, 1, 0], vec![5, 255]),
        ("a wrong one", login(b"ann", b"secreT"), vec![5, 2, 1, 1]),
        ("a part of it", login(b"ann", b"secre"), vec![5, 2, 1, 1]),
        ("somebody else's", login(b"bob", b"secret"), vec![5, 2, 1, 1]),
        ("nobody's", login(b"eve", b"secret"), vec![5, 2, 1, 1]),
        ("nothing", login(b"", b""), vec![5, 2, 1, 1]),
        ("not UTF-8", login(&[255; 255], &[254; 255]), vec![5, 2, 1, 1]),
        ("another version", vec![5, 1, 2, 2, 1, b'a', 1, b'b'], vec![5, 2, 1, 1]),
    ] {
        // A request after each: it must not be served.
        assert_eq!(proxy.answers(&[bytes, socks_request(echo)].concat()), reply, "{what}");
    }
    for login in [login(b"ann", b"secret"), login(b"bob", b"x:y")] {
        let mut client = proxy.connect();
        client.write_all(&[login, socks_request(echo)].concat()).unwrap();
        let mut reply = [0; 14];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..8], [5, 2, 1, 0, 5, 0, 0, 1]);
        echoes(&mut client, b"hello");
    }
    for (field, status) in [
        ("", "407"),
        ("Proxy-Authorization: Basic YW5uOnNlY3JlVA==\r\n", "407"),
        ("Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n", "200"),
    ] {
        let mut client = proxy.connect();
        client.write_all(format!("CONNECT {echo} HTTP/1.1\r\n{field}\r\n").as_bytes()).unwrap();
        let head = common::until(&mut client, "\r\n\r\n");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(head.contains("\r\nProxy-Authenticate: Basic "), status == "407");
    }
    proxy.logged(&["access", "refused=\"credentials\""]);
    proxy.end();
}

#[test]
fn a_dialogue_may_come_in_any_pieces_and_break_off_anywhere() {
    let proxy = Program::start(&[]);
    let all = [&[5, 3, 1, 0, 2][..], &socks_request(echo()), b"hello"].concat();
    // At once, and byte by byte.
    for piece in [all.len(), 1] {
        let mut client = proxy.connect();
        client.set_nodelay(true).unwrap();
        all.chunks(piece).for_each(|bytes| client.write_all(bytes).unwrap());
        client.shutdown(Shutdown::Write).unwrap();
        let answer = to_the_end(&mut client);
        assert_eq!((&answer[..6], &answer[12..]), (&[5, 0, 5, 0, 0, 1][..], &b"hello"[..]));
    }
    // Cut off after each byte: by an end that can be heard, and by going away.
    for len in 0..all.len() - 5 {
        let mut client = proxy.connect();
        client.write_all(&all[..len]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let greeted: &[u8] = if len < 5 { &[] } else { &[5, 0] };
        assert_eq!(to_the_end(&mut client), greeted, "{len} bytes");
        let mut client = proxy.connect();
        client.write_all(&all[..len]).unwrap();
    }
    proxy.logged(&["access", "refused=\"gone\""]);
    proxy.lives();
    assert!(proxy.end().ends_with(" 0 cut off"));
}

#[test]
fn noise() {
    // (Names in it are not to be looked up on some network: with no rule that fits, none is connected to.)
    let proxy = Program::start(&["--deny", "0.0.0.0/0", "--deny", "::/0", "--connect", "200"]);
    let mut rng = Rng(0x5eed);
    for _ in 0..300 {
        let mut bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.below(256) as u8).collect();
        let starts: [&[u8]; 5] = [&[], &[5], &[5, 1, 0], &[5, 1, 0, 5, 1, 0], b"CONNECT "];
        bytes.splice(0..0, starts[rng.below(5)].iter().copied());
        let mut client = proxy.connect();
        client.write_all(&bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let answer = to_the_end(&mut client);
        assert!(
            !answer.starts_with(&[5, 0, 5, 0]) && !answer.starts_with(b"HTTP/1.1 200"),
            "{bytes:?}: {answer:?}"
        );
    }
    assert!(proxy.end().ends_with(" 0 cut off"));
}
