//! The server of examples/chat on tokio, over tokio-tungstenite and redb: the same rooms, messages, limits and end. (The page
//! that shows them is not here.)
//!
//! ```text
//!   door      a request, which may be an upgrade     client    a connection's task
//!   room      a room's task                          rooms     which there are, who is inside
//!   history   what was said, on disk
//! ```

mod client;
mod door;
mod history;
mod room;
mod rooms;

use clap::Parser;
use history::History;
use rooms::Rooms;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Parser)]
struct Config {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    addr: SocketAddr,
    /// Where what was said is kept.
    #[arg(long, default_value = "chat.redb")]
    history: PathBuf,
    /// How many messages of a room are kept, and sent to who comes.
    #[arg(long, default_value_t = 50)]
    history_length: usize,
    /// The number of workers.
    #[arg(long)]
    procs: Option<usize>,
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    #[arg(long, default_value_t = 1_000)]
    rooms: usize,
    /// The longest message, in bytes.
    #[arg(long, default_value_t = 4096)]
    message: usize,
    /// So many messages may wait for a client that does not read.
    #[arg(long, default_value_t = 256)]
    mailbox: usize,
    /// Frames a second from one client, twice as many at once; 0: any number.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    #[arg(long, value_parser = ms, default_value = "20000")]
    ping: Duration,
    #[arg(long, value_parser = ms, default_value = "5000")]
    handshake: Duration,
    #[arg(long, value_parser = ms, default_value = "3000")]
    close: Duration,
}

fn ms(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// What all tasks share.
struct Server {
    config: Config,
    /// Cancelled when the server ends.
    stop: CancellationToken,
    rooms: Rooms,
    history: History,
    /// The tasks of connections and of rooms.
    tasks: TaskTracker,
    /// Numbers for members.
    last: AtomicU64,
}

async fn serve(config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (stop, _) = gosched_servers::until_signals()?;
    let (history, written) = History::open(&config.history, config.history_length).await?;
    let socket = if config.addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(config.addr)?;
    let listener = socket.listen(4096)?;
    println!("chat: ready on http://{}/", listener.local_addr()?);

    let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
    let (rooms, last) = (Rooms::default(), AtomicU64::new(0));
    let server =
        Arc::new(Server { config, stop: ending.clone(), rooms, history, tasks: tasks.clone(), last });
    tokio::select! {
        _ = accept(&server, &listener) => {}
        _ = stop.cancelled() => {}
    }
    drop(listener);
    ending.cancel();
    tasks.close();
    tasks.wait().await;
    // With the last handle the history ends.
    drop(server);
    written.await?
}

async fn accept(server: &Arc<Server>, listener: &TcpListener) {
    let places = Arc::new(Semaphore::new(server.config.connections));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let server = server.clone();
                    server.tasks.clone().spawn(async move {
                        client::serve(server, stream).await;
                        drop(place);
                    });
                }
                Err(_) => door::too_many(&stream),
            },
            // No descriptor is left, most likely.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn main() {
    let config = Config::parse();
    if let Err(e) = gosched_servers::run(config.procs, serve(config)) {
        eprintln!("chat: {e}");
        std::process::exit(1);
    }
}
