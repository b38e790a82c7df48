//! On one P, goroutines that wake each other through `runnext` hold up nobody: neither who stands in the ring behind them,
//! nor who stands in the global queue.

mod common;
use common::rt_with;

use gosched::chan::Chan;
use gosched::{Config, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Two that pass a value to and fro, and one that yields, so that new slices begin all the time and sysmon sees none that
/// is too long. A third is made runnable by one of the two: it stands in the ring, and must get its turn.
#[test]
fn a_pair_does_not_hold_up_the_ring() {
    const ENOUGH: usize = 1_000_000;
    rt_with(Config::new().procs(1), || {
        gosched::set_gomaxprocs(1);
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
