//! Goroutines whose destructors wait while a panic unwinds them, and others that watch that nobody else is said to panic.
#![allow(dead_code)]

use crate::common::{eventually, rt};
use gosched::chan::Chan;
use gosched::{JoinHandle, goexit, set_gomaxprocs, spawn, time, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::thread::{self, ThreadId, panicking};
use std::time::Duration;

type Side = Box<dyn FnOnce() + Send>;

/// What a destructor waits for, and what ends that.
pub struct Case {
    waits: Side,
    wakes: Side,
}

impl Case {
    pub fn new(waits: impl FnOnce() + Send + 'static, wakes: impl FnOnce() + Send + 'static) -> Case {
        Case { waits: Box::new(waits), wakes: Box::new(wakes) }
    }

    /// A wait that ends by itself.
    pub fn alone(waits: impl FnOnce() + Send + 'static) -> Case {
        Case::new(waits, || ())
    }
}

/// Runs a function when dropped.
pub struct Finally<F: FnOnce()>(Option<F>);

pub fn finally<F: FnOnce()>(f: F) -> Finally<F> {
    Finally(Some(f))
}

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0.take().expect("dropped once")();
    }
}

/// The payload of the panics that are meant to be: nobody prints them.
struct Expected;

/// Begins to unwind, in one of the ways there are.
pub fn unwind(way: usize) -> ! {
    match way % 3 {
        0 => panic_any(Expected),
        1 => resume_unwind(Box::new(Expected)),
        _ => goexit(),
    }
}

/// The threads on which a destructor of ours runs now, while unwinding.
static UNWINDING: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());

fn unwinding() -> MutexGuard<'static, Vec<ThreadId>> {
    UNWINDING.lock().unwrap_or_else(|e| e.into_inner())
}

/// For everybody who does not panic.
#[track_caller]
fn assert_calm() {
    assert!(!panicking(), "it does not panic, but is said to");
    let me = thread::current().id();
    assert!(!unwinding().contains(&me), "it runs on the thread of one that unwinds");
}

/// A goroutine that has something until it is told to let go.
pub struct Held {
    release: Chan<()>,
    by: JoinHandle<()>,
}

/// Starts `f`, which takes something and then calls its argument, which returns when it is to be let go. Returns when
/// it has been taken.
pub fn hold(f: impl FnOnce(&dyn Fn()) + Send + 'static) -> Held {
    let (here, release) = (Arc::new(AtomicBool::new(false)), Chan::new(1));
    let (is_here, released) = (here.clone(), release.receiver());
    let by = spawn(move || {
        f(&|| {
            is_here.store(true, SeqCst);
            released.recv();
        });
        assert_calm();
    });
    eventually("it is held", || here.load(SeqCst));
    Held { release, by }
}

impl Held {
    pub fn release(self) {
        self.release.send(());
        self.by.join().unwrap();
    }
}

/// Panics that are meant to be are not printed.
fn silence_the_expected() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The scheduler sets a hook when it starts: this one goes before it.
        rt(|| ());
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Expected>() {
                previous(info);
            }
        }));
        if std::env::var_os("GOMAXPROCS").is_none() {
            set_gomaxprocs(8);
        }
    });
}

fn repetitions() -> usize {
    std::env::var("GOSCHED_REPEAT").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// What an unwinding goroutine does in its destructor.
fn destructor(waits: Side, entered: &AtomicBool, ended: &AtomicUsize) {
    assert!(panicking());
    let me = thread::current().id();
    unwinding().push(me);
    entered.store(true, SeqCst);
    waits();
    assert!(panicking(), "it unwinds, but is said not to");
    assert_eq!(thread::current().id(), me, "it has changed its thread while unwinding");
    unwinding().retain(|id| *id != me);
    ended.fetch_add(1, SeqCst);
}

/// One goroutine that unwinds, its `way`, and one that ends its wait.
fn unwinds(way: usize, delay: usize, case: Case, ended: &Arc<AtomicUsize>) -> [JoinHandle<()>; 2] {
    let Case { waits, wakes } = case;
    let (entered, ended) = (Arc::new(AtomicBool::new(false)), ended.clone());
    let has_entered = entered.clone();
    let victim = spawn(move || {
        let panics = move || {
            let _waits = finally(move || destructor(waits, &entered, &ended));
            unwind(way);
        };
        if way < 3 {
            panics();
        }
        // The goroutine catches it, and is one like any other again.
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        for _ in 0..3 {
            assert_calm();
            yield_now();
        }
    });
    let waker = spawn(move || {
        eventually("the destructor runs", || has_entered.load(SeqCst));
        match delay {
            0 => {}
            1 => (0..5).for_each(|_| yield_now()),
            // Most likely it is parked by now. The test is right without.
            _ => time::sleep(Duration::from_millis(1)),
        }
        assert_calm();
        wakes();
        assert_calm();
    });
    [victim, waker]
}

/// Those who watch: they run, yield, sleep and pass values until told to stop.
fn watchers(stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let values = Chan::new(1);
    (0..4)
        .map(|i| {
            let (stop, values) = (stop.clone(), values.clone());
            spawn(move || {
                while !stop.load(SeqCst) {
                    assert_calm();
                    match i {
                        0 => time::sleep(Duration::from_micros(50)),
                        1 => yield_now(),
                        // In vain or not.
                        2 => drop(values.send_timeout(Box::new(i), Duration::from_millis(1))),
                        _ => drop(values.recv_timeout(Duration::from_millis(1))),
                    }
                }
            })
        })
        .collect()
}

/// Goroutines that unwind in every way (a panic, `resume_unwind`, `goexit`; caught by the goroutine or not) and wait,
/// in their destructors, as the cases say that `make` makes; several at once.
#[track_caller]
pub fn every_way(make: impl Fn(usize) -> Case + Send + 'static) {
    const AT_ONCE: usize = 4;
    silence_the_expected();
    rt(move || {
        let stop = Arc::new(AtomicBool::new(false));
        let watchers = watchers(&stop);
        let (ended, n) = (Arc::new(AtomicUsize::new(0)), repetitions());
        for first in (0..n).step_by(AT_ONCE) {
            // (The ways and delays change at another pace than what the cases make of `i`.)
            let start = |i| unwinds(i / 4 % 4, i / 2 % 3, make(i), &ended);
            let pairs: Vec<_> = (first..n.min(first + AT_ONCE)).map(|i| (i, start(i))).collect();
            for (i, [victim, waker]) in pairs {
                waker.join().unwrap_or_else(|e| resume_unwind(e));
                match victim.join() {
                    Err(e) if i / 4 % 4 == 3 => resume_unwind(e),
                    end => assert_eq!(end.is_err(), i / 4 % 4 < 3),
                }
            }
        }
        stop.store(true, SeqCst);
        watchers.into_iter().for_each(|w| w.join().unwrap_or_else(|e| resume_unwind(e)));
        assert_eq!(ended.load(SeqCst), n, "not every destructor came to its end");
    });
}
