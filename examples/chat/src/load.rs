//! Many clients of a chat server at once, a goroutine each: to see that all hear the same, and what a connection costs.
//!
//! ```text
//!   all come in, some rooms share them ─► nobody says anything: how much memory has the server per connection?
//!                                      └► each says its messages, the next when it has heard the one before; each counts
//!                                         and compares what it hears: all of its room's, once, in one order
//! ```
//! The order is a checksum over what a member hears from the first message to the last: in a room all must be equal.

use gosched::chan::Chan;
use gosched::net::TcpStream;
use gosched::sync::{Mutex, Semaphore, WaitGroup};
use gosched::time::sleep;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::client::client_with_config;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

const USAGE: &str = "\
chat-load: many clients of a chat server

  --addr HOST:PORT   the server
  --connections N    how many clients (1000)
  --rooms N          how many rooms share them (20)
  --messages N       how many each says; 0: idle (0)
  --pid PID          the server's process: how much memory it has before, and with them
  --settle MS        how long to wait before that is looked at for the second time (3000)
";

/// So many connect at a time.
const CONNECTING: usize = 64;

#[derive(Clone)]
struct Options {
    addr: String,
    connections: usize,
    rooms: usize,
    messages: usize,
    pid: Option<u32>,
    settle: Duration,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let (addr, settle) = (String::new(), Duration::from_secs(3));
    let mut o = Options { addr, connections: 1000, rooms: 20, messages: 0, pid: None, settle };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word}: its value is missing\n\n{USAGE}"))?;
        let number = || value.parse::<u32>().map_err(|e| format!("{word} {value}: {e}"));
        match word.as_str() {
            "--addr" => o.addr = value,
            "--connections" => o.connections = number()? as usize,
            "--rooms" => o.rooms = number()?.max(1) as usize,
            "--messages" => o.messages = number()? as usize,
            "--pid" => o.pid = Some(number()?),
            "--settle" => o.settle = Duration::from_millis(number()?.into()),
            _ => return Err(format!("{word}: no such option\n\n{USAGE}")),
        }
    }
    if o.addr.is_empty() {
        return Err(format!("--addr is missing\n\n{USAGE}"));
    }
    Ok(o)
}

