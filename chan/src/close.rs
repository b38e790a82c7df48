//! Closing (Go: runtime/chan.go, `closechan`).
//!
//! All who wait are taken out under the lock and readied after it, receivers before senders: receivers with nothing,
//! senders to panic (or to get their value back). What is in the ring stays there to be received.

use crate::hchan::Hchan;
use crate::sudog::{Wake, WakeList};

/// Closes. False: it was closed already.
#[must_use]
pub(crate) fn closechan(h: &Hchan) -> bool {
    let mut wakes = WakeList::new();
    h.lock();
    let first = !h.is_closed();
    if first {
        h.set_closed();
        for q in [&h.recvq, &h.sendq] {
            // SAFETY: the lock is held.
            while let Some(sg) = unsafe { q.dequeue() } {
                sg.complete(Wake::Closed);
                wakes.push(sg);
            }
        }
    }
    // SAFETY: we hold it; who is in wakes was dequeued above.
    unsafe {
        h.unlock();
        wakes.ready();
    }
    first
}
