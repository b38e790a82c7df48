//! The trace points: what the scheduler says about itself while somebody listens.
//!
//! ```text
//!   wake, newproc, schedule, …          here                                     the M's ring (ring.rs)
//!   trace::ready(g) ──► on()? ─ no ─►   (a load and a branch that is predicted)
//!                        └ yes ──► cold: the time, the M, the record ──────────► push ──► the writer's thread
//! ```
//! Off is the normal case: each point costs a load of a word that nobody writes, a comparison, and a branch. All else is in
//! functions that are never inlined.
//!
//! **Whose ring?** A record goes to the ring of the M whose thread executes the trace point, so an M's records are in the order
//! in which it did things, and no lock is taken. Threads without an M (sysmon, plain ones) share a ring under a lock; what
//! they do with the scheduler goes through a lock of its own anyway. Goroutines of an exploration (world.rs) say nothing:
//! they are not the scheduler's.
//!
//! **Which P?** sysmon takes the P from an M that is outside the runtime. It leaves the time in the M's `Tracer`, and the M
//! writes that down before its next record: so also what became of its P is told by the M's own ring, in order, and the trace
//! can be drawn without putting the rings in order against each other.
//!
//! **Arrows** lead from whoever makes a goroutine runnable to its run. Their number travels in the goroutine. It is 0 where
//! nobody traced, and smaller than the present trace's first where an earlier trace has left it.

use crate::clock::nanotime;
use crate::g::{G, Gstatus};
use crate::glist::GQueue;
use crate::hook;
use crate::m::{self, M};
use crate::note::Note;
use crate::p::P;
use crate::trace::ring::{Kind, NAME_PIECES, NO_P, Record, Ring, WHY_EXIT, WHY_YIELD};
use parking_lot::{Mutex, MutexGuard};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A word on a cache line of its own: read all the time, next to nothing that is written.
#[repr(align(128))]
struct Alone(AtomicU32);

/// The number of the trace that is being written; 0: none.
static SESSION: Alone = Alone(AtomicU32::new(0));
/// When it began.
static SINCE: AtomicU64 = AtomicU64::new(0);
/// Numbers for arrows, given out in batches; never 0.
static FLOWS: AtomicU32 = AtomicU32::new(1);
const FLOW_BATCH: u32 = 1024;

/// The ring of all threads that have no M.
static OUTSIDE: Mutex<()> = Mutex::new(());
static OUTSIDE_RING: Ring = Ring::new();

/// Where the writer's thread sleeps.
static BELL: OnceLock<Bell> = OnceLock::new();
struct Bell {
    note: Note,
    /// The note has been or is being woken: whoever changes it to true does so.
    rung: AtomicBool,
}

fn bell() -> &'static Bell {
    BELL.get_or_init(|| Bell { note: Note::new(), rung: AtomicBool::new(false) })
}

/// Wakes the writer's thread.
pub(crate) fn ring_bell() {
    let bell = bell();
    if !bell.rung.load(Ordering::Relaxed) && !bell.rung.swap(true, Ordering::AcqRel) {
        bell.note.notewakeup();
    }
}

/// The writer's thread: sleeps until the bell, or until `deadline`.
pub(crate) fn await_bell(deadline: std::time::Instant) {
    let bell = bell();
    if bell.note.notetsleep(deadline) {
        bell.note.noteclear();
        // Release: the cleared note is seen by the next ringer, who acquires this word.
        bell.rung.store(false, Ordering::Release);
    }
}

/// Whether a trace is being written.
#[inline(always)]
pub(crate) fn on() -> bool {
    // Relaxed: a hint. Whether it is so is looked at again in `with`, behind a fence.
    SESSION.0.load(Ordering::Relaxed) != 0
}

/// Opens trace number `session`: from now on the points write. Gives when that was, and the first number of its arrows.
pub(crate) fn open(session: u32) -> (u64, u32) {
    let now = nanotime();
    SINCE.store(now, Ordering::Relaxed);
    let first = FLOWS.load(Ordering::Relaxed);
    // Release: whoever sees the number sees when it began.
    SESSION.0.store(session, Ordering::Release);
    (now, first)
}

/// Whether trace number `session` is still on.
pub(crate) fn is_open(session: u32) -> bool {
    SESSION.0.load(Ordering::Acquire) == session
}

/// Ends trace number `session`, if it is still on, and waits for those who are writing a record. After that nothing comes
/// any more.
pub(crate) fn close(session: u32) {
    let _ = SESSION.0.compare_exchange(session, 0, Ordering::AcqRel, Ordering::Relaxed);
    wait_for_writers();
}

