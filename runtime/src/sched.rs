//! The scheduler's shared state and its one lock (Go: runtime/runtime2.go, `schedt`).
//!
//! ```text
//!   under `lock`:  the global run queue · idle Ps · idle Ms · dead Gs beyond what the Ps keep · birth and end of threads
//!   without it:    counters that are read as hints, the poller's token, the list of all Ps
//! ```
//! The lock is taken for short, fixed work: moving a batch, linking one P or M. Nothing is called with it held.

use crate::g::G;
use crate::glist::GQueue;
use crate::m::M;
use crate::note::Note;
use crate::p::P;
use crate::polltoken::PollToken;
use crate::spinning::Spinning;
use parking_lot::{Mutex, MutexGuard};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The most goroutines that move from the global queue to a local one at a time: half a ring.
const GLOB_BATCH: usize = 128;

/// What the lock guards.
pub(crate) struct Locked {
    runq: GQueue<G>,
    pub(crate) pidle: Option<&'static P>,
    pub(crate) midle: Option<&'static M>,
    /// Dead Gs that no P keeps, the last to die first.
    gfree: GQueue<G>,
    /// What became of them lately, for the scavenger: the fewest there were since it last looked, and whether any came.
    gfree_low: usize,
    gfree_came: bool,
    /// Ms that have a thread, and all that ever had: the next one's number.
    pub(crate) mcount: u64,
    pub(crate) mnext: u64,
    /// Ms without a thread.
    pub(crate) mfree: Option<&'static M>,
    /// How many Ms are on the idle list, and the fewest there were since the scavenger last looked.
    pub(crate) nmidle: usize,
    pub(crate) nmidle_low: usize,
    pub(crate) max_ms: u64,
    /// sysmon sleeps until somebody leaves the idle state.
    pub(crate) sysmonwait: bool,
}

pub(crate) struct Sched {
    lock: Mutex<Locked>,
    /// Length of the global run queue. Written under the lock, read as a hint.
    runqsize: AtomicUsize,
    pub(crate) spin: Spinning,
    /// GOMAXPROCS.
    procs: AtomicU32,
    /// All Ps ever made: a leaked array, replaced when it grows.
    allp: AtomicPtr<Vec<&'static P>>,
    /// For waiting in the poller.
    pub(crate) poll: PollToken,
    /// Next goroutine id not handed to any P.
    goidgen: AtomicU64,
    /// Goroutines started from threads without a P.
    pub(crate) gcount: AtomicI64,
    /// Calls of `run` in progress.
    pub(crate) runs: AtomicUsize,
    /// Main goroutines alive, and those of them for which a plain thread waits. Changed by the main goroutine itself.
    pub(crate) mains: AtomicUsize,
    pub(crate) mains_on_threads: AtomicUsize,
    /// Ms that sleep in their `park` and that nobody has begun to wake.
    pub(crate) asleep: AtomicI64,
    /// All is dead but for foreign threads: checkdead.rs.
    pub(crate) only_foreign: AtomicBool,
    pub(crate) started: AtomicBool,
    pub(crate) sysmon_note: SysmonNote,
    /// Statistics.
    pub(crate) handoffs: AtomicU64,
}

/// sysmon's own note; made at start.
pub(crate) struct SysmonNote(UnsafeCell<Option<Note>>);
// SAFETY: written once in schedinit, before there is another thread; a Note is made to be shared.
unsafe impl Sync for SysmonNote {}

impl SysmonNote {
    /// # Safety
    /// Called once, before any thread of the scheduler runs.
    pub(crate) unsafe fn init(&self) {
        // SAFETY: as promised.
        unsafe { *self.0.get() = Some(Note::new()) };
    }

    pub(crate) fn get(&self) -> &Note {
        // SAFETY: not written any more once threads run.
        unsafe { (*self.0.get()).as_ref() }.expect("made in schedinit")
    }
}

pub(crate) static SCHED: Sched = Sched {
    lock: Mutex::new(Locked {
        runq: GQueue::new(),
        pidle: None,
        midle: None,
        gfree: GQueue::new(),
        gfree_low: 0,
        gfree_came: false,
        mcount: 0,
        mnext: 0,
        mfree: None,
        nmidle: 0,
        nmidle_low: 0,
        max_ms: 10_000,
        sysmonwait: false,
    }),
    runqsize: AtomicUsize::new(0),
    spin: Spinning::new(),
    procs: AtomicU32::new(0),
    allp: AtomicPtr::new(ptr::null_mut()),
    poll: PollToken::new(),
    goidgen: AtomicU64::new(1),
    gcount: AtomicI64::new(0),
    runs: AtomicUsize::new(0),
    mains: AtomicUsize::new(0),
    mains_on_threads: AtomicUsize::new(0),
    asleep: AtomicI64::new(0),
    only_foreign: AtomicBool::new(false),
    started: AtomicBool::new(false),
    sysmon_note: SysmonNote(UnsafeCell::new(None)),
    handoffs: AtomicU64::new(0),
};

