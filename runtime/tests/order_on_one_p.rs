//! On one P, a thousand goroutines run once each, in the order that the rules of the run queues give. The order is
//! computed here from the rules alone, not from the scheduler's code.

use gosched_runtime::sync::WaitGroup;
use gosched_runtime::testing::{handoffs, switches};
use gosched_runtime::{Config, go, yield_now};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

const RING: usize = 256;

/// The queues of one P, by the rules: a newcomer becomes runnext and kicks its predecessor to the ring's tail; a full
/// ring gives its first half and the one too many to the global queue; each 61st choice is one from the global queue; an
/// empty ring takes min(128, size, size/procs + 1).
#[derive(Default)]
struct Rules {
    runnext: Option<usize>,
    ring: VecDeque<usize>,
    global: VecDeque<usize>,
    tick: u32,
}

impl Rules {
    fn start(&mut self, g: usize) {
        let Some(kicked) = self.runnext.replace(g) else { return };
        if self.ring.len() == RING {
            let half: Vec<usize> = self.ring.drain(..RING / 2).collect();
            self.global.extend(half);
            self.global.push_back(kicked);
        } else {
            self.ring.push_back(kicked);
        }
    }

    fn next(&mut self) -> Option<usize> {
        if self.tick.is_multiple_of(61)
            && let Some(g) = self.global.pop_front()
        {
            self.tick += 1;
            return Some(g);
        }
        if let Some(g) = self.runnext.take() {
            self.tick += 1;
            return Some(g);
        }
        if self.ring.is_empty() {
            let n = 128.min(self.global.len()).min(self.global.len() + 1);
            self.ring.extend(self.global.drain(..n));
        }
        let g = self.ring.pop_front()?;
        self.tick += 1;
        Some(g)
    }
}

/// Starts `n` goroutines and gives (the order in which they ran, the count of choices before). None: sysmon took the P in
/// between, because the machine was busy, and the order means nothing.
fn observed(n: usize) -> Option<(Vec<usize>, u32)> {
    yield_now(); // a fresh slice
    let before = handoffs();
    let log = Arc::new(Mutex::new(Vec::with_capacity(n)));
    let wg = WaitGroup::new();
    wg.add(n as isize);
    let tick = switches();
    for i in 0..n {
        let (log, wg) = (log.clone(), wg.clone());
        go(move || {
            log.lock().unwrap().push(i);
            wg.done();
        });
    }
    wg.wait();
    let order = std::mem::take(&mut *log.lock().unwrap());
    (handoffs() == before).then_some((order, tick))
}

#[test]
fn the_order_is_the_one_of_the_rules() {
    // SAFETY: no goroutine parks while it holds a guard or a borrow of a thread-local.
    unsafe {
        Config::new().procs(1).run(|| {
            let mut undisturbed = 0;
            for (round, n) in
                [10, 255, 257, 258, 1000, 1000, 1000].iter().cycle().take(140).copied().enumerate()
            {
                let Some((order, tick)) = observed(n) else { continue };
                undisturbed += 1;
                let mut rules = Rules { tick, ..Rules::default() };
                (0..n).for_each(|g| rules.start(g));
                let expected: Vec<usize> = std::iter::from_fn(|| rules.next()).collect();
                assert_eq!(order, expected, "round {round}, {n} goroutines, choice {tick}");
                let mut once = order;
                once.sort_unstable();
                assert!(once.into_iter().eq(0..n), "each exactly once");
            }
            assert!(undisturbed > 70, "only {undisturbed} of 140 rounds were undisturbed");
        })
    };
}
