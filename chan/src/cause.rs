//! Why a context is done (Go: context/context.go, `Canceled`, `DeadlineExceeded`).
//!
//! The error is one of two and says which way it ended; the cause, where one was given, says why in the words of whoever
//! ended it. An error is a byte, and is asked for in every loop; a cause is shared by the whole subtree that it ended.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a context is done, in the words of whoever ended it: any error, shared by all contexts that ended with it.
///
/// ```
/// use gosched_chan::context::{Cause, Context};
/// let (ctx, cancel) = Context::background().with_cancel_cause();
/// cancel.cancel("disk full");
/// let cause: Option<Cause> = ctx.cause();
/// assert_eq!(cause.unwrap().to_string(), "disk full");
/// ```
pub type Cause = Arc<dyn Error + Send + Sync>;

/// The way in which a context ended: [`Context::err`](crate::context::Context::err).
///
/// ```
/// use gosched_chan::context::{Context, ContextError};
/// let (ctx, cancel) = Context::background().with_cancel();
/// cancel.cancel();
/// assert_eq!(ctx.err(), Some(ContextError::Canceled));
/// assert_eq!(ContextError::Canceled.to_string(), "context canceled");
/// assert_eq!(ContextError::DeadlineExceeded.to_string(), "context deadline exceeded");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContextError {
    /// It was cancelled, or one above it was.
    Canceled,
    /// Its deadline came, or that of one above it.
    DeadlineExceeded,
}

impl ContextError {
    /// Whether the deadline came. Go: `Timeout`.
    ///
    /// ```
    /// use gosched_chan::context::ContextError;
    /// assert!(ContextError::DeadlineExceeded.is_timeout() && !ContextError::Canceled.is_timeout());
    /// ```
    pub fn is_timeout(self) -> bool {
        self == ContextError::DeadlineExceeded
    }
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContextError::Canceled => "context canceled",
            ContextError::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for ContextError {}

impl From<ContextError> for io::Error {
    /// `TimedOut` for the deadline, as a socket's own deadline gives; `Other` for a cancellation (and not `Interrupted`,
    /// after which loops try again). The error itself is inside.
    ///
    /// ```
    /// use gosched_chan::context::ContextError;
    /// use std::io;
    /// let e = io::Error::from(ContextError::DeadlineExceeded);
    /// assert_eq!(e.kind(), io::ErrorKind::TimedOut);
    /// assert!(e.get_ref().unwrap().is::<ContextError>());
    /// ```
    fn from(e: ContextError) -> io::Error {
        let kind = match e {
            ContextError::Canceled => io::ErrorKind::Other,
            ContextError::DeadlineExceeded => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, e)
    }
}
