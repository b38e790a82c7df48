//! How shuttle is run: so many schedules by chance, and as many by PCT, from fixed seeds, so that a model and its planted
//! bug come to the same end each time. A failure prints its schedule.

use super::settle;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Schedules by each of the two, where a model does not ask for its own number.
const SCHEDULES: usize = 5_000;
/// PCT finds any bug that needs up to so many constraints on the order of steps, with a probability that it knows.
const DEPTH: usize = 3;
const SEED: u64 = 5;

/// Runs a model of which all goroutines must come to their end.
pub fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    check_with(SCHEDULES, model);
}

/// `check`, with a number of schedules.
pub fn check_with(schedules: usize, model: impl Fn() + Send + Sync + Copy + 'static) {
    run(RandomScheduler::new_from_seed(SEED, schedules), model);
    run(PctScheduler::new_from_seed(SEED, DEPTH, schedules), model);
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || {
        model();
        settle();
    });
}
