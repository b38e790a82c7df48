//! P: the right to run goroutines, and the caches that come with it (Go: runtime/runtime2.go, `p`).
//!
//! There are GOMAXPROCS of them. An M must hold one to run goroutines; an M that holds none sleeps, or is in code that
//! the scheduler took the P away from.
//!
//! | status  | who owns the P (its `local` part, the owner's side of its run queue)            |
//! |---------|---------------------------------------------------------------------------------|
//! | Idle    | the scheduler's list of idle Ps, under the scheduler's lock; or the M that took it out and has not `acquirep`ed yet |
//! | Running | the M in `m`, while it is inside the runtime; nobody while that M runs user code (handshake.rs) |
//!
//! Ps are made by `procresize` and never freed.

use crate::g::G;
use crate::glist::GQueue;
use crate::latency::Latencies;
use crate::readers::Slots;
use crate::runq::RunQ;
use crate::stack::StackCache;
use crate::timers::Timers;
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Pstatus {
    Idle = 0,
    Running = 1,
}

/// The part of a P that only its owner touches.
pub(crate) struct PLocal {
    /// Dead Gs, to be used again.
    pub(crate) gfree: GQueue<G>,
    pub(crate) stacks: StackCache,
    /// Goroutine ids handed out in batches: the next, and the end of the batch.
    pub(crate) goid_next: u64,
    pub(crate) goid_end: u64,
}

impl PLocal {
    /// The next goroutine gets the id `first`, and so on for ever.
    pub(crate) fn restart_goids(&mut self, first: u64) {
        self.goid_next = first;
        self.goid_end = u64::MAX;
    }
}

#[repr(align(128))] // two cache lines: Ps of different cores share none
pub(crate) struct P {
    pub(crate) id: u32,
    status: AtomicU8,
    /// The M that holds it (an `M`), or null.
    m: AtomicPtr<()>,
    /// Put away: beyond GOMAXPROCS, or not yet in use. Under the scheduler's lock.
    pub(crate) retired: AtomicBool,
    /// Link in the list of idle Ps; under the scheduler's lock.
    pub(crate) link: Cell<Option<&'static P>>,
    /// For the scavenger, under the scheduler's lock: how many goroutines it had run when that last looked, and whether it
    /// has given up what it kept since it became idle.
    pub(crate) unused_since: Cell<u32>,
    pub(crate) flushed: Cell<bool>,
    /// Counts the time slices. Written by the owner, read by sysmon.
    schedtick: AtomicU32,
    /// Counts the goroutines put on the processor, in slices of their own or inherited ones. As `schedtick`.
    switches: AtomicU32,
    /// The time slice is over: the next goroutine in `runnext` does not inherit it. Set by sysmon, cleared by the owner.
    preempt: AtomicBool,
    pub(crate) runq: RunQ<G>,
    pub(crate) timers: Timers,
    /// Goroutines started here minus those that ended here. Written by the owner; the sum over all Ps counts.
    gcount: AtomicI64,
    /// Work stolen from others, for the statistics. Written by the owner.
    pub(crate) steals: AtomicU32,
    /// Locks that are read under by goroutines that run, or ran, here.
    pub(crate) readers: Slots,
    pub(crate) latencies: Latencies,
    local: UnsafeCell<PLocal>,
}

// SAFETY: the table above says who may touch the non-atomic parts.
unsafe impl Sync for P {}
// SAFETY: as above.
unsafe impl Send for P {}

impl P {
    pub(crate) fn new(id: u32) -> &'static P {
        Box::leak(Box::new(P {
            id,
            status: AtomicU8::new(Pstatus::Idle as u8),
            m: AtomicPtr::new(std::ptr::null_mut()),
            retired: AtomicBool::new(true), // until procresize has put it to use
            link: Cell::new(None),
            unused_since: Cell::new(0),
            flushed: Cell::new(true),
            schedtick: AtomicU32::new(0),
            switches: AtomicU32::new(0),
            preempt: AtomicBool::new(false),
            runq: RunQ::new(),
            timers: Timers::new(),
            gcount: AtomicI64::new(0),
            steals: AtomicU32::new(0),
            readers: Slots::new(),
            latencies: Latencies::new(),
            local: UnsafeCell::new(PLocal {
                gfree: GQueue::new(),
                stacks: StackCache::new(),
                goid_next: 0,
                goid_end: 0,
            }),
        }))
    }

    /// The owner's part.
    ///
    /// # Safety
    /// The caller owns this P (table above) and holds no other reference into this part.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn local(&self) -> &mut PLocal {
        // SAFETY: as promised.
        unsafe { &mut *self.local.get() }
    }

    #[inline]
    pub(crate) fn status(&self) -> Pstatus {
        match self.status.load(Ordering::Relaxed) {
            0 => Pstatus::Idle,
            _ => Pstatus::Running,
        }
    }

    #[inline]
    pub(crate) fn m_raw(&self) -> *mut () {
        // Acquire: pairs with the Release in `hold`; the thief looks into the M that it finds here.
        self.m.load(Ordering::Acquire)
    }

    /// Notes who holds it (null: nobody). By the new or the old holder, or by the thief under the M's retake lock.
    #[inline]
    pub(crate) fn hold(&self, m: *mut ()) {
        self.status
            .store(if m.is_null() { Pstatus::Idle } else { Pstatus::Running } as u8, Ordering::Relaxed);
        self.m.store(m, Ordering::Release);
    }

    #[inline]
    pub(crate) fn schedtick(&self) -> u32 {
        self.schedtick.load(Ordering::Relaxed)
    }

    /// A new time slice begins. Owner only: a load and a store, not an atomic addition.
    #[inline]
    pub(crate) fn tick(&self) {
        self.schedtick.store(self.schedtick.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn switches(&self) -> u32 {
        self.switches.load(Ordering::Relaxed)
    }

    /// A goroutine is put on the processor. Owner only.
    #[inline]
    pub(crate) fn switched(&self) {
        self.switches.store(self.switches.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Ends the time slice that `runnext` inherits. By sysmon.
    pub(crate) fn preempt(&self) {
        self.preempt.store(true, Ordering::Relaxed);
    }

    /// Whether the time slice was ended; asked once. Owner only.
    #[inline]
    pub(crate) fn take_preempt(&self) -> bool {
        let over = self.preempt.load(Ordering::Relaxed);
        if over {
            self.preempt.store(false, Ordering::Relaxed);
        }
        over
    }

    #[inline]
    pub(crate) fn gcount(&self) -> i64 {
        self.gcount.load(Ordering::Relaxed)
    }

    /// Owner only.
    #[inline]
    pub(crate) fn gcount_add(&self, n: i64) {
        self.gcount.store(self.gcount.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
}
