//! A small HTTP server that parses with httparse, asked by curl, and by ureq whose sockets are ours.
//!
//! Thread-locals: httparse has none, and does no I/O (its one static says which vector instructions there are). ureq
//! and ureq-proto have none outside of ureq's own tests; what remains is `std::sync::Mutex` around the pool of
//! connections: held for a moment, and not across I/O that parks, provided that `Transport::is_open`, which is called
//! with the lock held, does not park. Ours asks without waiting. The name is looked up by the resolver given to the
//! agent, here one over `lookup_host`.

use gosched::chan::{Chan, Receiver};
use gosched::net::{TcpStream, lookup_host};
use gosched::{goid, scope, spawn};
use gosched_adapters::{Server, WAITERS, data, on_goroutine, run_tool, tool, while_waiting};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error, Timeout};

/// The longest head that is read.
const HEAD: usize = 8 << 10;

/// What the server's connections share.
struct Http {
    connections: AtomicUsize,
    /// `/gate` is answered when this is closed.
    gate: Receiver<()>,
}

/// Starts it; the channel is its gate.
fn start() -> (Server, Arc<Http>, Chan<()>) {
    let gate = Chan::new(0);
    let http = Arc::new(Http { connections: AtomicUsize::new(0), gate: gate.receiver() });
    let serving = http.clone();
    let server = Server::start(move |mut stream| {
        serving.connections.fetch_add(1, SeqCst);
        let mut input = Vec::new();
        loop {
            match serving.exchange(&mut stream, &mut input) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    let _ = answer(&mut stream, "400 Bad Request", e.to_string().as_bytes());
                    break;
                }
            }
        }
    });
    (server, http, gate)
}

impl Http {
    /// One request and its answer; `input` keeps what came beyond it. `false` at the end of the connection.
    fn exchange(&self, stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<bool> {
        let request = loop {
            if let Some(request) = Request::parse(input)? {
                break request;
            }
            if input.len() > HEAD {
                return Err(io::Error::new(ErrorKind::InvalidData, "too long a head"));
            }
            if more(stream, input)? == 0 {
                return if input.is_empty() { Ok(false) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        input.drain(..request.head);
        if request.expects_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        while input.len() < request.length {
            if more(stream, input)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let body: Vec<u8> = input.drain(..request.length).collect();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/goroutine") => answer(stream, "200 OK", format!("{}", goid().unwrap()).as_bytes())?,
            ("GET", "/gate") => {
                self.gate.recv();
                answer(stream, "200 OK", b"open")?;
            }
            ("GET", "/never") => {
                // Until the client has given up.
                more(stream, input)?;
                return Ok(false);
            }
            ("GET", "/chunked") => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                for piece in data(9, 50_000).chunks(7_777) {
                    write!(stream, "{:x}\r\n", piece.len())?;
                    stream.write_all(piece)?;
                    stream.write_all(b"\r\n")?;
                }
                stream.write_all(b"0\r\n\r\n")?;
            }
            ("POST", "/echo") => answer(stream, "200 OK", &body)?,
            (_, path) => answer(stream, "404 Not Found", format!("no {path}").as_bytes())?,
        }
        Ok(!request.close)
    }
}

fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<usize> {
    let mut buf = [0; 4096];
    let n = stream.read(&mut buf)?;
    input.extend_from_slice(&buf[..n]);
    Ok(n)
}

fn answer(stream: &mut TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let mut out = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    stream.write_all(&out)
}

struct Request {
    method: String,
    path: String,
    /// Bytes of the head, and of the body after it.
    head: usize,
    length: usize,
    close: bool,
    expects_continue: bool,
}

impl Request {
    /// `None` as long as it is not all there.
    fn parse(input: &[u8]) -> io::Result<Option<Request>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        let invalid = |e: String| io::Error::new(ErrorKind::InvalidData, e);
        let httparse::Status::Complete(head) = parsed.parse(input).map_err(|e| invalid(e.to_string()))?
        else {
            return Ok(None);
        };
        let header = |name: &str| {
            let found = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
            found.map(|h| String::from_utf8_lossy(h.value).to_lowercase())
        };
        let length = header("content-length").map_or(Ok(0), |l| l.parse());
        Ok(Some(Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: parsed.path.unwrap_or_default().to_owned(),
            head,
            length: length.map_err(|_| invalid("what length?".into()))?,
            close: header("connection").is_some_and(|c| c == "close"),
            expects_continue: header("expect").is_some_and(|e| e == "100-continue"),
        }))
    }
}

/// Connects ureq by our sockets.
#[derive(Debug)]
struct OurConnector;

#[derive(Debug)]
struct OurTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Connector for OurConnector {
    type Out = OurTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<OurTransport>, Error> {
        assert!(goid().is_some(), "on a goroutine");
        let mut last = Error::ConnectionFailed;
        for addr in &details.addrs {
            let stream = match details.timeout.not_zero() {
                Some(d) => TcpStream::connect_timeout(addr, *d),
                None => TcpStream::connect(addr),
            };
            match stream {
                Ok(stream) => {
                    let (input, output) =
                        (details.config.input_buffer_size(), details.config.output_buffer_size());
                    return Ok(Some(OurTransport { stream, buffers: LazyBuffers::new(input, output) }));
                }
                Err(e) => last = told(e, details.timeout.reason),
            }
        }
        Err(last)
    }
}

/// A timeout of ureq as a deadline of ours.
fn deadline(timeout: NextTimeout) -> Option<Instant> {
    timeout.not_zero().and_then(|d| Instant::now().checked_add(*d))
}

/// A passed deadline of ours as the timeout of ureq that it was; other errors as they are.
fn told(e: io::Error, reason: Timeout) -> Error {
    if e.kind() == ErrorKind::TimedOut { Error::Timeout(reason) } else { e.into() }
}

fn in_time<T>(r: io::Result<T>, reason: Timeout) -> Result<T, Error> {
    r.map_err(|e| told(e, reason))
}

impl Transport for OurTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_deadline(deadline(timeout))?;
        in_time(self.stream.write_all(&self.buffers.output()[..amount]), timeout.reason)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_deadline(deadline(timeout))?;
        let n = in_time(self.stream.read(self.buffers.input_append_buf()), timeout.reason)?;
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Called with the pool's lock held: it must not park.
    fn is_open(&mut self) -> bool {
        let silent = |s: &TcpStream| -> io::Result<bool> {
            s.set_read_deadline(None)?;
            s.set_nonblocking(true)?;
            let r = s.peek(&mut [0]);
            s.set_nonblocking(false)?;
            Ok(r.is_err_and(|e| e.kind() == ErrorKind::WouldBlock))
        };
        silent(&self.stream).unwrap_or(false)
    }
}

