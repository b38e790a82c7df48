//! The lock of a descriptor: close against read and write (Go: internal/poll/fd_mutex.go).
//!
//! It counts who uses the descriptor, lets one reader and one writer in at a time, and turns everybody away once the
//! descriptor is closed. Whoever takes the last reference after that releases the socket: nobody can then be in a
//! system call on it.
//!
//! | bits  | name    | meaning                                            |
//! |-------|---------|----------------------------------------------------|
//! | 0     | CLOSED  | no new references                                  |
//! | 1     | RLOCK   | a reader is in; it holds a reference               |
//! | 2     | WLOCK   | a writer is in; it holds a reference               |
//! | 3–22  | refs    | references                                         |
//! | 23–42 | rwait   | readers asleep at `rsema`, or about to be          |
//! | 43–62 | wwait   | writers likewise at `wsema`                        |
//!
//! ```text
//!   rwlock     free ─► lock + a reference.   taken ─► one more in rwait, sleep, and again from the start
//!   rwunlock   takes one out of rwait, if any, and gives the semaphore a unit for it
//!   close      CLOSED, both wait counts to 0 with a unit for each: they wake, see CLOSED, and go
//! ```
//! A waiter that wakes competes with newcomers; the semaphores themselves are FIFO.

use crate::polldesc::Mode;
use gosched_runtime::park::{self, WaitReason, Waiter};
use parking_lot::Mutex;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

const CLOSED: u64 = 1;
const RLOCK: u64 = 1 << 1;
const WLOCK: u64 = 1 << 2;
const REF: u64 = 1 << 3;
const COUNT: u64 = (1 << 20) - 1;
const REFS: u64 = COUNT << 3;
const RWAIT: u64 = 1 << 23;
const RWAITS: u64 = COUNT << 23;
const WWAIT: u64 = 1 << 43;
const WWAITS: u64 = COUNT << 43;

/// A value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Snapshot(u64);

impl Snapshot {
    fn lock_bit(mode: Mode) -> u64 {
        match mode {
            Mode::Read => RLOCK,
            Mode::Write => WLOCK,
        }
    }
    fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }
    fn is_locked(self, mode: Mode) -> bool {
        self.0 & Snapshot::lock_bit(mode) != 0
    }
    fn waiters(self, mode: Mode) -> u64 {
        match mode {
            Mode::Read => (self.0 & RWAITS) / RWAIT,
            Mode::Write => (self.0 & WWAITS) / WWAIT,
        }
    }
    fn with_ref(self) -> Snapshot {
        assert!(
            self.0 & REFS != REFS,
            "gosched: too many operations at once on one socket (at most 1048575)"
        );
        Snapshot(self.0 + REF)
    }
    fn without_ref(self) -> Snapshot {
        debug_assert!(self.0 & REFS != 0, "a reference is given back twice");
        Snapshot(self.0 - REF)
    }
    fn with_waiter(self, mode: Mode) -> Snapshot {
        assert!(
            self.waiters(mode) != COUNT,
            "gosched: too many operations at once on one socket (at most 1048575)"
        );
        Snapshot(self.0 + if mode == Mode::Read { RWAIT } else { WWAIT })
    }
    fn without_waiter(self, mode: Mode) -> Snapshot {
        Snapshot(self.0 - if mode == Mode::Read { RWAIT } else { WWAIT })
    }
    fn locked(self, mode: Mode) -> Snapshot {
        Snapshot(self.0 | Snapshot::lock_bit(mode))
    }
    fn unlocked(self, mode: Mode) -> Snapshot {
        debug_assert!(self.is_locked(mode), "unlocked twice");
        Snapshot(self.0 & !Snapshot::lock_bit(mode))
    }
    fn closed(self) -> Snapshot {
        Snapshot((self.0 | CLOSED) & !(RWAITS | WWAITS))
    }
    /// Closed, and nobody uses the descriptor any more.
    fn is_over(self) -> bool {
        self.0 & (CLOSED | REFS) == CLOSED
    }
}

/// The descriptor is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Closed;

/// What the one who gives a reference back owes.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    Nothing,
    /// It was the last one of a closed descriptor: release the socket. Given out once.
    Release,
}

/// See the file's head.
pub(crate) struct FdMutex {
    state: AtomicU64,
    rsema: Sema,
    wsema: Sema,
}

impl FdMutex {
    pub(crate) const fn new() -> FdMutex {
        FdMutex { state: AtomicU64::new(0), rsema: Sema::new(), wsema: Sema::new() }
    }

    /// Acquire on success: pairs with the Release of whoever had the lock or wrote the word before, so that what the
    /// last holder did to the descriptor's plain state is seen. Release: the same for the next one.
    fn cas(&self, old: &mut Snapshot, new: Snapshot) -> bool {
        match self.state.compare_exchange_weak(old.0, new.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(now) => {
                *old = Snapshot(now);
                false
            }
        }
    }

