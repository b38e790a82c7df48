//! Running a program under many schedules, or under one of them again.

use crate::seed::{Kind, Seed};
use crate::strategy::{Chosen, Dice, InTurn, Path};
use gosched_runtime::explore::{End, Limits, Ran, run};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

/// How schedules are chosen.
///
/// ```
/// use gosched_testing::{Config, Strategy, explore};
/// let report = explore(Config::new().strategy(Strategy::Exhaustive { preemptions: 2 }), || {
///     gosched_runtime::spawn(|| ()).join().unwrap();
/// });
/// assert!(report.exhausted);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// By turns a random walk and PCT with a depth of 2, 3 and 4.
    #[default]
    Mixed,
    /// At each crossroads one of all who can run, by the dice.
    Random,
    /// Priorities by the dice, that change at `depth - 1` places: for a bug that needs so many things to come in a certain
    /// order it has a guaranteed chance.
    Pct {
        /// The number of such things, 1 or more.
        depth: u32,
    },
    /// One after the other, all there are in which a goroutine that could go on is interrupted so often at most. For small
    /// programs: their number grows exponentially with their length.
    Exhaustive {
        /// The bound.
        preemptions: u32,
    },
}

/// What is explored, and how far.
///
/// ```
/// use gosched_testing::{Config, Strategy, explore};
/// let config = Config::new().iterations(100).strategy(Strategy::Pct { depth: 3 }).seed(1);
/// assert_eq!(explore(config, || ()).schedules, 100);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    iterations: u64,
    strategy: Strategy,
    seed: Option<u64>,
    steps: u64,
    leaks: bool,
    late: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

impl Config {
    /// 1,000 schedules, mixed, of at most 100,000 steps each.
    ///
    /// ```
    /// gosched_testing::explore(gosched_testing::Config::new(), || ());
    /// ```
    pub fn new() -> Config {
        Config {
            iterations: 1000,
            strategy: Strategy::Mixed,
            seed: None,
            steps: 100_000,
            leaks: false,
            late: false,
        }
    }

    /// So many schedules; an exhaustive search ends before, where there are fewer.
    ///
    /// ```
    /// use gosched_testing::{Config, explore};
    /// assert_eq!(explore(Config::new().iterations(7), || ()).schedules, 7);
    /// ```
    pub fn iterations(mut self, n: u64) -> Config {
        self.iterations = n;
        self
    }

    /// How they are chosen. See [`Strategy`] for an example.
    pub fn strategy(mut self, strategy: Strategy) -> Config {
        self.strategy = strategy;
        self
    }

    /// The same schedules each time. (Else others each time, or those of the environment variable `GOSCHED_SEED`.)
    ///
    /// ```
    /// gosched_testing::explore(gosched_testing::Config::new().seed(42), || ());
    /// ```
    pub fn seed(mut self, seed: u64) -> Config {
        self.seed = Some(seed);
        self
    }

    /// A run with more crossroads than this counts as one without an end.
    ///
    /// ```
    /// use gosched_testing::{Config, End, try_explore};
    /// let config = Config::new().max_steps(1000);
    /// let endless = || loop { gosched_runtime::yield_now() };
    /// assert!(matches!(try_explore(config, endless).unwrap_err().end, End::NoEnd(_)));
    /// ```
    pub fn max_steps(mut self, n: u64) -> Config {
        self.steps = n;
        self
    }

    /// Whether goroutines may be left waiting when the program has ended. What they hold is never freed.
    ///
    /// ```
    /// use gosched_testing::{Config, explore};
    /// explore(Config::new().allow_leaks(true).iterations(5), || {
    ///     gosched_runtime::go(|| gosched_chan::never::<()>().recv().unwrap());
    /// });
    /// ```
    pub fn allow_leaks(mut self, on: bool) -> Config {
        self.leaks = on;
        self
    }

    /// Whether timers may come although goroutines could still run, as on a machine that is slow. Not with
    /// [`Strategy::Exhaustive`].
    ///
    /// ```
    /// use gosched_testing::{Config, try_explore};
    /// use std::time::Duration;
    /// let in_time = || {
    ///     let (ch, day) = (gosched_chan::Chan::new(1), Duration::from_secs(86_400));
    ///     let theirs = ch.clone();
    ///     gosched_runtime::go(move || theirs.send(()));
    ///     ch.recv_timeout(day).expect("in time");
    /// };
    /// assert!(try_explore(Config::new(), in_time).is_ok());
    /// assert!(try_explore(Config::new().late_timers(true), in_time).is_err());
    /// ```
    pub fn late_timers(mut self, on: bool) -> Config {
        self.late = on;
        self
    }

    fn limits(&self, record: bool) -> Limits {
        Limits { steps: self.steps, leaks: self.leaks, record }
    }
}

/// What was explored.
///
/// ```
/// let report = gosched_testing::explore(gosched_testing::Config::new(), || ());
/// assert_eq!((report.schedules, report.exhausted), (1000, false));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many schedules were run.
    pub schedules: u64,
    /// How many crossroads there were in all of them.
    pub steps: u64,
    /// Whether these were all that there are, within the bound on preemptions.
    pub exhausted: bool,
}

