//! Programs in which goroutines wait, and somebody can still wake them: none is reported. (Leaky ones: leaks.rs.)
//!
//! Each gets as far as where all of its goroutines wait, asks, and then runs to its end.
use gosched_chan::context::Context;
use gosched_chan::timer::{Ticker, Timer, after_func};
use gosched_chan::{Chan, Select, select};
use gosched_runtime::sync::{Condvar, Mutex, RwLock, Semaphore, WaitGroup};
use gosched_runtime::{
    Builder, debug, goroutine_local, num_goroutine, run, scope, spawn, syscall, yield_now,
};
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until so many goroutines are parked, and nobody but the caller runs; then there is no leak.
fn healthy(parked: usize) {
    until(|| {
        let s = debug::stats();
        s.waiting == parked && s.runnable == 0 && s.running == 1
    });
    debug::assert_no_leaks();
}

fn until(done: impl Fn() -> bool) {
    let late = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < late, "{:?}\n{}", debug::stats(), debug::stacks());
        yield_now();
    }
}

/// Starts a goroutine that receives once.
fn receiver(c: &Chan<u8>) {
    let c = c.clone();
    spawn(move || assert_eq!(c.recv(), Some(1)));
}

fn a_handle_of_mine() {
    let c = Chan::new(0);
    receiver(&c);
    healthy(1);
    c.send(1);
}

fn a_handle_that_only_sends() {
    let c = Chan::new(0);
    receiver(&c);
    let tx = c.sender();
    drop(c);
    healthy(1);
    tx.send(1);
}

fn one_handle_in_an_arc() {
    let c = Arc::new(Chan::new(0));
    let theirs = c.clone();
    spawn(move || assert_eq!(theirs.recv(), Some(1)));
    healthy(1);
    c.send(1);
}

fn a_handle_in_a_static() {
    static C: OnceLock<Chan<u8>> = OnceLock::new();
    receiver(C.get_or_init(|| Chan::new(0)));
    healthy(1);
    C.get().unwrap().send(1);
}

fn a_handle_in_a_buffer() {
    let (c, mail) = (Chan::new(0), Chan::new(1));
    receiver(&c);
    mail.send(c);
    healthy(1);
    mail.recv().unwrap().send(1);
}

fn a_handle_of_a_thread() {
    let (c, go) = (Chan::new(0), Arc::new(std::sync::Barrier::new(2)));
    receiver(&c);
    let at = go.clone();
    let t = thread::spawn(move || {
        at.wait();
        c.send(1);
    });
    healthy(1);
    go.wait();
    syscall(|| t.join().unwrap());
}

fn a_handle_of_a_goroutine_that_waits_for_something_else() {
    let (c, gate) = (Chan::new(0), Chan::new(0));
    receiver(&c);
    let shut = gate.clone();
    spawn(move || {
        shut.recv();
        c.send(1);
    });
    healthy(2);
    gate.send(1);
}

fn a_handle_of_a_sleeper() {
    let (c, wake) = (Chan::new(0), Chan::<u8>::new(0));
    receiver(&c);
    let asleep = wake.clone();
    spawn(move || {
        let _ = asleep.recv_timeout(HOUR);
        c.send(1);
    });
    healthy(2);
    wake.send(1);
}

fn lent_to_a_goroutine() {
    let gate = Chan::<u8>::new(0);
    let shut = gate.clone();
    spawn(move || {
        // One handle, of one goroutine, who waits by it: and another one borrows it.
        let c = Chan::new(0);
        scope(|s| {
            s.spawn(|| {
                shut.recv();
                c.send(1);
            });
            assert_eq!(c.recv(), Some(1));
        });
    });
    healthy(2);
    gate.send(1);
}

fn lent_to_a_thread() {
    let (go, over) = (Arc::new(std::sync::Barrier::new(2)), Chan::new(1));
    let (at, tx) = (go.clone(), over.sender());
    spawn(move || {
        let c = Chan::new(0);
        thread::scope(|s| {
            s.spawn(|| {
                at.wait();
                c.send(1);
            });
            assert_eq!(c.recv(), Some(1));
        });
        tx.send(());
    });
    healthy(1);
    go.wait();
    over.recv();
}

