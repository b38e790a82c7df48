//! rustls on both ends of our sockets; its server is the one of examples/https.rs, which curl asks at the foot of that
//! file.
//!
//! Thread-locals: rustls, webpki and ring have none. ring draws its random numbers by `getrandom` without a state of
//! its own, and finds out about the CPU once, in a static. rustls' session caches and tickets are behind
//! `std::sync::Mutex`, held within one call that does no I/O: a connection is a state machine that never touches the
//! socket, `StreamOwned` reads and writes between two steps of it. (`HashMap`'s keys come from a thread-local in std,
//! read and let go of.)

#[allow(dead_code)]
#[path = "../examples/https.rs"]
mod https;

use gosched::chan::Chan;
use gosched::net::{TcpListener, TcpStream};
use gosched::sync::{Barrier, WaitGroup};
use gosched::{go, goid, spawn};
use gosched_adapters::{WAITERS, data, loopback, on_goroutine, while_waiting};
use https::{Identity, NAME, ServerStream, serve};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

type ClientStream = StreamOwned<ClientConnection, TcpStream>;

/// A TLS server that ends with this.
struct Tls {
    addr: SocketAddr,
    listener: TcpListener,
    identity: Identity,
}

impl Tls {
    fn start(handle: impl Fn(&mut ServerStream) -> io::Result<()> + Send + Sync + 'static) -> Tls {
        static SERVERS: AtomicUsize = AtomicUsize::new(0);
        let identity = Identity::new(&format!("authority {}", SERVERS.fetch_add(1, SeqCst))).unwrap();
        let listener = TcpListener::bind(loopback()).unwrap();
        let (addr, serving) = (listener.local_addr().unwrap(), listener.try_clone().unwrap());
        let config = identity.server(&[b"two", b"one"]).unwrap();
        go!({ serve(serving, config, handle) });
        Tls { addr, listener, identity }
    }

    fn client(&self, alpn: &[&[u8]], versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.identity.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Arc::new(config)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.listener.close();
    }
}

fn connect(addr: SocketAddr, config: &Arc<ClientConfig>, name: &'static str) -> ClientStream {
    let name = ServerName::try_from(name).unwrap();
    let tcp = TcpStream::connect(addr).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), tcp)
}

fn echo(stream: &mut ServerStream) -> io::Result<()> {
    assert!(goid().is_some(), "on a goroutine");
    let mut buf = vec![0; 4096];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n])?;
        stream.flush()?;
    }
}

/// Says goodbye, and sees the other end's goodbye.
fn finish(mut stream: ClientStream) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "a close_notify is the end of the stream");
}

#[test]
fn fifty_connections_at_once() {
    const N: usize = 50;
    on_goroutine(|| {
        let server = Tls::start(echo);
        let (addr, config) = (server.addr, server.client(&[b"one"], &[&TLS13, &TLS12]));
        let (all_open, done) = (Arc::new(Barrier::new(N)), WaitGroup::new());
        let results = Chan::new(N);
        for i in 0..N {
            let (config, all_open, results) = (config.clone(), all_open.clone(), results.clone());
            done.go(move || {
                let (mut stream, sent) = (connect(addr, &config, NAME), data(i, 20_000));
                for piece in sent.chunks(3_000) {
                    stream.write_all(piece).unwrap();
                    let mut got = vec![0; piece.len()];
                    stream.read_exact(&mut got).unwrap();
                    assert!(got == piece);
                    if stream.conn.alpn_protocol().is_some() && piece.as_ptr() == sent.as_ptr() {
                        all_open.wait();
                    }
                }
                results.send(stream.conn.alpn_protocol().map(<[u8]>::to_vec));
                finish(stream);
            });
        }
        done.wait();
        for _ in 0..N {
            // The one that both speak.
            assert_eq!(results.recv().unwrap().as_deref(), Some(&b"one"[..]));
        }
    });
}

#[test]
fn a_session_is_resumed() {
    on_goroutine(|| {
        let server = Tls::start(echo);
        for version in [&TLS13, &TLS12] {
            let config = server.client(&[], &[version]);
            let mut kinds = Vec::new();
            for round in 0..3u8 {
                let mut stream = connect(server.addr, &config, NAME);
                stream.write_all(&[round; 100]).unwrap();
                let mut got = [0; 100];
                stream.read_exact(&mut got).unwrap();
                assert_eq!(got, [round; 100]);
                kinds.push(stream.conn.handshake_kind().unwrap());
                finish(stream);
            }
            use HandshakeKind::{Full, Resumed};
            assert_eq!(kinds, [Full, Resumed, Resumed], "{version:?}");
        }
    });
}

