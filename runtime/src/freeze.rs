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

use crate::m::{self, M};
use crate::sys;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

static FROZEN: AtomicBool = AtomicBool::new(false);
/// One looker at a time.
static LOOKING: Mutex<()> = Mutex::new(());
/// Where those at the gate wait. The mutex is held to change FROZEN to false.
static GATE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

/// Before a goroutine is resumed or buried. On g0, inside the runtime, no lock held.
#[inline(always)]
pub(crate) fn gate(m: &'static M) {
    if !sys::barrier::registered() {
        // Pairs with the fence of `membarrier`, where that is only one.
        fence(Ordering::SeqCst);
    }
    if FROZEN.load(Ordering::Relaxed) {
        gate_slow(m);
    }
}

#[cold]
fn gate_slow(m: &'static M) {
    m.set_quiet(true);
    let mut guard = GATE.0.lock();
    while FROZEN.load(Ordering::Relaxed) {
        GATE.1.wait(&mut guard);
    }
    drop(guard);
    m.set_quiet(false);
    // And past the gate again: another looker may have seen it quiet.
    gate(m);
}

/// While it lives, goroutines at rest stay so.
pub(crate) struct Frozen(#[allow(dead_code, reason = "held")] parking_lot::MutexGuard<'static, ()>);

/// Waits until everything is at rest that is not running. The caller must not park before it drops what it gets.
pub(crate) fn freeze() -> Frozen {
    let frozen = Frozen(LOOKING.lock());
    FROZEN.store(true, Ordering::Relaxed);
    sys::barrier::membarrier();
    let me = m::getg().map(m::m_of);
    M::for_each(|m| {
        // On a goroutine the caller's own M is outside the runtime.
        while !m.quiet() && m.handshake.inside() && !me.is_some_and(|me| std::ptr::eq(me, m)) {
            std::thread::sleep(Duration::from_micros(20));
        }
    });
    frozen
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _gate = GATE.0.lock();
        FROZEN.store(false, Ordering::Relaxed);
        GATE.1.notify_all();
    }
}
