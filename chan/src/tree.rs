//! The tree of contexts (Go: context/context.go, `cancelCtx`, `propagateCancel`, `timerCtx`, `afterFuncCtx`).
//!
//! ```text
//!            Cancel  ◄─────── above ────────┐            up: counted, for values, deadlines, and so that a parent
//!             ▲  ┆ links[slot]              │                lives as long as its children
//!      parent │  ┆ (weak)                   │            above: the nearest Cancel further up; what has none, the
//!           Value                         Cancel             background and what is below a Cut, is never cancelled
//!             ▲                             ┆ links      down: from a Cancel to the Cancels below it, weak; and the
//!             └────────── parent ───────────┘ └► Func        functions that wait for its end
//! ```
//! There is no goroutine per node, and no timer but for a deadline that is the node's own.
//!
//! ## States of a Cancel
//! | `err`  | who owns what                                                                                        |
//! |--------|------------------------------------------------------------------------------------------------------|
//! | ALIVE  | its `Below`, under its lock, has the links, the timer and the heirs; `slot` is its place in `above`, |
//! |        | under *that* lock                                                                                    |
//! | other  | the end took `Below` out and owns it; `done` is closed; only the cause is left, and nothing changes  |
//!
//! [`Cancel::end`] moves it from one to the other, under the lock, once. Who links himself into a node looks at `err`
//! under the same lock: he is either in what the end takes out, or sees the error and ends himself. No two nodes are locked
//! at a time, so there is no order among them; the tree has no lock of its own.
//!
//! ## Cancelling
//! [`Cancel::cancel`] ends a node, and then, from a list of work and not by recursion, what its links name. A node whose
//! handles are gone already is not found through its weak link; it looks after itself (below). Functions are started
//! after all nodes have ended. `err` is written first and then `done` closed, both under the node's lock: whoever comes
//! out of a receive finds the error; and whoever finds the error while `done` is still open waits for that lock, so that
//! he finds it closed, too. The timer of a deadline starts a goroutine that cancels: user code, like the destructor of a value or of
//! a cause, must not run on the scheduler's stack.
//!
//! When `cancel` returns, all that was below the node has ended, whoever ended it (walk.rs).
//!
//! ## The last handle goes
//! A node that nobody can reach takes itself out of `above`, stops its timer and is freed: a parent does not grow by
//! the children that it had. But others may still wait for the end that it would have had: receivers of `done`, and
//! functions. They are its *heirs* (heirs.rs). They go up to `above`, which ends them when it ends (at once, if it has), and to a
//! function at the node's own deadline, if it had one; both may come to it, and the first counts. Without either nothing
//! will ever end them, and they are dropped. Heirs that nobody waits for any more are swept out when their number has
//! doubled since the last time; those that have a deadline too, when that has passed.
//!
//! Drops are not recursive either: [`Ctx::release`] goes up the chain as long as it has the last handle.

use crate::cause::{Cause, ContextError};
use crate::handle::{Chan, Receiver};
use crate::heirs::{Func, Heir, Later, close, closed, end_heirs, end_heirs_and_start};
use crate::shuttle::atomic::{AtomicU8, AtomicUsize, Ordering};
use crate::shuttle::{Mutex, OnceLock, sound};
use crate::slab::Slab;
use crate::time::never;
use crate::walk::Walk;
use gosched_runtime::timer::{FuncTimer, after_func_at};
use std::any::Any;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A handle on a node, or the background, which is no node.
#[derive(Clone, Default)]
pub(crate) enum Ctx {
    #[default]
    Background,
    Cancel(Arc<Cancel>),
    Value(Arc<Value>),
    Cut(Arc<Cut>),
}

/// A value.
pub(crate) struct Value {
    parent: Ctx,
    /// The nearest Cancel above.
    above: Option<Arc<Cancel>>,
    value: Box<dyn Any + Send + Sync>,
}

/// Below it the values are those above it, and nothing else is.
pub(crate) struct Cut {
    parent: Ctx,
}

/// A node that can be cancelled. The file's head has its states.
pub(crate) struct Cancel {
    parent: Ctx,
    /// The nearest Cancel above.
    above: Option<Arc<Cancel>>,
    /// The earliest of its own and those above.
    deadline: Option<Instant>,
    /// Written once, under the lock of `below`; read anywhere.
    err: AtomicU8,
    /// Made when it is first asked for, under the lock of `below`.
    done: OnceLock<Chan<()>>,
    /// Its place in the links of `above`, or NO_SLOT. Under the lock of `above`.
    slot: AtomicUsize,
    below: Mutex<Below>,
}

