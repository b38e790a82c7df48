//! The redis crate over our stream: against a real redis-server where the machine has one, and against a server of a
//! few commands in here, which redis-cli is asked to judge as well.
//!
//! `redis::Connection` makes its own sockets, which are std's. The trait `ConnectionLike` is its seam: whoever sends
//! packed commands and returns parsed values is a connection, and all of `Cmd`, `Pipeline`, `Commands` works over it.
//! The unchanged `redis::Client` works inside of `gosched::syscall`.
//!
//! Thread-locals: the parser is a value of the connection's own (combine's decoder), and commands are packed into a
//! `Vec`. The crate names rand's thread-local generator only for clusters and sentinels, which are other features.

use gosched::chan::Chan;
use gosched::net::TcpStream;
use gosched::sync::Mutex;
use gosched::{scope, spawn};
use gosched_adapters::{
    Server, WAITERS, data, eventually, loopback, on_goroutine, run_tool, tool, while_waiting,
};
use redis::{Cmd, Commands, ConnectionLike, ErrorKind, Parser, RedisResult, Value};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection whose reads and writes park.
struct Connection {
    stream: TcpStream,
    parser: Parser,
    open: bool,
}

impl Connection {
    fn open(addr: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, parser: Parser::new(), open: true })
    }

    fn value(&mut self) -> RedisResult<Value> {
        let r = self.parser.parse_value(&self.stream);
        self.open &= r.is_ok();
        r
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        self.stream.write_all(cmd)?;
        self.value()
    }

    fn req_packed_commands(&mut self, cmd: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.stream.write_all(cmd)?;
        for _ in 0..offset {
            self.value()?;
        }
        (0..count).map(|_| self.value()).collect()
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").query::<String>(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

/// A redis-server of its own, which ends with this.
struct Real {
    addr: SocketAddr,
    child: Child,
}

impl Real {
    fn start() -> Option<Real> {
        let program = tool("redis-server")?;
        // A port that was free, on an address that is this process' own.
        let addr = gosched::net::TcpListener::bind(loopback()).and_then(|l| l.local_addr()).unwrap();
        let child = Command::new(program)
            .args(["--port", &addr.port().to_string(), "--bind", &addr.ip().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let real = Real { addr, child };
        eventually("redis-server answers", || Connection::open(addr).is_ok_and(|mut c| c.check_connection()));
        Some(real)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The commands of [`all_of_it`], and no more, in RESP 2.
#[derive(Default)]
struct Small {
    strings: Mutex<HashMap<String, Vec<u8>>>,
    lists: Mutex<HashMap<String, Chan<Vec<u8>>>>,
}

impl Small {
    fn start() -> Server {
        let small = Arc::new(Small::default());
        Server::start(move |stream| {
            let mut input = BufReader::new(&stream);
            let mut queued: Option<Vec<Vec<Vec<u8>>>> = None;
            while let Ok(Some(command)) = request(&mut input) {
                let name = String::from_utf8_lossy(&command[0]).to_uppercase();
                let out = match (name.as_str(), &mut queued) {
                    ("MULTI", _) => {
                        queued = Some(Vec::new());
                        b"+OK\r\n".to_vec()
                    }
                    ("EXEC", q) => {
                        let all = q.take().unwrap_or_default();
                        let mut out = format!("*{}\r\n", all.len()).into_bytes();
                        all.iter().for_each(|c| out.extend(small.answer(c)));
                        out
                    }
                    (_, Some(q)) => {
                        q.push(command);
                        b"+QUEUED\r\n".to_vec()
                    }
                    _ => small.answer(&command),
                };
                if (&stream).write_all(&out).is_err() {
                    return;
                }
            }
        })
    }

    fn list(&self, key: String) -> Chan<Vec<u8>> {
        self.lists.lock().entry(key).or_insert_with(|| Chan::new(1024)).clone()
    }

    fn answer(&self, command: &[Vec<u8>]) -> Vec<u8> {
        let text = |i: usize| String::from_utf8_lossy(&command[i]).into_owned();
        let bulk = |v: &[u8]| [format!("${}\r\n", v.len()).as_bytes(), v, b"\r\n"].concat();
        match (text(0).to_uppercase().as_str(), command.len()) {
            ("PING", 1) => b"+PONG\r\n".to_vec(),
            ("SET", 3) => {
                self.strings.lock().insert(text(1), command[2].clone());
                b"+OK\r\n".to_vec()
            }
            ("GET", 2) => self.strings.lock().get(&text(1)).map_or(b"$-1\r\n".to_vec(), |v| bulk(v)),
            ("INCRBY", 3) => {
                let mut strings = self.strings.lock();
                let value = strings.entry(text(1)).or_insert_with(|| b"0".to_vec());
                let number = |v: &[u8]| std::str::from_utf8(v).ok()?.parse::<i64>().ok();
                match (number(value), number(&command[2])) {
                    (Some(a), Some(b)) => {
                        *value = (a + b).to_string().into_bytes();
                        format!(":{}\r\n", a + b).into_bytes()
                    }
                    _ => b"-ERR value is not an integer or out of range\r\n".to_vec(),
                }
            }
            ("RPUSH", 3) => {
                let list = self.list(text(1));
                list.send(command[2].clone());
                format!(":{}\r\n", list.len().max(1)).into_bytes()
            }
            ("BLPOP", 3) => {
                let v = self.list(text(1)).recv().unwrap_or_default();
                [b"*2\r\n".to_vec(), bulk(&command[1]), bulk(&v)].concat()
            }
            (name, _) => format!("-ERR unknown command '{name}'\r\n").into_bytes(),
        }
    }
}

/// An array of bulk strings.
fn request(input: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    fn count(input: &mut impl BufRead, mark: char) -> io::Result<Option<usize>> {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let n = line.trim_end().strip_prefix(mark).and_then(|n| n.parse().ok());
        n.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, line))
    }
    let Some(n) = count(input, '*')? else { return Ok(None) };
    let mut words = Vec::with_capacity(n);
    for _ in 0..n {
        let Some(len) = count(input, '$')? else { return Ok(None) };
        let mut word = vec![0; len + 2];
        input.read_exact(&mut word)?;
        word.truncate(len);
        words.push(word);
    }
    Ok(Some(words))
}

/// What holds for any server that speaks the protocol.
fn all_of_it(addr: SocketAddr) {
    // Thirty connections at once, each with its own keys and one that all share.
    scope(|s| {
        for c in 0..30usize {
            s.spawn(move || {
                let mut con = Connection::open(addr).unwrap();
                let (key, sent) = (format!("key {c}"), data(c, 1 << (c % 18)));
                assert_eq!(con.get::<_, Option<Vec<u8>>>(&key).unwrap(), None);
                let () = con.set(&key, &sent[..]).unwrap();
                assert!(con.get::<_, Vec<u8>>(&key).unwrap() == sent);
                for _ in 0..10 {
                    let _: i64 = con.incr("shared", 1).unwrap();
                }
            });
        }
    });
    let mut con = Connection::open(addr).unwrap();
    assert_eq!(con.get::<_, i64>("shared").unwrap(), 300);
    // Many commands at once, and a transaction.
    let mut pipe = redis::pipe();
    for i in 0..100 {
        pipe.set(format!("p{i}"), i).ignore().get(format!("p{i}"));
    }
    assert!(pipe.query::<Vec<u32>>(&mut con).unwrap().into_iter().eq(0..100));
    let (a, b): (i64, i64) =
        redis::pipe().atomic().incr("shared", 5).incr("shared", -5).query(&mut con).unwrap();
    assert_eq!((a, b), (305, 300));
    // Errors of the server are errors of the call, and the connection goes on.
    let () = con.set("word", "no number").unwrap();
    let e = con.incr::<_, _, i64>("word", 1).unwrap_err();
    assert!(e.to_string().contains("not an integer"), "{e}");
    let e = redis::cmd("NO-SUCH").query::<Value>(&mut con).unwrap_err();
    assert!(e.to_string().to_lowercase().contains("unknown command"), "{e}");
    assert!(con.check_connection() && con.is_open());
    // A read deadline is an I/O error.
    con.stream.set_read_deadline(Some(Instant::now() + Duration::from_millis(10))).unwrap();
    let e = redis::cmd("BLPOP").arg("nothing comes").arg(0).query::<Value>(&mut con).unwrap_err();
    assert!(e.is_timeout() || e.kind() == ErrorKind::Io, "{e:?}");
    assert!(!con.is_open());
}

/// Goroutines in BLPOP, each on its own list.
fn waiting(addr: SocketAddr) {
    let waits = (0..WAITERS)
        .map(|i| {
            let mut con = Connection::open(addr).unwrap();
            move || {
                let cmd: Cmd = redis::cmd("BLPOP").arg(format!("list {i}")).arg(0).take();
                let (key, value): (String, usize) = cmd.query(&mut con).unwrap();
                assert_eq!(key, format!("list {i}"));
                value
            }
        })
        .collect();
    let got = while_waiting(waits, move || {
        let mut con = Connection::open(addr).unwrap();
        for i in 0..WAITERS {
            let _: i64 = con.rpush(format!("list {i}"), i * i).unwrap();
        }
    });
    assert!(got.into_iter().eq((0..WAITERS).map(|i| i * i)));
}

#[test]
fn a_real_server() {
    on_goroutine(|| {
        let Some(real) = Real::start() else { return };
        all_of_it(real.addr);
        waiting(real.addr);
    });
}

#[test]
fn the_unchanged_client_in_syscall() {
    on_goroutine(|| {
        let Some(real) = Real::start() else { return };
        let url = format!("redis://{}", real.addr);
        let hs: Vec<_> = (0..6)
            .map(|i| {
                let url = url.clone();
                spawn(move || {
                    gosched::syscall(|| {
                        let mut con = redis::Client::open(url).unwrap().get_connection().unwrap();
                        let () = con.set(i, i * 7).unwrap();
                        con.get::<_, i32>(i).unwrap()
                    })
                })
            })
            .collect();
        let got = hs.into_iter().map(|h| h.join().unwrap());
        assert!(got.eq((0..6).map(|i| i * 7)));
    });
}

#[test]
fn a_server_on_goroutines() {
    on_goroutine(|| {
        let server = Small::start();
        all_of_it(server.addr);
    });
}

#[test]
fn connections_that_wait_are_parked() {
    on_goroutine(|| {
        let server = Small::start();
        waiting(server.addr);
    });
}

#[test]
fn redis_cli_is_answered() {
    let Some(cli) = tool("redis-cli") else { return };
    on_goroutine(move || {
        let server = Small::start();
        let (host, port) = (server.addr.ip().to_string(), server.addr.port().to_string());
        let ask = |args: &[&str]| {
            let out = run_tool(&cli, &[&["-h", &host, "-p", &port], args].concat()).unwrap();
            String::from_utf8(out.stdout).unwrap()
        };
        assert_eq!(ask(&["PING"]), "PONG\n");
        assert_eq!(ask(&["SET", "greeting", "hello from the shell"]), "OK\n");
        assert_eq!(ask(&["GET", "greeting"]), "hello from the shell\n");
        assert_eq!(ask(&["INCRBY", "n", "42"]), "42\n");
        assert!(ask(&["FLY"]).contains("unknown command"));
    });
}
