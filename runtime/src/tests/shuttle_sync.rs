//! Models of the semaphore and of the locks over it (sema.rs, sync/), under shuttle.
//!
//! What is checked, by schedules that may change hands between any two atomic operations: nobody sleeps for ever (shuttle
//! calls that a deadlock), nobody is woken twice, a lock lets one in at a time, a unit is taken once. The clock jumps by 2 ms
//! now and then, so the mutex comes through its starving mode as well.
//! What is not: orderings weaker than sequentially consistent (for the semaphore's, see loom_sema.rs).
//! What makes it fail: each of the checks below taken out. Each planted bug leaves memory alone, and ends in a deadlock.

use crate::loom::with_bug;
use crate::model::{check, step};
use crate::newproc::go;
use crate::park::{WaitReason, assert_quiet};
use crate::sema::{semacquire, semrelease};
use crate::sync::{Condvar, Mutex, RwLock, Semaphore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Plain, Ordering::Relaxed};
use std::time::Duration;

type Word = crate::loom::atomic::AtomicU32;

// ------------------------------------------------------------------------------------------------ the semaphore

/// Two words in one root; two wait at one of them, one at the other; each gets its unit.
fn units(handoff: bool) {
    check(move || {
        let words: Arc<[Word; 2]> = Arc::new([Word::new(0), Word::new(0)]);
        for word in [0, 0, 1] {
            let words = words.clone();
            go(move || {
                semacquire(&words[word], false, WaitReason::Semacquire);
                assert_quiet();
            });
        }
        let theirs = words.clone();
        go(move || {
            semrelease(&theirs[0], handoff);
            semrelease(&theirs[1], handoff);
        });
        semrelease(&words[0], handoff);
    });
}

