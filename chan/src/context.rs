//! Contexts: when to stop, and what belongs to a request (Go: package context).
//!
//! A [`Context`] is handed down the calls that work on one thing. It is done when it is cancelled or its deadline comes;
//! whoever works for it looks at [`err`](Context::err), or waits on [`done`](Context::done) beside other things, and gives
//! up. Each `with_…` makes a child, which is done when its parent is, or earlier. Values go down the tree, ends too,
//! nothing goes up.
//!
//! ```text
//!   background ── with_cancel ──┬── with_timeout(1 s) ── with_value(user) ── with_timeout(5 s): 1 s counts
//!                      │        └── without_cancel: outlives them all, sees their values
//!                 CancelFunc: all below it are done
//! ```
//! A child costs an entry in its parent, a deadline one timer; no goroutine. It is freed with its last handle, cancelled or
//! not: there is no need to cancel in order to clean up, though it is right to cancel what nobody wants any more. The
//! channel of [`done`](Context::done) and a function of [`after_func`](Context::after_func) outlive the handles: they still
//! see the end that a parent or the deadline brings.
//!
//! Everything here works on goroutines and on plain threads, and but for deadlines and functions with no `run` at all.
//! Nothing parks but a receive from `done`.
//!
//! ```
//! # unsafe { gosched_runtime::run(|| {
//! use gosched_chan::{Chan, context::{Context, ContextError}, select};
//! use std::time::Duration;
//!
//! fn first(ctx: &Context, answers: &Chan<u32>) -> Result<Option<u32>, ContextError> {
//!     select! {
//!         recv(answers) -> a => Ok(a),
//!         recv(ctx.done()) -> _ => Err(ctx.err().expect("it is done")),
//!     }
//! }
//! let (ctx, cancel) = Context::background().with_timeout(Duration::from_millis(5));
//! assert_eq!(first(&ctx, &Chan::new(0)), Err(ContextError::DeadlineExceeded));
//! cancel.cancel(); // too late, and harmless
//! # }) };
//! ```

pub use crate::cause::{Cause, ContextError};
use crate::handle::Receiver;
use crate::tree::{Cancel, Ctx, Pending};
use gosched_runtime::park::{now, point};
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A handle on a node of the tree of contexts; cloning makes another one. See the [module](self). Go: `context.Context`.
///
/// No method parks: what waits is a receive from [`done`](Context::done).
///
/// ```
/// use gosched_chan::context::Context;
/// let (ctx, cancel) = Context::background().with_value("request 7").with_cancel();
/// assert_eq!((ctx.value::<&str>(), ctx.err()), (Some(&"request 7"), None));
/// cancel.cancel();
/// assert!(ctx.err().is_some() && ctx.done().recv().is_none());
/// ```
#[derive(Clone, Default)]
pub struct Context(Ctx);

/// Cancels the [`Context`] that it came with. A clone cancels the same one; dropping it cancels nothing. It is a handle on
/// that context: see there. Go: `context.CancelFunc`.
///
/// ```
/// use gosched_chan::context::Context;
/// let (ctx, cancel) = Context::background().with_cancel();
/// drop(cancel.clone());
/// assert_eq!(ctx.err(), None);
/// cancel.cancel();
/// assert!(ctx.err().is_some());
/// ```
#[derive(Clone)]
pub struct CancelFunc(Arc<Cancel>);

/// A [`CancelFunc`] that says why. Go: `context.CancelCauseFunc`.
///
/// ```
/// use gosched_chan::context::Context;
/// let (ctx, cancel) = Context::background().with_cancel_cause();
/// cancel.cancel("the disk is full");
/// assert_eq!(ctx.cause().unwrap().to_string(), "the disk is full");
/// ```
#[derive(Clone)]
pub struct CancelCauseFunc(Arc<Cancel>);

