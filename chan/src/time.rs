//! Channels of the clock (Go: time/tick.go, time/sleep.go, and the lazy timer channels of Go 1.23).
//!
//! A timer channel has no goroutine, no callback and, while nobody waits on it, no timer: `Timer` in hchan.rs says how.
//! It looks unbuffered (`len` and `cap` are 0), and a tick that is due waits in it until somebody looks, one at most.
//! The value is the time at which it was due (Go's `sendTime` takes its lateness off the clock to the same end).

use crate::handle::{Chan, Receiver};
use crate::hchan::Timer;
use gosched_runtime::park;
use std::time::{Duration, Instant};

/// A timer channel that can be set anew: what Go's `Timer` and `Ticker` are made of. Go: time/sleep.go, time/tick.go.
///
/// Setting follows Go 1.23: after it, nothing of the time before can be received any more; and a tick that is due but
/// was not received counts as still to come.
///
/// ```
/// use gosched_chan::TimerChan;
/// use std::time::Duration;
/// let t = TimerChan::new(Duration::ZERO, None);
/// assert!(t.stop(), "due, but nobody has received it");
/// assert!(t.receiver().try_recv().is_err());
/// assert!(!t.reset(Duration::from_millis(1), None), "it was stopped");
/// assert!(t.receiver().recv().is_some());
/// assert!(!t.stop(), "received");
/// ```
#[derive(Clone, Debug)]
pub struct TimerChan(Receiver<Instant>);

impl TimerChan {
    /// Ready at `first` from now, and then every `period`, where one is given (and is not zero).
    ///
    /// ```
    /// # use gosched_chan::TimerChan;
    /// # use std::time::Duration;
    /// let t = TimerChan::new(Duration::from_millis(1), Some(Duration::from_millis(2)));
    /// assert!(t.receiver().recv() < t.receiver().recv());
    /// ```
    pub fn new(first: Duration, period: Option<Duration>) -> Self {
        let when = park::now().checked_add(first);
        TimerChan(Receiver::of_timer(Timer::new(when, period.unwrap_or_default())))
    }

    /// The channel. Receiving from it **parks**; nothing else here does.
    ///
    /// ```
    /// # use gosched_chan::TimerChan;
    /// # use std::time::Duration;
    /// let t = TimerChan::new(Duration::ZERO, None);
    /// assert!(t.receiver().recv().is_some());
    /// ```
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.0
    }

    /// Sets it anew, as [`TimerChan::new`] would; whether it was set before. Who waits on it now waits for the new time.
    /// Go: `Timer.Reset`, `Ticker.Reset`.
    ///
    /// ```
    /// # use gosched_chan::TimerChan;
    /// # use std::time::Duration;
    /// let t = TimerChan::new(Duration::MAX, None);
    /// t.reset(Duration::ZERO, None);
    /// assert!(t.receiver().recv().is_some());
    /// ```
    pub fn reset(&self, first: Duration, period: Option<Duration>) -> bool {
        self.0.set_timer(park::now().checked_add(first), period.unwrap_or_default()).is_some()
    }

    /// Stops it; whether it was set before. Who waits on it waits on, for a reset. Go: `Timer.Stop`, `Ticker.Stop`.
    ///
    /// ```
    /// # use gosched_chan::TimerChan;
    /// # use std::time::Duration;
    /// let t = TimerChan::new(Duration::from_secs(1), None);
    /// assert_eq!((t.stop(), t.stop()), (true, false));
    /// ```
    pub fn stop(&self) -> bool {
        self.0.set_timer(None, Duration::ZERO).is_some()
    }
}

/// A channel that becomes ready once, `d` from now, with the time at which it did. Go: `time.After`.
///
/// When that has been received it blocks for ever; it is never closed. A `d` beyond the end of time never comes.
///
/// ```
/// use gosched_chan::{Chan, after, select};
/// use std::time::{Duration, Instant};
/// let (c, start, d) = (Chan::<u8>::new(0), Instant::now(), Duration::from_millis(5));
/// let at: Option<Instant> = select! {
///     recv(c) -> _ => None,
///     recv(after(d)) -> at => at,
/// };
/// assert!(at.unwrap() >= start + d && at.unwrap() <= Instant::now());
/// ```
pub fn after(d: Duration) -> Receiver<Instant> {
    Receiver::of_timer(Timer::new(park::now().checked_add(d), Duration::ZERO))
}

/// A channel that becomes ready every `d`, with the time at which it did. Go: `time.Tick`.
///
/// The rhythm is that of the first tick, `d` from now, however late the receiver comes; what a slow receiver misses is
/// gone, one tick waits at most. Never ready for a `d` of zero (Go: nil).
///
/// ```
/// use gosched_chan::tick;
/// use std::time::Duration;
/// let ticks = tick(Duration::from_millis(2));
/// let (a, b) = (ticks.recv().unwrap(), ticks.recv().unwrap());
/// assert_eq!((b - a).as_nanos() % 2_000_000, 0, "no drift");
/// assert!(tick(Duration::ZERO).is_nil());
/// ```
pub fn tick(d: Duration) -> Receiver<Instant> {
    if d.is_zero() {
        return never();
    }
    Receiver::of_timer(Timer::new(park::now().checked_add(d), d))
}

/// A channel that is never ready: the nil channel, to receive from.
///
/// ```
/// use gosched_chan::{never, select};
/// let r = never::<String>();
/// assert!(select! { recv(r) -> _ => false, default => true });
/// ```
pub fn never<T>() -> Receiver<T> {
    Chan::nil().into()
}
