//! The poll descriptor: what the poller knows of one socket (Go: runtime/netpoll.go, pollDesc).
//!
//! It owns the two words at which the socket's reader and writer park (parkword.rs), the two deadlines with their alarm
//! (alarm.rs), and marks that events leave for good. The fd (fd.rs) opens it, waits at it, and retires it; the poller reaches it
//! through the token of an event; `close` and `set_deadline` fire its words.
//!
//! ## Memory that stays
//! ```text
//!   mio's Token ─► index ─► CHUNKS[k] ─► PollDesc       chunk 0: 64, then 64, 128, 256 …
//!                  use   ─► must be the present one      freed descriptors wait in FREE
//! ```
//! Descriptors are recycled, never freed. An event may be in a poller's hands when its socket is closed; it then finds
//! a poll descriptor of another use, or of none, and its tag says so. One that slips through between the look at the tag
//! and the word makes a readiness without cause, which costs its finder one look at the socket.

use crate::alarm::Alarm;
use crate::deadline::Deadline;
use crate::parkword::{Begin, Owed, ParkWord, UseSeq};
use gosched_runtime::park::{self, Ticket, WaitReason, Waiter};
use gosched_runtime::poller::ReadyList;
use gosched_runtime::timer::{TimerId, instant_of, timer_add, timer_del};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::Instant;

/// A direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// Why a wait ended without readiness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PollError {
    /// The socket is being closed.
    Closing,
    /// The deadline of this direction has passed.
    Deadline,
    /// The limit of this call has passed.
    Limit,
}

// ------------------------------------------------------------------------------------------------------- tokens

/// What an event carries: which poll descriptor, in which of its uses.
///
/// | bits of a 64-bit word | of a 32-bit word | meaning                                    |
/// |-----------------------|------------------|--------------------------------------------|
/// | 0–31                  | 0–19             | index of the descriptor; all ones: nobody's |
/// | 32–63                 | 20–31            | the low bits of its use                    |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag {
    index: u32,
    seq: u32,
}

const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
const SEQ_MASK: u32 = (usize::MAX >> INDEX_BITS) as u32;

impl Tag {
    /// The word for mio. Never has all bits of the index set, so `usize::MAX` is free for the poller's own use.
    pub(crate) fn pack(self) -> usize {
        ((self.seq as usize) << INDEX_BITS) | self.index as usize
    }

    pub(crate) fn unpack(word: usize) -> Tag {
        Tag { index: (word & INDEX_MASK) as u32, seq: (word >> INDEX_BITS) as u32 }
    }
}

// -------------------------------------------------------------------------------------------------- descriptors

/// Marks of a descriptor, set while it is used and cleared when its next use begins.
const CLOSING: u32 = 1;
/// An event said end, error or urgent data: from now on a short read says nothing about the next one.
const READ_STICKY: u32 = 2;
/// An event said error or hang-up: from now on a short write says nothing about the next one.
const WRITE_STICKY: u32 = 4;

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Ended, failed, or urgent data: reading gives something other than "later" for good, or may stop short of data.
    pub(crate) read_sticky: bool,
    pub(crate) write_sticky: bool,
}

/// See the file's head. On its own cache lines: its neighbours are other people's sockets.
#[repr(align(128))]
pub(crate) struct PollDesc {
    /// Where the reader parks. Its waiter's steps: whoever holds the read lock of the fd.
    rg: ParkWord<Ticket>,
    /// Where the writer parks; likewise.
    wg: ParkWord<Ticket>,
    /// Set by anybody, read by those who wait.
    rd: Deadline,
    wd: Deadline,
    alarm: Alarm<TimerId>,
    /// CLOSING by `evict`, the others by events.
    marks: AtomicU32,
    seq: UseSeq,
    /// Fixed.
    index: u32,
}

// Where a lock of std is a word or less.
#[cfg(target_os = "linux")]
const _: () = assert!(size_of::<PollDesc>() == 128);

impl PollDesc {
    fn new(index: u32) -> PollDesc {
        PollDesc {
            rg: ParkWord::new(),
            wg: ParkWord::new(),
            rd: Deadline::new(),
            wd: Deadline::new(),
            alarm: Alarm::new(),
            marks: AtomicU32::new(0),
            seq: UseSeq::new(),
            index,
        }
    }

    fn word(&self, mode: Mode) -> &ParkWord<Ticket> {
        match mode {
            Mode::Read => &self.rg,
            Mode::Write => &self.wg,
        }
    }

