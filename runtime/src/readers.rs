//! `Readers`: the readers of one `RwLock`, and the writer who waits for them (Go: sync/rwmutex.go; and Dice and Kogan,
//! "BRAVO: Biased Locking for Reader-Writer Locks", USENIX ATC 2019).
//!
//! ## Counted readers
//! A writer that waits blocks the readers that come after it, so that writers do not starve; the readers that queued up
//! behind a writer go before the next writer, so that readers do not either. One writer at a time: `RwLock` sees to it.
//!
//! ```text
//!   readers: AtomicI64     r            r readers are in
//!                          r - WRITER   a writer has come: of the r some are in, the others wait behind it
//!   leaving: AtomicI64     while a writer waits: how many of the readers that it found must still leave
//!
//!   enter    readers += 1;  below zero? sleep in reader_sema
//!   leave    readers -= 1;  below zero? leaving -= 1, and who makes it 0 wakes the writer
//!   bar      readers -= WRITER, r were in;  leaving += r;  not 0? sleep in writer_sema
//!   unbar    readers += WRITER, r wait;  wake them all
//! ```
//! `leaving` may be below zero for a moment: readers leave between the two steps of `bar`. It comes out at zero for
//! exactly one of those who change it, who wakes the writer or is the writer.
//!
//! The counters have 64 bits because a guard that is forgotten counts for ever: nobody can forget 2^62 of them.
//!
//! ## Readers in slots
//! Two cores that count in one word pass its cache line to and fro, and the more cores read the slower each is. So a lock
//! that is read by many at once is *biased* to its readers: a reader writes the lock's name into a slot of its P and has
//! touched nothing that another P touches. The writer pays: it ends the bias, looks into the slots of all Ps, and makes
//! counted readers of those it finds there.
//!
//! ```text
//!   enter    biased?  slot: 0 → name;  still biased? in                  leave   slot: name → 0?  out
//!                     no longer: slot: name → 0?  enter as one who is            it is not there: a writer has taken
//!                     counted;  it is not there: a writer counts us, in          it out, leave as one who is counted
//!   bar      readers -= WRITER;  end the bias;  each slot: name → 0? readers += 1, and there is one more to wait for
//! ```
//! *The invariant*: of the slots that hold a lock's name and the readers that its counter has, each is a read lock that
//! somebody has (or, in a slot, is about to take back). They are tokens without a face: a reader that leaves may take
//! another's name out of a slot, and the other then leaves as one who is counted; the sum is right.
//!
//! *A reader and a writer see each other*: one writes the slot, then reads the bias; the other writes the bias, then reads
//! the slots; all of it SeqCst, so that not both can miss the other.
//!
//! *Who may begin a bias*: a reader that is in and counted. So a writer for whom no counted reader is left knows that no
//! bias will begin; having waited for some, it ends the bias once more. Begun by a draw that comes up once in 64 times the
//! number of Ps, when others were found reading, so that a lock with many writers seldom pays for one.
//!
//! *Names* are numbers that are never given to another lock. (An address would be, and who forgets a guard leaves a name in
//! a slot for ever: it takes up that slot and does no more harm.)
//!
//! Threads that are none of ours, goroutines without a P, explorations, and whoever finds the slots of his P taken are
//! counted. A goroutine without a P that finds a bias, or others reading, waits for its turn to have one (as at a Mutex that
//! is taken): its thread would only be in the way of those that have one. A writer that ends a bias reads two cache lines of each P that there ever was: at 1,024 Ps some 100 µs.
//!
//! ## What is seen
//! A writer sees what earlier readers and writers did: read-modify-writes of `readers` and of the slots that Release on the
//! way out and Acquire on the way in; the last reader hands it on through `leaving` (both) and the semaphore. A reader sees
//! what the last writer did, by `readers`, by the semaphore, or by the bias, which a reader began who saw it.
//!
//! Models: tests/loom_readers.rs, and shuttle_sync.rs with the whole lock.

