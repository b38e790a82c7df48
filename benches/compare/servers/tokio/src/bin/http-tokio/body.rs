//! The body of a request: its bytes are counted by tower-http's layer, its time here.

use crate::refused::Refused;
use async_stream::try_stream;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_util::{Stream, StreamExt};
use http_body_util::LengthLimitError;
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The pieces of a body, all of which come within `time` or not at all.
pub fn pieces(body: Body, time: Duration) -> impl Stream<Item = Result<Bytes, Refused>> + Send {
    try_stream! {
        let until = Instant::now() + time;
        let mut body = body.into_data_stream();
        loop {
            let piece = timeout_at(until, body.next()).await;
            match piece.map_err(|_| Refused(StatusCode::REQUEST_TIMEOUT, "the body takes too long"))? {
                Some(piece) => yield piece.map_err(refusal)?,
                None => break,
            }
        }
    }
}

fn refusal(e: axum::Error) -> Refused {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&e);
    while let Some(e) = cause {
        if e.is::<LengthLimitError>() {
            return Refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");
        }
        cause = e.source();
    }
    Refused(StatusCode::BAD_REQUEST, "the body has no end")
}
