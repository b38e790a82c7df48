//! No membarrier on this platform: both sides of a handshake fence for themselves.

use std::sync::atomic::{Ordering, fence};

/// Asks for the service; there is none.
pub(crate) fn register(_wanted: bool) -> bool {
    false
}

/// Whether `membarrier` fences the other threads.
#[inline(always)]
pub(crate) fn registered() -> bool {
    false
}

/// A full fence on the calling thread only.
pub(crate) fn membarrier() {
    fence(Ordering::SeqCst);
}
