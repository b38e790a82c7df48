//! Tracing: everything the scheduler does, written down while it runs (Go: `runtime/trace`).
//!
//! ```text
//!   trace points (trace/point.rs)      one ring for each M (trace/ring.rs)        the trace's thread, here
//!   go, start, park, ready, steal,  ──►  M0  ▇▇▇▇▇░░░░░  ──┐  half full: the bell
//!   handoff, retake, syscall,       ──►  M1  ▇▇░░░░░░░░  ──┼──────────────────► records become slices and arrows
//!   timer, netpoll, exit            ──►  all other threads ┘  or every 20 ms      (trace/story.rs, json.rs) ──► the writer
//! ```
//! **Why a thread, and not a goroutine.** A goroutine that writes the trace would be in it: each batch would make the next.
//! It would want a P of the program that it watches, and get none while that hogs all of them, which is when one wants a trace. And
//! the writer is the user's: it may block for as long as it likes, and does so on a thread that nobody waits for.
//!
//! **Nobody waits for the writer.** Where it is slower than what happens, rings become full, and what does not fit is counted
//! and shown as missing at the place where it is. A writer that fails ends the tracing at once; `stop` tells.
//!
//! **To the deadlock detector** the thread is a foreign one (checkdead.rs): what it writes may go to a goroutine, through a
//! channel or a pipe, and wake it. So while a trace is written no deadlock is reported; it is, soon after `stop`.
//!
//! **Counters** of what belongs to all (goroutines, the global queue, idle Ps, spinning Ms) are looked at when the rings are read;
//! the length of a P's own queue is in each record of a run's start.

pub(crate) mod json;
pub(crate) mod point;
pub(crate) mod recorder;
pub(crate) mod ring;
pub(crate) mod story;

use crate::clock::nanotime;
use crate::m::M;
use crate::newproc::num_goroutine;
use crate::sched::SCHED;
use crate::syscall::syscall;
use crate::waiter::WaiterKind;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::{self, Write};
use std::ptr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use story::{Story, Thread};

/// How long what has happened may wait to be written.
const ROUND: Duration = Duration::from_millis(20);
/// How much is collected for one write.
const CHUNK: usize = 64 << 10;

struct Running {
    session: u32,
    thread: JoinHandle<io::Result<()>>,
}

struct State {
    running: Option<Running>,
    /// Between `start`'s look and its thread's birth, and while `stop` waits for the thread's end.
    busy: bool,
    sessions: u32,
}

/// Held for moments only: nobody parks with it.
static STATE: Mutex<State> = Mutex::new(State { running: None, busy: false, sessions: 0 });

/// Starts to write down what the scheduler does, until [`stop`]: Chrome's trace event format, for <https://ui.perfetto.dev> or
/// `chrome://tracing`. A track for each P and each M with a slice for each run of a goroutine, named by its name or by where
/// it was started, and in its arguments why it ended (`chan receive`, `yield`, `exit`…); arrows from whoever made a
/// goroutine runnable to its run; system calls, timers, polls, steals, and Ps taken and handed on; counters of the run
/// queues and of goroutines. Times are in µs since the start.
///
/// From any thread or goroutine, with or without a `run` in progress. Never parks. The writer is used and dropped on a
/// thread of its own, in pieces of some 64 KiB; it may block. Where it is too slow for what happens, the trace has gaps, and
/// says where and how large; the program does not wait. Some 100 ns for each event while a trace is written; one load
/// and a branch while none is. Goroutines of an exploration (`gosched::testing`) leave no trace.
///
/// While a trace is written no deadlock is reported: the writer might be about to wake somebody.
///
/// # Errors
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy) where a trace is being written already, also one whose writer has failed
/// and that was not stopped yet; and where there can be no thread for it.
///
/// ```
/// use gosched_runtime::debug::trace;
/// let path = std::env::temp_dir().join(format!("trace-{}.json", std::process::id()));
/// # unsafe { gosched_runtime::run(|| {
/// trace::start(std::fs::File::create(&path).unwrap()).unwrap();
/// assert!(trace::start(Vec::new()).is_err()); // one at a time
/// gosched_runtime::Builder::new().name("worker".into()).spawn(|| ()).unwrap().join().unwrap();
/// trace::stop().unwrap();
/// # }) };
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert!(text.contains("worker") && text.ends_with("}\n"));
/// # std::fs::remove_file(&path).unwrap();
/// ```
pub fn start<W: Write + Send + 'static>(writer: W) -> io::Result<()> {
    start_session(writer).map(drop)
}

/// `start`, which gives the number of the session.
fn start_session<W: Write + Send + 'static>(writer: W) -> io::Result<u32> {
    let session = {
        let mut state = STATE.lock();
        if state.busy || state.running.is_some() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a trace is being written already"));
        }
        state.busy = true;
        state.sessions = state.sessions.wrapping_add(1).max(1);
        state.sessions
    };
    let (since, first_flow) = point::open(session);
    let spawned = std::thread::Builder::new().name("gosched-trace".into()).spawn({
        let tracing = Tracing::new(session, since, first_flow);
        move || tracing.write(writer)
    });
    let mut state = STATE.lock();
    state.busy = false;
    match spawned {
        Ok(thread) => {
            state.running = Some(Running { session, thread });
            Ok(session)
        }
        Err(e) => {
            drop(state);
            point::close(session);
            discard();
            Err(e)
        }
    }
}

