//! Locks and their relatives let everybody through, in the right order and no sooner: what Go's tests of `sync` ask, on
//! goroutines. (That nothing is lost under load: sync_on_goroutines.rs.)

mod common;
use common::*;

use gosched::chan::{Chan, select};
use gosched::sync::{Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use gosched::{go, goexit, spawn, time, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::time::Duration;

const US: Duration = Duration::from_micros(1);

/// Holds the lock all the time but for a moment, asleep: whoever else wants it gets it again and again.
#[test]
fn a_holder_that_sleeps_and_comes_back_keeps_nobody_out() {
    rt(|| {
        let (m, stop) = (Arc::new(Mutex::new(0u32)), Arc::new(AtomicBool::new(false)));
        let hog = {
            let (m, stop) = (m.clone(), stop.clone());
            spawn(move || {
                while !stop.load(SeqCst) {
                    let mut held = m.lock();
                    *held += 1;
                    time::sleep(100 * US);
                }
            })
        };
        let (lock, gets) = (m.clone(), Chan::new(0));
        let theirs = gets.clone();
        go!({
            for _ in 0..10 {
                time::sleep(100 * US);
                drop(lock.lock());
                theirs.send(());
            }
        });
        for _ in 0..10 {
            assert!(select! { recv(gets) -> _ => true, default(patience()) => false }, "it is kept out");
        }
        stop.store(true, SeqCst);
        hog.join().unwrap();
    });
}

/// The same for a reader beside a writer that comes back at once, and for a writer beside such a reader.
#[test]
fn neither_a_reader_nor_a_writer_that_comes_back_keeps_the_other_out() {
    rt(|| {
        for hog_writes in [true, false] {
            let (lock, stop) = (Arc::new(RwLock::new(())), Arc::new(AtomicBool::new(false)));
            // Two that read by turns leave no moment without a reader.
            let hogs: Vec<_> = (0..if hog_writes { 1 } else { 2 })
                .map(|_| {
                    let (lock, stop) = (lock.clone(), stop.clone());
                    spawn(move || {
                        while !stop.load(SeqCst) {
                            if hog_writes {
                                let _held = lock.write();
                                time::sleep(100 * US);
                            } else {
                                let _held = lock.read();
                                time::sleep(100 * US);
                            }
                        }
                    })
                })
                .collect();
            let gets = Chan::new(0);
            let (theirs, wanted) = (gets.clone(), lock.clone());
            go!({
                for _ in 0..10 {
                    time::sleep(100 * US);
                    if hog_writes {
                        drop(wanted.read());
                    } else {
                        drop(wanted.write());
                    }
                    theirs.send(());
                }
            });
            for _ in 0..10 {
                assert!(select! { recv(gets) -> _ => true, default(patience()) => false }, "it is kept out");
            }
            stop.store(true, SeqCst);
            hogs.into_iter().for_each(|h| h.join().unwrap());
        }
    });
}

/// One that holds two read guards: each of them keeps a writer out, and the writer keeps the next readers out.
#[test]
fn a_writer_waits_for_each_read_guard_of_the_same_holder() {
    rt(|| {
        let lock = Arc::new(RwLock::new(0));
        for round in 0..50 {
            let (first, second) = (lock.read(), lock.read());
            let (wrote, theirs) = (Chan::new(1), lock.clone());
            let told = wrote.clone();
            let writer = spawn(move || {
                let mut w = theirs.write();
                told.send(());
                *w += 1;
                yield_now();
                *w += 1;
            });
            // A writer waits as soon as no reader is let in any more.
            eventually("the writer waits", || lock.try_read().is_none());
            drop(first);
            yield_now();
            assert!(wrote.is_empty(), "let in beside a reader");
            assert!(lock.try_write().is_none() && lock.try_read().is_none());
            drop(second);
            assert_eq!(*lock.read(), 2 * (round + 1), "let in beside the writer");
            writer.join().unwrap();
        }
    });
}

/// All that the tries of a `RwLock` can meet.
#[test]
fn tries_say_what_they_find() {
    rt(|| {
        let lock = RwLock::new(());
        let writing = lock.write();
        assert!(lock.try_write().is_none() && lock.try_read().is_none(), "there is a writer");
        drop(writing);
        drop(lock.try_write().expect("free"));
        let (one, two) = (lock.try_read().expect("free"), lock.try_read().expect("readers share it"));
        assert!(lock.try_write().is_none(), "there are readers");
        drop(one);
        assert!(lock.try_write().is_none(), "there is a reader");
        drop(two);
        assert!(lock.try_write().is_some());

        let m = Mutex::new(());
        let held = m.lock();
        assert!(m.try_lock().is_none());
        drop(held);
        assert!(m.try_lock().is_some());
    });
}

/// Two wait, the older one is notified, and another comes; a hundred times. Always the older one wakes, and only it.
#[test]
fn a_notification_goes_to_the_oldest_generation() {
    const N: usize = 100;
    rt(|| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let (running, awake) = (Chan::new(0), Chan::new(N));
        for i in 0..N {
            let (theirs, waits, woken) = (pair.clone(), running.clone(), awake.clone());
            go!({
                let guard = theirs.0.lock();
                waits.send(());
                let guard = theirs.1.wait(guard);
                woken.send(i);
                drop(guard);
            });
            running.recv();
            drop(pair.0.lock()); // it waits as soon as this can be had
            if i > 0 {
                assert!(awake.is_empty(), "nobody was notified");
                pair.1.notify_one();
                assert_eq!(awake.recv(), Some(i - 1));
            }
        }
        assert!(awake.is_empty(), "nobody was notified");
        pair.1.notify_one();
        assert_eq!(awake.recv(), Some(N - 1));
    });
}

/// Many wait again as soon as they are woken: each broadcast wakes each of them once.
#[test]
fn a_broadcast_wakes_each_waiter_once_round_after_round() {
    const N: usize = 100;
    rt(|| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let (waits, awake) = (Chan::new(N), Chan::new(N));
        let gs: Vec<_> = (0..N)
            .map(|i| {
                let (pair, waits, awake) = (pair.clone(), waits.clone(), awake.clone());
                spawn(move || {
                    let mut over = pair.0.lock();
                    while !*over {
                        waits.send(());
                        over = pair.1.wait(over);
                        awake.send(i);
                    }
                })
            })
            .collect();
        for round in 0..N {
            (0..N).for_each(|_| waits.recv().unwrap());
            assert!(awake.is_empty(), "nobody was notified");
            // Said under the lock: those who said that they wait do so by now.
            *pair.0.lock() = round == N - 1;
            pair.1.notify_all();
            let mut woken: Vec<usize> = (0..N).map(|_| awake.recv().unwrap()).collect();
            woken.sort_unstable();
            assert!(woken.into_iter().eq(0..N), "each once");
        }
        gs.into_iter().for_each(|g| g.join().unwrap());
        assert!(waits.is_empty());
        pair.1.notify_all(); // nobody is left
    });
}

