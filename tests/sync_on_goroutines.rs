//! Locks and their relatives under many goroutines, with plain threads among them.

mod common;
use common::*;

use gosched::chan::Chan;
use gosched::sync::{
    Barrier, Condvar, Mutex, Once, OnceLock, RwLock, RwLockWriteGuard, Semaphore, WaitGroup,
};
use gosched::{go, goexit, select, spawn, time, yield_now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

/// Starts `f(i)` on goroutines and on plain threads, and waits for all; panics are the test's.
fn on_all(goroutines: usize, threads: usize, f: impl Fn(usize) + Clone + Send + 'static) {
    let ts: Vec<_> = (0..threads)
        .map(|i| {
            let f = f.clone();
            thread::spawn(move || f(goroutines + i))
        })
        .collect();
    let gs: Vec<_> = (0..goroutines)
        .map(|i| {
            let f = f.clone();
            spawn(move || f(i))
        })
        .collect();
    let results = gs.into_iter().map(|g| g.join());
    for r in results.chain(ts.into_iter().map(|t| t.join())) {
        r.unwrap_or_else(|e| std::panic::resume_unwind(e));
    }
}

#[test]
fn a_mutex_lets_one_in_at_a_time() {
    rt(|| {
        let m = Arc::new(Mutex::new((0usize, 0usize)));
        let each = m.clone();
        on_all(200, 4, move |i| {
            for n in 0..50 {
                let mut guard = each.lock();
                let before = guard.0;
                match (i + n) % 7 {
                    0 => yield_now(), // a guard may be held across a park
                    1 => time::sleep(Duration::from_micros(1)),
                    _ => {}
                }
                guard.0 = before + 1;
                drop(guard);
                if let Some(mut guard) = each.try_lock() {
                    guard.1 += 1;
                }
            }
        });
        assert_eq!(m.lock().0, 204 * 50);
        assert!(m.lock().1 <= 204 * 50);
    });
}

#[test]
fn a_mutex_guard_may_be_unlocked_elsewhere() {
    rt(|| {
        static M: Mutex<u32> = Mutex::new(0);
        for _ in 0..100 {
            let mut guard = M.lock();
            let h = spawn(move || {
                *guard += 1;
                yield_now();
            });
            *M.lock() += 1; // waits for that goroutine's end
            h.join().unwrap();
        }
        assert_eq!(*M.lock(), 200);
    });
}

#[test]
fn a_panic_or_goexit_under_the_lock_releases_it() {
    rt(|| {
        let m = Arc::new(Mutex::new(0));
        for how in [0, 1] {
            let held = m.clone();
            let h = spawn(move || {
                let mut guard = held.lock();
                *guard += 1;
                yield_now();
                if how == 0 {
                    goexit();
                }
                std::panic::resume_unwind(Box::new("on purpose")); // without the hook's noise
            });
            let after = m.clone();
            let waits = spawn(move || *after.lock());
            assert!(h.join().is_err());
            assert!(waits.join().unwrap() <= how + 1);
        }
        assert_eq!(*m.lock(), 2);
    });
}

#[test]
fn a_wait_group_waits_for_all_round_after_round() {
    rt(|| {
        let (wg, n) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for round in 1..=100 {
            wg.add(52);
            for i in 0..50 {
                let (wg, n) = (wg.clone(), n.clone());
                go!({
                    if i % 5 == 0 {
                        yield_now();
                    }
                    n.fetch_add(1, SeqCst);
                    wg.done();
                });
            }
            let (a, b) = (wg.clone(), n.clone());
            let t = thread::spawn(move || {
                b.fetch_add(2, SeqCst);
                a.done();
                a.done();
            });
            let waiters: Vec<_> = (0..10)
                .map(|_| {
                    let (wg, n) = (wg.clone(), n.clone());
                    spawn(move || {
                        wg.wait();
                        n.load(SeqCst)
                    })
                })
                .collect();
            wg.wait();
            assert_eq!(n.load(SeqCst), round * 52);
            assert!(waiters.into_iter().all(|w| w.join().unwrap() == round * 52));
            t.join().unwrap();
        }
        let below = spawn(move || wg.done());
        assert_eq!(message(below.join()), "sync: negative WaitGroup counter");
    });
}

#[test]
fn a_semaphore_bounds_how_many_are_inside() {
    rt(|| {
        let (sem, inside, most) =
            (Arc::new(Semaphore::new(5)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (s, m) = (sem.clone(), most.clone());
        on_all(100, 4, move |i| {
            for n in 0..20 {
                let k = 1 + (i + n) % 3;
                let permit = if k == 1 { s.acquire() } else { s.acquire_many(k) };
                let now = inside.fetch_add(k, SeqCst) + k;
                assert!(now <= 5, "{now} inside");
                m.fetch_max(now, SeqCst);
                if n % 4 == 0 {
                    yield_now();
                }
                inside.fetch_sub(k, SeqCst);
                drop(permit);
            }
        });
        assert!(most.load(SeqCst) > 1);
        let all = sem.acquire_many(5);
        assert!(sem.try_acquire().is_none());
        drop(all);
        assert!(sem.try_acquire().is_some());
    });
}

#[test]
fn a_rwlock_lets_readers_together_and_writers_alone() {
    rt(|| {
        let (lock, writers) = (Arc::new(RwLock::new((0u64, 0u64))), Arc::new(AtomicUsize::new(0)));
        let (l, w) = (lock.clone(), writers.clone());
        on_all(100, 4, move |i| {
            for n in 0..20 {
                if (i + n) % 10 == 0 {
                    let mut g = l.write();
                    g.0 += 1;
                    yield_now();
                    g.1 += 1;
                    w.fetch_add(1, SeqCst);
                } else {
                    let g = l.read();
                    let before = *g;
                    assert_eq!(before.0, before.1, "no half-done write is seen");
                    if n % 3 == 0 {
                        yield_now();
                    }
                    assert_eq!(*g, before);
                }
            }
        });
        assert_eq!(lock.read().0, writers.load(SeqCst) as u64);
        // Two readers at once: each waits for the other inside.
        let (a, b) = (Chan::new(0), Chan::new(0));
        let (a2, b2, other) = (a.clone(), b.clone(), lock.clone());
        let h = spawn(move || {
            let _g = other.read();
            a2.send(());
            b2.recv().unwrap();
        });
        {
            let _g = lock.read();
            a.recv().unwrap();
            b.send(());
        }
        h.join().unwrap();
    });
}

#[test]
fn a_queue_of_mutex_and_condvars() {
    struct Queue {
        items: Mutex<VecDeque<usize>>,
        not_empty: Condvar,
        not_full: Condvar,
    }
    rt(|| {
        let q = Arc::new(Queue {
            items: Mutex::new(VecDeque::new()),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
        });
        let sum = Arc::new(AtomicUsize::new(0));
        let total = sum.clone();
        on_all(40, 4, move |i| {
            for n in 1..=50 {
                if i % 2 == 0 {
                    let mut items = q.not_full.wait_while(q.items.lock(), |items| items.len() >= 4);
                    items.push_back(n);
                    drop(items);
                    q.not_empty.notify_one();
                } else {
                    let mut items = q.items.lock();
                    let n = loop {
                        match items.pop_front() {
                            Some(n) => break n,
                            None => items = q.not_empty.wait(items),
                        }
                    };
                    drop(items);
                    q.not_full.notify_one();
                    total.fetch_add(n, SeqCst);
                }
            }
        });
        assert_eq!(sum.load(SeqCst), 22 * 50 * 51 / 2);
    });
}

#[test]
fn a_condvar_wakes_all_and_keeps_time() {
    rt(|| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let hs: Vec<_> = (0..500)
            .map(|_| {
                let pair = pair.clone();
                spawn(move || drop(pair.1.wait_while(pair.0.lock(), |go| !*go)))
            })
            .collect();
        settle();
        let start = Instant::now();
        let (guard, result) = pair.1.wait_timeout(pair.0.lock(), Duration::from_millis(3));
        assert!(result.timed_out() && start.elapsed() >= Duration::from_millis(3));
        drop(guard);
        *pair.0.lock() = true;
        pair.1.notify_all();
        hs.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn once_runs_once_and_everybody_sees_what_it_did() {
    rt(|| {
        for _ in 0..50 {
            let (once, cell) = (Arc::new(Once::new()), Arc::new(OnceLock::new()));
            let (runs, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let r = runs.clone();
            on_all(20, 2, move |i| {
                once.call_once(|| {
                    yield_now(); // may park, the others wait
                    r.fetch_add(1, SeqCst);
                    done.store(true, SeqCst);
                });
                assert!(done.load(SeqCst));
                let v = *cell.get_or_init(|| {
                    yield_now();
                    i
                });
                assert_eq!(cell.get(), Some(&v));
            });
            assert_eq!(runs.load(SeqCst), 1);
        }
    });
}

#[test]
fn a_barrier_holds_them_all_until_the_last_has_come() {
    rt(|| {
        const ROUNDS: usize = 50;
        let (barrier, at) = (Arc::new(Barrier::new(22)), Arc::new(AtomicUsize::new(0)));
        let leaders = Arc::new(AtomicUsize::new(0));
        let l = leaders.clone();
        on_all(20, 2, move |_| {
            for round in 0..ROUNDS {
                assert!(at.load(SeqCst) / 22 == round, "nobody runs ahead");
                at.fetch_add(1, SeqCst);
                if barrier.wait().is_leader() {
                    l.fetch_add(1, SeqCst);
                }
                assert!(at.load(SeqCst) >= (round + 1) * 22, "all have come");
                barrier.wait();
            }
        });
        assert_eq!(leaders.load(SeqCst), ROUNDS);
    });
}

#[test]
fn locks_and_channels_together() {
    // A pool: workers take jobs from a channel, results go under a lock, the end comes by a WaitGroup and a select.
    rt(|| {
        let (jobs, results) = (Chan::new(8), Arc::new(Mutex::new(Vec::new())));
        let (wg, limit) = (WaitGroup::new(), Arc::new(Semaphore::new(3)));
        for _ in 0..20 {
            wg.add(1);
            let (jobs, results, wg, limit) = (jobs.clone(), results.clone(), wg.clone(), limit.clone());
            go!({
                for n in &jobs {
                    let _permit = limit.acquire();
                    yield_now();
                    results.lock().push(n * 2);
                }
                wg.done();
            });
        }
        (0..1_000).for_each(|n| jobs.send(n));
        jobs.close();
        let all = Chan::<()>::new(0);
        let (end, wait) = (all.clone(), wg.clone());
        go!({
            wait.wait();
            end.close();
        });
        select! {
            recv(all) -> _ => {},
            default(patience()) => panic!("too slow"),
        }
        let mut results = std::mem::take(&mut *results.lock());
        results.sort_unstable();
        assert!(results.into_iter().eq((0..1_000).map(|n| n * 2)));
    });
}

/// Readers by slot and counted, on goroutines and plain threads, with writers of every kind among them. (Long enough that
/// the draw comes up.)
#[test]
fn a_read_write_lock_that_many_read_lets_writers_be_alone() {
    rt(|| {
        let lock = Arc::new(RwLock::new((0u64, 0u64)));
        let (each, wrote) = (lock.clone(), Arc::new(AtomicUsize::new(0)));
        let written = wrote.clone();
        on_all(16, 2, move |i| {
            for n in 0..2_000 {
                if (i + n) % 100 == 0 {
                    let tried = if n % 3 == 0 { each.try_write() } else { None };
                    let mut pair = tried.unwrap_or_else(|| each.write());
                    pair.0 += 1;
                    if n % 200 == 0 {
                        yield_now();
                    }
                    pair.1 += 1;
                    written.fetch_add(1, Relaxed);
                    if n % 2 == 0 {
                        let pair = RwLockWriteGuard::downgrade(pair);
                        assert_eq!(pair.0, pair.1, "a writer came between");
                    }
                } else {
                    let tried = if n % 7 == 0 { each.try_read() } else { None };
                    let pair = tried.unwrap_or_else(|| each.read());
                    let first = pair.0;
                    match n % 50 {
                        0 => yield_now(), // and leaves from another P, perhaps
                        1 => thread::yield_now(),
                        _ => {}
                    }
                    assert_eq!((first, first), *pair, "a writer among readers");
                }
            }
        });
        assert_eq!(lock.read().0 as usize, wrote.load(Relaxed));
        assert!(lock.try_write().is_some(), "a reader was forgotten");
    });
}
