//! Goroutines that work on one thing and may fail (Go: golang.org/x/sync/errgroup).
//!
//! ```text
//!   go(f): a place, if there is a limit (parks) ──► member counted ──► goroutine: f() ──► the first error is kept,
//!                                                                         │                the context cancelled
//!                                                   the last one ends ◄───┘ member dropped: place free, count down
//!   wait:  until the count is zero ──► the context cancelled ──► a panic goes on here, or the first error is given
//! ```
//! A [`Group`] is a counter, a place for the first error, one for the first panic, and a semaphore where there is a
//! limit. A member is counted by a value that its closure owns, so it counts down however the goroutine ends: by
//! returning, by a panic, by `goexit`, and also where it could not be started at all.

use crate::context::{CancelFunc, Context};
use crate::shuttle::Mutex;
use crate::shuttle::atomic::{AtomicUsize, Ordering};
use gosched_runtime::sync::{Semaphore, WaitGroup};
use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// A group of goroutines of which each may give an error: the first one is what [`wait`](Group::wait) gives, and it
/// cancels the group's context, if there is one. A clone is another handle on the same group. Go: `errgroup.Group`.
///
/// When `wait` has returned, the group can be used again. Its context, once cancelled, stays so.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// use gosched_chan::{context::Context, group::Group};
/// let (group, ctx) = Group::with_context(&Context::background());
/// for n in 0..4 {
///     let ctx = ctx.clone();
///     group.go(move || {
///         if n == 2 {
///             return Err(format!("{n} failed"));
///         }
///         ctx.done().recv(); // the others need not go on
///         Ok(())
///     });
/// }
/// assert_eq!(group.wait(), Err("2 failed".to_string()));
/// # }) };
/// ```
pub struct Group<E> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    running: WaitGroup,
    /// As many as `running` counts, to be read.
    active: AtomicUsize,
    limit: Mutex<Option<Arc<Semaphore>>>,
    first: Mutex<First<E>>,
    cancel: Option<CancelFunc>,
}

/// What the members came to, until somebody has waited for it.
struct First<E> {
    error: Option<E>,
    panic: Option<Box<dyn Any + Send>>,
}

/// A member that is counted. Dropped when its goroutine has nothing more to do.
struct Member<E> {
    group: Arc<Inner<E>>,
    /// Where it has a place from.
    limit: Option<Arc<Semaphore>>,
}

impl<E> Member<E> {
    fn new(group: &Arc<Inner<E>>, limit: Option<Arc<Semaphore>>) -> Member<E> {
        group.running.add(1);
        // Relaxed: a number to be looked at, as those below.
        group.active.fetch_add(1, Ordering::Relaxed);
        Member { group: group.clone(), limit }
    }
}

impl<E> Drop for Member<E> {
    fn drop(&mut self) {
        if let Some(limit) = &self.limit {
            limit.add_permits(1);
        }
        self.group.active.fetch_sub(1, Ordering::Relaxed);
        self.group.running.done(); // last: whoever waits may go on
    }
}

impl<E> Inner<E> {
    /// Puts `v` in its place, unless there is one before it; whether it did. Drops it after the lock.
    fn keep<T>(&self, v: T, place: fn(&mut First<E>) -> &mut Option<T>) -> bool {
        let mut first = self.first.lock();
        let place = place(&mut first);
        let is_first = place.is_none();
        if is_first {
            *place = Some(v);
        }
        is_first
    }

    fn cancel(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }
}

