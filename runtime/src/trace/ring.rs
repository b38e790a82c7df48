//! What an M has seen, until the trace's writer fetches it: a ring of records with one producer and one consumer.
//!
//! ```text
//!                 head                     tail
//!                  ▼                        ▼            head: moved on by the writer's thread
//!   ┌───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┐        tail: moved on by the ring's owner
//!   │   │   │   │ r │ r │ r │ r │ r │ r │ r │   │        both count up for ever; slot = count mod LEN
//!   └───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┘
//! ```
//! **Who owns what.** The owner is the thread of the M that the ring belongs to, or whoever holds the lock of the ring for
//! all other threads (point.rs). Slots in `[head, tail)` are the consumer's to read, the others the owner's to write.
//!
//! **Full?** The owner never waits: it counts what it could not write, until half of the ring is free again, and then writes
//! how many there were before it goes on. So a trace has few long gaps rather than many short ones, and says of each how
//! much is missing. What is still uncounted at the end is read from `lost`.
//!
//! **The end.** `busy` is to this what `in_rt` is to handshake.rs: the owner sets it, fences, and looks whether a trace is
//! on; the one who ends the trace puts it off, fences, and waits until the owner is not busy. After that the ring holds all
//! that will ever come, and the next trace finds it empty.
//!
//! The slots are made when the first record comes, and kept for the next trace, as the M is.
//!
//! A `Tracer` is what an M has: its ring, and since when it holds its P no more (point.rs, "Which P?").

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering, fence};

/// Records in a ring: half a mebibyte of address space, used only as far as records come.
pub(crate) const LEN: u64 = 1 << 14;

/// What a record says, and what its fields then mean. `g` is a goroutine's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The first of a trace in its ring, and of a thread: `arg` the number of the M. What comes before it is old.
    Thread,
    /// `g` was started; `arg` where (a `Location`), `flow` the arrow to its first run.
    Go,
    /// `g` runs from here on, on `p`; `arg` where it was started, `len` goroutines wait in the queue of `p`, `flow` the
    /// arrow that ends here; as many `Name`s follow as `why` says.
    Start,
    /// A piece of the goroutine's name, in the bytes of `at`, `g` and `arg`; `why` is how many.
    Name,
    /// The goroutine has left its stack. `why`: a `WaitReason`, `WHY_YIELD` or `WHY_EXIT`.
    End,
    /// Since `at` this M holds its P no more: it was taken.
    Lost,
    /// It gets `p` in the middle of a run.
    Got,
    /// `g` was made runnable; `flow` the arrow to its run.
    Ready,
    /// `syscall(f)` begins; and ends.
    SyscallBegin,
    SyscallEnd,
    /// A function of a timer is called; and has returned.
    TimerBegin,
    TimerEnd,
    /// A poll that brought goroutines began at `at`; and ended, with `arg` of them, whose `Ready`s lie between.
    NetpollBegin,
    NetpollEnd,
    /// `p` took work from the queue of the P `arg`; `g` was first.
    Steal,
    /// `p` is to be given to another M.
    Handoff,
    /// sysmon took `p` from the M `arg`, which runs `g`; `why` is 1 where that is in `syscall(f)`.
    Retake,
    /// `arg` records are missing from `at` on.
    Gap,
}

/// The reasons of an `End` that are no `WaitReason`s.
pub(crate) const WHY_YIELD: u8 = 254;
pub(crate) const WHY_EXIT: u8 = 255;
/// No P.
pub(crate) const NO_P: u16 = u16::MAX;

/// The bits of `g_len` that are the goroutine's id.
const G_BITS: u32 = 48;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// When, by `nanotime`.
    pub(crate) at: u64,
    /// `g`, and above it `len`.
    pub(crate) g_len: u64,
    pub(crate) arg: u64,
    pub(crate) flow: u32,
    pub(crate) p: u16,
    pub(crate) kind: Kind,
    pub(crate) why: u8,
}

const _: () = assert!(size_of::<Record>() == 32);

/// Bytes of a name that fit a record.
const NAME_PIECE: usize = 24;
/// The most pieces: longer names are cut off.
pub(crate) const NAME_PIECES: usize = 4;

impl Record {
    pub(crate) fn new(kind: Kind, at: u64) -> Record {
        Record { at, g_len: 0, arg: 0, flow: 0, p: NO_P, kind, why: 0 }
    }

    pub(crate) fn g(mut self, goid: u64, len: u32) -> Record {
        self.g_len = goid & ((1 << G_BITS) - 1) | u64::from(len.min(0xffff)) << G_BITS;
        self
    }

    pub(crate) fn goid(&self) -> u64 {
        self.g_len & ((1 << G_BITS) - 1)
    }

    pub(crate) fn len(&self) -> u64 {
        self.g_len >> G_BITS
    }

