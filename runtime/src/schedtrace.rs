//! `GODEBUG=schedtrace=N`: a line about the scheduler every N ms, and with `scheddetail=1` one for each P, M and G
//! (Go: runtime/proc.go, `schedtrace`).
//!
//! ```text
//!   SCHED 1004ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=1 needspinning=0 idlethreads=2 runqueue=0 [4 9]
//!     P0: status=1 schedtick=88 m=3 runqsize=4 timerslen=1
//!     M3: p=0 curg=17 spinning=false blocked=false lockedg=nil
//!     G17: status=2() m=3 lockedm=nil
//! ```
//! Numbers are read one by one while everything goes on; they fit together only nearly. Of Go's fields those are left out
//! that nothing corresponds to here (mallocing, gcwaiting, …). `threads` counts the Ms, as in Go. There is no needspinning
//! (spinning.rs): it is always 0.

use crate::g::{G, Gstatus};
use crate::m::M;
use crate::p::P;
use crate::sched::SCHED;
use crate::{allgs, clock};
use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// ms from one line to the next; 0: none.
static EVERY: AtomicU64 = AtomicU64::new(0);
static DETAIL: AtomicBool = AtomicBool::new(false);
/// When `set` was called.
static START: AtomicU64 = AtomicU64::new(0);

/// Asks for a trace every so many ms.
pub(crate) fn set(every: u64, detail: bool) {
    START.store(clock::nanotime(), Ordering::Relaxed);
    DETAIL.store(detail, Ordering::Relaxed);
    EVERY.store(every, Ordering::Relaxed);
}

/// From one trace to the next, in ns; `None`: there is none.
pub(crate) fn every() -> Option<u64> {
    Some(EVERY.load(Ordering::Relaxed) * 1_000_000).filter(|&ns| ns != 0)
}

/// A number, or `nil`.
struct OrNil<T>(Option<T>);

impl<T: Display> Display for OrNil<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(v) => v.fmt(f),
            None => f.write_str("nil"),
        }
    }
}

/// Writes the trace of now to stderr. By sysmon.
pub(crate) fn trace(now: u64) {
    let mut text = String::new();
    let _ = write(&mut text, now);
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn write(out: &mut String, now: u64) -> fmt::Result {
    let procs = SCHED.procs();
    let (threads, idle) = {
        let locked = SCHED.lock();
        (locked.mcount, locked.nmidle)
    };
    write!(
        out,
        "SCHED {}ms: gomaxprocs={procs} idleprocs={} threads={threads} spinningthreads={} needspinning=0 \
         idlethreads={idle} runqueue={}",
        (now - START.load(Ordering::Relaxed)) / 1_000_000,
        SCHED.spin.idle_ps(),
        SCHED.spin.spinners(),
        SCHED.runqsize(),
    )?;
    let ps = &SCHED.allp()[..procs as usize];
    if !DETAIL.load(Ordering::Relaxed) {
        let lengths: Vec<String> = ps.iter().map(|p| p.runq.len().to_string()).collect();
        return writeln!(out, " [{}]", lengths.join(" "));
    }
    writeln!(out)?;
    ps.iter().try_for_each(|p| detail_of_p(out, p))?;
    let mut done = Ok(());
    M::for_each(|m| done = done.and_then(|()| detail_of_m(out, m)));
    allgs::for_each(|g| {
        if g.status() != Gstatus::Dead {
            done = done.and_then(|()| detail_of_g(out, g));
        }
    });
    done
}

fn detail_of_p(out: &mut String, p: &P) -> fmt::Result {
    let m = OrNil(M::of_raw(p.m_raw()).map(M::id));
    let (status, tick, queue, timers) = (p.status() as u8, p.schedtick(), p.runq.len(), p.timers.len());
    writeln!(out, "  P{}: status={status} schedtick={tick} m={m} runqsize={queue} timerslen={timers}", p.id)
}

fn detail_of_m(out: &mut String, m: &'static M) -> fmt::Result {
    let (p, curg) = (OrNil(m.p().map(|p| p.id)), m.curg());
    // A goroutine that sleeps on its thread.
    let locked = curg.filter(|g| ptr::eq(g.lockedm.load(Ordering::Relaxed), m.raw()));
    writeln!(
        out,
        "  M{}: p={p} curg={} spinning={} blocked={} lockedg={}",
        m.id(),
        OrNil(curg.map(G::goid)),
        m.spinning.get(),
        m.quiet(),
        OrNil(locked.map(G::goid)),
    )
}

fn detail_of_g(out: &mut String, g: &G) -> fmt::Result {
    // Go's numbers.
    let (status, reason) = match g.status() {
        Gstatus::Runnable => (1, ""),
        Gstatus::Running => (2, ""),
        Gstatus::Waiting => (4, g.reason().as_str()),
        Gstatus::Dead => (6, ""),
    };
    let m = M::of_raw(g.m_raw()).filter(|m| m.curg().is_some_and(|c| ptr::eq(c, g)));
    let locked = M::of_raw(g.lockedm.load(Ordering::Relaxed));
    let (m, locked) = (OrNil(m.map(M::id)), OrNil(locked.map(M::id)));
    writeln!(out, "  G{}: status={status}({reason}) m={m} lockedm={locked}", g.goid())
}
