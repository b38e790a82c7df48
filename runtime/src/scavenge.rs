//! The scavenger: gives back what a burst has left behind (Go: runtime/mgcscavenge.go, in spirit).
//!
//! A thread of its own, because a round may take a while (a million dead goroutines: some 0.3 s of cache misses and
//! `madvise`), and sysmon must not be away for that long. It sleeps on its note, and is sent on a round by sysmon, once a
//! second as long as there is something left. Where no thread can be had sysmon goes on the round itself.
//!
//! The same thread prints all stacks and ends the process on SIGQUIT (Go does so): a signal handler can do nothing but
//! wake somebody, and this one is waiting anyway.
//!
//! ```text
//!   what                          goes back when
//!   stacks in the pool            not used for a second: their pages (stack.rs, `age`)
//!   what an idle P keeps          idle for a second: its stacks and Gs go to everybody
//!   dead Gs                       not used for a second: whole chunks of them (allgs.rs)
//!   Ms beyond GOMAXPROCS          not used for ten: their threads end
//! ```
//! "Not used since" is never a time stamp: a list that is used last in, first out keeps its unused members at the bottom,
//! so it is enough to remember the fewest that it held since the last round.

use crate::glist::GQueue;
use crate::note::Note;
use crate::sched::SCHED;
use crate::{allgs, idle, stack, sys};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Rounds between two looks at the idle Ms.
const M_ROUNDS: u32 = 10;

/// From one round to the next, in ms. Less in tests (`GODEBUG=scavenge=20`).
static INTERVAL_MS: AtomicU32 = AtomicU32::new(1000);

/// From one round to the next.
pub(crate) fn interval() -> Duration {
    Duration::from_millis(INTERVAL_MS.load(Ordering::Relaxed).into())
}

/// For tests.
pub(crate) fn set_interval(ms: u32) {
    INTERVAL_MS.store(ms, Ordering::Relaxed);
}

struct Scavenger {
    note: Note,
    /// Awake, or about to be: who turns it to true wakes it.
    busy: AtomicBool,
    /// On its next waking it shall call `on_quit`.
    quit: AtomicBool,
    /// Prints all stacks (debug.rs, above this file: handed over at start).
    on_quit: fn(),
}

/// Made with its thread. `None` inside: there is no thread.
static SCAVENGER: OnceLock<Option<&'static Scavenger>> = OnceLock::new();

/// Counts the rounds.
static ROUND: AtomicU32 = AtomicU32::new(0);

/// Whether there is anything that another round might give back.
pub(crate) fn has_surplus() -> bool {
    stack::has_surplus() || {
        let locked = SCHED.lock();
        locked.gfree_has_surplus() || idle::has_surplus(&locked)
    }
}

/// How many threads this file has: for those who count the process's.
pub(crate) fn threads() -> usize {
    usize::from(SCAVENGER.get().is_some_and(Option::is_some))
}

/// Makes the thread, once. False: it could not be had. `on_quit` is called on it for SIGQUIT.
pub(crate) fn start(on_quit: fn()) -> bool {
    let made = SCAVENGER.get_or_init(|| {
        let s: &'static Scavenger = Box::leak(Box::new(Scavenger {
            note: Note::new(),
            busy: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            on_quit,
        }));
        let made = sys::thread::start("gosched-scavenger", 256 << 10, move || scavenge_when_told(s));
        made.ok().map(|()| s)
    });
    made.is_some()
}

/// Goes on a round, or sends the thread. By sysmon.
pub(crate) fn go() {
    match SCAVENGER.get() {
        Some(Some(s)) => s.wake(),
        _ => round(),
    }
}

/// Has all stacks printed, and the process ended with status 2. Async-signal-safe.
pub(crate) fn quit() {
    match SCAVENGER.get() {
        Some(Some(s)) => {
            s.quit.store(true, Ordering::Relaxed);
            s.wake();
        }
        _ => sys::quit::exit(),
    }
}

impl Scavenger {
    fn wake(&self) {
        // AcqRel: pairs with itself below. Either that thread has turned it to false and its note is clear again, or it
        // will, and sees then what was written before this.
        if !self.busy.swap(true, Ordering::AcqRel) {
            self.note.notewakeup();
        }
    }
}

fn scavenge_when_told(s: &'static Scavenger) {
    let _never_dropped = crate::fatal::FatalOnUnwind;
    loop {
        s.note.notesleep();
        s.note.noteclear();
        if !s.quit.load(Ordering::Relaxed) {
            round();
        }
        // AcqRel: pairs with the swap in `wake`.
        s.busy.swap(false, Ordering::AcqRel);
        if s.quit.load(Ordering::Relaxed) {
            (s.on_quit)();
            sys::quit::exit();
        }
    }
}

fn round() {
    // The idle Ps' caches first: what they give up is looked at right away, in the next round it may go.
    idle::flush_idle(&mut SCHED.lock());
    stack::age();
    give_back_gs();
    // Relaxed: only this thread is here, or only sysmon.
    if ROUND.fetch_add(1, Ordering::Relaxed) % M_ROUNDS == M_ROUNDS - 1 {
        let_go_ms();
    }
}

fn give_back_gs() {
    let Some((mut all, used)) = SCHED.lock().gfree_take() else { return };
    // Those in use first: others look for them.
    let mut front: GQueue<_> = all.split_front(used);
    SCHED.lock().gfree_return(&mut front);
    let mut kept = allgs::give_back(all);
    SCHED.lock().gfree_return(&mut kept);
}

/// Ends the threads of Ms that have long had nothing to do.
fn let_go_ms() {
    let mut list = idle::take_unused_ms(&mut SCHED.lock());
    while let Some(m) = list {
        list = m.link.take();
        // Without a P in `nextp`: it goes (schedule.rs, `mstart`).
        m.wake();
    }
}
