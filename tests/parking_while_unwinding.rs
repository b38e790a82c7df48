//! A destructor that runs while a panic unwinds its goroutine may wait like any other code, at every primitive there is;
//! and meanwhile no other goroutine finds itself on a panicking thread. (std counts panics per thread, so whoever unwinds
//! must keep its thread to itself.)
//!
//! Each test does the same thing `GOSCHED_REPEAT` times (20, unless said otherwise), with 8 Ps (unless `GOMAXPROCS` says
//! otherwise). Channels are in `parking_while_unwinding_chan.rs`, sockets in `parking_while_unwinding_net.rs`.

mod common;
mod unwinding;
use unwinding::*;

use gosched::chan::{Chan, after, tick};
use gosched::sync::{Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use gosched::{go, goid, lock_os_thread, scope, spawn, syscall, time, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, panicking};
use std::time::{Duration, Instant};

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);
const SHORT: Duration = Duration::from_micros(300);

// Time, and giving way.

#[test]
fn timer_channels() {
    every_way(|_| {
        Case::alone(|| {
            assert!(after(SHORT).recv().is_some());
            let ticks = tick(SHORT);
            assert!(ticks.recv() < ticks.recv());
        })
    });
}

#[test]
fn sleeping() {
    every_way(|_| {
        Case::alone(|| {
            let t = Instant::now();
            time::sleep(SHORT);
            time::sleep_until(t + 2 * SHORT);
            assert!(t.elapsed() >= 2 * SHORT);
        })
    });
}

#[test]
fn yielding() {
    every_way(|_| Case::alone(|| (0..10).for_each(|_| yield_now())));
}

// Locks and the like.

#[test]
fn mutex() {
    every_way(|i| {
        let m = Arc::new(Mutex::new(0));
        let m2 = m.clone();
        let held = hold(move |here| {
            let mut v = m2.lock();
            here();
            *v = i;
        });
        Case::new(move || assert_eq!(*m.lock(), i), move || held.release())
    });
}

#[test]
fn rwlock() {
    every_way(|i| {
        let l = Arc::new(RwLock::new(0));
        let l2 = l.clone();
        // Readers wait for a writer, a writer for readers.
        let held = hold(move |here| {
            if i % 2 == 0 {
                let mut v = l2.write();
                here();
                *v = i;
            } else {
                let v = l2.read();
                here();
                assert_eq!(*v, 0);
            }
        });
        let waits = move || match i % 2 {
            0 => assert_eq!(*l.read(), i),
            _ => *l.write() = i,
        };
        Case::new(waits, move || held.release())
    });
}

#[test]
fn condvar() {
    every_way(|i| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let pair2 = pair.clone();
        Case::new(
            move || {
                let (m, c) = &*pair;
                match i % 2 {
                    0 => drop(c.wait_while(m.lock(), |set| !*set)),
                    _ => assert!(!c.wait_timeout_while(m.lock(), LONG, |set| !*set).1.timed_out()),
                }
                assert!(*m.lock());
            },
            move || {
                *pair2.0.lock() = true;
                pair2.1.notify_one();
            },
        )
    });
}

#[test]
fn condvar_that_times_out() {
    every_way(|_| {
        let (m, c) = (Mutex::new(()), Condvar::new());
        Case::alone(move || assert!(c.wait_timeout(m.lock(), SHORT).1.timed_out()))
    });
}

#[test]
fn wait_group() {
    every_way(|_| {
        let wg = WaitGroup::new();
        wg.add(2);
        let wg2 = wg.clone();
        Case::new(
            move || wg.wait(),
            move || {
                wg2.done();
                yield_now();
                wg2.done();
            },
        )
    });
}

#[test]
fn once() {
    every_way(|i| {
        let once = Arc::new(Once::new());
        let once2 = once.clone();
        let held = hold(move |here| once2.call_once(here));
        let waits = move || match i % 2 {
            0 => once.call_once(|| unreachable!()),
            _ => once.wait(),
        };
        Case::new(waits, move || held.release())
    });
}

#[test]
fn once_lock() {
    every_way(|i| {
        let cell = Arc::new(OnceLock::new());
        let cell2 = cell.clone();
        let held = hold(move |here| {
            cell2.get_or_init(|| {
                here();
                i
            });
        });
        let waits = move || match i % 2 {
            0 => assert_eq!(*cell.get_or_init(|| unreachable!()), i),
            _ => assert_eq!(*cell.wait(), i),
        };
        Case::new(waits, move || held.release())
    });
}

