//! A connection: its goroutine reads, runs commands, and answers.
//!
//! ```text
//!   loop:  run every request that is in the buffer whole; the replies gather
//!          wait for the log, if a reply must not come before the disk has it
//!          write all replies at once
//!          read more
//! ```
//! So a pipeline of sixteen commands costs one read, one write and one wait. Once the client has subscribed to something
//! the replies go through its outbox (pubsub.rs).
//!
//! A client that has closed its sending side still gets all its answers. One that asks and does not read stops this
//! goroutine in its write, and nobody else.

use crate::commands::{self, Answer, Command, Refused, Run};
use crate::config::Fsync;
use crate::pubsub::{Outbox, Subscriptions};
use crate::reply::Out;
use crate::request::{Args, Parser};
use crate::server::{self, Server};
use crate::store::{Delta, Store};
use crate::tx::{self, Tx};
use gosched::net::TcpStream;
use std::io::{Read, Write};
use std::mem::take;
use std::sync::Arc;

/// The buffer of a connection that says little, and of one that says much.
const SMALL: usize = 4 << 10;
const LARGE: usize = 64 << 10;
/// Replies are written when they are longer than this, in the middle of a batch.
const REPLIES: usize = 256 << 10;

pub struct Session {
    pub server: Arc<Server>,
    stream: Arc<TcpStream>,
    pub id: u64,
    pub name: Vec<u8>,
    pub out: Out,
    pub delta: Delta,
    pub tx: Tx,
    subscriptions: Option<Subscriptions>,
    /// The time of this batch.
    pub now: u64,
    /// The client has said QUIT, or will not read.
    pub closing: bool,
}

/// Serves a connection to its end.
pub fn serve(server: Arc<Server>, stream: Arc<TcpStream>, id: u64) {
    let _ = stream.set_read_timeout(server.config.timeout);
    let _ = stream.set_write_timeout(server.config.timeout);
    let mut session = Session {
        server,
        stream,
        id,
        name: Vec::new(),
        out: Out::default(),
        delta: Delta::default(),
        tx: Tx::default(),
        subscriptions: None,
        now: 0,
        closing: false,
    };
    session.run();
    if let Some(subscriptions) = session.subscriptions.take()
        && subscriptions.end(&session.server.broker)
    {
        session.server.stats.cut_off();
    }
}

impl Session {
    fn run(&mut self) {
        let mut input = vec![0; SMALL];
        // What has been read and not run is input[start..end].
        let (mut start, mut end) = (0, 0);
        let mut parser = Parser::default();
        loop {
            self.now = server::now();
            let mut commands = 0;
            while !self.closing {
                match parser.parse(&input[start..end]) {
                    Ok(None) => break,
                    Ok(Some(n)) => {
                        let args = Args::new(&input[start..start + n], parser.words());
                        if args.len() > 0 {
                            self.execute(args);
                            commands += 1;
                        }
                        start += n;
                    }
                    Err(malformed) => {
                        self.out.error(&format!("ERR {malformed}"));
                        self.closing = true;
                    }
                }
                if self.out.len() > REPLIES {
                    self.flush();
                }
            }
            self.server.stats.commands(commands);
            self.flush();
            if self.closing || self.server.stopping() {
                return;
            }
            let filled = end == input.len();
            input.copy_within(start..end, 0);
            end -= start;
            start = 0;
            if end == input.len() || filled && input.len() < LARGE {
                input.resize(input.len() * 2, 0);
            } else if end == 0 && input.len() > LARGE {
                input = vec![0; SMALL];
            }
            match (&*self.stream).read(&mut input[end..]) {
                Ok(0) | Err(_) => return,
                Ok(n) => end += n,
            }
        }
    }

    fn execute(&mut self, args: Args<'_>) {
        let start = self.out.len();
        if let Err(Refused(message)) = self.dispatch(args) {
            self.out.truncate(start);
            self.out.error(&message);
        }
        if take(&mut self.delta.wrote) && self.server.config.fsync == Fsync::Always {
            self.out.mark(start);
        }
    }