/// Takes back an [`after_func`](Context::after_func). A clone takes back the same one; dropping it takes back nothing.
/// Go: the `stop` that `context.AfterFunc` gives.
///
/// ```
/// use gosched_chan::context::Context;
/// let (ctx, _cancel) = Context::background().with_cancel();
/// let stop = ctx.after_func(|| unreachable!("it was taken back"));
/// assert!(stop.stop());
/// ```
#[derive(Clone)]
pub struct StopFunc(Pending);

impl Context {
    /// The root: never done, no deadline, no values. Go: `context.Background`.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// let ctx = Context::background();
    /// assert!(ctx.err().is_none() && ctx.deadline().is_none() && ctx.done().is_nil());
    /// ```
    pub const fn background() -> Context {
        Context(Ctx::Background)
    }

    /// [`background`](Context::background), for where it is not clear yet which context it should be. Go: `context.TODO`.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// assert!(Context::todo().err().is_none());
    /// ```
    pub const fn todo() -> Context {
        Context::background()
    }

    /// A child that can be cancelled. Go: `context.WithCancel`.
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// let (parent, cancel) = Context::background().with_cancel();
    /// let (child, _) = parent.with_cancel();
    /// cancel.cancel();
    /// assert_eq!(child.err(), Some(ContextError::Canceled));
    /// ```
    pub fn with_cancel(&self) -> (Context, CancelFunc) {
        let node = Cancel::new(&self.0, self.deadline());
        (Context(Ctx::Cancel(node.clone())), CancelFunc(node))
    }

    /// A child that can be cancelled with a cause. Go: `context.WithCancelCause`.
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// cancel.cancel(std::io::Error::other("no more"));
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// assert!(ctx.cause().unwrap().is::<std::io::Error>());
    /// ```
    pub fn with_cancel_cause(&self) -> (Context, CancelCauseFunc) {
        let node = Cancel::new(&self.0, self.deadline());
        (Context(Ctx::Cancel(node.clone())), CancelCauseFunc(node))
    }

