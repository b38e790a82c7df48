//! G: a goroutine (Go: runtime/runtime2.go, `g`).
//!
//! ```text
//!               go f()                 execute                      body returns
//!   (gfree) ──► Runnable ───────────► Running ───────────────────────► Dead ──► (gfree)
//!                  ▲                   │   │
//!                  └───── yield ───────┘   │ gopark
//!                  ▲                       ▼
//!                  └────── goready ──── Waiting
//! ```
//!
//! | state    | who owns the G (may touch its non-atomic fields, may move it on)                               |
//! |----------|------------------------------------------------------------------------------------------------|
//! | Dead     | the free list it stands in: a P's, or the global one under the scheduler's lock                 |
//! | Runnable | the run queue it stands in, or whoever has just taken it out and has not resumed it yet         |
//! | Running  | the M that runs it (`m`); on its own stack, the goroutine itself                                |
//! | Waiting  | whoever owes it the wake-up: the owner of the sudog queue, timer or poll descriptor             |
//!
//! The states are there to be read by people and asserted by tests; who owns a G follows from which structure it
//! stands in, and every hand-over goes through a lock or a release/acquire pair of that structure.
//!
//! Gs are recycled, and a stale pointer to one (a timer that lost its race) always finds a head that its ticket does not
//! fit (waiter.rs). allgs.rs has the memory that they live in.

use crate::clock;
use crate::coro::{Coro, Suspender};
use crate::glist::{GQueue, Linked};
use crate::locals::Locals;
use crate::reason::WaitReason;
use crate::stack;
use crate::sys::{Regs, SharedRegs, cpu};
use crate::waiter::{Waiter, WaiterHead, WaiterKind};
use std::cell::{Cell, UnsafeCell};
use std::mem::{MaybeUninit, offset_of};
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The last step before a waiter sleeps: runs once the waiter has left its stack. Gets the waiter and the word given
/// to [`gopark`](crate::park::gopark). `false` calls the sleep off, and `gopark` returns at once.
///
/// It runs on the scheduler's own stack: it may unlock, publish and start timers; it must not park, panic, or touch
/// what the waiter owns after the step that makes the waiter reachable (its last unlock).
///
/// ```
/// use gosched_runtime::park::{Commit, WaitReason, gopark};
///
/// let call_off: Commit = |_, _| false;
/// // SAFETY: nobody is to ready it: the commit calls the sleep off.
/// unsafe { gopark(call_off, std::ptr::null_mut(), WaitReason::Other) };
/// ```
pub type Commit = unsafe fn(Waiter, *mut ()) -> bool;

/// What a goroutine asks of the scheduler when it leaves its stack; obeyed on the M's own stack (schedule.rs).
pub(crate) enum Order {
    /// Put me at the end of the global list. (runtime.Gosched)
    Yield,
    /// I wait: call `commit(waiter, arg)` now that I am off my stack; run me again at once if it says false.
    Park { commit: Commit, arg: *mut () },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Gstatus {
    Dead = 0,
    Runnable = 1,
    Running = 2,
    Waiting = 3,
}

impl Gstatus {
    fn of(v: u8) -> Gstatus {
        match v {
            0 => Gstatus::Dead,
            1 => Gstatus::Runnable,
            2 => Gstatus::Running,
            _ => Gstatus::Waiting,
        }
    }
}

/// One in so many times that a goroutine becomes runnable is measured (Go: `gTrackingPeriod`, 8). To read the clock twice
/// takes as many instructions as a switch: one in 8 would make a yield dearer by 15 %.
const TRACKING_PERIOD: u8 = 32;

/// The time in units of 64 ns, never 0; goes round after four minutes and a half.
#[cold]
fn ticks() -> u32 {
    (clock::nanotime() >> 6) as u32 | 1
}

/// Words for the closure of `go f()` inside the G; a larger closure is boxed.
const INLINE_WORDS: usize = 8;

/// A goroutine's function until its first run, moved in without a heap allocation where it fits.
struct Entry {
    /// Moves the closure out of `data` and runs it. Called once.
    call: unsafe fn(*mut ()),
    data: [MaybeUninit<usize>; INLINE_WORDS],
}

/// What few goroutines have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    /// Where its starter has got one for it already. Taken at its first run.
    pub(crate) stack: Option<stack::Stack>,
}

