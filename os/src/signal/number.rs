//! [`Signal`]: the number of a signal, and the names.

use signal_hook::low_level::signal_name;
use std::fmt;

/// A signal.
///
/// # Examples
/// ```
/// use gosched_os::signal::{SIGINT, Signal};
///
/// assert_eq!(Signal::SIGINT, SIGINT);
/// assert_eq!(SIGINT.to_string(), "SIGINT");
/// assert_eq!(Signal::from_raw(SIGINT.as_raw()), Some(SIGINT));
/// assert_eq!(Signal::from_raw(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl Signal {$(
            $(#[$doc])*
            ///
            /// ```
            #[doc = concat!("let s = gosched_os::signal::Signal::", stringify!($name), ";")]
            #[doc = concat!("assert_eq!(s.to_string(), \"", stringify!($name), "\");")]
            /// ```
            pub const $name: Signal = Signal(libc::$name);
        )*}
        $(
            $(#[$doc])*
            ///
            /// ```
            #[doc = concat!("use gosched_os::signal::{", stringify!($name), ", Signal};")]
            #[doc = concat!("assert_eq!(", stringify!($name), ", Signal::", stringify!($name), ");")]
            /// ```
            pub const $name: Signal = Signal::$name;
        )*
    };
}

signals! {
    /// abort(3).
    SIGABRT;
    /// A timer of alarm(2).
    SIGALRM;
    /// A child has ended or stopped.
    SIGCHLD;
    /// Go on after a stop.
    SIGCONT;
    /// The terminal is gone; by habit: read the configuration anew.
    SIGHUP;
    /// Ctrl-C.
    SIGINT;
    /// Something can be read or written (F_SETOWN).
    SIGIO;
    /// Cannot be caught.
    SIGKILL;
    /// A write to a pipe or socket that nobody reads.
    SIGPIPE;
    /// A profiling timer.
    SIGPROF;
    /// Ctrl-\.
    SIGQUIT;
    /// Cannot be caught.
    SIGSTOP;
    /// A system call that is not allowed.
    SIGSYS;
    /// Please end.
    SIGTERM;
    /// A breakpoint.
    SIGTRAP;
    /// Ctrl-Z.
    SIGTSTP;
    /// Read from the terminal in the background.
    SIGTTIN;
    /// Write to the terminal in the background.
    SIGTTOU;
    /// Urgent data on a socket.
    SIGURG;
    /// For the program's own use.
    SIGUSR1;
    /// For the program's own use.
    SIGUSR2;
    /// A timer of the process's own time.
    SIGVTALRM;
    /// The terminal's size has changed.
    SIGWINCH;
    /// The limit of CPU time is reached.
    SIGXCPU;
    /// The limit of a file's size is reached.
    SIGXFSZ;
}

impl Signal {
    /// The signal of this number, where the system has it.
    ///
    /// ```
    /// use gosched_os::signal::Signal;
    /// assert_eq!(Signal::from_raw(15), Some(Signal::SIGTERM));
    /// assert_eq!(Signal::from_raw(-1), None);
    /// ```
    pub fn from_raw(n: i32) -> Option<Signal> {
        (1..=crate::sys::max_signal()).contains(&n).then_some(Signal(n))
    }

    /// Its number on this system.
    ///
    /// ```
    /// assert_eq!(gosched_os::signal::Signal::SIGTERM.as_raw(), 15);
    /// ```
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    pub(super) const fn of(n: i32) -> Signal {
        Signal(n)
    }
}

impl From<Signal> for i32 {
    fn from(s: Signal) -> i32 {
        s.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