    fn load(&self) -> Snapshot {
        Snapshot(self.state.load(Ordering::Relaxed))
    }

    fn sema(&self, mode: Mode) -> &Sema {
        match mode {
            Mode::Read => &self.rsema,
            Mode::Write => &self.wsema,
        }
    }

    /// Takes a reference. It is given back by `decref`.
    #[inline]
    pub(crate) fn incref(&self) -> Result<(), Closed> {
        let mut old = self.load();
        loop {
            if old.is_closed() {
                return Err(Closed);
            }
            let new = old.with_ref();
            if self.cas(&mut old, new) {
                return Ok(());
            }
        }
    }

    #[inline]
    pub(crate) fn decref(&self) -> After {
        let mut old = self.load();
        loop {
            let new = old.without_ref();
            if self.cas(&mut old, new) {
                return if new.is_over() { After::Release } else { After::Nothing };
            }
        }
    }

    /// Takes a reference and closes: from now on nobody gets in, and those who wait to get in leave. Once.
    pub(crate) fn incref_and_close(&self) -> Result<(), Closed> {
        let mut old = self.load();
        loop {
            if old.is_closed() {
                return Err(Closed);
            }
            // On success `old` stays what it was: the waiters to wake.
            let new = old.with_ref().closed();
            if self.cas(&mut old, new) {
                break;
            }
        }
        for mode in [Mode::Read, Mode::Write] {
            for _ in 0..old.waiters(mode) {
                self.sema(mode).release();
            }
        }
        Ok(())
    }

    /// Takes a reference and the lock of one direction, waiting for it.
    #[inline]
    pub(crate) fn rwlock(&self, mode: Mode) -> Result<(), Closed> {
        let mut old = self.load();
        while !old.is_closed() && !old.is_locked(mode) {
            let new = old.with_ref().locked(mode);
            if self.cas(&mut old, new) {
                return Ok(());
            }
        }
        self.rwlock_slow(mode)
    }

    #[cold]
    fn rwlock_slow(&self, mode: Mode) -> Result<(), Closed> {
        let mut old = self.load();
        loop {
            if old.is_closed() {
                return Err(Closed);
            }
            let free = !old.is_locked(mode);
            let new = if free { old.with_ref().locked(mode) } else { old.with_waiter(mode) };
            if self.cas(&mut old, new) {
                if free {
                    return Ok(());
                }
                // Whoever wakes us has taken us out of the count.
                self.sema(mode).acquire();
                old = self.load();
            }
        }
    }

    /// Gives the lock of a direction back, and the reference with it.
    #[inline]
    pub(crate) fn rwunlock(&self, mode: Mode) -> After {
        let mut old = self.load();
        loop {
            let wake = old.waiters(mode) > 0;
            let new = old.unlocked(mode).without_ref();
            let new = if wake { new.without_waiter(mode) } else { new };
            if self.cas(&mut old, new) {
                if wake {
                    self.sema(mode).release();
                }
                return if new.is_over() { After::Release } else { After::Nothing };
            }
        }
    }

    /// Whether `close` was called. It says so before it touches the socket.
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: not earlier than the caller's last system call on the socket, whose outcome it is to explain.
        Snapshot(self.state.load(Ordering::Acquire)).is_closed()
    }
}

// ---------------------------------------------------------------------------------------------------- semaphore

/// A counting semaphore on the scheduler's seam: units go to the waiters in the order in which they came.
pub(crate) struct Sema(Mutex<SemaState>);

struct SemaState {
    /// Units that nobody waits for. Not 0 only while the queue is empty.
    units: u64,
    head: Option<NonNull<Node>>,
    tail: Option<NonNull<Node>>,
}

/// A waiter in the queue. On its own stack, which stays until it is readied.
struct Node {
    waiter: Waiter,
    next: Option<NonNull<Node>>,
}

// SAFETY: the pointers lead to nodes of parked waiters, and are followed under the lock only.
unsafe impl Send for SemaState {}

impl Sema {
    pub(crate) const fn new() -> Sema {
        Sema::with_units(0)
    }

    pub(crate) const fn with_units(units: u64) -> Sema {
        Sema(Mutex::new(SemaState { units, head: None, tail: None }))
    }