#[test]
fn an_initialisation_of_its_own_that_waits() {
    every_way(|i| {
        let (cell, ch) = (OnceLock::new(), Chan::new(0));
        let s = ch.sender();
        Case::new(move || assert_eq!(*cell.get_or_init(|| ch.recv()), Some(i)), move || s.send(i))
    });
}

#[test]
fn barrier() {
    every_way(|_| {
        let b = Arc::new(Barrier::new(2));
        let b2 = b.clone();
        let reach = |b: Arc<Barrier>| {
            move || {
                b.wait();
            }
        };
        Case::new(reach(b), reach(b2))
    });
}

#[test]
fn semaphore() {
    every_way(|i| {
        let s = Arc::new(Semaphore::new(1));
        let s2 = s.clone();
        let waits = move || match i % 3 {
            0 => drop(s.acquire_many(2)),
            1 => assert!(s.acquire_many_timeout(2, LONG).is_some()),
            _ => assert!(s.acquire_many_timeout(3, SHORT).is_none()),
        };
        Case::new(waits, move || s2.add_permits(1))
    });
}

// Other goroutines.

#[test]
fn join() {
    every_way(|i| {
        let held = hold(|here| here());
        let h = spawn(move || {
            held.release();
            yield_now();
            assert!(!panicking());
            i
        });
        Case::alone(move || {
            assert_eq!(h.join().unwrap(), i);
            assert!(!spawn(panicking).join().unwrap());
        })
    });
}

#[test]
fn join_of_one_that_panics_itself() {
    every_way(|_| Case::alone(|| assert!(spawn(|| unwind(0)).join().is_err())));
}

#[test]
fn scope_of_borrowers() {
    every_way(|_| {
        Case::alone(|| {
            let mut seen = [true; 3];
            scope(|s| {
                for panics in &mut seen {
                    s.spawn(|| {
                        yield_now();
                        *panics = panicking();
                    });
                }
            });
            assert_eq!(seen, [false; 3]);
        })
    });
}

#[test]
fn run_inside() {
    every_way(|i| {
        // SAFETY: no goroutine of these tests holds a value tied to a thread across a call that parks.
        let inner = move || unsafe { gosched::run(|| (i, panicking())) };
        Case::alone(move || assert_eq!(inner(), (i, false)))
    });
}

// Threads.

#[test]
fn syscalls() {
    every_way(|_| Case::alone(|| (0..3).for_each(|_| syscall(|| thread::sleep(SHORT)))));
}

#[test]
fn blocking_unannounced_then_parking() {
    every_way(|i| {
        let ch = Chan::new(0);
        let s = ch.sender();
        let waits = move || {
            // Long enough to lose the P.
            thread::sleep(Duration::from_millis(15));
            assert_eq!(ch.recv(), Some(i));
        };
        Case::new(waits, move || s.send(i))
    });
}

#[test]
fn locking_to_the_thread() {
    every_way(|_| {
        Case::alone(|| {
            let outer = lock_os_thread();
            yield_now();
            let inner = lock_os_thread();
            time::sleep(SHORT);
            drop(outer);
            yield_now();
            drop(inner);
            yield_now();
        })
    });
}

// Panics within panics.

#[test]
fn a_second_panic_that_is_caught_inside() {
    every_way(|i| {
        let waits = move || {
            let inner = catch_unwind(AssertUnwindSafe(|| {
                let _parks = finally(|| {
                    yield_now();
                    time::sleep(SHORT);
                });
                unwind(i);
            }));
            assert!(inner.is_err());
            // One panic is over, the other is not.
            assert!(panicking());
            yield_now();
        };
        Case::alone(waits)
    });
}

#[test]
fn many_destructors_in_a_row() {
    every_way(|i| {
        let ch = Chan::new(0);
        let (s, me) = (ch.sender(), goid());
        let waits = move || {
            assert_ne!(goid(), me);
            // Dropped in a row; one is started in each.
            let _all: Vec<_> = (0..5)
                .map(|k| {
                    let ch = ch.clone();
                    finally(move || {
                        let s = ch.sender();
                        go(move || s.send(k));
                        assert!(ch.recv().is_some());
                    })
                })
                .collect();
            assert_eq!(ch.recv(), Some(i));
        };
        Case::new(waits, move || s.send(i))
    });
}
