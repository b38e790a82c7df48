//! `Timer`, `Ticker` and `after_func` (Go: time/sleep.go, time/tick.go).
//!
//! ```text
//!   Timer::new ──► TimerChan                  no entry in any heap but while somebody waits on the channel
//!   after_func ──► the runtime's FuncTimer    one entry until it is due; then a goroutine
//!   Ticker     ──► TimerChan with a period
//! ```
//! All of the protocol is elsewhere: time.rs and `Timer` in hchan.rs for the channels, after_func.rs of the runtime for
//! functions. What is added here are the rules of Go 1.23 where `Duration` and `TimerChan` would say otherwise:
//!
//! * A timer for a time beyond the end of the clock is set like any other (`stop` gives true), it just never comes. A
//!   `TimerChan` says "not set" of it. So a duration is cut to a century (`FAR`), which no process will see the end of.
//! * After `stop` or `reset` nothing of the time before is received, and a timer that is due but whose value nobody has
//!   received counts as set: both hold because the channel has no buffer; the value is made when somebody takes it.

use crate::handle::Receiver;
use crate::hchan::Ref;
use crate::time::TimerChan;
use gosched_runtime::park::point;
use gosched_runtime::timer::{self, FuncTimer};
use std::fmt;
use std::time::{Duration, Instant};

/// The longest time that is waited for: as good as for ever, and no clock overflows.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The channel of a timer that has a function instead.
static NIL: Receiver<Instant> = Receiver(Ref::NIL);

/// One event in the future: a channel that becomes ready once, or, from [`after_func`], a function that is called once.
/// Go: `time.Timer`, with the rules of Go 1.23.
///
/// May be shared between goroutines and threads. Dropping it changes nothing: the function is called, and clones of the
/// receiver become ready.
///
/// ```
/// use gosched_chan::timer::Timer;
/// use gosched_chan::{Chan, select};
/// use std::time::Duration;
/// let (jobs, idle) = (Chan::<u8>::new(1), Timer::new(Duration::from_millis(2)));
/// let mut done = 0;
/// jobs.send(1);
/// loop {
///     select! {
///         recv(jobs) -> _ => {
///             done += 1;
///             idle.reset(Duration::from_millis(2));
///         }
///         recv(idle.receiver()) -> _ => break,
///     }
/// }
/// assert_eq!(done, 1);
/// ```
pub struct Timer(Kind);

enum Kind {
    Chan(TimerChan),
    Func(FuncTimer),
}

impl Timer {
    /// A timer whose channel becomes ready `d` from now. It costs nothing while nobody waits on it. Works with no `run`
    /// at all. Never parks. Go: `time.NewTimer`.
    ///
    /// ```
    /// # use gosched_chan::timer::Timer;
    /// # use std::time::{Duration, Instant};
    /// let due = Instant::now() + Duration::from_millis(2);
    /// let t = Timer::new(Duration::from_millis(2));
    /// assert!(t.receiver().recv().unwrap() >= due);
    /// ```
    pub fn new(d: Duration) -> Timer {
        Timer(Kind::Chan(TimerChan::new(d.min(FAR), None)))
    }

    /// The channel on which the time comes when the timer is due. Receiving from it **parks**. The timer of an
    /// [`after_func`] has the nil channel, which is never ready. Go: the field `C`.
    ///
    /// ```
    /// # use gosched_chan::timer::Timer;
    /// # use std::time::Duration;
    /// assert!(Timer::new(Duration::ZERO).receiver().recv().is_some());
    /// ```
    pub fn receiver(&self) -> &Receiver<Instant> {
        match &self.0 {
            Kind::Chan(c) => c.receiver(),
            Kind::Func(_) => &NIL,
        }
    }

    /// Stops it; whether it was set. After it nothing is received from the channel, not even a value that was due: such
    /// a timer counts as set. For a function, false also says that it has been started; `stop` does not wait for it. Who
    /// waits on the channel waits on, for a reset. Never parks. Go: `Timer.Stop`.
    ///
    /// ```
    /// # use gosched_chan::timer::Timer;
    /// # use std::time::Duration;
    /// let t = Timer::new(Duration::ZERO);
    /// assert!(t.stop(), "due, but nobody has received it");
    /// assert!(!t.stop());
    /// assert!(t.receiver().try_recv().is_err());
    /// ```
    pub fn stop(&self) -> bool {
        point("Timer stop", std::ptr::null());
        match &self.0 {
            Kind::Chan(c) => c.stop(),
            Kind::Func(f) => f.stop(),
        }
    }

    /// Sets it anew, for `d` from now; whether it was set before. Who waits on the channel now waits for the new time. A
    /// function that has been started is not called again, since it is a `FnOnce`: then this does nothing, and gives
    /// false. (In Go it would be called again.) Never parks. Go: `Timer.Reset`.
    ///
    /// ```
    /// # use gosched_chan::timer::Timer;
    /// # use std::time::Duration;
    /// let t = Timer::new(Duration::MAX);
    /// assert!(t.reset(Duration::ZERO));
    /// assert!(t.receiver().recv().is_some());
    /// assert!(!t.reset(Duration::ZERO), "it was received");
    /// assert!(t.receiver().recv().is_some());
    /// ```
    pub fn reset(&self, d: Duration) -> bool {
        point("Timer reset", std::ptr::null());
        match &self.0 {
            Kind::Chan(c) => c.reset(d.min(FAR), None),
            Kind::Func(f) => f.reset(d),
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Chan(c) => f.debug_tuple("Timer").field(c.receiver()).finish(),
            Kind::Func(t) => f.debug_tuple("Timer").field(t).finish(),
        }
    }
}

