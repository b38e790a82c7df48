//! Goroutines: storms of them, their ends by panic, and the seam under them.
//!
//! Every generation is counted by what its goroutines own: a [`Token`] in each closure adds one when it is made and takes
//! one when it is dropped. When a round has waited for its goroutines, and given the last ones the time for their last
//! steps, the count is back at zero: no closure was lost, and none was dropped twice.

use crate::ledger::{Planned, Rng, check, planned};
use gosched::sync::WaitGroup;
use gosched::{Builder, chan::Chan, go, goexit, scope, spawn, yield_now};
use gosched_runtime::park::{Ticket, WaitReason, Waiter, Woken, current, gopark_timeout, goready};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts what is alive of a generation.
#[derive(Clone, Default)]
struct Generation(Arc<AtomicI64>);

struct Token(Generation);

impl Generation {
    fn token(&self) -> Token {
        self.0.fetch_add(1, Ordering::Relaxed);
        Token(self.clone())
    }

    /// Waits for the last drop, which may come a few steps after the last result.
    fn is_over(&self) {
        let mut patience = 0u64;
        while self.0.load(Ordering::Acquire) != 0 {
            let alive = self.0.load(Ordering::Relaxed);
            check(alive > 0, || format!("{alive} tokens alive: dropped twice"));
            patience += 1;
            if patience < 1000 { yield_now() } else { gosched::time::sleep(Duration::from_micros(100)) }
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// Goroutines in all the ways to start them, some of which start others; their sum is known beforehand.
pub fn storm(rng: &mut Rng) -> u64 {
    let generation = Generation::default();
    let n = 1 + rng.below(1500);
    let (sum, wg) = (Arc::new(AtomicU64::new(0)), WaitGroup::new());
    let mut handles = Vec::new();
    let mut expected = 0;
    for i in 0..n {
        let (token, sum, sub) = (generation.token(), sum.clone(), wg.clone());
        expected += i;
        match rng.below(5) {
            0 => handles.push(spawn(move || {
                let _token = token;
                i
            })),
            1 => {
                let stack = (1 + rng.below(3) as usize) * (200 << 10);
                let b = Builder::new().name(format!("soak-{i}")).stack_size(stack);
                let h = b.spawn(move || {
                    let _token = token;
                    yield_now();
                    i
                });
                handles.push(h.expect("a stack of this size can be had"));
            }
            2 => wg.go(move || {
                let _token = token;
                sum.fetch_add(i, Ordering::Relaxed);
            }),
            // One that starts another, from wherever it runs.
            3 => wg.go(move || {
                let (theirs, half) = (sum.clone(), i / 2);
                sub.go(move || {
                    let _token = token;
                    theirs.fetch_add(half, Ordering::Relaxed);
                });
                sum.fetch_add(i - half, Ordering::Relaxed);
            }),
            _ => {
                let i = scope(|s| {
                    let deep = s.spawn(|| {
                        let _token = &token;
                        deep(i % 40)
                    });
                    yield_now();
                    deep.join().map(|_| i)
                });
                sum.fetch_add(i.unwrap_or_else(|_| unreachable!("it does not panic")), Ordering::Relaxed);
            }
        }
    }
    wg.wait();
    let joined: u64 =
        handles.into_iter().map(|h| h.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).sum();
    let sum = joined + sum.load(Ordering::Relaxed);
    check(sum == expected, || format!("the storm's sum is {sum}, not {expected}"));
    generation.is_over();
    n
}

/// Goes down some KiB of stack, so that it is not always the top that is used.
#[inline(never)]
fn deep(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 128]);
    if n == 0 { 0 } else { deep(n - 1) + frame[n as usize % 128] }
}

/// Sends when it is dropped: parks, also where a panic unwinds.
struct Parting(Chan<u64>, u64);

impl Drop for Parting {
    fn drop(&mut self) {
        self.0.send(self.1);
    }
}

/// A payload whose drop panics as well.
struct Nasty(#[expect(dead_code, reason = "dropped")] Token);

impl Drop for Nasty {
    fn drop(&mut self) {
        panic_any(Planned(0));
    }
}

/// Goroutines that end by a panic, by `goexit`, with destructors that park and payloads whose destructors panic.
pub fn panics(rng: &mut Rng) -> u64 {
    let generation = Generation::default();
    let n = 1 + rng.below(200);
    let partings = Chan::new(rng.below(3) as usize);
    let mut handles = Vec::new();
    let (mut count, mut expected) = (0, 0);
    for i in 0..n {
        let token = generation.token();
        let mut parting = || {
            count += 1;
            expected += i;
            Parting(partings.clone(), i)
        };
        match rng.below(4) {
            0 => {
                let parting = parting();
                let body = move || -> u64 {
                    let _both = (token, parting);
                    panic_any(Planned(i))
                };
                handles.push((i, spawn(body)));
            }
            // Caught, and thrown on after a park.
            1 => {
                let parting = parting();
                let body = move || -> u64 {
                    let _both = (token, parting);
                    let caught = catch_unwind(AssertUnwindSafe(|| panic_any(Planned(i))));
                    yield_now();
                    std::panic::resume_unwind(caught.expect_err("it panics"))
                };
                handles.push((i, spawn(body)));
            }
            2 => {
                let parting = parting();
                go(move || {
                    let _both = (token, parting);
                    goexit()
                });
            }
            _ => go(move || std::panic::resume_unwind(Box::new(Nasty(token)))),
        }
    }
    let sum: u64 = (0..count).map(|_| partings.recv().expect("nobody closes it")).sum();
    check(sum == expected, || format!("partings of {sum}, not {expected}"));
    for (i, h) in handles {
        check(planned(&h.join(), i), || format!("goroutine {i} did not end by its own panic"));
    }
    generation.is_over();
    check(partings.try_recv().is_err(), || "a parting too many".into());
    n
}

/// Where one goroutine waits for another, on the scheduler's seam alone.
///
/// `waiter` is null, or the waiter that the sleeper's commit has left: whoever takes it out may claim `ticket`, which was
/// written before. `turn` is written by the waker, before its goready, and read by the sleeper after its park: it says
/// that this wake-up is for this wait, and not one that came twice. After a time-out the sleeper waits until the waker has
/// seen it (`missed`): else the next wait would begin under the waker's hands.
#[derive(Default)]
struct Baton {
    waiter: AtomicPtr<()>,
    ticket: std::sync::Mutex<Option<Ticket>>,
    turn: AtomicU64,
    /// The last turn whose claim failed.
    missed: AtomicU64,
    /// The sleeper has seen so many time-outs, the waker so many claims that failed.
    late: (AtomicU64, AtomicU64),
}

/// Leaves the waiter in the baton.
unsafe fn hand_over(w: Waiter, baton: *mut ()) -> bool {
    // SAFETY: the sleeper's baton; the sleeper holds an Arc of it, and waits. After the store it is not touched here.
    let baton = unsafe { &*baton.cast::<Baton>() };
    // Release: publishes the park to the waker.
    baton.waiter.store(w.into_raw(), Ordering::Release);
    true
}

/// Pairs of a sleeper and a waker; some waits have a time limit that is about to pass when the waker comes. Each wait ends
/// once, by exactly one of the two.
pub fn batons(rng: &mut Rng) -> u64 {
    let wg = WaitGroup::new();
    let waits = 1 + rng.below(300);
    let pairs = 1 + rng.below(8);
    for _ in 0..pairs {
        let baton = Arc::new(Baton::default());
        let theirs = baton.clone();
        let limits: Vec<Option<Duration>> =
            (0..waits).map(|_| rng.one_in(4).then(|| rng.micros(200))).collect();
        let last = WaitGroup::new();
        last.add(2);
        let (one, two) = (last.clone(), last.clone());
        wg.go(move || {
            limits.iter().zip(1..).for_each(|(limit, turn)| wait(&baton, *limit, turn));
            one.done();
            last.wait();
            let late = (baton.late.0.load(Ordering::Relaxed), baton.late.1.load(Ordering::Relaxed));
            check(late.0 == late.1, || format!("{} waits timed out, {} claims failed", late.0, late.1));
        });
        wg.go(move || {
            (1..=waits).for_each(|turn| wake(&theirs, turn));
            two.done();
        });
    }
    wg.wait();
    waits * pairs
}

/// The sleeper's wait number `turn`.
fn wait(baton: &Arc<Baton>, limit: Option<Duration>, turn: u64) {
    let ticket = current().open_ticket();
    *baton.ticket.lock().expect("nobody panics here") = Some(ticket);
    let arg = Arc::as_ptr(baton).cast_mut().cast();
    let deadline = limit.map(|d| Instant::now() + d);
    // SAFETY: whoever finds the waiter readies it only where it has claimed the ticket, which is done once.
    let woken = unsafe { gopark_timeout(hand_over, arg, WaitReason::Other, ticket, deadline) };
    match woken {
        Woken::Readied => {
            let said = baton.turn.load(Ordering::Acquire);
            check(said == turn, || format!("wait {turn} was ended by the wake-up of {said}"));
        }
        Woken::TimedOut => {
            baton.late.0.fetch_add(1, Ordering::Relaxed);
            while baton.missed.load(Ordering::Acquire) != turn {
                yield_now();
            }
        }
    }
}

/// The waker's side of wait number `turn`.
fn wake(baton: &Baton, turn: u64) {
    let found = loop {
        let found = baton.waiter.swap(ptr::null_mut(), Ordering::AcqRel);
        if !found.is_null() {
            break found;
        }
        yield_now();
    };
    // SAFETY: the commit left it there, and waiters are never freed.
    let w = unsafe { Waiter::from_raw(found) };
    let ticket = baton.ticket.lock().expect("nobody panics here").take().expect("written before the park");
    // Before the claim: a wait that has timed out does not read it.
    let before = baton.turn.swap(turn, Ordering::AcqRel);
    check(before < turn, || format!("turn {before} before turn {turn}"));
    if w.claim(ticket) {
        // SAFETY: claimed.
        unsafe { goready(w) };
    } else {
        baton.late.1.fetch_add(1, Ordering::Relaxed);
        // Release: the sleeper may begin its next wait.
        baton.missed.store(turn, Ordering::Release);
    }
}
