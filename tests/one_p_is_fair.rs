//! On one P, goroutines that wake each other through `runnext` hold up nobody: neither who stands in the ring behind them,
//! nor who stands in the global queue, nor a timer.

mod common;
use common::*;

use gosched::chan::{Chan, select};
use gosched::time::{after, after_func};
use gosched::{Config, lock_os_thread, spawn, time, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// The tests share one P, and with another test's goroutines on it the shares would be other ones.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn on_one_p(f: impl FnOnce() + Send + 'static) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    rt_with(Config::new().procs(1), || {
        gosched::set_gomaxprocs(1);
        f();
    });
}

/// Two that pass a value to and fro, and one that yields, so that new slices begin all the time and sysmon sees none that
/// is too long. A third is made runnable by one of the two: it stands in the ring, and must get its turn.
#[test]
fn a_pair_does_not_hold_up_the_ring() {
    const ENOUGH: usize = 1_000_000;
    on_one_p(|| {
        for _ in 0..20 {
            let (ping, pong, start) = (Chan::new(0), Chan::new(0), Chan::new(0));
            let (over, had_its_turn) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let yields = spawn({
                let over = over.clone();
                move || (0..).take_while(|_| !over.load(SeqCst)).for_each(|_: u64| yield_now())
            });
            let third = spawn({
                let (start, had_its_turn) = (start.clone(), had_its_turn.clone());
                move || {
                    start.recv();
                    start.recv(); // parked here when the pair begins
                    had_its_turn.store(true, SeqCst);
                }
            });
            let partner = spawn({
                let (ping, pong) = (ping.clone(), pong.clone());
                move || ping.iter().for_each(|v: usize| pong.send(v))
            });
            start.send(());
            yield_now();
            let mut rounds = 0;
            while rounds < ENOUGH && !had_its_turn.load(SeqCst) {
                ping.send(rounds);
                pong.recv();
                rounds += 1;
                if rounds == 500 {
                    start.send(());
                }
            }
            over.store(true, SeqCst);
            ping.close();
            [yields, third, partner].into_iter().for_each(|g| g.join().unwrap());
            assert!(rounds < ENOUGH, "a pair of goroutines starved a third one for {rounds} rounds");
        }
    });
}

/// Two that keep each other runnable for ever: the goroutine of a function timer gets its turn, and so does who waits for
/// a timer in a `select!` whose other case is always ready.
#[test]
fn a_pair_does_not_hold_up_timers() {
    on_one_p(|| {
        for cap in [0, 1] {
            let (c, stop) = (Chan::new(cap), Arc::new(AtomicBool::new(false)));
            let (to, over) = (c.clone(), stop.clone());
            let sends = spawn(move || {
                while !over.load(SeqCst) {
                    to.send(());
                }
                to.close();
            });
            let from = c.clone();
            let takes = spawn(move || while from.recv().is_some() {});
            let over = stop.clone();
            after_func(Duration::from_micros(1), move || over.store(true, SeqCst));
            sends.join().unwrap();
            takes.join().unwrap();

            let (c, done) = (Chan::new(cap), Chan::<()>::new(0));
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (c, done) = (c.clone(), done.clone());
                    spawn(move || while select! { send(c, ()) => true, recv(done) -> _ => false } {})
                })
                .collect();
            let timer = after(10 * MS);
            while select! { recv(c) -> _ => true, recv(timer) -> _ => false } {}
            done.close();
            senders.into_iter().for_each(|s| s.join().unwrap());
        }
    });
}

/// Two, each of them always ready to meet the other, and each with a timer of its own.
#[test]
fn a_pair_does_not_hold_up_its_own_timers() {
    on_one_p(|| {
        let c = Chan::new(0);
        let gs: Vec<_> = (0..2)
            .map(|_| {
                let c = c.clone();
                spawn(move || {
                    let timer = after(10 * MS);
                    let mut met = 0;
                    while select! {
                        send(c, ()) => true,
                        recv(c) -> _ => true,
                        recv(timer) -> _ => false,
                    } {
                        met += 1;
                    }
                    met
                })
            })
            .collect();
        assert!(gs.into_iter().map(|g| g.join().unwrap()).sum::<usize>() > 0);
    });
}

/// One that polls and yields for ever, on any thread or locked to its own, is met by who sends to it.
#[test]
fn one_that_only_yields_is_met() {
    on_one_p(|| {
        for locked in [false, true] {
            let (c, ack) = (Chan::new(0), Chan::new(0));
            let (from, answers) = (c.clone(), ack.clone());
            let polls = spawn(move || {
                let _lock = locked.then(lock_os_thread);
                let me = std::thread::current().id();
                let mut left = 20;
                while left > 0 {
                    select! {
                        recv(from) -> v => {
                            answers.send(v.unwrap());
                            left -= 1;
                        }
                        default => yield_now(),
                    }
                    assert!(!locked || std::thread::current().id() == me);
                }
            });
            for i in 0..20 {
                if i % 4 == 0 {
                    time::sleep(MS);
                }
                c.send(i);
                assert_eq!(ack.recv(), Some(i));
            }
            polls.join().unwrap();
        }
    });
}