const ALIVE: u8 = 0;
const CANCELED: u8 = 1;
const DEADLINE: u8 = 2;
const NO_SLOT: usize = usize::MAX;

/// What a Cancel owes to others. Under its lock.
#[derive(Default)]
struct Below {
    links: Slab<Link>,
    heirs: Vec<Heir>,
    /// How many heirs were left by the last sweep.
    swept: usize,
    /// Of a deadline of its own.
    timer: Option<FuncTimer>,
    /// Why it ended. Set at the end, as is the walk.
    cause: Option<Cause>,
    /// Who ended it, and ends what was below it.
    walk: Option<Arc<Walk>>,
}

/// What ends with a node.
enum Link {
    Child(Weak<Cancel>),
    Func(Arc<dyn Func>),
}

/// What is to be done after a walk, for it comes to code of users.
#[derive(Default)]
struct After {
    timers: Vec<FuncTimer>,
    nodes: Vec<Arc<Cancel>>,
    funcs: Vec<Arc<dyn Func>>,
}

impl Below {
    /// Ends what does not depend on others, and gives the rest to be done.
    fn end(self, todo: &mut Vec<Link>, after: &mut After) {
        after.timers.extend(self.timer);
        end_heirs(self.heirs, &mut after.funcs);
        todo.extend(self.links.into_values());
    }

    /// Takes over heirs, and drops those that nobody waits for any more when there are twice as many as there were.
    fn inherit(&mut self, mut heirs: Vec<Heir>) {
        self.heirs.append(&mut heirs);
        if self.heirs.len() > 2 * self.swept + 16 {
            self.heirs.retain(Heir::is_awaited);
            self.swept = self.heirs.len();
        }
    }
}

impl Cancel {
    /// A new node below `parent`; ended already where `parent` is.
    pub(crate) fn new(parent: &Ctx, deadline: Option<Instant>) -> Arc<Cancel> {
        let node = Arc::new(Cancel {
            parent: parent.clone(),
            above: parent.scope().cloned(),
            deadline,
            err: AtomicU8::new(ALIVE),
            done: OnceLock::new(),
            slot: AtomicUsize::new(NO_SLOT),
            below: Mutex::default(),
        });
        if let Some(above) = &node.above {
            let mut locked = above.below.lock();
            match above.err().filter(|_| sound("tree: a birth looks for its parent's end")) {
                None => {
                    let slot = locked.links.insert(Link::Child(Arc::downgrade(&node)));
                    node.slot.store(slot, Ordering::Relaxed);
                }
                Some(err) => {
                    let cause = locked.cause.clone();
                    drop(locked);
                    let _nothing_owed = node.end(err, cause, None);
                }
            }
        }
        node
    }

    /// How it ended, if it has.
    #[inline]
    pub(crate) fn err(&self) -> Option<ContextError> {
        // Acquire: pairs with the Release in `end`. Who sees it ended sees what was done before it was cancelled.
        let err = match self.err.load(Ordering::Acquire) {
            ALIVE => return None,
            CANCELED => ContextError::Canceled,
            _ => ContextError::DeadlineExceeded,
        };
        if !self.done.get().is_some_and(Chan::is_closed) {
            // The end is just being made. Under the lock nobody comes here, for it is held to the end of that.
            drop(self.below.lock());
        }
        Some(err)
    }

