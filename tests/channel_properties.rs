//! Random programs of goroutines and threads over channels: is what happens what Go's specification says?
//!
//! ```text
//!   program.rs  random programs: send, recv, try_, timeouts, select, close, dropped handles; nil, unbuffered, buffered
//!   run.rs      runs one on any Channels (channels.rs) and writes down a history (history.rs)
//!   check.rs    whether the history is linearizable to the specification (spec.rs): Wing and Gong's search with Lowe's
//!               memory, extended by joint steps of two operations
//!   invariants.rs  what can be seen without a search, for bigger programs
//! ```
//! They run on the scheduler, as goroutines and threads; on threads alone; and in worlds of `gosched_testing`, where the
//! order in which goroutines run is chosen: by the dice for small programs, all there are (with two preemptions) for tiny
//! ones. There the schedule that led to a failure is part of its report.
//!
//! The specification and the checker are themselves put to the test: crossbeam-channel's histories must be accepted;
//! histories by hand (handmade.rs) and channels with a planted fault (planted.rs) must be rejected.
//!
//! `GOSCHED_CASES=100000` sets how often each test runs a program. `GOSCHED_PROGRAMS=N` is the seed of the programs (not of
//! what the scheduler makes of them); a failure tells its own. A failure need not come again with the same program, so
//! while one is made smaller, each candidate is run many times.

mod common;
#[path = "properties"]
mod properties {
    pub mod channels;
    pub mod check;
    mod handmade;
    pub mod history;
    pub mod invariants;
    pub mod planted;
    pub mod program;
    pub mod run;
    pub mod spec;
    pub mod values;
}

use common::{patience, rt};
use gosched::testing;
use properties::channels::{Channels, Ours, PANICS, Theirs};
use properties::check::{MOST, linearize};
use properties::history::Outcome::*;
use properties::history::{Arm, Call, Event, Form, History, Wait};
use properties::invariants::broken;
use properties::planted::{self, Planted};
use properties::program::{BIG, COMMON, Dir, On, Op, Plan, Program, SMALL, Shape, TINY, program};
use properties::run::{Body, Join, Run, World, run_program};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

/// How many programs, each of which runs under so many schedules: `GOSCHED_CASES` runs in all, else few enough for every
/// day.
fn cases(usual: u32, schedules: u32) -> u32 {
    let runs: Option<u32> = std::env::var("GOSCHED_CASES").ok().and_then(|s| s.parse().ok());
    runs.map_or(usual, |n| n.div_ceil(schedules))
}

/// The panics of channels are part of the programs.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rt(|| ()); // the scheduler's own hook goes behind ours
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().downcast_ref::<&str>().is_some_and(|m| PANICS.contains(m)) {
                hook(info);
            }
        }));
    });
}

fn pause(round: usize) {
    match round {
        0..4 => gosched::yield_now(),
        _ => gosched::time::sleep(Duration::from_micros(20 << round.min(9))),
    }
}

/// Threads are threads, goroutines goroutines, and the harness is one as well.
fn on_the_scheduler<C: Channels>(plan: &Plan) -> Run {
    let plan = plan.clone();
    let harness = move || {
        let spawn = |on: On, body: Body| -> Join {
            match on {
                On::Goroutine => {
                    let g = gosched::spawn(body);
                    Box::new(|| g.join())
                }
                On::Thread => {
                    let t = thread::spawn(body);
                    Box::new(|| gosched::syscall(|| t.join()))
                }
            }
        };
        run_program::<C>(&plan, &World { spawn: &spawn, pause: &pause, patience: (patience(), 0), rush: 100 })
    };
    // SAFETY: no goroutine here holds a borrow of a thread-local, or a value tied to a thread, across a call that parks.
    unsafe { gosched::run(harness) }
}

/// All are threads.
fn on_threads<C: Channels>(plan: &Plan, patience: Duration) -> Run {
    let spawn = |_: On, body: Body| -> Join {
        let t = thread::spawn(body);
        Box::new(|| t.join())
    };
    run_program::<C>(plan, &World { spawn: &spawn, pause: &pause, patience: (patience, 0), rush: 100 })
}

/// All are goroutines of a world of `gosched_testing`, and there the clock stands still while anybody can run. So after a
/// pause everybody is parked, and no time is lost.
fn in_a_world<C: Channels>(plan: &Plan) -> Run {
    let spawn = |_: On, body: Body| -> Join {
        let g = gosched::spawn(body);
        Box::new(|| g.join())
    };
    let pause = |_| gosched::time::sleep(Duration::from_secs(1));
    // More than one only where timers are late.
    let patience = (Duration::ZERO, 1000);
    run_program::<C>(plan, &World { spawn: &spawn, pause: &pause, patience, rush: 0 })
}