fn with_patience() {
    let (c, done) = (Chan::<u8>::new(0), Chan::<u8>::new(0));
    let mine = done.clone();
    spawn(move || {
        // Nobody else has `c`; time goes by all the same.
        select! { recv(c) -> _ => unreachable!(), recv(mine) -> _ => {}, default(HOUR) => {} }
    });
    healthy(1);
    done.send(1);
}

fn with_patience_and_alone() {
    let end = Instant::now() + Duration::from_millis(300);
    let parked = spawn(move || {
        let c = Chan::<u8>::new(0);
        assert!(c.recv_timeout(end - Instant::now()).is_err());
    });
    // It ends by itself; up to then it is no leak, whether it waits yet or not.
    while !parked.is_finished() {
        assert!(debug::leaks().is_empty());
        yield_now();
    }
}

fn the_clock_is_the_sender() {
    let (stop, timer) = (Chan::<u8>::new(0), Timer::new(HOUR));
    let mine = stop.clone();
    spawn(move || {
        let ticker = Ticker::new(HOUR);
        select! {
            recv(gosched_chan::after(HOUR)) -> _ => {},
            recv(ticker.receiver()) -> _ => {},
            recv(mine) -> _ => {},
        }
    });
    let rx = timer.receiver().clone();
    // A timer that is stopped may be set again.
    timer.stop();
    spawn(move || rx.recv());
    healthy(2);
    stop.send(1);
    timer.reset(Duration::ZERO);
}

fn a_context_that_can_be_cancelled() {
    let (ctx, cancel) = Context::background().with_cancel();
    spawn(move || {
        let c = Chan::<u8>::new(0);
        select! { recv(ctx.done()) -> _ => {}, recv(c) -> _ => unreachable!() }
    });
    healthy(1);
    cancel.cancel();
}

fn a_handle_in_a_function_to_come() {
    let c = Chan::new(0);
    receiver(&c);
    let timer = after_func(HOUR, move || c.send(1));
    healthy(1);
    timer.reset(Duration::ZERO);
    // It belongs to the function until that has run.
    until(|| num_goroutine() == 1);
}

goroutine_local! {
    static MINE: RefCell<Option<Chan<u8>>> = const { RefCell::new(None) };
}

fn a_handle_in_a_goroutine_local() {
    let (c, gate) = (Chan::new(0), Chan::<u8>::new(0));
    receiver(&c);
    let shut = gate.clone();
    spawn(move || {
        MINE.with(|mine| *mine.borrow_mut() = Some(c));
        shut.recv();
        let c = MINE.with(|mine| mine.borrow_mut().take());
        c.unwrap().send(1);
    });
    healthy(2);
    gate.send(1);
}

