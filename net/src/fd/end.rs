//! How an [`Fd`] ends: the states RELEASED and after of the picture in fd.rs.
//!
//! ```text
//!   close    closes the lock, wakes who is parked, ends a connection ─► last reference ─► placeholder in its place
//!   cancel   closes the lock, wakes who is parked                    ─► last reference ─► out of the poller, stays open
//!   into_holder, drop                                                ─────────────────► out of the poller
//! ```
//! Whoever takes the last reference runs `release_slow`, be it the closer or the last one who was inside; the closer
//! waits for it at `released`.

use super::{Fd, Kind, Use, placeholder};
use crate::fdmutex::After;
use crate::polldesc;
use crate::poller::poller;
use crate::sys;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

impl<S: AsFd> Fd<S> {
    /// Closes the socket under everybody who uses it; returns once it is released.
    pub(crate) fn close(&self) -> io::Result<()> {
        // Before anything is done that cannot be taken back.
        placeholder()?;
        self.shut(true)
    }

    /// Sends everybody away who uses the descriptor, for good, and leaves it open.
    pub(crate) fn cancel(&self) -> io::Result<()> {
        self.shut(false)
    }

    fn shut(&self, let_go: bool) -> io::Result<()> {
        self.mutex.incref_and_close()?;
        let held = Use(self);
        // Relaxed: published by the reference, which is given back below.
        self.let_go.store(let_go, Ordering::Relaxed);
        if let Ok(pd) = self.pd {
            pd.evict();
        }
        if self.kind == Kind::Stream {
            sys::shutdown_both(self.sock.as_fd());
        }
        drop(held);
        self.released.acquire();
        Ok(())
    }

    #[inline]
    pub(super) fn settle(&self, after: After) {
        if after == After::Release {
            self.release_slow();
        }
    }

    /// Closed, and nobody uses it any more: lets go of the kernel's socket. Runs once.
    #[cold]
    fn release_slow(&self) {
        self.unwatch(true);
        if self.let_go.load(Ordering::Relaxed)
            && let Ok(p) = placeholder()
        {
            // It cannot fail with two open descriptors; if it did, the socket would live until the last handle drops.
            let _ = sys::replace(self.sock.as_fd(), p);
        }
        self.released.release();
    }

    /// Takes the socket out of the poller. `open`: the kernel's socket may live on.
    pub(super) fn unwatch(&self, open: bool) {
        let (Ok(pd), Ok(poller)) = (self.pd, poller()) else { return };
        match (self.watched, open) {
            (false, _) => {}
            (true, true) => poller.deregister(self.raw()),
            // The kernel stops watching with the close of the only descriptor, at no extra call.
            (true, false) => poller.forget(),
        }
        if self.restore {
            // An error would say that it is no descriptor any more.
            let _ = socket2::SockRef::from(&self.sock).set_nonblocking(false);
        }
        // SAFETY: called once per Fd, where nobody has a reference nor can get one: after Release, or by the last
        // handle of a socket that was never closed.
        unsafe { polldesc::free(pd) };
    }

    /// The holder of the descriptor, out of the poller's care.
    pub(crate) fn into_holder(self) -> S {
        if !self.mutex.is_closed() {
            self.unwatch(true);
        }
        let fd = ManuallyDrop::new(self);
        // SAFETY: `fd` is never dropped nor used again, so this is a move. Its other fields own nothing.
        unsafe { std::ptr::read(&fd.sock) }
    }
}
