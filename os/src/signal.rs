//! Signals on channels (Go: os/signal).
//!
//! ```text
//!   kernel ─► handler (signal-hook's, which calls `arrived`)     any thread, async-signal-safe:
//!               PENDING[n] = true; a byte into the pipe          two stores and a write
//!                 ▼
//!   the watcher: one goroutine, parked on the pipe's other end
//!               takes the marks, under the table's lock
//!                 ▼
//!   try_send to every channel that asked for n: never waits; a full channel misses it
//! ```
//! There is a watcher while any channel is registered. It is parked on a descriptor, so a program in which everybody waits
//! for a signal is no deadlock; with the last channel it ends, and the detector sees again what is there.
//!
//! ## Dispositions
//! Once a signal has been asked for, its handler stays; what the handler does is the entry of DISPOSITIONS:
//!
//! ```text
//!   INITIAL   no channel wants it: what the process began with, the default action or ignoring it
//!   NOTIFY    some channel wants it: mark and byte
//!   IGNORE    `ignore` was called: nothing
//! ```
//! Handlers that others have installed, through signal-hook or before, are called as well: ours is one more in the chain.
//!
//! ## Why no signal is lost between a mark and its look
//! The handler sets the mark before it writes the byte; the watcher reads all bytes before it takes the marks. So a mark
//! that the watcher has not seen has a byte that it has not read. A byte that does not fit into the full pipe is not
//! needed: there are others.
//!
//! ## Why no signal is lost to a `stop`
//! A signal that meets the last channel's `stop` is in that channel when `stop` returns, or does what it does by default.
//! So `stop` goes about it in this order: the disposition back to INITIAL, wait until nobody is between looking at the
//! disposition and making the mark (IN_HANDLER), pass the marks on, only then take the route away. A handler that is not
//! seen in there has yet to look, and will find INITIAL.

use gosched_chan::{Chan, Receiver};
use gosched_net::PollFd;
use gosched_runtime::go;
use gosched_runtime::sync::Mutex;
use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

mod number;

pub use number::*;

/// One more than the largest number of a signal, on any system.
const N: usize = 129;

/// What `notify` lets wait unread.
const CAPACITY: usize = 16;

// See the file's head.
const INITIAL: u8 = 0;
const NOTIFY: u8 = 1;
const IGNORE: u8 = 2;

/// Written under the table's lock, read by the handler.
static DISPOSITIONS: [AtomicU8; N] = [const { AtomicU8::new(INITIAL) }; N];
/// The process began with this signal ignored. Written before the handler is there.
static BEGAN_IGNORED: [AtomicBool; N] = [const { AtomicBool::new(false) }; N];
/// Set by the handler, taken by the watcher.
static PENDING: [AtomicBool; N] = [const { AtomicBool::new(false) }; N];
/// Handlers between looking at the disposition and having made the mark.
static IN_HANDLER: AtomicUsize = AtomicUsize::new(0);
/// The end of the pipe that the handler writes to; -1 before there is one.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// The handler's part. Async-signal-safe: atomics, one write(2), and errno put back.
fn arrived(n: i32) {
    let i = n as usize;
    // SeqCst, as is the look after it: in one order with the store and the look of `Table::settle`. Either that one sees us
    // in here, or we see what it has stored. The look is an Acquire as well: BEGAN_IGNORED is seen.
    IN_HANDLER.fetch_add(1, Ordering::SeqCst);
    let disposition = DISPOSITIONS[i].load(Ordering::SeqCst);
    if disposition == NOTIFY {
        // Release: pairs with the Acquire of the swap in `deliver`. Before the byte: see the file's head.
        PENDING[i].store(true, Ordering::Release);
        crate::sys::write_byte(WAKE.load(Ordering::Relaxed));
    }
    // Release: whoever sees us gone in `settle` sees the mark.
    IN_HANDLER.fetch_sub(1, Ordering::Release);
    match disposition {
        NOTIFY | IGNORE => {}
        _ if BEGAN_IGNORED[i].load(Ordering::Relaxed) => {}
        _ => {
            if low_level::emulate_default_handler(n).is_err() {
                // Not in signal-hook's table: the system knows.
                crate::sys::act_by_default(n);
            }
        }
    }
}

