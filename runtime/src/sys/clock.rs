//! The kernel's clocks, as it counts: nanoseconds on a scale of its own, that of std's `Instant`.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn look(clock: libc::clockid_t) -> Option<i64> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `ts`. (Without a system call: the vdso reads a page that the kernel keeps.)
    let r = unsafe { libc::clock_gettime(clock, &mut ts) };
    // (Where these are 64 bits already, the conversion is for the targets where they are not.)
    #[allow(clippy::useless_conversion)]
    (r == 0).then(|| i64::from(ts.tv_sec) * 1_000_000_000 + i64::from(ts.tv_nsec))
}

/// The clock of std's `Instant`; `None` where there is no coarse one to go with it.
pub(crate) fn precise() -> Option<i64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        look(libc::CLOCK_MONOTONIC)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        None
    }
}

/// The same, as it was at the last tick.
#[inline]
pub(crate) fn coarse() -> Option<i64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        look(libc::CLOCK_MONOTONIC_COARSE)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        None
    }
}