/// Runs a program under many schedules; gives all of it, or the first that is wrong, with the schedule.
fn under_schedules<C: Channels>(
    config: testing::Config,
    plan: &Plan,
    wrong: impl Fn(&Run) -> bool,
) -> Vec<Run> {
    // They are judged outside: a search needs more stack than goroutines have.
    let runs = Arc::new(Mutex::new(Vec::new()));
    let (into, theirs) = (runs.clone(), plan.clone());
    let program = move || {
        let run = in_a_world::<C>(&theirs);
        into.lock().expect("nobody panics with it").push(run);
    };
    let ended = testing::try_explore(config.clone(), program);
    let mut runs = std::mem::take(&mut *runs.lock().expect("nobody panics with it"));
    if let Err(e) = ended {
        panic!("{plan}{e}");
    }
    if let Some(bad) = runs.iter().position(wrong) {
        // The same again, to see how it came to that.
        let (history, theirs) = (runs[bad].history.to_string(), plan.clone());
        let program =
            move || assert!(in_a_world::<C>(&theirs).history.to_string() != history, "this is wrong");
        let how = testing::try_explore(config, program).err();
        let how = how.map_or("it did not come again".into(), |e| e.to_string());
        runs[bad].wrong.push(format!("schedule {bad}: {how}"));
        runs = vec![runs.swap_remove(bad)];
    }
    runs
}

/// All that is wrong with a run; with the search, where it is short enough for it.
fn verdict(run: &Run, counts: &Counts) -> Vec<String> {
    let mut wrong = broken(run);
    let h = &run.history;
    counts.add(&counts.ops, h.events.len());
    if h.events.len() <= MOST && h.caps.iter().flatten().all(|&cap| cap <= 4) && !run.left.is_empty() {
        match linearize(h) {
            Ok(configs) => {
                counts.add(&counts.searched, 1);
                counts.add(&counts.configs, configs);
                counts.most.set(counts.most.get().max(configs));
            }
            Err(e) => wrong.push(e),
        }
    }
    wrong
}

#[derive(Default)]
struct Counts {
    runs: Cell<usize>,
    ops: Cell<usize>,
    searched: Cell<usize>,
    configs: Cell<usize>,
    most: Cell<usize>,
}

impl Counts {
    fn add(&self, to: &Cell<usize>, n: usize) {
        to.set(to.get() + n);
    }
}

/// The smallest program that has failed, and what happened.
struct Failure {
    calls: usize,
    report: String,
}

/// How hard a failure is made smaller: how many smaller programs are tried, and how often each.
#[derive(Clone, Copy)]
struct Effort(u32, usize);

/// For a failure that may come seldom.
const ALL: Effort = Effort(2000, 200);
/// Where the schedules are chosen, and the same each time.
const EACH: Effort = Effort(2000, 1);
/// Where it comes easily, and who reads it has seen enough.
const LITTLE: Effort = Effort(40, 5);

/// Runs random programs; each once, or as often as `run` likes.
fn explore<R: IntoIterator<Item = Run>>(
    (cases, effort): (u32, Effort),
    shape: Shape,
    run: impl Fn(&Plan) -> R,
    wrong: impl Fn(&Run, &Counts) -> Vec<String>,
) -> Result<Counts, Failure> {
    let seed = std::env::var("GOSCHED_PROGRAMS").ok().and_then(|s| s.parse().ok());
    explore_from(seed.unwrap_or_else(rand_seed), (cases, effort), shape, run, wrong)
}

