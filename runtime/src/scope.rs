//! Goroutines that borrow (std: `std::thread::scope`).
//!
//! `scope` does not return before every goroutine started in it has ended, so what they borrow outlives them. The count
//! of those still running is a WaitGroup: each goroutine counts itself down as its very last step, after its result and
//! everything it captured have been handed over or dropped.

use crate::m::getg;
use crate::newproc::{GoroutineId, JoinHandle, spawn_unchecked};
use crate::sync::WaitGroup;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A scope to start borrowing goroutines in; see [`scope`].
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let mut n = [1, 2];
/// let (a, b) = n.split_at_mut(1);
/// gosched_runtime::scope(|s| {
///     s.spawn(|| a[0] += 10);
///     s.spawn(|| b[0] += 10);
/// });
/// assert_eq!(n, [11, 12]);
/// # }) };
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    running: WaitGroup,
    panicked: Arc<AtomicBool>,
    /// Invariant in both, as std's: neither may be shortened or lengthened.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A handle on a goroutine of a scope. Dropping it does not end the wait for it.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let text = String::from("hello");
/// let len = gosched_runtime::scope(|s| s.spawn(|| text.len()).join().unwrap());
/// assert_eq!(len, 5);
/// # }) };
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    inner: JoinHandle<T>,
    scope: PhantomData<&'scope ()>,
}

/// Calls `f` with a scope in which goroutines may be started that borrow from outside of it, and waits for all of them
/// (parks; a plain thread blocks). Gives what `f` gives.
///
/// # Panics
/// When `f` panics, or a goroutine that nobody joined did: after all of them have ended.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let mut words = vec![String::from("a"), String::from("b")];
/// gosched_runtime::scope(|s| {
///     for w in &mut words {
///         s.spawn(move || w.push('!'));
///     }
/// });
/// assert_eq!(words, ["a!", "b!"]);
/// # }) };
/// ```
pub fn scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let s = Scope {
        running: WaitGroup::new(),
        panicked: Arc::new(AtomicBool::new(false)),
        scope: PhantomData,
        env: PhantomData,
    };
    let g = getg();
    g.inspect(|g| g.lend());
    let r = catch_unwind(AssertUnwindSafe(|| f(&s)));
    s.running.wait();
    g.inspect(|g| g.lend_no_more());
    match r {
        Err(payload) => resume_unwind(payload),
        // Acquire is not needed: WaitGroup's wait orders us after every goroutine's end.
        Ok(_) if s.panicked.load(Ordering::Relaxed) => panic!("a scoped goroutine panicked"),
        Ok(r) => r,
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a goroutine that may borrow what outlives the scope. Never parks.
    ///
    /// # Panics
    /// On a plain thread, where no [`run`](crate::run) is in progress.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let text = String::from("hello");
    /// gosched_runtime::scope(|s| {
    ///     let h = s.spawn(|| text.len());
    ///     assert_eq!(h.join().unwrap(), text.len());
    /// });
    /// # }) };
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.running.add(1);
        let end = ScopeEnd { running: self.running.clone() };
        // SAFETY: what `f` and its result borrow outlives 'scope, and `scope` waits for the drop of `end` before it
        // returns; that is the goroutine's last step, after its share of the result is gone.
        let inner = unsafe { spawn_unchecked(f, None, Location::caller(), Some(self.panicked.clone()), end) };
        ScopedJoinHandle { inner, scope: PhantomData }
    }
}

/// Dropped as the last step of a scoped goroutine.
struct ScopeEnd {
    running: WaitGroup,
}

impl Drop for ScopeEnd {
    fn drop(&mut self) {
        self.running.done();
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the goroutine's end (parks; a plain thread blocks) and gives its result.
    ///
    /// # Errors
    /// The panic's payload, where it panicked: the scope then does not panic for it. After [`goexit`](crate::goexit) it
    /// is an `Err` as well.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// gosched_runtime::scope(|s| {
    ///     assert_eq!(s.spawn(|| 1).join().unwrap(), 1);
    ///     assert!(s.spawn(|| panic!("oh")).join().is_err());
    /// });
    /// # }) };
    /// ```
    pub fn join(self) -> std::thread::Result<T> {
        self.inner.join()
    }

    /// Whether it has ended. Never parks.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// gosched_runtime::scope(|s| {
    ///     let h = s.spawn(|| ());
    ///     while !h.is_finished() {
    ///         gosched_runtime::yield_now();
    ///     }
    /// });
    /// # }) };
    /// ```
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Its id. Never parks.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// gosched_runtime::scope(|s| {
    ///     assert_ne!(s.spawn(|| ()).id(), s.spawn(|| ()).id());
    /// });
    /// # }) };
    /// ```
    pub fn id(&self) -> GoroutineId {
        self.inner.id()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
