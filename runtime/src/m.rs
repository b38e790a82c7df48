//! M: a thread of the scheduler (Go: runtime/runtime2.go, `m`), and the way into the runtime and out of it.
//!
//! ## Where am I?
//! Code of ours is called in three surroundings, told apart without thread-local storage where it is fastest:
//!
//! ```text
//!   on a goroutine       the stack pointer lies in the slab; its slot names the G, the G names its M   getg()
//!   on an M's own stack  (g0) the scheduler itself, timers and pollers that it calls: TLS names the M  current_m()
//!   on any other thread  neither
//! ```
//! A goroutine re-reads its M after every park: it may have moved.
//!
//! ## In and out of the runtime
//! A call from user code into the runtime begins with `enter` and ends with `leave`. In between nobody takes the M's P
//! away; outside, sysmon may. handshake.rs has the protocol and why it is right.
//!
//! **Without a P** a goroutine may do all that does not park: start others, ready others, start timers; these go to the
//! global queue and to the first P's heap. It does not wait for a P there, for it may hold a lock of its own or of a
//! channel, and whoever wants that lock would wait with it; and it may hold a value of its thread, which only a call that
//! parks may make it leave. When it parks it leaves its stack as ever; its M then has no P, and gets one or sleeps.
//!
//! The scheduler's own stack (g0) is inside the runtime all the time.

use crate::g::G;
use crate::handshake::Handshake;
use crate::note::Note;
use crate::p::P;
use crate::sys::fault::AltStack;
use crate::trace::ring::Tracer;
use crate::{stack, sys};
use parking_lot::Mutex;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// A flag with one writer at a time that others may look at.
pub(crate) struct Flag(AtomicBool);

impl Flag {
    #[inline]
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, v: bool) {
        self.0.store(v, Ordering::Relaxed);
    }

    /// Sets it, and gives what it was.
    #[inline]
    pub(crate) fn replace(&self, v: bool) -> bool {
        let was = self.get();
        self.set(v);
        was
    }
}

/// How often the Ps other than `by` had switched at a time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Others {
    pub(crate) by: u32,
    pub(crate) at: u64,
    pub(crate) switches: u32,
}

#[repr(align(128))] // two cache lines: Ms of different cores share none
pub(crate) struct M {
    /// The number of its thread; another one when it gets another thread.
    id: AtomicU64,
    /// Whether it is inside the runtime, and who decides about its P.
    pub(crate) handshake: Handshake,
    /// The P that it holds, or null. Its own while it is inside the runtime; otherwise the thief's to change.
    p: AtomicPtr<P>,
    /// The goroutine that runs on it, or null. Written by this M.
    curg: AtomicPtr<G>,
    /// Asleep, or at the gate: it resumes nothing before it has passed the gate (freeze.rs). Its own to write.
    quiet: AtomicBool,
    /// The M made before this one.
    older: Option<&'static M>,
    /// Looks for work; counted in `Spinning` (Go: nmspinning). Its own, except that a waker sets it before `notewakeup`.
    pub(crate) spinning: Flag,
    /// It is in the middle of waking another. Its own to write.
    pub(crate) wakes: Flag,
    /// What it saw of the other Ps when it last found nothing. Its own.
    pub(crate) others: Cell<Others>,
    /// Where it sleeps without work.
    pub(crate) park: Note,
    /// The P that it gets when it is woken; none: its thread is to end. Written by the waker before `notewakeup`.
    pub(crate) nextp: Cell<Option<&'static P>>,
    /// Where its thread handles faults. Its own.
    pub(crate) altstack: Cell<Option<AltStack>>,
    /// What it says while a trace is written.
    pub(crate) tracer: Tracer,
    /// Link in the list of idle Ms, or of those without a thread; under the scheduler's lock.
    pub(crate) link: Cell<Option<&'static M>>,
}

// SAFETY: the cells belong to the M's thread while it runs, and while it sleeps in `park` to the one who took it out of
// the idle list (or made it, or owns its locked goroutine); the note hands them over.
unsafe impl Sync for M {}
// SAFETY: as above.
unsafe impl Send for M {}

/// The M made last: the head of the list of all.
static NEWEST: Mutex<Option<&'static M>> = Mutex::new(None);

thread_local! {
    static CURRENT: Cell<Option<&'static M>> = const { Cell::new(None) };
}

