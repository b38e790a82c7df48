//! A deadlock ends the process with Go's words and status 2, and nothing else is taken for one: what the scheduler and
//! `sync` have to do with it. (Channels and sockets: the facade's `tests/deadlock.rs`.)

mod child;

use child::scenarios::{A_WHILE, Scenario, alive, deadlock};
use gosched_runtime::park::{WaitReason, Waiter, gopark};
use gosched_runtime::sync::{Barrier, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use gosched_runtime::{
    Builder, go, goexit, lock_os_thread, run, scope, set_gomaxprocs, sleep, spawn, syscall, yield_now,
};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Parks for ever.
fn for_ever() {
    unsafe fn commit(_: Waiter, _: *mut ()) -> bool {
        true
    }
    // SAFETY: nobody ever readies it.
    unsafe { gopark(commit, std::ptr::null_mut(), WaitReason::Other) };
}

/// A semaphore without a permit, and another handle on it for who is to release it.
fn gate() -> (Arc<Semaphore>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    (gate.clone(), gate)
}

/// The main goroutine waits, and `f`, on a goroutine of its own, will end that.
fn wait_for(f: impl FnOnce() + Send + 'static) {
    let (mine, its) = gate();
    go(move || {
        f();
        its.add_permits(1);
    });
    drop(mine.acquire());
}

/// The same, by a plain thread.
fn wait_for_thread(f: impl FnOnce() + Send + 'static) {
    let (mine, its) = gate();
    thread::spawn(move || {
        f();
        its.add_permits(1);
    });
    drop(mine.acquire());
}

/// `run`, on the thread or goroutine that calls it.
fn another_run<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these programs parks while it holds a value tied to a thread.
    unsafe { run(f) }
}

/// Waits for others that block unannounced, again and again. When it does, they have lost their P: it is the last to fall
/// asleep.
fn fall_asleep_last() {
    set_gomaxprocs(1);
    for _ in 0..10 {
        let (mine, its) = gate();
        go(move || {
            thread::sleep(A_WHILE / 5);
            its.add_permits(1);
        });
        sleep(A_WHILE / 20);
        drop(mine.acquire());
    }
}

/// Computes until `A_WHILE` is over.
fn spin() {
    let began = Instant::now();
    while began.elapsed() < A_WHILE {
        std::hint::spin_loop();
    }
}

