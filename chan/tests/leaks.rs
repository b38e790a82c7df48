//! Programs in which a goroutine waits for what cannot come any more: each is reported. (Healthy ones: no_leaks.rs.)
use gosched_chan::{Chan, Select, select};
use gosched_runtime::park::WaitReason;
use gosched_runtime::sync::{Mutex, WaitGroup};
use gosched_runtime::{Builder, JoinHandle, debug, run, yield_now};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn start<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name(name.into()).spawn(f).unwrap()
}

/// Waits until so many goroutines of that name are reported, waiting for `reason`; fails where that never is.
fn leaked(name: &str, n: usize, reason: WaitReason) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let all = debug::leaks();
        let found: Vec<_> = all.iter().filter(|l| l.name() == Some(name)).collect();
        if found.len() == n {
            for l in found {
                assert_eq!(l.reason(), reason);
                let head = format!("goroutine {} \"{name}\" [{reason} (leaked)]:\n", l.id());
                let text = l.to_string();
                assert!(text.starts_with(&head), "{text}");
                assert!(text.contains("leaks.rs") && text.contains("created by goroutine"), "{text}");
            }
            return;
        }
        assert!(found.len() < n && Instant::now() < until, "{} of {n} \"{name}\" in {all:#?}", found.len());
        yield_now();
    }
}

fn on_goroutine(f: impl FnOnce() + Send) {
    // SAFETY: no goroutine of this file holds a borrow of a thread-local across a park.
    unsafe { run(f) }
}

#[test]
fn a_receiver_that_everybody_has_forgotten() {
    on_goroutine(|| {
        let c = Chan::<u8>::new(0);
        let theirs = c.receiver();
        start("forgotten receiver", move || theirs.recv());
        drop(c);
        leaked("forgotten receiver", 1, WaitReason::ChanReceive);
    });
}

#[test]
fn a_result_that_nobody_waits_for_any_more() {
    on_goroutine(|| {
        let c = Chan::new(0);
        let (tx, gate) = (c.sender(), Chan::new(0));
        let open = gate.clone();
        start("late result", move || {
            open.recv();
            drop(open);
            tx.send(7);
        });
        // The caller loses patience before there is one.
        assert!(c.recv_timeout(Duration::from_millis(1)).is_err());
        drop(c);
        gate.send(());
        leaked("late result", 1, WaitReason::ChanSend);
    });
}

#[test]
fn a_sender_at_a_full_buffer() {
    on_goroutine(|| {
        let c = Chan::new(2);
        start("full buffer", move || (0..3).for_each(|n| c.send(n)));
        leaked("full buffer", 1, WaitReason::ChanSend);
    });
}

#[test]
fn workers_on_a_channel_that_was_never_closed() {
    on_goroutine(|| {
        let jobs = Chan::new(0);
        for _ in 0..3 {
            let jobs = jobs.clone();
            start("idle worker", move || jobs.into_iter().for_each(|n: u32| assert!(n < 9)));
        }
        (0..9).for_each(|n| jobs.send(n));
        drop(jobs); // and not closed
        leaked("idle worker", 3, WaitReason::ChanReceive);
    });
}

#[test]
fn the_nil_channel() {
    on_goroutine(|| {
        start("nil receive", || Chan::<u8>::nil().recv());
        start("nil send", || Chan::nil().send(1));
        leaked("nil receive", 1, WaitReason::ChanReceiveNilChan);
        leaked("nil send", 1, WaitReason::ChanSendNilChan);
    });
}

#[test]
fn select_without_cases() {
    on_goroutine(|| {
        start("for ever", || select! {});
        leaked("for ever", 1, WaitReason::SelectNoCases);
    });
}

#[test]
fn select_on_channels_that_nobody_else_has() {
    on_goroutine(|| {
        let (a, b) = (Chan::<u8>::new(0), Chan::new(0));
        start("select", move || {
            select! {
                recv(a) -> v => v,
                send(b, 1u8) => None,
                recv(Chan::nil()) -> v => v,
            }
        });
        let list: Vec<Chan<u8>> = (0..3).map(|_| Chan::new(0)).collect();
        let [x, y, z] = list.try_into().unwrap();
        start("select list", move || {
            let mut s = Select::new();
            s.recv(&x);
            s.recv(&y);
            s.send(&z);
            unreachable!("case {} went", s.select().index());
        });
        leaked("select", 1, WaitReason::Select);
        leaked("select list", 1, WaitReason::Select);
    });
}