#[test]
fn a_bad_certificate_is_named() {
    on_goroutine(|| {
        let (alerts, seen) = {
            let ch = Chan::new(4);
            (ch.sender(), ch.receiver())
        };
        let server = Tls::start(move |stream| {
            let r = echo(stream);
            if let Err(e) = &r {
                alerts.send(e.to_string());
            }
            r
        });
        // Signed by somebody whom the client does not know.
        let stranger = Tls::start(echo);
        let config = stranger.client(&[], &[&TLS13]);
        let e = connect(server.addr, &config, NAME).write_all(b"x").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidData);
        assert!(e.to_string().contains("invalid peer certificate: UnknownIssuer"), "{e}");
        // The server is told which.
        let told = seen.recv().unwrap();
        assert!(told.contains("UnknownCA"), "{told}");
        // For another name.
        let config = server.client(&[], &[&TLS13]);
        let e = connect(server.addr, &config, "example.org").write_all(b"x").unwrap_err();
        assert!(e.to_string().contains("not valid for name \"example.org\""), "{e}");
        // No protocol in common.
        let config = server.client(&[b"three"], &[&TLS13]);
        let e = connect(server.addr, &config, NAME).write_all(b"x").unwrap_err();
        assert!(e.to_string().contains("NoApplicationProtocol"), "{e}");
        // No TLS at all.
        let mut plain = TcpStream::connect(server.addr).unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let _ = plain.read_to_end(&mut Vec::new());
        // And the server goes on.
        let config = server.client(&[], &[&TLS13]);
        let mut stream = connect(server.addr, &config, NAME);
        stream.write_all(b"on").unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        finish(stream);
    });
}

#[test]
fn an_end_without_close_notify_is_an_error() {
    on_goroutine(|| {
        let server = Tls::start(|stream| {
            stream.read_exact(&mut [0; 2])?;
            stream.write_all(b"cut")?;
            stream.flush()?;
            stream.sock.shutdown(Shutdown::Both)
        });
        let config = server.client(&[], &[&TLS13]);
        let mut stream = connect(server.addr, &config, NAME);
        stream.write_all(b"go").unwrap();
        let mut got = [0; 3];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"cut");
        assert_eq!(stream.read(&mut got).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_deadline_ends_a_read_and_the_connection_goes_on() {
    on_goroutine(|| {
        let server = Tls::start(echo);
        let config = server.client(&[], &[&TLS13]);
        let mut stream = connect(server.addr, &config, NAME);
        for round in 0..5u8 {
            stream.write_all(&[round; 10]).unwrap();
            stream.read_exact(&mut [0; 10]).unwrap();
            let soon = Instant::now() + Duration::from_millis(5);
            stream.sock.set_read_deadline(Some(soon)).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::TimedOut);
            stream.sock.set_read_deadline(None).unwrap();
        }
        // A handshake with somebody who says nothing ends by it as well.
        let (client, _silent) = gosched_adapters::pair();
        client.set_deadline(Some(Instant::now() + Duration::from_millis(5))).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), client);
        assert_eq!(stream.write_all(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
        finish_open(server);
    });
}

/// Closes the server while a connection is still open: it is the client that ends it.
fn finish_open(server: Tls) {
    let config = server.client(&[], &[&TLS13]);
    let mut stream = connect(server.addr, &config, NAME);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    drop(server);
    stream.write_all(b"b").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    finish(stream);
}

#[test]
fn connections_that_wait_are_parked() {
    on_goroutine(|| {
        let gate = Chan::<()>::new(0);
        let opened = gate.receiver();
        let server = Tls::start(move |stream| {
            let mut n = [0; 8];
            stream.read_exact(&mut n)?;
            opened.recv();
            stream.write_all(&n)?;
            stream.flush()
        });
        let (addr, config) = (server.addr, server.client(&[], &[&TLS13, &TLS12]));
        let streams: Vec<_> = (0..WAITERS as u64)
            .map(|i| {
                let config = config.clone();
                spawn(move || {
                    let mut stream = connect(addr, &config, NAME);
                    stream.write_all(&i.to_le_bytes()).unwrap();
                    stream
                })
            })
            .map(|h| h.join().unwrap())
            .collect();
        let waits = streams
            .into_iter()
            .map(|mut stream| {
                move || {
                    let mut n = [0; 8];
                    stream.read_exact(&mut n).unwrap();
                    u64::from_le_bytes(n)
                }
            })
            .collect();
        let got = while_waiting(waits, move || gate.close());
        assert!(got.into_iter().eq(0..WAITERS as u64));
    });
}