#[test]
fn shuttle_each_waiter_gets_a_unit() {
    units(false);
    units(true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_without_the_second_look_a_unit_lies_and_its_waiter_sleeps() {
    with_bug("sema: looks once more when counted", || units(false));
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_handed_unit_that_is_not_marked_is_lost() {
    with_bug("sema: a handed unit is marked as such", || units(true));
}

/// Units that go through the word: as many are taken as were given, whoever takes them.
#[test]
fn shuttle_a_passer_by_and_a_waiter_share_what_there_is() {
    check(|| {
        let word = Arc::new(Word::new(1));
        let taken = Arc::new(Plain::new(0));
        for _ in 0..3 {
            let (word, taken) = (word.clone(), taken.clone());
            go(move || {
                semacquire(&word, true, WaitReason::Semacquire);
                assert_eq!(taken.fetch_add(1, Relaxed), 0, "one unit, two owners");
                step();
                taken.fetch_sub(1, Relaxed);
                semrelease(&word, false);
            });
        }
    });
}

// ---------------------------------------------------------------------------------------------------- the mutex

/// Three contenders; what each reads and writes under the lock is its own.
fn contenders() {
    check(|| {
        let total = Arc::new(Mutex::new(0));
        for _ in 0..3 {
            let total = total.clone();
            go(move || {
                for _ in 0..2 {
                    let mut n = total.lock();
                    let read = *n;
                    step();
                    *n = read + 1;
                }
            });
        }
        crate::newproc::settle();
        assert_eq!(*total.lock(), 6);
    });
}

#[test]
fn shuttle_a_mutex_excludes_and_is_had_by_all() {
    contenders();
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_woken_bit_that_stays_keeps_the_others_asleep() {
    with_bug("mutex: who was woken says so in the word", contenders);
}

// --------------------------------------------------------------------------------------------------- the rwlock

/// Two writers, and so many readers, who come so often; a pair that is equal but inside a writer. Readers who find each
/// other bias the lock (the models' draw always comes up). `tries`: the first writer tries before it waits.
fn readers_and_writers(readers: usize, times: u32, tries: bool) {
    check(move || {
        let pair = Arc::new(RwLock::new((0, 0)));
        for i in 0..2 + readers {
            let pair = pair.clone();
            go(move || {
                for _ in 0..times {
                    if i < 2 {
                        let tried = if tries && i == 0 { pair.try_write() } else { None };
                        let mut p = tried.unwrap_or_else(|| pair.write());
                        p.0 += 1;
                        step();
                        p.1 += 1;
                    } else {
                        let p = pair.read();
                        let first = p.0;
                        step();
                        assert_eq!(first, p.1, "a writer among readers");
                    }
                }
            });
        }
        crate::newproc::settle();
        assert_eq!(*pair.read(), (2 * times, 2 * times));
    });
}

#[test]
fn shuttle_writers_are_alone_and_all_come_in() {
    readers_and_writers(2, 1, false);
}

fn readers_in_slots() {
    readers_and_writers(3, 2, true);
}

#[test]
fn shuttle_readers_in_slots_and_writers() {
    readers_in_slots();
}

#[test]
#[should_panic(expected = "a writer among readers")]
fn shuttle_planted_a_reader_that_trusts_the_bias() {
    with_bug("readers: the reader looks again", readers_in_slots);
}

#[test]
#[should_panic(expected = "a writer among readers")]
fn shuttle_planted_a_writer_that_ends_the_bias_once() {
    with_bug("readers: the writer looks again", readers_in_slots);
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_writer_that_waits_for_readers_who_have_left() {
    with_bug("readers: the writer sees that all have left", || readers_and_writers(2, 1, false));
}

// -------------------------------------------------------------------------------------------------- the condvar

/// Two wait for a flag, which is set under the mutex and told after it.
fn told(all: bool) {
    check(move || {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        for _ in 0..2 {
            let shared = shared.clone();
            go(move || {
                let (flag, told) = &*shared;
                let mut left = told.wait_while(flag.lock(), |n| *n == 0);
                *left -= 1;
            });
        }
        let (flag, told) = &*shared;
        if all {
            *flag.lock() = 2;
            told.notify_all();
        } else {
            for _ in 0..2 {
                *flag.lock() += 1;
                told.notify_one();
            }
        }
    });
}

#[test]
fn shuttle_no_notification_is_lost() {
    told(true);
    told(false);
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_a_notification_between_queue_and_sleep_is_lost() {
    with_bug("condvar: looks whether it is out already", || told(true));
}

/// What the waiters of the next model share.
#[derive(Default)]
struct Told {
    patient_waits: Mutex<bool>,
    arrived: Condvar,
    told: Condvar,
}

/// One waits with a limit, one without, and there is one notification, once the one without stands in the queue. The other
/// hands it on if it comes to it; so the one without always hears of it.
fn one_with_a_limit() {
    check(|| {
        let shared = Arc::new(Told::default());
        let hasty = shared.clone();
        go(move || {
            let (guard, result) =
                hasty.told.wait_timeout(hasty.patient_waits.lock(), Duration::from_millis(5));
            drop(guard);
            if !result.timed_out() {
                hasty.told.notify_one();
            }
            assert_quiet();
        });
        let patient = shared.clone();
        go(move || {
            let mut waits = patient.patient_waits.lock();
            *waits = true;
            patient.arrived.notify_one();
            drop(patient.told.wait(waits));
            assert_quiet();
        });
        drop(shared.arrived.wait_while(shared.patient_waits.lock(), |waits| !*waits));
        shared.told.notify_one();
    });
}

#[test]
fn shuttle_a_notification_is_not_spent_on_who_has_given_up() {
    one_with_a_limit();
}

#[test]
#[should_panic(expected = "deadlock")]
fn shuttle_planted_who_has_given_up_takes_the_notification_along() {
    with_bug("queue: who has given up does not count", one_with_a_limit);
}

// ------------------------------------------------------------------------------------ the semaphore with permits

/// One permit; some wait for it for a while, others as long as it takes. In the end it is there again.
fn permits() {
    check(|| {
        let shared = Arc::new((Semaphore::new(1), Plain::new(4)));
        for limit in [None, Some(1), None, Some(1)] {
            let shared = shared.clone();
            go(move || {
                let (semaphore, left) = &*shared;
                let permit = match limit {
                    Some(ms) => semaphore.acquire_timeout(Duration::from_millis(ms)),
                    None => Some(semaphore.acquire()),
                };
                step();
                drop(permit);
                assert_quiet();
                if left.fetch_sub(1, Relaxed) == 1 {
                    assert_eq!(semaphore.available_permits(), 1, "a permit is lost");
                }
            });
        }
    });
}

#[test]
fn shuttle_who_gives_up_takes_no_permit_along() {
    permits();
}

#[test]
#[should_panic(expected = "a permit is lost")]
fn shuttle_planted_who_gives_up_writes_a_word_that_is_everybodys() {
    with_bug("semaphore: who gives up leaves the word alone", permits);
}