    /// [`with_deadline`](Context::with_deadline) at `d` from now. A `d` beyond the end of the clock is no deadline. Go:
    /// `context.WithTimeout`.
    ///
    /// # Panics
    /// As [`with_deadline`](Context::with_deadline).
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// # use std::time::Duration;
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::ZERO);
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    pub fn with_timeout(&self, d: Duration) -> (Context, CancelFunc) {
        self.until(now().checked_add(d), None)
    }

    /// [`with_timeout`](Context::with_timeout) that says why, where it is the timeout that ends it. Go:
    /// `context.WithTimeoutCause`.
    ///
    /// # Panics
    /// As [`with_deadline`](Context::with_deadline).
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// # use std::time::Duration;
    /// let (ctx, _cancel) = Context::background().with_timeout_cause(Duration::ZERO, "the upstream is slow");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the upstream is slow");
    /// ```
    pub fn with_timeout_cause(
        &self,
        d: Duration,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Context, CancelFunc) {
        self.until(now().checked_add(d), Some(cause.into().into()))
    }

    /// A child that is done at `t` at the latest; at once, where that is past. Where the parent's deadline is earlier,
    /// that one counts. Cancelling it frees the timer, and so does dropping it. Go: `context.WithDeadline`.
    ///
    /// # Panics
    /// Where a timer is needed and the scheduler was never started.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_chan::context::{Context, ContextError};
    /// # use std::time::{Duration, Instant};
    /// let t = Instant::now() + Duration::from_millis(3);
    /// let (ctx, _cancel) = Context::background().with_deadline(t);
    /// assert_eq!(ctx.done().recv(), None);
    /// assert!(Instant::now() >= t);
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// # }) };
    /// ```
    pub fn with_deadline(&self, t: Instant) -> (Context, CancelFunc) {
        self.until(Some(t), None)
    }

    /// [`with_deadline`](Context::with_deadline) that says why, where it is the deadline that ends it. Go:
    /// `context.WithDeadlineCause`.
    ///
    /// # Panics
    /// As [`with_deadline`](Context::with_deadline).
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// # use std::time::Instant;
    /// let (ctx, _cancel) = Context::background().with_deadline_cause(Instant::now(), "closing time");
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "closing time");
    /// ```
    pub fn with_deadline_cause(
        &self,
        t: Instant,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Context, CancelFunc) {
        self.until(Some(t), Some(cause.into().into()))
    }

    fn until(&self, t: Option<Instant>, cause: Option<Cause>) -> (Context, CancelFunc) {
        let theirs = self.deadline();
        let t = match (t, theirs) {
            (Some(t), None) => t,
            (Some(t), Some(theirs)) if t <= theirs => t,
            _ => return self.with_cancel(), // the parent's end comes first
        };
        let node = Cancel::new(&self.0, Some(t));
        if t <= now() {
            node.cancel(ContextError::DeadlineExceeded, cause);
        } else {
            node.arm(cause);
        }
        (Context(Ctx::Cancel(node.clone())), CancelFunc(node))
    }

    /// A child that carries `v`, to be found by its type: give what is to be found a type of its own. Go:
    /// `context.WithValue`.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// struct UserId(u64);
    /// let ctx = Context::background().with_value(UserId(1));
    /// let inner = ctx.with_value(UserId(2));
    /// assert_eq!(inner.value::<UserId>().map(|id| id.0), Some(2));
    /// assert_eq!(ctx.value::<UserId>().map(|id| id.0), Some(1));
    /// ```
    pub fn with_value<V: Any + Send + Sync>(&self, v: V) -> Context {
        Context(self.0.with_value(Box::new(v)))
    }

    /// A child with the same values that is never done and has no deadline: for what must be finished though nobody waits
    /// for it any more. Go: `context.WithoutCancel`.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// let (ctx, cancel) = Context::background().with_value(5u8).with_cancel();
    /// let cleanup = ctx.without_cancel();
    /// cancel.cancel();
    /// assert_eq!((cleanup.err(), cleanup.value::<u8>()), (None, Some(&5)));
    /// ```
    pub fn without_cancel(&self) -> Context {
        Context(self.0.cut())
    }

    /// A channel that is closed when this context is done; the nil channel where it never will be. Nothing is ever sent on
    /// it. Receiving from it **parks**. The channel outlives the context: it is closed by a parent or by the deadline even
    /// when all handles on the context have gone. Go: `Done`.
    ///
    /// ```
    /// # use gosched_chan::{context::Context, select};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// assert!(!select! { recv(ctx.done()) -> _ => true, default => false });
    /// cancel.cancel();
    /// assert!(select! { recv(ctx.done()) -> _ => true, default => false });
    /// ```
    pub fn done(&self) -> Receiver<()> {
        self.0.done()
    }

    /// In which way it is done; `None`: it is not. It agrees with [`done`](Context::done): the channel is closed exactly
    /// when there is an error. Go: `Err`.
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// assert_eq!(ctx.err(), None);
    /// cancel.cancel();
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// ```
    #[inline]
    pub fn err(&self) -> Option<ContextError> {
        point("Context err", std::ptr::null());
        self.0.scope()?.err()
    }

    /// Why it is done: what was given to whoever ended it, or else its [`err`](Context::err); `None`: it is not. Go:
    /// `context.Cause`.
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// assert!(ctx.cause().is_none());
    /// cancel.cancel();
    /// assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&ContextError::Canceled));
    /// ```
    pub fn cause(&self) -> Option<Cause> {
        let scope = self.0.scope()?;
        let err = scope.err()?;
        Some(scope.cause().unwrap_or_else(|| Arc::new(err)))
    }

    /// When it will be done at the latest; `None`: there is no deadline. Go: `Deadline`.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// # use std::time::Instant;
    /// let t = Instant::now();
    /// let (ctx, _cancel) = Context::background().with_deadline(t);
    /// assert_eq!(ctx.with_value(1).deadline(), Some(t));
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.0.scope()?.deadline()
    }

    /// The value of type `V` that was put in last, from here upwards. O(depth). Go: `Value`.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// let ctx = Context::background().with_value(String::from("a")).with_value(1u8);
    /// assert_eq!(ctx.value::<String>().map(|s| s.as_str()), Some("a"));
    /// assert_eq!(ctx.value::<u16>(), None);
    /// ```
    pub fn value<V: Any>(&self) -> Option<&V> {
        self.0.value()
    }

    /// Has `f` called in a goroutine of its own when this context is done; at once where it is. Several functions are
    /// called in no particular order. Go: `context.AfterFunc`.
    ///
    /// # Panics
    /// Where it is done, on a plain thread while no `run` is in progress: there is no goroutine to call `f` in. Where it
    /// comes to be done there, the `cancel` panics.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// # use gosched_chan::{Chan, context::Context};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let c = Chan::new(0);
    /// let theirs = c.clone();
    /// let stop = ctx.after_func(move || theirs.send("done"));
    /// cancel.cancel();
    /// assert_eq!(c.recv(), Some("done"));
    /// assert!(!stop.stop(), "it has been started");
    /// # }) };
    /// ```
    pub fn after_func<F: FnOnce() + Send + 'static>(&self, f: F) -> StopFunc {
        StopFunc(match self.0.scope() {
            Some(scope) => scope.after_func(f),
            None => Pending::for_ever(f),
        })
    }
}