    fn deadline(&self, mode: Mode) -> &Deadline {
        match mode {
            Mode::Read => &self.rd,
            Mode::Write => &self.wd,
        }
    }

    fn marked(&self, mark: u32) -> bool {
        // Relaxed: marks are set before the word is fired, whose acquiring step comes before this look.
        self.marks.load(Ordering::Relaxed) & mark != 0
    }

    pub(crate) fn tag(&self) -> Tag {
        Tag { index: self.index, seq: self.seq.get() & SEQ_MASK }
    }

    /// Before the first system call of an operation: refuses where the deadline has passed, else forgets the readiness
    /// of the past and says whether there was one (Go: pollReset, prepareRead).
    #[inline]
    pub(crate) fn prepare(&self, mode: Mode) -> Result<bool, PollError> {
        if self.deadline(mode).passed() {
            return Err(PollError::Deadline);
        }
        Ok(self.word(mode).reset())
    }

    /// Whether a short transfer may be read as "nothing more now" (fd.rs).
    #[inline]
    pub(crate) fn short_means_empty(&self, mode: Mode) -> bool {
        !self.marked(if mode == Mode::Read { READ_STICKY } else { WRITE_STICKY })
    }

    /// Parks until the direction is ready, or the socket is closed, or its deadline passes, or `limit` does (Go:
    /// netpollblock and the loop around it). Called by the one who holds the lock of this direction.
    pub(crate) fn wait(&'static self, mode: Mode, limit: Option<Instant>) -> Result<(), PollError> {
        let word = self.word(mode);
        let mut woken = false;
        loop {
            if word.begin() == Begin::Ready {
                return Ok(());
            }
            // Announced: what is set from now on fires the word. So look once more at what was set before. (At a deadline's
            // value only, the first time: where it has passed, its alarm says so at once.)
            let timed = limit.is_some() || !park::on_goroutine();
            let seen = if woken || timed { self.check(mode, limit) } else { self.check_closing() };
            if let Err(e) = seen {
                word.cancel();
                return Err(e);
            }
            let arg = std::ptr::from_ref(word).cast_mut().cast::<()>();
            if timed && let Some(until) = self.until(mode, limit) {
                let ticket = park::current().open_ticket();
                word.lay_ticket(ticket);
                // SAFETY: `arg` is the word, and poll descriptors are never freed. Once commit_timed has put the waiter
                // in, exactly one fire takes it out, and readies it only after claiming the ticket (`wake`).
                unsafe { park::gopark_timeout(commit_timed, arg, WaitReason::IoWait, ticket, Some(until)) };
            } else {
                if !timed && let Some(when) = self.deadline(mode).number() {
                    self.cover(when);
                }
                // SAFETY: as above; without a ticket the fire that takes the waiter out is the only one to ready it.
                unsafe { park::gopark(commit, arg, WaitReason::IoWait) };
            }
            if word.finish() {
                return Ok(());
            }
            // Not ready: closed, timed out, or woken because the deadline was moved.
            self.check(mode, limit)?;
            woken = true;
        }
    }

    fn until(&self, mode: Mode, limit: Option<Instant>) -> Option<Instant> {
        self.deadline(mode).get().into_iter().chain(limit).min()
    }

    /// Sees to it that the alarm rings at `when` at the latest.
    fn cover(&'static self, when: u64) {
        let start = |when| {
            let arg = std::ptr::from_ref(self).cast_mut().cast::<()>();
            // SAFETY: `ring` may be called from anywhere with a descriptor, since that is never freed.
            unsafe { timer_add(instant_of(when), ring, arg, when) }
        };
        self.alarm.cover(when, start, stop);
    }

    fn check_closing(&self) -> Result<(), PollError> {
        if self.marked(CLOSING) { Err(PollError::Closing) } else { Ok(()) }
    }

    fn check(&self, mode: Mode, limit: Option<Instant>) -> Result<(), PollError> {
        self.check_closing()?;
        if self.deadline(mode).passed() {
            return Err(PollError::Deadline);
        }
        match limit {
            Some(limit) if Instant::now() >= limit => Err(PollError::Limit),
            _ => Ok(()),
        }
    }

