//! What a channel operation says when it does not go through.
//!
//! A failed send gives the value back, in every error: nothing that was to be sent is lost. No error asks anything of
//! `T` but what the trait itself needs (`PartialEq` compares values, `Debug` and `Display` do not show them).

use std::error::Error;
use std::fmt;

/// The channel is closed: [`Chan::send_checked`](crate::Chan::send_checked) gives the value back.
///
/// ```
/// use gosched_chan::{Chan, SendError};
/// let c = Chan::new(1);
/// c.close();
/// assert_eq!(c.send_checked(7), Err(SendError(7)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SendError<T>(pub T);

/// [`Chan::try_send`](crate::Chan::try_send) did not send.
///
/// ```
/// use gosched_chan::{Chan, TrySendError};
/// let c = Chan::new(1);
/// c.send(1);
/// assert_eq!(c.try_send(2), Err(TrySendError::Full(2)));
/// c.close();
/// assert_eq!(c.try_send(2).unwrap_err().into_inner(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrySendError<T> {
    /// The buffer is full, or there is none and no receiver waits. Also what the nil channel says.
    Full(T),
    /// The channel is closed.
    Closed(T),
}

/// [`Chan::send_timeout`](crate::Chan::send_timeout) did not send.
///
/// ```
/// use gosched_chan::{Chan, SendTimeoutError};
/// use std::time::Duration;
/// let c = Chan::new(0);
/// assert_eq!(c.send_timeout("x", Duration::from_millis(1)), Err(SendTimeoutError::Timeout("x")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendTimeoutError<T> {
    /// Nobody took the value in time.
    Timeout(T),
    /// The channel is closed, or was closed while the sender waited.
    Closed(T),
}

/// [`Chan::try_recv`](crate::Chan::try_recv) received nothing.
///
/// ```
/// use gosched_chan::{Chan, TryRecvError};
/// let c = Chan::<u8>::new(1);
/// assert_eq!(c.try_recv(), Err(TryRecvError::Empty));
/// c.close();
/// assert_eq!(c.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TryRecvError {
    /// No value is there now. Also what the nil channel says.
    Empty,
    /// The channel is closed and drained.
    Closed,
}

/// [`Chan::recv_timeout`](crate::Chan::recv_timeout) received nothing.
///
/// ```
/// use gosched_chan::{Chan, RecvTimeoutError};
/// use std::time::Duration;
/// let c = Chan::<u8>::new(1);
/// assert_eq!(c.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecvTimeoutError {
    /// No value came in time.
    Timeout,
    /// The channel is closed and drained.
    Closed,
}

/// [`Select::try_select`](crate::Select::try_select): no case is ready.
///
/// ```
/// use gosched_chan::{Chan, Select, TrySelectError};
/// let c = Chan::<u8>::new(1);
/// let mut s = Select::new();
/// s.recv(&c);
/// assert_eq!(s.try_select().unwrap_err(), TrySelectError);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TrySelectError;

/// [`Select::select_timeout`](crate::Select::select_timeout): no case became ready in time.
///
/// ```
/// use gosched_chan::{Select, SelectTimeoutError};
/// use std::time::Duration;
/// assert_eq!(Select::new().select_timeout(Duration::from_millis(1)).unwrap_err(), SelectTimeoutError);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SelectTimeoutError;

impl<T> SendError<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// use gosched_chan::SendError;
    /// assert_eq!(SendError(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// use gosched_chan::TrySendError;
    /// assert_eq!(TrySendError::Full(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(v) | TrySendError::Closed(v) => v,
        }
    }

    /// Whether the channel was full.
    ///
    /// ```
    /// let c = gosched_chan::Chan::new(0);
    /// assert!(c.try_send(1).unwrap_err().is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Whether the channel is closed.
    ///
    /// ```
    /// let c = gosched_chan::Chan::new(1);
    /// c.close();
    /// assert!(c.try_send(1).unwrap_err().is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        matches!(self, TrySendError::Closed(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// The value that was not sent.
    ///
    /// ```
    /// use gosched_chan::SendTimeoutError;
    /// assert_eq!(SendTimeoutError::Timeout(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(v) | SendTimeoutError::Closed(v) => v,
        }
    }

    /// Whether the time ran out.
    ///
    /// ```
    /// let c = gosched_chan::Chan::new(0);
    /// assert!(c.send_timeout(1, std::time::Duration::ZERO).unwrap_err().is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }

    /// Whether the channel is closed.
    ///
    /// ```
    /// let c = gosched_chan::Chan::new(1);
    /// c.close();
    /// assert!(c.send_timeout(1, std::time::Duration::ZERO).unwrap_err().is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        matches!(self, SendTimeoutError::Closed(_))
    }
}

impl TryRecvError {
    /// Whether there was no value.
    ///
    /// ```
    /// let c = gosched_chan::Chan::<u8>::new(1);
    /// assert!(c.try_recv().unwrap_err().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        *self == TryRecvError::Empty
    }

    /// Whether the channel is closed and drained.
    ///
    /// ```
    /// let c = gosched_chan::Chan::<u8>::new(1);
    /// c.close();
    /// assert!(c.try_recv().unwrap_err().is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        *self == TryRecvError::Closed
    }
}

impl RecvTimeoutError {
    /// Whether the time ran out.
    ///
    /// ```
    /// let c = gosched_chan::Chan::<u8>::new(1);
    /// assert!(c.recv_timeout(std::time::Duration::ZERO).unwrap_err().is_timeout());
    /// ```
    pub fn is_timeout(&self) -> bool {
        *self == RecvTimeoutError::Timeout
    }

    /// Whether the channel is closed and drained.
    ///
    /// ```
    /// let c = gosched_chan::Chan::<u8>::new(1);
    /// c.close();
    /// assert!(c.recv_timeout(std::time::Duration::ZERO).unwrap_err().is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        *self == RecvTimeoutError::Closed
    }
}

// Debug without `T: Debug`: what failed is the operation, and `unwrap` has to work for every T.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timeout() { "Timeout(..)" } else { "Closed(..)" })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("send on closed channel")
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "send on full channel" } else { "send on closed channel" })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timeout() { "send timed out" } else { "send on closed channel" })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "receive on empty channel" } else { "receive on closed channel" })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_timeout() { "receive timed out" } else { "receive on closed channel" })
    }
}

impl fmt::Display for TrySelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no case of the select is ready")
    }
}

impl fmt::Display for SelectTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("select timed out")
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
impl Error for TrySelectError {}
impl Error for SelectTimeoutError {}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(e: SendError<T>) -> Self {
        TrySendError::Closed(e.0)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(e: SendError<T>) -> Self {
        SendTimeoutError::Closed(e.0)
    }
}
