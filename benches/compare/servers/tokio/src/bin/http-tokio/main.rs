//! The server of examples/http on tokio: the same routes, options, limits and end. axum has the routes, tower-http the files,
//! hyper the protocol, tokio-rustls TLS.
//!
//! ```text
//!   refused   refusals as answers     body     the body of a request, with its limits
//!   app       the handlers            log      the access log
//!   tls       the certificate         server   accepting, connections, the end
//! ```

mod app;
mod body;
mod log;
mod refused;
mod server;
mod tls;

use axum::middleware;
use clap::Parser;
use server::Limits;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpSocket;

#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: std::net::SocketAddr,
    /// Whose files are served.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// HTTPS; the certificate to trust is written to this file.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// The number of workers.
    #[arg(long)]
    procs: Option<usize>,
    /// The access log, on stderr: on or off.
    #[arg(long, default_value = "on")]
    log: String,
    /// hyper's pipeline_flush: answers to requests that have come together are written together. Refusals may get lost
    /// with it.
    #[arg(long)]
    pipeline_flush: bool,
    /// Bytes of a head; hyper's least is 8192.
    #[arg(long, default_value_t = 8 << 10)]
    head: usize,
    /// Bytes of a body.
    #[arg(long, default_value_t = 1 << 20)]
    body: usize,
    #[arg(long, value_parser = ms, default_value = "10000")]
    head_time: Duration,
    #[arg(long, value_parser = ms, default_value = "30000")]
    body_time: Duration,
    #[arg(long, value_parser = ms, default_value = "30000")]
    write_time: Duration,
    #[arg(long, value_parser = ms, default_value = "10000")]
    grace: Duration,
}

fn ms(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

async fn program(o: Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (stop, hurry) = gosched_servers::until_signals()?;
    let (scheme, tls) = match &o.tls {
        Some(file) => {
            let (config, authority) = tls::identity()?;
            std::fs::write(file, authority)?;
            ("https", Some(config))
        }
        None => ("http", None),
    };
    let limits = Limits {
        pipeline_flush: o.pipeline_flush,
        head: o.head,
        body: o.body,
        head_time: o.head_time,
        body_time: o.body_time,
        write_time: o.write_time,
        grace: o.grace,
    };
    let mut app = app::routes(&o.root, &limits, stop.clone());
    if o.log != "off" {
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
        app = app.layer(middleware::from_fn(log::log));
    }
    let socket = if o.addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(o.addr)?;
    let listener = socket.listen(4096)?;
    println!("listening on {scheme}://{}/", listener.local_addr()?);
    let served = server::serve(listener, app, limits, tls, stop, hurry).await;
    println!(
        "served {} connections, {} requests; {} cut off",
        served.connections, served.requests, served.cut_off
    );
    Ok(())
}

fn main() {
    let options = Options::parse();
    if let Err(e) = gosched_servers::run(options.procs, program(options)) {
        eprintln!("http: {e}");
        std::process::exit(1);
    }
}
