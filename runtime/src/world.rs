//! A world: goroutines that run by themselves, one at a time, on one thread, in an order that somebody chooses.
//!
//! For tests. What the scheduler leaves to chance and to the machine is here a question to a [`Chooser`]: who runs next, at
//! every operation that others can notice (`park::point`) and at every park; what `select` and the locks draw by lot
//! (`cheaprandn`); in which order timers of one moment come. The clock stands still while anybody can run, and jumps to
//! the next timer when nobody can. So the same answers give the same run, instruction for instruction, as far as the
//! program itself has no other source of chance.
//!
//! ```text
//!   run(main) ── newproc ──►┌───────────────────────── loop, on g0 ─────────────────────────┐
//!                           │ who has been started or readied joins `runnable`              │
//!                           │ nobody there? the clock to the next timer; none: deadlock     │
//!                           │ choose one ══ resume ══► it runs                              │
//!                           │      ▲                    ├ point: choose; another? `next`, suspend
//!                           │      └── park, yield, end ◄┘  itself? it goes on, no switch   │
//!                           └───────────────────────────────────────────────────────────────┘
//! ```
//! A world is an M and a P like any other, but for this: its M runs this loop instead of `schedule`, and its P is not
//! among `allp`. So nobody steals from it, sysmon does not see it, and `go`, timers, stacks and the seam work as they are.
//! Its goroutines are marked in their heads (`WaiterKind::World`): who readies one of them comes here, from any thread.
//!
//! What a world cannot do: preempt between two operations, for nothing is noticed there; wait for threads (a goroutine
//! that only a plain thread will ready is dead to it); carry on a goroutine that parks while a panic unwinds it, since its
//! thread is everybody's: the run ends there as the panic that it is.
//!
//! Goroutines that are left when a run ends are abandoned: never resumed, their stacks never used again, so that whatever
//! points there stays valid. Sockets are waited for in real time.

use crate::chooser::{Chooser, Crossroads, End, Limits, Ran};
use crate::clock::instant_of;
use crate::coro::Left;
use crate::g::{G, Gstatus, Order};
use crate::hook::{self, Hooks};
use crate::m::{self, M};
use crate::p::P;
use crate::park::WaitReason;
use crate::sched::SCHED;
use crate::sys::Regs;
use crate::timers::NEVER;
use crate::traceback::{self, Dump};
use crate::waiter::{Waiter, WaiterKind};
use crate::wake::wakep_outside;
use crate::worldlog::Log;
use crate::{clock, freeze, newproc, schedule, sys, worlds};
use parking_lot::{Condvar, Mutex};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

/// After the end of the main goroutine: so many timers are let come, for others to end by.
const TIMERS_AFTER_MAIN: u32 = 1000;

/// An M, a P and what this file keeps for them. They live for ever and are used again.
pub(crate) struct World {
    pub(crate) m: &'static M,
    pub(crate) p: &'static P,
    /// Touched by the world's thread alone: by the loop on g0, and by its goroutines while one of them runs.
    inner: UnsafeCell<Inner>,
    /// Goroutines readied by others.
    inbox: Mutex<Vec<&'static G>>,
    bell: Condvar,
}

// SAFETY: `inner` belongs to one thread at a time, the one whose CURRENT this is; a pool hands worlds over.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

#[derive(Default)]
struct Inner {
    /// Who chooses, during a run, unless he is being asked.
    chooser: Option<*mut dyn Chooser>,
    limits: Limits,
    runnable: VecDeque<&'static G>,
    /// All that have been started and have not ended.
    live: BTreeMap<u64, &'static G>,
    /// Left by runs before; never resumed.
    abandoned: HashSet<usize>,
    /// The clock.
    now: u64,
    /// Chosen at a point, to run when the one that runs has left its stack.
    next: Option<&'static G>,
    /// The next timer is due, whatever the clock says.
    hurry: bool,
    /// Yields since anything else happened.
    idle_yields: usize,
    steps: u64,
    end: Option<End>,
    main_ended: bool,
    /// The last panic that the hook saw: whose, and what it said.
    panic: Option<(u64, String)>,
    log: Log,
}

thread_local! {
    static CURRENT: Cell<Option<&'static World>> = const { Cell::new(None) };
}

/// The world whose thread this is.
#[inline(never)] // reaches a thread-local
fn current() -> Option<&'static World> {
    CURRENT.with(Cell::get)
}

