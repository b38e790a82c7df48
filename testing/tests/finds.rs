//! The five kinds of bug that `explore` is for, each in a small program: it is found, and its seed shows it again each time.

use gosched_chan::{Chan, context, select};
use gosched_runtime::sync::{Condvar, Mutex, WaitGroup};
use gosched_runtime::{go, spawn, yield_now};
use gosched_testing::{Config, End, Failure, Strategy, try_explore, try_replay};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// The programs are found out by each of the ways to choose schedules, and a hundred replays of a hundred fail alike.
#[track_caller]
fn is_found(program: fn(), expected: fn(&End) -> bool) -> Failure {
    let strategies = [
        Strategy::Mixed,
        Strategy::Random,
        Strategy::Pct { depth: 3 },
        Strategy::Exhaustive { preemptions: 2 },
    ];
    let found = strategies.map(|s| {
        // Always the same schedules: this asks whether they find it, not how lucky they are.
        let config = Config::new().seed(1).strategy(s).iterations(50_000).max_steps(20_000);
        let failure = *try_explore(config, program).expect_err("not found");
        assert!(expected(&failure.end), "{s:?} found something else: {failure}");
        assert!(failure.replays, "{failure}");
        failure
    });
    for failure in &found {
        for _ in 0..100 {
            let again = try_replay(&failure.seed.to_string(), program).expect_err("it went well this time");
            assert_eq!(again.end, failure.end);
            assert_eq!(again.schedule, failure.schedule);
        }
    }
    let [first, ..] = found;
    first
}

/// The flag is looked at without the lock that the notifier holds: the notification may come between look and sleep.
fn lost_wake_up() {
    let shared = Arc::new((AtomicBool::new(false), Mutex::new(()), Condvar::new()));
    let theirs = shared.clone();
    go(move || {
        theirs.0.store(true, SeqCst);
        theirs.2.notify_one();
    });
    let (ready, m, cv) = &*shared;
    let mut guard = m.lock();
    while !ready.load(SeqCst) {
        guard = cv.wait(guard);
    }
}

/// Two locks, taken in different orders.
fn ab_ba() {
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let theirs = locks.clone();
    let other = spawn(move || {
        let _b = theirs.1.lock();
        let _a = theirs.0.lock();
    });
    {
        let _a = locks.0.lock();
        let _b = locks.1.lock();
    }
    other.join().unwrap();
}

/// Each worker closes the channel when it seems to be the last: two may think so, or one may still be sending.
fn unsynchronised_close() {
    let (results, left) = (Chan::new(2), Arc::new(AtomicUsize::new(2)));
    for n in 0..2 {
        let (results, left) = (results.clone(), left.clone());
        go(move || {
            if left.fetch_sub(1, SeqCst) == 1 {
                results.send(n);
                results.close();
            } else {
                results.send(n);
            }
        });
    }
    results.iter().for_each(drop);
}

/// Waits for an answer that a worker sends into `answer`, or for the end of the request, whichever comes first.
fn ask_and_give_up(answer: Chan<i32>) {
    let (ctx, cancel) = context::Context::background().with_cancel();
    let theirs = answer.clone();
    go(move || theirs.send(42));
    go(move || cancel.cancel());
    select! {
        recv(answer) -> v => assert_eq!(v, Some(42)),
        recv(ctx.done()) -> _ => {},
    }
}

/// The request gives up, and nobody takes what its worker has found.
fn leaked_goroutine() {
    ask_and_give_up(Chan::new(0));
}

/// A loop that looks at its mailbox with priority never comes to the case behind it while mail keeps coming.
fn select_starvation() {
    let (mail, stop) = (Chan::new(1), Chan::<()>::new(0));
    let (letters, quit) = (mail.clone(), stop.clone());
    let stopped = Arc::new(AtomicBool::new(false));
    let is_stopped = stopped.clone();
    go(move || {
        while !is_stopped.load(SeqCst) {
            let _ = letters.try_send(());
            yield_now();
        }
    });
    go(move || quit.close());
    for turn in 0.. {
        assert!(turn < 40, "starved: stop was asked for and not seen in 40 turns");
        select! {
            recv(mail) -> _ => { yield_now(); continue },
            default => {},
        }
        select! {
            recv(stop) -> _ => break,
            default => yield_now(),
        }
    }
    stopped.store(true, SeqCst);
}