    fn dispatch(&mut self, args: Args<'_>) -> Answer {
        let command = commands::find(args).inspect_err(|_| self.tx.spoil())?;
        if self.listens() && !self.out.resp3 {
            match command.name {
                "PING" => {
                    self.out.array(2);
                    self.out.bulk(b"pong");
                    self.out.bulk(if args.len() > 1 { args.get(1) } else { b"" });
                    return Ok(());
                }
                "SUBSCRIBE" | "UNSUBSCRIBE" | "PSUBSCRIBE" | "PUNSUBSCRIBE" | "QUIT" => {}
                name => {
                    let name = name.to_lowercase();
                    return Err(Refused(
                        format!("ERR Can't execute '{name}': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT are allowed in this context").into(),
                    ));
                }
            }
        }
        if self.tx.is_open() && !tx::at_once(command) {
            return tx::queue(self, command, args);
        }
        self.check_log(command)?;
        match command.run {
            Run::Session(f) => f(self, args),
            Run::Data(keys, f) => {
                Store::with(&self.server, &[(keys, args)], self.now, &mut self.delta, |db| {
                    f(db, args, &mut self.out)
                })
            }
        }
    }

    /// Nothing is changed while the log cannot be written.
    pub fn check_log(&self, command: &Command) -> Answer {
        match self.server.log.get() {
            Some(log) if command.writes => log.check().map_err(|e| Refused(e.into())),
            _ => Ok(()),
        }
    }

    /// Sends the replies, once the log allows it.
    pub fn flush(&mut self) {
        if self.out.len() == 0 {
            return;
        }
        if let Some(log) = self.server.log.get()
            && let Err(message) = log.settle()
        {
            self.out.refuse_marked(&message);
        }
        let sent = match &self.subscriptions {
            Some(s) => s.outbox.reply(self.out.bytes()),
            None => (&*self.stream).write_all(self.out.bytes()).is_ok(),
        };
        self.closing |= !sent;
        self.out.clear();
    }

    fn listens(&self) -> bool {
        self.subscriptions.as_ref().is_some_and(|s| s.count() > 0)
    }

    /// HELLO: from the next message on.
    pub fn set_resp3(&mut self, on: bool) {
        self.out.resp3 = on;
        if let Some(s) = &self.subscriptions {
            s.outbox.set_resp3(on);
        }
    }
}

/// SUBSCRIBE, PSUBSCRIBE name ...
pub fn subscribe(session: &mut Session, args: Args<'_>) -> Answer {
    let pattern = matches!(args.get(0)[0], b'P' | b'p');
    // What is due goes out before the first message can.
    session.flush();
    if session.subscriptions.is_none() {
        // From now on this connection may be silent for as long as it likes.
        let _ = session.stream.set_read_timeout(None);
        let limit = session.server.config.pubsub_limit;
        let outbox = Outbox::start(&session.stream, limit, session.out.resp3);
        session.subscriptions = Some(Subscriptions::new(outbox));
    }
    for name in args.from(1) {
        let Some(s) = &mut session.subscriptions else { unreachable!("made above") };
        let new = s.names(pattern).insert(name.to_vec());
        let count = s.count();
        confirm(&mut session.out, if pattern { "psubscribe" } else { "subscribe" }, Some(name), count);
        // The confirmation is in the outbox before anybody can put a message there.
        session.flush();
        if new && let Some(s) = &session.subscriptions {
            session.server.broker.subscribe(pattern, name, &s.outbox);
        }
    }
    Ok(())
}

/// UNSUBSCRIBE, PUNSUBSCRIBE [name ...]: without names, from all.
pub fn unsubscribe(session: &mut Session, args: Args<'_>) -> Answer {
    let pattern = matches!(args.get(0)[0], b'P' | b'p');
    let what = if pattern { "punsubscribe" } else { "unsubscribe" };
    let Some(s) = &mut session.subscriptions else {
        if args.len() == 1 {
            confirm(&mut session.out, what, None, 0);
        }
        args.from(1).for_each(|name| confirm(&mut session.out, what, Some(name), 0));
        return Ok(());
    };
    let names: Vec<Vec<u8>> = match args.len() {
        1 => s.names(pattern).iter().cloned().collect(),
        _ => args.from(1).map(<[u8]>::to_vec).collect(),
    };
    if names.is_empty() {
        confirm(&mut session.out, what, None, s.count());
    }
    for name in names {
        if s.names(pattern).remove(&name) {
            session.server.broker.unsubscribe(pattern, &name, &s.outbox);
        }
        confirm(&mut session.out, what, Some(&name), s.count());
    }
    Ok(())
}

fn confirm(out: &mut Out, what: &str, name: Option<&[u8]>, count: usize) {
    out.push(3);
    out.bulk(what.as_bytes());
    out.bulk_or_null(name);
    out.int(count as i64);
}