/// A broadcast, and another who begins to wait, race: the one who waited before gets its notification in any case.
#[test]
fn a_notification_is_not_stolen_by_who_comes_later() {
    rt(|| {
        for round in 0..if cfg!(debug_assertions) { 300 } else { 1_000 } {
            let pair = Arc::new((Mutex::new(false), Condvar::new()));
            let c = Chan::new(0);
            let (theirs, told) = (pair.clone(), c.clone());
            go!({
                let guard = theirs.0.lock();
                told.send(());
                drop(theirs.1.wait(guard));
                told.send(());
            });
            c.recv();
            drop(pair.0.lock()); // it waits
            let theirs = pair.clone();
            go!({
                if round % 2 == 0 {
                    theirs.1.notify_all();
                } else {
                    theirs.1.notify_one();
                }
            });
            let theirs = pair.clone();
            let late = spawn(move || drop(theirs.1.wait_while(theirs.0.lock(), |done| !*done)));
            assert!(select! { recv(c) -> _ => true, default(patience()) => false }, "it was stolen");
            *pair.0.lock() = true;
            pair.1.notify_all();
            late.join().unwrap();
        }
    });
}

/// Sixteen meet by two groups: all have come before one waits, and none goes before the last `done`; again and again.
#[test]
fn two_groups_make_a_barrier() {
    const N: usize = 16;
    rt(|| {
        let (come, leave) = (WaitGroup::new(), WaitGroup::new());
        for _ in 0..50 {
            come.add(N as isize);
            leave.add(N as isize);
            let gone = Chan::new(N);
            for _ in 0..N {
                let (come, leave, gone) = (come.clone(), leave.clone(), gone.clone());
                go!({
                    come.done();
                    leave.wait();
                    gone.send(());
                });
            }
            come.wait();
            for _ in 0..N {
                assert!(gone.is_empty(), "let go too soon");
                leave.done();
            }
            (0..N).for_each(|_| gone.recv().unwrap());
        }
    });
}