fn main() -> ExitCode {
    let result = options(std::env::args().skip(1)).and_then(|o| {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // With fewer there are fewer connections, which is an error then.
        let _ = setrlimit(Resource::Nofile, limit);
        // SAFETY: no goroutine holds a borrow of a thread-local, or a value tied to a thread, while it parks: tungstenite
        // draws its masks from a thread's generator, and lets go of it before it writes.
        unsafe { gosched::run(|| run(&o)) }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("chat-load: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(o: &Options) -> Result<(), String> {
    let memory = || o.pid.map(resident).transpose();
    let (before, began) = (memory()?, Instant::now());
    let all = Arc::new(Clients {
        options: o.clone(),
        connecting: Semaphore::new(CONNECTING),
        here: WaitGroup::new(),
        start: Chan::new(0),
        heard: Mutex::default(),
    });
    all.here.add(o.connections as isize);
    let clients: Vec<_> = (0..o.connections)
        .map(|i| {
            let all = all.clone();
            gosched::spawn(move || all.client(i))
        })
        .collect();
    all.here.wait();
    println!("{} connections in {} rooms, after {:.1?}", o.connections, o.rooms, began.elapsed());
    if let (Some(before), Some(now)) = (before, memory()?) {
        let show = |when: &str, kib: u64| {
            let each = kib.saturating_sub(before) as f64 / o.connections as f64;
            println!("the server has {kib} KiB {when}, {before} KiB before: {each:.2} KiB per connection");
        };
        show("at once", now);
        sleep(o.settle);
        show("later", memory()?.unwrap_or_default());
    }
    let began = Instant::now();
    all.start.close();
    for client in clients {
        client.join().map_err(|_| "a client has panicked")?;
    }
    let heard = all.heard.lock();
    let total: usize = heard.values().map(|h| h.messages * h.members).sum();
    if o.messages > 0 {
        println!("{total} messages were heard, by all of a room in one order, after {:.1?}", began.elapsed());
    }
    Ok(())
}

/// KiB of a process that are in memory.
fn resident(pid: u32) -> Result<u64, String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| format!("{pid}: {e}"))?;
    let line =
        status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    line.ok_or(format!("{pid}: no VmRSS"))
}

struct Clients {
    options: Options,
    connecting: Semaphore,
    here: WaitGroup,
    /// Closed when all are here.
    start: Chan<()>,
    /// What the members of a room have heard.
    heard: Mutex<HashMap<usize, Heard>>,
}

struct Heard {
    sum: u64,
    messages: usize,
    members: usize,
}

impl Clients {
    /// One client. Where it fails the others would wait for it in vain: its error ends the program.
    fn client(&self, i: usize) {
        if let Err(e) = self.try_client(i) {
            eprintln!("chat-load: client {i}: {e}");
            std::process::exit(1);
        }
    }

    fn try_client(&self, i: usize) -> Result<(), String> {
        let mut ws = self.connect(i)?;
        self.here.done();
        self.start.recv();
        let room = i % self.options.rooms;
        let members = (self.options.connections - room).div_ceil(self.options.rooms);
        let talk = self.talk(&mut ws, i, members)?;
        let mut heard = self.heard.lock();
        let first = heard.entry(room).or_insert(Heard { members: 0, ..talk });
        first.members += 1;
        if (first.sum, first.messages) != (talk.sum, talk.messages) {
            return Err(format!("heard something else in room {room} than another one there"));
        }
        Ok(())
    }

    /// Connects, and waits until the room says that it is in.
    fn connect(&self, i: usize) -> Result<WebSocket<TcpStream>, String> {
        let _permit = self.connecting.acquire();
        let addr = &self.options.addr;
        let stream = TcpStream::connect(addr.as_str()).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let config = WebSocketConfig::default().read_buffer_size(512).write_buffer_size(0);
        let url = format!("ws://{addr}/ws?room=load{}&name=m{i}", i % self.options.rooms);
        let (mut ws, _) = client_with_config(url, stream, Some(config)).map_err(|e| e.to_string())?;
        while next(&mut ws)?["you"].is_null() {}
        Ok(ws)
    }

    fn talk(&self, ws: &mut WebSocket<TcpStream>, i: usize, members: usize) -> Result<Heard, String> {
        let (mine, mut said) = (format!("m{i}"), 0);
        // Of each member, how many messages were heard.
        let mut counts: HashMap<String, usize> = HashMap::new();
        let (mut sum, mut messages, mut last) = (DefaultHasher::new(), 0, None);
        let mut say = |ws: &mut WebSocket<TcpStream>| {
            said += 1;
            let text = Message::text((said - 1).to_string());
            if said > self.options.messages { Ok(()) } else { ws.send(text).map_err(|e| e.to_string()) }
        };
        say(ws)?;
        while messages < members * self.options.messages {
            let event = next(ws)?;
            let (Some(id), Some(from), Some(text)) =
                (event["id"].as_u64(), event["from"].as_str(), event["text"].as_str())
            else {
                continue;
            };
            if last.is_some_and(|last| id != last + 1) {
                return Err(format!("message {id} after {last:?}"));
            }
            last = Some(id);
            let count = counts.entry(from.to_owned()).or_default();
            if text != count.to_string() {
                return Err(format!("{from} has said {text:?}, and before that {count} messages were heard"));
            }
            *count += 1;
            (id, from, text).hash(&mut sum);
            messages += 1;
            if from == mine {
                say(ws)?;
            }
        }
        Ok(Heard { sum: sum.finish(), messages, members })
    }
}

/// The next thing that the server says.
fn next(ws: &mut WebSocket<TcpStream>) -> Result<serde_json::Value, String> {
    loop {
        match ws.read() {
            Ok(Message::Text(text)) => {
                return serde_json::from_str(&text).map_err(|e| format!("{text}: {e}"));
            }
            Ok(Message::Close(frame)) => return Err(format!("sent away: {frame:?}")),
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
    }
}
