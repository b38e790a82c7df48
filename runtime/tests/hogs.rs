//! What `debug::stats` says of those who wait for a processor, and of those who keep it for too long.
use gosched_runtime::{Builder, debug, goid, run, set_gomaxprocs, spawn, yield_now};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One at a time: they look at numbers of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn on_one_p<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of this file holds a borrow of a thread-local across a park.
    unsafe {
        run(|| {
            let before = set_gomaxprocs(1);
            yield_now(); // off a P that is one too many
            let r = f();
            set_gomaxprocs(before);
            r
        })
    }
}

#[test]
fn one_turn_in_32_is_measured() {
    let _one = alone();
    on_one_p(|| {
        let before = debug::stats().latencies;
        (0..32_000).for_each(|_| yield_now());
        let after = debug::stats().latencies;
        let n = after.count() - before.count();
        // Of ours exactly so many; what runs beside is little.
        assert!((1000..1100).contains(&n), "{n}");
        assert!(after.sum() > before.sum());
        let at_most = after.quantile(1.0).unwrap();
        assert!(
            after.quantile(0.0).unwrap() <= at_most && at_most < Duration::from_secs(3600),
            "{at_most:?}"
        );
    });
}

#[test]
fn who_waits_behind_others_has_waited() {
    let _one = alone();
    /// How long each has the processor, at least.
    const RUNS: Duration = Duration::from_micros(500);
    on_one_p(|| {
        let waited = || {
            let l = debug::stats().latencies;
            l.buckets().filter(|(bound, _)| *bound > 4 * RUNS).map(|(_, n)| n).sum::<u64>()
        };
        let before = waited();
        let work = || {
            for _ in 0..64 {
                let until = Instant::now() + RUNS;
                while Instant::now() < until {
                    spin_loop();
                }
                yield_now();
            }
        };
        let all: Vec<_> = (0..16).map(|_| spawn(work)).collect();
        all.into_iter().for_each(|h| h.join().unwrap());
        // Each waited for the fifteen others, 64 times: two of these were measured, one of them not among the last, when
        // others have ended.
        let n = waited() - before;
        assert!(n >= 16, "{n}");
    });
}

#[test]
fn a_hog_is_named() {
    let _one = alone();
    on_one_p(|| {
        let line = line!() + 1;
        let hog = |done: Arc<AtomicBool>| {
            move || {
                // There is one P, and who ends this needs it.
                while !done.load(Ordering::Relaxed) {
                    spin_loop();
                }
                goid().unwrap()
            }
        };
        let before = debug::stats().retakes;
        // A P that is one too many may still be on its way out, and run the hog.
        let (seen, s) = (0..1000)
            .find_map(|_| {
                let done = Arc::new(AtomicBool::new(false));
                let hog = Builder::new().name("hog".into()).spawn(hog(done.clone()));
                yield_now(); // it runs; and this one comes back when its P has been taken
                done.store(true, Ordering::Relaxed);
                let id = hog.unwrap().join().unwrap();
                let s = debug::stats();
                Some((s.hogs.iter().find(|h| h.id == id)?.clone(), s))
            })
            .expect("one of them has been seen");
        assert!(s.retakes > before);
        let at = seen.started_at.unwrap();
        assert!(at.file().ends_with("hogs.rs") && (line..line + 20).contains(&at.line()), "{at}");
        assert!(seen.ran >= Duration::from_micros(100), "{seen:?}");
        assert!(s.hogs.len() <= 16);
    });
}