    /// Takes a unit, parking until there is one.
    pub(crate) fn acquire(&self) {
        let mut s = self.0.lock();
        if s.units > 0 {
            s.units -= 1;
            return;
        }
        let mut node = Node { waiter: park::current(), next: None };
        let at = NonNull::from(&mut node);
        match s.tail {
            // SAFETY: a node in the queue belongs to a parked waiter, and we hold the lock.
            Some(tail) => unsafe { (*tail.as_ptr()).next = Some(at) },
            None => s.head = Some(at),
        }
        s.tail = Some(at);
        // Unlocked by the commit, once this stack is left.
        std::mem::forget(s);
        // SAFETY: the semaphore outlives the wait (it is in a descriptor that the caller borrows); `release` takes the
        // node out under the lock, once, and readies.
        unsafe { park::gopark(unlock, std::ptr::from_ref(self).cast_mut().cast(), WaitReason::Semacquire) };
    }

    /// Gives a unit: to the first waiter, or for the next one to come.
    pub(crate) fn release(&self) {
        let mut s = self.0.lock();
        let Some(first) = s.head else {
            s.units += 1;
            return;
        };
        // SAFETY: in the queue, so its waiter is parked and its stack alive until the goready below. Copied out before.
        let Node { waiter, next } = unsafe { first.as_ptr().read() };
        s.head = next;
        if next.is_none() {
            s.tail = None;
        }
        drop(s);
        // SAFETY: taken out of the queue under the lock, so nobody else readies it.
        unsafe { park::goready(waiter) };
    }
}

/// # Safety
/// As for [`park::Commit`]; `arg` is a `Sema` whose lock the waiter has left locked.
unsafe fn unlock(_: Waiter, arg: *mut ()) -> bool {
    // SAFETY: `acquire` passes itself, and forgot its guard.
    unsafe { (*arg.cast::<Sema>()).0.force_unlock(Default::default()) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_last_reference_of_a_closed_descriptor_releases_it() {
        let m = FdMutex::new();
        m.incref().unwrap();
        m.rwlock(Mode::Read).unwrap();
        m.rwlock(Mode::Write).unwrap();
        assert_eq!(m.incref_and_close(), Ok(()));
        assert_eq!(m.incref_and_close(), Err(Closed));
        assert_eq!(m.incref(), Err(Closed));
        assert_eq!(m.rwlock(Mode::Read), Err(Closed));
        assert_eq!(m.decref(), After::Nothing);
        assert_eq!(m.rwunlock(Mode::Read), After::Nothing);
        assert_eq!(m.decref(), After::Nothing);
        assert_eq!(m.rwunlock(Mode::Write), After::Release);
    }

    #[test]
    fn one_reader_and_one_writer_are_in_at_a_time() {
        const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };
        let m = FdMutex::new();
        let inside = [AtomicUsize::new(0), AtomicUsize::new(0)];
        std::thread::scope(|s| {
            for t in 0..6 {
                let (m, inside) = (&m, &inside);
                s.spawn(move || {
                    for _ in 0..ROUNDS {
                        let mode = if t % 2 == 0 { Mode::Read } else { Mode::Write };
                        m.rwlock(mode).unwrap();
                        assert_eq!(inside[t % 2].fetch_add(1, Ordering::Relaxed), 0);
                        inside[t % 2].fetch_sub(1, Ordering::Relaxed);
                        assert_eq!(m.rwunlock(mode), After::Nothing);
                    }
                });
            }
        });
        assert_eq!(m.load().0, 0);
    }

    #[test]
    fn close_sends_all_that_wait_for_the_lock_away() {
        for _ in 0..if cfg!(miri) { 3 } else { 500 } {
            let m = FdMutex::new();
            let releases = AtomicUsize::new(0);
            m.rwlock(Mode::Read).unwrap();
            std::thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        if m.rwlock(Mode::Read).is_ok() && m.rwunlock(Mode::Read) == After::Release {
                            releases.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                s.spawn(|| {
                    m.incref_and_close().unwrap();
                    if m.decref() == After::Release {
                        releases.fetch_add(1, Ordering::Relaxed);
                    }
                });
                std::thread::yield_now();
                if m.rwunlock(Mode::Read) == After::Release {
                    releases.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert_eq!(releases.into_inner(), 1);
            assert!(m.load().is_over());
        }
    }

    #[test]
    fn one_user_too_many_panics_and_says_so() {
        let m = FdMutex::new();
        // As many as fit, in one step; then one by one.
        m.state.store(REFS - 2 * REF, Ordering::Relaxed);
        m.incref().unwrap();
        m.rwlock(Mode::Read).unwrap();
        type Taking = fn(&FdMutex) -> Result<(), Closed>;
        let ways: [Taking; 3] = [FdMutex::incref, |m| m.rwlock(Mode::Write), FdMutex::incref_and_close];
        for taking in ways {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| taking(&m))).unwrap_err();
            assert!(panic.downcast_ref::<&str>().unwrap().contains("too many operations at once"));
        }
        // Nothing has come of it.
        assert_eq!(m.load().0, REFS | RLOCK);
        assert_eq!(m.rwunlock(Mode::Read), After::Nothing);
        m.incref().unwrap();
    }
}
