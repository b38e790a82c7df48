//! The client for chat: many members, fifty to a room. The same for every server.
//!
//! ```text
//! rooms-load HOST:PORT CONNECTIONS MESSAGES SECONDS PID
//! ```
//! All come in and are silent: how much has the server's memory grown for each? Then so many MESSAGES a second are said by
//! one after the other, at even distances, and each goes to fifty; what counts is the time from when a message was to be
//! said until it is heard. The first second does not count.
//!
//! Prints p50 and p99 in µs; how many were heard a second; how many were not heard at all; KiB for each silent connection;
//! the server's memory with all of them, in KiB; µs of its CPU for each message that was heard.

use futures_util::{SinkExt, StreamExt};
use gosched_servers::process;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const ROOM: usize = 50;
/// So many connect at a time.
const CONNECTING: usize = 32;
const SETTLE: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);
/// How long the last messages are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

type Failure = Box<dyn Error + Send + Sync>;

/// What all clients have heard. One thread: all of them run on it.
struct Heard {
    began: Instant,
    inside: Cell<usize>,
    /// In µs, of those that count.
    latencies: RefCell<Vec<u32>>,
    /// All of them.
    all: Cell<usize>,
    /// What is said from here on counts.
    from: Cell<Option<Duration>>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Err(e) = program(&args) {
        eprintln!("rooms-load: {e}");
        std::process::exit(1);
    }
}

fn program(args: &[String]) -> Result<(), Failure> {
    let [addr, connections, messages, secs, pid] = args else {
        return Err("usage: rooms-load HOST:PORT CONNECTIONS MESSAGES SECONDS PID".into());
    };
    let (connections, secs) = (connections.parse()?, Duration::from_secs(secs.parse()?));
    if connections % ROOM != 0 {
        return Err(format!("{ROOM} to a room").into());
    }
    let load = load(addr, connections, messages.parse()?, secs, pid.parse()?);
    gosched_servers::run(Some(1), LocalSet::new().run_until(load))
}

async fn load(
    addr: &str,
    connections: usize,
    messages: u32,
    secs: Duration,
    pid: u32,
) -> Result<(), Failure> {
    let before = process::rss(pid)?;
    let heard = Rc::new(Heard {
        began: Instant::now(),
        inside: Cell::new(0),
        latencies: RefCell::default(),
        all: Cell::new(0),
        from: Cell::new(None),
    });
    let doors = Rc::new(Semaphore::new(CONNECTING));
    let mut clients = Vec::new();
    for n in 0..connections {
        let (client, says) = mpsc::channel(64);
        let (addr, heard, doors) = (addr.to_owned(), heard.clone(), doors.clone());
        spawn_local(async move {
            if let Err(e) = member(&addr, n, says, &heard, &doors).await {
                eprintln!("rooms-load: client {n}: {e}");
                std::process::exit(1);
            }
        });
        clients.push(client);
    }
    let all_inside = async {
        while heard.inside.get() < connections {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), all_inside).await.map_err(|_| "not all came in")?;
    sleep(SETTLE).await;
    let with = process::rss(pid)?;

    let mut said = 0;
    let mut ticks = interval(Duration::from_secs(1) / messages);
    let (started, mut cpu) = (Instant::now(), Duration::ZERO);
    loop {
        // When it was to be, however late we are.
        let at = ticks.tick().await;
        if at - started >= WARM_UP + secs {
            break;
        }
        if heard.from.get().is_none() && at - started >= WARM_UP {
            heard.from.set(Some(at - heard.began));
            cpu = process::cpu(pid)?;
        }
        clients[said % connections].send((at - heard.began).as_nanos() as u64).await?;
        said += 1;
    }
    let cpu = process::cpu(pid)?.saturating_sub(cpu);
    let all_heard = async {
        while heard.all.get() < said * ROOM {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(PATIENCE, all_heard).await;
    let latencies = &mut *heard.latencies.borrow_mut();
    latencies.sort_unstable();
    if latencies.is_empty() {
        return Err("nothing was heard".into());
    }
    let quantile =
        |share: f64| latencies[((latencies.len() as f64 * share) as usize).min(latencies.len() - 1)];
    println!(
        "{} {} {:.0} {} {:.2} {} {:.2}",
        quantile(0.5),
        quantile(0.99),
        latencies.len() as f64 / secs.as_secs_f64(),
        said * ROOM - heard.all.get(),
        with.saturating_sub(before) as f64 / connections as f64,
        with,
        cpu.as_secs_f64() * 1e6 / latencies.len() as f64,
    );
    Ok(())
}

/// One client, to the end of the program.
async fn member(
    addr: &str,
    n: usize,
    mut says: mpsc::Receiver<u64>,
    heard: &Heard,
    doors: &Semaphore,
) -> Result<(), Failure> {
    let door = doors.acquire().await?;
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let url = format!("ws://{addr}/ws?room=room{}&name=member{n}", n / ROOM);
    let (mut ws, _) = client_async_with_config(url, stream, Some(config)).await?;
    let mut door = Some(door);
    loop {
        let message = tokio::select! {
            message = ws.next() => message.ok_or("gone")??,
            Some(at) = says.recv() => {
                // Some hundred bytes, as people say.
                ws.send(Message::text(format!("{at} {:.>80}", ""))).await?;
                continue;
            }
        };
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Close(why) => return Err(format!("sent away: {why:?}").into()),
            _ => continue,
        };
        if text.contains("\"you\":") {
            heard.inside.set(heard.inside.get() + 1);
            door.take();
        } else if let Some((_, words)) = text.split_once("\"text\":\"") {
            let at = Duration::from_nanos(words.split(' ').next().unwrap_or_default().parse()?);
            heard.all.set(heard.all.get() + 1);
            if heard.from.get().is_some_and(|from| at >= from) {
                let took = heard.began.elapsed().saturating_sub(at);
                heard.latencies.borrow_mut().push(took.as_micros().min(u32::MAX.into()) as u32);
            }
        }
    }
}