/// After the trace was put off: waits for those who have not seen it yet. They wait for nobody.
pub(crate) fn wait_for_writers() {
    // Pairs with the fence in `Ring::enter`.
    std::sync::atomic::fence(Ordering::SeqCst);
    M::for_each(|m| {
        while m.tracer.ring.busy() {
            std::thread::yield_now();
        }
    });
    drop(OUTSIDE.lock());
}

/// Each ring that there is, with its M (`None`: the one of all other threads). Calls of `f` come from the consumer.
pub(crate) fn each_ring(mut f: impl FnMut(Option<&'static M>, &'static Ring)) {
    f(None, &OUTSIDE_RING);
    M::for_each(|m| f(Some(m), &m.tracer.ring));
}

/// Writes to the ring of this thread.
struct Pen {
    ring: &'static Ring,
    m: Option<&'static M>,
    now: u64,
    _outside: Option<MutexGuard<'static, ()>>,
}

impl Pen {
    fn put(&self, records: &[Record]) {
        // SAFETY: `with` made this pen for the ring of this thread's M, or for the one whose lock it holds.
        if unsafe { self.ring.push(records) } {
            ring_bell();
        }
    }

    fn record(&self, kind: Kind) -> Record {
        Record::new(kind, self.now)
    }

    /// A number for an arrow.
    fn flow(&self) -> u32 {
        let (mut next, mut left) = self.ring.flows.get();
        if left == 0 {
            // (Once in four thousand million, a batch begins with 0: no arrow.)
            (next, left) = (FLOWS.fetch_add(FLOW_BATCH, Ordering::Relaxed), FLOW_BATCH);
        }
        self.ring.flows.set((next.wrapping_add(1), left - 1));
        next
    }

    /// `g` runs, since `at`.
    fn start(&self, g: &'static G, p: Option<(u16, u32)>, at: u64) {
        let (p, len) = p.unwrap_or((NO_P, 0));
        let mut records = [Record::new(Kind::Name, 0); 1 + NAME_PIECES];
        // SAFETY: the goroutine runs on this M or is about to, so it is alive.
        let names = Record::names(unsafe { g.name() }.unwrap_or(""));
        let n = names.zip(&mut records[1..]).map(|(name, slot)| *slot = name).count();
        let site = g.site().map_or(0, |site| ptr::from_ref(site) as u64);
        let flow = g.flow.swap(0, Ordering::Relaxed);
        records[0] =
            Record { p, flow, arg: site, why: n as u8, ..Record::new(Kind::Start, at) }.g(g.goid(), len);
        self.put(&records[..=n]);
    }

    /// What comes first: who this is, and what became of its P. `running`: the goroutine that has run until now.
    fn preface(&self, session: u32, running: Option<&'static G>) {
        let ring = self.ring;
        let new = ring.session.get() != session;
        if new {
            ring.session.set(session);
            ring.flows.set((0, 0));
            self.put(&[Record { arg: self.m.map_or(0, M::id), ..self.record(Kind::Thread) }]);
        }
        let Some(m) = self.m else { return };
        let since = SINCE.load(Ordering::Relaxed);
        let lost = m.tracer.take_lost(since);
        if new && let Some(g) = running {
            let p = lost.map(|(_, p)| (p, 0)).or_else(|| m.p().map(number_and_len));
            self.start(g, p, since);
        }
        if let Some((at, _)) = lost {
            self.put(&[Record::new(Kind::Lost, at)]);
        }
    }
}

fn number(p: &P) -> u16 {
    p.id as u16
}

fn number_and_len(p: &'static P) -> (u16, u32) {
    (number(p), p.runq.len())
}

/// Calls `f` with the pen of this thread, if a trace is on. `running`: the goroutine that has run on this thread until now.
fn with(running: Option<&'static G>, f: impl FnOnce(&Pen)) {
    if hook::explored() {
        return;
    }
    let m = m::getg().map(m::m_of).or_else(m::current_m);
    let (ring, outside) = match m {
        Some(m) => (&m.tracer.ring, None),
        None => (&OUTSIDE_RING, Some(OUTSIDE.lock())),
    };
    ring.enter();
    // Acquire: pairs with the Release in `open`.
    let session = SESSION.0.load(Ordering::Acquire);
    if session != 0 {
        let pen = Pen { ring, m, now: nanotime(), _outside: outside };
        pen.preface(session, running);
        f(&pen);
    }
    ring.leave();
}

/// The points. Each says what has happened just now; those that need the M are on its thread.
macro_rules! point {
    ($(#[$doc:meta])* $name:ident => $slow:ident ($($arg:ident: $t:ty),*) $body:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name($($arg: $t),*) {
            if on() {
                $slow($($arg),*);
            }
        }

        #[cold]
        #[inline(never)]
        fn $slow($($arg: $t),*) {
            $body
        }
    };
}

point! {
    /// A thread has become the one of this M.
    thread => thread_slow(m: &'static M) with(None, |pen| {
        pen.put(&[Record { arg: m.id(), ..pen.record(Kind::Thread) }]);
    })
}

