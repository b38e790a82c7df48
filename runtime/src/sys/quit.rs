//! SIGQUIT on Unix: somebody wants to know what the program is doing, and then to see it end.
//!
//! The handler only sets a flag and wakes a thread; a second SIGQUIT ends the process at once. It steps back where somebody
//! else's handler has taken its place and calls it as the one before (signal-hook does so): then the signal is theirs.

use std::sync::atomic::{AtomicUsize, Ordering};

static ON_QUIT: AtomicUsize = AtomicUsize::new(0);

/// Installs the handler, where nobody has one. `on_quit` is called in it: async-signal-safe.
pub(crate) fn install(on_quit: fn()) {
    // Release: pairs with the Acquire in `handler`.
    ON_QUIT.store(on_quit as usize, Ordering::Release);
    // SAFETY: an all-zero sigaction is valid; the handler has the signature of one without SA_SIGINFO.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGQUIT, std::ptr::null(), &mut new) != 0
            || new.sa_sigaction != libc::SIG_DFL
        {
            return;
        }
        new.sa_sigaction = handler as *const () as usize;
        new.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(libc::SIGQUIT, &new, std::ptr::null_mut());
    }
}

extern "C" fn handler(signal: libc::c_int) {
    static SECOND: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: an all-zero sigaction is valid to be written to; async-signal-safe.
    let installed = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut now);
        now.sa_sigaction
    };
    if installed != handler as *const () as usize {
        return;
    }
    if SECOND.swap(1, Ordering::Relaxed) != 0 {
        exit();
    }
    // Acquire: pairs with `install`.
    let f = ON_QUIT.load(Ordering::Acquire);
    // SAFETY: only `install` writes it, from a fn().
    let on_quit = unsafe { std::mem::transmute::<usize, fn()>(f) };
    on_quit();
}

/// Ends the process with status 2, running nothing of its own: a lock may be held by whoever was interrupted.
pub(crate) fn exit() -> ! {
    // SAFETY: no precondition.
    unsafe { libc::_exit(2) }
}
