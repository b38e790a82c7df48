//! Planted bugs under loom that cannot be told by `should_panic`: a deadlock, or two threads at a cell whose destructor comes
//! to it, too. loom panics then, cannot drop what it has made on the way out, and aborts. So such a model runs in a child.

use crate::loom::with_bug;
use std::process::Command;

/// Set in the child.
const CHILD: &str = "GOSCHED_LOOM_CHILD";

/// Runs `model` with a bug planted, in a child, and sees that it fails in these words. `test`: the caller, by its full
/// name.
pub(crate) fn fails(test: &str, what: &'static str, words: &str, model: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return with_bug(what, model);
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && said.contains(words), "{said}");
}
