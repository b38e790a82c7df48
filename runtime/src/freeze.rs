//! Nobody resumes a goroutine while somebody looks at them all (in Go the world stops for this: `stopTheWorld`).
//!
//! To unwind a goroutine's stack from outside, it must be at rest and stay so. The world need not stop for that: whoever
//! runs user code may run on, as long as nothing that rests is resumed and nothing that was seen ends. Each M comes by a
//! gate before it resumes a goroutine or buries one:
//!
//! ```text
//!   M                                             whoever looks
//!   (inside the runtime, in_rt is true)           FROZEN = true
//!   gate: FROZEN? ── wait ──┐                     membarrier
//!         resume, leave     │                     for each M, wait until it is
//!                           │                        outside the runtime         or
//!   quiet = true, sleep, quiet = false            at the gate or asleep (`quiet`)
//!   … gate                                        look. FROZEN = false, wake those at the gate
//! ```
//! It is the pair of handshake.rs once more: an M writes `in_rt` or `quiet` and then reads FROZEN, the looker writes FROZEN
//! and then reads them, and the membarrier stands for the fence of all Ms. An M that has passed the gate before the
//! barrier is seen inside the runtime and not quiet, until it has resumed its goroutine and left; one that comes to the gate
//! after it waits there.
//!
//! Once every M has been seen in one of these states, and until the thaw: a goroutine that waits or is runnable, and that no
//! M has as its current one, is at rest. Goroutines that run may park meanwhile; they are not looked into. New ones may be
//! made; they do not run.
//!
//! Nothing may be waited for while frozen that a goroutine at rest could hold; the runtime's own locks are never held at
//! the gate.
//!
//! Model: tests/loom_freeze.rs, with real fences on both sides.

use crate::handshake::{owner_fence, thief_fence};
use crate::loom::atomic::{AtomicBool, Ordering};
use crate::loom::{Condvar, Mutex, MutexGuard, pause, sound};
#[cfg(not(gosched_loom))]
use crate::m::{self, M};
use std::sync::PoisonError;

/// What the gate, and who looks, see of an M.
pub(crate) trait Resumes {
    /// Asleep, or at the gate.
    fn quiet(&self) -> bool;
    fn set_quiet(&self, quiet: bool);
    /// Inside the runtime.
    fn inside(&self) -> bool;
}

/// The gate.
pub(crate) struct Freeze {
    frozen: AtomicBool,
    /// One looker at a time.
    looking: Mutex<()>,
    /// Where those at the gate wait. The mutex is held to change `frozen` to false.
    gate: Mutex<()>,
    thaw: Condvar,
}

impl Freeze {
    #[cfg(not(gosched_loom))]
    const fn new() -> Freeze {
        let (looking, gate, thaw) = (Mutex::new(()), Mutex::new(()), Condvar::new());
        Freeze { frozen: AtomicBool::new(false), looking, gate, thaw }
    }

    #[cfg(gosched_loom)]
    pub(crate) fn new() -> Freeze {
        let (looking, gate, thaw) = (Mutex::new(()), Mutex::new(()), Condvar::new());
        Freeze { frozen: AtomicBool::new(false), looking, gate, thaw }
    }

    #[inline(always)]
    pub(crate) fn gate(&self, m: &impl Resumes) {
        // Between `in_rt` or `quiet`, written before, and the look; pairs with the fence in `freeze`.
        owner_fence("freeze: the gate fences");
        if self.is_frozen() {
            self.gate_slow(m);
        }
    }

    #[inline(always)]
    fn is_frozen(&self) -> bool {
        // Acquire: pairs with the Release of the thaw. Whoever looked at our goroutine is done with it.
        let order = if sound("freeze: the gate acquires") { Ordering::Acquire } else { Ordering::Relaxed };
        self.frozen.load(order)
    }

    #[cold]
    fn gate_slow(&self, m: &impl Resumes) {
        m.set_quiet(true);
        let mut guard = self.gate.lock().unwrap();
        while self.is_frozen() {
            guard = self.thaw.wait(guard).unwrap();
        }
        drop(guard);
        m.set_quiet(false);
        // And past the gate again: another looker may have seen it quiet.
        if sound("freeze: past the gate again") {
            self.gate(m);
        }
    }

    /// Closes the gate. Nothing is at rest before every M [`has_come_to_rest`].
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        // A looker that panicked has left nothing half done.
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // Relaxed: the fences order it.
        self.frozen.store(true, Ordering::Relaxed);
        thief_fence();
        Frozen { freeze: self, _looking: looking }
    }
}

/// Waits until `m` resumes nothing that it has not resumed already. To be called while frozen.
pub(crate) fn has_come_to_rest(m: &impl Resumes) {
    while !m.quiet() && m.inside() && sound("freeze: the looker waits") {
        pause();
    }
}

/// While it lives, goroutines at rest stay so.
pub(crate) struct Frozen<'a> {
    freeze: &'a Freeze,
    _looking: MutexGuard<'a, ()>,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _gate = self.freeze.gate.lock().unwrap();
        // Release: what was looked at is done with; pairs with the Acquire at the gate.
        self.freeze.frozen.store(false, Ordering::Release);
        self.freeze.thaw.notify_all();
    }
}

#[cfg(not(gosched_loom))]
static FREEZE: Freeze = Freeze::new();

/// Before a goroutine is resumed or buried. On g0, inside the runtime, no lock held.
#[cfg(not(gosched_loom))]
#[inline(always)]
pub(crate) fn gate(m: &'static M) {
    FREEZE.gate(m);
}

/// Waits until everything is at rest that is not running. The caller must not park before it drops what it gets.
#[cfg(not(gosched_loom))]
pub(crate) fn freeze() -> Frozen<'static> {
    let frozen = FREEZE.freeze();
    let me = m::getg().map(m::m_of);
    M::for_each(|m| {
        // On a goroutine the caller's own M is outside the runtime.
        if !me.is_some_and(|me| std::ptr::eq(me, m)) {
            has_come_to_rest(m);
        }
    });
    frozen
}

#[cfg(not(gosched_loom))]
impl Resumes for M {
    fn quiet(&self) -> bool {
        M::quiet(self)
    }

    fn set_quiet(&self, quiet: bool) {
        M::set_quiet(self, quiet);
    }

    fn inside(&self) -> bool {
        self.handshake.inside()
    }
}
