//! Locks: sums that are exact, halves that agree, limits that hold, and a bounded buffer made of a condition variable.

use crate::ledger::{Rng, check};
use gosched::sync::{Barrier, Condvar, Mutex, Once, RwLock, Semaphore, WaitGroup};
use gosched::yield_now;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Everything that the goroutines of a round share.
struct Shared {
    sum: Mutex<u64>,
    /// The halves are equal but for a writer.
    halves: RwLock<(u64, u64)>,
    places: Semaphore,
    inside: AtomicUsize,
    once: Once,
    onces: AtomicUsize,
    buffer: Mutex<VecDeque<u64>>,
    not_full: Condvar,
    not_empty: Condvar,
    barrier: Barrier,
    leaders: AtomicUsize,
}

const PLACES: usize = 3;
const ROOM: usize = 4;

fn worker(s: &Shared, mut rng: Rng, ops: u64) {
    for _ in 0..ops {
        match rng.below(4) {
            0 => {
                let mut sum = s.sum.lock();
                let before = *sum;
                if rng.one_in(50) {
                    yield_now();
                }
                *sum = before + 1;
            }
            1 => {
                let mut halves = s.halves.write();
                halves.0 += 1;
                if rng.one_in(50) {
                    yield_now();
                }
                halves.1 += 1;
                drop(halves);
                *s.sum.lock() += 1;
            }
            2 => {
                let halves = s.halves.read();
                check(halves.0 == halves.1, || format!("a reader saw {halves:?}"));
                drop(halves);
                *s.sum.lock() += 1;
            }
            _ => {
                let permit = match rng.one_in(3) {
                    true => s.places.acquire_timeout(rng.micros(300)),
                    false => Some(s.places.acquire()),
                };
                if permit.is_some() {
                    let inside = s.inside.fetch_add(1, Ordering::AcqRel) + 1;
                    check(inside <= PLACES, || format!("{inside} hold {PLACES} permits"));
                    if rng.one_in(4) {
                        yield_now();
                    }
                    s.inside.fetch_sub(1, Ordering::AcqRel);
                }
                drop(permit);
                *s.sum.lock() += 1;
            }
        }
        s.once.call_once(|| {
            s.onces.fetch_add(1, Ordering::Relaxed);
        });
    }
    if s.barrier.wait().is_leader() {
        s.leaders.fetch_add(1, Ordering::Relaxed);
    }
}

fn put(s: &Shared, v: u64) {
    let mut buffer = s.not_full.wait_while(s.buffer.lock(), |b| b.len() == ROOM);
    buffer.push_back(v);
    check(buffer.len() <= ROOM, || format!("{} in a buffer of {ROOM}", buffer.len()));
    drop(buffer);
    s.not_empty.notify_one();
}

fn take(s: &Shared, rng: &mut Rng) -> u64 {
    let mut buffer = s.buffer.lock();
    loop {
        if let Some(v) = buffer.pop_front() {
            drop(buffer);
            s.not_full.notify_one();
            return v;
        }
        buffer = match rng.one_in(3) {
            true => s.not_empty.wait_timeout(buffer, rng.micros(200)).0,
            false => s.not_empty.wait(buffer),
        };
    }
}

pub fn locks(rng: &mut Rng) -> u64 {
    let (workers, ops) = (1 + rng.below(24), 1 + rng.below(300));
    let (pairs, values) = (1 + rng.below(4), 1 + rng.below(200));
    let shared = Arc::new(Shared {
        sum: Mutex::new(0),
        halves: RwLock::new((0, 0)),
        places: Semaphore::new(PLACES),
        inside: AtomicUsize::new(0),
        once: Once::new(),
        onces: AtomicUsize::new(0),
        buffer: Mutex::new(VecDeque::new()),
        not_full: Condvar::new(),
        not_empty: Condvar::new(),
        barrier: Barrier::new(workers as usize),
        leaders: AtomicUsize::new(0),
    });
    let wg = WaitGroup::new();
    for _ in 0..workers {
        let (s, rng) = (shared.clone(), Rng::new(rng.next()));
        wg.go(move || worker(&s, rng, ops));
    }
    let came = Arc::new(Mutex::new(0u64));
    for pair in 0..pairs {
        let (s, came) = (shared.clone(), came.clone());
        wg.go(move || (0..values).for_each(|v| put(&s, pair * values + v)));
        let (s, mut rng) = (shared.clone(), Rng::new(rng.next()));
        wg.go(move || {
            let sum: u64 = (0..values).map(|_| take(&s, &mut rng)).sum();
            *came.lock() += sum;
        });
    }
    wg.wait();
    let (sum, halves) = (*shared.sum.lock(), *shared.halves.read());
    check(sum == workers * ops, || format!("the sum is {sum} after {workers} times {ops} additions"));
    check(halves.0 == halves.1, || format!("the halves are {halves:?}"));
    let n = pairs * values;
    let (came, expected) = (*came.lock(), n * (n - 1) / 2);
    check(came == expected, || format!("{came} came through the buffer, not {expected}"));
    check(shared.places.available_permits() == PLACES, || "a permit is lost".into());
    let (onces, leaders) = (shared.onces.load(Ordering::Relaxed), shared.leaders.load(Ordering::Relaxed));
    check((onces, leaders) == (1, 1), || format!("{onces} times once, {leaders} leaders"));
    workers * ops + n
}
