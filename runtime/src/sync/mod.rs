//! Locks, and other ways to wait for each other, for goroutines and plain threads alike: `std::sync`'s shapes, Go's
//! algorithms, no poisoning.
//!
//! Whoever has to wait parks, where it is a goroutine, so that its thread goes on with others; a plain thread blocks.
//! Both may share one lock. A guard may be held across anything that parks and may be sent elsewhere. What std's own
//! locks do on a goroutine is worse on both counts: they block its thread, and their guards must not change threads.
//!
//! Nothing here knows the scheduler: all waiting goes through [`park`](crate::park).
//!
//! ```text
//!   sema.rs   a word and a queue by address  ◄── Mutex  RwLock  WaitGroup  Once, OnceLock, LazyLock (by Mutex)
//!   readers.rs  readers, counted or in slots of their P, and a writer  ◄── RwLock
//!   queue.rs  a queue inside the primitive,  ◄── Condvar  Semaphore  Barrier
//!             with deadlines
//! ```

use std::time::{Duration, Instant};

mod barrier;
mod condvar;
mod mutex;
mod once;
mod once_lock;
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub(crate) mod owners;
#[cfg(any(gosched_loom, gosched_shuttle))]
#[path = "../model/owners.rs"]
mod owners;
mod queue;
mod rwlock;
mod semaphore;
mod waitgroup;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use mutex::{Mutex, MutexGuard};
pub use once::Once;
pub use once_lock::{LazyLock, OnceLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphorePermit};
pub use waitgroup::WaitGroup;

/// The moment `d` from now; `None` where the clock does not reach so far: a wait until then has no deadline.
fn deadline_in(d: Duration) -> Option<Instant> {
    crate::park::now().checked_add(d)
}
