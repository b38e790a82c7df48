//! The search for a goroutine to run (Go: runtime/proc.go, `findRunnable`, `stealWork`).
//!
//! ```text
//!   this P:      due timers · every 61st time one from the global queue · runnext · the ring
//!   global:      a batch, a fair share of the whole
//!   network:     poll without waiting
//!   other Ps:    spinning: steal half of somebody's ring; due timers and runnext in the last round
//!   nothing:     give the P up · look everywhere once more · the last one waits in the poller, the others sleep
//! ```
//! Each step is a function below, in this order. Who wakes whom, and why nothing is lost between "found nothing" and
//! "asleep", is the subject of spinning.rs.

use crate::checkdead::{Going, checkdead};
use crate::clock::{nanotime, past};
use crate::g::G;
use crate::idle::{acquirep, pidleget, pidleput, releasep};
use crate::m::{M, Others};
use crate::netpoll::{self, PollWait};
use crate::p::P;
use crate::rand::below as cheaprandn;
use crate::sched::SCHED;
use crate::timers::NEVER;
use crate::trace::point as trace;
use crate::wake;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A goroutine to run next.
pub(crate) struct Found {
    pub(crate) g: &'static G,
    /// It goes on in the present time slice (it came from runnext).
    pub(crate) inherit_time: bool,
}

impl Found {
    fn fresh(g: &'static G) -> Found {
        Found { g, inherit_time: false }
    }
}

/// How often the global queue comes first, so that goroutines that keep waking each other cannot hold it up for ever. A
/// prime, as in Go, to fall in step with nothing. Go counts time slices; here every switch counts, those inside an
/// inherited slice too: a group that keeps waking itself begins a new slice only every 10 ms, and a queue of thousands
/// that gets on by one in 61 of those stands still.
/// (Those from the global queue begin slices of their own. That such a group does not hold up the ring behind it for longer
/// than a slice is seen by how long the ring stands: sysmon.rs.)
const GLOBAL_EVERY: u32 = 61;

/// Finds a goroutine for this M, which has a P; waits for the network and for timers, if it is the one who does. `None`:
/// there is none, the P is given up, and the M must sleep until it is handed another (`stopm`). On g0.
#[inline] // its only caller is in another file, perhaps in another codegen unit
pub(crate) fn findrunnable(m: &'static M) -> Option<Found> {
    loop {
        let p = m.the_p();
        if SCHED.is_retired(p) {
            give_up_retired(m)?;
            continue;
        }
        run_due_timers(p);
        if let Some(found) = from_local(p) {
            return Some(found);
        }
        if let Some(g) = from_global(p) {
            return Some(Found::fresh(g));
        }
        if let Some(g) = from_network(m, p) {
            return Some(Found::fresh(g));
        }
        if SCHED.allp().len() > 1 {
            match from_others(m, p) {
                Stolen::Goroutine(g) => return Some(Found::fresh(g)),
                Stolen::TimersRan => continue,
                Stolen::Nothing => {}
            }
        }
        match go_idle(m) {
            Idle::Found(g) => return Some(Found::fresh(g)),
            Idle::LookAgain => {}
            Idle::Sleep => return None,
        }
    }
}

