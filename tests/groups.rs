//! `Group`: the first error, the context, the limit, panics.

mod common;
use common::*;

use gosched::chan::Chan;
use gosched::context::{Context, ContextError};
use gosched::sync::Group;
use gosched::{Builder, goexit, scope, spawn, time, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;
use std::time::Duration;

const US: Duration = Duration::from_micros(1);

/// A planned panic that no hook reports.
fn planned(words: &'static str) -> ! {
    resume_unwind(Box::new(words))
}

fn panic_of<E: Send + std::fmt::Debug + 'static>(g: &Group<E>) -> String {
    message(catch_unwind(AssertUnwindSafe(|| g.wait())))
}

#[test]
fn the_first_error_wins() {
    rt(|| {
        let cases: [(&[Option<u8>], Option<u8>); 5] = [
            (&[], None),
            (&[None], None),
            (&[Some(1)], Some(1)),
            (&[None, Some(2)], Some(2)),
            (&[Some(1), None, Some(2)], Some(1)),
        ];
        for (errors, want) in cases {
            let g = Group::new();
            for e in errors.iter().copied() {
                let c = Chan::<()>::new(0);
                let ended = c.clone();
                g.go(move || {
                    ended.close();
                    e.map_or(Ok(()), Err)
                });
                c.recv(); // in this order
                settle();
            }
            assert_eq!(g.wait().err(), want);
            assert_eq!(g.wait(), Ok(()), "an error is given once");
        }
    });
}

#[test]
fn wait_waits_for_all_also_after_an_error() {
    rt(|| {
        for _ in 0..50 {
            let (g, n) = (Group::new(), Arc::new(AtomicUsize::new(0)));
            for i in 0..20 {
                let n = n.clone();
                g.go(move || {
                    time::sleep(i * 5 * US);
                    n.fetch_add(1, SeqCst);
                    if i == 3 { Err("three") } else { Ok(()) }
                });
            }
            assert_eq!((g.wait(), n.load(SeqCst)), (Err("three"), 20));
        }
    });
}

#[test]
fn the_context_is_cancelled_by_the_first_error() {
    rt(|| {
        let (parent, _cancel) = Context::background().with_value(4u8).with_cancel();
        let (g, ctx) = Group::with_context(&parent);
        assert_eq!((ctx.err(), ctx.value::<u8>()), (None, Some(&4)));
        for i in 0..10 {
            let ctx = ctx.clone();
            g.go(move || {
                if i == 5 {
                    return Err("five");
                }
                ctx.done().recv();
                Err("a consequence")
            });
        }
        assert_eq!(g.wait(), Err("five"));
        assert_eq!((ctx.err(), parent.err()), (Some(ContextError::Canceled), None));
    });
}

#[test]
fn the_context_is_cancelled_by_wait_and_by_its_parent() {
    rt(|| {
        let (g, ctx) = Group::<()>::with_context(&Context::background());
        g.go(|| Ok(()));
        assert_eq!((g.wait(), ctx.err()), (Ok(()), Some(ContextError::Canceled)));

        let (parent, cancel) = Context::background().with_cancel();
        let (g, ctx) = Group::with_context(&parent);
        for _ in 0..3 {
            let ctx = ctx.clone();
            g.go(move || {
                ctx.done().recv();
                Err(ctx.err().unwrap())
            });
        }
        settle();
        cancel.cancel();
        assert_eq!(g.wait(), Err(ContextError::Canceled));
    });
}

#[test]
fn no_more_run_than_the_limit_allows() {
    rt(|| {
        for limit in [1, 2, 5] {
            let g = Group::<()>::new();
            g.set_limit(limit);
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            for i in 0..100 {
                let (running, most) = (running.clone(), most.clone());
                g.go(move || {
                    let now = running.fetch_add(1, SeqCst) + 1;
                    most.fetch_max(now, SeqCst);
                    if i % 3 == 0 {
                        time::sleep(20 * US)
                    } else {
                        yield_now()
                    }
                    running.fetch_sub(1, SeqCst);
                    Ok(())
                });
            }
            g.wait().unwrap();
            assert!(most.load(SeqCst) <= limit, "{} ran, {limit} may", most.load(SeqCst));
        }
    });
}

#[test]
fn go_parks_at_the_limit_and_try_go_says_no() {
    rt(|| {
        let (g, c) = (Group::<()>::new(), Chan::<()>::new(0));
        g.set_limit(2);
        for _ in 0..2 {
            let c = c.clone();
            assert!(g.try_go(move || {
                c.recv();
                Ok(())
            }));
        }
        assert!(!g.try_go(|| unreachable!()));
        let (g2, started) = (g.clone(), Arc::new(AtomicUsize::new(0)));
        let count = started.clone();
        let parked = spawn(move || {
            g2.go(move || {
                count.fetch_add(1, SeqCst);
                Ok(())
            });
        });
        settle();
        assert!(!parked.is_finished() && started.load(SeqCst) == 0);
        c.send(());
        parked.join().unwrap();
        c.close();
        g.wait().unwrap();
        assert_eq!(started.load(SeqCst), 1);
        assert!(g.try_go(|| Ok(())));
        g.wait().unwrap();
    });
}

