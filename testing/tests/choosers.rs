//! Choosers that do what they should not, and worlds beside the scheduler.
use gosched_chan::Chan;
use gosched_runtime::explore::{Chooser, Crossroads, End, Limits, run};
use gosched_runtime::{cheaprandn, go, goid, park, spawn, yield_now};
use gosched_testing::virtual_time;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

/// Asks for the time and for chance, starts goroutines, readies others and goes through points, while it is being asked.
struct Meddles {
    ch: Chan<u32>,
    asked: u64,
}

impl Meddles {
    fn meddle(&mut self) {
        self.asked += 1;
        let _ = park::now();
        assert!(cheaprandn(5) < 5);
        if goid().is_some() {
            // On a goroutine: it may do what any goroutine does.
            if self.asked.is_multiple_of(3) {
                go(yield_now);
            }
            let _ = self.ch.try_send(1);
            yield_now();
        }
    }
}

impl Chooser for Meddles {
    fn choose(&mut self, at: &Crossroads<'_>) -> Option<usize> {
        let ids = |at: &Crossroads<'_>| (0..at.runnable()).map(|i| at.id(i)).collect::<Vec<_>>();
        let before = ids(at);
        self.meddle();
        assert_eq!(ids(at), before, "what he chooses from stays as it is");
        Some(self.asked as usize % at.runnable())
    }
    fn pick(&mut self, n: u32) -> u32 {
        self.meddle();
        n - 1
    }
    fn late(&mut self) -> bool {
        self.meddle();
        self.asked.is_multiple_of(5)
    }
}

#[test]
fn a_chooser_may_do_what_it_chooses_about() {
    let ch = Chan::new(0);
    let theirs = ch.clone();
    let ran = thread::spawn(move || {
        let limits = Limits { leaks: true, ..Limits::default() };
        run(limits, &mut Meddles { ch, asked: 0 }, move || {
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let ch = theirs.clone();
                    spawn(move || (0..10).for_each(|_| ch.send(0)))
                })
                .collect();
            let mut zeroes = 0;
            while zeroes < 40 {
                zeroes += usize::from(theirs.recv() == Some(0));
                gosched_runtime::sleep(std::time::Duration::from_millis(1));
            }
            senders.into_iter().for_each(|s| s.join().unwrap());
        })
    });
    let ran = ran.join().unwrap();
    assert!(matches!(ran.end, End::Done), "{ran:?}");
    assert!(ran.steps > 40);
}

/// Panics at the n-th question.
struct Panics(u32);

impl Chooser for Panics {
    fn choose(&mut self, _: &Crossroads<'_>) -> Option<usize> {
        self.0 = self.0.checked_sub(1).expect("enough of this");
        Some(0)
    }
    fn pick(&mut self, _: u32) -> u32 {
        0
    }
}

#[test]
fn a_chooser_that_panics_ends_the_run() {
    for n in 0..30 {
        let seen = thread::spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| {
                run(Limits::default(), &mut Panics(n), || {
                    let others: Vec<_> = (0..3).map(|_| spawn(|| (0..3).for_each(|_| yield_now()))).collect();
                    others.into_iter().for_each(|o| o.join().unwrap());
                })
            }));
            // The thread is a plain one again.
            assert_eq!(goid(), None);
            let ch = Chan::new(1);
            ch.send(7);
            assert_eq!(ch.recv(), Some(7));
            match ran {
                Ok(ran) => !matches!(ran.end, End::Done),
                Err(_) => true,
            }
        });
        let panicked = seen.join().unwrap();
        assert!(panicked || n > 5, "question {n}");
        // And so are worlds: the next run is as ever.
        assert_eq!(thread::spawn(|| virtual_time(|| spawn(|| 5).join().unwrap())).join().unwrap(), 5);
    }
}

#[test]
fn goroutines_of_the_scheduler_are_served_by_an_exploration() {
    const N: u64 = 200;
    let (to_them, to_us) = (Chan::<u64>::new(0), Chan::<u64>::new(0));
    let (tx, rx) = mpsc::channel();
    let (a, b) = (to_them.clone(), to_us.clone());
    let real = thread::spawn(move || {
        // SAFETY: nothing here is tied to a thread while it parks.
        unsafe {
            gosched_runtime::run(move || {
                let echo = spawn(move || {
                    let before = thread::current().id();
                    tx.send(before).unwrap();
                    while let Some(v) = a.recv() {
                        b.send(v + 1);
                    }
                });
                echo.join().unwrap();
            });
        }
    });
    rx.recv().unwrap();
    // It is one of the scheduler's own: parked or not, it goes on there and is none of ours. For that it must not wait for
    // us alone, so we ask again and again instead of parking on what only it can do.
    thread::spawn(move || {
        virtual_time(move || {
            for n in 0..N {
                while to_them.try_send(n).is_err() {
                    thread::yield_now();
                }
                let got = loop {
                    match to_us.try_recv() {
                        Ok(v) => break v,
                        Err(_) => thread::yield_now(),
                    }
                };
                assert_eq!(got, n + 1);
                assert_eq!(gosched_runtime::num_goroutine(), 1, "it has not become ours");
            }
            to_them.close();
        });
    })
    .join()
    .unwrap();
    real.join().unwrap();
}
