//! `Semaphore`: a number of permits, to be taken one or several at a time, first come first served.
//!
//! (Go: golang.org/x/sync/semaphore. The runtime's own `sema` hands out single units, without order between who runs
//! and who wakes; a weighted semaphore needs order, or else small takers starve a large one.)
//!
//! ## The word
//! ```text
//!   bit 0      QUEUED   somebody waits
//!   bits 1..   the free permits
//!
//!   acquire    QUEUED off and enough free ──► take them by CAS.     Else: lock, set QUEUED, enqueue, park
//!   release    QUEUED off ──► add them by CAS.                      Else: lock, add, serve the queue from its head
//! ```
//! While QUEUED is on, the word changes only under the queue's lock, and nobody takes a permit but the head of the
//! queue, even where enough are free for somebody smaller. QUEUED is set, under the lock, by the first who waits, by a
//! CAS that also sees that too few are free, and a release that comes later finds it set: that is why no wake-up is lost.
//! It is cleared under the lock with the last waiter.

use super::deadline_in;
use super::queue::{List, Queue, Record, WokenList, park, queue};
use crate::loom::atomic::{AtomicUsize, Ordering};
use crate::loom::sound;
use crate::park::{WaitReason, Woken, point};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

const QUEUED: usize = 1;
const PERMIT: usize = 1 << 1;

/// The word as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State(usize);

impl State {
    fn free(self) -> usize {
        self.0 / PERMIT
    }

    fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    fn queued(self) -> State {
        State(self.0 | QUEUED)
    }

    fn unqueued(self) -> State {
        State(self.0 & !QUEUED)
    }

    /// Without `n` permits; `None` where fewer are free.
    fn take(self, n: usize) -> Option<State> {
        (n <= self.free()).then(|| State(self.0 - n * PERMIT))
    }

    /// With `n` permits more.
    ///
    /// # Panics
    /// Beyond `MAX_PERMITS`.
    fn give(self, n: usize) -> State {
        match self.free().checked_add(n) {
            Some(sum) if sum <= Semaphore::MAX_PERMITS => State(self.0 + n * PERMIT),
            _ => panic!("sync: Semaphore has more than Semaphore::MAX_PERMITS permits"),
        }
    }
}

/// A counting semaphore: at most so many permits are out at any time. For limiting how many goroutines do something.
///
/// First come first served, whatever the sizes: while one waits for many permits, those who come later and ask for few
/// wait behind it, so that it gets its turn.
///
/// ```
/// use gosched_runtime::sync::Semaphore;
///
/// static AT_ONCE: Semaphore = Semaphore::new(2);
/// std::thread::scope(|s| {
///     for _ in 0..8 {
///         s.spawn(|| {
///             let _permit = AT_ONCE.acquire(); // never more than two threads beyond this line
///         });
///     }
/// });
/// assert_eq!(AT_ONCE.available_permits(), 2);
/// ```
pub struct Semaphore {
    /// The word of the file's head.
    state: AtomicUsize,
    queue: Queue,
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl Semaphore {
    /// The largest number of permits that a semaphore can have.
    ///
    /// ```
    /// use gosched_runtime::sync::Semaphore;
    /// assert_eq!(Semaphore::new(Semaphore::MAX_PERMITS).available_permits(), Semaphore::MAX_PERMITS);
    /// ```
    pub const MAX_PERMITS: usize = usize::MAX / PERMIT;

    /// A semaphore with `permits` permits.
    ///
    /// # Panics
    /// Where `permits` is more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// ```
    /// assert_eq!(gosched_runtime::sync::Semaphore::new(3).available_permits(), 3);
    /// ```
    pub const fn new(permits: usize) -> Semaphore {
        assert!(
            permits <= Semaphore::MAX_PERMITS,
            "sync: Semaphore has more than Semaphore::MAX_PERMITS permits"
        );
        Semaphore { state: AtomicUsize::new(permits * PERMIT), queue: queue() }
    }

    /// Takes one permit; parks until it is this caller's turn and one is free. The permit goes back when it is dropped.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(1);
    /// let permit = s.acquire();
    /// assert_eq!(s.available_permits(), 0);
    /// drop(permit);
    /// assert_eq!(s.available_permits(), 1);
    /// ```
    #[inline]
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Takes `n` permits together; parks until it is this caller's turn and so many are free. For 0 never parks.
    ///
    /// More than the semaphore has are not an error: the caller waits until [`add_permits`](Self::add_permits) has made
    /// them enough, and everybody who comes later waits behind it.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(3);
    /// let two = s.acquire_many(2);
    /// assert!(s.try_acquire_many(2).is_none());
    /// drop(two);
    /// assert!(s.try_acquire_many(3).is_some());
    /// ```
    #[inline]
    pub fn acquire_many(&self, n: usize) -> SemaphorePermit<'_> {
        point("Semaphore acquire", std::ptr::from_ref(self).cast());
        if !self.take(n) {
            self.acquire_slow(n, None);
        }
        SemaphorePermit { semaphore: self, n }
    }