use crate::loom::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::loom::{per_run, seq_cst, sound};
use crate::park::{self, WaitReason};
use crate::sema::{semacquire, semrelease};

/// Taken off `readers` by a writer.
const WRITER: i64 = 1 << 62;

/// In the word of a bias: it holds now. The rest is the lock's name, 0 as long as it has none.
const ON: u64 = 1;

/// A bias begins with one in so many, times the number of Ps, of the reads that find others reading.
const SELDOM: u32 = 64;

/// Where a reader leaves a lock's name: 0, or the word of that lock's bias while it holds.
pub(crate) struct Slot(AtomicU64);

/// The slots of a P. Two cache lines: the processor likes to fetch them in pairs.
#[repr(align(128))]
pub(crate) struct Slots([Slot; SLOTS]);

const SLOTS: usize = if cfg!(any(gosched_loom, gosched_shuttle)) { 1 } else { 16 };

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots(std::array::from_fn(|_| Slot(AtomicU64::new(0))))
    }
}

struct Names(AtomicU64);

per_run! {
    static NAMES: Names = Names(AtomicU64::new(0));
}

/// How a reader came in, and so how it leaves.
#[derive(Clone, Copy)]
pub(crate) struct Pass(Option<&'static Slot>);

impl Pass {
    const COUNTED: Pass = Pass(None);

    pub(crate) fn in_slot(self) -> bool {
        self.0.is_some()
    }
}

pub(crate) struct Readers {
    readers: AtomicI64,
    leaving: AtomicI64,
    bias: AtomicU64,
    /// Where readers sleep that wait for a writer.
    reader_sema: AtomicU32,
    /// Where the writer sleeps that waits for readers.
    writer_sema: AtomicU32,
}

macro_rules! new {
    ($($constant:tt)?) => {
        pub(crate) $($constant)? fn new() -> Readers {
            Readers {
                readers: AtomicI64::new(0),
                leaving: AtomicI64::new(0),
                bias: AtomicU64::new(0),
                reader_sema: AtomicU32::new(0),
                writer_sema: AtomicU32::new(0),
            }
        }
    };
}

impl Readers {
    #[cfg(not(gosched_loom))]
    new!(const);
    #[cfg(gosched_loom)]
    new!();

    /// A reader comes in; parks while a writer is in or waits.
    #[inline]
    pub(crate) fn enter(&self) -> Pass {
        if let Some(pass) = self.enter_slot(park::back_to_a_p) {
            return pass;
        }
        // Acquire: pairs with the Release in `unbar`.
        let r = self.readers.fetch_add(1, Ordering::Acquire);
        if r != 0 {
            self.enter_crowd(r);
        }
        Pass::COUNTED
    }

    /// Counted in, but not alone: behind a writer where `r` is below zero, among readers else.
    #[cold]
    fn enter_crowd(&self, r: i64) {
        if r < 0 {
            return semacquire(&self.reader_sema, false, WaitReason::SyncRWMutexRLock);
        }
        if park::my_slots().is_none() {
            park::back_to_a_p();
        } else if park::seldom(SELDOM) {
            self.begin_bias();
        }
    }

    /// A reader comes in where no writer is in or waits. Never parks.
    #[inline]
    pub(crate) fn try_enter(&self) -> Option<Pass> {
        let slot = self.enter_slot(|| ());
        if slot.is_some() {
            return slot;
        }
        let mut r = self.readers.load(Ordering::Relaxed);
        while r >= 0 {
            // Acquire: as in enter.
            match self.readers.compare_exchange_weak(r, r + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Pass::COUNTED),
                Err(now) => r = now,
            }
        }
        None
    }

    /// A reader leaves.
    ///
    /// # Safety
    /// It came in with this pass, and has not left.
    #[inline]
    pub(crate) unsafe fn leave(&self, pass: Pass) {
        if let Some(slot) = pass.0 {
            // Relaxed: our own reading has made sure that there is a name, and it stays.
            let name = self.bias.load(Ordering::Relaxed) | ON;
            // Release: our reads are over before a writer that finds the slot without our name writes. Acquire where it is
            // gone: another of this lock's readers may have taken it out, and we now leave for him, and hand that on.
            if slot.0.compare_exchange(name, 0, Ordering::Release, Ordering::Acquire).is_ok() {
                return;
            }
        }
        // Release: our reads are over before the next writer writes; pairs with the Acquires in bar and try_bar.
        if self.readers.fetch_sub(1, Ordering::Release) < 0 {
            self.leave_slow();
        }
    }

    #[cold]
    fn leave_slow(&self) {
        // AcqRel: the last one collects the others' Releases and hands them to the writer.
        if self.leaving.fetch_sub(1, Ordering::AcqRel) == 1 {
            semrelease(&self.writer_sema, true);
        }
    }

    /// The writer comes; parks until all readers have left. Those who come from now on wait.
    ///
    /// One at a time, until `unbar`: the caller's promise.
    #[inline]
    pub(crate) fn bar(&self) {
        // Acquire: pairs with the Release of every reader that has left.
        let r = self.readers.fetch_sub(WRITER, Ordering::Acquire);
        let r = r + self.end_bias();
        if r != 0 {
            self.bar_slow(r);
        }
    }

    #[cold]
    fn bar_slow(&self, mut r: i64) {
        while r != 0 {
            // Acquire: where all r have left by now, pairs with their AcqRel in leave_slow.
            let some_are_in = self.leaving.fetch_add(r, Ordering::AcqRel) + r != 0;
            if some_are_in || !sound("readers: the writer sees that all have left") {
                semacquire(&self.writer_sema, false, WaitReason::SyncRWMutexLock);
            }
            // One of those may have begun a bias after we had ended it. Who came in by that does not begin another.
            r = if sound("readers: the writer looks again") { self.end_bias() } else { 0 };
        }
    }

    /// As `bar` where nobody is in. Never parks.
    #[inline]
    pub(crate) fn try_bar(&self) -> bool {
        // Acquire: as in bar.
        if self.readers.compare_exchange(0, -WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        let word = self.bias.load(Ordering::Relaxed);
        if word & ON == 0 || self.nobody_in_slots(word) {
            return true;
        }
        // SAFETY: we have just barred them.
        unsafe { self.unbar(false) };
        false
    }

    /// Ends the bias, unless somebody reads by it. The readers are barred.
    #[cold]
    fn nobody_in_slots(&self, word: u64) -> bool {
        self.stop(word);
        // SeqCst (so Acquire): pairs with what leave did to the slot.
        let nobody = park::all_slots().flat_map(|s| &s.0).all(|slot| slot.0.load(Ordering::SeqCst) != word);
        if !nobody {
            // Release: as in begin_bias; we have seen what the last writer did.
            self.bias.store(word, Ordering::Release);
        }
        nobody
    }

    /// The writer leaves, as a reader where it goes on `reading`.
    ///
    /// # Safety
    /// It has barred the readers, and nobody has unbarred them.
    #[inline]
    pub(crate) unsafe fn unbar(&self, reading: bool) {
        // Release: publishes what was written to the readers.
        let waiting = self.readers.fetch_add(WRITER + i64::from(reading), Ordering::Release) + WRITER;
        for _ in 0..waiting {
            semrelease(&self.reader_sema, true);
        }
    }

    /// The pass of a writer that goes on reading.
    pub(crate) const READING: Pass = Pass::COUNTED;

    // ------------------------------------------------------------------------------------------------- the bias

    /// Into a slot, if the lock is biased. `no_p` is for who has no slots.
    #[inline]
    fn enter_slot(&self, no_p: impl FnOnce()) -> Option<Pass> {
        let word = self.bias.load(Ordering::Relaxed);
        if word & ON == 0 {
            return None;
        }
        match park::my_slots() {
            Some(mine) => self.enter_biased(word, mine),
            None => {
                no_p();
                None
            }
        }
    }

    fn enter_biased(&self, word: u64, mine: &'static Slots) -> Option<Pass> {
        // SeqCst, as the look at the bias after it: see the file head. That look is an Acquire, too, which pairs with
        // the Release in begin_bias.
        let slot = mine.0.iter().find(|slot| {
            slot.0.load(Ordering::Relaxed) == 0
                && slot.0.compare_exchange(0, word, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        })?;
        seq_cst("readers: the reader's order");
        if self.bias.load(Ordering::SeqCst) == word || !sound("readers: the reader looks again") {
            return Some(Pass(Some(slot)));
        }
        // Acquire: as in leave; this is a leave, but for what follows it.
        let hands_on = sound("readers: hands on what another has done");
        let failed = if hands_on { Ordering::Acquire } else { Ordering::Relaxed };
        match slot.0.compare_exchange(word, 0, Ordering::Relaxed, failed) {
            Ok(_) => None,
            Err(_) => Some(Pass::COUNTED),
        }
    }

    /// By a reader that is in, and counted.
    #[cold]
    pub(crate) fn begin_bias(&self) {
        // A writer waits: it would have to end it again. (A hint.)
        if self.readers.load(Ordering::Relaxed) < 0 {
            return;
        }
        if self.bias.load(Ordering::Relaxed) == 0 {
            let name = (NAMES.0.fetch_add(1, Ordering::Relaxed) + 1) << 1;
            // Who is second has drawn a name for nothing.
            let _ = self.bias.compare_exchange(0, name, Ordering::Relaxed, Ordering::Relaxed);
        }
        // Release: who comes in by this sees what we see, which is all that the last writer did.
        self.bias.fetch_or(ON, Ordering::Release);
    }

    /// Ends the bias, and makes counted readers of those who read by it: how many that were. By the writer, who has barred
    /// the others.
    #[inline]
    fn end_bias(&self) -> i64 {
        // Relaxed: who began it was counted in, and has left, or is waited for.
        let word = self.bias.load(Ordering::Relaxed);
        if word & ON == 0 { 0 } else { self.count_in(word) }
    }

    #[cold]
    fn count_in(&self, word: u64) -> i64 {
        self.stop(word);
        let mut counted = 0;
        for slot in park::all_slots().flat_map(|s| &s.0) {
            // SeqCst: see the file head. Acquire: pairs with what leave did to the slot.
            if slot.0.load(Ordering::SeqCst) == word
                && slot.0.compare_exchange(word, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                counted += 1;
            }
        }
        // Relaxed: some may have left before it; the sum is what counts.
        self.readers.fetch_add(counted, Ordering::Relaxed);
        counted
    }

    fn stop(&self, word: u64) {
        // SeqCst, as the looks into the slots after it: see the file head.
        self.bias.swap(word & !ON, Ordering::SeqCst);
        seq_cst("readers: the writer's order");
    }

    #[cfg(not(any(gosched_loom, gosched_shuttle)))]
    pub(crate) fn asleep(&self) -> (usize, usize) {
        use crate::sema::waiting;
        (waiting(&self.reader_sema), waiting(&self.writer_sema))
    }

    pub(crate) fn is_biased(&self) -> bool {
        self.bias.load(Ordering::SeqCst) & ON != 0
    }

    /// Nobody is in and nobody has been forgotten.
    pub(crate) fn assert_free(&self) {
        let word = self.bias.load(Ordering::SeqCst) | ON;
        assert_eq!(self.readers.load(Ordering::SeqCst), 0);
        assert_eq!(self.leaving.load(Ordering::SeqCst), 0);
        assert!(park::all_slots().flat_map(|s| &s.0).all(|slot| slot.0.load(Ordering::SeqCst) != word));
    }
}
