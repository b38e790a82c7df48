//! sysmon: the watchman, a thread of its own without a P (Go: runtime/proc.go, `sysmon`, `retake`).
//!
//! It sleeps 20 µs between rounds while there is something to do, doubling up to 10 ms when 50 rounds found nothing, and
//! 10 ms while every P is idle. Each round:
//!
//! ```text
//!   netpoll   if nobody has polled for 10 ms: queue what is ready
//!   timers    one is late, though a P is idle: wake somebody (polltoken.rs says how that can be)
//!   retake    a P whose goroutine has run 10 ms while work waits, or that was seen in a `syscall(f)` for a whole
//!             round: take it from its M (handshake.rs) and hand it to another
//!   once a second: send the scavenger, if there is memory to give back (scavenge.rs); follow the CPUs that the process
//!             may use (procresize.rs)
//!   schedtrace  a line about the scheduler, if `GODEBUG` asks for it (schedtrace.rs)
//! ```
//! A time slice of 10 ms in which *several* goroutines ran, each made runnable by the one before (runnext inherits), needs
//! no such force: the P comes by the scheduler often enough to be asked. It is told to put the next one to the end. So it is
//! where nobody was taken from its ring for so long: goroutines from the global queue come in between and begin new slices
//! (findrunnable.rs), and after each of them those that wake each other may go on.
//!
//! When every P has been idle for a while it sleeps for good; whoever takes an idle P wakes it (idle.rs). An idle process
//! so does no wake-ups at all, with two exceptions: while the scavenger has something left to do it sleeps a second at a time; and while
//! only foreign threads keep the process from a deadlock it watches for their end (checkdead.rs).

use crate::clock::{self, nanotime};
use crate::g::G;
use crate::hogs::{self, Hog};
use crate::idle;
use crate::m::M;
use crate::netpoll::{self, PollWait};
use crate::p::{P, Pstatus};
use crate::sched::SCHED;
use crate::trace::point as trace;
use crate::{checkdead, procresize, scavenge, schedtrace, wake};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIN_SLEEP: Duration = Duration::from_micros(20);
const MAX_SLEEP: Duration = Duration::from_millis(10);
/// A time slice: after this long a goroutine gives way to work that waits.
const FORCE_PREEMPT_NS: u64 = 10_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Rounds in a row with every P idle before sysmon sleeps for good: waking it costs the waker more than a round.
const IDLE_ROUNDS: u32 = 2;
/// How often to count the threads while only foreign ones are left.
const FOREIGN_CHECK: Duration = Duration::from_millis(500);

/// A shorter time slice, in µs, taken from everybody whether work waits or not: for tests that want the P to be lost at
/// every entry into the runtime (`GODEBUG=slice=100`). 0: none.
pub(crate) static TEST_SLICE: AtomicU64 = AtomicU64::new(0);

fn slice_ns() -> u64 {
    match TEST_SLICE.load(Ordering::Relaxed) {
        0 => FORCE_PREEMPT_NS,
        us => us * 1000,
    }
}

/// What sysmon last saw of a P (Go: `sysmontick`).
#[derive(Clone, Copy, Default)]
struct Seen {
    schedtick: u32,
    /// When this time slice was first seen.
    slice_since: u64,
    switches: u32,
    /// When this goroutine was first seen on the processor. 0: nothing seen yet.
    when: u64,
    /// In `syscall(f)` in the round before.
    syscall: bool,
    /// Whoever wants to hear of hogs has been told of this one.
    told: bool,
    /// Where its ring stood; `None` where nobody stood in it.
    ring: Option<u32>,
    /// When the ring was first seen there.
    ring_since: u64,
}

impl Seen {
    /// Whether somebody has stood at the head of the ring for a time slice. Begins to count anew where it says so.
    fn ring_stands(&mut self, ring: Option<u32>, now: u64) -> bool {
        let stands = ring.is_some() && ring == self.ring;
        let over = stands && now - self.ring_since >= slice_ns();
        if !stands || over {
            self.ring_since = now;
        }
        self.ring = ring;
        over
    }
}