impl M {
    /// A new M, without a thread yet. It lives for ever, and is known to `for_each`.
    pub(crate) fn new() -> &'static M {
        let mut newest = NEWEST.lock();
        let m: &'static M = Box::leak(Box::new(M {
            id: AtomicU64::new(0),
            quiet: AtomicBool::new(true),
            older: *newest,
            handshake: Handshake::new(),
            p: AtomicPtr::new(std::ptr::null_mut()),
            curg: AtomicPtr::new(std::ptr::null_mut()),
            spinning: Flag(AtomicBool::new(false)),
            wakes: Flag(AtomicBool::new(false)),
            others: Cell::default(),
            park: Note::new(),
            nextp: Cell::new(None),
            altstack: Cell::new(None),
            tracer: Tracer::new(),
            link: Cell::new(None),
        }));
        *newest = Some(m);
        m
    }

    /// Calls `f` with every M there has ever been.
    pub(crate) fn for_each(f: impl FnMut(&'static M)) {
        let newest = *NEWEST.lock();
        std::iter::successors(newest, |m| m.older).for_each(f);
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(crate) fn quiet(&self) -> bool {
        // Acquire: pairs with the Release in `set_quiet`.
        self.quiet.load(Ordering::Acquire)
    }

    /// Says whether it is asleep, or at the gate; to be followed by `freeze::gate` when it is not any more.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        // Release: who finds it quiet sees what it did before.
        self.quiet.store(quiet, Ordering::Release);
    }

    /// Wakes it. The caller took it out of the idle list, or owns its locked goroutine, and has set `nextp`.
    pub(crate) fn wake(&self) {
        self.park.notewakeup();
    }

    #[inline]
    pub(crate) fn raw(&'static self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// The M behind an untyped pointer of a G or P; null gives none.
    #[inline]
    pub(crate) fn of_raw(m: *mut ()) -> Option<&'static M> {
        // SAFETY: such pointers come from `raw`, and Ms are never freed.
        unsafe { m.cast::<M>().as_ref() }
    }

    /// The P that it holds.
    #[inline]
    pub(crate) fn p(&self) -> Option<&'static P> {
        // SAFETY: only ever written from a `&'static P`.
        unsafe { self.p.load(Ordering::Relaxed).as_ref() }
    }

    /// The P that it surely holds: inside the runtime, after `enter` or on g0 with a P.
    #[inline]
    pub(crate) fn the_p(&self) -> &'static P {
        self.p().expect("inside the runtime an M holds a P")
    }

    pub(crate) fn set_p(&self, p: Option<&'static P>) {
        self.p.store(p.map_or(std::ptr::null_mut(), |p| std::ptr::from_ref(p).cast_mut()), Ordering::Relaxed);
    }

    pub(crate) fn curg(&self) -> Option<&'static G> {
        NonNull::new(self.curg.load(Ordering::Acquire)).map(G::of)
    }

    #[inline]
    pub(crate) fn set_curg(&self, g: Option<&'static G>) {
        // Release: pairs with the Acquire in `curg`; a goroutine that is no M's current one has left its stack.
        self.curg.store(g.map_or(std::ptr::null_mut(), |g| g.ptr().as_ptr()), Ordering::Release);
    }
}

/// The goroutine that this code runs on. Go: `getg`.
#[inline(always)]
pub(crate) fn getg() -> Option<&'static G> {
    NonNull::new(stack::owner_of(sys::stack_pointer())).map(|p| G::of(p.cast()))
}

/// The M of a running goroutine. Only right for the goroutine itself, until its next park.
#[inline(always)]
pub(crate) fn m_of(g: &'static G) -> &'static M {
    M::of_raw(g.m_raw()).expect("a running goroutine has an M")
}

/// The M of this thread, if it is one of ours: on g0 as well.
#[inline(never)] // reaches a thread-local
pub(crate) fn current_m() -> Option<&'static M> {
    CURRENT.with(Cell::get)
}

/// Makes this thread the one of `m`, or a plain one.
#[inline(never)] // reaches a thread-local
pub(crate) fn set_current_m(m: Option<&'static M>) {
    CURRENT.with(|c| c.set(m));
}

/// Into the runtime: from here to `leave` nobody takes the P of the goroutine's M away. It may be gone already: then the
/// goroutine goes on without one, and what it makes runnable goes to the global queue. It never leaves its thread here:
/// only a call that parks may do that.
#[inline(always)]
pub(crate) fn enter(g: &'static G) -> &'static M {
    let m = m_of(g);
    if m.handshake.enter() {
        m.handshake.settle();
    }
    m
}

/// Out of the runtime, back into user code.
#[inline(always)]
pub(crate) fn leave(m: &'static M) {
    m.handshake.leave();
}