/// The fields stand in the order of their use: what every switch touches fills the first two cache lines. Four in all.
#[repr(C, align(64))] // repr(C): the head first, see WaiterHead
pub(crate) struct G {
    head: WaiterHead,
    /// Link of the list that it stands in; owned by that list.
    schedlink: UnsafeCell<*mut G>,
    /// The M that runs it (an `M`; untyped, because m.rs lies above this file). Written by that M before it resumes the
    /// goroutine; read by the goroutine itself, anew after each park.
    m: AtomicPtr<()>,
    /// The M that it may not leave (lock_os_thread, or parked while unwinding), or null. Written while Running by the
    /// goroutine, read by whoever takes it out of a run queue.
    pub(crate) lockedm: AtomicPtr<()>,
    /// How many reasons there are for `lockedm`. The goroutine's own.
    pub(crate) locks: Cell<u16>,
    /// Its last `syscall(f)` took long. The goroutine's own.
    pub(crate) blocks: Cell<bool>,
    status: AtomicU8,
    reason: AtomicU8,
    /// In `syscall(f)`: sysmon need not wait 10 ms. Written by the goroutine, a hint.
    pub(crate) in_syscall: AtomicBool,
    /// Scopes in which goroutines may borrow from its stack; 255 is as good as for ever. The goroutine's own to write.
    lent: AtomicU8,
    /// While it waits: since when, by the coarse clock. While it is runnable: since when, in ticks of 64 ns, or 0 where that
    /// is not measured (latency.rs).
    since: AtomicU32,
    /// In a trace: the number of the arrow to its next run (trace/point.rs). Written by whoever makes it runnable.
    pub(crate) flow: AtomicU32,
    /// The way off the stack. Written at the start of the first run, by the goroutine.
    suspender: Cell<Option<Suspender<Order>>>,
    /// Present from the first run to the end. Owned by the M that runs it.
    coro: UnsafeCell<Option<Coro<Order>>>,
    /// Where it left its stack, or parked on its thread. Written by the goroutine.
    regs: SharedRegs,
    goid: AtomicU64,
    /// The goroutine that started it; 0 for a plain thread.
    parent: AtomicU64,
    /// Where `go` was called; a `Location`, or null.
    site: AtomicPtr<Location<'static>>,
    /// Written before the goroutine becomes runnable and when it is dead.
    extra: UnsafeCell<Option<Box<Extra>>>,
    entry: UnsafeCell<Entry>,
    /// Its goroutine-locals. The goroutine's own.
    locals: Locals,
}

// SAFETY: the file head's table says who may touch the non-atomic fields; every hand-over synchronises.
unsafe impl Sync for G {}
// SAFETY: as above.
unsafe impl Send for G {}

// SAFETY: `link` gives the schedlink of this very G, which only the list that holds it writes.
unsafe impl Linked for G {
    #[inline]
    fn link(this: NonNull<G>) -> *mut *mut G {
        // SAFETY: a member of a list is not given back (allgs.rs).
        unsafe { this.as_ref() }.schedlink.get()
    }
}

unsafe fn no_entry(_: *mut ()) {
    unreachable!("a goroutine without a function was run")
}

/// Where its fields are, for debuggers (debugger.rs).
#[repr(C)]
pub(crate) struct OffsetsOfG {
    size: u32,
    goid: u32,
    status: u32,
    reason: u32,
    in_syscall: u32,
    regs_pc: u32,
    regs_sp: u32,
    regs_fp: u32,
    site: u32,
    extra: u32,
    /// Inside `Extra`.
    name: u32,
}