/// The thread. Never returns.
pub(crate) fn sysmon() {
    let _never_dropped = crate::fatal::FatalOnUnwind;
    let mut seen: Vec<Seen> = Vec::new();
    let mut followed = Followed::default();
    let mut idle_rounds = 0; // rounds that found nothing to do
    let mut quiet_rounds = 0; // rounds with every P idle
    let mut delay = MIN_SLEEP;
    let (mut next_scavenge, mut next_second, mut next_trace) = (0, 0, 0);
    loop {
        let all_idle = SCHED.spin.idle_ps() == SCHED.procs();
        delay = match idle_rounds {
            // Nobody to watch: only the end of a quiet time is to be noticed.
            _ if all_idle => MAX_SLEEP,
            _ if slice_ns() != FORCE_PREEMPT_NS => MIN_SLEEP,
            0 => MIN_SLEEP,
            1..=50 => delay,
            _ => (delay * 2).min(MAX_SLEEP),
        };
        std::thread::sleep(delay);
        quiet_rounds = if all_idle { quiet_rounds + 1 } else { 0 };
        if quiet_rounds > IDLE_ROUNDS && schedtrace::every().is_none() && followed.0.is_empty() {
            let until = scavenge::has_surplus().then(|| Instant::now() + scavenge::interval());
            if sleep_while_idle(until) {
                quiet_rounds = 0;
                idle_rounds = 0;
            }
        }
        let now = nanotime();
        clock::set_coarse(now);
        if now >= next_scavenge {
            next_scavenge = now + scavenge::interval().as_nanos() as u64;
            if scavenge::has_surplus() {
                scavenge::go();
            }
        }
        if let Some(every) = schedtrace::every()
            && now >= next_trace
        {
            next_trace = now + every;
            schedtrace::trace(now);
        }
        if now >= next_second {
            next_second = now + SECOND_NS;
            procresize::follow_limits();
        }
        let polled = poll_if_nobody_did(now);
        see_to_late_timers(now);
        followed.look(now);
        let took = retake(now, &mut seen, &mut followed);
        idle_rounds = if polled || took { 0 } else { idle_rounds + 1 };
    }
}

/// Sleeps until an idle P is taken, or until `until`. True: a P was taken; false: none was, or one is not idle now.
fn sleep_while_idle(until: Option<Instant>) -> bool {
    let note = SCHED.sysmon_note.get();
    {
        let mut locked = SCHED.lock();
        if SCHED.spin.idle_ps() != SCHED.procs() {
            return false;
        }
        note.noteclear();
        locked.sysmonwait = true;
    }
    loop {
        let foreign = SCHED.only_foreign.load(Ordering::Relaxed).then(|| Instant::now() + FOREIGN_CHECK);
        let Some(deadline) = foreign.into_iter().chain(until).min() else {
            note.notesleep();
            return true;
        };
        if note.notetsleep(deadline) {
            return true;
        }
        if checkdead::foreigners_gone() {
            // An M that finds nothing will look again, with nothing in hand.
            wake::wakep();
        }
        if until.is_some_and(|t| Instant::now() >= t) {
            // Whoever takes a P wakes us once, while `sysmonwait` is set: so either take the mark off or wait for that.
            if std::mem::take(&mut SCHED.lock().sysmonwait) {
                return false;
            }
            note.notesleep();
            return true;
        }
    }
}

/// Harvests the network if nobody has for 10 ms (and nobody waits in the poller).
fn poll_if_nobody_did(now: u64) -> bool {
    let Some(last) = SCHED.poll.last() else { return false };
    if last + FORCE_PREEMPT_NS > now || !netpoll::is_active() {
        return false;
    }
    // Only if still the same: somebody else may have begun to poll.
    if !SCHED.poll.polls(last, now) {
        return false;
    }
    let mut ready = netpoll::poll(PollWait::No);
    trace::netpoll(&ready.gs, 0);
    let found = !ready.gs.is_empty();
    wake::injectglist(None, &mut ready.gs);
    found
}

/// Wakes somebody for a timer that is late, where a P is idle and nobody waits in the poller: the one who did has come out
/// with a goroutine, and that runs on (polltoken.rs). Whoever is woken takes timers of all Ps.
fn see_to_late_timers(now: u64) {
    let nobody_polls = SCHED.poll.last().is_some();
    if nobody_polls && SCHED.spin.idle_ps() > 0 && SCHED.allp().iter().any(|p| p.timers.first() <= now) {
        wake::wakep();
    }
}