impl CancelFunc {
    /// Makes the context done, and all below it: with `Canceled`, where they are not done already. The second call does
    /// nothing. When it returns the context is done, and so is all below it: where a deadline or another `cancel` has come
    /// first and is on its way down, this one waits until that is through. Does not wait for anybody's work, and does not
    /// park. O(contexts below).
    ///
    /// # Panics
    /// On a plain thread while no `run` is in progress, where an [`after_func`](Context::after_func) is to be called.
    ///
    /// ```
    /// # use gosched_chan::context::{Context, ContextError};
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// cancel.cancel();
    /// cancel.cancel();
    /// assert_eq!(ctx.err(), Some(ContextError::Canceled));
    /// ```
    pub fn cancel(&self) {
        point("Context cancel", std::ptr::null());
        self.0.cancel(ContextError::Canceled, None);
    }
}

impl CancelCauseFunc {
    /// [`CancelFunc::cancel`] that says why, to the context and all below it. The first cause counts: also one that came
    /// with the end of a parent. Never parks. O(contexts below).
    ///
    /// # Panics
    /// As [`CancelFunc::cancel`].
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel_cause();
    /// let (child, _) = ctx.with_cancel();
    /// cancel.cancel("first");
    /// cancel.cancel("second");
    /// assert_eq!(child.cause().unwrap().to_string(), "first");
    /// ```
    pub fn cancel(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) {
        point("Context cancel", std::ptr::null());
        self.0.cancel(ContextError::Canceled, Some(cause.into().into()));
    }
}

impl StopFunc {
    /// Sees to it that the function is not called; whether that was still to come. False: it was taken back before, or it
    /// has been started; then it may be running, and `stop` does not wait for it. Never parks.
    ///
    /// ```
    /// # use gosched_chan::context::Context;
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let stop = ctx.after_func(|| unreachable!());
    /// assert_eq!((stop.stop(), stop.stop()), (true, false));
    /// cancel.cancel();
    /// ```
    pub fn stop(&self) -> bool {
        point("Context stop_func", std::ptr::null());
        self.0.stop()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("err", &self.err())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CancelFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelFunc").field("err", &self.0.err()).finish_non_exhaustive()
    }
}

impl fmt::Debug for CancelCauseFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelCauseFunc").field("err", &self.0.err()).finish_non_exhaustive()
    }
}

impl fmt::Debug for StopFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopFunc").finish_non_exhaustive()
    }
}

// A panic never leaves a node half changed: no user code runs under its lock.
impl UnwindSafe for Context {}
impl RefUnwindSafe for Context {}
impl UnwindSafe for CancelFunc {}
impl RefUnwindSafe for CancelFunc {}
impl UnwindSafe for CancelCauseFunc {}
impl RefUnwindSafe for CancelCauseFunc {}
impl UnwindSafe for StopFunc {}
impl RefUnwindSafe for StopFunc {}