const DEADLOCKS: &[Scenario] = &[
    deadlock("parked_for_ever", &["parked"], for_ever),
    deadlock("wait_group_never_done", &["sync.WaitGroup.Wait"], || {
        let wg = WaitGroup::new();
        wg.add(1);
        wg.wait();
    }),
    deadlock("mutex_locked_twice", &["sync.Mutex.Lock"], || {
        let m = Mutex::new(());
        let _first = m.lock();
        let _second = m.lock();
    }),
    deadlock("two_locks_in_two_orders", &["sync.Mutex.Lock"; 2], || {
        let (locks, both) = (Arc::new((Mutex::new(()), Mutex::new(()))), Arc::new(Barrier::new(2)));
        let (locks2, both2) = (locks.clone(), both.clone());
        let other = Builder::new().name("other".into()).spawn(move || {
            let _b = locks2.1.lock();
            both2.wait();
            let _a = locks2.0.lock();
        });
        let _a = locks.0.lock();
        both.wait();
        let _b = locks.1.lock();
        other.unwrap().join().unwrap();
    }),
    deadlock("read_lock_then_write_lock", &["sync.RWMutex.Lock"], || {
        let l = RwLock::new(());
        let _reads = l.read();
        let _writes = l.write();
    }),
    deadlock("write_lock_then_read_lock", &["sync.RWMutex.RLock"], || {
        let l = RwLock::new(());
        let _writes = l.write();
        let _reads = l.read();
    }),
    deadlock("condvar_never_notified", &["sync.Cond.Wait"], || {
        let (m, c) = (Mutex::new(()), Condvar::new());
        drop(c.wait(m.lock()));
    }),
    deadlock("semaphore_without_a_permit", &["semacquire"], || drop(Semaphore::new(0).acquire())),
    deadlock("more_permits_than_there_are", &["semacquire"], || drop(Semaphore::new(3).acquire_many(4))),
    deadlock("barrier_that_one_never_reaches", &["sync.Cond.Wait"; 2], || {
        let b = Arc::new(Barrier::new(3));
        let b2 = b.clone();
        go(move || {
            b2.wait();
        });
        b.wait();
    }),
    deadlock("once_that_calls_itself", &["sync.Mutex.Lock"], || {
        let once = Once::new();
        once.call_once(|| once.call_once(|| ()));
    }),
    deadlock("once_lock_never_set", &["sync.Cond.Wait"], || {
        OnceLock::<u8>::new().wait();
    }),
    deadlock("join_of_a_stuck_one", &["join", "join", "parked"], || {
        let stuck = spawn(for_ever);
        spawn(move || stuck.join().unwrap()).join().unwrap();
    }),
    deadlock("five_hundred", &["parked"; 501], || {
        (0..500).for_each(|_| go(for_ever));
        for_ever();
    }),
    deadlock("locked_to_its_thread", &["parked"], || {
        let _lock = lock_os_thread();
        for_ever();
    }),
    deadlock("locked_ones_among_others", &["parked", "parked", "semacquire", "sync.WaitGroup.Wait"], || {
        let locked = |stuck: fn()| {
            move || {
                let _lock = lock_os_thread();
                yield_now();
                stuck();
            }
        };
        go(locked(for_ever));
        go(for_ever);
        go(locked(|| drop(Semaphore::new(0).acquire())));
        let wg = WaitGroup::new();
        wg.add(1);
        wg.wait();
    }),
    deadlock("in_a_destructor_while_unwinding", &["join", "parked"], || {
        struct Stuck;
        impl Drop for Stuck {
            fn drop(&mut self) {
                for_ever();
            }
        }
        let h = spawn(|| {
            let _stuck = Stuck;
            goexit();
        });
        let _ = h.join();
    }),
    deadlock("in_a_run_inside_a_run", &["join", "parked"], || another_run(for_ever)),
    deadlock("in_two_runs_at_once", &["parked"; 2], || {
        thread::spawn(|| another_run(for_ever));
        for_ever();
    }),
    deadlock("left_over_from_the_run_before", &["join", "parked", "parked"], || {
        another_run(|| go(for_ever));
        another_run(for_ever);
    }),
    deadlock("on_a_stack_of_its_own_size", &["join", "parked"], || {
        Builder::new().stack_size(1 << 20).spawn(for_ever).unwrap().join().unwrap();
    }),
    // Who could have woken somebody is gone:
    deadlock("after_the_last_foreign_thread", &["parked"], || {
        thread::spawn(|| thread::sleep(A_WHILE));
        for_ever();
    }),
    deadlock("after_a_foreign_thread_that_started_one", &["parked"; 2], || {
        thread::spawn(|| go(for_ever));
        for_ever();
    }),
    deadlock("after_a_run_elsewhere", &["parked"], || {
        thread::spawn(|| another_run(|| sleep(A_WHILE)));
        for_ever();
    }),
    deadlock("after_the_last_timer", &["parked"], || {
        go(|| sleep(Duration::from_millis(20)));
        for_ever();
    }),
    deadlock("after_a_call_that_blocked", &["parked"], || {
        go(|| thread::sleep(Duration::from_millis(50)));
        go(|| syscall(|| thread::sleep(Duration::from_millis(50))));
        for_ever();
    }),
    deadlock("after_a_spinning_one", &["parked"], || {
        go(spin);
        for_ever();
    }),
    deadlock("with_more_procs", &["parked"; 21], || {
        set_gomaxprocs(8);
        (0..20).for_each(|_| go(for_ever));
        for_ever();
    }),
    deadlock("with_fewer_procs", &["parked"; 21], || {
        set_gomaxprocs(8);
        (0..20).for_each(|_| go(for_ever));
        sleep(Duration::from_millis(5));
        set_gomaxprocs(1);
        for_ever();
    }),
    deadlock("without_membarrier", &["parked", "sync.Mutex.Lock"], || {
        go(|| {
            let m = Mutex::new(());
            let _first = m.lock();
            let _second = m.lock();
        });
        for_ever();
    })
    .with_godebug("membarrier=0"),
];

