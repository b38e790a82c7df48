//! Scoped goroutines borrow, are waited for, and hand their panics on, as std's scoped threads do.

use gosched_runtime::{goexit, run, scope, sleep, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::time::Duration;

fn rt<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests parks while it holds a value tied to a thread.
    unsafe { run(f) }
}

#[test]
fn what_is_borrowed_is_whole_again_afterwards() {
    let mut data: Vec<u64> = (0..1000).collect();
    let sum = rt(|| {
        let total = AtomicUsize::new(0);
        scope(|s| {
            for part in data.chunks_mut(10) {
                let total = &total;
                s.spawn(move || {
                    yield_now();
                    part.iter_mut().for_each(|x| *x += 1);
                    total.fetch_add(part.len(), SeqCst);
                });
            }
            s.spawn(|| {
                s.spawn(|| sleep(Duration::from_millis(1))); // a child may start more
            });
        });
        assert_eq!(total.load(SeqCst), 1000);
        data.iter().sum::<u64>()
    });
    assert_eq!(sum, 1000 * 1001 / 2);
}

#[test]
fn results_come_back_and_may_borrow() {
    rt(|| {
        let words = [String::from("a"), String::from("bb")];
        let longest = scope(|s| {
            let hs: Vec<_> = words.iter().map(|w| s.spawn(move || w.as_str())).collect();
            hs.into_iter().map(|h| h.join().unwrap()).max_by_key(|w| w.len())
        });
        assert_eq!(longest, Some("bb"));
    });
}

#[test]
fn a_panic_is_joined_or_ends_the_scope() {
    rt(|| {
        let e = scope(|s| s.spawn(|| std::panic::resume_unwind(Box::new(5))).join()).unwrap_err();
        assert_eq!(e.downcast_ref::<i32>(), Some(&5));
        let ran = AtomicUsize::new(0);
        let e = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| std::panic::resume_unwind(Box::new(5)));
                s.spawn(|| goexit());
                s.spawn(|| {
                    sleep(Duration::from_millis(5));
                    ran.fetch_add(1, SeqCst);
                });
            })
        }))
        .unwrap_err();
        assert_eq!(e.downcast_ref::<&str>(), Some(&"a scoped goroutine panicked"));
        assert_eq!(ran.load(SeqCst), 1);
        let e = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| ran.fetch_add(1, SeqCst));
                std::panic::resume_unwind(Box::new("f"));
            })
        }))
        .unwrap_err();
        assert_eq!(e.downcast_ref::<&str>(), Some(&"f"));
        assert_eq!(ran.load(SeqCst), 2);
    });
}

#[test]
fn a_plain_thread_may_open_a_scope() {
    rt(|| {
        let t = std::thread::spawn(|| {
            let mut n = 0;
            scope(|s| {
                s.spawn(|| n = 7);
            });
            n
        });
        assert_eq!(gosched_runtime::syscall(|| t.join().unwrap()), 7);
    });
}