/// Calls `f` in a goroutine of its own, `d` from now or soon after. The timer can stop that or put it off; dropping it
/// does neither. A `d` beyond the end of the clock never comes. O(log n) in the timers of one P. Works on goroutines, and
/// on plain threads while a `run` is in progress. Never parks. Go: `time.AfterFunc`.
///
/// # Panics
/// Where the scheduler was never started.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// use gosched_chan::{Chan, timer::after_func};
/// use std::time::Duration;
/// let c = Chan::new(1);
/// let theirs = c.clone();
/// let t = after_func(Duration::from_millis(1), move || theirs.send("called"));
/// assert_eq!(c.recv(), Some("called"));
/// assert!(!t.stop());
/// # }) };
/// ```
#[track_caller]
pub fn after_func<F: FnOnce() + Send + 'static>(d: Duration, f: F) -> Timer {
    Timer(Kind::Func(timer::after_func(d, f)))
}

/// A channel that becomes ready again and again. Go: `time.Ticker`, with the rules of Go 1.23.
///
/// The rhythm is that of the last `new` or `reset`, however late the receiver comes; what a slow receiver misses is
/// gone, one tick waits at most. Clones of the receiver go on when the ticker is dropped; only `stop` ends the ticks.
///
/// ```
/// use gosched_chan::timer::Ticker;
/// use std::time::Duration;
/// let t = Ticker::new(Duration::from_millis(2));
/// let (a, b) = (t.receiver().recv().unwrap(), t.receiver().recv().unwrap());
/// assert_eq!((b - a).as_nanos() % 2_000_000, 0, "no drift");
/// t.stop();
/// assert!(t.receiver().try_recv().is_err());
/// ```
pub struct Ticker(TimerChan);

impl Ticker {
    /// A ticker with a tick every `d`, the first one `d` from now. It costs nothing while nobody waits on it. Works with
    /// no `run` at all. Never parks. Go: `time.NewTicker`.
    ///
    /// # Panics
    /// With `non-positive interval for NewTicker` where `d` is zero.
    ///
    /// ```
    /// # use gosched_chan::timer::Ticker;
    /// # use std::time::Duration;
    /// let t = Ticker::new(Duration::from_millis(1));
    /// assert_eq!(t.receiver().iter().take(3).count(), 3);
    /// ```
    #[track_caller]
    pub fn new(d: Duration) -> Ticker {
        assert!(!d.is_zero(), "non-positive interval for NewTicker");
        let d = d.min(FAR);
        Ticker(TimerChan::new(d, Some(d)))
    }

    /// The channel on which the ticks come, each with the time at which it was due. Receiving from it **parks**. Go: the
    /// field `C`.
    ///
    /// ```
    /// # use gosched_chan::timer::Ticker;
    /// # use std::time::Duration;
    /// let ticks = Ticker::new(Duration::from_millis(1)).receiver().clone();
    /// assert!(ticks.recv() < ticks.recv());
    /// ```
    pub fn receiver(&self) -> &Receiver<Instant> {
        self.0.receiver()
    }

    /// Begins a new rhythm: the next tick comes `d` from now, and then one every `d`. A tick that was due but not
    /// received is gone. A stopped ticker starts again. Never parks. Go: `Ticker.Reset`.
    ///
    /// # Panics
    /// With `non-positive interval for Ticker.Reset` where `d` is zero.
    ///
    /// ```
    /// # use gosched_chan::timer::Ticker;
    /// # use std::time::Duration;
    /// let t = Ticker::new(Duration::MAX);
    /// t.reset(Duration::from_millis(1));
    /// assert!(t.receiver().recv().is_some());
    /// ```
    #[track_caller]
    pub fn reset(&self, d: Duration) {
        point("Timer reset", std::ptr::null());
        assert!(!d.is_zero(), "non-positive interval for Ticker.Reset");
        let d = d.min(FAR);
        self.0.reset(d, Some(d));
    }

    /// Ends the ticks; one that was due but not received is gone too. The channel is not closed: who waits on it waits
    /// on, for a reset. Never parks. Go: `Ticker.Stop`.
    ///
    /// ```
    /// # use gosched_chan::timer::Ticker;
    /// # use std::time::Duration;
    /// let t = Ticker::new(Duration::from_nanos(1));
    /// t.stop();
    /// assert!(t.receiver().recv_timeout(Duration::from_millis(1)).is_err());
    /// ```
    pub fn stop(&self) {
        point("Timer stop", std::ptr::null());
        self.0.stop();
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticker").field(self.receiver()).finish()
    }
}
