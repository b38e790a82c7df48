//! membarrier: one thread makes every running thread of the process execute a full fence, so that the others need none.

use std::sync::atomic::{AtomicBool, Ordering, fence};

const CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Asks for the service. False: not to be had, and each side of a handshake must fence for itself. Called once, before
/// there is a second thread of ours. Others may be in the middle of one (rawlock.rs): each of these says with its fence
/// before or after ours whether the rest of it comes with a barrier.
pub(crate) fn register(wanted: bool) -> bool {
    // SAFETY: the command takes no memory.
    let ok =
        wanted && unsafe { libc::syscall(libc::SYS_membarrier, CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) } == 0;
    // Whoever waits for others and finds it false (after a fence of its own, in `membarrier`) has written what they look
    // at before this fence, and whoever finds it true, with Acquire, sees that.
    fence(Ordering::SeqCst);
    REGISTERED.store(ok, Ordering::Release);
    ok
}

/// Whether `membarrier` fences the others. Constant once threads of ours run. (Acquire: pairs with `register`.)
#[inline(always)]
pub(crate) fn registered() -> bool {
    REGISTERED.load(Ordering::Acquire)
}

/// A full fence on every thread of the process (only on the caller where `register` failed).
pub(crate) fn membarrier() {
    fence(Ordering::SeqCst);
    if registered() {
        // SAFETY: the command takes no memory.
        let r = unsafe { libc::syscall(libc::SYS_membarrier, CMD_PRIVATE_EXPEDITED, 0, 0) };
        assert_eq!(r, 0, "membarrier failed after it was registered: {}", std::io::Error::last_os_error());
    }
}
