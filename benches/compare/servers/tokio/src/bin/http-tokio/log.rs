//! The access log: a line for each request, when its answer has been sent or has been cut off.

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// The middleware.
pub async fn log(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let (began, method, uri) = (Instant::now(), request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    response.map(|body| Body::new(Logged { body, bytes: 0, peer, method, uri, status, began }))
}

/// The body of an answer, whose drop is its end.
struct Logged {
    body: Body,
    bytes: u64,
    peer: SocketAddr,
    method: Method,
    uri: Uri,
    status: u16,
    began: Instant,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let Logged { peer, method, status, bytes, .. } = self;
        let (path, micros) = (self.uri.path(), self.began.elapsed().as_micros() as u64);
        tracing::info!(target: "access", %peer, %method, path, status, bytes, micros);
    }
}
