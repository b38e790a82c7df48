//! The client for TLS: threads that block, each with one connection at a time. The same for every server.
//!
//! ```text
//! tls-load full    HOST:PORT CONNECTIONS SECONDS PID    a handshake and one small request, again and again
//! tls-load resumed HOST:PORT CONNECTIONS SECONDS PID    the same, with the session of the time before
//! tls-load get     HOST:PORT CONNECTIONS SECONDS PID    GET /big.bin over a connection that stays, again and again
//! tls-load post    HOST:PORT CONNECTIONS SECONDS PID    POST /size with 1 MiB, likewise
//! ```
//! Prints how many a second were done, and how many µs of CPU the server, process PID, has used for each. The first half
//! second does not count.
//!
//! TLS 1.3, X25519 and AES-128-GCM, so that all servers do the same. The client checks no certificate and no signature: it
//! shall have less to do than the server.

use gosched_servers::process;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const WARM_UP: Duration = Duration::from_millis(500);

static DONE: AtomicU64 = AtomicU64::new(0);

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [mode @ ("full" | "resumed" | "get" | "post"), addr, connections, secs, pid] = args[..] else {
        eprintln!("usage: tls-load full|resumed|get|post HOST:PORT CONNECTIONS SECONDS PID");
        std::process::exit(2);
    };
    let numbers = [connections, secs, pid].map(|word| {
        word.parse::<u32>().unwrap_or_else(|_| {
            eprintln!("tls-load: {word} is no number");
            std::process::exit(2);
        })
    });
    if let Err(e) = measure(mode, addr, numbers) {
        fail(&e);
    }
}

fn fail(e: &io::Error) -> ! {
    eprintln!("tls-load: {e}");
    std::process::exit(1);
}

fn measure(mode: &str, addr: &str, [connections, secs, pid]: [u32; 3]) -> io::Result<()> {
    for _ in 0..connections {
        let (mode, addr) = (mode.to_owned(), addr.to_owned());
        std::thread::spawn(move || load(&mode, &addr).unwrap_or_else(|e| fail(&e)));
    }
    std::thread::sleep(WARM_UP);
    let (began, done, cpu) = (Instant::now(), DONE.load(Relaxed), process::cpu(pid)?);
    std::thread::sleep(Duration::from_secs(secs.into()));
    let (took, done) = (began.elapsed(), DONE.load(Relaxed) - done);
    let cpu = process::cpu(pid)?.saturating_sub(cpu);
    if done == 0 {
        return Err(io::Error::other("nothing was done"));
    }
    println!("{:.1} {:.1}", done as f64 / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / done as f64);
    Ok(())
}

/// One connection's work; it ends with an error.
fn load(mode: &str, addr: &str) -> io::Result<()> {
    let config = config(mode == "resumed");
    match mode {
        "full" | "resumed" => {
            let mut expected = HandshakeKind::Full;
            loop {
                let kind = handshake(&config, addr)?;
                if kind != expected {
                    return Err(io::Error::other(format!("{kind:?}, not {expected:?}")));
                }
                if mode == "resumed" {
                    expected = HandshakeKind::Resumed;
                }
                DONE.fetch_add(1, Relaxed);
            }
        }
        _ => {
            let head = match mode {
                "get" => "GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
                _ => format!("POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n"),
            };
            let body = vec![b'.'; if mode == "post" { MIB } else { 0 }];
            let mut stream = connect(&config, addr)?;
            loop {
                stream.write_all(head.as_bytes())?;
                stream.write_all(&body)?;
                stream.flush()?;
                let n = answer(&mut stream)?;
                if mode == "get" && n != MIB {
                    return Err(io::Error::other(format!("{n} bytes of {MIB}")));
                }
                DONE.fetch_add(1, Relaxed);
            }
        }
    }
}

fn connect(config: &Arc<ClientConfig>, addr: &str) -> io::Result<Stream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    Ok(StreamOwned::new(tls, stream))
}

fn handshake(config: &Arc<ClientConfig>, addr: &str) -> io::Result<HandshakeKind> {
    let mut stream = connect(config, addr)?;
    stream.write_all(b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    // To the end: tickets come along with the answer.
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    if !all.starts_with(b"HTTP/1.1 200 ") || !all.ends_with(b"Hello, World!") {
        return Err(io::Error::other(String::from_utf8_lossy(&all)));
    }
    stream.conn.handshake_kind().ok_or_else(|| io::Error::other("no handshake"))
}

/// Reads an answer with a Content-Length; gives that.
fn answer(stream: &mut Stream) -> io::Result<usize> {
    let mut buf = [0; 32 << 10];
    let mut have = 0;
    let end = loop {
        have += match stream.read(&mut buf[have..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
        if let Some(at) = buf[..have].windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
    };
    let head = String::from_utf8_lossy(&buf[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let (true, Some(length)) = (head.starts_with("http/1.1 200 "), length) else {
        return Err(io::Error::other(head));
    };
    let mut left = usize::saturating_sub(length, have - (end + 4));
    while left > 0 {
        left -= match stream.read(&mut buf[..left.min(32 << 10)])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
    }
    Ok(length)
}

fn config(resumes: bool) -> Arc<ClientConfig> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Arc::new(config)
}

/// Believes everything.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
