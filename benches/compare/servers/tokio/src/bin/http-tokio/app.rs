//! What this server has to say: a function for each path.

use crate::body::pieces;
use crate::refused::Refused;
use crate::server::Limits;
use async_stream::stream;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::services::ServeDir;

const TEXT: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; charset=utf-8")];

#[derive(Clone)]
struct App {
    stop: CancellationToken,
    body_time: Duration,
}

/// All of it; everything else is a file.
pub fn routes(root: &Path, limits: &Limits, stop: CancellationToken) -> Router {
    Router::new()
        .route("/plaintext", get(plaintext))
        .route("/lines", get(lines))
        .route("/echo", post(echo))
        .route("/size", post(size))
        .fallback_service(ServeDir::new(root))
        .layer(RequestBodyLimitLayer::new(limits.body))
        .with_state(App { stop, body_time: limits.body_time })
}

/// The least that there is: for measurements.
async fn plaintext() -> &'static str {
    "Hello, World!"
}

#[derive(Deserialize)]
struct Pace {
    n: Option<u64>,
    ms: Option<u64>,
}

/// `/lines?n=10&ms=100`: so many lines, with so much time between them, each sent as it comes. Without `n`, until the server
/// is asked to end; with it, without further pauses then.
async fn lines(State(app): State<App>, Query(Pace { n, ms }): Query<Pace>) -> Response {
    let pause = Duration::from_millis(ms.unwrap_or(100));
    let lines = stream! {
        for i in 1..=n.unwrap_or(u64::MAX) {
            yield Ok::<_, Infallible>(format!("line {i}\n"));
            if Some(i) == n {
                break;
            }
            let ends = tokio::select! {
                _ = app.stop.cancelled() => n.is_none(),
                _ = tokio::time::sleep(pause) => false,
            };
            if ends {
                yield Ok("the server ends\n".into());
                break;
            }
        }
    };
    (TEXT, Body::from_stream(lines)).into_response()
}

/// What comes goes back, as it comes.
async fn echo(State(app): State<App>, body: Body) -> Result<Response, Refused> {
    let mut pieces = Box::pin(pieces(body, app.body_time));
    // Whatever is wrong with the beginning can still be told.
    let first = pieces.try_next().await?;
    let all = futures_util::stream::iter(first.map(Ok)).chain(pieces);
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::from_stream(all)).into_response())
}

/// How many bytes came.
async fn size(State(app): State<App>, body: Body) -> Result<String, Refused> {
    let pieces = pieces(body, app.body_time);
    let n = pieces.try_fold(0, |n, piece| async move { Ok(n + piece.len()) }).await?;
    Ok(format!("{n}\n"))
}
