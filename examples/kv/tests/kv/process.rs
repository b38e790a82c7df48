//! A server that runs, and a client of its own: the parser here is not the server's.

pub use crate::programs::{Dir, eventually, wait};
use crate::programs::{Killed, Signal, connect, loopback, signal};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

impl Dir {
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.0.join("stderr")).unwrap_or_default()
    }
}

/// The command that starts the server, with its stderr in `dir`.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    set_up(&mut command, dir, args);
    command
}

pub fn set_up(command: &mut Command, dir: &Path, args: &[&str]) {
    command.args(["--bind", &loopback().ip().to_string(), "--port", "0"]).args(args);
    command.stdout(Stdio::piped()).stderr(File::create(dir.join("stderr")).unwrap());
}

pub struct Kv {
    pub addr: SocketAddr,
    pub child: Killed,
}

impl Kv {
    pub fn start(dir: &Dir, args: &[&str]) -> Kv {
        Kv::from(dir, command(&dir.0, args))
    }

    /// With a log.
    pub fn logging(dir: &Dir, fsync: &str, args: &[&str]) -> Kv {
        let log = dir.log();
        let mut all =
            vec!["--appendonly", "yes", "--appendfilename", log.to_str().unwrap(), "--appendfsync", fsync];
        all.extend(args);
        Kv::start(dir, &all)
    }

    pub fn from(dir: &Dir, mut command: Command) -> Kv {
        let mut child = Killed(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("kv: ready on ").and_then(|a| a.parse().ok());
        let Some(addr) = addr else { panic!("no server: {line:?} {}", dir.said()) };
        Kv { addr, child }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait.
    pub fn stop(mut self) -> ExitStatus {
        self.term();
        wait(&mut self.child)
    }

    pub fn term(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// The number after `name:` in INFO.
    pub fn info(&self, name: &str) -> u64 {
        let text = self.client().ask("INFO").text();
        let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Map(Vec<Reply>),
    Push(Vec<Reply>),
}

impl Reply {
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Reply::Bulk(b) => String::from_utf8_lossy(b).into_owned(),
            Reply::Simple(s) | Reply::Error(s) => s.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Reply::Int(n) => *n,
            Reply::Bulk(b) => str::from_utf8(b).unwrap().parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub fn is_error(&self, code: &str) -> bool {
        matches!(self, Reply::Error(e) if e.starts_with(code))
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(s) if s == "OK")
    }
}

pub fn bulk(s: &str) -> Reply {
    Reply::Bulk(s.as_bytes().to_vec())
}

pub struct Client {
    pub stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        let stream = connect(addr);
        stream.set_nodelay(true).unwrap();
        Client { input: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            out.extend(format!("${}\r\n", word.as_ref().len()).bytes());
            out.extend([word.as_ref(), b"\r\n"].concat());
        }
        out
    }

    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        self.stream.write_all(&Client::encode(words))
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The reply to a command, or that the connection has ended.
    pub fn try_cmd<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Reply> {
        self.send(words)?;
        self.try_read()
    }

    #[track_caller]
    pub fn cmd<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.try_cmd(words).unwrap()
    }

    /// A command whose words have no spaces.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> Reply {
        self.cmd(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn read(&mut self) -> Reply {
        self.try_read().unwrap()
    }

    /// Whether the server has closed.
    pub fn at_end(&mut self) -> bool {
        match self.input.fill_buf() {
            Ok(b) => b.is_empty(),
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    pub fn try_read(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(line) = line.strip_suffix("\r\n") else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let (mark, rest) = line.split_at(1);
        let n: i64 = rest.parse().unwrap_or(-2);
        let mut many = |n: i64| (0..n).map(|_| self.try_read()).collect::<io::Result<Vec<_>>>();
        Ok(match mark {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Int(n),
            "_" => Reply::Null,
            "$" | "*" if n == -1 => Reply::Null,
            "*" => Reply::Array(many(n)?),
            "%" => Reply::Map(many(2 * n)?),
            ">" => Reply::Push(many(n)?),
            "$" => {
                let mut value = vec![0; n as usize + 2];
                self.input.read_exact(&mut value)?;
                assert!(value.ends_with(b"\r\n"));
                value.truncate(n as usize);
                Reply::Bulk(value)
            }
            _ => panic!("no reply: {line:?}"),
        })
    }
}
