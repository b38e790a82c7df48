//! The goroutine that writes the log.
//!
//! ```text
//!   a round:  wait for work
//!             take what is pending             and what is for the new file, at the same moment
//!             commit: write, sync, publish     again and again while the disk refuses
//!             one step of a rewrite, if there is one (rewrite.rs)
//! ```
//! `len` is where the next batch goes. With `always` it moves on only when the batch is written and synced: after an
//! error the whole batch is written again, because a failed fdatasync may have dropped the pages that it was to write.
//! (Otherwise bytes that were written count as kept, as far as the policy goes, and only the sync is repeated.)

use super::Log;
use super::file::{self, HEADER};
use super::rewrite::Rewrite;
use crate::config::Fsync;
use crate::server::Server;
use gosched::fs::File;
use std::io;
use std::mem::{replace, swap, take};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the disk is left alone after it has refused.
const RETRY: Duration = Duration::from_millis(100);
/// What `everysec` means.
const SECOND: Duration = Duration::from_secs(1);

pub struct Writer {
    pub(super) server: Arc<Server>,
    pub(super) log: Arc<Log>,
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) len: u64,
    /// The length when the log was last new.
    pub(super) base: u64,
    batch: Vec<u8>,
    /// Something is written that is not synced (not with `always`), and when it last was.
    pub(super) unsynced: bool,
    synced_at: Instant,
    /// The file's name is not known to be on disk.
    pub(super) dir_unsynced: bool,
    pub(super) rewrite: Option<Rewrite>,
}

impl Writer {
    pub fn new(server: Arc<Server>, log: Arc<Log>, file: File, path: &Path, len: u64) -> Writer {
        let mut state = log.state.lock();
        state.status.size = len;
        state.status.base = len;
        drop(state);
        Writer {
            server,
            log,
            file,
            path: path.into(),
            len,
            base: len,
            batch: file::empty_batch(),
            unsynced: false,
            synced_at: Instant::now(),
            dir_unsynced: false,
            rewrite: None,
        }
    }

    pub fn run(mut self) {
        loop {
            // Whoever is about to append does so first, and is in this batch.
            gosched::yield_now();
            let Some((upto, next, closing)) = self.take() else { break };
            if !self.commit(upto, closing) {
                break;
            }
            self.step(next, closing);
        }
        let mut state = self.log.state.lock();
        state.closed = true;
        drop(state);
        self.log.done.notify_all();
    }

    /// Waits for work, and takes it: how far the batch goes, what is for the new file, and whether this is the end. None:
    /// there is nothing left to do, ever.
    fn take(&mut self) -> Option<(u64, Option<Vec<u8>>, bool)> {
        let log = self.log.clone();
        let mut state = log.state.lock();
        loop {
            let idle = state.pending.len() == HEADER;
            if !idle || state.rewrite_wanted && !state.closing || self.rewrite.is_some() {
                break;
            }
            if state.closing {
                if !self.unsynced {
                    return None;
                }
                break;
            }
            state.sleeping = true;
            if self.log.fsync == Fsync::EverySecond && self.unsynced {
                let left = SECOND.saturating_sub(self.synced_at.elapsed());
                if left.is_zero() {
                    break;
                }
                (state, _) = self.log.work.wait_timeout(state, left);
            } else {
                state = self.log.work.wait(state);
            }
        }
        state.sleeping = false;
        swap(&mut state.pending, &mut self.batch);
        let next = state.next.as_mut().map(|next| replace(next, file::empty_batch()));
        // All that was appended and is not settled is in the batch.
        let (upto, closing) = (state.appended, state.closing);
        let begin = self.rewrite.is_none() && !closing && take(&mut state.rewrite_wanted);
        drop(state);
        if begin {
            self.begin_rewrite();
        }
        Some((upto, next, closing))
    }

    /// Brings the batch to disk, however long it takes. False: it cannot be done, and the server is about to end.
    fn commit(&mut self, upto: u64, mut closing: bool) -> bool {
        if self.batch.len() > HEADER {
            file::seal(&mut self.batch);
        }
        loop {
            let tried = self.try_commit(closing);
            let log = self.log.clone();
            let mut state = log.state.lock();
            state.status.size = self.len;
            match tried {
                Ok(synced) => {
                    state.status.fsyncs += u64::from(synced);
                    state.settled = upto;
                    // Release: pairs with the Acquire in `settle`.
                    log.settled.store(upto, Ordering::Release);
                    if state.broken.take().is_some() {
                        log.broken.store(false, Ordering::Relaxed);
                        say!("the log can be written again");
                    }
                    drop(state);
                    log.done.notify_all();
                    return true;
                }
                Err(e) => {
                    if state.broken.replace(e.to_string()).is_none() {
                        say!("the log cannot be written: {e}");
                    }
                    log.broken.store(true, Ordering::Relaxed);
                    drop(state);
                    log.done.notify_all();
                    // What was written of the batch. If this fails as well, the next attempt writes over it.
                    let _ = self.file.set_len(self.len);
                    if closing {
                        return false;
                    }
                    // There is no event for a disk that has room again.
                    let state = log.state.lock();
                    closing = log.work.wait_timeout_while(state, RETRY, |s| !s.closing).0.closing;
                }
            }
        }
    }

    /// Writes and syncs what is due. Tells whether it has synced.
    fn try_commit(&mut self, closing: bool) -> io::Result<bool> {
        let fsync = if closing { Fsync::Always } else { self.log.fsync };
        let wrote = self.batch.len() > HEADER;
        if wrote {
            self.file.write_all_at(&self.batch, self.len)?;
        }
        if self.dir_unsynced && fsync != Fsync::No {
            file::sync_dir(&self.path)?;
            self.dir_unsynced = false;
        }
        let due = match fsync {
            Fsync::Always => wrote || self.unsynced,
            Fsync::EverySecond => self.synced_at.elapsed() >= SECOND && (wrote || self.unsynced),
            Fsync::No => false,
        };
        if due && fsync == Fsync::Always {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        if wrote {
            self.len += self.batch.len() as u64;
            self.batch.truncate(HEADER);
            self.batch.shrink_to(1 << 20);
            self.unsynced |= fsync != Fsync::Always;
        }
        if due && fsync == Fsync::EverySecond {
            self.file.sync_data()?;
            self.unsynced = false;
            self.synced_at = Instant::now();
        }
        Ok(due)
    }
}