/// Takes Ps from those who have them for too long. True if one was taken.
fn retake(now: u64, seen: &mut Vec<Seen>, followed: &mut Followed) -> bool {
    let all = SCHED.allp();
    seen.resize(all.len(), Seen::default());
    let mut took = false;
    for (&p, s) in all.iter().zip(seen) {
        if p.status() != Pstatus::Running {
            s.syscall = false;
            continue;
        }
        let (schedtick, switches) = (p.schedtick(), p.switches());
        let ring_stands = s.ring_stands(p.runq.ring_head(), now);
        let Some(m) = M::of_raw(p.m_raw()) else { continue };
        let in_syscall = m.curg().is_some_and(|g| g.in_syscall.load(Ordering::Relaxed));
        if s.switches != switches || s.when == 0 {
            let new_slice = s.schedtick != schedtick || s.when == 0;
            let over = ring_stands || !new_slice && now - s.slice_since >= slice_ns();
            if over {
                p.preempt();
            }
            if over || new_slice {
                s.slice_since = now;
            }
            *s = Seen { schedtick, switches, when: now, syscall: in_syscall, told: false, ..*s };
            continue;
        }
        let long = now - s.when >= slice_ns();
        let due = long || (in_syscall && s.syscall);
        s.syscall = in_syscall;
        let wanted = slice_ns() != FORCE_PREEMPT_NS || somebody_waits(p, now, long || in_syscall);
        let hog = m.curg().filter(|_| !in_syscall);
        if let Some(g) = hog {
            followed.see(g, s.when, now, &mut s.told);
        }
        if due && wanted && retake_p(p, m) {
            if let Some(g) = hog.filter(|_| long) {
                hogs::retaken(Hog::new(g, now - s.when));
                followed.follow(m, g, s.when, s.told);
            }
            s.when = 0;
            took = true;
        }
    }
    took
}

/// Goroutines that have lost their P and run on, while somebody wants to hear of hogs (hogs.rs).
#[derive(Default)]
struct Followed(Vec<Follow>);

struct Follow {
    m: &'static M,
    goid: u64,
    since: u64,
    told: bool,
}

impl Followed {
    /// `g` has run since `since`: that may be too long.
    fn see(&self, g: &G, since: u64, now: u64, told: &mut bool) {
        if !*told && hogs::threshold().is_some_and(|ns| now - since >= ns) {
            *told = true;
            hogs::tell(Hog::new(g, now - since));
        }
    }

    fn follow(&mut self, m: &'static M, g: &G, since: u64, told: bool) {
        if hogs::threshold().is_some() && !told {
            self.0.push(Follow { m, goid: g.goid(), since, told });
        }
    }

    /// Looks after those who had no P in the round before. To park it must leave its M, which gets a P for its next one.
    fn look(&mut self, now: u64) {
        let mut all = std::mem::take(&mut self.0);
        all.retain_mut(|f| {
            let runs = f.m.curg().filter(|g| g.goid() == f.goid && f.m.p().is_none() && !f.m.quiet());
            let Some(g) = runs.filter(|_| hogs::threshold().is_some()) else { return false };
            if !g.in_syscall.load(Ordering::Relaxed) {
                self.see(g, f.since, now, &mut f.told);
            }
            !f.told
        });
        self.0 = all;
    }
}

/// Whether taking this P would help anybody. A P without work is left to its M as long as other Ps are idle. Where none is,
/// and its goroutine is `away` (in `syscall(f)`, or has not come by for a time slice), there must be somebody to wait for
/// sockets and timers.
fn somebody_waits(p: &'static P, now: u64, away: bool) -> bool {
    if !p.runq.runqempty() || p.timers.first() <= now || SCHED.runqsize() > 0 {
        return true;
    }
    let nobody_polls = SCHED.poll.last().is_some();
    away && SCHED.spin.idle_ps() == 0 && SCHED.spin.spinners() == 0 && nobody_polls
}

/// Takes `p` from `m`, unless that is inside the runtime just now (handshake.rs), and hands it on.
pub(crate) fn retake_p(p: &'static P, m: &'static M) -> bool {
    let still_held = || std::ptr::eq(p.m_raw(), m.raw()) && m.p().is_some_and(|held| std::ptr::eq(held, p));
    let taken = m.handshake.take(still_held, || {
        trace::retake(m, p);
        let _ = idle::releasep(m);
    });
    if taken {
        wake::handoffp(p);
    }
    taken
}
