//! Which rooms there are, and how many are inside.
//!
//! A room's task may end only when nobody can say anything to it any more: who comes is counted before he knows the room's
//! channel, and the room itself counts him out when it has read that he has left.

use crate::Server;
use crate::room::{self, Member, Said};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// So much may wait for a room; then who says something waits for it.
const MAILBOX: usize = 64;

#[derive(Default)]
pub struct Rooms(Mutex<HashMap<Arc<str>, Entry>>);

struct Entry {
    mailbox: mpsc::Sender<Said>,
    inside: usize,
}

/// A place in a room. It must be left.
pub struct Seat {
    mailbox: mpsc::Sender<Said>,
    id: u64,
}

impl Server {
    /// A seat in the room of this name, which begins now if need be. None: there are too many rooms.
    pub fn sit(self: &Arc<Server>, name: &str) -> Option<Seat> {
        let map = &mut *self.rooms.0.lock().unwrap();
        let id = self.last.fetch_add(1, Relaxed);
        if let Some(entry) = map.get_mut(name) {
            entry.inside += 1;
            return Some(Seat { mailbox: entry.mailbox.clone(), id });
        }
        if map.len() >= self.config.rooms {
            return None;
        }
        let (name, (mailbox, theirs)): (Arc<str>, _) = (name.into(), mpsc::channel(MAILBOX));
        map.insert(name.clone(), Entry { mailbox: mailbox.clone(), inside: 1 });
        self.tasks.spawn(room::run(self.clone(), name, theirs));
        Some(Seat { mailbox, id })
    }
}

impl Rooms {
    /// One has left. True: nobody is inside any more, and the room is off the list.
    pub fn left(&self, name: &str) -> bool {
        let map = &mut *self.0.lock().unwrap();
        let Some(entry) = map.get_mut(name) else { return true };
        entry.inside -= 1;
        let empty = entry.inside == 0;
        if empty {
            map.remove(name);
        }
        empty
    }
}

impl Seat {
    pub async fn join(&self, member: Member) {
        self.say(Said::Join { id: self.id, member }).await;
    }

    pub async fn text(&self, text: Utf8Bytes) {
        self.say(Said::Text { id: self.id, text }).await;
    }

    pub async fn leave(self) {
        self.say(Said::Leave { id: self.id }).await;
    }

    /// Waits where too much waits for the room. Nobody listens only where the room's task has panicked.
    async fn say(&self, said: Said) {
        let _ = self.mailbox.send(said).await;
    }
}
