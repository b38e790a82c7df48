//! `after_func`: called once, in a goroutine, and not early; stopped and set anew from everywhere.

mod common;
use common::*;

use gosched::chan::{Chan, TryRecvError, select};
use gosched::time::{self, Timer, after_func};
use gosched::{go, goid, spawn, yield_now};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A counter, and a function that counts.
fn counter() -> (Arc<AtomicUsize>, impl Fn() + Clone + Send + 'static) {
    let n = Arc::new(AtomicUsize::new(0));
    let theirs = n.clone();
    let count = move || {
        theirs.fetch_add(1, SeqCst);
    };
    (n, count)
}

#[test]
fn it_is_called_once_in_a_goroutine_of_its_own_and_not_early() {
    rt(|| {
        for d in [Duration::ZERO, Duration::from_nanos(1), MS, 7 * MS] {
            let (c, start) = (Chan::new(1), Instant::now());
            let theirs = c.clone();
            let t = after_func(d, move || theirs.send((goid(), Instant::now())));
            let (id, at) = c.recv().unwrap();
            assert!(at >= start + d);
            assert!(id.is_some() && id != goid());
            assert!(!t.stop() && !t.reset(Duration::ZERO));
            settle();
            assert!(c.is_empty(), "once");
        }
    });
}

#[test]
fn a_function_may_park_and_start_the_next_timer() {
    fn chain(left: u32, c: Chan<u32>) {
        after_func(50 * US, move || {
            time::sleep(20 * US);
            match left {
                0 => c.send(0),
                _ => chain(left - 1, c),
            }
        });
    }
    rt(|| {
        let c = Chan::new(0);
        (0..10).for_each(|_| chain(30, c.clone()));
        assert_eq!((0..10).filter_map(|_| c.recv()).count(), 10);
    });
}

#[test]
fn stop_says_whether_the_call_was_still_to_come() {
    rt(|| {
        let (n, f) = counter();
        let t = after_func(HOUR, f.clone());
        assert_eq!((t.stop(), t.stop()), (true, false));
        let t = after_func(5 * MS, f);
        assert!(t.stop() || n.load(SeqCst) == 1);
        let before = n.load(SeqCst);
        time::sleep(15 * MS);
        assert_eq!(n.load(SeqCst), before, "what was stopped is not called");
    });
}

#[test]
fn reset_says_whether_the_call_was_still_to_come() {
    rt(|| {
        let (n, f) = counter();
        let t = after_func(HOUR, f.clone());
        let start = Instant::now();
        assert!(t.reset(4 * MS), "it was set");
        eventually("the call", || n.load(SeqCst) == 1);
        assert!(start.elapsed() >= 4 * MS);
        assert!(!t.reset(Duration::ZERO), "it has been called");
        settle();
        assert_eq!(n.load(SeqCst), 1, "and is not called again");

        let t = after_func(HOUR, f);
        assert!(t.stop());
        assert!(!t.reset(MS), "it was stopped");
        eventually("the second call", || n.load(SeqCst) == 2);
    });
}

#[test]
fn a_timer_that_is_put_off_again_and_again_is_called_after_the_last_time() {
    rt(|| {
        let (c, theirs) = {
            let c = Chan::new(1);
            (c.clone(), c)
        };
        let t = after_func(HOUR, move || theirs.send(Instant::now()));
        let mut last = Instant::now();
        for _ in 0..200 {
            last = Instant::now();
            assert!(t.reset(HOUR));
        }
        assert!(t.reset(3 * MS));
        assert!(c.recv().unwrap() >= last + 3 * MS);
    });
}

#[test]
fn the_far_future_is_set_and_never_comes() {
    rt(|| {
        let (n, f) = counter();
        for d in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
            let t = after_func(d, f.clone());
            assert!(t.reset(d) && t.stop() && !t.reset(d));
            settle();
            assert_eq!(n.load(SeqCst), 0);
            assert!(t.reset(Duration::ZERO));
            eventually("the call", || n.swap(0, SeqCst) == 1);
        }
    });
}

#[test]
fn the_receiver_of_a_function_timer_is_nil() {
    rt(|| {
        let t = after_func(Duration::ZERO, || ());
        settle();
        assert!(t.receiver().is_nil());
        assert_eq!(t.receiver().try_recv(), Err(TryRecvError::Empty));
        assert!(select! { recv(t.receiver()) -> _ => false, default(MS) => true });
    });
}