/// Looks names up off the P.
#[derive(Debug)]
struct OurResolver;

impl Resolver for OurResolver {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let authority = uri.authority().ok_or(Error::HostNotFound)?;
        let port = authority.port_u16().unwrap_or(80);
        let mut addrs = self.empty();
        lookup_host(&format!("{}:{port}", authority.host()))?.take(16).for_each(|a| addrs.push(a));
        if addrs.is_empty() { Err(Error::HostNotFound) } else { Ok(addrs) }
    }
}

fn agent(config: Config) -> Agent {
    Agent::with_parts(config, OurConnector, OurResolver)
}

fn text(agent: &Agent, url: &str) -> Result<String, Error> {
    agent.get(url).call()?.body_mut().read_to_string()
}

#[test]
fn ureq_asks_from_many_goroutines() {
    on_goroutine(|| {
        let (server, http, _gate) = start();
        let base = format!("http://{}", server.addr);
        let agent =
            agent(Agent::config_builder().max_idle_connections(64).max_idle_connections_per_host(64).build());
        scope(|s| {
            for c in 0..32 {
                let (agent, base) = (&agent, &base);
                s.spawn(move || {
                    for i in 0..4 {
                        let sent = data(c * 10 + i, 10_000 + c);
                        let mut r = agent.post(format!("{base}/echo")).send(&sent[..]).unwrap();
                        assert!(r.body_mut().read_to_vec().unwrap() == sent);
                    }
                    let mut r = agent.get(format!("{base}/chunked")).call().unwrap();
                    assert!(r.body_mut().read_to_vec().unwrap() == data(9, 50_000));
                    assert!(matches!(text(agent, &format!("{base}/nothing")), Err(Error::StatusCode(404))));
                });
            }
        });
        // Connections were kept: 192 requests, and no more of them than goroutines at once.
        let connections = http.connections.load(SeqCst);
        assert!((1..=64).contains(&connections), "{connections}");
        // A kept one is used again, so the goroutine that answers is the same.
        let one = || text(&agent, &format!("{base}/goroutine")).unwrap();
        assert_eq!(one(), one());
    });
}