    /// Takes one permit as [`acquire`](Self::acquire) does, but parks for `d` at most; for zero not at all. `None`
    /// where the time ran out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let s = gosched_runtime::sync::Semaphore::new(1);
    /// let permit = s.acquire_timeout(Duration::MAX).unwrap();
    /// assert!(s.acquire_timeout(Duration::from_millis(1)).is_none());
    /// # drop(permit);
    /// ```
    pub fn acquire_timeout(&self, d: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_timeout(1, d)
    }

    /// Takes `n` permits as [`acquire_many`](Self::acquire_many) does, but parks for `d` at most; for zero not at all.
    /// `None` where the time ran out.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(1);
    /// assert!(s.acquire_many_timeout(2, std::time::Duration::from_millis(1)).is_none());
    /// assert_eq!(s.available_permits(), 1);
    /// ```
    pub fn acquire_many_timeout(&self, n: usize, d: Duration) -> Option<SemaphorePermit<'_>> {
        point("Semaphore acquire_timeout", std::ptr::from_ref(self).cast());
        let got = self.take(n) || self.acquire_slow(n, deadline_in(d));
        got.then(|| SemaphorePermit { semaphore: self, n })
    }

    /// Takes one permit where one is free and nobody waits. Never parks.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(1);
    /// let permit = s.try_acquire();
    /// assert!(permit.is_some());
    /// assert!(s.try_acquire().is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits where so many are free and nobody waits. Never parks.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(3);
    /// assert!(s.try_acquire_many(4).is_none());
    /// assert!(s.try_acquire_many(3).is_some());
    /// ```
    #[inline]
    pub fn try_acquire_many(&self, n: usize) -> Option<SemaphorePermit<'_>> {
        point("Semaphore try_acquire", std::ptr::from_ref(self).cast());
        self.take(n).then(|| SemaphorePermit { semaphore: self, n })
    }

    /// How many permits are free at this moment. May be above zero while somebody waits for more than that. Never
    /// parks.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(5);
    /// let permit = s.acquire_many(2);
    /// assert_eq!(s.available_permits(), 3);
    /// # drop(permit);
    /// ```
    pub fn available_permits(&self) -> usize {
        point("Semaphore available_permits", std::ptr::from_ref(self).cast());
        self.load().free()
    }

    /// Makes `n` permits more. Never parks. O(waiters that it wakes).
    ///
    /// # Panics
    /// Where more than [`MAX_PERMITS`](Self::MAX_PERMITS) would be free; the number stays as it was.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(0);
    /// s.add_permits(1);
    /// assert!(s.try_acquire().is_some());
    /// ```
    #[inline]
    pub fn add_permits(&self, n: usize) {
        point("Semaphore release", std::ptr::from_ref(self).cast());
        let mut old = self.load();
        while !old.is_queued() {
            // Release: what was done before a permit is given back is seen by who takes it; pairs with the Acquire in
            // take, and in release_slow for those who are served there.
            match self.swap(old, old.give(n), Ordering::Release) {
                Ok(()) => return,
                Err(now) => old = now,
            }
        }
        self.release_slow(n);
    }

    fn load(&self) -> State {
        State(self.state.load(Ordering::Relaxed))
    }

    fn swap(&self, old: State, new: State, success: Ordering) -> Result<(), State> {
        match self.state.compare_exchange_weak(old.0, new.0, success, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(now) => Err(State(now)),
        }
    }

    /// Takes `n` permits where so many are free and nobody waits.
    #[inline]
    fn take(&self, n: usize) -> bool {
        let mut old = self.load();
        loop {
            if old.is_queued() {
                return n == 0;
            }
            let Some(new) = old.take(n) else { return false };
            // Acquire: pairs with the Release in add_permits.
            match self.swap(old, new, Ordering::Acquire) {
                Ok(()) => return true,
                Err(now) => old = now,
            }
        }
    }

    #[cold]
    fn acquire_slow(&self, n: usize, deadline: Option<Instant>) -> bool {
        let mut list = self.queue.lock();
        let mut old = self.load();
        while !old.is_queued() {
            // Enough by now? Acquire: as in take. Else the mark that makes everybody come to the lock.
            let (new, taken) = match old.take(n) {
                Some(new) => (new, true),
                None => (old.queued(), false),
            };
            match self.swap(old, new, Ordering::Acquire) {
                Ok(()) if taken => return true,
                Ok(()) => break,
                Err(now) => old = now,
            }
        }
        let mut record = Record::new(n);
        // From here on the record is reached through this pointer alone.
        let me = &raw mut record;
        // SAFETY: we hold the lock; the record is on this stack, and out of the queue when we leave: served by a
        // releaser, or by `leave` below.
        unsafe {
            list.enqueue(me);
            if park(&self.queue, list, me, WaitReason::Semacquire, deadline) == Woken::Readied {
                // The permits were taken in our name.
                return true;
            }
        }
        // Those behind us may have waited for us alone. Woken when the lock, declared after it, is free again.
        let mut woken = WokenList::new();
        let mut list = self.queue.lock();
        // SAFETY: the time was up, so nobody has claimed the record.
        unsafe { list.leave(me) };
        let state = self.load();
        // Without QUEUED nobody is behind us, for a releaser has dropped us; and the word is everybody's.
        if state.is_queued() || !sound("semaphore: who gives up leaves the word alone") {
            self.serve(&mut list, state, &mut woken);
        }
        false
    }

    #[cold]
    fn release_slow(&self, n: usize) {
        let mut woken = WokenList::new(); // before the lock, so dropped after it
        let mut list = self.queue.lock();
        loop {
            let old = self.load();
            // The queue may have emptied before we got the lock; the word is everybody's again then.
            if old.is_queued() {
                return self.serve(&mut list, old.give(n), &mut woken);
            }
            if self.swap(old, old.give(n), Ordering::Release).is_ok() {
                return;
            }
        }
    }

    /// Serves the queue from its head as long as the permits of `state` suffice, and sets the word to what is left of it.
    ///
    /// Called with the lock and with QUEUED on, so that the word is the caller's.
    fn serve(&self, list: &mut List, mut state: State, woken: &mut WokenList) {
        loop {
            let Some(want) = list.first_want() else {
                state = state.unqueued();
                break;
            };
            let Some(left) = state.take(want) else { break };
            if list.wake_first(woken) {
                state = left;
            }
        }
        // Release: for those who take by CAS what this gives back, as in add_permits; whom we wake sees it by goready.
        // What earlier releases left in the word they left under this lock, or before QUEUED was set by a CAS that was
        // an Acquire: it is handed on.
        self.state.store(state.0, Ordering::Release);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("permits", &self.available_permits()).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], taken; dropping it gives them back, and never parks.