#[test]
fn the_limit_is_changed_between_and_not_while_members_run() {
    rt(|| {
        let (g, c) = (Group::<()>::new(), Chan::<()>::new(0));
        g.set_limit(0);
        assert!(!g.try_go(|| unreachable!()));
        g.set_limit(3);
        for _ in 0..3 {
            let c = c.clone();
            g.go(move || {
                c.recv();
                Ok(())
            });
        }
        let words = message(catch_unwind(AssertUnwindSafe(|| g.set_limit(4))));
        assert_eq!(words, "errgroup: modify limit while 3 goroutines in the group are still active");
        c.close();
        g.wait().unwrap();
        g.set_limit(usize::MAX);
        (0..50).for_each(|_| assert!(g.try_go(|| Ok(()))));
        g.wait().unwrap();
    });
}

#[test]
fn a_panic_goes_on_in_wait_when_the_others_have_ended() {
    rt(|| {
        let (g, ctx) = Group::<&str>::with_context(&Context::background());
        let n = Arc::new(AtomicUsize::new(0));
        for i in 0..10 {
            let (ctx, n) = (ctx.clone(), n.clone());
            g.go(move || {
                if i == 4 {
                    planned("a member's panic");
                }
                ctx.done().recv();
                n.fetch_add(1, SeqCst);
                Err("a consequence")
            });
        }
        assert_eq!(panic_of(&g), "a member's panic", "it outranks an error");
        assert_eq!(n.load(SeqCst), 9);
        assert_eq!(g.wait(), Ok(()), "the group can be used again");
        g.set_limit(1);
        g.go(|| planned("with a limit"));
        g.go(|| Ok(()));
        assert_eq!(panic_of(&g), "with a limit");
    });
}

#[test]
fn a_goexit_of_a_member_ends_who_waits() {
    rt(|| {
        let waiter = spawn(|| {
            let g = Group::<()>::new();
            g.go(|| goexit());
            let _ = g.wait();
            unreachable!();
        });
        assert!(waiter.join().is_err());
    });
}

#[test]
fn members_start_members() {
    fn tree(g: &Group<String>, depth: u32, leaves: &Arc<AtomicUsize>) {
        if depth == 0 {
            leaves.fetch_add(1, SeqCst);
            return;
        }
        for _ in 0..2 {
            let (g2, leaves) = (g.clone(), leaves.clone());
            g.go(move || {
                tree(&g2, depth - 1, &leaves);
                Ok(())
            });
        }
    }
    rt(|| {
        let (g, leaves) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        tree(&g, 9, &leaves);
        g.wait().unwrap();
        assert_eq!(leaves.load(SeqCst), 512);
    });
}

#[test]
fn many_goroutines_and_threads_share_a_group() {
    rt(|| {
        for limit in [2, usize::MAX] {
            let (g, n) = (Group::<()>::new(), Arc::new(AtomicUsize::new(0)));
            g.set_limit(limit);
            let start = |g: Group<()>, n: Arc<AtomicUsize>| {
                for _ in 0..50 {
                    let n = n.clone();
                    g.go(move || {
                        n.fetch_add(1, SeqCst);
                        Ok(())
                    });
                }
            };
            let foreign = {
                let (g, n) = (g.clone(), n.clone());
                thread::spawn(move || start(g, n))
            };
            scope(|s| {
                for _ in 0..5 {
                    s.spawn(|| start(g.clone(), n.clone()));
                }
            });
            foreign.join().unwrap();
            g.wait().unwrap();
            assert_eq!(n.load(SeqCst), 300);
        }
    });
}

#[test]
fn errors_and_captures_are_dropped_once() {
    struct Failed(#[allow(dead_code)] Counted);
    rt(|| {
        let census = Census::default();
        for round in 0..50 {
            let g = Group::new();
            g.set_limit(1 + round % 4);
            for i in 0..20 {
                let counted = census.make(i);
                g.go(move || match i % 4 {
                    0 => Err(Failed(counted)),
                    1 if round % 10 == 0 => {
                        let _in_hand = counted;
                        planned("with a value in hand")
                    }
                    _ => {
                        drop(counted);
                        Ok(())
                    }
                });
            }
            let r = catch_unwind(AssertUnwindSafe(|| g.wait().is_err()));
            assert!(r.unwrap_or(true));
            drop(g);
            eventually("nothing is left", || census.alive() == 0);
        }
    });
}

#[test]
fn a_member_that_cannot_be_started_is_not_counted() {
    // No run is in progress in this thread's time: other tests may have one, so this is only the clean case of a thread
    // whose start panics, or does not.
    let g = Group::<()>::new();
    g.set_limit(1);
    let r = catch_unwind(AssertUnwindSafe(|| g.go(|| Ok(()))));
    if r.is_err() {
        assert!(message(r).contains("outside of a run"));
    }
    rt(move || {
        g.wait().unwrap();
        g.go(|| Ok(()));
        g.wait().unwrap();
        let named = Builder::new().name("waiter".into()).spawn(move || g.wait()).unwrap();
        named.join().unwrap().unwrap();
    });
}