#[test]
fn two_that_each_need_a_third_one() {
    on_goroutine(|| {
        // Both receive by one and the same channel, and by one of their own.
        let both = Chan::<u8>::new(0);
        for _ in 0..2 {
            let (both, own) = (both.clone(), Chan::new(0));
            start("pair", move || select! { recv(both) -> v => v, recv(own) -> v => v });
        }
        drop(both);
        leaked("pair", 2, WaitReason::Select);
    });
}

#[test]
fn a_group_that_is_never_done() {
    on_goroutine(|| {
        let wg = WaitGroup::new();
        wg.add(2);
        let (one, all) = (wg.clone(), wg.clone());
        drop(wg);
        start("waits for the group", move || all.wait());
        start("done once", move || one.done()).join().unwrap();
        leaked("waits for the group", 1, WaitReason::SyncWaitGroupWait);
    });
}

#[test]
fn who_joins_a_leaked_goroutine() {
    on_goroutine(|| {
        start("joiner", || {
            let c = Chan::<u8>::new(0);
            start("joined", move || c.recv()).join().unwrap()
        });
        leaked("joined", 1, WaitReason::ChanReceive);
        leaked("joiner", 1, WaitReason::Join);
    });
}

#[test]
fn locks_of_goroutines_that_do_not_come_back() {
    debug::watch_locks(true);
    on_goroutine(|| {
        // One sleeps for ever with the lock in its hand.
        let (lock, has_it) = (Arc::new(Mutex::new(())), Chan::new(1));
        let (theirs, tx) = (lock.clone(), has_it.sender());
        start("sleeps locked", move || {
            let _held = theirs.lock();
            tx.send(());
            drop(tx);
            select! {}
        });
        has_it.recv();
        start("wants the lock", move || drop(lock.lock()));
        leaked("sleeps locked", 1, WaitReason::SelectNoCases);
        leaked("wants the lock", 1, WaitReason::SyncMutexLock);

        // Three wait for each other's.
        let locks = [(); 3].map(|()| Arc::new(Mutex::new(0)));
        let ready = WaitGroup::new();
        ready.add(3);
        for i in 0..3 {
            let (mine, next, ready) = (locks[i].clone(), locks[(i + 1) % 3].clone(), ready.clone());
            start(&format!("ring {i}"), move || {
                let held = mine.lock();
                ready.done();
                ready.wait();
                *next.lock() += *held;
            });
        }
        (0..3).for_each(|i| leaked(&format!("ring {i}"), 1, WaitReason::SyncMutexLock));
        // Once, by the one that came last; and each waits for the next one.
        let rings = debug::lock_cycles();
        let ours = |c: &&debug::LockCycle| c.waits().iter().any(|w| w.name.as_deref() == Some("ring 0"));
        let [ring] = rings.iter().filter(ours).collect::<Vec<_>>()[..] else { panic!("{rings:#?}") };
        let names: Vec<_> = ring.waits().iter().map(|w| w.name.clone().unwrap()).collect();
        let first: usize = names[0].strip_prefix("ring ").unwrap().parse().unwrap();
        assert_eq!(names, (first..first + 3).map(|i| format!("ring {}", i % 3)).collect::<Vec<_>>());
        let text = ring.to_string();
        assert!(text.contains(" for the lock that goroutine ") && text.contains("leaks.rs:"), "{text}");
    });
    // It goes on being watched: the other tests of this process use no lock.
}

#[test]
fn a_leak_fails_the_test_that_asks() {
    on_goroutine(|| {
        start("fails the test", || Chan::<u8>::nil().recv());
        let failed = std::panic::catch_unwind(debug::assert_no_leaks).unwrap_err();
        let text = failed.downcast_ref::<String>().unwrap();
        assert!(text.starts_with("goroutines have leaked: "), "{text}");
        assert!(text.contains("\"fails the test\" [chan receive (nil chan) (leaked)]:"), "{text}");
    });
}