#[test]
fn ureq_timeouts_are_deadlines() {
    on_goroutine(|| {
        let (server, ..) = start();
        let config = Agent::config_builder().timeout_recv_response(Some(Duration::from_millis(20))).build();
        let e = text(&agent(config), &format!("http://{}/never", server.addr)).unwrap_err();
        assert!(matches!(e, Error::Timeout(Timeout::RecvResponse)), "{e:?}");
        let config = Agent::config_builder().timeout_global(Some(Duration::from_millis(20))).build();
        let e = text(&agent(config), &format!("http://{}/never", server.addr)).unwrap_err();
        assert!(matches!(e, Error::Timeout(_)), "{e:?}");
        // Nobody there.
        let addr = server.addr;
        drop(server);
        let e = text(&agent(Config::default()), &format!("http://{addr}/")).unwrap_err();
        assert!(matches!(&e, Error::Io(e) if e.kind() == ErrorKind::ConnectionRefused), "{e:?}");
    });
}

#[test]
fn ureq_unchanged_in_syscall() {
    on_goroutine(|| {
        let (server, ..) = start();
        let url = format!("http://{}/echo", server.addr);
        // Each call blocks its thread; the server's goroutines go on meanwhile.
        let answers: Vec<_> = (0..8)
            .map(|i| {
                let url = url.clone();
                spawn(move || {
                    gosched::syscall(|| {
                        let mut r = ureq::post(url).send(format!("call {i}")).unwrap();
                        r.body_mut().read_to_string().unwrap()
                    })
                })
            })
            .map(|h| h.join().unwrap())
            .collect();
        assert!(answers.into_iter().eq((0..8).map(|i| format!("call {i}"))));
    });
}

#[test]
fn requests_that_wait_are_parked() {
    on_goroutine(|| {
        let (server, http, gate) = start();
        let waits = (0..WAITERS)
            .map(|_| {
                let url = format!("http://{}/gate", server.addr);
                move || text(&agent(Config::default()), &url).unwrap()
            })
            .collect();
        // On the other end as many goroutines of the server wait for the gate.
        let got = while_waiting(waits, || gate.close());
        assert!(got.into_iter().all(|t| t == "open"));
        assert_eq!(http.connections.load(SeqCst), WAITERS);
    });
}

#[test]
fn a_request_in_pieces_and_one_that_is_none() {
    on_goroutine(|| {
        let (server, ..) = start();
        let ask = |addr: SocketAddr, pieces: &[&[u8]]| {
            let mut stream = TcpStream::connect(addr).unwrap();
            // The server may have answered a bad request, and be gone, before all of it is sent.
            for piece in pieces {
                let _ = stream.write_all(piece);
                gosched::yield_now();
            }
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut got = Vec::new();
            // What it has not read of it may reset the connection, after the answer.
            let _ = stream.read_to_end(&mut got);
            String::from_utf8(got).unwrap()
        };
        let whole = b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert!(ask(server.addr, &bytes).ends_with("\r\n\r\nabc"));
        // Two at once.
        let two = ask(server.addr, &[&[&whole[..], &whole[..]].concat()]);
        assert_eq!(two.matches("200 OK").count(), 2, "{two}");
        let none = ask(server.addr, &[b"GET /\x01 HTTP/1.1\r\n\r\n"]);
        assert!(none.starts_with("HTTP/1.1 400 Bad Request\r\n") && none.contains("invalid"), "{none}");
        let long = ask(server.addr, &[&[b"GET / HTTP/1.1\r\na: ", &[b'x'; 2 * HEAD][..]].concat()]);
        assert!(long.is_empty() || long.contains("too long a head"), "{long}");
    });
}

#[test]
fn curl_is_answered() {
    let Some(curl) = tool("curl") else { return };
    on_goroutine(move || {
        let (server, ..) = start();
        let url = |path| format!("http://{}{path}", server.addr);
        let ask = |args: &[&str]| {
            let out = run_tool(&curl, &[&["-sS", "-m", "80", "--noproxy", "*"], args].concat()).unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            out.stdout
        };
        // Twice, on one connection: the same goroutine.
        let two = ask(&["-w", "\n", &url("/goroutine"), &url("/goroutine")]);
        let two = String::from_utf8(two).unwrap();
        let mut lines = two.lines();
        assert_eq!(lines.next().unwrap().parse::<u64>().unwrap(), lines.next().unwrap().parse().unwrap());
        // So much that curl asks first whether it may (Expect: 100-continue).
        let sent = "0123456789abcdef".repeat(100_000);
        let file = std::env::temp_dir().join(format!("gosched-{}-curl", std::process::id()));
        std::fs::write(&file, &sent).unwrap();
        let name = format!("@{}", file.display());
        let got = ask(&["--data-binary", &name, "-H", "Expect: 100-continue", &url("/echo")]);
        std::fs::remove_file(&file).unwrap();
        assert!(got == sent.as_bytes());
        assert!(ask(&[&url("/chunked")]) == data(9, 50_000));
        assert_eq!(ask(&["-o", "/dev/null", "-w", "%{http_code}", &url("/nothing")]), b"404");
    });
}