#[test]
fn dropping_the_handle_lets_it_run_unless_it_was_stopped() {
    rt(|| {
        let (c, held) = (Chan::new(1), Arc::new(()));
        let (theirs, holds) = (c.clone(), held.clone());
        drop(after_func(MS, move || {
            drop(holds);
            theirs.send(())
        }));
        assert_eq!(c.recv(), Some(()));

        for d in [HOUR, Duration::MAX, Duration::ZERO] {
            let theirs = held.clone();
            let t = after_func(d, move || drop(theirs));
            t.stop();
            drop(t);
            eventually("its function is dropped", || Arc::strong_count(&held) == 1);
        }
        let theirs = held.clone();
        drop(after_func(Duration::MAX, move || drop(theirs)));
        assert_eq!(Arc::strong_count(&held), 1, "it would never be called");
    });
}

#[test]
fn what_a_function_captures_is_dropped_once_and_on_no_scheduler_stack() {
    /// Its destructor parks: possible on a goroutine only (or on a plain thread).
    struct Parks(Counted, Arc<AtomicUsize>);
    impl Drop for Parks {
        fn drop(&mut self) {
            assert!(goid().is_some());
            yield_now();
            self.1.fetch_add(1, SeqCst);
            let _ = &self.0;
        }
    }
    rt(|| {
        let (census, dropped) = (Census::default(), Arc::new(AtomicUsize::new(0)));
        let mut rng = Rng(7);
        for i in 0..2000 {
            let parks = Parks(census.make(i), dropped.clone());
            let t = after_func(rng.below(40) as u32 * US, move || drop(parks));
            for _ in 0..rng.below(4) {
                match rng.below(3) {
                    0 => _ = t.stop(),
                    1 => _ = t.reset(rng.below(30) as u32 * US),
                    _ => yield_now(),
                }
            }
        }
        eventually("all are dropped", || census.alive() == 0 && dropped.load(SeqCst) == census.made());
    });
}

#[test]
fn a_stop_and_the_call_agree() {
    rt(|| {
        let mut rng = Rng(3);
        for _ in 0..3000 {
            let (n, f) = counter();
            let t = after_func(rng.below(25) as u32 * US, f);
            for _ in 0..rng.below(30) {
                std::hint::spin_loop();
            }
            if rng.below(2) == 0 {
                yield_now();
            }
            if t.stop() {
                assert_eq!(n.load(SeqCst), 0);
                yield_now();
                assert_eq!(n.load(SeqCst), 0, "called though it was stopped");
                assert!(!t.reset(Duration::ZERO));
            }
            eventually("the call", || n.load(SeqCst) == 1);
        }
    });
}