    /// The pieces of a name.
    pub(crate) fn names(name: &str) -> impl Iterator<Item = Record> + '_ {
        name.as_bytes().chunks(NAME_PIECE).take(NAME_PIECES).map(|piece| {
            let mut bytes = [0; NAME_PIECE];
            bytes[..piece.len()].copy_from_slice(piece);
            let word =
                |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight bytes"));
            let mut r = Record::new(Kind::Name, word(0));
            (r.g_len, r.arg, r.why) = (word(1), word(2), piece.len() as u8);
            r
        })
    }

    /// Adds what a `Name` says to `name`.
    pub(crate) fn append_name(&self, name: &mut Vec<u8>) {
        let words = [self.at, self.g_len, self.arg].map(u64::to_le_bytes);
        name.extend(words.as_flattened().iter().take(usize::from(self.why)));
    }
}

type Slots = Box<[UnsafeCell<MaybeUninit<Record>>]>;

#[repr(align(128))] // two cache lines: the owner's words and others'
pub(crate) struct Ring {
    head: AtomicU64,
    tail: AtomicU64,
    /// Records that are missing and not yet counted in one. Written by the owner.
    lost: AtomicU64,
    /// Since when; the owner's.
    lost_since: Cell<u64>,
    /// The owner is about to write: file head.
    busy: AtomicBool,
    /// The trace that the owner has last written for. The owner's.
    pub(crate) session: Cell<u32>,
    /// Numbers of arrows that are this ring's to give: the next, and how many. The owner's.
    pub(crate) flows: Cell<(u32, u32)>,
    slots: OnceLock<Slots>,
}

// SAFETY: the file head says who may touch the slots; the cells are the owner's alone.
unsafe impl Sync for Ring {}
// SAFETY: as above.
unsafe impl Send for Ring {}

impl Ring {
    pub(crate) const fn new() -> Ring {
        Ring {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            lost_since: Cell::new(0),
            busy: AtomicBool::new(false),
            session: Cell::new(0),
            flows: Cell::new((0, 0)),
            slots: OnceLock::new(),
        }
    }

    /// Owner: announces that it will write, before it looks whether a trace is on.
    #[inline]
    pub(crate) fn enter(&self) {
        self.busy.store(true, Ordering::Relaxed);
        // Pairs with the fence in `trace::stop`: either we see that the trace is off, or it sees us busy.
        fence(Ordering::SeqCst);
    }

    /// Owner: has written.
    #[inline]
    pub(crate) fn leave(&self) {
        // Release: pairs with the Acquire in `busy`.
        self.busy.store(false, Ordering::Release);
    }

    /// Consumer: whether the owner is writing.
    pub(crate) fn busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Owner: all of `records`, or none where there is no room. True: the consumer should come.
    ///
    /// # Safety
    /// The caller is the owner.
    #[must_use]
    pub(crate) unsafe fn push(&self, records: &[Record]) -> bool {
        let slots = self.slots.get_or_init(|| {
            let uninit = Box::new_uninit_slice(LEN as usize);
            // SAFETY: an UnsafeCell of a MaybeUninit asks nothing of its bytes.
            unsafe { uninit.assume_init() }
        });
        // Acquire: pairs with the Release in `drain`: the consumer has read the slots that we write again.
        let (head, mut tail) = (self.head.load(Ordering::Acquire), self.tail.load(Ordering::Relaxed));
        let (used, lost) = (tail - head, self.lost.load(Ordering::Relaxed));
        let room = if lost == 0 { LEN } else { LEN / 2 };
        if used + records.len() as u64 >= room {
            if lost == 0 {
                self.lost_since.set(records[0].at);
            }
            self.lost.store(lost + records.len() as u64, Ordering::Relaxed);
            return true;
        }
        let mut write = |r: Record| {
            // SAFETY: beyond the tail and within the room, so it is ours.
            unsafe { (*slots[(tail % LEN) as usize].get()).write(r) };
            tail += 1;
        };
        if lost != 0 {
            write(Record { arg: lost, ..Record::new(Kind::Gap, self.lost_since.get()) });
            self.lost.store(0, Ordering::Relaxed);
        }
        records.iter().copied().for_each(write);
        // Release: publishes the slots; pairs with the Acquire in `drain`.
        self.tail.store(tail, Ordering::Release);
        used >= LEN / 2
    }

    /// Consumer: hands over what there is now. Gives how many.
    pub(crate) fn drain(&self, mut f: impl FnMut(Record)) -> u64 {
        let Some(slots) = self.slots.get() else { return 0 };
        // Acquire: pairs with the Release in `push`.
        let (head, tail) = (self.head.load(Ordering::Relaxed), self.tail.load(Ordering::Acquire));
        for n in head..tail {
            // SAFETY: between head and tail, so written and ours; records are Copy.
            f(unsafe { (*slots[(n % LEN) as usize].get()).assume_init() });
        }
        // Release: pairs with the Acquire in `push`.
        self.head.store(tail, Ordering::Release);
        tail - head
    }