/// Who wants what. Invariant, while nobody has the lock: a signal's disposition is NOTIFY exactly while it is in some route.
struct Table {
    routes: Vec<Route>,
    hooked: [bool; N],
    /// Present exactly while there are routes.
    watcher: Option<Arc<Watcher>>,
}

type Watcher = PollFd<BorrowedFd<'static>>;

struct Route {
    to: Chan<Signal>,
    wants: [bool; N],
}

static TABLE: Mutex<Table> = Mutex::new(Table { routes: Vec::new(), hooked: [false; N], watcher: None });

/// A channel that receives each of `signals` (all that can be caught, where none is named) as it arrives, instead of what
/// the signal would do by default. Go: `signal.Notify`.
///
/// A signal is never waited with: of those that come while 16 are unread, further ones are missed. Waiting on the channel
/// is no deadlock. Dropping the receiver does not stop the signals; [`stop`] does. Does not park, but for a moment.
///
/// # Panics
/// For a signal that cannot be caught (SIGKILL, SIGSTOP) or whose handler could not go on (SIGSEGV, SIGILL, SIGFPE); where
/// no `run` is in progress; and where [`try_notify`] gives an error.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
///
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let hangups = signal::notify(&[Signal::SIGHUP]);
///     signal::raise(Signal::SIGHUP).unwrap();
///     assert_eq!(hangups.recv(), Some(Signal::SIGHUP));
///     signal::stop(&hangups);
/// }) }
/// ```
#[track_caller]
pub fn notify(signals: &[Signal]) -> Receiver<Signal> {
    match try_notify(signals) {
        Ok(rx) => rx,
        Err(e) => panic!("gosched: signals cannot be received: {e}"),
    }
}

/// As [`notify`], with an error where the system refuses, for want of descriptors for instance. Parks no more than
/// that.
///
/// # Panics
/// For a signal that cannot be caught; where no `run` is in progress.
///
/// # Errors
/// The system's.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// let rx = signal::try_notify(&[Signal::SIGUSR1])?;
/// assert!(rx.try_recv().is_err());
/// signal::stop(&rx);
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn try_notify(signals: &[Signal]) -> io::Result<Receiver<Signal>> {
    let to = Chan::new(CAPACITY);
    notify_on(&to, signals)?;
    Ok(to.into())
}

/// As [`try_notify`], on a channel of the caller's, whose capacity says how many may wait unread. What the channel
/// receives already it goes on receiving.
///
/// # Panics
/// For a signal that cannot be caught; where no `run` is in progress.
///
/// # Errors
/// The system's.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// let both = gosched_chan::Chan::new(2);
/// signal::notify_on(&both, &[Signal::SIGUSR1])?;
/// signal::notify_on(&both, &[Signal::SIGUSR2])?;
/// signal::raise(Signal::SIGUSR2)?;
/// assert_eq!(both.recv(), Some(Signal::SIGUSR2));
/// signal::stop(&both.receiver());
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn notify_on(to: &Chan<Signal>, signals: &[Signal]) -> io::Result<()> {
    let wanted = Wanted::of(signals);
    let mut table = TABLE.lock();
    if table.watcher.is_none() {
        table.watcher = Some(watch()?);
    }
    // What has come before is not for this channel.
    table.deliver();
    match table.hook_all(&wanted) {
        Ok(hooked) => table.route(to, &hooked),
        Err(e) => {
            table.tidy();
            return Err(e);
        }
    }
    Ok(())
}

/// The signals of a call.
struct Wanted {
    numbers: Vec<i32>,
    /// None was named.
    all: bool,
}

impl Wanted {
    #[track_caller]
    fn of(signals: &[Signal]) -> Wanted {
        let mut numbers: Vec<i32> = signals.iter().map(|s| s.as_raw()).collect();
        if let Some(s) = signals.iter().find(|s| FORBIDDEN.contains(&s.as_raw())) {
            panic!("gosched: {s} cannot be caught");
        }
        let all = numbers.is_empty();
        if all {
            numbers.extend((1..=crate::sys::max_signal()).filter(|n| !FORBIDDEN.contains(n)));
        }
        Wanted { numbers, all }
    }
}

impl Table {
    /// Puts our handler into the signal's chain, once.
    fn hook(&mut self, n: i32) -> io::Result<()> {
        let i = n as usize;
        if self.hooked[i] {
            return Ok(());
        }
        BEGAN_IGNORED[i].store(crate::sys::is_ignored(n), Ordering::Relaxed);
        // SAFETY: `arrived` is async-signal-safe, and does not panic: `n` is a signal's number.
        unsafe { low_level::register(n, move || arrived(n)) }?;
        self.hooked[i] = true;
        Ok(())
    }

