//! Ways down a tree of contexts: so that who comes second waits for who came first.
//!
//! When `cancel` returns, all that was below the node has ended, also where a deadline or another caller came first and is
//! still on its way down. Go holds the lock of each node until all below it have ended. Here no two nodes are locked at a
//! time (tree.rs); instead every node names the walk that ended it, and a walk can be waited for.
//!
//! ```text
//!   cancel(A) ─ walks ─► A, C, D …        meets B, which the other walk has ended: to be waited for, after its own
//!       cancel(B) ─ walks ─► B, E, F …
//! ```
//! A walk's lock is held from before it ends its first node until it is through. It waits for those that it met only
//! after that, so no two wait for each other; and who waits for a walk waits for those that it met as well. No code of
//! users runs during a walk: what holds values, causes and functions of theirs is dropped when it is over.

use crate::shuttle::{Mutex, MutexGuard, sound};
use std::sync::Arc;

/// One way down the tree, from a node to all that is below it.
#[derive(Default)]
pub(crate) struct Walk {
    /// Locked until the walker is through. Others that it met on its way, as long as they may still be on theirs.
    met: Mutex<Vec<Arc<Walk>>>,
}

impl Walk {
    /// To be held until the walker is through; collects the walks that it meets.
    pub(crate) fn begin(&self) -> MutexGuard<'_, Vec<Arc<Walk>>> {
        self.met.lock()
    }

    /// The walker is through: waits for those that it met, and forgets them. (Two that met each other would keep each other
    /// for ever.)
    pub(crate) fn over(self: Arc<Walk>) {
        self.clone().wait();
        self.met.lock().clear();
    }

    /// Waits until the walk is over, and all those are that it met.
    pub(crate) fn wait(self: Arc<Walk>) {
        if !sound("walk: who comes second waits for who came first") {
            return;
        }
        let mut walks = vec![self];
        let mut at = 0;
        while let Some(walk) = walks.get(at).cloned() {
            for other in walk.met.lock().iter() {
                if !walks.iter().any(|w| Arc::ptr_eq(w, other)) {
                    walks.push(other.clone());
                }
            }
            at += 1;
        }
    }
}
