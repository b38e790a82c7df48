//! A room: a task that owns its members and what they last said, and does one thing at a time.

use crate::Server;
use crate::history::Kept;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// In a crowd nobody is told who comes and goes: n who come one after the other would be n² frames.
const CROWD: usize = 100;

/// What is said to a room.
pub enum Said {
    Join { id: u64, member: Member },
    Text { id: u64, text: Utf8Bytes },
    Leave { id: u64 },
}

/// Somebody inside: what he is sent, and his end, once.
pub struct Member {
    pub name: String,
    pub mailbox: mpsc::Sender<Utf8Bytes>,
    pub end: Option<oneshot::Sender<CloseFrame>>,
}

impl Member {
    /// Never waits: a client for whom too much waits is dropped.
    fn push(&mut self, text: Utf8Bytes) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.mailbox.try_send(text) {
            self.end(CloseCode::Policy, "too slow: too much waits for this client");
        }
    }

    fn end(&mut self, code: CloseCode, reason: &'static str) {
        if let Some(end) = self.end.take() {
            let _ = end.send(CloseFrame { code, reason: reason.into() });
        }
    }
}

struct Room {
    server: Arc<Server>,
    name: Arc<str>,
    members: HashMap<u64, Member>,
    /// The last messages, with their ids.
    recent: VecDeque<(u64, Utf8Bytes)>,
    /// The next message's id.
    next: u64,
    /// Everybody is sent away, with this.
    closed: Option<(CloseCode, &'static str)>,
}

/// A room's task.
pub async fn run(server: Arc<Server>, name: Arc<str>, mut mailbox: mpsc::Receiver<Said>) {
    let (members, recent, stop) = (HashMap::new(), VecDeque::new(), server.stop.clone());
    let mut room = Room { server, name, members, recent, next: 1, closed: None };
    room.remember().await;
    let mut over = false;
    while !over {
        tokio::select! {
            Some(said) = mailbox.recv() => over = room.hear(said).await,
            _ = stop.cancelled(), if room.closed.is_none() => {
                // What has been said is said.
                while let Ok(said) = mailbox.try_recv() {
                    over |= room.hear(said).await;
                }
                room.close(CloseCode::Away, "the server ends");
            }
        }
    }
}

impl Room {
    /// Begins with what the room has said when it last was.
    async fn remember(&mut self) {
        match self.server.history.load(&self.name).await {
            Ok(messages) => {
                self.next = messages.last().map_or(1, |(id, _)| id + 1);
                self.recent = messages.into_iter().map(|(id, json)| (id, json.into())).collect();
            }
            Err(e) => {
                eprintln!("chat: {:?}: the history cannot be read: {e}", self.name);
                self.close(CloseCode::Error, "the history of this room cannot be read");
            }
        }
    }

    /// True: nobody is inside any more.
    async fn hear(&mut self, said: Said) -> bool {
        match said {
            Said::Join { id, member } => self.join(id, member),
            Said::Text { id, text } => self.text(id, &text).await,
            Said::Leave { id } => {
                if let Some(member) = self.members.remove(&id) {
                    self.tell_of("left", &member.name, self.members.len());
                }
                return self.server.rooms.left(&self.name);
            }
        }
        false
    }

    fn join(&mut self, id: u64, mut member: Member) {
        if let Some((code, reason)) = self.closed {
            return member.end(code, reason);
        }
        let members = self.members.len() + 1;
        self.tell_of("joined", &member.name, members);
        self.recent.iter().for_each(|(_, text)| member.push(text.clone()));
        let welcome = json!({"you": member.name, "room": *self.name, "members": members});
        member.push(welcome.to_string().into());
        self.members.insert(id, member);
    }

    /// Tells the others who has come or gone.
    fn tell_of(&mut self, what: &str, name: &str, members: usize) {
        if members <= CROWD && self.closed.is_none() {
            self.tell(&json!({what: name, "members": members}).to_string().into());
        }
    }

    async fn text(&mut self, id: u64, text: &str) {
        let Some(member) = self.members.get(&id) else { return };
        if self.closed.is_some() {
            return;
        }
        let id = self.next;
        self.next += 1;
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let json = json!({"id": id, "at": at, "from": member.name, "text": text}).to_string();
        let frame: Utf8Bytes = json.clone().into();
        self.tell(&frame);
        self.recent.push_back((id, frame));
        while self.recent.len() > self.server.config.history_length {
            self.recent.pop_front();
        }
        let oldest = self.recent.front().map_or(self.next, |(id, _)| *id);
        self.server.history.keep(Kept { room: self.name.clone(), id, json, oldest }).await;
    }

    fn tell(&mut self, text: &Utf8Bytes) {
        self.members.values_mut().for_each(|member| member.push(text.clone()));
    }

    fn close(&mut self, code: CloseCode, reason: &'static str) {
        self.closed = Some((code, reason));
        self.members.values_mut().for_each(|member| member.end(code, reason));
    }
}