fn hooks() -> Hooks {
    Hooks {
        point: |what, on| {
            if let (Some(w), Some(g)) = (current(), m::getg())
                && !std::thread::panicking()
            {
                w.point(g, what, on);
            }
        },
        now: || current().map(|w| instant_of(w.inner(|i| i.now))),
        pick: |n| current().and_then(|w| w.pick(n)),
        inside: || current().is_some(),
        ready,
        count: || {
            let (w, g) = (current()?, m::getg()?);
            let m = m::enter(g);
            w.admit_all();
            m::leave(m);
            Some(w.inner(|i| i.live.len()))
        },
        panicking: |text| {
            if let (Some(w), Some(g)) = (current(), m::getg()) {
                w.inner(|i| i.panic = Some((g.goid(), text)));
            }
        },
        unseen: |payload| {
            if let (Some(w), Some(g)) = (current(), m::getg()) {
                w.panicked(g.goid(), payload);
            }
        },
        unwinding: || {
            if let (Some(w), Some(g)) = (current(), m::getg()) {
                w.panicked(g.goid(), &"a goroutine waits while a panic unwinds it");
            }
        },
    }
}

/// `goready` of a world's goroutine, from anywhere.
fn ready(w: Waiter) {
    let g = G::of_waiter(w);
    if let Some(me) = current().filter(|me| me.m.raw() == g.m_raw()) {
        return me.admit(g);
    }
    let world = worlds::of_m(g.m_raw());
    world.inbox.lock().push(g);
    world.bell.notify_one();
}

/// Runs `main` and all that it starts in a world of their own, by the answers of `chooser`. Blocks until it has ended, one
/// way or the other. To be called on a thread that ends afterwards, where the end is not [`End::Done`]: its count of
/// panics may be wrong. See [`Chooser`] for an example.
///
/// # Panics
/// On a goroutine.
#[track_caller]
pub fn run(limits: Limits, chooser: &mut dyn Chooser, main: impl FnOnce() + Send + 'static) -> Ran {
    assert!(
        m::getg().is_none() && current().is_none(),
        "gosched: an exploration must be started on a plain thread"
    );
    crate::boot::start();
    let _counted = hook::Counted::new(hooks());
    let world = Entered::new(worlds::take());
    world.0.run(limits, chooser, main, Location::caller())
}

/// The calling thread is a world's M until this is dropped, be it by a panic of the chooser.
struct Entered(&'static World);

impl Entered {
    fn new(world: &'static World) -> Entered {
        world.enter();
        Entered(world)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.inner(|i| i.chooser = None);
        self.0.abandon();
        self.0.leave();
        worlds::give_back(self.0);
    }
}

/// The chooser is being asked: it and the list that it chooses from are out of the world's hands until this is dropped, be
/// it by a panic. Nothing of `inner` is borrowed meanwhile: the chooser's code may come back here by whatever it does, and
/// finds a world without a chooser, which decides by itself.
struct Asking<'w> {
    world: &'w World,
    chooser: *mut dyn Chooser,
    runnable: VecDeque<&'static G>,
}