    /// The cause, where it ended with one.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.below.lock().cause.clone()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn done(&self) -> Receiver<()> {
        match self.done.get() {
            Some(c) => c.receiver(),
            None => {
                // Under the lock, so that no end comes in between: it would miss the channel.
                let _locked = self.below.lock();
                self.done.get_or_init(|| Chan::new(0)).receiver()
            }
        }
    }

    /// Starts the timer for its own deadline.
    ///
    /// # Panics
    /// Where the scheduler was never started.
    pub(crate) fn arm(self: &Arc<Self>, cause: Option<Cause>) {
        let Some(deadline) = self.deadline else { return };
        let node = Arc::downgrade(self);
        let mut locked = self.below.lock();
        if self.err().is_none() {
            // It may fire at once: its goroutine waits for the lock, and finds the timer in its place.
            locked.timer = Some(after_func_at(deadline, move || {
                if let Some(node) = node.upgrade() {
                    node.cancel(ContextError::DeadlineExceeded, cause);
                }
            }));
        }
    }

    /// Has `f` started when it ends; at once where it has.
    pub(crate) fn after_func<F: FnOnce() + Send + 'static>(self: &Arc<Self>, f: F) -> Pending {
        let func = Later::boxed(f);
        let mut locked = self.below.lock();
        if self.err().is_some() {
            drop(locked);
            func.start();
            return Pending { func, home: Weak::new(), slot: NO_SLOT };
        }
        let slot = locked.links.insert(Link::Func(func.clone()));
        Pending { func, home: Arc::downgrade(self), slot }
    }

    /// Ends it and all that is below it, or waits for whoever is about to. The first end of a node counts.
    ///
    /// # Panics
    /// Where a function is to be started on a plain thread and no `run` is in progress; all nodes have ended then.
    pub(crate) fn cancel(self: &Arc<Self>, err: ContextError, cause: Option<Cause>) {
        let walk = Arc::new(Walk::default());
        let mut met = walk.begin();
        let owed = match self.end(err, cause.clone(), Some(&walk)) {
            Ok(owed) => owed,
            Err(other) => {
                drop(met);
                return other.into_iter().for_each(Walk::wait);
            }
        };
        let (mut todo, mut after) = (Vec::new(), After::default());
        owed.end(&mut todo, &mut after);
        while let Some(link) = todo.pop() {
            match link {
                Link::Func(f) => after.funcs.push(f),
                Link::Child(node) => {
                    // One whose last handle has gone takes care of its heirs itself.
                    let Some(node) = node.upgrade() else { continue };
                    match node.end(err, cause.clone(), Some(&walk)) {
                        Ok(owed) => owed.end(&mut todo, &mut after),
                        Err(other) => met.extend(other),
                    }
                    after.nodes.push(node);
                }
            }
        }
        drop(met);
        walk.over();
        // Not before: who cancels what is above finds this walk through the link, and waits for those that it met as well.
        self.unlink();
        after.timers.iter().for_each(|t| _ = t.stop());
        drop(after.nodes);
        after.funcs.iter().for_each(|f| f.start());
    }

    /// ALIVE to ended: gives what is owed to others now. Where it had ended before, the walk that did it, if it had to walk.
    fn end(
        &self,
        err: ContextError,
        cause: Option<Cause>,
        walk: Option<&Arc<Walk>>,
    ) -> Result<Below, Option<Arc<Walk>>> {
        let mut locked = self.below.lock();
        if self.err().is_some() {
            return Err(locked.walk.clone());
        }
        let ended = Below { cause, walk: walk.cloned(), ..Below::default() };
        let owed = mem::replace(&mut *locked, ended);
        let err = match err {
            ContextError::Canceled => CANCELED,
            ContextError::DeadlineExceeded => DEADLINE,
        };
        // Release: pairs with the Acquire in `err`.
        self.err.store(err, Ordering::Release);
        match self.done.get() {
            Some(c) => close(c),
            None => drop(self.done.set(closed())),
        }
        Ok(owed)
    }

    /// Out of the links of `above`, unless that has ended and given them up.
    fn unlink(&self) {
        if let Some(above) = &self.above {
            self.unlink_from(above, &mut above.below.lock());
        }
    }

    /// Whether `above`, whose lock is held, is alive.
    fn unlink_from(&self, above: &Cancel, locked: &mut Below) -> bool {
        let alive = above.err().is_none();
        if alive {
            // Relaxed: under the lock of `above`, as every use of the slot.
            let slot = self.slot.swap(NO_SLOT, Ordering::Relaxed);
            if slot != NO_SLOT {
                locked.links.remove(slot);
            }
        }
        alive
    }

    /// The last handle goes, and it is alive: sees to its heirs.
    fn leave(&mut self) {
        let below = mem::take(self.below.get_mut());
        let mut heirs = below.heirs;
        heirs.extend(below.links.into_values().filter_map(|link| match link {
            Link::Func(f) => Some(Heir::Func(f)),
            Link::Child(_) => None, // children have handles on their parents: there is none
        }));
        heirs.extend(self.done.take().map(Heir::Done));
        heirs.retain(Heir::is_awaited);

        let mut due = Vec::new();
        if let Some(timer) = below.timer {
            // False: its goroutine is on its way, and will not find us.
            let to_come = timer.stop();
            match self.deadline {
                _ if heirs.is_empty() => {}
                Some(deadline) if to_come => {
                    let theirs = heirs.clone();
                    after_func_at(deadline, move || end_heirs_and_start(theirs));
                }
                _ => due = mem::take(&mut heirs),
            }
        }
        if let Some(above) = &self.above {
            let mut locked = above.below.lock();
            if self.unlink_from(above, &mut locked) {
                locked.inherit(heirs);
            } else {
                due.append(&mut heirs);
            }
        }
        end_heirs_and_start(due);
    }

    /// How many links it has, and heirs.
    #[cfg(test)]
    pub(crate) fn owes(&self) -> (usize, usize) {
        let locked = self.below.lock();
        (locked.links.len(), locked.heirs.len())
    }
}

