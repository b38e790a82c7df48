//! Values of a goroutine's own: made once, borrowed across parks, dropped at the end, on threads as well.

use gosched_runtime::{AccessError, goexit, goroutine_local, run, sleep, spawn, yield_now};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::time::Duration;

static DROPS: AtomicUsize = AtomicUsize::new(0);

struct Counts(u32);
impl Drop for Counts {
    fn drop(&mut self) {
        yield_now(); // a destructor may park
        DROPS.fetch_add(1, SeqCst);
    }
}

goroutine_local! {
    static N: Cell<u32> = Cell::new(1);
    static LIST: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static COUNTED: Counts = Counts(7);
    static LAST: LooksBack = const { LooksBack };
}

struct LooksBack;
static LOOKED: AtomicUsize = AtomicUsize::new(0);
impl Drop for LooksBack {
    fn drop(&mut self) {
        // It was made last and goes first: the others are still there. Itself is gone.
        assert_eq!(N.try_with(Cell::get), Ok(5));
        let gone: AccessError = LAST.try_with(|_| ()).unwrap_err();
        assert_eq!(gone.to_string(), "already destroyed");
        LOOKED.fetch_add(1, SeqCst);
    }
}

fn rt<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests parks while it holds a value tied to a thread.
    unsafe { run(f) }
}

#[test]
fn each_goroutine_has_its_own_and_keeps_it_across_parks() {
    rt(|| {
        let hs: Vec<_> = (0..200)
            .map(|i| {
                spawn(move || {
                    assert_eq!(N.get(), 1);
                    N.set(i);
                    LIST.with(|l| {
                        let mut l = l.borrow_mut();
                        for k in 0..20 {
                            l.push(k);
                            match k % 5 {
                                0 => sleep(Duration::from_micros(50)),
                                _ => yield_now(),
                            }
                            assert_eq!(N.get(), i);
                        }
                    });
                    assert_eq!(LIST.take(), (0..20).collect::<Vec<_>>());
                    assert_eq!((N.replace(0), N.take()), (i, 0));
                })
            })
            .collect();
        hs.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn values_are_dropped_once_however_the_goroutine_ends() {
    rt(|| {
        let before = DROPS.load(SeqCst);
        let hs: Vec<_> = (0..30)
            .map(|i| {
                spawn(move || {
                    assert_eq!(COUNTED.with(|c| c.0), 7);
                    match i % 3 {
                        0 => {}
                        1 => goexit(),
                        _ => std::panic::resume_unwind(Box::new(())),
                    }
                })
            })
            .collect();
        hs.into_iter().for_each(|h| drop(h.join()));
        // The join comes before the drops.
        while DROPS.load(SeqCst) != before + 30 {
            yield_now();
        }
    });
}

#[test]
fn a_destructor_sees_the_others_but_not_itself() {
    rt(|| {
        spawn(|| {
            N.set(5);
            LAST.with(|_| ());
        })
        .join()
        .unwrap();
        while LOOKED.load(SeqCst) == 0 {
            yield_now();
        }
    });
}

#[test]
fn on_a_plain_thread_it_is_the_threads() {
    let t = |n| {
        std::thread::spawn(move || {
            assert_eq!(N.get(), 1);
            N.set(n);
            N.get()
        })
        .join()
        .unwrap()
    };
    assert_eq!((t(3), t(4)), (3, 4));
}
