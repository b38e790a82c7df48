//! `echo` without a runtime: one thread, one loop around epoll. The least that a server costs.

use gosched_compare::end_after;
use gosched_compare::harness::{Bench, Options};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

fn main() -> io::Result<()> {
    let b = Bench::new("loop", Options::from_command_line(&[]));
    if b.options.workload == "echo" {
        end_after(60);
        return echo(&b.options.addr);
    }
    b.not_available("only_echo");
    Ok(())
}

const LISTENER: Token = Token(usize::MAX);

fn echo(addr: &str) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(addr.parse().map_err(io::Error::other)?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("ready");
    let mut streams: HashMap<Token, TcpStream> = HashMap::new();
    let (mut events, mut next) = (Events::with_capacity(1024), 0);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    streams.insert(Token(next), stream);
                    next += 1;
                }
            } else if let Some(stream) = streams.get_mut(&token)
                && !answer(stream)
            {
                streams.remove(&token);
            }
        }
    }
}

/// Sends back what has come. `false`: the connection has ended.
fn answer(stream: &mut TcpStream) -> bool {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return false,
            // What is that short fits into the socket, and there is no more to read.
            Ok(n) if n < buf.len() => return stream.write_all(&buf[..n]).is_ok(),
            Ok(n) if stream.write_all(&buf[..n]).is_ok() => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
            _ => return false,
        }
    }
}
