//! A connection's task: it reads, and says to the room what it has read; it writes what is in its mailbox. While it writes
//! to a slow client it does not read.

use crate::Server;
use crate::door;
use crate::room::Member;
use crate::rooms::Seat;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

/// A client who has been silent for so many times of `--ping` is dropped.
const SILENCE: u32 = 3;

/// One connection, to its end.
pub async fn serve(server: Arc<Server>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Some((mut ws, name, seat)) = door::receive(&server, stream).await else { return };
    // What was said before comes on top.
    let (mailbox, waiting) = mpsc::channel(server.config.mailbox + server.config.history_length);
    let (end, ended) = oneshot::channel();
    seat.join(Member { name, mailbox, end: Some(end) }).await;
    let why = talk(&server, &mut ws, &seat, waiting, ended).await;
    seat.leave().await;
    let farewell = async {
        if let Some(why) = why {
            let _ = ws.send(Message::Close(Some(why))).await;
        }
        let _ = ws.flush().await;
        // Until it closes, too: to close with bytes unread would be a reset, which takes the close away.
        let mut stream = ws.into_inner();
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    };
    let _ = timeout(server.config.close, farewell).await;
}

/// Until nothing more is to be read or written; gives what the client is to be told then.
async fn talk(
    server: &Server,
    ws: &mut WebSocketStream<TcpStream>,
    seat: &Seat,
    mut mailbox: mpsc::Receiver<Utf8Bytes>,
    mut end: oneshot::Receiver<CloseFrame>,
) -> Option<CloseFrame> {
    let closing = |code, reason: &'static str| Some(CloseFrame { code, reason: reason.into() });
    let (ping, mut heard, mut rate) = (server.config.ping, Instant::now(), Rate::new(server.config.rate));
    let mut ticker = interval_at(Instant::now() + ping, ping);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            why = &mut end => return why.ok(),
            Some(text) = mailbox.recv() => Message::Text(text),
            _ = ticker.tick() => {
                if heard.elapsed() >= ping * SILENCE {
                    return closing(CloseCode::Policy, "silent: no answer to pings");
                }
                Message::Ping(Bytes::new())
            }
            read = ws.next() => {
                match read {
                    None | Some(Ok(Message::Close(_))) => return None,
                    Some(Err(e)) => return answer(&e).and_then(|(code, reason)| closing(code, reason)),
                    Some(Ok(_)) if !rate.allows() => return closing(CloseCode::Policy, "too many messages"),
                    Some(Ok(Message::Binary(_))) => return closing(CloseCode::Unsupported, "text only"),
                    Some(Ok(Message::Text(text))) if !text.is_empty() => seat.text(text).await,
                    Some(Ok(_)) => {}
                }
                heard = Instant::now();
                continue;
            }
        };
        tokio::select! {
            sent = ws.send(message) => if sent.is_err() { return None },
            why = &mut end => return why.ok(),
        }
    }
}

/// What is to be said of an error.
fn answer(e: &Error) -> Option<(CloseCode, &'static str)> {
    match e {
        Error::ConnectionClosed
        | Error::Io(_)
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Utf8(_) => Some((CloseCode::Invalid, "a text must be UTF-8")),
        Error::Capacity(_) => Some((CloseCode::Size, "the message is too long")),
        Error::Protocol(_) => Some((CloseCode::Protocol, "a violation of the protocol")),
        _ => Some((CloseCode::Error, "this cannot be read")),
    }
}

/// How many frames a client may send. `due` is when it would have had to send the next one, had it sent them evenly: it may
/// be two seconds ahead of that.
struct Rate {
    due: Instant,
    each: Option<Duration>,
}

impl Rate {
    fn new(rate: u32) -> Rate {
        Rate { due: Instant::now(), each: Duration::from_secs(1).checked_div(rate) }
    }

    fn allows(&mut self) -> bool {
        let Some(each) = self.each else { return true };
        let now = Instant::now();
        self.due = self.due.max(now) + each;
        self.due <= now + Duration::from_secs(2)
    }
}