/// How the attempt to go idle ended.
enum Idle {
    Found(&'static G),
    /// With a P again, and something to look for.
    LookAgain,
    /// Without a P.
    Sleep,
}

/// GOMAXPROCS was lowered, and this M holds one of the Ps that are too many: it goes on with another, or `None`.
#[cold]
fn give_up_retired(m: &'static M) -> Option<()> {
    let p = {
        let mut locked = SCHED.lock();
        let p = releasep(m);
        pidleput(&mut locked, p);
        pidleget(&mut locked)
    };
    let was_spinning = m.spinning.replace(false);
    SCHED.spin.went_idle(was_spinning);
    match p {
        Some(p) => acquirep(m, p),
        None => wake::wakep(), // what the retired P had is in the global queue
    }
    p.map(drop)
}

/// Calls the timers of `p` that are due; true if there were any. By the P's owner, or by a thief.
#[inline(always)]
fn run_due_timers(p: &'static P) -> bool {
    p.timers.first() != NEVER && run_due_timers_slow(p)
}

#[inline(never)] // so that the loop of the M stays small
fn run_due_timers_slow(p: &'static P) -> bool {
    let Some(now) = past(p.timers.first()) else { return false };
    let mut ran = false;
    while let Some(due) = p.timers.take_due(now) {
        trace::timer();
        // SAFETY: whoever started the timer promised that it may be called once, from any thread; it was taken out, so
        // nobody else calls it.
        unsafe { (due.f)(due.arg, due.seq) };
        trace::timer_done();
        ran = true;
    }
    ran
}

fn from_local(p: &'static P) -> Option<Found> {
    if p.take_preempt()
        && let Some(mut surplus) = p.runq.demote_runnext()
    {
        SCHED.lock().globrunqputbatch(&mut surplus);
    }
    if p.switches().is_multiple_of(GLOBAL_EVERY) {
        for retired in SCHED.retired() {
            run_due_timers(retired);
        }
        if SCHED.runqsize() > 0
            && let Some(g) = SCHED.lock().globrunqget()
        {
            return Some(Found::fresh(g));
        }
    }
    let got = p.runq.runqget()?;
    if let Some([next, after]) = got.coming {
        // With many goroutines the switches miss the cache; so the misses of the next ones begin while this one runs.
        G::of(next).prefetch_stack();
        G::of(after).prefetch();
    }
    Some(Found { g: G::of(got.g), inherit_time: got.inherit_time })
}

fn from_global(p: &'static P) -> Option<&'static G> {
    if SCHED.runqsize() == 0 {
        return None;
    }
    SCHED.lock().globrunqgetbatch(p)
}

/// Polls without waiting. Not while somebody waits in the poller: he will bring it.
fn from_network(m: &'static M, p: &'static P) -> Option<&'static G> {
    let last = SCHED.poll.last()?;
    if !netpoll::is_active() {
        return None;
    }
    let mut ready = netpoll::poll(PollWait::No);
    trace::netpoll(&ready.gs, 0);
    // Only where nobody has taken the token to wait meanwhile: a plain store would give it out a second time.
    let _noted = SCHED.poll.polls(last, nanotime());
    let g = ready.gs.pop_front().map(G::of)?;
    debug_assert!(m.p().is_some());
    wake::injectglist(Some(p), &mut ready.gs);
    Some(g)
}

enum Stolen {
    Goroutine(&'static G),
    /// Timers of another P were due; they may have made goroutines runnable here.
    TimersRan,
    Nothing,
}

/// Becomes a spinning M, unless half of the busy Ps have one already, and steals.
fn from_others(m: &'static M, p: &'static P) -> Stolen {
    if !m.spinning.get() {
        let busy = SCHED.procs() - SCHED.spin.idle_ps().min(SCHED.procs());
        if 2 * SCHED.spin.spinners() >= busy {
            return Stolen::Nothing;
        }
        m.spinning.set(true);
        SCHED.spin.begin();
    }
    let stolen = stealwork(p);
    if matches!(stolen, Stolen::Nothing) && others_hand_over_quickly(m, p) {
        std::thread::sleep(NAP);
    }
    stolen
}

/// Four rounds over all Ps, each from a random start and with a stride that meets every P once.
fn stealwork(p: &'static P) -> Stolen {
    const ROUNDS: u32 = 4;
    let all = SCHED.allp();
    let n = all.len() as u32;
    for round in 0..ROUNDS {
        let last = round == ROUNDS - 1;
        let mut i = cheaprandn(n);
        let stride = coprime_stride(n);
        for _ in 0..n {
            let victim = all[i as usize];
            i = (i + stride) % n;
            if std::ptr::eq(victim, p) {
                continue;
            }
            if last && run_due_timers(victim) {
                // They ran on this P; what they readied is in our queue.
                if let Some(got) = p.runq.runqget() {
                    return Stolen::Goroutine(G::of(got.g));
                }
                return Stolen::TimersRan;
            }
            if let Some(g) = p.runq.runqsteal(&victim.runq, || last && worth_taking_runnext(victim)) {
                p.steals.store(p.steals.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
                trace::steal(p, victim, G::of(g));
                return Stolen::Goroutine(G::of(g));
            }
        }
    }
    Stolen::Nothing
}

/// A random stride that has no divisor in common with `n`.
fn coprime_stride(n: u32) -> u32 {
    fn gcd(a: u32, b: u32) -> u32 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    loop {
        let s = 1 + cheaprandn(n);
        if gcd(s, n) == 1 {
            return s;
        }
    }
}

/// A goroutine that was made runnable a moment ago is likely to run on its own P in another: give it about 3 µs. Where that
/// P has switched meanwhile, it gets on by itself, and what is in runnext now has come since: a pair that ping-pongs is not
/// torn apart. Nor where it stands still because it is just waking somebody, us in most cases: that takes longer than 3 µs,
/// for ever if we keep its processor busy. (Go gives it nearly 60 µs in any case, and then looks whether the same goroutine
/// is still there.)
fn worth_taking_runnext(victim: &'static P) -> bool {
    let before = victim.switches();
    while let Some(m) = M::of_raw(victim.m_raw()) {
        let t = nanotime();
        while nanotime() - t < 3_000 {
            std::hint::spin_loop();
        }
        if victim.switches() != before {
            return false;
        }
        if !m.wakes.get() {
            break;
        }
        std::thread::sleep(NAP);
    }
    true
}

/// Whether the other Ps have switched so often since this M was here last that their goroutines do little but hand over to
/// each other: several times in the time that it takes to wake a thread.
fn others_hand_over_quickly(m: &'static M, p: &'static P) -> bool {
    const QUICK_NS: u64 = 400;
    const LAST_NS: u64 = 1_000_000;
    let (mut running, mut switches) = (0, 0u32);
    for other in SCHED.allp().iter().filter(|other| !std::ptr::eq(**other, p)) {
        running += u64::from(!other.m_raw().is_null());
        switches = switches.wrapping_add(other.switches());
    }
    let now = Others { by: p.id, at: nanotime(), switches };
    let then = m.others.replace(now);
    let (passed, switches) = (now.at - then.at, u64::from(switches.wrapping_sub(then.switches)));
    then.by == p.id && running > 0 && passed < LAST_NS && switches * QUICK_NS >= passed * running
}

/// How long a thief who has found nothing stays away from Ps that hand over quickly. (Go's `usleep(3)` before it takes a
/// runnext: with the slack of the system's timers that is nearly 60 µs, and so is this.) It goes on to count as spinning, so
/// that they need not wake anybody for each goroutine that they make runnable and run themselves a moment later. To be woken
/// instead, every time that it has fallen asleep, made a message between two goroutines half as dear again.
const NAP: Duration = Duration::from_micros(3);

/// Nothing found: gives the P up, unless a last look finds something.
fn go_idle(m: &'static M) -> Idle {
    let p = m.the_p();
    {
        let mut locked = SCHED.lock();
        if let Some(g) = locked.globrunqgetbatch(p) {
            return Idle::Found(g);
        }
        let p = releasep(m);
        pidleput(&mut locked, p);
    }
    let was_spinning = m.spinning.replace(false);
    SCHED.spin.went_idle(was_spinning);

    // The last look (spinning.rs, I4).
    let now = nanotime();
    if wake::work_anywhere(now) {
        let p = pidleget(&mut SCHED.lock());
        if let Some(p) = p {
            acquirep(m, p);
            m.spinning.set(true);
            SCHED.spin.begin();
            return Idle::LookAgain;
        }
    }
    let until = SCHED.allp().iter().map(|p| p.timers.first()).min().unwrap_or(NEVER);
    wait_for_work(m, now, until, was_spinning)
}

/// Without a P: waits in the poller, if there is something to poll and nobody is there.
fn wait_for_work(m: &'static M, now: u64, until: u64, was_spinning: bool) -> Idle {
    let has_timer = until != NEVER;
    if (has_timer || netpoll::is_active()) && SCHED.poll.take() {
        if !has_timer && SCHED.spin.idle_ps() == SCHED.procs() {
            checkdead(Going::ToPoll);
        }
        SCHED.poll.waits_until(until);
        let wait = match until {
            NEVER => PollWait::Forever,
            t if t <= now => PollWait::No,
            t => PollWait::For(Duration::from_nanos(t - now)),
        };
        m.set_quiet(true);
        let mut ready = netpoll::poll(wait);
        m.set_quiet(false);
        trace::netpoll(&ready.gs, now);
        SCHED.poll.give_back(nanotime());
        let p = pidleget(&mut SCHED.lock());
        match p {
            Some(p) => {
                acquirep(m, p);
                let g = ready.gs.pop_front().map(G::of);
                wake::injectglist(Some(p), &mut ready.gs);
                if g.is_none() && was_spinning {
                    m.spinning.set(true);
                    SCHED.spin.begin();
                }
                return g.map_or(Idle::LookAgain, Idle::Found);
            }
            None => wake::injectglist(None, &mut ready.gs),
        }
    } else if has_timer {
        // Somebody waits in the poller: not beyond our earliest timer.
        if SCHED.poll.is_waiting_beyond(until) {
            netpoll::poller().netpoll_break();
        }
    }
    Idle::Sleep
}

/// Marks a goroutine that was found as about to run, and ends the spinning of its M (Go: `resetspinning`).
pub(crate) fn stop_spinning(m: &'static M) {
    m.spinning.set(false);
    if SCHED.spin.found_work() {
        // We were the last to look; there may be more where this came from.
        wake::wakep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_meets_every_p_once() {
        for n in 1..40u32 {
            let (start, stride) = (cheaprandn(n), coprime_stride(n));
            let mut seen = vec![false; n as usize];
            (0..n).for_each(|k| seen[((start + k * stride) % n) as usize] = true);
            assert!(seen.iter().all(|&s| s), "n {n} stride {stride}");
        }
    }
}
