//! The proxy as a process, targets for it, and clients that know nothing of goroutines: curl and the like, or bytes over
//! std's sockets.
#![allow(dead_code)]

#[path = "../../../../tests/common/programs.rs"]
mod programs;
#[allow(unused_imports)]
pub use programs::{
    Rng, bytes_to_the_end as to_the_end, connect, eventually, loopback, patience, patient, tool, until,
};

use programs::{Server, curl_with};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The proxy.
pub struct Program {
    server: Server,
    pub addr: SocketAddr,
    /// What it said before it was ready.
    pub said: String,
}

impl Deref for Program {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Program {
    pub fn start(args: &[&str]) -> Program {
        Program::start_under(&[], args)
    }

    /// Under another program, which becomes it.
    pub fn start_under(before: &[&str], args: &[&str]) -> Program {
        let addr = loopback().to_string();
        let all = [before, &[env!("CARGO_BIN_EXE_proxy"), "--listen", &addr], args].concat();
        let mut server = Server::start(Command::new(all[0]).args(&all[1..]));
        let mut said = String::new();
        while !said.ends_with("ready\n") {
            let line = server.line();
            assert_ne!(line, "", "it says {said:?} and {:?}", server.log());
            said += &line;
        }
        let addr = said.lines().next().unwrap().strip_prefix("listening on ").unwrap().parse().unwrap();
        Program { server, addr, said }
    }

    /// What follows `word` in a line that it said at its start.
    pub fn told(&self, word: &str) -> String {
        let line = self.said.lines().find_map(|l| l.strip_prefix(word)).unwrap();
        line.trim().split(' ').next().unwrap().to_owned()
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.addr)
    }

    /// All that is answered to these bytes, to the end of the connection; the client stays open for writing.
    #[track_caller]
    pub fn answers(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        to_the_end(&mut stream)
    }

    /// A tunnel by SOCKS5.
    #[track_caller]
    pub fn socks(&self, target: SocketAddr) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&[&[5, 1, 0][..], &socks_request(target)].concat()).unwrap();
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..6], [5, 0, 5, 0, 0, 1], "{reply:?}");
        stream
    }

    /// A tunnel by CONNECT.
    #[track_caller]
    pub fn http(&self, target: SocketAddr) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).unwrap();
        let head = until(&mut stream, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream
    }

    /// It still serves.
    #[track_caller]
    pub fn lives(&self) {
        echoes(&mut self.http(echo()), b"are you there?");
    }

    /// Its descriptors: sockets, pipes, others.
    pub fn descriptors(&self) -> (usize, usize, usize) {
        let dir = format!("/proc/{}/fd", self.child.id());
        let links = std::fs::read_dir(dir).unwrap().filter_map(|f| std::fs::read_link(f.ok()?.path()).ok());
        links.fold((0, 0, 0), |(sockets, pipes, others), link| match &*link.to_string_lossy() {
            l if l.starts_with("socket:") => (sockets + 1, pipes, others),
            l if l.starts_with("pipe:") => (sockets, pipes + 1, others),
            _ => (sockets, pipes, others + 1),
        })
    }

    /// SIGTERM; returns when the program has seen it, and so does not accept any more, or will not for long.
    pub fn terminate(&mut self) {
        self.server.terminate();
        let line = self.server.line();
        assert!(line.starts_with("SIGTERM: nobody new"), "{line}");
    }

    /// A second one.
    pub fn signal(&self) {
        self.server.terminate();
    }

    /// Waits for its end, in order; gives its last line.
    #[track_caller]
    pub fn ended(self) -> String {
        self.server.ended().0.lines().last().unwrap_or_default().to_owned()
    }

    /// Both; gives its last line.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.terminate();
        self.ended()
    }
}

/// A SOCKS5 request for an address.
pub fn socks_request(target: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![5, 1, 0];
    match target {
        SocketAddr::V4(a) => bytes.extend([&[1][..], &a.ip().octets()].concat()),
        SocketAddr::V6(a) => bytes.extend([&[4][..], &a.ip().octets()].concat()),
    }
    bytes.extend(target.port().to_be_bytes());
    bytes
}

/// A SOCKS5 request for a name.
pub fn socks_name(name: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0, 3, name.len() as u8][..], name, &port.to_be_bytes()].concat()
}

/// A target: a thread for each connection.
pub fn target(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    target_at(TcpListener::bind(loopback()).unwrap(), serve)
}

pub fn target_at(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let (addr, serve) = (listener.local_addr().unwrap(), Arc::new(serve));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (patient(stream.unwrap()), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// A target that sends back what comes, to its end.
pub fn echo() -> SocketAddr {
    target(|stream| drop(std::io::copy(&mut &stream, &mut &stream)))
}

/// A port at which nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind(loopback()).unwrap().local_addr().unwrap()
}

/// An address whose connections are neither accepted nor refused: its queue is full. As long as what is given lives.
pub fn silent() -> (SocketAddr, impl Drop) {
    use socket2::{Domain, Socket, Type};
    struct Kept {
        _listener: Socket,
        _queued: Vec<TcpStream>,
    }
    impl Drop for Kept {
        fn drop(&mut self) {}
    }
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&loopback().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(500)) {
        queued.push(stream);
        assert!(queued.len() < 100, "its queue has no end");
    }
    (addr, Kept { _listener: listener, _queued: queued })
}

#[track_caller]
pub fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

/// What curl says on stdout, and its exit code.
#[track_caller]
pub fn curl(curl: &Path, args: &[&str]) -> (String, i32) {
    curl_with(curl, &["--noproxy", ""], args)
}

/// A stream of bytes that tell where in it they belong.
pub struct Pattern(u64);

impl Pattern {
    pub fn new(seed: u64) -> Pattern {
        Pattern(seed)
    }

    /// The bytes from `at` on.
    fn fill(&self, at: usize, buf: &mut [u8]) {
        let mut i = 0;
        while i < buf.len() {
            let (word, skip) = ((at + i) / 8, (at + i) % 8);
            let word = (self.0 << 40 | word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let n = (8 - skip).min(buf.len() - i);
            buf[i..i + n].copy_from_slice(&(word ^ word >> 29).to_le_bytes()[skip..skip + n]);
            i += n;
        }
    }

    /// Sends the first `len` bytes.
    pub fn feed(&self, mut to: impl Write, len: usize) {
        let (mut at, mut buf) = (0, vec![0; 256 << 10]);
        while at < len {
            let n = buf.len().min(len - at);
            self.fill(at, &mut buf[..n]);
            to.write_all(&buf[..n]).unwrap();
            at += n;
        }
    }

    /// Expects these to come, and then the end.
    #[track_caller]
    pub fn expect(&self, mut from: impl Read, len: usize) {
        let (mut at, mut buf, mut want) = (0, vec![0; 256 << 10], vec![0; 256 << 10]);
        loop {
            let n = from.read(&mut buf).unwrap();
            if n == 0 {
                return assert_eq!(at, len);
            }
            self.fill(at, &mut want[..n]);
            assert!(buf[..n] == want[..n], "wrong bytes within {n} from {at} on");
            at += n;
        }
    }
}
