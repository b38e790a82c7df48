//! What waits for the end of a context: functions, and the channels of `done`.
//!
//! ```text
//!   function   pending ──┬─ start ──► a goroutine has it       whoever takes it out of its lock decides; the other
//!                        └─ forget ─► dropped by the caller    comes too late
//!   channel    open ───────close ───► closed                   closing twice is closing once
//! ```
//! Both can be ended by several and are ended once. So when the context that they wait for is freed before its end, they
//! can be left to several *others* who might have ended it: then they are its heirs (tree.rs).

use crate::close::closechan;
use crate::handle::Chan;
use crate::shuttle::{Mutex, OnceLock, per_run};
use std::sync::Arc;

/// A function to be started once, unless it is forgotten before: a [`Later`] of whatever function.
pub(crate) trait Func: Send + Sync {
    fn start(&self);
    fn forget(&self) -> bool;
    fn is_pending(&self) -> bool;
}

/// The function, until it is taken out. No user code runs under the lock.
pub(crate) struct Later<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send + 'static> Later<F> {
    pub(crate) fn boxed(f: F) -> Arc<dyn Func> {
        Arc::new(Later(Mutex::new(Some(f))))
    }
}

impl<F: FnOnce() + Send + 'static> Func for Later<F> {
    /// Calls it in a goroutine, unless it has been taken out.
    ///
    /// # Panics
    /// On a plain thread, where no `run` is in progress.
    fn start(&self) {
        let f = self.0.lock().take();
        if let Some(f) = f {
            gosched_runtime::go(f);
        }
    }

    /// Drops it, unless it has been taken out; whether it was still there.
    fn forget(&self) -> bool {
        let f = self.0.lock().take();
        f.is_some()
    }

    fn is_pending(&self) -> bool {
        self.0.lock().is_some()
    }
}

/// What would have ended with a node that is gone.
#[derive(Clone)]
pub(crate) enum Heir {
    Done(Chan<()>),
    Func(Arc<dyn Func>),
}

impl Heir {
    /// Whether anybody still waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Heir::Done(c) => c.0.is_shared() && !c.is_closed(),
            Heir::Func(f) => f.is_pending(),
        }
    }
}

/// Ends the heirs: channels now, functions into `funcs`.
pub(crate) fn end_heirs(heirs: Vec<Heir>, funcs: &mut Vec<Arc<dyn Func>>) {
    for heir in heirs {
        match heir {
            Heir::Done(c) => close(&c),
            Heir::Func(f) => funcs.push(f),
        }
    }
}

/// Ends the heirs.
pub(crate) fn end_heirs_and_start(heirs: Vec<Heir>) {
    let mut funcs = Vec::new();
    end_heirs(heirs, &mut funcs);
    funcs.iter().for_each(|f| f.start());
}

/// Closes a channel that may be closed already.
pub(crate) fn close(c: &Chan<()>) {
    if let Some(h) = c.0.hchan() {
        let _was_open = closechan(h);
    }
}

/// The channel of those that ended before theirs was asked for: one for all.
pub(crate) fn closed() -> Chan<()> {
    per_run! {
        static CLOSED: OnceLock<Chan<()>> = OnceLock::new();
    }
    CLOSED
        .get_or_init(|| {
            let c = Chan::new(0);
            close(&c);
            c
        })
        .clone()
}
