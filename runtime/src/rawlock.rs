//! A lock for short critical sections: one atomic operation to take it, a plain store to give it back (Go:
//! runtime/lock_futex.go, `lock2`, `unlock2`, which has two).
//!
//! An uncontended message through a buffered channel is four of a lock's operations and little else, so what these cost
//! is what it costs. What makes giving back expensive is the question whether somebody sleeps: between "free" and the
//! look for sleepers lies a full fence, or both are one atomic operation. Here the fence is on the side of the one who is
//! about to sleep, as in handshake.rs: a membarrier, which executes it for all others.
//!
//! ```text
//!   unlock                                    lock_slow, after it has spun
//!     key = FREE                                waiters += 1
//!     (nothing: the processor may reorder)      membarrier   ◄ a full fence on every running thread
//!     waiters > 0?  wake one                    key swapped to SOUGHT: was it FREE?  ours.  Else sleep while SOUGHT
//! ```
//! The barrier falls before the look for sleepers, then that look sees one; or behind it, then `FREE`, which was stored
//! before, is seen by the swap. Without membarrier `unlock` fences for itself. (While somebody who was woken is on his way each
//! unlock wakes once more. To leave that out a flag is needed that says so, and whoever clears it can be overtaken by one
//! who is about to sleep. Sleep is for when the holder has lost its processor; the spinning is long enough for all else.)
//!
//! **The last touch.** After `key = FREE` another one may take the lock, give it back and free the memory, while `unlock`
//! has yet to look for sleepers. So `unlock` is for who keeps the memory alive by other means, and `unlock_last` for who does
//! not (a park's commit): one swap, after which only the address is used. It wakes where the key was `SOUGHT`. That is
//! enough: whoever sleeps has left `SOUGHT`; where somebody took the lock since and left `HELD`, an unlock came in between,
//! which woke one of the sleepers, and that one will swap `SOUGHT` in again before it sleeps or enters.
//!
//! Unfair: who comes while a sleeper wakes up goes first. A lock that is held for long is the wrong use of this one.
//!
//! Model: tests/loom_rawlock.rs, with real fences on both sides. Linux only, for its futex does not touch the word that it
//! wakes; elsewhere it is parking_lot's (sys/lock_portable.rs).

use crate::handshake::{owner_fence, thief_fence};
use crate::loom::atomic::{AtomicU32, Ordering};
use crate::sys::Futex;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep.
const SOUGHT: u32 = 2;

/// How often to look at a lock that is held, with twice as long a pause each time, before sleeping. Two who want it all
/// the time go better by turns of many than one by one, with its cache line to and fro.
#[cfg(not(gosched_loom))]
const SPINS: u32 = 9;
/// And then how often, between offers of the processor to others: to the holder, if it waits for one.
#[cfg(not(gosched_loom))]
const YIELDS: u32 = 16;

/// A lock for short critical sections in which nobody parks; whoever takes it need not be who gives it back. It guards
/// nothing by itself. Waiting blocks the thread.
///
/// ```
/// use gosched_runtime::park::Lock;
///
/// static LOCK: Lock = Lock::new();
/// LOCK.lock();
/// // SAFETY: it is held, by us, and a static stays.
/// unsafe { LOCK.unlock() };
/// ```
pub struct Lock {
    key: Futex,
    /// Who sleeps or is about to.
    waiters: AtomicU32,
}

impl Lock {
    /// A lock that is free.
    #[cfg(not(gosched_loom))]
    pub const fn new() -> Lock {
        Lock { key: Futex::new(FREE), waiters: AtomicU32::new(0) }
    }

    #[cfg(gosched_loom)]
    pub(crate) fn new() -> Lock {
        Lock { key: Futex::new(FREE), waiters: AtomicU32::new(0) }
    }

    /// Takes the lock; blocks the thread until it can.
    #[inline]
    pub fn lock(&self) {
        // Acquire: pairs with the Release of both unlocks.
        if !self.key.compare_exchange(FREE, HELD, Ordering::Acquire) {
            self.lock_slow();
        }
    }

    #[cold]
    fn lock_slow(&self) {
        #[cfg(not(gosched_loom))]
        for i in 0..SPINS + YIELDS {
            if i < SPINS {
                (0..1 << i).for_each(|_| std::hint::spin_loop());
            } else {
                std::thread::yield_now();
            }
            if self.key.load(Ordering::Relaxed) == FREE
                && self.key.compare_exchange(FREE, HELD, Ordering::Acquire)
            {
                return;
            }
        }
        // Relaxed: ordered against `unlock` by the fences.
        self.waiters.fetch_add(1, Ordering::Relaxed);
        thief_fence();
        while self.key.swap(SOUGHT, Ordering::Acquire) != FREE {
            self.key.wait(SOUGHT, None);
        }
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// It is held, the caller acts for who holds it, and the memory stays until this returns.
    #[inline]
    pub unsafe fn unlock(&self) {
        #[cfg(not(gosched_loom))]
        self.key.store(FREE, Ordering::Release);
        #[cfg(gosched_loom)] // which does not know where among the swaps a store lies
        self.key.swap(FREE, Ordering::Release);
        owner_fence("lock: who gives it back fences");
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.key.wake_one();
        }
    }

    /// As `unlock`, where others may free the memory as soon as the lock is free.
    ///
    /// # Safety
    /// It is held, and the caller acts for who holds it.
    #[inline]
    pub unsafe fn unlock_last(&self) {
        if self.key.swap(FREE, Ordering::Release) == SOUGHT {
            self.key.wake_one();
        }
    }
}

#[cfg(not(gosched_loom))]
impl Default for Lock {
    fn default() -> Lock {
        Lock::new()
    }
}

#[cfg(all(test, not(gosched_loom)))]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;

    struct Counter(Lock, UnsafeCell<u64>);
    // SAFETY: the number is touched under the lock.
    unsafe impl Sync for Counter {}

    #[test]
    fn eight_threads_count_under_it() {
        let counter = Counter(Lock::new(), UnsafeCell::new(0));
        std::thread::scope(|s| {
            for t in 0..8 {
                let counter = &counter;
                s.spawn(move || {
                    for i in 0..20_000 {
                        counter.0.lock();
                        // SAFETY: we hold the lock, and the counter outlives the scope.
                        unsafe {
                            *counter.1.get() += 1;
                            if i % 1000 == 0 {
                                std::thread::yield_now(); // long enough for others to sleep
                            }
                            if (i + t) % 2 == 0 { counter.0.unlock() } else { counter.0.unlock_last() }
                        }
                    }
                });
            }
        });
        assert_eq!(counter.1.into_inner(), 160_000);
        assert_eq!((counter.0.key.load(Ordering::Relaxed), counter.0.waiters.into_inner()), (FREE, 0));
    }

    #[test]
    fn a_sleeper_is_woken_by_either_unlock() {
        for last in [false, true] {
            let lock = Lock::new();
            lock.lock();
            std::thread::scope(|s| {
                let sleeper = s.spawn(|| {
                    lock.lock();
                    // SAFETY: we hold it.
                    unsafe { lock.unlock() };
                });
                while lock.key.load(Ordering::Relaxed) != SOUGHT {
                    std::thread::yield_now();
                }
                // SAFETY: we hold it.
                unsafe { if last { lock.unlock_last() } else { lock.unlock() } };
                sleeper.join().unwrap();
            });
        }
    }
}
