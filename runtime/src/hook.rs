//! What a goroutine of an exploration (world.rs) does otherwise: its choices, its clock, and where others may run.
//!
//! Each of the functions here is asked by code that knows nothing of explorations, and answers what it always would,
//! unless there is an exploration in progress somewhere in the process *and* the caller is a goroutine of one. The first
//! is a load and a branch that is predicted, on a word that nobody writes; the second is asked in a cold function.
//!
//! world.rs hands its side over at the start of the first exploration, for it stands far below in the order of files.

use crate::rand;
use crate::waiter::Waiter;
use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// What an exploration answers.
pub(crate) struct Hooks {
    pub(crate) point: fn(&'static str, *const ()),
    pub(crate) now: fn() -> Option<Instant>,
    pub(crate) pick: fn(u32) -> Option<u32>,
    pub(crate) inside: fn() -> bool,
    pub(crate) count: fn() -> Option<usize>,
    pub(crate) ready: fn(Waiter),
    pub(crate) panicking: fn(String),
    pub(crate) unseen: fn(&(dyn Any + Send)),
    pub(crate) unwinding: fn(),
}

/// Explorations in progress, and whether locks are watched (sync/owners.rs): one word, so that a lock asks one.
static HOOKED: AtomicU32 = AtomicU32::new(0);
const WATCHING: u32 = 1 << 31;
static HOOKS: OnceLock<Hooks> = OnceLock::new();

/// Counts an exploration as in progress until dropped.
pub(crate) struct Counted(());

impl Counted {
    pub(crate) fn new(hooks: Hooks) -> Counted {
        HOOKS.get_or_init(|| hooks);
        HOOKED.fetch_add(1, Ordering::Relaxed);
        Counted(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HOOKED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an exploration is in progress anywhere. (Relaxed: the goroutines of an exploration run on the thread that
/// counted it; nobody else needs to know.)
#[inline(always)]
pub(crate) fn exploring() -> bool {
    HOOKED.load(Ordering::Relaxed) & !WATCHING != 0
}

/// Whether a lock has anything to say to anybody: an exploration is in progress, or locks are watched.
#[inline(always)]
pub(crate) fn hooked() -> bool {
    HOOKED.load(Ordering::Relaxed) != 0
}

/// Whether locks are watched.
#[inline]
pub(crate) fn watching() -> bool {
    HOOKED.load(Ordering::Relaxed) & WATCHING != 0
}

/// Relaxed: who has what lock is written down under a lock of its own, and nothing rests on when that begins.
pub(crate) fn watch(on: bool) {
    match on {
        true => HOOKED.fetch_or(WATCHING, Ordering::Relaxed),
        false => HOOKED.fetch_and(!WATCHING, Ordering::Relaxed),
    };
}

/// The caller is about to do `what` with the thing at `on`, and holds no lock of the project's own: in an exploration,
/// another goroutine may run first. To be called at the beginning of every operation that others can notice.
///
/// ```
/// gosched_runtime::park::point("do this or that", std::ptr::null()); // nothing, outside of explorations
/// ```
#[inline(always)]
pub fn point(what: &'static str, on: *const ()) {
    if exploring() {
        point_slow(what, on);
    }
}

#[cold]
fn point_slow(what: &'static str, on: *const ()) {
    if let Some(hooks) = HOOKS.get() {
        (hooks.point)(what, on);
    }
}

/// The time, for whatever users see of it: deadlines, timers. In an exploration it is the exploration's.
///
/// ```
/// let t = gosched_runtime::park::now();
/// assert!(t <= std::time::Instant::now());
/// ```
#[inline]
pub fn now() -> Instant {
    if exploring()
        && let Some(t) = HOOKS.get().and_then(|hooks| (hooks.now)())
    {
        return t;
    }
    Instant::now()
}

/// A random number below `n`; 0 for 0. The bias is below n/2^32. In an exploration it is one of the exploration's
/// choices. Never parks.
///
/// ```
/// assert!(gosched_runtime::cheaprandn(6) < 6);
/// assert_eq!(gosched_runtime::cheaprandn(0), 0);
/// ```
#[inline]
pub fn cheaprandn(n: u32) -> u32 {
    if exploring()
        && n > 1
        && let Some(choice) = HOOKS.get().and_then(|hooks| (hooks.pick)(n))
    {
        return choice;
    }
    rand::below(n)
}

/// Puts what is in `items` into a random order, each as likely as the others (but for less than one in 2^19). In an
/// exploration it is made of the exploration's choices. Never parks.
///
/// ```
/// let mut order = [0, 1, 2, 3];
/// gosched_runtime::cheapshuffle(&mut order);
/// order.sort();
/// assert_eq!(order, [0, 1, 2, 3]);
/// ```
#[inline]
pub fn cheapshuffle(items: &mut [u32]) {
    if exploring() || items.len() > rand::AT_ONCE {
        for i in 1..items.len() {
            items.swap(i, cheaprandn(i as u32 + 1) as usize);
        }
    } else {
        rand::shuffle(items);
    }
}

/// Whether the caller runs in an exploration.
#[inline]
pub(crate) fn explored() -> bool {
    exploring() && HOOKS.get().is_some_and(|hooks| (hooks.inside)())
}

/// How many goroutines the caller's exploration has.
pub(crate) fn count() -> Option<usize> {
    HOOKS.get().filter(|_| exploring()).and_then(|hooks| (hooks.count)())
}

/// Readies a goroutine of an exploration.
#[cold]
pub(crate) fn ready(w: Waiter) {
    (HOOKS.get().expect("its goroutines exist").ready)(w);
}

/// The caller panics: what it says.
pub(crate) fn panicking(text: impl FnOnce() -> String) {
    if explored() {
        (HOOKS.get().expect("explored").panicking)(text());
    }
}

/// A goroutine's panic has come to its base, and nobody will hear of it.
pub(crate) fn unseen(payload: &(dyn Any + Send)) {
    if explored() {
        (HOOKS.get().expect("explored").unseen)(payload);
    }
}

/// A goroutine parks while a panic unwinds it.
pub(crate) fn unwinding() {
    (HOOKS.get().expect("explored").unwinding)();
}