    /// Sleeps until `until`, whatever the socket does, but not beyond its closing or its deadline. The caller looks at
    /// the socket afterwards: readiness that came meanwhile is forgotten.
    pub(crate) fn pause(&'static self, mode: Mode, until: Instant) -> Result<(), PollError> {
        loop {
            match self.wait(mode, Some(until)) {
                Ok(()) if Instant::now() < until => {}
                Ok(()) | Err(PollError::Limit) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    /// Ends the waits of both directions for good (Go: pollUnblock). Called once in a use, before `free`.
    pub(crate) fn evict(&self) {
        // Relaxed: published by the two fires.
        self.marks.fetch_or(CLOSING, Ordering::Relaxed);
        self.rouse(Mode::Read);
        self.rouse(Mode::Write);
    }

    /// Moves a deadline, and lets a parked call know.
    pub(crate) fn set_deadline(&self, mode: Mode, to: Option<Instant>) {
        if self.deadline(mode).set(to) {
            self.rouse(mode);
        }
    }

    fn rouse(&self, mode: Mode) {
        if let Some(w) = self.word(mode).fire(false).and_then(claimed) {
            // SAFETY: `claimed` gives a waiter whose wake-up this thread owes, and only it.
            unsafe { park::goready(w) }
        }
    }

    /// An event for the use `seq` (Go: netpollready).
    fn netpollready(&self, seq: u32, what: Readiness, ready: &mut ReadyList) {
        if !self.seq.admits(seq, SEQ_MASK) {
            return;
        }
        let sticky =
            if what.read_sticky { READ_STICKY } else { 0 } | if what.write_sticky { WRITE_STICKY } else { 0 };
        if sticky != 0 {
            // Before the fires, which publish it.
            self.marks.fetch_or(sticky, Ordering::Relaxed);
        }
        for (mode, on) in [(Mode::Read, what.read), (Mode::Write, what.write)] {
            if on && let Some(w) = self.word(mode).fire(true).and_then(claimed) {
                // SAFETY: as in `rouse`.
                unsafe { ready.push(w) }
            }
        }
    }
}

fn stop(t: TimerId) {
    // Where it is too late it rings for nobody.
    let _ = timer_del(t);
}

/// The alarm's timer for `when` (Go: netpollDeadline).
///
/// # Safety
/// `pd` is a poll descriptor.
unsafe fn ring(pd: *mut (), when: u64) {
    // SAFETY: the caller's promise; descriptors are never freed.
    let pd = unsafe { &*pd.cast::<PollDesc>() };
    pd.alarm.rings(when);
    for mode in [Mode::Read, Mode::Write] {
        if pd.word(mode).touch()
            && let Some(deadline) = pd.deadline(mode).number()
        {
            if pd.deadline(mode).passed() { pd.rouse(mode) } else { pd.cover(deadline) }
        }
    }
}

/// The waiter to ready, unless it has left by itself.
fn claimed(owed: Owed<Ticket>) -> Option<Waiter> {
    // SAFETY: only `commit` and `commit_timed` put waiters in a word, with their bits from into_raw.
    let w = unsafe { Waiter::from_raw(std::ptr::with_exposed_provenance_mut(owed.waiter)) };
    owed.ticket.is_none_or(|t| w.claim(t)).then_some(w)
}

/// `arg` is the word to park at.
///
/// # Safety
/// As for [`park::Commit`].
unsafe fn commit(w: Waiter, arg: *mut ()) -> bool {
    // SAFETY: `wait` passes a word of a poll descriptor, which lives for ever.
    unsafe { &*arg.cast::<ParkWord<Ticket>>() }.commit(w.into_raw().expose_provenance(), false)
}

/// As [`commit`], for a wait with a limit.
///
/// # Safety
/// As for [`park::Commit`].
unsafe fn commit_timed(w: Waiter, arg: *mut ()) -> bool {
    // SAFETY: as in `commit`.
    unsafe { &*arg.cast::<ParkWord<Ticket>>() }.commit(w.into_raw().expose_provenance(), true)
}

// --------------------------------------------------------------------------------------------------------- slab

/// The size of the first two chunks, a power of two; every later one is as large as all before it.
const FIRST: u32 = 64;
const CHUNK_COUNT: usize = (INDEX_BITS - FIRST.ilog2()) as usize;

/// Arrays of descriptors, leaked. Written once each, under FREE's lock.
static CHUNKS: [AtomicPtr<PollDesc>; CHUNK_COUNT] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNK_COUNT];

struct Free {
    /// Descriptors without a use. The last one freed goes out first: its lines may still be in a cache.
    list: Vec<u32>,
    /// How many descriptors exist.
    made: u32,
}

static FREE: Mutex<Free> = Mutex::new(Free { list: Vec::new(), made: 0 });

/// Where a descriptor lies: its chunk, and its place there.
fn place(index: u32) -> (usize, usize) {
    // In units of FIRST: chunk 0 holds 0, chunk k holds 2^(k-1) up to 2^k.
    let chunk = (index / FIRST).checked_ilog2().map_or(0, |b| b + 1);
    let start = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
    (chunk as usize, (index - start) as usize)
}

fn lookup(index: u32) -> Option<&'static PollDesc> {
    let (chunk, at) = place(index);
    // Acquire: pairs with the Release in `alloc`; the descriptors behind the pointer are made.
    let base = CHUNKS.get(chunk)?.load(Ordering::Acquire);
    // SAFETY: a chunk that is there holds all indices that `place` maps to it, and is never freed.
    (!base.is_null()).then(|| unsafe { &*base.add(at) })
}

/// A descriptor for a new socket, with no deadline and no readiness.
pub(crate) fn alloc() -> io::Result<&'static PollDesc> {
    let mut free = FREE.lock();
    if free.list.is_empty() {
        let (chunk, at) = place(free.made);
        debug_assert_eq!(at, 0, "chunks are handed out whole");
        let size = FIRST << chunk.saturating_sub(1);
        if chunk >= CHUNK_COUNT {
            return Err(io::Error::other("gosched: too many sockets for the poller"));
        }
        let start = free.made;
        let made: Box<[PollDesc]> = (start..start + size).map(PollDesc::new).collect();
        // Release: pairs with the Acquire in `lookup`.
        CHUNKS[chunk].store(Box::leak(made).as_mut_ptr(), Ordering::Release);
        free.made = start + size;
        free.list.extend((start..start + size).rev());
    }
    let Some(index) = free.list.pop() else { unreachable!("a chunk was just added") };
    drop(free);
    let Some(pd) = lookup(index) else { unreachable!("an index of FREE's list has its chunk") };
    let _ = pd.rd.set(None);
    let _ = pd.wd.set(None);
    pd.rg.reset();
    pd.wg.reset();
    pd.marks.store(0, Ordering::Relaxed);
    Ok(pd)
}

