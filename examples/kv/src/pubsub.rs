//! Publish and subscribe: messages that go to whoever listens now, and are not kept.
//!
//! ```text
//!   PUBLISH ─► Broker: who listens? ─► Outbox of each ─► its goroutine ─► socket
//!                                        ▲
//!                     the subscriber's own replies
//! ```
//! A connection writes its replies itself, until it subscribes. From then on others have something to say to its client as
//! well: all goes through an outbox, in one order, and a goroutine takes it from there to the socket.
//!
//! A publisher never waits for a subscriber. One for whom more than `--pubsub-limit` bytes wait is cut off, as Redis does it
//! (client-output-buffer-limit pubsub): the alternatives are memory without end, or one slow reader who stops everybody.
//! The connection's own replies wait for room instead; there it is the client who has asked for more than he takes.

use crate::glob;
use crate::reply::Out;
use gosched::net::TcpStream;
use gosched::sync::{Condvar, Mutex};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::mem::{swap, take};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What waits for a client's socket.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    stream: Arc<TcpStream>,
    limit: usize,
    resp3: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// What the goroutine is writing.
    in_flight: usize,
    /// Nothing is put in any more; the goroutine ends when it has written what there is.
    closed: bool,
    cut_off: bool,
    /// The goroutine has ended.
    ended: bool,
}

impl Outbox {
    /// Starts the goroutine that writes; it ends after `close`, or with the connection.
    pub fn start(stream: &Arc<TcpStream>, limit: usize, resp3: bool) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            stream: stream.clone(),
            limit,
            resp3: AtomicBool::new(resp3),
        });
        let writer = outbox.clone();
        gosched::go!({ writer.write() });
        outbox
    }

    fn write(&self) {
        let mut batch = Vec::new();
        loop {
            let mut waiting =
                self.changed.wait_while(self.waiting.lock(), |w| w.bytes.is_empty() && !w.closed);
            batch.clear();
            swap(&mut batch, &mut waiting.bytes);
            waiting.in_flight = batch.len();
            drop(waiting);
            let written = (&*self.stream).write_all(&batch);
            let mut waiting = self.waiting.lock();
            waiting.in_flight = 0;
            if written.is_err() {
                waiting.closed = true;
                waiting.bytes = Vec::new();
            }
            let done = waiting.closed && waiting.bytes.is_empty();
            waiting.ended = done;
            drop(waiting);
            if done {
                // Whoever reads must hear of it.
                let _ = self.stream.shutdown(std::net::Shutdown::Both);
            }
            self.changed.notify_all();
            if done {
                return;
            }
        }
    }

    /// Puts a message in, or cuts the subscriber off. Never waits.
    fn message(&self, bytes: &[u8]) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return false;
        }
        if waiting.bytes.len() + waiting.in_flight + bytes.len() > self.limit {
            waiting.closed = true;
            waiting.cut_off = true;
            waiting.bytes = Vec::new();
            drop(waiting);
            self.changed.notify_all();
            // Ends the write that does not get on, and the connection's read.
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
            return false;
        }
        let wake = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(bytes);
        drop(waiting);
        if wake {
            self.changed.notify_all();
        }
        true
    }

    /// Puts the connection's own replies in, and parks while there is no room. False where nobody will read them.
    pub fn reply(&self, bytes: &[u8]) -> bool {
        let full = |w: &mut Waiting| !w.closed && w.bytes.len() > self.limit / 2;
        let mut waiting = self.changed.wait_while(self.waiting.lock(), full);
        if waiting.closed {
            return false;
        }
        waiting.bytes.extend_from_slice(bytes);
        drop(waiting);
        self.changed.notify_all();
        true
    }

    pub fn set_resp3(&self, on: bool) {
        self.resp3.store(on, Relaxed);
    }

    /// No more messages. Parks until what waits is written, and tells whether the client was cut off.
    fn close(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        self.changed.notify_all();
        self.changed.wait_while(waiting, |w| !w.ended).cut_off
    }
}

/// Who listens to what.
#[derive(Default)]
pub struct Broker {
    channels: Mutex<HashMap<Vec<u8>, Vec<Arc<Outbox>>>>,
    patterns: Mutex<HashMap<Vec<u8>, Vec<Arc<Outbox>>>>,
}

impl Broker {
    fn table(&self, pattern: bool) -> &Mutex<HashMap<Vec<u8>, Vec<Arc<Outbox>>>> {
        if pattern { &self.patterns } else { &self.channels }
    }

    pub fn subscribe(&self, pattern: bool, name: &[u8], outbox: &Arc<Outbox>) {
        self.table(pattern).lock().entry(name.to_vec()).or_default().push(outbox.clone());
    }

    pub fn unsubscribe(&self, pattern: bool, name: &[u8], outbox: &Arc<Outbox>) {
        let mut table = self.table(pattern).lock();
        if let Some(all) = table.get_mut(name) {
            all.retain(|o| !Arc::ptr_eq(o, outbox));
            if all.is_empty() {
                table.remove(name);
            }
        }
    }

    /// Gives the message to all who listen; returns how many they are.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> i64 {
        let mut reached = 0;
        if let Some(all) = self.channels.lock().get(channel) {
            reached += send(all, &[b"message", channel, message]);
        }
        for (pattern, all) in &*self.patterns.lock() {
            if glob::matches(pattern, channel) {
                reached += send(all, &[b"pmessage", pattern, channel, message]);
            }
        }
        reached
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.channels.lock().len(), self.patterns.lock().len())
    }
}

fn send(to: &[Arc<Outbox>], words: &[&[u8]]) -> i64 {
    let mut encoded = [None, None];
    let mut reached = 0;
    for outbox in to {
        let resp3 = outbox.resp3.load(Relaxed);
        let bytes = encoded[usize::from(resp3)].get_or_insert_with(|| {
            let mut out = Out::default();
            out.resp3 = resp3;
            out.push(words.len());
            words.iter().for_each(|word| out.bulk(word));
            out
        });
        reached += i64::from(outbox.message(bytes.bytes()));
    }
    reached
}

/// What one connection listens to.
pub struct Subscriptions {
    pub outbox: Arc<Outbox>,
    channels: HashSet<Vec<u8>>,
    patterns: HashSet<Vec<u8>>,
}

impl Subscriptions {
    pub fn new(outbox: Arc<Outbox>) -> Subscriptions {
        Subscriptions { outbox, channels: HashSet::new(), patterns: HashSet::new() }
    }

    pub fn names(&mut self, pattern: bool) -> &mut HashSet<Vec<u8>> {
        if pattern { &mut self.patterns } else { &mut self.channels }
    }

    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Listens to nothing any more, and parks until what waits is written. Tells whether the client was cut off.
    pub fn end(mut self, broker: &Broker) -> bool {
        for pattern in [false, true] {
            for name in take(self.names(pattern)) {
                broker.unsubscribe(pattern, &name, &self.outbox);
            }
        }
        self.outbox.close()
    }
}
