//! The end of the process, with Go's words: what happened on a line of its own, then `fatal error: …`, status 2.

use std::fmt::Arguments;
use std::io::Write;

/// Prints `what` and `fatal error: why`, and ends the process with status 2.
pub(crate) fn fatal_with(what: Arguments<'_>, why: &str) -> ! {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{what}\nfatal error: {why}");
    let _ = err.flush();
    std::process::exit(2)
}
