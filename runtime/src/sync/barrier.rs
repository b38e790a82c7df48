//! `Barrier`: nobody passes before all have come.
//!
//! The last of a generation takes the whole queue out under its lock, before it lets anybody go. So the queue only ever
//! holds waiters of one generation, and whoever passes and comes again at once is the first of the next.

use super::queue::{Queue, Record, WokenList, park, queue};
use crate::park::{WaitReason, point};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A point that a number of goroutines or threads pass together: `std::sync::Barrier`'s shape.
///
/// It can be used again and again.
///
/// ```
/// use gosched_runtime::sync::Barrier;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// static ALL_HERE: Barrier = Barrier::new(4);
/// static CAME: AtomicU32 = AtomicU32::new(0);
/// std::thread::scope(|s| {
///     for _ in 0..4 {
///         s.spawn(|| {
///             CAME.fetch_add(1, Ordering::Relaxed);
///             ALL_HERE.wait();
///             assert_eq!(CAME.load(Ordering::Relaxed), 4);
///         });
///     }
/// });
/// ```
pub struct Barrier {
    /// Those who have come and wait for the others.
    queue: Queue,
    /// How many pass together.
    n: usize,
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl Barrier {
    /// A barrier that `n` pass together. With 0 or 1 nobody has to wait.
    ///
    /// ```
    /// assert!(gosched_runtime::sync::Barrier::new(1).wait().is_leader());
    /// ```
    pub const fn new(n: usize) -> Barrier {
        Barrier { queue: queue(), n }
    }

    /// Parks until all have come. Exactly one of them, the last to come, is told that it is the leader.
    ///
    /// What each did before is seen by all of them after.
    ///
    /// ```
    /// let b = gosched_runtime::sync::Barrier::new(2);
    /// let leaders: usize = std::thread::scope(|s| {
    ///     let other = s.spawn(|| b.wait().is_leader());
    ///     usize::from(b.wait().is_leader()) + usize::from(other.join().unwrap())
    /// });
    /// assert_eq!(leaders, 1);
    /// ```
    pub fn wait(&self) -> BarrierWaitResult {
        point("Barrier wait", std::ptr::from_ref(self).cast());
        let mut woken = WokenList::new(); // before the lock, so dropped after it
        let mut list = self.queue.lock();
        if list.len() + 1 >= self.n {
            while list.len() != 0 {
                list.wake_first(&mut woken);
            }
            return BarrierWaitResult(true);
        }
        let mut record = Record::new(0);
        // From here on the record is reached through this pointer alone.
        let me = &raw mut record;
        // SAFETY: we hold the lock; the record is on this stack, and out of the queue when we leave, since without a
        // deadline only the leader ends the wait.
        unsafe {
            list.enqueue(me);
            park(&self.queue, list, me, WaitReason::SyncCondWait, None);
        }
        BarrierWaitResult(false)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// What [`Barrier::wait`] tells.
///
/// ```
/// let b = gosched_runtime::sync::Barrier::new(2);
/// let leaders = std::thread::scope(|s| {
///     let other = s.spawn(|| b.wait().is_leader());
///     u32::from(b.wait().is_leader()) + u32::from(other.join().unwrap())
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this is the one leader of its generation.
    ///
    /// ```
    /// assert!(gosched_runtime::sync::Barrier::new(0).wait().is_leader());
    /// ```
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}
