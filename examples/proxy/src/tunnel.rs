//! A tunnel: two copies, one for each direction, each a goroutine.
//!
//! ```text
//!   client ══ up ══► target          an end is carried over as what it was:
//!   client ◄═ down ═ target             end of the stream ─► shutdown(Write): the other direction goes on
//!                                       failure           ─► a reset, so that nobody takes a part for the whole
//! ```
//! The bytes are moved by `gosched::net::copy`, on Linux by splice(2) where much comes: pages go from socket to socket and
//! not through this process. There are no deadlines in here. A copy that a deadline ends has lost what it had read and not
//! yet written, and does not say how much that was; so a deadline ends a tunnel for good, and is set by those who want that
//! (conn.rs): watch.rs, where nothing has moved for too long, and the server's end.
//!
//! A direction that fails leaves the other one a moment for what has already come: a server that is not interested in the
//! rest of an upload has often said why.

use crate::conn::{Conn, Traffic};
use crate::http;
use crate::plain;
use crate::refusal::Refusal;
use gosched::net::{self, TcpStream};
use gosched::scope;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

/// For an answer of ours.
const SAY_TIME: Duration = Duration::from_secs(1);

/// How a tunnel has ended.
pub(crate) struct End {
    pub(crate) traffic: Traffic,
    /// `None`: both directions at the end of their streams.
    pub(crate) failed: Option<String>,
}

/// Moves bytes both ways until both are done. `first` is what the target gets before all else. `plain`: the target's answer
/// has a head that is not for the client as it is.
pub(crate) fn run(conn: &Conn, client: &TcpStream, target: &TcpStream, first: &[u8], plain: bool) -> End {
    let (up, down) = scope(|s| {
        let down = s.spawn(|| {
            one_way(conn, target, client, || if plain { answer(conn, target, client) } else { Ok((0, true)) })
        });
        let up = one_way(conn, client, target, || {
            let mut target = target;
            target.write_all(first).map(|()| (first.len() as u64, true))
        });
        (up, down.join().unwrap_or_else(|e| resume_unwind(e)))
    });
    // Where a direction has failed, the kernel's count is the best that there is.
    let counted = conn.traffic();
    let traffic =
        Traffic { up: *up.as_ref().unwrap_or(&counted.up), down: *down.as_ref().unwrap_or(&counted.down) };
    let failed = match (up, down) {
        (Ok(_), Ok(_)) => None,
        (Err(e), _) => Some(format!("up: {e}")),
        (_, Err(e)) => Some(format!("down: {e}")),
    };
    End { traffic, failed }
}

/// `first`, then, unless that says that there is no more, all that comes from `from`; gives the number of bytes.
fn one_way(
    conn: &Conn,
    from: &TcpStream,
    to: &TcpStream,
    first: impl FnOnce() -> io::Result<(u64, bool)>,
) -> io::Result<u64> {
    let moved = first().and_then(|(n, more)| if more { Ok(n + net::copy(from, to)?) } else { Ok(n) });
    match &moved {
        // An error: there is nobody to be told.
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            conn.last_words();
            // The reset, when it is closed.
            let _ = to.set_linger(Some(Duration::ZERO));
            // What is unread would make a reset of the close of `from`, and take away what was just sent there.
            let _ = io::copy(&mut &*from, &mut io::sink());
        }
    }
    moved
}

/// The head of the target's answer to a plain request; an answer of our own, and no more, where there is none.
fn answer(conn: &Conn, target: &TcpStream, mut client: &TcpStream) -> io::Result<(u64, bool)> {
    let refusal = match plain::response(target, client) {
        Ok((passed, head)) => {
            client.write_all(&head)?;
            return Ok((passed + head.len() as u64, true));
        }
        Err(e) if e.kind() == ErrorKind::TimedOut => Refusal::TimedOut,
        Err(_) => Refusal::Failed,
    };
    let text = http::answer(refusal);
    client.set_write_deadline(Some(Instant::now() + SAY_TIME))?;
    client.write_all(&text)?;
    conn.last_words();
    Ok((text.len() as u64, false))
}