impl G {
    /// For debuggers.
    pub(crate) const OFFSETS: OffsetsOfG = OffsetsOfG {
        size: size_of::<G>() as u32,
        goid: offset_of!(G, goid) as u32,
        status: offset_of!(G, status) as u32,
        reason: offset_of!(G, reason) as u32,
        in_syscall: offset_of!(G, in_syscall) as u32,
        regs_pc: (offset_of!(G, regs) + offset_of!(SharedRegs, pc)) as u32,
        regs_sp: (offset_of!(G, regs) + offset_of!(SharedRegs, sp)) as u32,
        regs_fp: (offset_of!(G, regs) + offset_of!(SharedRegs, fp)) as u32,
        site: offset_of!(G, site) as u32,
        extra: offset_of!(G, extra) as u32,
        name: offset_of!(Extra, name) as u32,
    };

    /// A new, dead G.
    pub(crate) fn new() -> G {
        G {
            head: WaiterHead::new(WaiterKind::Goroutine, clock::nanotime()),
            schedlink: UnsafeCell::new(ptr::null_mut()),
            m: AtomicPtr::new(ptr::null_mut()),
            lockedm: AtomicPtr::new(ptr::null_mut()),
            locks: Cell::new(0),
            blocks: Cell::new(false),
            goid: AtomicU64::new(0),
            status: AtomicU8::new(Gstatus::Dead as u8),
            reason: AtomicU8::new(0),
            in_syscall: AtomicBool::new(false),
            lent: AtomicU8::new(0),
            since: AtomicU32::new(0),
            flow: AtomicU32::new(0),
            parent: AtomicU64::new(0),
            regs: SharedRegs::new(),
            site: AtomicPtr::new(ptr::null_mut()),
            coro: UnsafeCell::new(None),
            suspender: Cell::new(None),
            entry: UnsafeCell::new(Entry { call: no_entry, data: [MaybeUninit::uninit(); INLINE_WORDS] }),
            extra: UnsafeCell::new(None),
            locals: Locals::new(),
        }
    }