/// A callback that has left the heap when its timer is put off comes too late: it must not be taken for the new time.
#[test]
fn what_is_put_off_at_the_last_moment_is_put_off() {
    rt(|| {
        let gs: Vec<_> = (0..3)
            .map(|i| {
                spawn(move || {
                    let mut rng = Rng(21 + i);
                    for _ in 0..300 {
                        let (n, f) = counter();
                        let t = after_func(HOUR, f);
                        for _ in 0..100 {
                            t.reset(Duration::ZERO);
                            for _ in 0..rng.below(200) {
                                std::hint::spin_loop();
                            }
                            if !t.reset(HOUR) {
                                break; // it has been called
                            }
                            for _ in 0..200 {
                                std::hint::spin_loop();
                            }
                            if rng.below(20) == 0 {
                                yield_now();
                            }
                            assert_eq!(n.load(SeqCst), 0, "called though it was put off");
                        }
                        if !t.stop() {
                            eventually("the call", || n.load(SeqCst) == 1);
                        }
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
    });
}

/// Many goroutines and threads set one timer anew and stop it: it is called at most once, and for certain when the last
/// word was a reset.
#[test]
fn resets_and_stops_from_everywhere_call_it_once() {
    rt(|| {
        for round in 0..100 {
            let (n, f) = counter();
            let t = Arc::new(after_func(HOUR, f));
            let work = move |t: Arc<Timer>, i: usize| {
                let mut rng = Rng((round * 10 + i + 1) as u64);
                for _ in 0..40 {
                    match rng.below(4) {
                        0 => _ = t.stop(),
                        1 => _ = t.reset(Duration::ZERO),
                        2 => _ = t.reset(rng.below(20) as u32 * US),
                        _ => _ = t.reset(HOUR),
                    }
                    if rng.below(5) == 0 {
                        yield_now();
                    }
                }
            };
            let gs: Vec<_> = (0..4)
                .map(|i| {
                    let t = t.clone();
                    spawn(move || work(t, i))
                })
                .collect();
            let foreign = {
                let t = t.clone();
                thread::spawn(move || work(t, 9))
            };
            gs.into_iter().for_each(|g| g.join().unwrap());
            foreign.join().unwrap();
            t.reset(Duration::ZERO);
            eventually("the call", || n.load(SeqCst) == 1);
            assert!(!t.stop() && !t.reset(Duration::ZERO));
            yield_now();
            assert_eq!(n.load(SeqCst), 1);
        }
    });
}

#[test]
fn one_of_many_stops_gets_it() {
    rt(|| {
        for _ in 0..200 {
            let (n, f) = counter();
            let t = Arc::new(after_func(20 * US, f));
            let gs: Vec<_> = (0..4)
                .map(|_| {
                    let t = t.clone();
                    spawn(move || t.stop() as usize)
                })
                .collect();
            let stopped: usize = gs.into_iter().map(|g| g.join().unwrap()).sum();
            assert!(stopped <= 1);
            eventually("the call, or none", || n.load(SeqCst) + stopped == 1);
        }
    });
}

#[test]
fn timers_are_started_by_many_goroutines_and_threads() {
    rt(|| {
        let (n, f) = counter();
        let many = move || {
            for i in 0..500u32 {
                let t = after_func(i % 50 * 10 * US, f.clone());
                if i % 5 == 0 && t.stop() {
                    f();
                }
            }
        };
        let gs: Vec<_> = (0..8).map(|_| spawn(many.clone())).collect();
        let ts: Vec<_> = (0..2).map(|_| thread::spawn(many.clone())).collect();
        gs.into_iter().for_each(|g| g.join().unwrap());
        ts.into_iter().for_each(|t| t.join().unwrap());
        eventually("all calls", || n.load(SeqCst) == 10 * 500);
    });
}

#[test]
fn an_earlier_timer_is_not_held_up_by_later_ones() {
    rt(|| {
        let later: Vec<Timer> = (0..1000).map(|i| after_func(HOUR + i * MS, || ())).collect();
        let (c, start) = (Chan::new(1), Instant::now());
        let theirs = c.clone();
        thread::spawn(move || drop(after_func(5 * MS, move || theirs.send(())))).join().unwrap();
        c.recv();
        assert!(start.elapsed() < patience() / 2);
        assert!(later.iter().rev().all(Timer::stop));
    });
}

#[test]
fn a_panic_in_a_function_ends_its_goroutine_alone() {
    rt(|| {
        let (n, f) = counter();
        let (begun, begin) = counter();
        let t = after_func(Duration::ZERO, move || {
            begin();
            panic::resume_unwind(Box::new("a planned panic"))
        });
        after_func(MS, f);
        // The two may be on different Ps, so in any order.
        eventually("both calls", || n.load(SeqCst) == 1 && begun.load(SeqCst) == 1);
        assert!(!t.stop());
    });
}

#[test]
fn a_goroutine_that_spins_does_not_hold_up_timers() {
    rt(|| {
        let (n, f) = counter();
        after_func(MS, f);
        let start = Instant::now();
        while n.load(SeqCst) == 0 {
            assert!(start.elapsed() < patience());
            std::hint::spin_loop();
        }
    });
}

#[test]
fn a_timer_whose_run_is_over_is_still_called() {
    let (n, f) = counter();
    rt(move || drop(after_func(20 * MS, f)));
    let start = Instant::now();
    while n.load(SeqCst) == 0 {
        assert!(start.elapsed() < patience());
        thread::sleep(MS);
    }
}

/// A million in debug builds would take its time.
const MANY: usize = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

#[test]
fn a_million_timers() {
    rt(|| {
        let (n, f) = counter();
        let far: Vec<Timer> = (0..MANY).map(|i| after_func(HOUR + i as u32 * US, f.clone())).collect();
        let goroutines = gosched::num_goroutine();
        assert!(goroutines < 10_000, "a pending timer has no goroutine: {goroutines}");
        let (called, wait_for) = (far.len() / 2, Chan::<()>::new(0));
        for (i, t) in far.iter().enumerate() {
            assert!(if i % 2 == 0 { t.reset((i % 1000) as u32 * US) } else { t.stop() });
        }
        let c = wait_for.clone();
        let n2 = n.clone();
        go(move || {
            eventually("all calls", || n2.load(SeqCst) == called);
            c.close();
        });
        wait_for.recv();
        assert!(far.iter().all(|t| !t.stop()));
    });
}

#[test]
fn its_goroutine_is_shown_as_started_where_the_timer_was_made() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    let all = unsafe {
        gosched::run(|| {
            let (stacks, told) = (gosched::chan::Chan::new(0), gosched::chan::Chan::new(0));
            let (theirs, stop) = (stacks.clone(), told.clone());
            gosched::time::after_func(std::time::Duration::ZERO, move || {
                theirs.send(gosched::debug::stacks());
                stop.recv();
            });
            let all: String = stacks.recv().unwrap();
            told.send(());
            all
        })
    };
    let own = all.split("\n\n").next().unwrap();
    assert!(own.contains("[running]:") && own.contains("created at tests/function_timers.rs"), "{own}");
}
