//! Who has which lock, and who waits for it: kept while somebody wants to know (`GODEBUG=lockcycles=1`,
//! `debug::watch_locks`), so that a ring of goroutines that wait for each other's locks is told of as it closes.
//!
//! A `Mutex` knows that it is locked and not by whom: to write that down would cost every lock. So it is written here, and
//! the fast way asks one word whether to (hook.rs, which it asks anyway).
//!
//! ```text
//!   lock    free: take it.  else waits[me] = lock; follow it; wait        then owners[lock] = me, waits[me] gone
//!   unlock  owners[lock] gone; then the lock's word
//!   follow  lock ─owner─► goroutine ─waits─► lock ─owner─► … ─► me        a ring
//! ```
//!
//! ## Why a ring is one
//! All of it is under one lock. Be the ring me → A → g1 → B → g2 → C → me. I hold C, for I wrote that myself and have not
//! let it go. So g2, which waits for C, cannot have got it and cannot go on: it has not let B go, as an owner is taken off
//! before its lock is free. So g1 cannot go on, and has A. And since each writes down that it waits before it does, the last
//! one to come sees the whole ring.
//!
//! It is held that a lock is with who took it. A guard may be sent elsewhere: then the owner that is written down is not the
//! one who can unlock, and a ring through it may yet open. Plain threads, and locks that were taken before the watch began,
//! have no owner here; an `RwLock` has none.

use crate::awaits::{Awaited, Awaits};
use crate::m::getg;
use crate::park::current;
use crate::{fatal, hook};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::LazyLock;

/// Rings that are kept for `debug::lock_cycles`.
const KEPT: usize = 100;

struct Owner {
    goid: u64,
    name: Option<Box<str>>,
    /// Where it took the lock.
    site: &'static Location<'static>,
}

struct Wait {
    lock: usize,
    site: &'static Location<'static>,
}

#[derive(Default)]
struct Watched {
    /// By the lock's address.
    owners: HashMap<usize, Owner>,
    /// By goroutine.
    waits: HashMap<u64, Wait>,
    rings: Vec<LockCycle>,
}

/// Not held across anything that parks or locks.
static WATCHED: LazyLock<Mutex<Watched>> = LazyLock::new(Mutex::default);

/// One goroutine of a [`LockCycle`].
///
/// ```
/// assert!(gosched_runtime::debug::lock_cycles().iter().flat_map(|c| c.waits()).all(|w| w.id > 0));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockWait {
    /// Its id.
    pub id: u64,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Where it took the lock that the one before it waits for.
    pub taken_at: &'static Location<'static>,
    /// Where it waits for the lock of the next one.
    pub waits_at: &'static Location<'static>,
}

/// Goroutines each of which waits for a lock that the next one has, the last for one of the first; see
/// [`lock_cycles`](crate::debug::lock_cycles). Its `Display` is the report.
///
/// ```
/// gosched_runtime::debug::lock_cycles().iter().for_each(|c| println!("{c}"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockCycle {
    waits: Vec<LockWait>,
}

impl LockCycle {
    /// The goroutines, in the order in which they wait for each other; first the one that closed the ring.
    ///
    /// ```
    /// assert!(gosched_runtime::debug::lock_cycles().iter().all(|c| !c.waits().is_empty()));
    /// ```
    pub fn waits(&self) -> &[LockWait] {
        &self.waits
    }
}

impl fmt::Display for LockCycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("goroutines wait for each other's locks:")?;
        let n = self.waits.len();
        for (i, w) in self.waits.iter().enumerate() {
            let next = &self.waits[(i + 1) % n];
            write!(
                f,
                "\n  {} waits at {} for the lock that {} took at {}",
                Who(w),
                w.waits_at,
                Who(next),
                next.taken_at
            )?;
        }
        Ok(())
    }
}

struct Who<'a>(&'a LockWait);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.0.id)?;
        self.0.name.as_ref().map_or(Ok(()), |name| write!(f, " \"{name}\""))
    }
}

impl Watched {
    /// The ring that `me` closes by waiting for `lock`.
    fn ring(&self, me: u64, lock: usize) -> Option<LockCycle> {
        let mut waits = Vec::new();
        let mut at = lock;
        // Another ring may be on the way: it has been told of.
        while waits.len() <= self.waits.len() {
            let owner = self.owners.get(&at)?;
            let wait = self.waits.get(&owner.goid)?;
            waits.push(LockWait {
                id: owner.goid,
                name: owner.name.as_deref().map(str::to_string),
                taken_at: owner.site,
                waits_at: wait.site,
            });
            if owner.goid == me {
                waits.rotate_right(1);
                return Some(LockCycle { waits });
            }
            at = wait.lock;
        }
        None
    }

    fn own(&mut self, lock: usize, site: &'static Location<'static>) {
        if let Some(g) = getg() {
            // SAFETY: the calling goroutine.
            let name = unsafe { g.name() }.map(Into::into);
            self.owners.insert(lock, Owner { goid: g.goid(), name, site });
        }
    }
}

/// Begins to write down, or stops and forgets.
pub(crate) fn watch(on: bool) {
    let mut w = WATCHED.lock();
    // What was written before the last stop may be wrong by now.
    w.owners.clear();
    hook::watch(on);
}

/// The rings so far.
pub(crate) fn rings() -> Vec<LockCycle> {
    WATCHED.lock().rings.clone()
}

/// The caller has just got `lock`.
pub(super) fn taken(lock: usize, site: &'static Location<'static>) {
    WATCHED.lock().own(lock, site);
}

/// The caller is about to unlock `lock`; where it was taken.
pub(super) fn given(lock: usize) -> Option<&'static Location<'static>> {
    WATCHED.lock().owners.remove(&lock).map(|owner| owner.site)
}

/// Waits for `lock` by `take`, and has it then.
pub(super) fn wait(lock: usize, site: &'static Location<'static>, take: impl FnOnce()) {
    let Some(g) = getg() else { return take() };
    let me = g.goid();
    let ring = {
        let mut w = WATCHED.lock();
        w.waits.insert(me, Wait { lock, site });
        let ring = w.ring(me, lock);
        let room = w.rings.len() < KEPT;
        w.rings.extend(ring.clone().filter(|_| room));
        ring
    };
    if let Some(ring) = ring {
        fatal::warn(format_args!("gosched: {ring}"));
    }
    let waiter = current();
    let awaits = Awaits::new(owner, (&raw const lock).cast());
    // SAFETY: record and address are on this stack until the wait is over.
    unsafe { waiter.set_awaits(&awaits) };
    take();
    waiter.awaits_nothing();
    let mut w = WATCHED.lock();
    w.waits.remove(&me);
    if hook::watching() {
        w.own(lock, site);
    }
}

/// For `Awaits`: who ends a wait for the lock at that address.
///
/// # Safety
/// `of` is the address that the parked waiter has.
unsafe fn owner(of: *const (), f: &mut dyn FnMut(Awaited)) {
    // SAFETY: the caller's promise.
    let lock = unsafe { *of.cast::<usize>() };
    f(WATCHED.lock().owners.get(&lock).map_or(Awaited::Anybody, |o| Awaited::Goroutine(o.goid)));
}