#[test]
fn a_lost_wake_up() {
    let f = is_found(lost_wake_up, |end| matches!(end, End::Deadlock(_)));
    assert!(f.to_string().contains("sync.Cond.Wait"), "{f}");
}

#[test]
fn two_locks_in_two_orders() {
    let f = is_found(ab_ba, |end| matches!(end, End::Deadlock(_)));
    assert_eq!(
        f.to_string().matches("sync.Mutex.Lock").count(),
        4,
        "two in the schedule, two in the stacks: {f}"
    );
}

#[test]
fn a_close_that_nobody_has_ordered() {
    is_found(
        unsynchronised_close,
        |end| matches!(end, End::Panic(said) if said.contains("send on closed channel")),
    );
}

#[test]
fn a_goroutine_left_behind() {
    let f = is_found(leaked_goroutine, |end| matches!(end, End::Leak(_)));
    assert!(f.to_string().contains("chan send"), "{f}");
}

#[test]
fn a_case_that_starves() {
    is_found(select_starvation, |end| matches!(end, End::Panic(said) if said.contains("starved")));
}

/// The same programs as they should be: nothing is found.
#[test]
fn and_nothing_where_nothing_is_wrong() {
    fn wake_up() {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = shared.clone();
        go(move || {
            *theirs.0.lock() = true;
            theirs.1.notify_one();
        });
        drop(shared.1.wait_while(shared.0.lock(), |ready| !*ready));
    }
    fn ab_ab() {
        let locks = Arc::new((Mutex::new(()), Mutex::new(())));
        let take = |l: Arc<(Mutex<()>, Mutex<()>)>| {
            move || {
                let _a = l.0.lock();
                let _b = l.1.lock();
            }
        };
        let other = spawn(take(locks.clone()));
        take(locks)();
        other.join().unwrap();
    }
    fn close_by_one() {
        let (results, wg) = (Chan::new(0), WaitGroup::new());
        for n in 0..2 {
            let results = results.clone();
            wg.go(move || results.send(n));
        }
        let theirs = results.clone();
        go(move || {
            wg.wait();
            theirs.close();
        });
        assert_eq!(results.iter().sum::<i32>(), 1);
    }
    fn nobody_left() {
        ask_and_give_up(Chan::new(1)); // room for the answer that nobody takes
    }
    for program in [wake_up, ab_ab, close_by_one, nobody_left] {
        try_explore(Config::new().iterations(2000), program).unwrap_or_else(|f| panic!("{f}"));
        let all = Config::new().strategy(Strategy::Exhaustive { preemptions: 2 }).iterations(1_000_000);
        let report = try_explore(all, program).unwrap_or_else(|f| panic!("{f}"));
        assert!(report.exhausted, "{report:?}");
    }
}

#[test]
fn the_schedule_says_who_did_what_and_where() {
    let f = try_explore(Config::new().seed(1), ab_ba).unwrap_err();
    let text = f.to_string();
    for part in
        ["goroutine 1   Mutex lock #", "goroutine 2   Mutex lock #", "testing/tests/finds.rs:", "ab_ba"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // Less than three preemptions: the search by PCT and the bounded one give short ones.
    let f = try_explore(Config::new().strategy(Strategy::Exhaustive { preemptions: 1 }), ab_ba).unwrap_err();
    assert!(f.schedule.len() < 20, "{f}");
}

#[test]
fn timers_that_are_due_together_come_in_any_order() {
    let both = |first: usize| {
        move || {
            let order = Arc::new(Mutex::new(Vec::new()));
            let sleepers = [0, 1].map(|n| {
                let order = order.clone();
                spawn(move || {
                    gosched_runtime::sleep(Duration::from_secs(1));
                    order.lock().push(n);
                })
            });
            sleepers.into_iter().for_each(|s| s.join().unwrap());
            assert_ne!(order.lock()[0], first);
        }
    };
    for first in [0, 1] {
        assert!(try_explore(Config::new().seed(1), both(first)).is_err(), "{first} never came first");
    }
}