impl<'w> Asking<'w> {
    fn new(world: &'w World) -> Option<Asking<'w>> {
        world.inner(|i| {
            let chooser = i.chooser.take()?;
            Some(Asking { world, chooser, runnable: std::mem::take(&mut i.runnable) })
        })
    }

    fn ask<R>(&mut self, question: impl FnOnce(&mut dyn Chooser, &VecDeque<&'static G>) -> R) -> R {
        // SAFETY: `run` borrows the chooser until the end of the run; it was taken out of `inner`, so this call alone has it.
        question(unsafe { &mut *self.chooser }, &self.runnable)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.world.inner(|i| {
            // Behind those who were there before.
            self.runnable.append(&mut i.runnable);
            i.runnable = std::mem::take(&mut self.runnable);
            i.chooser = Some(self.chooser);
        });
    }
}

impl World {
    pub(crate) fn new(m: &'static M, p: &'static P) -> World {
        World { m, p, inner: UnsafeCell::default(), inbox: Mutex::default(), bell: Condvar::new() }
    }

    /// Access to the inner part, for as long as `f` runs. `f` calls nothing that comes back here.
    fn inner<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        debug_assert!(current().is_none_or(|w| std::ptr::eq(w, self)));
        // SAFETY: this thread is the world's, nothing is suspended inside of `f`, and `f` does not come here again.
        f(unsafe { &mut *self.inner.get() })
    }

    /// Makes the calling thread this world's M.
    fn enter(&'static self) {
        CURRENT.with(|c| c.set(Some(self)));
        m::set_current_m(Some(self.m));
        self.m.altstack.set(sys::fault::thread_init(self.m.altstack.get()));
        crate::idle::acquirep(self.m, self.p);
        // Inside the runtime, as g0 always is.
        let _nobody_takes_it = self.m.handshake.enter();
        self.m.set_quiet(false);
    }

    fn leave(&'static self) {
        crate::idle::releasep(self.m);
        m::set_current_m(None);
        CURRENT.with(|c| c.set(None));
        self.m.set_quiet(true);
        self.m.handshake.quiesce();
    }

    fn run(
        &'static self,
        limits: Limits,
        chooser: &mut dyn Chooser,
        main: impl FnOnce() + Send + 'static,
        site: &'static Location<'static>,
    ) -> Ran {
        // SAFETY: the P is ours; the reference ends here. Ids begin anew with each run.
        unsafe { self.p.local() }.restart_goids(1);
        self.p.gcount_add(-self.p.gcount());
        // SAFETY: only lengthens the lifetime of a pointer that `Entered` forgets before `run` returns.
        let chooser =
            unsafe { std::mem::transmute::<*mut (dyn Chooser + '_), *mut (dyn Chooser + 'static)>(chooser) };
        self.inner(|i| {
            let abandoned = std::mem::take(&mut i.abandoned);
            *i = Inner {
                chooser: Some(chooser),
                log: Log::new(limits.record),
                limits,
                abandoned,
                now: clock::nanotime(),
                ..Inner::default()
            };
        });
        let body = move || {
            let r = catch_unwind(AssertUnwindSafe(main));
            let (world, g) = (current().expect("in a world"), m::getg().expect("on a goroutine"));
            world.inner(|i| i.main_ended = true);
            if let Err(payload) = r {
                if !payload.is::<newproc::GoExit>() {
                    world.panicked(g.goid(), &*payload);
                }
                newproc::discard(payload);
            }
        };
        // SAFETY: it borrows nothing, and the P is ours.
        unsafe { newproc::newproc_on(Some(self.p), body, None, site, 0) };
        let end = self.steps();
        self.inner(|i| Ran { end, steps: i.steps, schedule: i.log.take() })
    }

    /// The loop: see the file's head.
    fn steps(&'static self) -> End {
        let mut yielded = None;
        let mut timers_left = TIMERS_AFTER_MAIN;
        loop {
            freeze::gate(self.m);
            self.admit_all();
            if let Some(end) = self.inner(|i| i.end.take()) {
                return end;
            }
            let hurry = self.inner(|i| std::mem::take(&mut i.hurry));
            self.fire_due(hurry);
            self.admit_all();
            // All that can run only yield: they wait for the clock, or for ever.
            let (nobody, only_yields) = self.inner(|i| {
                let n = i.runnable.len();
                (n == 0 && i.next.is_none(), n > 0 && i.idle_yields > 2 * n + 2)
            });
            if nobody || only_yields {
                if self.inner(|i| i.live.is_empty()) {
                    return End::Done;
                }
                let main_ended = self.inner(|i| i.main_ended);
                if self.p.timers.first() != NEVER && (!main_ended || timers_left > 0) {
                    timers_left -= u32::from(main_ended);
                    self.inner(|i| (i.hurry, i.idle_yields) = (true, 0));
                    continue;
                }
                if nobody {
                    if self.waits_for_io() {
                        self.wait_for_others();
                        continue;
                    }
                    return self.nobody_runs(main_ended);
                }
            }
            let Some(g) = self.choose_next(yielded.take()) else { continue };
            yielded = self.execute(g);
        }
    }

    /// Nobody can run, and no timer is left to wait for.
    fn nobody_runs(&self, main_ended: bool) -> End {
        match main_ended {
            false => End::Deadlock(self.dump()),
            true if self.inner(|i| i.limits.leaks) => End::Done,
            // They have timers, and would go on: no leak that we could know of.
            true if self.p.timers.first() != NEVER => End::Done,
            true => End::Leak(self.dump()),
        }
    }

    /// Takes in whoever was started or readied since.
    fn admit_all(&self) {
        while let Some(got) = self.p.runq.runqget() {
            let g = G::of(got.g);
            // SAFETY: taken out of the queue, it is ours.
            if unsafe { g.started() } {
                // One of the scheduler's own, that was parked on something of ours and has been readied here.
                SCHED.lock().globrunqput(g);
                wakep_outside();
                continue;
            }
            g.waiter().head().set_kind(WaiterKind::World);
            g.set_m_raw(self.m.raw());
            self.inner(|i| {
                i.live.insert(g.goid(), g);
                i.runnable.push_back(g);
                i.idle_yields = 0;
            });
        }
        let others = std::mem::take(&mut *self.inbox.lock());
        others.into_iter().for_each(|g| self.admit(g));
    }

    /// A goroutine has been readied.
    fn admit(&self, g: &'static G) {
        self.inner(|i| {
            if i.abandoned.is_empty() || !i.abandoned.contains(&g.ptr().addr().get()) {
                g.set_status(Gstatus::Runnable);
                i.runnable.push_back(g);
                i.idle_yields = 0;
            }
        });
    }

    /// Calls the timers that are due, in an order that is chosen; `hurry`: moves the clock on to the next one first.
    fn fire_due(&self, hurry: bool) {
        let first = self.p.timers.first();
        let now = self.inner(|i| {
            if hurry && first != NEVER && first > i.now {
                let by = Duration::from_nanos(first - i.now);
                i.now = first;
                i.log.write(|| format!("              the clock moves on by {by:?}"));
            }
            i.now
        });
        if first > now {
            return;
        }
        let mut due: Vec<_> = std::iter::from_fn(|| self.p.timers.take_due(now)).collect();
        while !due.is_empty() {
            let n = due.len() as u32;
            let timer = due.remove(if n > 1 { self.pick(n).unwrap_or(0) as usize } else { 0 });
            // SAFETY: whoever started the timer promised that it may be called once, from any thread; it was taken out.
            unsafe { (timer.f)(timer.arg, timer.seq) };
        }
    }

    /// Who runs now: the one chosen at a point, or a choice.
    fn choose_next(&self, yielded: Option<u64>) -> Option<&'static G> {
        if let Some(g) = self.inner(|i| i.next.take()) {
            return Some(g);
        }
        let (n, over) = self.inner(|i| (i.runnable.len(), i.count_step()));
        if over {
            self.no_end();
            return None;
        }
        let at = if n > 1 { self.ask(None, yielded).unwrap_or(0) } else { 0 };
        self.inner(|i| i.runnable.remove(at))
    }