/// The function that a new thread of the scheduler runs (schedule.rs, above this file; handed over at start).
pub(crate) static MSTART: OnceLock<fn(&'static M)> = OnceLock::new();

impl Sched {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.lock.lock()
    }

    /// GOMAXPROCS.
    #[inline]
    pub(crate) fn procs(&self) -> u32 {
        self.procs.load(Ordering::Relaxed)
    }

    pub(crate) fn allp(&self) -> &'static [&'static P] {
        // Acquire: pairs with set_allp.
        // SAFETY: null or a leaked Vec.
        unsafe { self.allp.load(Ordering::Acquire).as_ref() }.map_or(&[], |v| v)
    }

    /// As `allp`, in one order with what else is SeqCst: has every P that has done such a thing before. (readers.rs)
    pub(crate) fn allp_now(&self) -> &'static [&'static P] {
        // SAFETY: as in allp.
        unsafe { self.allp.load(Ordering::SeqCst).as_ref() }.map_or(&[], |v| v)
    }

    /// Replaces the list of all Ps, when it has grown, and says how many of them are in use. Under the scheduler's lock.
    pub(crate) fn set_allp(&self, all: Option<Vec<&'static P>>, procs: u32) {
        if let Some(all) = all {
            // Release: pairs with the Acquire in `allp`. SeqCst: see `allp_now`.
            self.allp.store(Box::into_raw(Box::new(all)), Ordering::SeqCst);
        }
        self.procs.store(procs, Ordering::Relaxed);
    }

    /// The Ps beyond GOMAXPROCS, after it was lowered: see procresize.rs.
    pub(crate) fn retired(&self) -> &'static [&'static P] {
        self.allp().get(self.procs() as usize..).unwrap_or(&[])
    }

    /// Whether this P is beyond GOMAXPROCS.
    #[inline]
    pub(crate) fn is_retired(&self, p: &P) -> bool {
        p.id >= self.procs()
    }

    /// Length of the global run queue, as a hint.
    #[inline]
    pub(crate) fn runqsize(&self) -> usize {
        self.runqsize.load(Ordering::Relaxed)
    }

    /// A batch of fresh goroutine ids: the first of `n`.
    pub(crate) fn goids(&self, n: u64) -> u64 {
        self.goidgen.fetch_add(n, Ordering::Relaxed)
    }
}

impl Locked {
    fn publish(&self) {
        // Relaxed: a hint, and the last look before sleeping is behind a full fence (spinning.rs).
        SCHED.runqsize.store(self.runq.len(), Ordering::Relaxed);
    }

    /// Takes up to `n` dead Gs.
    pub(crate) fn gfget(&mut self, n: usize) -> GQueue<G> {
        let some = self.gfree.split_front(n);
        self.gfree_low = self.gfree_low.min(self.gfree.len());
        some
    }

    /// Takes dead Gs in. To the front, so that few are in use and those are warm.
    pub(crate) fn gfput(&mut self, list: &mut GQueue<G>) {
        self.gfree_came |= !list.is_empty();
        self.gfree.prepend(list);
    }

    /// For the scavenger: takes all dead Gs, if most have not been needed since it last asked; and says how many, from the
    /// front, have. It gives back what it does not use up, those first.
    pub(crate) fn gfree_take(&mut self) -> Option<(GQueue<G>, usize)> {
        let len = self.gfree.len();
        let unused = std::mem::replace(&mut self.gfree_low, len).min(len);
        if unused == len {
            self.gfree_came = false;
        }
        (unused > len / 2).then(|| {
            self.gfree_low = 0;
            (std::mem::take(&mut self.gfree), len - unused)
        })
    }

    /// Takes Gs of `gfree_take` back.
    pub(crate) fn gfree_return(&mut self, list: &mut GQueue<G>) {
        self.gfree.append(list);
    }

    /// Whether dead Gs have come that `gfree_take` has not given yet.
    pub(crate) fn gfree_has_surplus(&self) -> bool {
        self.gfree_came
    }

    /// Puts a goroutine at the end of the global queue.
    pub(crate) fn globrunqput(&mut self, g: &'static G) {
        self.runq.push_back(g.ptr());
        self.publish();
    }

    /// Puts a list at the end of the global queue.
    pub(crate) fn globrunqputbatch(&mut self, list: &mut GQueue<G>) {
        self.runq.append(list);
        self.publish();
    }

    /// Takes one.
    pub(crate) fn globrunqget(&mut self) -> Option<&'static G> {
        let g = self.runq.pop_front()?;
        self.publish();
        Some(G::of(g))
    }

    /// Takes a fair share: the first to run now, the others into the local queue of `p`, whose ring is empty.
    pub(crate) fn globrunqgetbatch(&mut self, p: &'static P) -> Option<&'static G> {
        let size = self.runq.len();
        let n = GLOB_BATCH.min(size).min(size / SCHED.procs() as usize + 1);
        let mut batch = self.runq.split_front(n);
        self.publish();
        let first = batch.pop_front()?;
        p.runq.runqputbatch(&mut batch);
        debug_assert!(batch.is_empty(), "half a ring has room for {GLOB_BATCH}");
        self.runq.append(&mut batch);
        Some(G::of(first))
    }
}