/// `go` of a group: what it did is seen after `wait`, and a group that is busy can be given more by its members.
#[test]
fn what_a_group_started_has_ended_after_wait() {
    rt(|| {
        for _ in 0..200 {
            let (wg, n) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
            for _ in 0..4 {
                let (more, theirs) = (wg.clone(), n.clone());
                wg.go(move || {
                    let again = theirs.clone();
                    more.go(move || _ = again.fetch_add(1, Relaxed));
                    theirs.fetch_add(1, Relaxed);
                });
            }
            wg.wait();
            assert_eq!(n.load(Relaxed), 8);
        }
    });
}

/// An initialisation that ends by `goexit` is not made a second time by a `Once`, is made by the next one at a `OnceLock`,
/// and a lazy value stays broken. Whoever waits is let go.
#[test]
fn an_initialisation_that_ends_by_goexit() {
    rt(|| {
        for _ in 0..50 {
            let (once, inside) = (Arc::new(Once::new()), Chan::<()>::new(0));
            let (theirs, told) = (once.clone(), inside.clone());
            let exits = spawn(move || {
                theirs.call_once(|| {
                    told.send(());
                    yield_now();
                    goexit()
                })
            });
            inside.recv();
            let theirs = once.clone();
            let waits = spawn(move || theirs.call_once(|| unreachable!("a second time")));
            once.wait();
            waits.join().unwrap();
            assert!(exits.join().is_err() && once.is_completed());

            let cell = Arc::new(OnceLock::new());
            let (theirs, told) = (cell.clone(), inside.clone());
            let exits = spawn(move || {
                theirs.get_or_init(|| {
                    told.send(());
                    yield_now();
                    goexit()
                });
            });
            inside.recv();
            assert_eq!(cell.get_or_init(|| 5), &5);
            assert!(exits.join().is_err());

            let runs = Arc::new(AtomicUsize::new(0));
            let count = runs.clone();
            let lazy = Arc::new(LazyLock::new(move || -> u8 {
                count.fetch_add(1, SeqCst);
                goexit()
            }));
            for _ in 0..2 {
                let theirs = lazy.clone();
                assert!(spawn(move || **theirs).join().is_err());
            }
            assert_eq!(runs.load(SeqCst), 1);
        }
    });
}

/// What the closure of a lazy value holds is kept until it is called, and no longer, also where the call panics.
#[test]
fn the_closure_of_a_lazy_value_goes_with_its_call() {
    rt(|| {
        for panics in [false, true] {
            let (held, runs) = (Arc::new(()), AtomicUsize::new(0));
            let theirs = held.clone();
            let lazy = LazyLock::new(|| {
                let _gone_with_the_call = theirs;
                runs.fetch_add(1, SeqCst);
                if panics {
                    resume_unwind(Box::new("planned"));
                }
                7
            });
            assert_eq!(Arc::strong_count(&held), 2, "kept until the call");
            for _ in 0..2 {
                let got = catch_unwind(AssertUnwindSafe(|| *lazy)).ok();
                assert_eq!(got, (!panics).then_some(7));
                assert_eq!(Arc::strong_count(&held), 1, "gone with the call, though the value stays");
            }
            assert_eq!(runs.load(SeqCst), 1);
            drop(lazy);
        }
    });
}

/// One that waits for many permits gives up: those behind it, who ask for few, are let through.
#[test]
fn who_stands_behind_a_large_taker_that_gives_up_is_let_through() {
    rt(|| {
        for _ in 0..100 {
            let sem = Arc::new(Semaphore::new(10));
            let _one = sem.acquire();
            let theirs = sem.clone();
            let large = spawn(move || theirs.acquire_many_timeout(10, 500 * US).is_some());
            // It waits as soon as a small one is refused.
            eventually("it waits, or has given up", || large.is_finished() || sem.try_acquire().is_none());
            let behind = sem.acquire_timeout(patience());
            assert!(behind.is_some(), "it stands behind nobody any more");
            assert!(!large.join().unwrap(), "there were never ten");
            drop(behind);
            assert_eq!(sem.available_permits(), 9);
            // Nothing is asked for, so nothing is waited for.
            drop(sem.acquire_many(0));
        }
    });
}
