//! The log, written anew: what there is, in the place of how it came about.
//!
//! Shard by shard, between the batches, and without stopping anybody for longer than one shard takes:
//!
//! ```text
//!   the shard's lock:  its entries, as commands, go into `next`; it is `moved`
//!   from then on:      what is done to it is appended to `pending`, for the old file, and to `next`
//!   each round:        takes both at the same moment; pending goes to the old file, next to the new one
//!   all moved, and `next` written: the two files say the same.
//!                      Sync the new one, give it the old one's name, go on in it.
//! ```
//! What is done to a shard that has not moved yet is in the old file alone, and in memory, from where it comes with the
//! rest of its shard. A crash leaves the old file, which has everything, and a new one, which the next start removes. If
//! anything fails the new file is given up.

use super::file::{self, HEADER};
use super::writer::Writer;
use crate::reply::{bulk, header};
use crate::shard::{Entry, NEVER, Value};
use crate::store::SHARDS;
use gosched::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A command of the new file has about so many bytes at most, if a single value has not more.
const PART: usize = 1 << 20;

pub struct Rewrite {
    file: File,
    path: PathBuf,
    len: u64,
    /// Those before have moved.
    shard: usize,
}

fn name(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Removes what a crash has left.
pub fn clean_up(log: &Path) -> io::Result<()> {
    match fs::remove_file(name(log)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

impl Writer {
    pub(super) fn begin_rewrite(&mut self) {
        let path = name(&self.path);
        let (file, len) = match file::create(&path) {
            Ok(new) => new,
            Err(e) => return self.gave_up(&e),
        };
        // First nobody has moved, then there is somewhere to move to.
        (0..SHARDS).for_each(|i| self.server.store.lock_shard(i).moved = false);
        let mut state = self.log.state.lock();
        state.next = Some(file::empty_batch());
        state.status.rewriting = true;
        drop(state);
        self.rewrite = Some(Rewrite { file, path, len, shard: 0 });
    }

    /// Goes on with the rewrite, or begins one where it is time. `next`: what this round took for the new file.
    pub(super) fn step(&mut self, next: Option<Vec<u8>>, closing: bool) {
        let Some(mut rewrite) = self.rewrite.take() else {
            if self.len > self.server.config.rewrite_min && self.len / 2 > self.base {
                self.log.state.lock().rewrite_wanted = true;
            }
            return;
        };
        // The old file has everything.
        let stepped = if closing {
            Err(io::Error::other("the server stops"))
        } else {
            self.advance(&mut rewrite, next)
        };
        match stepped {
            Ok(false) => self.rewrite = Some(rewrite),
            Ok(true) => self.adopt(rewrite),
            Err(e) => {
                self.end_of_rewrite();
                let _ = fs::remove_file(&rewrite.path);
                self.gave_up(&e);
            }
        }
    }

    /// True: the new file has its name.
    fn advance(&mut self, rewrite: &mut Rewrite, next: Option<Vec<u8>>) -> io::Result<bool> {
        if let Some(mut batch) = next.filter(|batch| batch.len() > HEADER) {
            file::seal(&mut batch);
            rewrite.file.write_all_at(&batch, rewrite.len)?;
            rewrite.len += batch.len() as u64;
        }
        if rewrite.shard == SHARDS {
            rewrite.file.sync_all()?;
            fs::rename(&rewrite.path, &self.path)?;
            return Ok(true);
        }
        let mut shard = self.server.store.lock_shard(rewrite.shard);
        let mut commands = Vec::new();
        shard.iter().for_each(|entry| write_entry(&mut commands, entry));
        shard.moved = true;
        if let Some(next) = &mut self.log.state.lock().next {
            next.extend_from_slice(&commands);
        }
        drop(shard);
        rewrite.shard += 1;
        Ok(false)
    }

    /// What was appended since this round took both is still pending, and goes into the new file from there.
    fn adopt(&mut self, new: Rewrite) {
        say!("the log was written anew: {} bytes, of {}", new.len, self.len);
        self.file = new.file;
        self.len = new.len;
        self.base = new.len;
        self.unsynced = false;
        // Until then a crash may bring the old file back: no later batch counts as kept (writer.rs).
        self.dir_unsynced = file::sync_dir(&self.path).is_err();
        self.end_of_rewrite();
        let mut state = self.log.state.lock();
        state.status.size = self.len;
        state.status.base = self.base;
        state.status.rewrites += 1;
    }

    fn end_of_rewrite(&mut self) {
        let mut state = self.log.state.lock();
        state.next = None;
        state.status.rewriting = false;
    }

    fn gave_up(&mut self, e: &io::Error) {
        say!("the log was not written anew: {e}");
        // Not again before it has doubled once more.
        self.base = self.len;
    }
}

/// The commands that make an entry.
fn write_entry(to: &mut Vec<u8>, entry: &Entry) {
    let key = &entry.key;
    match &entry.value {
        Value::Str(s) => command(to, &[b"SET", key, s]),
        Value::List(list) => in_parts(to, b"RPUSH", key, list.iter().map(|value| [value.as_slice()])),
        Value::Hash(hash) => {
            in_parts(to, b"HSET", key, hash.iter().map(|(f, v)| [f.as_slice(), v.as_slice()]));
        }
    }
    if entry.expires() != NEVER {
        command(to, &[b"PEXPIREAT", key, entry.expires().to_string().as_bytes()]);
    }
}

fn in_parts<'a, const N: usize>(
    to: &mut Vec<u8>,
    name: &[u8],
    key: &[u8],
    items: impl Iterator<Item = [&'a [u8]; N]>,
) {
    let (mut words, mut bytes) = (vec![name, key], 0);
    for item in items {
        bytes += item.iter().map(|word| word.len() + 16).sum::<usize>();
        words.extend(item);
        if bytes > PART {
            command(to, &words);
            words.truncate(2);
            bytes = 0;
        }
    }
    if words.len() > 2 {
        command(to, &words);
    }
}

fn command(to: &mut Vec<u8>, words: &[&[u8]]) {
    header(to, b'*', words.len() as i64);
    words.iter().for_each(|word| bulk(to, word));
}
