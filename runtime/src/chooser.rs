//! What an exploration (world.rs) asks, and what it answers: the interface to whoever searches through schedules.
//!
//! The one who asks is the runtime, the one who answers is somebody's code, which may do whatever code can do. So it is
//! called while nothing of the world is borrowed: as if it stood in the goroutine itself where there is one, and on the
//! scheduler's stack between two. While it is asked it is not asked again: what it does itself happens as if there were no
//! choice. It should not wait for anything.

use crate::g::G;
use std::collections::VecDeque;

/// Who chooses.
///
/// ```
/// use gosched_runtime::explore::{Chooser, Crossroads, End, Limits, run};
///
/// /// Whoever has waited for longest; no preemption.
/// struct InTurn;
/// impl Chooser for InTurn {
///     fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize> {
///         if at.running().is_some() { None } else { Some(0) }
///     }
///     fn pick(&mut self, _: u32) -> u32 {
///         0
///     }
/// }
/// let ran = std::thread::spawn(|| run(Limits::default(), &mut InTurn, || {
///     gosched_runtime::spawn(|| gosched_runtime::sleep(std::time::Duration::from_secs(3600))).join().unwrap();
/// }));
/// assert!(matches!(ran.join().unwrap().end, End::Done), "an hour has passed");
/// ```
pub trait Chooser {
    /// Who runs next: an index into [`Crossroads::runnable`], or `None` for the one that runs to go on, which is an answer
    /// only where there is one. Asked only where there is a choice.
    fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize>;

    /// A number below `n`, which is 2 at least.
    fn pick(&mut self, n: u32) -> u32;

    /// Whether the next timer is due now, although others can run: for programs that must stand slow goroutines.
    fn late(&mut self) -> bool {
        false
    }
}

/// The choice of who runs next. See [`Chooser`] for an example.
pub struct Crossroads<'a> {
    pub(crate) runnable: &'a VecDeque<&'static G>,
    pub(crate) running: Option<u64>,
    pub(crate) yielded: Option<u64>,
}

impl Crossroads<'_> {
    /// How many others can run. See [`Chooser`] for an example.
    pub fn runnable(&self) -> usize {
        self.runnable.len()
    }

    /// The id of one of them; the first is the one that has been runnable for longest. See [`Chooser`] for an example.
    pub fn id(&self, i: usize) -> u64 {
        self.runnable[i].goid()
    }

    /// The one that runs, where it could go on. See [`Chooser`] for an example.
    pub fn running(&self) -> Option<u64> {
        self.running
    }

    /// The one that has just yielded, where one has: it wants others to run. See [`Chooser`] for an example.
    pub fn yielded(&self) -> Option<u64> {
        self.yielded
    }
}

/// What a run may do. See [`Chooser`] for an example.
#[derive(Clone, Debug)]
pub struct Limits {
    /// So many choices, and the run counts as one without an end.
    pub steps: u64,
    /// Whether goroutines may be left waiting when the main goroutine has ended.
    pub leaks: bool,
    /// Whether the schedule is written down.
    pub record: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 100_000, leaks: false, record: false }
    }
}

/// How a run ended. See [`Chooser`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The main goroutine has returned, and nobody is left waiting.
    Done,
    /// A goroutine has panicked, and no `join` is there to take it: what it said.
    Panic(String),
    /// Nobody can run, and the main goroutine has not returned: all stacks.
    Deadlock(String),
    /// The main goroutine has returned, and others wait for ever: their stacks.
    Leak(String),
    /// More choices than the limit allows: what everybody does.
    NoEnd(String),
}

/// A run that has ended. See [`Chooser`] for an example.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How.
    pub end: End,
    /// How often there was a choice of who runs next.
    pub steps: u64,
    /// What happened, a line each, where [`Limits::record`] was set.
    pub schedule: Vec<String>,
}
