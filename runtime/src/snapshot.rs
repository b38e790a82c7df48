//! Where everything is just now, P by P and M by M: what a picture of the scheduler is drawn from (gosched-debug).
//!
//! Read one by one while everything goes on, as `schedtrace` does, whose lines have the same fields: the parts fit together
//! only nearly. An M may be seen with a P that another has by now. Nothing here stops or slows anybody.

use crate::allgs;
use crate::g::{G, Gstatus};
use crate::m::M;
use crate::newproc::num_goroutine;
use crate::p::{P, Pstatus};
use crate::reason::WaitReason;
use crate::sched::SCHED;
use std::sync::atomic::Ordering;

/// A P.
#[derive(Clone, Debug)]
pub struct SeenP {
    /// Its number.
    pub id: u32,
    /// Whether some M holds it.
    pub running: bool,
    /// The number of that M.
    pub m: Option<u64>,
    /// Goroutines in its queue.
    pub runq: u32,
    /// Timers in its heap.
    pub timers: usize,
    /// Goroutines that it has put on a processor.
    pub switches: u32,
    /// Thefts from other Ps.
    pub steals: u32,
}

/// An M that has a thread and uses it.
#[derive(Clone, Debug)]
pub struct SeenM {
    /// Its number.
    pub id: u64,
    /// The P that it holds.
    pub p: Option<u32>,
    /// The goroutine that it runs: its id, and where that was started.
    pub g: Option<(u64, String)>,
    /// Whether that is in `syscall(f)`.
    pub in_syscall: bool,
    /// Asleep with its goroutine.
    pub blocked: bool,
    /// Looks for work.
    pub spinning: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The Ps in use.
    pub ps: Vec<SeenP>,
    /// The Ms that do not sleep, the newest first.
    pub ms: Vec<SeenM>,
    /// Goroutines in the global run queue.
    pub global_runq: usize,
    /// Goroutines alive.
    pub goroutines: usize,
    /// How many wait for what, the most first; `None` where there are too many goroutines to count them often.
    pub waiting: Option<Vec<(&'static str, usize)>>,
    /// Whether an M waits in the network poller.
    pub polling: bool,
    /// Ps handed from one M to another so far.
    pub handoffs: u64,
}

/// More goroutines than this are not counted by what they wait for: meanwhile no new G can be made.
const COUNTED: usize = 20_000;

fn waiting() -> Vec<(&'static str, usize)> {
    let mut counts = [0; WaitReason::COUNT];
    allgs::for_each(|g| {
        if g.status() == Gstatus::Waiting {
            counts[g.reason() as usize] += 1;
        }
    });
    let mut out: Vec<_> = WaitReason::WORDS.into_iter().zip(counts).filter(|&(_, n)| n > 0).collect();
    out.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    out
}

/// Where everything is. O(Ps + Ms), and O(goroutines) where these are not too many. Never parks.
pub fn snapshot() -> Snapshot {
    let ps = SCHED.allp().iter().take(SCHED.procs() as usize).map(|&p| see_p(p)).collect();
    let mut ms = Vec::new();
    M::for_each(|m| ms.extend(see_m(m)));
    let goroutines = num_goroutine();
    Snapshot {
        waiting: (goroutines <= COUNTED).then(waiting),
        ps,
        ms,
        global_runq: SCHED.runqsize(),
        goroutines,
        polling: SCHED.poll.last().is_none(),
        handoffs: SCHED.handoffs.load(Ordering::Relaxed),
    }
}

fn see_p(p: &P) -> SeenP {
    SeenP {
        id: p.id,
        running: p.status() == Pstatus::Running,
        m: M::of_raw(p.m_raw()).map(M::id),
        runq: p.runq.len(),
        timers: p.timers.len(),
        switches: p.switches(),
        steals: p.steals.load(Ordering::Relaxed),
    }
}

/// `None` where it has nothing and sleeps, in its `park` or in the poller; or has no thread at all.
fn see_m(m: &'static M) -> Option<SeenM> {
    let (p, g, blocked) = (m.p(), m.curg(), m.quiet());
    if p.is_none() && g.is_none() && blocked {
        return None;
    }
    let place = |g: &G| g.site().map_or(String::new(), |at| format!("{}:{}", at.file(), at.line()));
    Some(SeenM {
        id: m.id(),
        p: p.map(|p| p.id),
        g: g.map(|g| (g.goid(), place(g))),
        in_syscall: g.is_some_and(|g| g.in_syscall.load(Ordering::Relaxed)),
        blocked,
        spinning: m.spinning.get(),
    })
}
