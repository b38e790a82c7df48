//! What this server has to say: a function for each path.

use crate::exchange::{Exchange, TEXT};
use crate::files::Files;
use crate::refused::Refused;
use crate::router::Router;
use gosched::chan::select;
use std::io::{self, Read, Write};
use std::time::Duration;

/// All of it; everything else is a file.
pub fn routes(files: Files) -> Router {
    Router::default()
        .get("/plaintext", plaintext)
        .get("/lines", lines)
        .post("/echo", echo)
        .post("/size", size)
        .others(move |x| files.serve(x))
}

/// The least that there is: for measurements.
fn plaintext(x: &mut Exchange) -> io::Result<()> {
    x.respond(200, TEXT, b"Hello, World!")
}

/// `/lines?n=10&ms=100`: so many lines, with so much time between them, each sent as it comes. Without `n`, until the server
/// is asked to end; with it, without further pauses then.
fn lines(x: &mut Exchange) -> io::Result<()> {
    let number = |name| match x.head().query(name) {
        Some(text) => text.parse().map(Some).map_err(|_| Refused(400, "n and ms are numbers")),
        None => Ok(None),
    };
    let (n, pause) = (number("n")?, Duration::from_millis(number("ms")?.unwrap_or(100)));
    let ends = x.context().done();
    x.stream(200, TEXT)?;
    for i in 1..=n.unwrap_or(u64::MAX) {
        writeln!(x, "line {i}")?;
        x.flush()?;
        if Some(i) == n {
            break;
        }
        select! {
            recv(ends) -> _ => if n.is_none() {
                return writeln!(x, "the server ends");
            },
            default(pause) => {},
        }
    }
    Ok(())
}

/// What comes goes back, as it comes.
fn echo(x: &mut Exchange) -> io::Result<()> {
    let mut buf = [0; 8 << 10];
    // Whatever is wrong with the beginning can still be told.
    let mut n = x.read(&mut buf)?;
    x.stream(200, "application/octet-stream")?;
    while n > 0 {
        x.write_all(&buf[..n])?;
        n = x.read(&mut buf)?;
    }
    Ok(())
}

/// How many bytes came.
fn size(x: &mut Exchange) -> io::Result<()> {
    let n = io::copy(x, &mut io::sink())?;
    x.respond(200, TEXT, format!("{n}\n").as_bytes())
}
