//! Which rooms there are, and how many are inside.
//!
//! A room's goroutine may end only when nobody can say anything to it any more. So who comes is counted before he knows the
//! room's channel, under the lock, and the count falls when the room itself has read that he has left: at zero nothing is
//! on its way, and under the same lock the room takes itself off the list.
//!
//! ```text
//!   session: sit ── inside + 1 ──► Join ─► Text … ─► drop(seat): Leave ──► room: inside - 1 ─► 0: gone
//! ```

use crate::outbox::Outbox;
use crate::room::{self, Said};
use crate::server::Server;
use gosched::chan::Chan;
use gosched::sync::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tungstenite::Utf8Bytes;

/// So much may wait for a room; then who says something waits for it.
const MAILBOX: usize = 64;

#[derive(Default)]
pub struct Rooms(Mutex<HashMap<Arc<str>, Entry>>);

struct Entry {
    mailbox: Chan<Said>,
    inside: usize,
}

/// A place in a room. Dropping it leaves, also where a session panics.
pub struct Seat {
    mailbox: Chan<Said>,
    id: u64,
}

impl Server {
    /// A seat in the room of this name, which begins now if need be. None: there are too many rooms.
    pub fn sit(self: &Arc<Server>, name: &str) -> Option<Seat> {
        let map = &mut *self.rooms.0.lock();
        let id = self.number();
        if let Some(entry) = map.get_mut(name) {
            entry.inside += 1;
            return Some(Seat { mailbox: entry.mailbox.clone(), id });
        }
        if map.len() >= self.config.rooms {
            return None;
        }
        let (name, mailbox): (Arc<str>, _) = (name.into(), Chan::new(MAILBOX));
        map.insert(name.clone(), Entry { mailbox: mailbox.clone(), inside: 1 });
        let (server, theirs) = (self.clone(), mailbox.clone());
        self.tasks.go(move || room::run(server, name, theirs));
        Some(Seat { mailbox, id })
    }
}

impl Rooms {
    /// One of the room's has left, as the room has read.
    pub fn left(&self, name: &str) {
        if let Some(entry) = self.0.lock().get_mut(name) {
            entry.inside -= 1;
        }
    }

    /// Takes the room off the list, if nobody is inside. True: its goroutine may end.
    pub fn end_if_empty(&self, name: &str) -> bool {
        let map = &mut *self.0.lock();
        let empty = map.get(name).is_none_or(|entry| entry.inside == 0);
        if empty {
            map.remove(name);
        }
        empty
    }

    /// Takes the room off the list in any case: its goroutine has panicked.
    pub fn end(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

impl Seat {
    pub fn join(&self, name: String, outbox: Arc<Outbox>) {
        self.say(Said::Join { id: self.id, name, outbox });
    }

    pub fn text(&self, text: Utf8Bytes) {
        self.say(Said::Text { id: self.id, text });
    }

    /// Waits where too much waits for the room. Nobody listens only where the room's goroutine has panicked.
    fn say(&self, said: Said) {
        let _ = self.mailbox.send_checked(said);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.say(Said::Leave { id: self.id });
    }
}