point! {
    /// `g` was made, and will be put in a run queue. By its owner.
    go => go_slow(g: &'static G, goid: u64) with(m::getg(), |pen| {
        let flow = pen.flow();
        g.flow.store(flow, Ordering::Relaxed); // published with the goroutine, by its queue
        let arg = g.site().map_or(0, |site| ptr::from_ref(site) as u64);
        pen.put(&[Record { flow, arg, ..pen.record(Kind::Go) }.g(goid, 0)]);
    })
}

point! {
    /// `g` will be put in a run queue, after a wait. By its owner.
    ready => ready_slow(g: &'static G) with(m::getg(), |pen| {
        let flow = pen.flow();
        g.flow.store(flow, Ordering::Relaxed);
        pen.put(&[Record { flow, ..pen.record(Kind::Ready) }.g(g.goid(), 0)]);
    })
}

point! {
    /// `m` is about to resume `g`, or `g` goes on after a wait on its thread.
    start => start_slow(m: &'static M, g: &'static G) with(None, |pen| {
        pen.start(g, m.p().map(number_and_len), pen.now);
    })
}

point! {
    /// `g` leaves its stack (or its thread sleeps with it): to wait for the reason that it has noted, or to let others run.
    /// Before anybody can make it run again.
    park => park_slow(g: &'static G) with(Some(g), |pen| {
        let why = if g.status() == Gstatus::Waiting { g.reason() as u8 } else { WHY_YIELD };
        pen.put(&[Record { why, ..pen.record(Kind::End) }]);
    })
}

point! {
    /// `g` has ended.
    goexit => goexit_slow(g: &'static G) with(Some(g), |pen| {
        pen.put(&[Record { why: WHY_EXIT, ..pen.record(Kind::End) }]);
    })
}

point! {
    /// The calling M is about to get `p`, in the middle of a run or on g0.
    got_p => got_p_slow(p: &'static P) with(m::getg(), |pen| {
        pen.put(&[Record { p: number(p), ..pen.record(Kind::Got) }]);
    })
}

point! {
    /// The calling goroutine begins a `syscall(f)`.
    entersyscall => entersyscall_slow() with(m::getg(), |pen| pen.put(&[pen.record(Kind::SyscallBegin)]))
}

point! {
    /// And has come back from `f`.
    exitsyscall => exitsyscall_slow() with(m::getg(), |pen| pen.put(&[pen.record(Kind::SyscallEnd)]))
}

point! {
    /// A timer's function is about to be called on g0.
    timer => timer_slow() with(None, |pen| pen.put(&[pen.record(Kind::TimerBegin)]))
}

point! {
    /// And has returned.
    timer_done => timer_done_slow() with(None, |pen| pen.put(&[pen.record(Kind::TimerEnd)]))
}

point! {
    /// `p` has stolen from `victim`; `g` came first.
    steal => steal_slow(p: &'static P, victim: &'static P, g: &'static G) with(None, |pen| {
        let steal = Record { p: number(p), arg: u64::from(victim.id), ..pen.record(Kind::Steal) };
        pen.put(&[steal.g(g.goid(), 0)]);
    })
}

point! {
    /// `p` is on its way to another M.
    handoff => handoff_slow(p: &'static P) with(m::getg(), |pen| {
        pen.put(&[Record { p: number(p), ..pen.record(Kind::Handoff) }]);
    })
}

point! {
    /// A poll that began at `since` (0: it did not wait) gives these.
    netpoll => netpoll_slow(list: &GQueue<G>, since: u64) if !list.is_empty() {
        with(None, |pen| {
            let since = if since == 0 { pen.now } else { since.max(SINCE.load(Ordering::Relaxed)) };
            pen.put(&[Record::new(Kind::NetpollBegin, since)]);
            list.for_each(|g| {
                let (g, flow) = (G::of(g), pen.flow());
                g.flow.store(flow, Ordering::Relaxed);
                pen.put(&[Record { flow, ..pen.record(Kind::Ready) }.g(g.goid(), 0)]);
            });
            pen.put(&[Record { arg: list.len() as u64, ..pen.record(Kind::NetpollEnd) }]);
        });
    }
}

point! {
    /// sysmon takes `p` from `m`, which is outside the runtime and whose lock it holds.
    retake => retake_slow(m: &'static M, p: &'static P) with(None, |pen| {
        m.tracer.set_lost(pen.now, number(p));
        let g = m.curg();
        let in_syscall = g.is_some_and(|g| g.in_syscall.load(Ordering::Relaxed));
        let retake = Record { p: number(p), arg: m.id(), why: in_syscall.into(), ..pen.record(Kind::Retake) };
        pen.put(&[retake.g(g.map_or(0, G::goid), 0)]);
    })
}
