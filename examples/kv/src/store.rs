//! The keys, in shards, and the right to work on some of them.
//!
//! ```text
//!   a connection's goroutine:  lock the shards of the command's keys, in the order of their numbers
//!                              work on them; what is to be logged gathers in the Delta
//!                              hand the Delta to the log, still locked: the log has each key's changes in their order
//!                              unlock
//! ```
//!
//! ## Locks, and not a goroutine for each shard
//! A shard could belong to a goroutine that gets commands over a channel. A command takes a few dozen nanoseconds once its
//! shard is at hand; a message there and back costs several times that, and a pipeline of sixteen keys has up to sixteen
//! shards, so batching divides little. The lock costs 21 instructions where nobody else wants it, and with many more
//! shards than Ps hardly anybody does. It also makes a transaction simple: whoever has all the locks is alone. So
//! goroutines are here for connections, which wait, and locks are for memory, which does not.
//!
//! Nobody parks with a shard locked, except for the log's lock, which is held for a copy of bytes. The order, for all:
//! shards by number, then the log's; the subscribers' come last.
//!
//! ## Time
//! A key that is due is gone for whoever looks (`expire_if_due`), and goes into the log as a DEL at that moment. So a
//! log that is replayed needs no clock: it removes what was removed, at the same place among the other commands.

use crate::log::Log;
use crate::reply::{bulk, header};
use crate::request::Args;
use crate::server::Server;
use crate::shard::{Entry, NEVER, Shard, Value};
use gosched::sync::{Mutex, MutexGuard};
use std::hash::{BuildHasher, RandomState};

/// Many more than Ps.
pub const SHARDS: usize = 64;

/// On cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line(Mutex<Shard>);

pub struct Store {
    shards: Box<[Line]>,
    /// Keyed at random: nobody outside can choose keys that meet in one place.
    hasher: RandomState,
}

/// What a command, or a whole transaction, adds to the log. Each connection has one and uses it again and again.
#[derive(Default)]
pub struct Delta {
    pub all: Vec<u8>,
    /// Of this, what goes into the new file as well, while the log is being rewritten.
    pub moved: Vec<u8>,
    /// The log has taken something since somebody last looked here.
    pub wrote: bool,
}

/// Which keys a command locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    None,
    /// The word after the command's name.
    First,
    /// All words after it.
    Rest,
    /// Every other one.
    Pairs,
    /// Every key there is.
    Whole,
}