    /// Hooks what is wanted; gives what could be.
    fn hook_all(&mut self, wanted: &Wanted) -> io::Result<Vec<i32>> {
        let mut hooked = Vec::new();
        for &n in &wanted.numbers {
            match self.hook(n) {
                Ok(()) => hooked.push(n),
                // Numbers that the C library keeps for itself.
                Err(_) if wanted.all => {}
                Err(e) => return Err(e),
            }
        }
        Ok(hooked)
    }

    fn route(&mut self, to: &Chan<Signal>, signals: &[i32]) {
        let at = self.routes.iter().position(|r| r.to == *to).unwrap_or_else(|| {
            self.routes.push(Route { to: to.clone(), wants: [false; N] });
            self.routes.len() - 1
        });
        for &n in signals {
            self.routes[at].wants[n as usize] = true;
            dispose(n, NOTIFY);
        }
    }

    /// Passes the signals on that have come so far.
    fn deliver(&self) {
        for (n, pending) in PENDING.iter().enumerate() {
            // Relaxed first: most are not set, and one that is set later has its byte in the pipe.
            if pending.load(Ordering::Relaxed) && pending.swap(false, Ordering::Acquire) {
                for route in self.routes.iter().filter(|r| r.wants[n]) {
                    // Full: missed, as documented. Closed: its owner wants no more.
                    let _ = route.to.try_send(Signal::of(n as i32));
                }
            }
        }
    }

    /// Restores the invariants after routes have lost signals.
    fn tidy(&mut self) {
        self.routes.retain(|r| r.wants.contains(&true));
        for (n, disposition) in DISPOSITIONS.iter().enumerate() {
            if disposition.load(Ordering::Relaxed) == NOTIFY && !self.routes.iter().any(|r| r.wants[n]) {
                dispose(n as i32, INITIAL);
            }
        }
        if self.routes.is_empty()
            && let Some(watcher) = self.watcher.take()
        {
            // It is parked in its read, or about to be, or waits for this lock; an error would say that it has ended.
            let _ = watcher.cancel();
        }
    }

    /// Before a channel's route goes: everything that is for it is passed on, and what it alone wants is marked no more.
    fn settle(&self, rx: &Receiver<Signal>) {
        let (leaving, staying): (Vec<_>, Vec<_>) = self.routes.iter().partition(|r| r.to.receiver() == *rx);
        for n in 0..N {
            if leaving.iter().any(|r| r.wants[n]) && !staying.iter().any(|r| r.wants[n]) {
                dispose(n as i32, INITIAL);
            }
        }
        // SeqCst: see `arrived`. It is also an Acquire: the marks of those who have left are seen. They are in there for
        // a few instructions, none of which waits.
        while IN_HANDLER.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        self.deliver();
    }

    fn forget(&mut self, signals: &[i32]) {
        for route in &mut self.routes {
            signals.iter().for_each(|&n| route.wants[n as usize] = false);
        }
    }
}

fn dispose(n: i32, how: u8) {
    // SeqCst, which is a Release too: see `arrived`.
    DISPOSITIONS[n as usize].store(how, Ordering::SeqCst);
}

/// The pipe. Made once and kept: a handler may be about to write to it at any time.
fn pipe() -> io::Result<BorrowedFd<'static>> {
    static PIPE: OnceLock<(io::PipeReader, io::PipeWriter)> = OnceLock::new();
    if PIPE.get().is_none() {
        let (reader, writer) = crate::sys::pipe()?;
        crate::sys::set_nonblocking(writer.as_fd())?;
        crate::sys::set_nonblocking(reader.as_fd())?;
        // Where two make one (they cannot, under the table's lock), the second is closed again.
        let (_, writer) = PIPE.get_or_init(|| (reader, writer));
        WAKE.store(writer.as_raw_fd(), Ordering::Relaxed);
    }
    let Some((reader, _)) = PIPE.get() else { unreachable!("just made") };
    Ok(reader.as_fd())
}