/// Ends the use of a descriptor: from here on its events are stale.
///
/// # Safety
/// It came from [`alloc`], nobody waits at it, and nobody uses this reference afterwards.
pub(crate) unsafe fn free(pd: &'static PollDesc) {
    debug_assert!(!pd.rg.is_waited_for() && !pd.wg.is_waited_for());
    pd.alarm.silence(stop);
    pd.seq.retire();
    FREE.lock().list.push(pd.index);
}

/// Delivers an event. `tag` may be of any age, or nobody's.
pub(crate) fn deliver(tag: Tag, what: Readiness, ready: &mut ReadyList) {
    if let Some(pd) = lookup(tag.index) {
        pd.netpollready(tag.seq, what, ready);
    }
}

/// Whether anybody waits at any descriptor. A scan.
pub(crate) fn has_waiters() -> bool {
    let made = FREE.lock().made;
    (0..made).filter_map(lookup).any(|pd| pd.rg.is_waited_for() || pd.wg.is_waited_for())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_the_trip_through_a_token() {
        for (index, seq) in [(0, 0), (1, 2), (INDEX_MASK as u32 - 1, SEQ_MASK), (77, SEQ_MASK)] {
            let tag = Tag { index, seq };
            assert_eq!(Tag::unpack(tag.pack()), tag);
            assert_ne!(tag.pack(), usize::MAX);
        }
    }

    #[test]
    fn every_index_has_one_place_and_chunks_follow_each_other() {
        let mut next = (0, 0);
        for index in 0..FIRST * 64 {
            let (chunk, at) = place(index);
            if (chunk, at) != next {
                assert_eq!((chunk, at), (next.0 + 1, 0), "index {index}");
                assert_eq!(next.1, (FIRST << next.0.saturating_sub(1)) as usize);
            }
            next = (chunk, at + 1);
        }
        assert!(place(INDEX_MASK as u32 - 1).0 <= CHUNK_COUNT);
    }

    #[test]
    fn an_event_of_the_last_use_is_stale() {
        let pd = alloc().unwrap();
        let old = pd.tag();
        // SAFETY: just allocated, nobody waits.
        unsafe { free(pd) };
        // The same memory again, unless another test was faster; then that one's tag differs from `old` all the same.
        let pd = alloc().unwrap();
        let both = Readiness { read: true, write: true, ..Readiness::default() };
        deliver(old, both, &mut ReadyList::default());
        assert!(!pd.rg.reset() && !pd.wg.reset());
        deliver(pd.tag(), both, &mut ReadyList::default());
        assert!(pd.rg.reset() && pd.wg.reset());
        // SAFETY: as above.
        unsafe { free(pd) };
    }
}