/// A function that waits for the end of a node, and where.
#[derive(Clone)]
pub(crate) struct Pending {
    func: Arc<dyn Func>,
    home: Weak<Cancel>,
    slot: usize,
}

impl Pending {
    /// One that waits for nothing.
    pub(crate) fn for_ever<F: FnOnce() + Send + 'static>(f: F) -> Pending {
        Pending { func: Later::boxed(f), home: Weak::new(), slot: NO_SLOT }
    }

    /// Forgets the function; whether it was still to be started.
    pub(crate) fn stop(&self) -> bool {
        if !self.func.forget() {
            return false;
        }
        // Only who forgot it comes here, so the slot is taken out once. A home that has no handle any more has made an
        // heir of it, to be swept out.
        if let Some(home) = self.home.upgrade() {
            let mut locked = home.below.lock();
            if home.err().is_none() {
                locked.links.remove(self.slot);
            }
        }
        true
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if *self.err.get_mut() == ALIVE {
            self.leave();
        }
        // Not the last handle on it: the chain of parents leads there, too.
        self.above = None;
        mem::take(&mut self.parent).release();
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.above = None; // as above
        mem::take(&mut self.parent).release();
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        mem::take(&mut self.parent).release();
    }
}

impl Ctx {
    /// A node with a value.
    pub(crate) fn with_value(&self, value: Box<dyn Any + Send + Sync>) -> Ctx {
        Ctx::Value(Arc::new(Value { parent: self.clone(), above: self.scope().cloned(), value }))
    }

    /// A node that ends with nothing above it.
    pub(crate) fn cut(&self) -> Ctx {
        Ctx::Cut(Arc::new(Cut { parent: self.clone() }))
    }

    /// The node with whose end this one is done. None: it never is.
    #[inline]
    pub(crate) fn scope(&self) -> Option<&Arc<Cancel>> {
        match self {
            Ctx::Cancel(c) => Some(c),
            Ctx::Value(v) => v.above.as_ref(),
            Ctx::Background | Ctx::Cut(_) => None,
        }
    }

    pub(crate) fn done(&self) -> Receiver<()> {
        self.scope().map_or_else(never, |c| c.done())
    }

    /// The nearest value of type `V`, from here upwards.
    pub(crate) fn value<V: Any>(&self) -> Option<&V> {
        let mut at = self;
        loop {
            at = match at {
                Ctx::Background => return None,
                Ctx::Cancel(c) => &c.parent,
                Ctx::Cut(c) => &c.parent,
                Ctx::Value(v) => match v.value.downcast_ref() {
                    Some(value) => return Some(value),
                    None => &v.parent,
                },
            }
        }
    }

    /// Drops a handle, and then, upwards, every node of which that was the last. In each step the node is dropped when
    /// its parent has been taken out of it, so that its own drop goes no further, and while that parent is held, so that
    /// all above it is still there.
    fn release(self) {
        let mut at = self;
        loop {
            let parent = match at {
                Ctx::Background => None,
                Ctx::Cancel(c) => Arc::into_inner(c).map(|mut c| mem::take(&mut c.parent)),
                Ctx::Value(v) => Arc::into_inner(v).map(|mut v| mem::take(&mut v.parent)),
                Ctx::Cut(c) => Arc::into_inner(c).map(|mut c| mem::take(&mut c.parent)),
            };
            match parent {
                Some(parent) => at = parent,
                None => return,
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/tree.rs"]
mod tests;