impl<E: Send + 'static> Group<E> {
    /// A group without a context and without a limit.
    ///
    /// ```
    /// # use gosched_chan::group::Group;
    /// assert_eq!(Group::<String>::new().wait(), Ok(()));
    /// ```
    pub fn new() -> Group<E> {
        Group::with(None)
    }

    /// A group, and a child of `ctx` that is cancelled by the first error or panic of a member, and when
    /// [`wait`](Group::wait) returns. Go: `errgroup.WithContext`.
    ///
    /// ```
    /// # use gosched_chan::{context::Context, group::Group};
    /// let (group, ctx) = Group::<()>::with_context(&Context::background());
    /// assert_eq!(ctx.err(), None);
    /// group.wait().unwrap();
    /// assert!(ctx.err().is_some());
    /// ```
    pub fn with_context(ctx: &Context) -> (Group<E>, Context) {
        let (ctx, cancel) = ctx.with_cancel();
        (Group::with(Some(cancel)), ctx)
    }

    fn with(cancel: Option<CancelFunc>) -> Group<E> {
        let inner = Inner {
            running: WaitGroup::new(),
            active: AtomicUsize::new(0),
            limit: Mutex::new(None),
            first: Mutex::new(First { error: None, panic: None }),
            cancel,
        };
        Group { inner: Arc::new(inner) }
    }

    /// Calls `f` in a goroutine. Where as many as the limit allows are running, **parks** until one has ended. Members
    /// may start others. Go: `Group.Go`.
    ///
    /// # Panics
    /// On a plain thread, where no `run` is in progress.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_chan::group::Group;
    /// let group = Group::new();
    /// group.go(|| "7".parse::<u8>().map(drop));
    /// group.go(|| "x".parse::<u8>().map(drop));
    /// assert!(group.wait().is_err());
    /// # }) };
    /// ```
    #[track_caller]
    pub fn go<F: FnOnce() -> Result<(), E> + Send + 'static>(&self, f: F) {
        let limit = self.inner.limit.lock().clone();
        if let Some(limit) = &limit {
            limit.acquire().forget(); // the member gives it back
        }
        self.start(limit, f);
    }

    /// [`go`](Group::go), where the limit allows it now; whether it was started. Never parks. Go: `Group.TryGo`.
    ///
    /// # Panics
    /// On a plain thread, where no `run` is in progress.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_chan::{Chan, group::Group};
    /// let (group, c) = (Group::<()>::new(), Chan::<u8>::new(0));
    /// group.set_limit(1);
    /// let theirs = c.clone();
    /// assert!(group.try_go(move || Ok(drop(theirs.recv()))));
    /// assert!(!group.try_go(|| Ok(())));
    /// c.close();
    /// group.wait().unwrap();
    /// # }) };
    /// ```
    #[track_caller]
    pub fn try_go<F: FnOnce() -> Result<(), E> + Send + 'static>(&self, f: F) -> bool {
        let limit = self.inner.limit.lock().clone();
        if let Some(limit) = &limit {
            match limit.try_acquire() {
                Some(place) => place.forget(), // the member gives it back
                None => return false,
            }
        }
        self.start(limit, f);
        true
    }

    #[track_caller]
    fn start<F: FnOnce() -> Result<(), E> + Send + 'static>(&self, limit: Option<Arc<Semaphore>>, f: F) {
        let member = Member::new(&self.inner, limit);
        gosched_runtime::go(move || {
            let member = member; // dropped last
            let ended = catch_unwind(AssertUnwindSafe(f));
            let group = &member.group;
            let is_first = match ended {
                Ok(Ok(())) => return,
                Ok(Err(e)) => group.keep(e, |first| &mut first.error),
                Err(payload) => group.keep(payload, |first| &mut first.panic),
            };
            if is_first {
                group.cancel();
            }
        });
    }

    /// At most `n` members at a time from now on; with 0 none can be started, and with `usize::MAX`, as at first, there is
    /// no limit. Never parks. Go: `Group.SetLimit`.
    ///
    /// # Panics
    /// With `errgroup: modify limit while 3 goroutines in the group are still active` (or however many), where there are.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_chan::group::Group;
    /// let group = Group::<()>::new();
    /// group.set_limit(2);
    /// for _ in 0..10 {
    ///     group.go(|| Ok(())); // parks while two of them run
    /// }
    /// group.wait().unwrap();
    /// # }) };
    /// ```
    #[track_caller]
    pub fn set_limit(&self, n: usize) {
        let active = self.inner.active.load(Ordering::Relaxed);
        assert!(
            active == 0,
            "errgroup: modify limit while {active} goroutines in the group are still active"
        );
        let limit = (n <= Semaphore::MAX_PERMITS).then(|| Arc::new(Semaphore::new(n)));
        *self.inner.limit.lock() = limit;
    }

    /// **Parks** until all members have ended, cancels the group's context, and gives the first error, if there was one. An
    /// error is given once: to the first `wait` that finds it. Go: `Group.Wait`.
    ///
    /// # Errors
    /// The first error of a member; the others are dropped.
    ///
    /// # Panics
    /// Where a member did: its panic goes on here, as that of a thread does in std's `scope`; a panic outranks an error.
    /// The others had their way first. A member that ended by `goexit` ends the caller in the same way.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_chan::group::Group;
    /// let group = Group::new();
    /// group.go(|| Err("no"));
    /// assert_eq!(group.wait(), Err("no"));
    /// assert_eq!(group.wait(), Ok(()), "the group can be used again");
    /// # }) };
    /// ```
    pub fn wait(&self) -> Result<(), E> {
        self.inner.running.wait();
        self.inner.cancel();
        let first = mem::replace(&mut *self.inner.first.lock(), First { error: None, panic: None });
        if let Some(payload) = first.panic {
            resume_unwind(payload);
        }
        first.error.map_or(Ok(()), Err)
    }
}

impl<E: Send + 'static> Default for Group<E> {
    fn default() -> Self {
        Group::new()
    }
}

impl<E> Clone for Group<E> {
    fn clone(&self) -> Self {
        Group { inner: self.inner.clone() }
    }
}

impl<E> fmt::Debug for Group<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.inner.active.load(Ordering::Relaxed);
        f.debug_struct("Group").field("active", &active).finish_non_exhaustive()
    }
}

// A panic never leaves it half changed: no user code runs under its locks.
impl<E> UnwindSafe for Group<E> {}
impl<E> RefUnwindSafe for Group<E> {}
