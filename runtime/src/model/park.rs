//! park.rs for models: the seam, where every goroutine is a thread of the checker (mod.rs).
//!
//! A wake-up too many is an assertion, one too few is a deadlock, which the checker reports. Parkers live until the end of
//! a run, as heads do: a late timer finds one.

use crate::loom::{Condvar, Mutex, per_run, thread_local};
use crate::waiter::{WaiterHead, WaiterKind};
use std::ptr::NonNull;
use std::time::Instant;

pub use crate::awaits::{Awaited, Awaits, EachAwaited};
pub use crate::hook::{now, point};
use crate::readers::Slots;
pub use crate::reason::WaitReason;
pub use crate::waiter::{Ticket, Waiter};

#[path = "../park/until.rs"]
mod until;

/// As in g.rs.
pub type Commit = unsafe fn(Waiter, *mut ()) -> bool;

/// How a wait with a deadline ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// By a `goready`.
    Readied,
    /// By the deadline.
    TimedOut,
}

#[repr(C)] // the head first: see WaiterHead
struct Parker {
    head: WaiterHead,
    woken: Mutex<bool>,
    bell: Condvar,
}

#[derive(Default)]
struct Parkers(std::sync::Mutex<Vec<Box<Parker>>>);

per_run! {
    static PARKERS: Parkers = Parkers::default();
}

thread_local! {
    static ME: Waiter = new_waiter();
}

fn new_waiter() -> Waiter {
    let head = WaiterHead::new(WaiterKind::Thread, 0);
    let parker = Box::new(Parker { head, woken: Mutex::new(false), bell: Condvar::new() });
    let w = Waiter(NonNull::from(&*parker).cast());
    PARKERS.0.lock().unwrap().push(parker);
    w
}

fn parker(w: Waiter) -> &'static Parker {
    // SAFETY: made by new_waiter; it lives as long as the run.
    unsafe { w.0.cast::<Parker>().as_ref() }
}

/// The waiter that this code runs as.
pub fn current() -> Waiter {
    ME.with(|w| *w)
}

/// Always: the way of goroutines is the one that is modelled.
pub fn on_goroutine() -> bool {
    true
}

/// Spinning is bounded, so it is modelled.
pub(crate) fn others_can_run() -> bool {
    true
}

/// There are no Ps here.
pub(crate) fn back_to_a_p() {}

/// Two Ps' slots, one for the first thread that comes, one for the others.
pub(crate) fn my_slots() -> Option<&'static Slots> {
    MINE.with(|mine| Some(*mine))
}

/// The slots of both.
pub(crate) fn all_slots() -> impl Iterator<Item = &'static Slots> {
    [SLOTS.get(0), SLOTS.get(1)].into_iter()
}

/// Always.
pub(crate) fn seldom(_n: u32) -> bool {
    true
}

per_run! {
    static SLOTS: TwoSlots = TwoSlots::new();
}

thread_local! {
    static MINE: &'static Slots = SLOTS.next();
}

struct TwoSlots {
    slots: [&'static Slots; 2],
    given: std::sync::atomic::AtomicUsize,
}

impl TwoSlots {
    fn new() -> TwoSlots {
        // Leaked: a reference must not end before the run does.
        TwoSlots {
            slots: [Box::leak(Box::new(Slots::new())), Box::leak(Box::new(Slots::new()))],
            given: 0.into(),
        }
    }

    fn get(&self, i: usize) -> &'static Slots {
        self.slots[i]
    }

    fn next(&self) -> &'static Slots {
        self.slots[self.given.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(1)]
    }
}

/// Parks the calling thread.
///
/// # Safety
/// As in park.rs.
pub unsafe fn gopark(commit: Commit, arg: *mut (), _reason: WaitReason) {
    let w = current();
    // On the scheduler's stack, which is another thread: the commit's last steps may come after the wake-up.
    #[cfg(gosched_shuttle)]
    {
        let arg = arg.expose_provenance();
        crate::newproc::go(move || {
            // SAFETY: the caller's promise; called off, the wake-up is ours to give.
            unsafe {
                if !commit(w, std::ptr::with_exposed_provenance_mut(arg)) {
                    goready(w);
                }
            }
        });
    }
    // SAFETY: the caller's promise.
    #[cfg(gosched_loom)]
    if !unsafe { commit(w, arg) } {
        return;
    }
    let me = parker(w);
    let mut woken = me.woken.lock().unwrap();
    while !*woken {
        woken = me.bell.wait(woken).unwrap();
    }
    *woken = false;
}

/// Ends the wait of `w`.
///
/// # Safety
/// As in park.rs.
pub unsafe fn goready(w: Waiter) {
    let p = parker(w);
    let mut woken = p.woken.lock().unwrap();
    assert!(!*woken, "readied twice");
    *woken = true;
    p.bell.notify_one();
}

/// Parks, but not beyond `deadline`.
///
/// # Safety
/// As in park.rs.
pub unsafe fn gopark_timeout(
    commit: Commit,
    arg: *mut (),
    reason: WaitReason,
    ticket: Ticket,
    deadline: Option<Instant>,
) -> Woken {
    match deadline {
        // SAFETY: handed on.
        Some(deadline) => unsafe { until::gopark_until(commit, arg, reason, ticket, deadline) },
        None => {
            // SAFETY: handed on.
            unsafe { gopark(commit, arg, reason) };
            Woken::Readied
        }
    }
}

/// Nobody owes the caller a wake-up, nor has left it one.
pub fn assert_quiet() {
    assert!(!*parker(current()).woken.lock().unwrap(), "a wake-up too many");
}
