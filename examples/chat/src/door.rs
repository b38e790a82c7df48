//! The door: one HTTP request on each connection. Who asks for an upgrade, and may have it, becomes a guest; everybody else is
//! sent an answer, and that is the end of the connection.
//!
//! ```text
//!   session: read the head ─► asked ─► doorman: answer::to ─► session: write the upgrade, or the answer
//! ```
//! **Doormen.** To take a request to pieces goes deep, and a goroutine keeps the pages of its stack that it has touched: for
//! as long as the connection lasts, though all that it does from then on is to wait in a read. So there are some goroutines
//! that do nothing else, on their own stacks, as many as there are Ps; a session asks one of them.
//!
//! **Deadlines.** The whole request has one, which the bytes that come do not move on. When the server ends, nobody is waited
//! for here.

use crate::answer::{self, Admitted, Answer, refuse};
use crate::rooms::Seat;
use crate::server::Server;
use gosched::chan::Chan;
use gosched::net::{Shutdown, TcpStream};
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// The longest head of a request, in bytes.
const HEAD: usize = 8 << 10;

/// Who has come in.
pub struct Guest {
    pub name: String,
    pub seat: Seat,
    /// What has come behind the request.
    pub rest: Vec<u8>,
}

/// The head of a request, and where its answer goes.
pub struct Asked {
    head: Vec<u8>,
    answer: Chan<Result<Admitted, Answer>>,
}

/// Starts the doormen. They end when `server.asked` is closed.
pub fn open(server: &Arc<Server>) {
    for _ in 0..gosched::gomaxprocs() {
        let server = server.clone();
        gosched::go!({
            for Asked { head, answer } in &server.asked {
                // There is room for one. Where it panics, that is one connection's bad luck.
                match catch_unwind(AssertUnwindSafe(|| answer::to(&server, &head))) {
                    Ok(a) => answer.send(a),
                    Err(_) => answer.close(),
                }
            }
        });
    }
}

/// The client is gone.
fn nobody(_: io::Error) -> Option<Answer> {
    None
}

/// Answers a connection that is one too many. The answer fits into an empty send buffer: nobody waits here.
pub fn too_many(mut stream: &TcpStream) {
    if let Err(answer) = refuse::<()>("503 Service Unavailable", "too many connections\n") {
        let _ = stream.write(&answer.bytes());
        let _ = stream.shutdown(Shutdown::Write);
    }
}

/// Reads a connection's request and answers it. None: that was all.
#[inline(never)]
pub fn receive(server: &Arc<Server>, stream: &TcpStream) -> Option<Guest> {
    stream.set_deadline(Some(Instant::now() + server.config.handshake)).ok()?;
    match guest(server, stream) {
        Ok(guest) => {
            stream.set_deadline(None).ok()?;
            Some(guest)
        }
        Err(Some(answer)) => {
            let _ = send(&answer, stream, Instant::now() + server.config.close);
            None
        }
        // Nobody to answer.
        Err(None) => None,
    }
}

fn guest(server: &Arc<Server>, stream: &TcpStream) -> Result<Guest, Option<Answer>> {
    let handle = stream.try_clone().map_err(nobody)?;
    let hurry = server.ctx.after_func(move || drop(handle.set_deadline(Some(Instant::now()))));
    let read = read_head(stream);
    let ends = !hurry.stop();
    let (mut head, len) = match read {
        Ok(read) if !ends => read,
        Err(Some(_)) | Ok(_) if ends => refuse("503 Service Unavailable", "the server ends\n")?,
        read => read?,
    };
    let (rest, answer) = (head.split_off(len), Chan::new(1));
    server.asked.send(Asked { head, answer: answer.clone() });
    let Admitted { name, seat, upgrade } = answer.recv().ok_or(None::<Answer>)??;
    // A seat that is not taken is left again.
    (&mut &*stream).write_all(&upgrade).map_err(nobody)?;
    Ok(Guest { name, seat, rest })
}

/// Reads until the head is whole; gives what has come, and how long the head is.
fn read_head(mut stream: &TcpStream) -> Result<(Vec<u8>, usize), Option<Answer>> {
    let (mut buf, mut end) = (vec![0; 1024], 0);
    loop {
        if end == buf.len() {
            buf.resize(end * 2, 0);
        }
        let n = match stream.read(&mut buf[end..]) {
            Ok(0) => return Err(None),
            // Where nothing was asked nothing is answered: a browser connects in advance, and would take the answer for that
            // to what it asks later.
            Err(e) if e.kind() == ErrorKind::TimedOut && end > 0 => {
                refuse("408 Request Timeout", "the request takes too long\n")?
            }
            n => n.map_err(nobody)?,
        };
        // An empty line, perhaps begun in what was there before.
        let begun = end.saturating_sub(3);
        end += n;
        if let Some(at) = buf[begun..end].windows(4).position(|w| w == b"\r\n\r\n") {
            buf.truncate(end);
            return Ok((buf, begun + at + 4));
        }
        if end >= HEAD {
            refuse::<()>("431 Request Header Fields Too Large", "the request is too long\n")?;
        }
    }
}

/// Sends an answer, and hears the client out: closing with bytes unread would be a reset, which takes the answer away.
#[cold]
fn send(answer: &Answer, mut stream: &TcpStream, until: Instant) -> io::Result<()> {
    stream.set_deadline(Some(until))?;
    stream.write_all(&answer.bytes())?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}