    /// Consumer, when the owner writes no more: takes the count of what is missing since the last record, and since when.
    ///
    /// # Safety
    /// The owner has been seen not busy since the trace was put off, and no other has begun.
    pub(crate) unsafe fn take_lost(&self) -> Option<(u64, u64)> {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => None,
            n => Some((n, self.lost_since.get())),
        }
    }
}

/// What an M has of this.
pub(crate) struct Tracer {
    pub(crate) ring: Ring,
    /// When its P was taken, and which; 0: it was not, or it is written down. Written by the thief under the M's
    /// handshake, before the P changes hands; taken by the owner once it is inside the runtime.
    lost: AtomicU64,
    lost_p: AtomicU16,
}

impl Tracer {
    pub(crate) const fn new() -> Tracer {
        Tracer { ring: Ring::new(), lost: AtomicU64::new(0), lost_p: AtomicU16::new(NO_P) }
    }

    /// Thief: notes the loss.
    pub(crate) fn set_lost(&self, at: u64, p: u16) {
        self.lost_p.store(p, Ordering::Relaxed);
        // Release: whoever finds the time finds the P.
        self.lost.store(at, Ordering::Release);
    }

    /// Whether there is a loss to be written down.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) != 0
    }

    /// Owner, or anybody who knows that nothing is written any more: the loss, if it was not before `since` (an earlier
    /// trace's, which nobody needs to know now). When, and which P.
    pub(crate) fn take_lost(&self, since: u64) -> Option<(u64, u16)> {
        if !self.has_lost() {
            return None;
        }
        let at = self.lost.swap(0, Ordering::Acquire);
        (at >= since).then(|| (at, self.lost_p.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: u64) -> Record {
        Record { arg: n, ..Record::new(Kind::Steal, n) }
    }

    /// The only user of a ring writes the same record so many times.
    fn put(ring: &Ring, r: Record, times: usize) -> bool {
        // SAFETY: as the name says.
        unsafe { ring.push(&vec![r; times]) }
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let ring = Ring::new();
        (0..LEN + 10).for_each(|n| assert_eq!(put(&ring, numbered(n), 1), n >= LEN / 2));
        let mut seen = Vec::new();
        ring.drain(|r| seen.push((r.kind, r.arg)));
        assert_eq!(seen, (0..LEN - 1).map(|n| (Kind::Steal, n)).collect::<Vec<_>>());
        seen.clear();
        assert!(!put(&ring, numbered(LEN + 10), 1));
        ring.drain(|r| seen.push((r.kind, r.arg)));
        assert_eq!(seen, [(Kind::Gap, 11), (Kind::Steal, LEN + 10)]);
        // SAFETY: the only user.
        assert_eq!(unsafe { ring.take_lost() }, None);
    }

    #[test]
    fn a_gap_lasts_until_half_is_free() {
        let ring = Ring::new();
        let push = |n| put(&ring, numbered(n), 1);
        assert_eq!((0..LEN).filter(|&n| push(n)).count() as u64, LEN / 2);
        // Nothing is free yet, and 5 more come to the one that is missing already.
        (0..5).for_each(|n| assert!(push(n)));
        // SAFETY: the only user.
        assert_eq!(unsafe { ring.take_lost() }, Some((6, LEN - 1)));
    }

    #[test]
    fn one_writes_while_the_other_reads() {
        let ring = Ring::new();
        let (mut next, mut missing) = (0, 0);
        std::thread::scope(|s| {
            let writer = s.spawn(|| (0..200_000).filter(|&n| put(&ring, numbered(n), 2)).count());
            let mut take = |r: Record| match r.kind {
                Kind::Gap => missing += r.arg,
                _ => {
                    assert!(r.arg >= next / 2, "{} after {}", r.arg, next / 2);
                    next += 1;
                }
            };
            while !writer.is_finished() {
                ring.drain(&mut take);
            }
            ring.drain(&mut take);
        });
        // SAFETY: the writer has ended.
        let uncounted = unsafe { ring.take_lost() }.map_or(0, |(n, _)| n);
        assert_eq!(next + missing + uncounted, 400_000);
    }

    #[test]
    fn names_come_back() {
        for name in ["", "conn 10.0.0.7", "twenty-four bytes, exact", "Grüße", &"long".repeat(24)] {
            let mut back = Vec::new();
            Record::names(name).for_each(|r| r.append_name(&mut back));
            assert_eq!(String::from_utf8(back).unwrap(), name);
        }
    }
}
