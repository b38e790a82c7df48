//! The pool: the stack slots that no P has.
//!
//! ```text
//!   slots:   0 ─────────────── fresh ──────────── committed ───────────► end of the slab
//!            in use, cached      usable, guarded,    address space only
//!            or in the pool      never used
//! ```
//! Single slots are used last in, first out; clean ones when no dirty one is left. After a burst many dirty ones lie there
//! that nobody needs: `age` gives the pages of those back that were not used since it was last called.

use crate::slab::{self, page, slot_addr, slots, stride};
use crate::slotset::{SlotSet, SlotStack};
use crate::sys::faults::Point;
use crate::sys::mem;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;

/// Everything in it is guarded by its lock.
pub(crate) struct Pool {
    /// First slot never used.
    fresh: usize,
    /// First slot not committed and guarded yet.
    committed: usize,
    /// Single slots that were used, last in first out.
    dirty: SlotStack,
    /// The fewest there were in `dirty` since the last `age`: as many, from the bottom, have not been used since.
    low: usize,
    /// Single slots that were used and hold no memory any more.
    clean: SlotSet,
    /// Runs of slots by their number, clean.
    large: BTreeMap<u32, Vec<u32>>,
    /// Slots to commit next time; grows with the burst.
    chunk: usize,
}

pub(crate) static POOL: Mutex<Pool> = Mutex::new(Pool {
    fresh: 0,
    committed: 0,
    dirty: SlotStack::none(),
    low: 0,
    clean: SlotSet::none(),
    large: BTreeMap::new(),
    chunk: 16,
});

/// Makes room for what the pool will hold, once, after the slab.
///
/// # Panics
/// Where there is no memory for it.
pub(crate) fn init() {
    let pool = &mut *POOL.lock();
    pool.dirty = SlotStack::new(slots()).expect("gosched: no address space for the stack pool");
    pool.clean = SlotSet::new(slots()).expect("gosched: no address space for the stack pool");
}

impl Pool {
    /// Makes slots usable until `end` is committed.
    fn commit_to(&mut self, end: usize) -> io::Result<()> {
        if end <= self.committed {
            return Ok(());
        }
        let cap = slots().min(mem::max_guards().unwrap_or(usize::MAX));
        let end = end.max((self.committed + self.chunk).min(cap));
        if end > cap {
            let why = if cap == slots() { "address space" } else { "memory mappings (vm.max_map_count)" };
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!("out of goroutine stacks: {cap} are in use, no {why} for more"),
            ));
        }
        let (page, size) = (page(), stride());
        let first = slot_addr(self.committed as u32);
        let count = end - self.committed;
        // SAFETY: these slots are reserved and not in use yet; page-aligned.
        unsafe {
            mem::commit(Point::Commit, first, count * size)?;
            mem::guard(first, size, count, page)?;
        }
        self.committed = end;
        self.chunk = (self.chunk * 2).min(1024);
        Ok(())
    }

    /// A slot that was used before, a warm one if there is any.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let slot = self.dirty.pop();
        self.low = self.low.min(self.dirty.len());
        slot.or_else(|| self.clean.pop_lowest())
    }

    /// `count` slots in a row, never used: the first.
    pub(crate) fn take_fresh(&mut self, count: u32) -> io::Result<u32> {
        self.commit_to(self.fresh + count as usize)?;
        let slot = self.fresh as u32;
        self.fresh += count as usize;
        Ok(slot)
    }

    /// Puts slots back, the longest unused first.
    pub(crate) fn put(&mut self, slots: &[u32]) {
        self.dirty.push_all(slots);
    }

    /// A run of `count` slots: one that was used before, or `None`.
    pub(crate) fn pop_large(&mut self, count: u32) -> Option<u32> {
        self.large.get_mut(&count)?.pop()
    }

    /// Puts a run back, clean.
    pub(crate) fn put_large(&mut self, slot: u32, count: u32) {
        self.large.entry(count).or_default().push(slot);
    }
}

/// How many slots are out, in use or kept by a P, and how many lie here and hold memory. (Those of large runs that lie here
/// hold none.)
pub(crate) fn census() -> (usize, usize) {
    let pool = POOL.lock();
    let large: usize = pool.large.iter().map(|(n, runs)| *n as usize * runs.len()).sum();
    (pool.fresh - pool.dirty.len() - pool.clean.len() - large, pool.dirty.len())
}

/// Whether free stacks hold memory that `age` might give back.
pub(crate) fn has_surplus() -> bool {
    POOL.lock().dirty.len() > 0
}

/// Gives the memory of those stacks back that lay in the pool unused since the last call. By the scavenger, every second
/// or so.
pub(crate) fn age() {
    /// Stacks per hold of the pool's lock: some 0.1 ms.
    const BATCH: usize = 256;
    let mut unused = {
        let mut pool = POOL.lock();
        let len = pool.dirty.len();
        std::mem::replace(&mut pool.low, usize::MAX).min(len)
    };
    while unused > 0 {
        let pool = &mut *POOL.lock();
        // Fewer, if others came down to them meanwhile.
        unused = unused.min(pool.dirty.len());
        let n = unused.min(BATCH);
        let batch = pool.dirty.first(n);
        batch.sort_unstable();
        // Neighbours go in one call. Guards are not affected.
        for run in batch.chunk_by(|a, b| a + 1 == *b) {
            // SAFETY: committed stacks that nothing runs on: they are in the pool, whose lock we hold.
            unsafe { mem::discard(slot_addr(run[0]), run.len() * stride()) };
        }
        batch.iter().for_each(|&slot| pool.clean.insert(slot));
        // The table of owners, too, by pages.
        let group = slab::owners_in_a_page();
        for part in batch.chunk_by(|&a, &b| a as usize / group == b as usize / group) {
            let first = part[0] as usize / group * group;
            if pool.clean.contains_all(first..first + group) {
                // SAFETY: clean slots are nobody's, and with the pool's lock held they stay so.
                unsafe { slab::discard_owners(first) };
            }
        }
        pool.dirty.remove_first(n);
        unused -= n;
    }
    let pool = &mut *POOL.lock();
    pool.low = pool.low.min(pool.dirty.len());
    pool.dirty.trim();
}
