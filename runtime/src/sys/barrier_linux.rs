//! membarrier: one thread makes every running thread of the process execute a full fence, so that the others need none.

use std::sync::atomic::{AtomicBool, Ordering};

const CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Asks for the service. False: not to be had, and each side of a handshake must fence for itself. Called once, before
/// there is a second thread of ours.
pub(crate) fn register(wanted: bool) -> bool {
    // SAFETY: the command takes no memory.
    let ok =
        wanted && unsafe { libc::syscall(libc::SYS_membarrier, CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) } == 0;
    // Relaxed: threads made later see it.
    REGISTERED.store(ok, Ordering::Relaxed);
    ok
}

/// Whether `membarrier` fences the others. Constant once threads of ours run.
#[inline(always)]
pub(crate) fn registered() -> bool {
    REGISTERED.load(Ordering::Relaxed)
}

/// A full fence on every thread of the process (only on the caller where `register` failed).
pub(crate) fn membarrier() {
    std::sync::atomic::fence(Ordering::SeqCst);
    if registered() {
        // SAFETY: the command takes no memory.
        let r = unsafe { libc::syscall(libc::SYS_membarrier, CMD_PRIVATE_EXPEDITED, 0, 0) };
        assert_eq!(r, 0, "membarrier failed after it was registered: {}", std::io::Error::last_os_error());
    }
}