/// A schedule that fails. Its `Display` is what [`explore`] panics with.
///
/// ```
/// use gosched_testing::{Config, End, try_explore};
/// let failure = try_explore(Config::new(), || gosched_chan::Chan::<()>::new(0).send(())).unwrap_err();
/// assert!(matches!(failure.end, End::Deadlock(_)));
/// assert!(failure.to_string().contains("chan send"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// By which it can be run again.
    pub seed: Seed,
    /// What happened.
    pub end: End,
    /// How many schedules were run, this one included.
    pub schedules: u64,
    /// What led there, a line for each thing that a goroutine did.
    pub schedule: Vec<String>,
    /// Whether it failed in the same way when it was run again to write the schedule down.
    pub replays: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, stacks) = match &self.end {
            End::Done => ("it has ended well", ""),
            End::Panic(said) => (said.as_str(), ""),
            End::Deadlock(stacks) => ("all goroutines are asleep - deadlock!", stacks.as_str()),
            End::Leak(stacks) => ("goroutines are left waiting when the program has ended", stacks.as_str()),
            End::NoEnd(stacks) => ("it does not come to an end", stacks.as_str()),
        };
        writeln!(f, "schedule {} of this program fails: {what}", self.schedules)?;
        writeln!(
            f,
            "  to run it again: gosched::testing::replay(\"{}\", …), or GOSCHED_REPLAY={}",
            self.seed, self.seed
        )?;
        if !self.replays {
            writeln!(
                f,
                "  When it was run again it went another way: the program has other sources of chance."
            )?;
        }
        writeln!(f, "\nthe schedule:")?;
        const SHOWN: usize = 200;
        let hidden = self.schedule.len().saturating_sub(SHOWN);
        if hidden > 0 {
            writeln!(f, "  ({hidden} steps before)")?;
        }
        self.schedule[hidden..].iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        f.write_str(stacks)
    }
}

impl std::error::Error for Failure {}

type Program = Arc<dyn Fn() + Send + Sync>;

/// Calls `f` on a thread of its own, whose name and output are the caller's.
fn on_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let name = std::thread::current().name().unwrap_or("gosched-explore").to_string();
    let thread =
        std::thread::Builder::new().name(name).spawn(f).expect("gosched: no thread for an exploration");
    thread.join().unwrap_or_else(|e| resume_unwind(e))
}

fn run_by(seed: &Seed, limits: Limits, program: &Program) -> Ran {
    let program = program.clone();
    run(limits, Chosen::by(seed, u32::MAX).as_dyn(), move || program())
}

/// Runs `program` under schedules as `config` says. Blocks; to be called on a plain thread. With `GOSCHED_REPLAY=seed` in
/// the environment it runs that one alone.
///
/// # Panics
/// With the first [`Failure`]. On a goroutine.
///
/// ```
/// use gosched_testing::{Config, explore};
/// explore(Config::new(), || {
///     let (wg, m) = (gosched_runtime::sync::WaitGroup::new(), std::sync::Arc::new(gosched_runtime::sync::Mutex::new(0)));
///     for _ in 0..2 {
///         let m = m.clone();
///         wg.go(move || *m.lock() += 1);
///     }
///     wg.wait();
///     assert_eq!(*m.lock(), 2);
/// });
/// ```
#[track_caller]
pub fn explore(config: Config, program: impl Fn() + Send + Sync + 'static) -> Report {
    try_explore(config, program).unwrap_or_else(|failure| panic!("{failure}"))
}

/// As [`explore`].
///
/// # Errors
/// The first schedule that fails.
///
/// # Panics
/// On a goroutine.
///
/// ```
/// use gosched_testing::{Config, try_explore};
/// assert!(try_explore(Config::new(), || panic!("always")).is_err());
/// ```
pub fn try_explore(
    config: Config,
    program: impl Fn() + Send + Sync + 'static,
) -> Result<Report, Box<Failure>> {
    let program: Program = Arc::new(program);
    if let Some(word) = std::env::var_os("GOSCHED_REPLAY") {
        let seed = word.to_string_lossy().parse().unwrap_or_else(|e| panic!("GOSCHED_REPLAY: {e}"));
        return again(seed, &config, &program, 1);
    }
    let (theirs, conf) = (program.clone(), config.clone());
    let (report, failed) = on_thread(move || search(&conf, &theirs));
    match failed {
        None => Ok(report),
        Some((seed, end)) => {
            // Once more, written down.
            let shown = again(seed.clone(), &config, &program, report.schedules);
            let same = |f: &Failure| std::mem::discriminant(&f.end) == std::mem::discriminant(&end);
            Err(match shown {
                Err(f) if same(&f) => f,
                other => {
                    let schedule = other.map_or_else(|f| f.schedule, |_| Vec::new());
                    Box::new(Failure { seed, end, schedules: report.schedules, schedule, replays: false })
                }
            })
        }
    }
}

