//! `Barrier` from outside, on plain threads.

use gosched_runtime::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn generations_do_not_mix_and_each_has_one_leader() {
    for n in [2, 3, 5, 8] {
        const ROUNDS: usize = 300;
        let (barrier, came, leaders) = (Barrier::new(n), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|s| {
            for _ in 0..n {
                s.spawn(|| {
                    for round in 1..=ROUNDS {
                        came.fetch_add(1, Ordering::Relaxed);
                        let leads = barrier.wait().is_leader();
                        // All of this round have come, and nobody can be two rounds ahead.
                        let came = came.load(Ordering::Relaxed);
                        assert!(
                            (round * n..(round + 1) * n).contains(&came),
                            "{came} of {n} in round {round}"
                        );
                        leaders.fetch_add(usize::from(leads), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(leaders.into_inner(), ROUNDS);
    }
}

#[test]
fn nobody_waits_where_one_or_none_is_enough() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        for _ in 0..3 {
            assert!(barrier.wait().is_leader());
        }
    }
}

#[test]
fn what_is_shown() {
    let barrier = Barrier::new(1);
    assert_eq!(format!("{barrier:?}"), "Barrier { .. }");
    assert_eq!(format!("{:?}", barrier.wait()), "BarrierWaitResult { is_leader: true }");
}
