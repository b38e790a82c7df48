//! A shard: one part of the keys, under one lock.
//!
//! A key's hash chooses the shard and the place in it; it is computed once. `volatile` counts the entries that end by
//! themselves, so that nobody looks for them where there are none. Once somebody has watched a key of a shard, every
//! change there gives its entry a new version, which is what WATCH compares.

use hashbrown::HashTable;
use std::collections::{HashMap, VecDeque};

/// When an entry ends that does not.
pub const NEVER: u64 = u64::MAX;

/// What a key can have.
pub enum Value {
    Str(Vec<u8>),
    List(VecDeque<Vec<u8>>),
    Hash(HashMap<Vec<u8>, Vec<u8>>),
}

pub struct Entry {
    hash: u64,
    pub key: Box<[u8]>,
    pub value: Value,
    /// In milliseconds since 1970, or [`NEVER`]. Written by [`Shard::set_expiry`] alone.
    expires: u64,
    version: u64,
}

impl Entry {
    pub fn expires(&self) -> u64 {
        self.expires
    }
}

#[derive(Default)]
pub struct Shard {
    table: HashTable<Entry>,
    volatile: usize,
    versions: u64,
    /// Somebody has asked for a version: from now on changes make new ones.
    watched: bool,
    /// Where [`Shard::look_for_due`] goes on.
    cursor: usize,
    /// The log's new file has what was in here, and takes what is done to it (log/rewrite.rs).
    pub moved: bool,
}

impl Shard {
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn volatile(&self) -> usize {
        self.volatile
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.table.find(hash, |e| *e.key == *key)
    }

    /// For a change, which `touch` follows.
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        self.table.find_mut(hash, |e| *e.key == *key)
    }

    /// The key was changed.
    pub fn touch(&mut self, hash: u64, key: &[u8]) {
        if !self.watched {
            return;
        }
        self.versions += 1;
        let version = self.versions;
        if let Some(entry) = self.get_mut(hash, key) {
            entry.version = version;
        }
    }

    /// Puts in a key that is not there.
    pub fn insert(&mut self, hash: u64, key: &[u8], value: Value) -> &mut Entry {
        self.versions += 1;
        let entry = Entry { hash, key: key.into(), value, expires: NEVER, version: self.versions };
        self.table.insert_unique(hash, entry, |e| e.hash).into_mut()
    }

    pub fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        let Ok(entry) = self.table.find_entry(hash, |e| *e.key == *key) else { return false };
        let (entry, _) = entry.remove();
        self.volatile -= usize::from(entry.expires != NEVER);
        if self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.len() * 2, |e| e.hash);
        }
        true
    }

    pub fn set_expiry(&mut self, hash: u64, key: &[u8], at: u64) {
        if let Some(entry) = self.get_mut(hash, key) {
            let before = std::mem::replace(&mut entry.expires, at);
            self.volatile += usize::from(at != NEVER);
            self.volatile -= usize::from(before != NEVER);
        }
    }

    /// 0 for a key that is not there. One that goes and comes back has another version.
    pub fn version(&mut self, hash: u64, key: &[u8]) -> u64 {
        self.watched = true;
        self.get(hash, key).map_or(0, |e| e.version)
    }

    pub fn clear(&mut self) {
        self.table = HashTable::new();
        self.volatile = 0;
    }

    /// Looks at the next `places` places of the table, going round. Gives the keys that are due, and how many of those
    /// seen will be some time.
    pub fn look_for_due(&mut self, places: usize, now: u64) -> (Vec<Box<[u8]>>, usize) {
        let (mut due, mut seen) = (Vec::new(), 0);
        // At least as many places as the table has: each takes an entry's bytes and one more. (The capacity would not do: it
        // shrinks with every removal that leaves a mark behind.)
        let all = self.table.allocation_size() / (size_of::<Entry>() + 1) + 1;
        for _ in 0..places.min(all) {
            if let Some(entry) = self.table.get_bucket(self.cursor).filter(|e| e.expires != NEVER) {
                seen += 1;
                if entry.expires <= now {
                    due.push(entry.key.clone());
                }
            }
            self.cursor = if self.cursor + 1 < all { self.cursor + 1 } else { 0 };
        }
        (due, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_a_table_that_was_full_once() {
        let hash = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 1..600 {
            let mut shard = Shard::default();
            for i in 0..n {
                let key = i.to_string().into_bytes();
                shard.insert(hash(i), &key, Value::Str(Vec::new()));
                shard.set_expiry(hash(i), &key, 10);
            }
            // The last one must be found among what the others leave.
            while shard.len() > 0 {
                let (due, _) = shard.look_for_due(usize::MAX, 10);
                assert_eq!(due.len(), shard.len(), "of {n}");
                for key in due.iter().take(shard.len().div_ceil(2)) {
                    shard.remove(hash(str::from_utf8(key).unwrap().parse().unwrap()), key);
                }
            }
        }
    }

    #[test]
    fn volatile_counts_what_ends_and_every_due_key_is_found() {
        let mut shard = Shard::default();
        let hash = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let key = |i: usize| i.to_string().into_bytes();
        for i in 0..1_000 {
            shard.insert(hash(i), &key(i), Value::Str(Vec::new()));
            if i % 2 == 0 {
                shard.set_expiry(hash(i), &key(i), if i % 4 == 0 { 10 } else { 20 });
            }
        }
        assert_eq!((shard.len(), shard.volatile()), (1_000, 500));
        let (mut found, mut rounds) = (0, 0);
        while found < 250 {
            let (due, seen) = shard.look_for_due(64, 10);
            assert!(seen >= due.len());
            for key in due {
                assert!(shard.remove(hash(str::from_utf8(&key).unwrap().parse().unwrap()), &key));
                found += 1;
            }
            rounds += 1;
            assert!(rounds < 1_000, "found {found}");
        }
        assert_eq!((shard.len(), shard.volatile()), (750, 250));
        for i in 0..1_000 {
            shard.set_expiry(hash(i), &key(i), NEVER);
        }
        assert_eq!(shard.volatile(), 0);
        assert_eq!((0..1_000).filter(|&i| shard.remove(hash(i), &key(i))).count(), 750);
        assert!(shard.len() == 0 && shard.table.capacity() < 100);
    }
}
