//! Address space on Unix: reserve a lot, make parts of it usable, guard single pages, give pages back.
//!
//! A guard is a page whose first touch is a fault. Two ways to make one:
//!
//! ```text
//!   MADV_GUARD_INSTALL (Linux 6.13)   a mark in the page table; no new mapping, a million of them are fine
//!   mprotect(PROT_NONE)               splits the mapping: two mappings a guard, and the kernel allows 65,530 in all
//! ```

use super::faults::{self, Point};
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the system call just made has left in errno. Never inlined: the compiler takes errno's address to be the same
/// throughout a function, and on the far side of a park it is another thread's.
#[inline(never)]
fn last_error() -> io::Error {
    io::Error::last_os_error()
}

/// The page size, in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Reserves `len` bytes of address space that nothing else will use and that cannot be touched yet.
pub(crate) fn reserve(len: usize) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    #[cfg(not(target_os = "linux"))]
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    faults::check(Point::Reserve)?;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let p = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    if p == libc::MAP_FAILED {
        return Err(last_error());
    }
    // Huge pages would make a 4 KiB stack cost 2 MiB. Best effort: MAP_STACK does the same on new kernels.
    #[cfg(target_os = "linux")]
    // SAFETY: advice on a mapping of ours.
    unsafe {
        libc::madvise(p, len, libc::MADV_NOHUGEPAGE)
    };
    Ok(p as usize)
}

/// Gives back all of a reservation.
///
/// # Safety
/// `[addr, addr + len)` came from `reserve` and nothing uses it any more.
pub(crate) unsafe fn release(addr: usize, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(addr as *mut _, len) };
}

/// Makes a reserved range readable and writable; it reads as zero. `what`: for whom, as far as faults are planned.
///
/// # Safety
/// The range is page-aligned and part of one reservation.
pub(crate) unsafe fn commit(what: Point, addr: usize, len: usize) -> io::Result<()> {
    faults::check(what)?;
    // SAFETY: the caller's promise.
    match unsafe { libc::mprotect(addr as *mut _, len, libc::PROT_READ | libc::PROT_WRITE) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// Gives the pages of a committed range back to the kernel; they read as zero afterwards.
///
/// # Safety
/// The range is page-aligned and committed, and its content is not needed.
pub(crate) unsafe fn discard(addr: usize, len: usize) {
    // SAFETY: the caller's promise. A failure leaves the memory in use, which is what it was before.
    unsafe { libc::madvise(addr as *mut _, len, libc::MADV_DONTNEED) };
}

const UNKNOWN: u8 = 0;
const MADVISE: u8 = 1;
const MPROTECT: u8 = 2;
static GUARDS: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Makes guards by mprotect even where the kernel knows better; for tests of that path. Before the first guard only.
pub(crate) fn force_mprotect_guards() {
    // Relaxed: read by the same thread or under the stack pool's lock.
    GUARDS.store(MPROTECT, Ordering::Relaxed);
}

/// Guards the pages at `first`, `first + stride`, … (`count` of them, `len` bytes each).
///
/// # Safety
/// All lie in committed memory that nobody uses.
pub(crate) unsafe fn guard(first: usize, stride: usize, count: usize, len: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if GUARDS.load(Ordering::Relaxed) != MPROTECT {
        // SAFETY: handed on.
        match unsafe { linux::guard_by_madvise(first, stride, count, len) } {
            Ok(()) => {
                GUARDS.store(MADVISE, Ordering::Relaxed);
                return Ok(());
            }
            Err(e) if GUARDS.load(Ordering::Relaxed) == MADVISE => return Err(e),
            // The system has run out of something: the next guard may be had all the same.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN | libc::EINTR)) => {
                return Err(e);
            }
            // EINVAL on an older kernel: it does not know the advice.
            Err(_) => GUARDS.store(MPROTECT, Ordering::Relaxed),
        }
    }
    for i in 0..count {
        faults::check(Point::Guard)?;
        // SAFETY: the caller's promise.
        if unsafe { libc::mprotect((first + i * stride) as *mut _, len, libc::PROT_NONE) } != 0 {
            return Err(last_error());
        }
    }
    Ok(())
}

/// Lifts a guard: the page is zero and usable again.
///
/// # Safety
/// `[addr, addr + len)` is a range that `guard` was called for, in memory that nobody uses.
pub(crate) unsafe fn unguard(addr: usize, len: usize) {
    // SAFETY: the caller's promise; the first call lifts mprotect's guards, the second those of madvise (each is without
    // effect on the other's).
    unsafe {
        libc::mprotect(addr as *mut _, len, libc::PROT_READ | libc::PROT_WRITE);
        #[cfg(target_os = "linux")]
        libc::madvise(addr as *mut _, len, linux::MADV_GUARD_REMOVE);
    }
}

/// How many guards the system can carry: `None` where there is no bound to care about. Known after the first `guard`.
pub(crate) fn max_guards() -> Option<usize> {
    if GUARDS.load(Ordering::Relaxed) != MPROTECT {
        return None;
    }
    // Two mappings a guard. At the limit malloc's own mmap begins to fail, so stay well below.
    let limit =
        std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|s| s.trim().parse().ok());
    Some(limit.unwrap_or(65_530usize) * 2 / 5)
}

#[cfg(target_os = "linux")]
mod linux {
    use super::last_error;
    use crate::sys::faults::{self, Point};
    use std::io;

    const MADV_GUARD_INSTALL: libc::c_int = 102;
    pub(super) const MADV_GUARD_REMOVE: libc::c_int = 103;
    const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;
    /// The kernel's UIO_MAXIOV.
    const BATCH: usize = 1024;

    /// # Safety
    /// As for `guard`.
    pub(super) unsafe fn guard_by_madvise(
        first: usize,
        stride: usize,
        count: usize,
        len: usize,
    ) -> io::Result<()> {
        faults::check(Point::Guard)?;
        let mut done = 0;
        // One call for many guards where the kernel offers it (a quarter of the cost).
        while count - done > 1 {
            let n = (count - done).min(BATCH);
            let iov: Vec<libc::iovec> = (done..done + n)
                .map(|i| libc::iovec { iov_base: (first + i * stride) as *mut _, iov_len: len })
                .collect();
            // SAFETY: the iovecs name pages that the caller lets us guard.
            let r = unsafe {
                libc::syscall(
                    libc::SYS_process_madvise,
                    PIDFD_SELF_THREAD_GROUP,
                    iov.as_ptr(),
                    n,
                    MADV_GUARD_INSTALL,
                    0,
                )
            };
            // It may stop early, between two iovecs. Nothing done: the kernel does not offer it.
            let guarded = usize::try_from(r).unwrap_or(0) / len;
            if guarded == 0 {
                break;
            }
            done += guarded;
        }
        for i in done..count {
            // SAFETY: a page that the caller lets us guard.
            if unsafe { libc::madvise((first + i * stride) as *mut _, len, MADV_GUARD_INSTALL) } != 0 {
                return Err(last_error());
            }
        }
        Ok(())
    }
}
