//! The end of the process, with Go's words: what happened on a line of its own, then `fatal error: …`, status 2. And what
//! is said without an end.

use std::fmt::Arguments;
use std::io::Write;

/// Prints `what` and `fatal error: why`, and ends the process with status 2.
pub(crate) fn fatal_with(what: Arguments<'_>, why: &str) -> ! {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{what}\nfatal error: {why}");
    let _ = err.flush();
    std::process::exit(2)
}

/// Prints a line, and goes on.
pub(crate) fn warn(what: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{what}");
}

/// Ends the process for want of a thread: there are `have` already.
pub(crate) fn no_thread(have: u64, e: &std::io::Error) -> ! {
    fatal_with(
        format_args!("runtime: failed to create new OS thread (have {have} already): {e}"),
        "newosproc",
    )
}

/// Ends the process when a thread of the scheduler unwinds: a poller or a timer's function panicked. Without that thread
/// goroutines would wait for ever, in silence.
pub(crate) struct FatalOnUnwind;

impl Drop for FatalOnUnwind {
    fn drop(&mut self) {
        fatal_with(format_args!("runtime: panic on a thread of the scheduler"), "panic on system stack");
    }
}
