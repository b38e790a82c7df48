//! Servers on loopback. HTTP is hyper's.

use bytes::Bytes;
use gosched_compare::{BODY, first_answer};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Sends back what comes. After the first answer, four tasks are started by `hog`, if there is one.
pub async fn echo(addr: String, hog: Option<fn()>) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("ready");
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut buf = [0; 4096];
            loop {
                let n = match stream.read(&mut buf).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => n,
                };
                if stream.write_all(&buf[..n]).await.is_err() {
                    return;
                }
                if let Some(hog) = hog
                    && first_answer()
                {
                    (0..4).for_each(|_| hog());
                }
            }
        });
    }
}

pub fn spin() {
    tokio::spawn(async { gosched_compare::spin() });
}

pub fn block() {
    tokio::spawn(async { gosched_compare::block() });
}

/// On a thread that tokio keeps for such things.
pub fn block_apart() {
    tokio::task::spawn_blocking(gosched_compare::block);
}

/// Answers every request with a short text.
pub async fn http(addr: String) -> io::Result<()> {
    async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let answer = Response::builder().header("content-type", "text/plain");
        Ok(answer.body(Full::new(Bytes::from_static(BODY.as_bytes()))).expect("the headers are right"))
    }
    let listener = TcpListener::bind(addr).await?;
    println!("ready");
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            // Answers to requests that came together leave together.
            server.pipeline_flush(true);
            // An error is the client's end of the matter.
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}
