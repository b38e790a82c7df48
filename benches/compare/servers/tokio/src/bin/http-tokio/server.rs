//! The server: accepts, has a task for each connection, and ends in order.
//!
//! hyper keeps the limits of the head, and its time: that counts from the answer before, so there is no time of its own for
//! the silence between requests. tokio-io-timeout keeps the time of each write.

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// What a client may ask of the server.
pub struct Limits {
    pub pipeline_flush: bool,
    pub head: usize,
    pub body: usize,
    pub head_time: Duration,
    pub body_time: Duration,
    pub write_time: Duration,
    pub grace: Duration,
}

/// What a server has done, when it has ended.
pub struct Served {
    pub connections: u64,
    pub requests: u64,
    pub cut_off: usize,
}

struct Server {
    http: http1::Builder,
    app: Router,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    requests: AtomicU64,
}

/// Serves until `stop`, and then until all requests have been answered. `hurry` cuts short the time that they have.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> Served {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head.max(8 << 10))
        .max_headers(64)
        .pipeline_flush(limits.pipeline_flush);
    let (grace, requests) = (limits.grace, AtomicU64::new(0));
    let server = Arc::new(Server { http, app, limits, tls, stop, requests });
    let (tasks, mut connections) = (TaskTracker::new(), 0);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = server.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, addr)) => {
                connections += 1;
                let server = server.clone();
                tasks.spawn(async move {
                    if let Err(error) = server.connection(stream, addr).await {
                        tracing::info!(target: "connection", peer = %addr, error);
                    }
                });
            }
            // No descriptor is left, most likely.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    tasks.close();
    tokio::select! {
        _ = tasks.wait() => {}
        _ = hurry.cancelled() => {}
        _ = sleep(grace) => {}
    }
    Served { connections, requests: server.requests.load(Relaxed), cut_off: tasks.len() }
}

impl Server {
    /// One connection, to its end.
    async fn connection(
        &self,
        stream: TcpStream,
        addr: SocketAddr,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return self.requests(self.timed(stream), addr).await };
        let handshake = timeout(self.limits.head_time, async {
            let mut stream = stream;
            let begins = begins(&mut stream).await?;
            Ok::<_, io::Error>(if begins { Some(tls.accept(self.timed(stream)).await?) } else { None })
        });
        let io = tokio::select! {
            io = handshake => io??,
            _ = self.stop.cancelled() => None,
        };
        match io {
            Some(io) => self.requests(io, addr).await,
            None => Ok(()),
        }
    }

    fn timed(&self, stream: TcpStream) -> Pin<Box<TimeoutStream<TcpStream>>> {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.limits.write_time));
        Box::pin(stream)
    }

    async fn requests<I>(&self, io: I, addr: SocketAddr) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|mut request: Request<Incoming>| {
            self.requests.fetch_add(1, Relaxed);
            request.extensions_mut().insert(ConnectInfo(addr));
            self.app.clone().oneshot(request)
        });
        let mut conn = pin!(self.http.serve_connection(TokioIo::new(io), service));
        tokio::select! {
            done = conn.as_mut() => return Ok(done?),
            _ = self.stop.cancelled() => conn.as_mut().graceful_shutdown(),
        }
        Ok(conn.await?)
    }
}

/// Whether a client begins with a TLS record, as it should. One that speaks HTTP without is told so, in its own language.
async fn begins(stream: &mut TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(false);
    }
    if first[0].is_ascii_uppercase() {
        stream
            .write_all(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 36\r\n\
                  connection: close\r\n\r\nthis port speaks HTTPS and not HTTP\n",
            )
            .await?;
        // A request that is left unread would be a reset, and the client would not see the words.
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    }
    Ok(first[0] == HANDSHAKE)
}