const NONE: &[Scenario] = &[
    alive("a_timer_of_a_sleeper", || sleep(A_WHILE)),
    alive("a_sleeping_goroutine", || wait_for(|| sleep(A_WHILE))),
    alive("a_timeout_of_a_condvar", || {
        let (m, c) = (Mutex::new(()), Condvar::new());
        assert!(c.wait_timeout(m.lock(), A_WHILE).1.timed_out());
    }),
    alive("a_timeout_of_a_semaphore", || {
        assert!(Semaphore::new(0).acquire_timeout(A_WHILE).is_none());
    }),
    alive("a_syscall", || wait_for(|| syscall(|| thread::sleep(A_WHILE)))),
    alive("a_blocking_call_that_nobody_announced", || wait_for(|| thread::sleep(A_WHILE))),
    alive("several_blocking_calls", || {
        set_gomaxprocs(2);
        let wg = WaitGroup::new();
        for i in 0..6 {
            wg.go(move || match i % 2 {
                0 => thread::sleep(A_WHILE),
                _ => syscall(|| thread::sleep(A_WHILE)),
            });
        }
        wg.wait();
    }),
    alive("a_blocking_call_of_a_locked_goroutine", || {
        wait_for(|| {
            let _lock = lock_os_thread();
            yield_now();
            thread::sleep(A_WHILE);
            yield_now();
        });
    }),
    alive("a_blocking_call_that_a_locked_goroutine_waits_for", || {
        let _lock = lock_os_thread();
        fall_asleep_last();
    }),
    alive("a_blocking_call_that_an_unwinding_goroutine_waits_for", || {
        struct Waits;
        impl Drop for Waits {
            fn drop(&mut self) {
                fall_asleep_last();
            }
        }
        let h = spawn(|| {
            let _waits = Waits;
            goexit();
        });
        assert!(h.join().is_err());
    }),
    alive("a_blocking_call_of_a_goroutine_that_unwinds", || {
        struct Blocks;
        impl Drop for Blocks {
            fn drop(&mut self) {
                yield_now();
                thread::sleep(A_WHILE);
            }
        }
        let h = spawn(|| {
            let _blocks = Blocks;
            goexit();
        });
        assert!(h.join().is_err());
    }),
    alive("another_process_that_is_waited_for", || {
        wait_for(|| {
            let mut sleep = Command::new("sleep");
            // Not our pipes: they would look open for as long.
            sleep.arg("0.7").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            assert!(sleep.status().unwrap().success());
        });
    }),
    alive("a_spinning_goroutine", || wait_for(spin)),
    alive("a_foreign_thread_that_sleeps", || wait_for_thread(|| thread::sleep(A_WHILE))),
    alive("a_foreign_thread_that_works", || wait_for_thread(spin)),
    alive("a_foreign_thread_that_starts_a_goroutine", || {
        let (mine, its) = gate();
        thread::spawn(move || {
            thread::sleep(A_WHILE);
            go(move || {
                thread::sleep(A_WHILE);
                its.add_permits(1);
            });
            // The thread ends; the goroutine blocks on.
        });
        drop(mine.acquire());
    }),
    alive("the_last_of_many_foreign_threads", || {
        let (mine, its) = gate();
        for i in 1..=10 {
            let its = its.clone();
            thread::spawn(move || {
                thread::sleep(A_WHILE * i / 5);
                its.add_permits(1);
            });
        }
        drop(mine.acquire_many(10));
    }),
    alive("a_run_that_a_foreign_thread_will_begin", || {
        let (mine, its) = gate();
        thread::spawn(move || {
            thread::sleep(A_WHILE);
            another_run(move || its.add_permits(1));
        });
        drop(mine.acquire());
    }),
    alive("the_main_goroutine_of_a_run_elsewhere", || {
        let (mine, its) = gate();
        thread::spawn(move || {
            another_run(move || {
                thread::sleep(A_WHILE);
                its.add_permits(1);
            });
        });
        drop(mine.acquire());
    }),
    alive("a_run_elsewhere_that_is_joined", || {
        let t = thread::spawn(|| another_run(|| sleep(A_WHILE)));
        syscall(|| t.join().unwrap());
    }),
    alive("a_goroutine_that_changes_gomaxprocs", || {
        wait_for(|| {
            let began = Instant::now();
            for n in (1..=9).cycle() {
                set_gomaxprocs(n);
                thread::sleep(Duration::from_millis(1));
                if began.elapsed() > A_WHILE {
                    break;
                }
            }
        });
    }),
    alive("a_foreign_thread_that_changes_gomaxprocs", || {
        wait_for_thread(|| {
            for n in (1..=9).cycle().take(50) {
                set_gomaxprocs(n);
                thread::sleep(A_WHILE / 50);
            }
        });
    }),
    alive("scoped_goroutines_that_sleep", || {
        scope(|s| (0..3).for_each(|_| drop(s.spawn(|| sleep(A_WHILE)))));
    }),
    alive("timers_again_and_again", || {
        // Between one and the next all is asleep for a moment.
        for _ in 0..200 {
            wait_for(|| sleep(Duration::from_micros(200)));
        }
    }),
    alive("blocking_calls_again_and_again", || {
        for i in 0..200 {
            wait_for(move || match i % 3 {
                0 => thread::sleep(Duration::from_micros(200)),
                1 => syscall(|| thread::sleep(Duration::from_micros(200))),
                _ => {
                    let _lock = lock_os_thread();
                    sleep(Duration::from_micros(200));
                }
            });
        }
    }),
    alive("foreign_threads_again_and_again", || {
        for _ in 0..100 {
            wait_for_thread(|| thread::sleep(Duration::from_micros(200)));
        }
    }),
    alive("a_blocking_call_without_membarrier", || wait_for(|| thread::sleep(A_WHILE)))
        .with_godebug("membarrier=0"),
    alive("nobody_but_nobody_waits_either", || {
        // The run returns; whoever it leaves behind is parked for ever.
        go(for_ever);
    }),
];

fn main() {
    let all: Vec<Scenario> = DEADLOCKS.iter().chain(NONE).copied().collect();
    child::scenarios::main(&all);
}