    /// The G behind a pointer that came out of a queue.
    #[inline]
    pub(crate) fn of(p: NonNull<G>) -> &'static G {
        // SAFETY: every such pointer came from `allgs`; what stands in a queue, runs or owns a stack is not given back.
        unsafe { p.as_ref() }
    }

    #[inline]
    pub(crate) fn ptr(&'static self) -> NonNull<G> {
        NonNull::from(self)
    }

    #[inline]
    pub(crate) fn waiter(&'static self) -> Waiter {
        Waiter(self.ptr().cast())
    }

    /// The G of a waiter that is one.
    #[inline]
    pub(crate) fn of_waiter(w: Waiter) -> &'static G {
        debug_assert_ne!(w.head().kind(), WaiterKind::Thread);
        // A head of another kind is the first field of a G (repr(C)).
        G::of(w.0.cast())
    }

    /// Marks it runnable and puts it in a list on its way to a run queue.
    ///
    /// # Safety
    /// The caller owes this waiting goroutine its wake-up.
    pub(crate) unsafe fn push_ready(&'static self, list: &mut GQueue<G>) {
        self.set_runnable();
        list.push_back(self.ptr());
    }

    #[inline]
    pub(crate) fn m_raw(&self) -> *mut () {
        self.m.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_m_raw(&self, m: *mut ()) {
        self.m.store(m, Ordering::Relaxed);
    }

    pub(crate) fn goid(&self) -> u64 {
        self.goid.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn status(&self) -> Gstatus {
        // Acquire: pairs with the Release in `set_status`, for those who look from outside (debug.rs).
        Gstatus::of(self.status.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn set_status(&self, s: Gstatus) {
        self.status.store(s as u8, Ordering::Release);
    }

    /// Why it waits, if it does.
    pub(crate) fn reason(&self) -> WaitReason {
        WaitReason::of(self.reason.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn set_waiting(&self, r: WaitReason) {
        self.reason.store(r as u8, Ordering::Relaxed);
        self.since.store(clock::coarse(), Ordering::Relaxed);
        self.set_status(Gstatus::Waiting);
    }

    /// On its way to a run queue; now and then with the time. By whoever makes it runnable.
    #[inline]
    pub(crate) fn set_runnable(&self) {
        let turns = self.head.turns.load(Ordering::Relaxed).wrapping_add(1);
        self.head.turns.store(turns, Ordering::Relaxed);
        let since = if turns.is_multiple_of(TRACKING_PERIOD) { ticks() } else { 0 };
        self.since.store(since, Ordering::Relaxed);
        self.set_status(Gstatus::Runnable);
    }

    /// How long it has been runnable, in nanoseconds, where that is measured. By the M that is about to run it.
    #[inline]
    pub(crate) fn runnable_for(&self) -> Option<u64> {
        let since = self.since.load(Ordering::Relaxed);
        (since != 0).then(|| u64::from(ticks().wrapping_sub(since) & !1) * 64)
    }

    /// Since when it waits, if it does, by the coarse clock.
    pub(crate) fn since(&self) -> u32 {
        self.since.load(Ordering::Relaxed)
    }

    /// The goroutine that started it, if one did.
    pub(crate) fn parent(&self) -> Option<u64> {
        Some(self.parent.load(Ordering::Relaxed)).filter(|&id| id != 0)
    }

    /// Notes where the goroutine is, for those who print its stack. By the goroutine, whose frame here lasts until it is
    /// woken.
    #[inline(always)]
    pub(crate) fn set_regs(&self) {
        self.regs.set(Regs::here());
    }

    /// It will run after the next one: brings what a switch touches into the cache. (A hint: the G may be anyone's by now. It is
    /// mapped in any case, see allgs.rs.)
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        let this = std::ptr::from_ref(self).addr();
        cpu::prefetch(this);
        cpu::prefetch(this + 64);
        cpu::prefetch(this + 128);
    }

    /// It will run next: the same for the end of its stack, the frames that it returns to first.
    #[inline(always)]
    pub(crate) fn prefetch_stack(&self) {
        let sp = self.regs.sp.load(Ordering::Relaxed);
        for line in 0..4 {
            cpu::prefetch(sp.wrapping_add(64 * line));
        }
    }

    /// Where it left its stack, or parked on its thread.
    ///
    /// # Safety
    /// The goroutine waits or is runnable, and nobody runs it meanwhile.
    pub(crate) unsafe fn regs(&self) -> Regs {
        self.regs.get()
    }

    /// A scope of this goroutine begins: others may borrow what is on its stack. By the goroutine.
    pub(crate) fn lend(&self) {
        self.lent.store(self.lent.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
    }

    /// The scope has ended. By the goroutine.
    pub(crate) fn lend_no_more(&self) {
        let lent = self.lent.load(Ordering::Relaxed);
        if lent != u8::MAX {
            self.lent.store(lent - 1, Ordering::Relaxed);
        }
    }

    /// Whether others may have borrowed what is on its stack.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Relaxed) != 0
    }

    /// Where it was started.
    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: only ever written from a `&'static Location`.
        unsafe { self.site.load(Ordering::Relaxed).as_ref() }
    }

    /// Its name, if it has one.
    ///
    /// # Safety
    /// Called by the goroutine itself, or while it is certain to be alive.
    pub(crate) unsafe fn name(&self) -> Option<&str> {
        // SAFETY: `extra` is not written while the goroutine is alive.
        unsafe { (*self.extra.get()).as_ref() }?.name.as_deref()
    }

    /// Its goroutine-locals.
    ///
    /// # Safety
    /// Called by the goroutine itself.
    #[inline]
    pub(crate) unsafe fn locals(&self) -> &Locals {
        &self.locals
    }

    /// Makes a dead G ready for its first run.
    ///
    /// # Safety
    /// The caller has taken this dead G out of a free list (or made it).
    #[inline]
    pub(crate) unsafe fn init<F: FnOnce()>(
        &self,
        goid: u64,
        parent: u64,
        site: &'static Location<'static>,
        extra: Option<Box<Extra>>,
        f: F,
    ) {
        self.goid.store(goid, Ordering::Relaxed);
        self.parent.store(parent, Ordering::Relaxed);
        self.site.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        // SAFETY: a dead G in nobody's list is the caller's.
        unsafe {
            *self.extra.get() = extra;
            let entry = &mut *self.entry.get();
            if size_of::<F>() <= size_of_val(&entry.data) && align_of::<F>() <= align_of::<usize>() {
                entry.data.as_mut_ptr().cast::<F>().write(f);
                entry.call = call_inline::<F>;
            } else {
                entry.data[0].write(Box::into_raw(Box::new(f)) as usize);
                entry.call = call_boxed::<F>;
            }
        }
    }

    /// The stack that its starter has got for it.
    ///
    /// # Safety
    /// The caller owns this runnable G.
    #[inline]
    pub(crate) unsafe fn own_stack(&self) -> Option<stack::Stack> {
        // SAFETY: as promised; the reference ends here.
        unsafe { (*self.extra.get()).as_mut() }?.stack.take()
    }

    /// Whether it has run before.
    ///
    /// # Safety
    /// The caller owns this runnable G.
    #[inline]
    pub(crate) unsafe fn started(&self) -> bool {
        // SAFETY: as promised.
        unsafe { (*self.coro.get()).is_some() }
    }

    /// Binds a stack to it, at its first run.
    ///
    /// # Safety
    /// The caller owns this runnable G, which has no stack.
    #[inline]
    pub(crate) unsafe fn bind(&'static self, s: stack::Stack) {
        s.set_owner(ptr::from_ref(self).cast_mut().cast());
        let body = move |suspender| {
            self.suspender.set(Some(suspender));
            let entry = self.entry.get();
            // SAFETY: the entry was filled by `init` and is consumed here, once.
            unsafe { ((*entry).call)((*entry).data.as_mut_ptr().cast()) };
        };
        // SAFETY: as promised.
        unsafe { *self.coro.get() = Some(Coro::new(s, body)) };
    }

    /// Its coroutine.
    ///
    /// # Safety
    /// The caller is the M that runs this goroutine, on its own stack.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn coro(&self) -> &mut Option<Coro<Order>> {
        // SAFETY: as promised.
        unsafe { &mut *self.coro.get() }
    }

    /// Leaves its stack with an order; comes back when it is run again, perhaps on another M. It leaves from inside the
    /// runtime (m.rs, `enter`) and comes back outside of it.
    ///
    /// # Safety
    /// Called by this goroutine, on its own stack, with nothing tied to the thread held.
    #[inline]
    pub(crate) unsafe fn suspend(&self, order: Order) {
        self.set_regs();
        let suspender = self.suspender.get().expect("a running goroutine has a suspender");
        // SAFETY: the suspender was set at the start of this very run, on this stack.
        unsafe { suspender.suspend(order) }
    }

    /// Forgets what the finished goroutine left.
    ///
    /// # Safety
    /// The caller owns this dead G.
    #[inline]
    pub(crate) unsafe fn clear(&self) {
        // A goroutine that has not run yet is nowhere.
        self.regs.set(Regs::NONE);
        self.lent.store(0, Ordering::Relaxed);
        self.blocks.set(false);
        // SAFETY: as promised.
        unsafe { *self.extra.get() = None };
    }
}

/// # Safety
/// `data` holds an F, moved out by this call.
unsafe fn call_inline<F: FnOnce()>(data: *mut ()) {
    // SAFETY: as promised.
    let f = unsafe { data.cast::<F>().read() };
    f();
}

/// # Safety
/// `data` holds the pointer of a boxed F, moved out by this call.
unsafe fn call_boxed<F: FnOnce()>(data: *mut ()) {
    // SAFETY: as promised; written by `init` from Box::into_raw.
    let f = unsafe { Box::from_raw(data.cast::<usize>().read() as *mut F) };
    f();
}

// A million parked goroutines: each byte here is a megabyte, and a fifth cache line would be 64.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<G>() == 256);