/// Runs schedules until one fails.
fn search(config: &Config, program: &Program) -> (Report, Option<(Seed, End)>) {
    let mut report = Report::default();
    if let Strategy::Exhaustive { preemptions } = config.strategy {
        let mut path = Path::new(Vec::new(), preemptions);
        while report.schedules < config.iterations {
            let theirs = program.clone();
            let ran = run(config.limits(false), &mut path, move || theirs());
            report.schedules += 1;
            report.steps += ran.steps;
            if ran.end != End::Done {
                return (report, Some((Seed { kind: Kind::Path(path.path()), late: false }, ran.end)));
            }
            if !path.next() {
                report.exhausted = true;
                break;
            }
        }
        return (report, None);
    }
    let from_env = || std::env::var("GOSCHED_SEED").ok()?.parse().ok();
    let mut dice = Dice(config.seed.or_else(from_env).unwrap_or_else(any_seed));
    let mut longest = 1;
    while report.schedules < config.iterations {
        let seed = dice.next();
        let pct = |depth: u32| Kind::Pct { depth, len: longest, seed };
        let kind = match (config.strategy, report.schedules % 6) {
            (Strategy::Pct { depth }, _) => pct(depth.max(1)),
            (Strategy::Mixed, n) if n % 2 == 1 => pct(2 + (n / 2) as u32),
            _ => Kind::Walk(seed),
        };
        let seed = Seed { kind, late: config.late };
        let ran = run_by(&seed, config.limits(false), program);
        report.schedules += 1;
        report.steps += ran.steps;
        longest = longest.max(ran.steps);
        if ran.end != End::Done {
            return (report, Some((seed, ran.end)));
        }
    }
    (report, None)
}

/// Something that differs from run to run.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// One schedule, written down.
fn again(seed: Seed, config: &Config, program: &Program, schedules: u64) -> Result<Report, Box<Failure>> {
    let (limits, program, theirs) = (config.limits(true), program.clone(), seed.clone());
    let ran = on_thread(move || run_by(&theirs, limits, &program));
    match ran.end {
        End::Done => Ok(Report { schedules: 1, steps: ran.steps, exhausted: false }),
        end => Err(Box::new(Failure { seed, end, schedules, schedule: ran.schedule, replays: true })),
    }
}

/// Runs `program` under one schedule, that of a [`Failure`]. Blocks; to be called on a plain thread.
///
/// # Panics
/// With the [`Failure`], where it fails. Where `seed` is no [`Seed`]. On a goroutine.
///
/// ```should_panic
/// // The first that can run always does, until it waits.
/// gosched_testing::replay("x", || panic!("as before"));
/// ```
#[track_caller]
pub fn replay(seed: &str, program: impl Fn() + Send + Sync + 'static) -> Report {
    try_replay(seed, program).unwrap_or_else(|failure| panic!("{failure}"))
}

/// As [`replay`].
///
/// # Errors
/// The failure.
///
/// # Panics
/// Where `seed` is no [`Seed`]. On a goroutine.
///
/// ```
/// use gosched_testing::{Config, try_explore, try_replay};
/// let program = || assert!(gosched_chan::Chan::<()>::new(0).recv().is_some());
/// let found = try_explore(Config::new(), program).unwrap_err();
/// assert_eq!(try_replay(&found.seed.to_string(), program).unwrap_err().end, found.end);
/// ```
pub fn try_replay(seed: &str, program: impl Fn() + Send + Sync + 'static) -> Result<Report, Box<Failure>> {
    let seed = seed.parse().unwrap_or_else(|e| panic!("{e}"));
    again(seed, &Config::new(), &(Arc::new(program) as Program), 1)
}

/// Runs `program` once as the scheduler might, but with a clock that jumps to the next timer when nobody can run: a test of
/// an hour's timeout takes no time. Go: `testing/synctest`. Blocks; to be called on a plain thread.
///
/// # Panics
/// Where the program does; where all of its goroutines wait for ever, or some when it has ended, with all their stacks. On
/// a goroutine.
///
/// ```
/// use std::time::Duration;
/// let waited = gosched_testing::virtual_time(|| {
///     let start = gosched_testing::now();
///     let never = gosched_chan::Chan::<()>::new(0);
///     assert!(never.recv_timeout(Duration::from_secs(3600)).is_err());
///     gosched_testing::now() - start
/// });
/// assert_eq!(waited, Duration::from_secs(3600));
/// ```
#[track_caller]
pub fn virtual_time<T: Send + 'static>(program: impl FnOnce() -> T + Send + 'static) -> T {
    let result = Arc::new(Mutex::new(None));
    let theirs = result.clone();
    let limits = Limits { steps: u64::MAX, leaks: false, record: false };
    let ran = on_thread(move || {
        run(limits, &mut InTurn(Dice(any_seed())), move || {
            let r = program();
            *theirs.lock().expect("nobody panics with it") = Some(r);
        })
    });
    match ran.end {
        End::Done => {}
        End::Panic(said) => panic!("{said}"),
        End::Deadlock(stacks) | End::NoEnd(stacks) => {
            panic!("all goroutines are asleep - deadlock!\n{stacks}")
        }
        End::Leak(stacks) => panic!("goroutines are left waiting when the program has ended\n{stacks}"),
    }
    result.lock().expect("nobody panics with it").take().expect("it has ended")
}