/// Ends the trace that [`start`] began: what has happened until now is written, then the end of the file, and the writer is
/// flushed and dropped. Waits for that: a goroutine gives its P away meanwhile, and may park at the end. From any thread or
/// goroutine. Goroutines that run now run on; their slices end here.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound) where no trace is being written. The writer's first error, where it failed: what
/// was written before is the beginning of a trace. [`Other`](io::ErrorKind::Other) where it panicked;
/// [`Deadlock`](io::ErrorKind::Deadlock) where the writer itself calls this.
///
/// ```
/// use gosched_runtime::debug::trace;
/// assert!(trace::stop().is_err()); // there is none
/// trace::start(std::io::sink()).unwrap();
/// trace::stop().unwrap();
/// ```
pub fn stop() -> io::Result<()> {
    stop_session(None)
}

/// `stop`; with a number, of that session only.
fn stop_session(wanted: Option<u32>) -> io::Result<()> {
    let Running { session, thread } = {
        let mut state = STATE.lock();
        let running = state.running.take_if(|r| wanted.is_none_or(|session| session == r.session));
        let running =
            running.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no trace is being written"))?;
        if running.thread.thread().id() == std::thread::current().id() {
            state.running = Some(running);
            return Err(io::Error::new(io::ErrorKind::Deadlock, "a trace's writer cannot stop the trace"));
        }
        state.busy = true;
        running
    };
    point::close(session);
    point::ring_bell();
    let result = syscall(|| thread.join());
    STATE.lock().busy = false;
    result.unwrap_or_else(|_| Err(io::Error::other("the trace's writer panicked")))
}

/// Empties all rings, when nothing more comes.
fn discard() {
    point::each_ring(|_, ring| {
        ring.drain(drop);
        // SAFETY: after `close`, and before the next `open`.
        unsafe { ring.take_lost() };
    });
}

/// A goroutine that ran when the trace began. Its M is the key.
struct Early {
    m: &'static M,
    g: u64,
    site: u64,
    p: Option<u16>,
}

/// What the thread works on.
struct Tracing {
    session: u32,
    since: u64,
    story: Story,
    /// By the address of the ring.
    threads: HashMap<usize, Thread>,
    early: Vec<Early>,
}

/// Ends the session however the thread ends: nothing is to be recorded that nobody reads.
struct Ended(u32);

impl Drop for Ended {
    fn drop(&mut self) {
        point::close(self.0);
        discard();
    }
}

impl Tracing {
    /// Right after `open`.
    fn new(session: u32, since: u64, first_flow: u32) -> Tracing {
        let mut early = Vec::new();
        M::for_each(|m| {
            if let Some(g) = m.curg().filter(|g| g.waiter().head().kind() == WaiterKind::Goroutine) {
                let site = g.site().map_or(0, |site| ptr::from_ref(site) as u64);
                early.push(Early { m, g: g.goid(), site, p: m.p().map(|p| p.id as u16) });
            }
        });
        Tracing { session, since, story: Story::new(since, first_flow), threads: HashMap::new(), early }
    }

    /// The thread.
    fn write(mut self, mut writer: impl Write) -> io::Result<()> {
        let ended = Ended(self.session);
        while point::is_open(self.session) {
            self.count();
            if self.round(&mut writer)? < u64::from(u16::MAX) {
                point::await_bell(Instant::now() + ROUND);
            }
        }
        // `close` may still be waiting for those who write: so do we.
        point::wait_for_writers();
        self.count();
        self.round(&mut writer)?;
        self.finish();
        writer.write_all(self.story.text())?;
        writer.flush()?;
        drop(ended);
        Ok(())
    }

    /// Reads all rings once. Gives how many records there were.
    fn round(&mut self, writer: &mut impl Write) -> io::Result<u64> {
        let (mut n, mut failed) = (0, Ok(()));
        let (story, threads) = (&mut self.story, &mut self.threads);
        point::each_ring(|m, ring| {
            let thread = threads.entry(ptr::from_ref(ring) as usize).or_insert_with(Thread::new);
            n += ring.drain(|r| {
                story.record(thread, m.is_some(), r);
                if story.text().len() >= CHUNK && failed.is_ok() {
                    failed = writer.write_all(story.text());
                    story.clear_text();
                }
            });
        });
        failed?;
        // Also what is little: whoever reads along sees it soon.
        writer.write_all(self.story.text())?;
        self.story.clear_text();
        Ok(n)
    }

    /// Looks at the counters.
    fn count(&mut self) {
        let now = nanotime();
        let mut counter = |name, n| self.story.counter(name, now, n);
        counter("goroutines", num_goroutine() as u64);
        counter("global run queue", SCHED.runqsize() as u64);
        counter("idle Ps", u64::from(SCHED.spin.idle_ps()));
        counter("spinning Ms", u64::from(SCHED.spin.spinners()));
    }

    /// Ends all that is open, when nothing more comes.
    fn finish(&mut self) {
        let end = nanotime();
        let since = self.since;
        let (story, threads, early) = (&mut self.story, &mut self.threads, &self.early);
        point::each_ring(|m, ring| {
            // SAFETY: after `wait_for_writers`, and before the next `open`.
            let missing = unsafe { ring.take_lost() };
            let taken = m.and_then(|m| m.tracer.take_lost(since));
            let thread = threads.entry(ptr::from_ref(ring) as usize).or_insert_with(Thread::new);
            if thread.spoke() || missing.is_some() {
                return story.finish(thread, end, missing, taken.map(|(at, _)| at));
            }
            // It has run the same goroutine all the time, in code of the user.
            let Some(m) = m else { return };
            let same = |e: &&Early| ptr::eq(e.m, m) && m.curg().is_some_and(|g| g.goid() == e.g);
            if let Some(e) = early.iter().find(same) {
                story.silent(
                    m.id(),
                    e.g,
                    e.site,
                    taken.map_or(e.p, |(_, p)| Some(p)),
                    taken.map(|t| t.0),
                    end,
                );
            }
        });
        self.story.end_of_trace();
    }
}