fn locks_and_their_like() {
    let (mutex, rw) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)));
    let (sem, pair) = (Arc::new(Semaphore::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
    let (held, written) = (mutex.lock(), rw.write());
    let (m, r, s, p) = (mutex.clone(), rw.clone(), sem.clone(), pair.clone());
    spawn(move || *m.lock() += 1);
    spawn(move || assert_eq!(*r.read(), 0));
    spawn(move || drop(s.acquire()));
    spawn(move || {
        let mut ready = p.0.lock();
        while !*ready {
            ready = p.1.wait(ready);
        }
    });
    healthy(4);
    drop((held, written));
    sem.add_permits(1);
    *pair.0.lock() = true;
    pair.1.notify_one();
}

fn a_lock_whose_owner_will_be_woken() {
    debug::watch_locks(true);
    let (lock, gate, taken) = (Arc::new(Mutex::new(0)), Chan::<u8>::new(0), Chan::new(1));
    let (theirs, shut, tx) = (lock.clone(), gate.clone(), taken.sender());
    spawn(move || {
        let _held = theirs.lock();
        tx.send(());
        shut.recv();
    });
    taken.recv();
    spawn(move || *lock.lock() += 1);
    healthy(2);
    gate.send(1);
    until(|| num_goroutine() == 1);
    debug::watch_locks(false);
}

fn locks_in_one_order() {
    debug::watch_locks(true);
    let before = debug::lock_cycles().len();
    let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let all = WaitGroup::new();
    for _ in 0..4 {
        let (a, b) = (a.clone(), b.clone());
        all.go(move || {
            for _ in 0..100 {
                let mut x = a.lock();
                yield_now();
                let mut y = b.lock();
                yield_now();
                (*x, *y) = (*x + 1, *y + 1);
            }
        });
    }
    all.wait();
    until(|| num_goroutine() == 1);
    assert_eq!((*a.lock(), *b.lock(), debug::lock_cycles().len()), (400, 400, before));
    debug::watch_locks(false);
}

fn a_group_with_work_left() {
    let (wg, gate) = (WaitGroup::new(), Chan::<u8>::new(0));
    wg.add(1);
    let (waits, works, shut) = (wg.clone(), wg.clone(), gate.clone());
    drop(wg);
    spawn(move || waits.wait());
    spawn(move || {
        shut.recv();
        works.done();
    });
    healthy(2);
    gate.send(1);
}

fn a_join_of_somebody_alive() {
    let gate = Chan::<u8>::new(0);
    let shut = gate.clone();
    let worker = spawn(move || shut.recv());
    spawn(move || worker.join().unwrap());
    healthy(2);
    gate.send(1);
}

fn workers_that_will_be_told() {
    let jobs = Chan::<u8>::new(0);
    for _ in 0..4 {
        let jobs = jobs.clone();
        spawn(move || jobs.into_iter().for_each(drop));
    }
    healthy(4);
    (0..8).for_each(|n| jobs.send(n));
    healthy(4);
    jobs.close();
}

fn a_list_of_which_one_can_be_served() {
    let (a, b, mine) = (Chan::<u8>::new(0), Chan::<u8>::new(0), Chan::<u8>::new(0));
    let served = a.clone();
    spawn(move || {
        let mut s = Select::new();
        s.recv(&mine);
        let served = s.recv(&a);
        s.send(&b);
        let op = s.select();
        assert_eq!((op.index(), op.recv(&a)), (served, Some(1)));
    });
    healthy(1);
    served.send(1);
}

fn a_chain_that_begins_here() {
    let first = Chan::new(0);
    let mut last = first.clone();
    for _ in 0..10 {
        let (from, to) = (last, Chan::new(0));
        last = to.clone();
        spawn(move || to.send(from.recv().unwrap()));
    }
    healthy(10);
    first.send(1);
    assert_eq!(last.recv(), Some(1));
}

/// More than one handle of one goroutine's, one of them in use.
fn who_can_help_himself_is_not_told_from_who_is_helped() {
    let c = Chan::<u8>::new(0);
    let (a, b) = (c.clone(), c.clone());
    let waiting = Builder::new().name("two handles".into()).spawn(move || (a.recv(), b.is_closed())).unwrap();
    healthy(1);
    c.send(1);
    assert_eq!(waiting.join().unwrap(), (Some(1), false));
}

#[test]
fn none_of_them_is_reported() {
    let programs: &[fn()] = &[
        a_handle_of_mine,
        a_handle_that_only_sends,
        one_handle_in_an_arc,
        a_handle_in_a_static,
        a_handle_in_a_buffer,
        a_handle_of_a_thread,
        a_handle_of_a_goroutine_that_waits_for_something_else,
        a_handle_of_a_sleeper,
        lent_to_a_goroutine,
        lent_to_a_thread,
        with_patience,
        with_patience_and_alone,
        the_clock_is_the_sender,
        a_context_that_can_be_cancelled,
        a_handle_in_a_function_to_come,
        a_handle_in_a_goroutine_local,
        locks_and_their_like,
        a_lock_whose_owner_will_be_woken,
        locks_in_one_order,
        a_group_with_work_left,
        a_join_of_somebody_alive,
        workers_that_will_be_told,
        a_list_of_which_one_can_be_served,
        a_chain_that_begins_here,
        who_can_help_himself_is_not_told_from_who_is_helped,
    ];
    // SAFETY: no goroutine of this file holds a borrow of a thread-local across a park.
    unsafe {
        run(|| {
            for program in programs {
                program();
                until(|| num_goroutine() == 1);
            }
        });
    }
}