/// The same programs each time.
fn explore_from<R: IntoIterator<Item = Run>>(
    seed: u64,
    (cases, effort): (u32, Effort),
    shape: Shape,
    run: impl Fn(&Plan) -> R,
    wrong: impl Fn(&Run, &Counts) -> Vec<String>,
) -> Result<Counts, Failure> {
    quieten();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let mut config =
        Config { cases, failure_persistence: None, max_shrink_iters: effort.0, ..Config::default() };
    config.max_shrink_time = 100_000; // ms; for failures that are hangs
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let (counts, last) = (Counts::default(), RefCell::new(None));
    let test = |program: Program| {
        let plan = program.plan();
        // What failed once may fail seldom.
        let times = if last.borrow().is_some() { effort.1 } else { 1 };
        for _ in 0..times {
            for run in run(&plan) {
                counts.add(&counts.runs, 1);
                let wrong = wrong(&run, &counts);
                if wrong.is_empty() {
                    continue;
                }
                let report = format!("{plan}{}{}", run.history, wrong.join("\n"));
                *last.borrow_mut() = Some(Failure { calls: plan.calls(), report });
                return Err(TestCaseError::fail("see below"));
            }
        }
        Ok(())
    };
    let result = TestRunner::new_with_rng(config, rng).run(&program(shape), test);
    match result {
        Ok(()) => Ok(counts),
        Err(TestError::Abort(why)) => panic!("no programs: {why}"),
        Err(TestError::Fail(..)) => {
            let mut last = last.into_inner().expect("a failure leaves a report");
            let runs = counts.runs.get();
            last.report.insert_str(0, &format!("with GOSCHED_PROGRAMS={seed}, after {runs} runs:\n"));
            Err(last)
        }
    }
}

fn once(run: impl Fn(&Plan) -> Run) -> impl Fn(&Plan) -> [Run; 1] {
    move |plan| [run(plan)]
}

/// A seed for the schedules of a program: others for each program, the same whenever that one comes again.
fn its_own(plan: &Plan, dice: u64) -> u64 {
    let mut h = DefaultHasher::new();
    (plan.to_string(), dice).hash(&mut h);
    h.finish()
}

fn rand_seed() -> u64 {
    RandomState::new().hash_one(0)
}

#[track_caller]
fn holds(what: &str, result: Result<Counts, Failure>) {
    match result {
        Ok(c) => println!(
            "{what}: {} runs, {} operations; {} searched, {} configurations, {} at most",
            c.runs.get(),
            c.ops.get(),
            c.searched.get(),
            c.configs.get(),
            c.most.get()
        ),
        Err(e) => panic!("{what}: {}", e.report),
    }
}

#[test]
fn small_programs_are_linearizable() {
    holds("small", explore((cases(400, 1), ALL), SMALL, once(on_the_scheduler::<Ours>), verdict));
}

#[test]
fn big_programs_keep_the_invariants() {
    holds("big", explore((cases(60, 1), ALL), BIG, once(on_the_scheduler::<Ours>), verdict));
}

/// Whatever order they run in: so many by the dice, timers late or not.
#[test]
fn schedules_by_the_dice_are_linearizable() {
    let dice = rand_seed();
    let run = |plan: &Plan| {
        let late = plan.values.is_multiple_of(2);
        let config = testing::Config::new().iterations(10).late_timers(late).seed(its_own(plan, dice));
        under_schedules::<Ours>(config, plan, |run| !verdict(run, &Counts::default()).is_empty())
    };
    holds("dice", explore((cases(20, 10), EACH), SMALL, run, verdict));
}

/// All orders that there are with at most two preemptions; of tiny programs.
#[test]
fn all_schedules_of_tiny_programs_are_linearizable() {
    let run = |plan: &Plan| {
        let strategy = testing::Strategy::Exhaustive { preemptions: 2 };
        let config = testing::Config::new().iterations(200).strategy(strategy);
        under_schedules::<Ours>(config, plan, |run| !verdict(run, &Counts::default()).is_empty())
    };
    holds("all", explore((cases(8, 200), EACH), TINY, run, verdict));
}

/// Channels need no scheduler.
#[test]
fn small_programs_on_threads_are_linearizable() {
    holds(
        "threads",
        explore((cases(60, 1), ALL), SMALL, once(|p| on_threads::<Ours>(p, patience())), verdict),
    );
}

#[test]
fn crossbeam_satisfies_the_same_specification() {
    holds(
        "crossbeam",
        explore((cases(60, 1), ALL), COMMON, once(|p| on_threads::<Theirs>(p, patience())), verdict),
    );
}

/// Only the search, so that it is seen to find the fault by itself.
fn by_search(run: &Run, _: &Counts) -> Vec<String> {
    let short = run.history.events.len() <= MOST && !run.left.is_empty();
    if short { linearize(&run.history).err().into_iter().collect() } else { vec![] }
}

/// Only the invariants; all but the count of drops, which would find the wrapper and not the fault.
fn by_invariants(run: &Run, _: &Counts) -> Vec<String> {
    let history = run.history.clone();
    broken(&Run { history, wrong: vec![], left: run.left.clone() })
}