    /// Asks the chooser; the answer is one of the runnable. None, too, where it is being asked already.
    fn ask(&self, running: Option<u64>, yielded: Option<u64>) -> Option<usize> {
        Asking::new(self)?.ask(|chooser, runnable| {
            let answer = chooser.choose(&Crossroads { runnable, running, yielded });
            answer.filter(|&n| n < runnable.len())
        })
    }

    fn pick(&self, n: u32) -> Option<u32> {
        Some(Asking::new(self)?.ask(|chooser, _| chooser.pick(n).min(n - 1)))
    }

    /// The one that runs, `g`, is about to do something: perhaps another runs first. The chooser is asked as if `g` itself
    /// called it, outside of the runtime.
    fn point(&'static self, g: &'static G, what: &'static str, on: *const ()) {
        let m = m::enter(g);
        self.admit_all();
        let (others, over, record) = self.inner(|i| {
            i.idle_yields = 0;
            (!i.runnable.is_empty(), i.count_step(), i.log.is_wanted())
        });
        if record {
            // SAFETY: frames of callers, which stay as they are until this returns.
            let pcs = unsafe { traceback::pcs(Regs::here()) };
            self.inner(|i| i.log.point(g.goid(), what, on, &pcs));
        }
        if over {
            self.no_end();
        }
        m::leave(m);
        let late = !over
            && self.p.timers.first() != NEVER
            && Asking::new(self).is_some_and(|mut a| a.ask(|chooser, _| chooser.late()));
        let other = if others && !over && !late { self.ask(Some(g.goid()), None) } else { None };
        if !over && !late && other.is_none() {
            return;
        }
        let _m = m::enter(g);
        self.inner(|i| {
            i.next = other.and_then(|n| i.runnable.remove(n));
            i.hurry = late;
            g.set_status(Gstatus::Runnable);
            i.runnable.push_back(g);
        });
        // The loop sees by the status that it is queued already. SAFETY: on g's stack, inside the runtime; `point`'s
        // callers hold nothing tied to the thread, which stays the same anyway.
        unsafe { g.suspend(Order::Yield) };
    }

