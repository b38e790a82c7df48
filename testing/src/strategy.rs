//! How a schedule is chosen.
//!
//! - [`Walk`]: each time one of all who can run, by the dice.
//! - [`Pct`]: priorities by the dice, the highest runs, and at `depth - 1` places, also by the dice, the one that runs
//!   becomes the lowest. A bug that needs `d` orderings to be right is found by a run of n goroutines and k steps with a
//!   probability of at least 1/(n·k^(d-1)). (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A randomized scheduler with
//!   probabilistic guarantees of finding bugs", ASPLOS 2010.)
//! - [`Path`]: the answers of a list, then the first of several; [`Path::next`] gives the list of the next run in a
//!   depth-first search of all of them, with a bound on preemptions (Musuvathi, Qadeer: "Iterative context bounding for
//!   systematic testing of multithreaded programs", PLDI 2007).
//! - [`InTurn`]: who has waited for longest; nobody is preempted.
//!
//! A goroutine that yields wants others to run: all of them see to that, so that loops with a yield in them come to an end.

use crate::seed::{Kind, Seed};
use gosched_runtime::explore::{Chooser, Crossroads};
use std::collections::HashMap;

/// Dice: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// One of how many crossroads makes the next timer come, where that is allowed.
const LATE_ONE_IN: u64 = 8;

/// What runs by a seed.
pub(crate) enum Chosen {
    Walk(Walk),
    Pct(Pct),
    Path(Path),
}

impl Chosen {
    /// `preemptions`: the bound, for a path beyond its list.
    pub(crate) fn by(seed: &Seed, preemptions: u32) -> Chosen {
        let late = seed.late;
        match &seed.kind {
            Kind::Walk(n) => Chosen::Walk(Walk { dice: Dice(*n), late }),
            Kind::Pct { depth, len, seed } => Chosen::Pct(Pct::new(*depth, *len, *seed, late)),
            Kind::Path(path) => Chosen::Path(Path::new(path.clone(), preemptions)),
        }
    }

    pub(crate) fn as_dyn(&mut self) -> &mut dyn Chooser {
        match self {
            Chosen::Walk(c) => c,
            Chosen::Pct(c) => c,
            Chosen::Path(c) => c,
        }
    }
}

/// The indices of those who may run now: not the one that has just yielded, unless it is alone.
fn candidates<'a>(at: &'a Crossroads<'_>) -> impl Iterator<Item = usize> + 'a {
    let alone = at.runnable() == 1;
    (0..at.runnable()).filter(move |&i| alone || at.yielded() != Some(at.id(i)))
}

pub(crate) struct Walk {
    dice: Dice,
    late: bool,
}

impl Chooser for Walk {
    fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize> {
        let others = candidates(at).count() as u64;
        let n = self.dice.below(others + u64::from(at.running().is_some()));
        candidates(at).nth(n as usize)
    }

    fn pick(&mut self, n: u32) -> u32 {
        self.dice.below(u64::from(n)) as u32
    }

    fn late(&mut self) -> bool {
        self.late && self.dice.below(LATE_ONE_IN) == 0
    }
}

pub(crate) struct Pct {
    dice: Dice,
    late: bool,
    /// The steps at which the one that runs becomes the lowest, the last one first.
    changes: Vec<u64>,
    step: u64,
    /// By goroutine. New ones get one above zero.
    priorities: HashMap<u64, i64>,
    /// The lowest so far.
    lowest: i64,
}

impl Pct {
    fn new(depth: u32, len: u64, seed: u64, late: bool) -> Pct {
        let mut dice = Dice(seed);
        let mut changes: Vec<u64> = (1..depth).map(|_| 1 + dice.below(len.max(1))).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Pct { dice, late, changes, step: 0, priorities: HashMap::new(), lowest: 0 }
    }

    fn priority(&mut self, id: u64) -> i64 {
        let Pct { dice, priorities, .. } = self;
        *priorities.entry(id).or_insert_with(|| 1 + dice.below(1 << 40) as i64)
    }