/// Starts the watcher.
fn watch() -> io::Result<Arc<Watcher>> {
    let watcher = Arc::new(PollFd::new(pipe()?)?);
    let theirs = watcher.clone();
    go(move || {
        let mut bytes = [0; 256];
        loop {
            match theirs.read_with(|fd| crate::sys::read(*fd, &mut bytes)) {
                // There may be more; the mark is what counts.
                Ok(n) if n == bytes.len() => {}
                Ok(_) => TABLE.lock().deliver(),
                // Cancelled: nobody wants signals any more.
                Err(_) => return,
            }
        }
    });
    Ok(watcher)
}

/// No more signals for this channel; when this returns, none comes any more (those that came before are in it). A signal
/// that no other channel wants does again what it did when the program began. Does not park, but
/// for a moment. Go: `signal.Stop`.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// let rx = signal::notify(&[Signal::SIGUSR1]);
/// signal::stop(&rx);
/// assert!(rx.try_recv().is_err(), "none comes any more");
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stop(rx: &Receiver<Signal>) {
    let mut table = TABLE.lock();
    table.settle(rx);
    table.routes.retain(|r| r.to.receiver() != *rx);
    table.tidy();
}

/// Ignores these signals (all that can be, where none is named) from now on, and takes them away from all channels. Holds
/// for this process: a program that it starts has the default again. Does not park, but for a moment. Go:
/// `signal.Ignore`.
///
/// # Panics
/// For a signal that cannot be caught.
///
/// # Errors
/// The system's.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// signal::ignore(&[Signal::SIGTERM])?;
/// assert!(signal::ignored(Signal::SIGTERM));
/// signal::raise(Signal::SIGTERM)?; // nothing happens
/// signal::reset(&[Signal::SIGTERM]);
/// assert!(!signal::ignored(Signal::SIGTERM));
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ignore(signals: &[Signal]) -> io::Result<()> {
    let wanted = Wanted::of(signals);
    let mut table = TABLE.lock();
    table.deliver();
    let hooked = table.hook_all(&wanted)?;
    table.forget(&hooked);
    hooked.into_iter().for_each(|n| dispose(n, IGNORE));
    table.tidy();
    Ok(())
}

/// Whether a signal is ignored: by [`ignore`], or because the process began so and no channel wants it. Does not park,
/// but for a moment. Go: `signal.Ignored`.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// assert!(!signal::ignored(Signal::SIGUSR2));
/// signal::ignore(&[Signal::SIGUSR2])?;
/// assert!(signal::ignored(Signal::SIGUSR2));
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ignored(signal: Signal) -> bool {
    let table = TABLE.lock();
    let i = signal.as_raw() as usize;
    if !table.hooked[i] {
        return crate::sys::is_ignored(signal.as_raw());
    }
    match DISPOSITIONS[i].load(Ordering::Relaxed) {
        NOTIFY => false,
        IGNORE => true,
        _ => BEGAN_IGNORED[i].load(Ordering::Relaxed),
    }
}

/// Takes these signals (all, where none is named) away from all channels, and ends their being ignored: they do again what
/// they did when the program began. Does not park, but for a moment. Go: `signal.Reset`.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// signal::ignore(&[Signal::SIGUSR1, Signal::SIGUSR2])?;
/// signal::reset(&[Signal::SIGUSR1]);
/// assert!(!signal::ignored(Signal::SIGUSR1) && signal::ignored(Signal::SIGUSR2));
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn reset(signals: &[Signal]) {
    let all: Vec<i32> = (1..N as i32).collect();
    let named: Vec<i32> = signals.iter().map(|s| s.as_raw()).collect();
    let numbers = if signals.is_empty() { &all } else { &named };
    let mut table = TABLE.lock();
    table.deliver();
    table.forget(numbers);
    for &n in numbers {
        dispose(n, INITIAL);
    }
    table.tidy();
}

/// Sends a signal to the calling thread. Never parks.
///
/// # Errors
/// The system's.
///
/// # Examples
/// ```
/// use gosched_os::signal::{self, Signal};
/// # unsafe { gosched_runtime::run(|| {
/// let rx = signal::notify(&[Signal::SIGUSR1]);
/// signal::raise(Signal::SIGUSR1)?;
/// assert_eq!(rx.recv(), Some(Signal::SIGUSR1));
/// # Ok::<(), std::io::Error>(()) }) }?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise(signal: Signal) -> io::Result<()> {
    low_level::raise(signal.as_raw())
}