#[track_caller]
fn is_found<const FAULT: u8>(what: &str, too: bool) {
    let few = (2000, LITTLE);
    match explore(few, SMALL, once(on_the_scheduler::<Planted<FAULT>>), by_search) {
        Ok(_) => panic!("a channel that {what} was taken for right"),
        Err(e) => println!("{what}: {}", e.report),
    }
    if too && explore(few, SMALL, once(on_the_scheduler::<Planted<FAULT>>), by_invariants).is_ok() {
        panic!("the invariants took a channel that {what} for right");
    }
}

#[test]
fn a_channel_that_duplicates_is_found() {
    is_found::<{ planted::DUPLICATES }>("duplicates", true);
}

#[test]
fn a_channel_that_reorders_is_found() {
    is_found::<{ planted::REORDERS }>("reorders", true);
}

#[test]
fn a_channel_that_loses_at_close_is_found() {
    is_found::<{ planted::LOSES_AT_CLOSE }>("loses at close", true);
}

#[test]
fn a_channel_that_wakes_twice_is_found() {
    is_found::<{ planted::WAKES_TWICE }>("wakes twice", true);
}

#[test]
fn a_channel_whose_select_fires_two_arms_is_found() {
    is_found::<{ planted::FIRES_TWO }>("fires two arms", true);
}

#[test]
fn a_channel_that_is_shy_is_found() {
    is_found::<{ planted::SHY }>("is shy", false); // what is ready at a moment only the search can say
}

#[test]
fn a_channel_that_ends_early_is_found() {
    is_found::<{ planted::ENDS_EARLY }>("ends early", true);
}

#[test]
fn a_channel_whose_close_wakes_nobody_is_found() {
    is_found::<{ planted::CLOSES_LATE }>("closes late", true);
}

/// A waiter whom everybody has forgotten: it is in no queue, and nobody will wake it.
#[test]
fn who_sleeps_outside_the_queues_is_found() {
    let recv = Op::Comm { arms: vec![(Dir::Recv, 0)], wait: Wait::Forever, form: Form::Plain };
    let parts = vec![(On::Thread, vec![recv.clone()]), (On::Thread, vec![recv])];
    let plan =
        Program { caps: vec![Some(0)], parts, gate: true, stop: false, feed: false, drain: true }.plan();
    let soon = Duration::from_millis(100);
    let run = on_threads::<Planted<{ planted::FORGETS }>>(&plan, soon);
    assert!(run.wrong[0].contains("stands not in all its queues"), "{:?}", run.wrong);
    assert!(on_threads::<Ours>(&plan, patience()).wrong.is_empty());
}

/// A failure must be told in a few lines. The programs are the same each time, and each has one schedule, so that it fails
/// always or never: how small it gets does not depend on the machine.
#[test]
fn a_failure_is_made_small() {
    let run = |plan: &Plan| {
        let config = testing::Config::new().iterations(1).seed(7);
        under_schedules::<Planted<{ planted::DUPLICATES }>>(config, plan, |_| false)
    };
    for seed in 1..=3 {
        let failure = explore_from(seed, (2000, EACH), SMALL, run, by_search);
        let failure = failure.err().expect("a channel that duplicates is found");
        // The least is one send, that the harness receives twice; what is made smaller has up to thirty.
        assert!(failure.calls <= 6, "{}", failure.report);
    }
}

/// The checker must not be what limits the programs.
#[test]
fn a_search_of_thirty_operations_is_short() {
    // Six rounds of five operations that all overlap, and at the end a value that nobody has sent: all must be searched.
    let mut events: Vec<Event> = Vec::new();
    for round in 0..6u16 {
        let mut add = |i: u16, arm, wait, out| {
            events.push(Event {
                who: i.into(),
                call: Call::Comm { arms: vec![arm], wait, form: Form::Plain },
                inv: u64::from(round * 10 + i),
                resp: Some((u64::from(round * 10 + 5 + i), out)),
            });
        };
        let (v, w) = (2 * round, 2 * round + 1);
        add(0, Arm::Send(0, v), Wait::Forever, Sent(0));
        add(1, Arm::Send(0, w), Wait::Forever, Sent(0));
        add(2, Arm::Recv(0), Wait::Forever, Got(0, v));
        add(3, Arm::Recv(0), Wait::Forever, Got(0, if round < 5 { w } else { 99 }));
        add(4, Arm::Recv(0), Wait::No, NotReady);
    }
    let start = Instant::now();
    assert!(linearize(&History::new(vec![Some(2)], 99, events)).is_err());
    println!("{:?}", start.elapsed());
    assert!(start.elapsed() < patience());
}