enum Held<'a> {
    One(usize, MutexGuard<'a, Shard>),
    /// Sorted.
    Many(Vec<(usize, MutexGuard<'a, Shard>)>),
}

/// The keys that are locked for somebody. Asking for another key is a bug, and panics.
pub struct Db<'a> {
    pub server: &'a Server,
    held: Held<'a>,
    delta: &'a mut Delta,
    log: Option<&'a Log>,
    /// Milliseconds since 1970; 0 during a replay, when nothing is due.
    pub now: u64,
}

impl Store {
    pub fn new() -> Store {
        Store { shards: (0..SHARDS).map(|_| Line::default()).collect(), hasher: RandomState::new() }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    pub fn lock_shard(&self, i: usize) -> MutexGuard<'_, Shard> {
        self.shards[i].0.lock()
    }

    /// Locks what `commands` name, and calls `f` with it. The log has what `f` changed before anybody else sees it.
    pub fn with<'a, R>(
        server: &'a Server,
        commands: &[(Keys, Args<'_>)],
        now: u64,
        delta: &'a mut Delta,
        f: impl FnOnce(&mut Db<'_>) -> R,
    ) -> R {
        let store = &server.store;
        let held = match commands {
            [(Keys::First, args)] => {
                let i = index(store.hash(args.get(1)));
                Held::One(i, store.lock_shard(i))
            }
            _ => {
                // A set of shards in a word.
                let mut wanted = 0u64;
                for (keys, args) in commands {
                    match keys {
                        Keys::None => {}
                        Keys::First => wanted |= 1 << index(store.hash(args.get(1))),
                        Keys::Rest => args.from(1).for_each(|k| wanted |= 1 << index(store.hash(k))),
                        Keys::Pairs => {
                            args.from(1).step_by(2).for_each(|k| wanted |= 1 << index(store.hash(k)));
                        }
                        Keys::Whole => wanted = u64::MAX,
                    }
                }
                let wanted = (0..SHARDS).filter(|i| wanted & 1 << i != 0);
                Held::Many(wanted.map(|i| (i, store.lock_shard(i))).collect())
            }
        };
        let mut db = Db { server, held, delta, log: server.log.get().map(|l| &**l), now };
        let r = f(&mut db);
        if let Some(log) = db.log
            && !db.delta.all.is_empty()
        {
            log.append(db.delta);
        }
        r
    }
}

/// The shard of a hash. The table inside uses the lowest and the highest bits.
fn index(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl Db<'_> {
    fn shard(&mut self, hash: u64) -> &mut Shard {
        let i = index(hash);
        match &mut self.held {
            Held::One(held, shard) => {
                assert_eq!(*held, i, "a key that is not locked");
                shard
            }
            Held::Many(all) => {
                let at = all.binary_search_by_key(&i, |(i, _)| *i).expect("a key that is locked");
                &mut all[at].1
            }
        }
    }

    /// Every shard that is held.
    pub fn shards(&mut self) -> impl Iterator<Item = &mut Shard> {
        let (one, many) = match &mut self.held {
            Held::One(_, shard) => (Some(&mut **shard), None),
            Held::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(_, shard)| &mut **shard))
    }

    fn expire_if_due(&mut self, hash: u64, key: &[u8]) {
        let now = self.now;
        let shard = self.shard(hash);
        if shard.volatile() == 0 || shard.get(hash, key).is_none_or(|e| e.expires() > now) {
            return;
        }
        shard.remove(hash, key);
        self.server.stats.expired();
        self.log(key, &[b"DEL", key]);
    }

    pub fn get(&mut self, key: &[u8]) -> Option<&Entry> {
        let hash = self.server.store.hash(key);
        self.expire_if_due(hash, key);
        self.shard(hash).get(hash, key)
    }

    /// For a change.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let hash = self.server.store.hash(key);
        self.expire_if_due(hash, key);
        self.shard(hash).get_mut(hash, key)
    }

    /// For a change; `new` where there is none.
    pub fn get_or_insert(&mut self, key: &[u8], new: impl FnOnce() -> Value) -> &mut Entry {
        let hash = self.server.store.hash(key);
        self.expire_if_due(hash, key);
        let shard = self.shard(hash);
        if shard.get(hash, key).is_none() {
            return shard.insert(hash, key, new());
        }
        shard.get_mut(hash, key).expect("just seen")
    }

    /// Sets a string and when it ends.
    pub fn set(&mut self, key: &[u8], value: &[u8], expires: u64) {
        let hash = self.server.store.hash(key);
        let shard = self.shard(hash);
        let Some(entry) = shard.get_mut(hash, key) else {
            shard.insert(hash, key, Value::Str(value.to_vec()));
            if expires != NEVER {
                shard.set_expiry(hash, key, expires);
            }
            return;
        };
        match &mut entry.value {
            // The memory that it has will do, if it is not much too large.
            Value::Str(old) if (value.len()..=2 * value.len() + 64).contains(&old.capacity()) => {
                old.clear();
                old.extend_from_slice(value);
            }
            other => *other = Value::Str(value.to_vec()),
        }
        if entry.expires() != expires {
            shard.set_expiry(hash, key, expires);
        }
    }

    pub fn set_expiry(&mut self, key: &[u8], at: u64) {
        let hash = self.server.store.hash(key);
        self.shard(hash).set_expiry(hash, key, at);
    }

    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.server.store.hash(key);
        self.expire_if_due(hash, key);
        self.shard(hash).remove(hash, key)
    }

    pub fn version(&mut self, key: &[u8]) -> u64 {
        let hash = self.server.store.hash(key);
        self.expire_if_due(hash, key);
        self.shard(hash).version(hash, key)
    }

    /// Every change of a key comes here: for those who watch it, and for the log, as a command whose replay does the same.
    pub fn log(&mut self, key: &[u8], words: &[&[u8]]) {
        self.log_words(key, words.len(), words.iter().copied());
    }

    /// The command as it came.
    pub fn log_request(&mut self, args: Args<'_>) {
        self.log_words(args.get(1), args.len(), args.iter());
    }

    fn log_words<'w>(&mut self, key: &[u8], n: usize, words: impl Iterator<Item = &'w [u8]>) {
        let hash = self.server.store.hash(key);
        let shard = self.shard(hash);
        shard.touch(hash, key);
        let moved = shard.moved;
        if self.log.is_some() {
            self.encode(n, words, moved);
        }
    }

    /// A change of all keys. (In a new file as well, if there is one: who is not in there yet will come empty.)
    pub fn log_for_all(&mut self, word: &[u8]) {
        if self.log.is_some() {
            self.encode(1, [word].into_iter(), true);
        }
    }

    fn encode<'w>(&mut self, n: usize, words: impl Iterator<Item = &'w [u8]>, moved: bool) {
        let start = self.delta.all.len();
        header(&mut self.delta.all, b'*', n as i64);
        words.for_each(|word| bulk(&mut self.delta.all, word));
        if moved {
            self.delta.moved.extend_from_slice(&self.delta.all[start..]);
        }
    }
}