///
/// ```
/// let s = gosched_runtime::sync::Semaphore::new(1);
/// {
///     let _permit = s.acquire();
///     assert_eq!(s.available_permits(), 0);
/// }
/// assert_eq!(s.available_permits(), 1);
/// ```
#[must_use = "if unused the permit goes back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl SemaphorePermit<'_> {
    /// How many permits this is.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(3);
    /// assert_eq!(s.acquire_many(2).num_permits(), 2);
    /// ```
    pub fn num_permits(&self) -> usize {
        self.n
    }

    /// Never gives the permits back: the semaphore has so many less. Never parks.
    ///
    /// ```
    /// let s = gosched_runtime::sync::Semaphore::new(3);
    /// s.acquire().forget();
    /// assert_eq!(s.available_permits(), 2);
    /// ```
    pub fn forget(mut self) {
        self.n = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.n != 0 {
            self.semaphore.add_permits(self.n);
        }
    }
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex as StdMutex};
    use std::thread;

    #[test]
    fn taking_and_giving_keep_the_mark() {
        let s = State(QUEUED | (3 * PERMIT));
        assert_eq!(s.take(3), Some(State(QUEUED)));
        assert_eq!(s.take(4), None);
        assert_eq!(s.take(usize::MAX), None);
        assert_eq!(s.give(2), State(QUEUED | (5 * PERMIT)));
        assert_eq!(s.unqueued().queued(), s);
        assert_eq!(State(0).give(Semaphore::MAX_PERMITS).free(), Semaphore::MAX_PERMITS);
    }

    #[test]
    fn more_permits_than_fit_are_refused_whatever_the_overflow() {
        for (free, more) in
            [(1, Semaphore::MAX_PERMITS), (0, usize::MAX), (Semaphore::MAX_PERMITS, usize::MAX)]
        {
            assert!(std::panic::catch_unwind(|| State(free * PERMIT).give(more)).is_err(), "{free} + {more}");
        }
    }

    /// Starts threads that ask for `wants`, one after the other is in the queue, and note who was served.
    fn queue_up(
        s: &Arc<Semaphore>,
        wants: &[usize],
        served: &Arc<StdMutex<Vec<usize>>>,
    ) -> Vec<thread::JoinHandle<()>> {
        let start = |(i, &want): (usize, &usize)| {
            let (shared, served) = (Arc::clone(s), Arc::clone(served));
            let t = thread::spawn(move || {
                let permit = shared.acquire_many(want);
                served.lock().unwrap().push(i);
                permit.forget();
            });
            while s.queue.lock().len() <= i {
                thread::yield_now();
            }
            t
        };
        wants.iter().enumerate().map(start).collect()
    }

    #[test]
    fn a_large_waiter_is_served_before_small_ones_that_came_later() {
        for _ in 0..50 {
            let (s, served) = (Arc::new(Semaphore::new(0)), Arc::default());
            let threads = queue_up(&s, &[3, 1, 2], &served);
            // Enough for the second one, whose turn it is not; nor is it a passer-by's.
            s.add_permits(2);
            assert_eq!((s.available_permits(), s.queue.lock().len()), (2, 3));
            assert!(s.try_acquire().is_none());
            assert!(s.acquire_timeout(Duration::ZERO).is_none());
            assert_eq!(s.try_acquire_many(0).map(|p| p.num_permits()), Some(0));
            s.add_permits(1);
            assert_eq!((s.available_permits(), s.queue.lock().len()), (0, 2));
            s.add_permits(2);
            assert_eq!((s.available_permits(), s.queue.lock().len()), (1, 1));
            s.add_permits(3);
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(s.load(), State(2 * PERMIT));
            assert_eq!(served.lock().unwrap()[..].len(), 3);
            drop(s.try_acquire().expect("nobody waits any more"));
        }
    }

    #[test]
    fn one_that_gives_up_lets_those_behind_it_through() {
        let s = Arc::new(Semaphore::new(2));
        let large = {
            let s = Arc::clone(&s);
            thread::spawn(move || s.acquire_many_timeout(3, Duration::from_millis(100)).is_none())
        };
        while s.queue.lock().len() == 0 {
            thread::yield_now();
        }
        let small = {
            let s = Arc::clone(&s);
            thread::spawn(move || s.acquire().forget())
        };
        small.join().unwrap(); // nobody releases anything
        assert!(large.join().unwrap());
        assert_eq!(s.load(), State(PERMIT));
    }

    #[test]
    fn no_permit_is_spent_on_a_waiter_that_has_given_up() {
        let s = Semaphore::new(0);
        let (mut late, mut next) = (super::super::queue::tests::given_up(2), Record::new(2));
        let mut woken = WokenList::new();
        let mut list = s.queue.lock();
        // SAFETY: the records outlive the queue's use of them: `serve` takes both out.
        unsafe {
            list.enqueue(&raw mut late);
            list.enqueue(&raw mut next);
        }
        s.serve(&mut list, State(QUEUED | (3 * PERMIT)), &mut woken);
        assert_eq!((list.len(), s.load()), (0, State(PERMIT)));
    }
}