    fn demote(&mut self, id: u64) {
        self.lowest -= 1;
        self.priorities.insert(id, self.lowest);
    }
}

impl Chooser for Pct {
    fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize> {
        self.step += 1;
        if let Some(id) = at.yielded() {
            self.demote(id);
        }
        let best = (0..at.runnable()).max_by_key(|&i| (self.priority(at.id(i)), std::cmp::Reverse(i)));
        let goes_on = |me: &mut Pct| {
            let running = at.running()?;
            let other = best.map_or(i64::MIN, |i| me.priority(at.id(i)));
            (me.priority(running) > other).then_some(running)
        };
        if self.changes.last().is_some_and(|&change| change <= self.step) {
            self.changes.pop();
            // Whoever would run now.
            let first = goes_on(self).or_else(|| best.map(|i| at.id(i)));
            first.into_iter().for_each(|id| self.demote(id));
            return self.choose_again(at);
        }
        if goes_on(self).is_some() { None } else { best }
    }

    fn pick(&mut self, n: u32) -> u32 {
        self.dice.below(u64::from(n)) as u32
    }

    fn late(&mut self) -> bool {
        self.late && self.dice.below(LATE_ONE_IN) == 0
    }
}

impl Pct {
    fn choose_again(&mut self, at: &Crossroads<'_>) -> Option<usize> {
        let best = (0..at.runnable()).max_by_key(|&i| (self.priority(at.id(i)), std::cmp::Reverse(i)))?;
        match at.running() {
            Some(id) if self.priority(id) > self.priority(at.id(best)) => None,
            _ => Some(best),
        }
    }
}

pub(crate) struct Path {
    /// (The answer, of how many.) Answers of a list that came from outside are of an unknown number.
    taken: Vec<(u32, u32)>,
    at: usize,
    preemptions: u32,
    left: u32,
}

impl Path {
    pub(crate) fn new(path: Vec<u32>, preemptions: u32) -> Path {
        let taken = path.into_iter().map(|n| (n, 0)).collect();
        Path { taken, at: 0, preemptions, left: preemptions }
    }

    /// An answer: one of `n`.
    fn answer(&mut self, n: u32) -> u32 {
        match self.taken.get_mut(self.at) {
            Some(step) => step.1 = n,
            None => self.taken.push((0, n)),
        }
        self.at += 1;
        self.taken[self.at - 1].0.min(n - 1)
    }

    /// What was answered in the run that has ended.
    pub(crate) fn path(&self) -> Vec<u32> {
        let path: Vec<u32> = self.taken[..self.at.min(self.taken.len())].iter().map(|step| step.0).collect();
        // The first of several is what comes of itself.
        let end = path.iter().rposition(|&n| n != 0).map_or(0, |i| i + 1);
        path[..end].to_vec()
    }

    /// Makes itself ready for the next run: the last answer that could be another one is. False: there is none left.
    pub(crate) fn next(&mut self) -> bool {
        self.taken.truncate(self.at);
        (self.at, self.left) = (0, self.preemptions);
        while let Some(step) = self.taken.last_mut() {
            step.0 += 1;
            if step.0 < step.1 {
                return true;
            }
            self.taken.pop();
        }
        false
    }
}

impl Chooser for Path {
    fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize> {
        if at.running().is_some() {
            if self.left == 0 {
                return None;
            }
            let n = self.answer(at.runnable() as u32 + 1);
            self.left -= u32::from(n != 0);
            return (n as usize).checked_sub(1);
        }
        let n = candidates(at).count() as u32;
        let k = if n > 1 { self.answer(n) } else { 0 };
        candidates(at).nth(k as usize)
    }

    fn pick(&mut self, n: u32) -> u32 {
        self.answer(n)
    }
}

pub(crate) struct InTurn(pub(crate) Dice);

impl Chooser for InTurn {
    fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize> {
        if at.running().is_some() { None } else { candidates(at).next() }
    }

    fn pick(&mut self, n: u32) -> u32 {
        self.0.below(u64::from(n)) as u32
    }
}
