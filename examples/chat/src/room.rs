//! A room: a goroutine that owns its members and what they last said, and does one thing at a time.
//!
//! ```text
//!   select!  mailbox    who joins, says something, or leaves          all get the same, in the same order
//!            ticker     who is silent is asked, and dropped at last
//!            ctx.done   the server ends: 1001 to everybody, and to who still comes
//! ```
//! When the last one has left the room ends (rooms.rs); it begins again, with its history, when somebody comes.
//!
//! What a member is sent goes to his outbox, which never makes the room wait.

use crate::outbox::Outbox;
use crate::server::{Server, now};
use crate::wire;
use gosched::chan::{Chan, select};
use gosched::time::Ticker;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Utf8Bytes};

/// In a crowd nobody is told who comes and goes: n who come one after the other would be n² frames.
const CROWD: usize = 100;
/// A member who has been silent for so many times of `--ping` is dropped.
const SILENCE: u32 = 3;

/// What is said to a room.
pub enum Said {
    Join { id: u64, name: String, outbox: Arc<Outbox> },
    Text { id: u64, text: Utf8Bytes },
    Leave { id: u64 },
}

struct Room {
    server: Arc<Server>,
    name: Arc<str>,
    mailbox: Chan<Said>,
    members: HashMap<u64, Member>,
    /// The last messages: ids and frames.
    recent: VecDeque<(u64, Bytes)>,
    /// The next message's id.
    next: u64,
    /// Everybody is sent away, with this.
    closed: Option<(CloseCode, &'static str)>,
}

struct Member {
    name: String,
    outbox: Arc<Outbox>,
}

/// A room's goroutine.
pub fn run(server: Arc<Server>, name: Arc<str>, mailbox: Chan<Said>) {
    let (members, recent) = (HashMap::new(), VecDeque::new());
    let mut room = Room { server, name, mailbox, members, recent, next: 1, closed: None };
    room.remember();
    let ticker = Ticker::new(room.server.config.ping);
    let mut done = room.server.ctx.done();
    loop {
        select! {
            recv(room.mailbox) -> said => said.into_iter().for_each(|said| room.hear(said)),
            recv(ticker.receiver()) -> _ => room.look_round(),
            recv(done) -> _ => {
                done = gosched::chan::never(); // once
                // What has been said is said.
                while let Ok(said) = room.mailbox.try_recv() {
                    room.hear(said);
                }
                room.close(CloseCode::Away, "the server ends");
            },
        }
        if room.members.is_empty() && room.server.rooms.end_if_empty(&room.name) {
            break;
        }
    }
    ticker.stop();
}

impl Room {
    /// Begins with what the room has said when it last was.
    fn remember(&mut self) {
        match self.server.history.load(&self.name) {
            Ok(messages) => {
                self.next = messages.last().map_or(1, |(id, _)| id + 1);
                self.recent = messages.iter().map(|(id, json)| (*id, wire::text(json))).collect();
            }
            // To go on without would be to number from 1 again, and to write over what is there.
            Err(e) => {
                say!("{:?}: the history cannot be read: {e}", self.name);
                self.close(CloseCode::Error, "the history of this room cannot be read");
            }
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Join { id, name, outbox } => self.join(id, name, outbox),
            Said::Text { id, text } => self.text(id, &text),
            Said::Leave { id } => {
                self.server.rooms.left(&self.name);
                if let Some(member) = self.members.remove(&id) {
                    self.tell_of("left", &member.name, self.members.len());
                }
            }
        }
    }

    fn join(&mut self, id: u64, name: String, outbox: Arc<Outbox>) {
        if let Some((code, reason)) = self.closed {
            // Kept all the same: he has to leave.
            outbox.close(code, reason);
        } else {
            let members = self.members.len() + 1;
            self.tell_of("joined", &name, members);
            let recent: Vec<&[u8]> = self.recent.iter().map(|(_, frame)| &frame[..]).collect();
            outbox.push_history(recent.concat().into());
            let welcome = json!({"you": name, "room": *self.name, "members": members});
            outbox.push(wire::text(&welcome.to_string()));
        }
        self.members.insert(id, Member { name, outbox });
    }

    /// Tells the others who has come or gone.
    fn tell_of(&self, what: &str, name: &str, members: usize) {
        if members <= CROWD && self.closed.is_none() {
            self.tell(&wire::text(&json!({what: name, "members": members}).to_string()));
        }
    }

    fn text(&mut self, id: u64, text: &str) {
        let Some(member) = self.members.get(&id) else { return };
        if self.closed.is_some() {
            return;
        }
        let id = self.next;
        self.next += 1;
        let json = json!({"id": id, "at": now(), "from": member.name, "text": text}).to_string();
        let frame = wire::text(&json);
        self.tell(&frame);
        self.recent.push_back((id, frame));
        while self.recent.len() > self.server.config.history_length {
            self.recent.pop_front();
        }
        let oldest = self.recent.front().map_or(self.next, |(id, _)| *id);
        self.server.history.keep(&self.name, id, json, oldest);
    }

    fn tell(&self, frame: &Bytes) {
        self.members.values().for_each(|member| member.outbox.push(frame.clone()));
    }

    fn look_round(&self) {
        let (asked, ping) = (self.server.config.ping, wire::ping());
        for Member { outbox, .. } in self.members.values() {
            let silent = outbox.silent();
            if silent >= asked * SILENCE {
                outbox.close(CloseCode::Policy, "silent: no answer to pings");
            } else if silent >= asked {
                outbox.push(ping.clone());
            }
        }
    }

    fn close(&mut self, code: CloseCode, reason: &'static str) {
        self.closed = Some((code, reason));
        self.members.values().for_each(|member| member.outbox.close(code, reason));
    }
}

impl Drop for Room {
    /// Where it ends in order nobody is left. Where it has panicked, nobody shall wait for it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.server.rooms.end(&self.name);
            self.mailbox.close();
            self.close(CloseCode::Error, "the room has failed");
        }
    }
}
