//! Futex on Linux: the word is the futex itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A 32-bit word that threads can sleep on until it changes.
///
/// `wait` sleeps only while the word still holds the expected value, checked by the kernel under its own lock, so a
/// change followed by `wake_one` is never missed. Both may return or fire without cause: callers loop on the word.
pub(crate) struct Futex(AtomicU32);

impl Futex {
    pub(crate) const fn new(v: u32) -> Futex {
        Futex(AtomicU32::new(v))
    }

    #[inline]
    pub(crate) fn load(&self, o: Ordering) -> u32 {
        self.0.load(o)
    }

    #[inline]
    pub(crate) fn swap(&self, v: u32, o: Ordering) -> u32 {
        self.0.swap(v, o)
    }

    #[inline]
    pub(crate) fn store(&self, v: u32, o: Ordering) {
        self.0.store(v, o)
    }

    /// Puts `new` in place of `old`, with this ordering; whether it was there.
    #[inline]
    pub(crate) fn compare_exchange(&self, old: u32, new: u32, o: Ordering) -> bool {
        self.0.compare_exchange(old, new, o, Ordering::Relaxed).is_ok()
    }

    /// Sleeps while the word is `expected`, at most for `timeout`. May return at any time without cause.
    pub(crate) fn wait(&self, expected: u32, timeout: Option<Duration>) {
        let ts = timeout.map(|d| libc::timespec {
            tv_sec: libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: d.subsec_nanos() as _,
        });
        let ts = ts.as_ref().map_or(std::ptr::null(), |t| t as *const libc::timespec);
        // SAFETY: the word outlives the call (`&self`), `ts` is null or points to a timespec of this frame; the kernel
        // only reads both. EINTR, EAGAIN and ETIMEDOUT are all "returned without cause" for our callers.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                expected,
                ts,
            );
        }
    }

    /// Wakes one sleeper, if there is one. Only the word's address is used: the memory may already have been given a
    /// new meaning by the sleeper, who then sees a wake-up without cause.
    pub(crate) fn wake_one(&self) {
        // SAFETY: FUTEX_WAKE does not access the memory, it looks the address up among the sleepers.
        unsafe {
            libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
        }
    }
}