    /// Runs `g` until it leaves (schedule.rs, `execute`). Gives its id where it has yielded.
    fn execute(&'static self, g: &'static G) -> Option<u64> {
        debug_assert_eq!(g.status(), Gstatus::Runnable);
        // SAFETY: taken out of `runnable`, so the goroutine is ours until its order is obeyed.
        unsafe {
            if !g.started() {
                g.bind(schedule::stackalloc(self.p, g));
            }
        }
        loop {
            freeze::gate(self.m);
            g.set_m_raw(self.m.raw());
            self.m.set_curg(Some(g));
            g.set_status(Gstatus::Running);
            self.m.handshake.leave();
            // SAFETY: this thread runs it, on g0.
            let left = unsafe { g.coro() }.as_mut().expect("bound above").resume();
            self.m.set_curg(None);
            match left {
                Left::Suspended(Order::Park { commit, arg }) => {
                    let (goid, reason) = (g.goid(), g.reason());
                    self.inner(|i| {
                        i.idle_yields = 0;
                        i.log.write(|| format!("goroutine {goid:<3} waits: {reason}"));
                    });
                    // SAFETY: gopark's caller promised.
                    if unsafe { commit(g.waiter(), arg) } {
                        return None;
                    }
                }
                Left::Suspended(Order::Yield) => {
                    let goid = g.goid();
                    if g.status() == Gstatus::Runnable {
                        return None; // at a point: queued by itself
                    }
                    g.set_status(Gstatus::Runnable);
                    self.inner(|i| {
                        i.log.write(|| format!("goroutine {goid:<3} yields"));
                        i.runnable.push_back(g);
                        i.idle_yields += 1;
                    });
                    return Some(goid);
                }
                Left::Finished => {
                    let goid = g.goid();
                    self.inner(|i| {
                        i.live.remove(&goid);
                        i.log.write(|| format!("goroutine {goid:<3} ends"));
                    });
                    g.waiter().head().set_kind(WaiterKind::Goroutine);
                    schedule::goexit0(Some(self.p), g);
                    return None;
                }
            }
        }
    }

    /// A panic that nobody will join.
    fn panicked(&self, goid: u64, payload: &(dyn Any + Send)) {
        self.inner(|i| {
            let said = i.panic.take().filter(|p| p.0 == goid).map(|p| p.1);
            let text = said.unwrap_or_else(|| {
                let text = payload.downcast_ref::<&str>().map(ToString::to_string);
                text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
            });
            i.log.write(|| format!("goroutine {goid:<3} panics: {text}"));
            i.end.get_or_insert(End::Panic(format!("goroutine {goid}: {text}")));
        });
    }

    fn no_end(&self) {
        let dump = self.dump();
        self.inner(|i| _ = i.end.get_or_insert(End::NoEnd(dump)));
    }

    /// Whether one of them waits for a socket.
    fn waits_for_io(&self) -> bool {
        let io = |g: &&'static G| g.status() == Gstatus::Waiting && g.reason() == WaitReason::IoWait;
        self.inner(|i| i.live.values().any(io))
    }

    fn wait_for_others(&self) {
        self.m.set_quiet(true);
        let mut inbox = self.inbox.lock();
        while inbox.is_empty() {
            self.bell.wait(&mut inbox);
        }
        drop(inbox);
        self.m.set_quiet(false);
        freeze::gate(self.m);
    }

    /// All goroutines, with what they do.
    fn dump(&self) -> String {
        let mut dump = Dump::default();
        let running = m::getg().map(G::goid);
        self.inner(|i| {
            for g in i.live.values() {
                // SAFETY: alive; and at rest but for the one that asks, since they run on this thread.
                unsafe { dump.add(g, running != Some(g.goid())) };
            }
        });
        let mut text = String::new();
        let _ = dump.write(&mut text);
        text
    }

    /// Forgets whoever is left.
    fn abandon(&self) {
        self.admit_all();
        while self.p.timers.take_due(NEVER - 1).is_some() {}
        self.inner(|i| {
            i.runnable.clear();
            i.next = None;
            let left = std::mem::take(&mut i.live);
            i.abandoned.extend(left.values().map(|g| g.ptr().addr().get()));
        });
    }
}

impl Inner {
    /// One more choice; true where there were too many.
    fn count_step(&mut self) -> bool {
        self.steps += 1;
        self.steps > self.limits.steps
    }
}
