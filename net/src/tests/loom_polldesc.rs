//! Models of the word protocol (parkword.rs) and of the alarm (alarm.rs), run by loom through every interleaving:
//! `RUSTFLAGS="--cfg gosched_loom" cargo test -p gosched-net --release --lib loom`.
//!
//! A model waiter is a `Sleeper`: a park count under loom's mutex and condition variable, in which a wake-up too many is
//! an assertion and a wake-up too few is a deadlock, which loom reports. The socket's queue is an atomic that is read
//! and written Relaxed, so only the word can order it.
//!
//! Each model has companions that must fail. They run the same model on a mutant: a copy of one method in `Mutant`
//! below, with the key step taken out, called instead of the real one. They show that the model would notice.

use crate::alarm::Alarm;
use crate::parkword::{Begin, Owed, ParkWord, UseSeq};
use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc; // not loom's: a model that fails must be able to unwind through it

// ------------------------------------------------------------------------------------------------- the stage

/// What is taken out of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// Nothing.
    None,
    /// An event that sees Ready goes away without writing.
    ReadyIsNotRewritten,
    /// The waiter does not look at `closing` between `begin` and parking.
    NoLookAfterBegin,
    /// A time-out that finds its ticket claimed does not wait for the wake-up that is under way.
    TimeoutIgnoresClaim,
    /// A waker wakes without claiming the ticket.
    WakesUnclaimed,
    /// A waker takes the waiter out first and its ticket later.
    TicketLater,
    /// The tag of an event is not looked at.
    NoTag,
}

/// A waiter that sleeps: its address (as the word has it), its ticket, its wake-ups.
struct Sleeper {
    ticket: AtomicU64,
    woken: Mutex<u32>,
    bell: Condvar,
}

impl Sleeper {
    fn new() -> Sleeper {
        Sleeper { ticket: AtomicU64::new(1), woken: Mutex::new(0), bell: Condvar::new() }
    }

    fn open_ticket(&self) -> u64 {
        let next = (self.ticket.load(Ordering::Relaxed) | 1) + 1;
        self.ticket.store(next, Ordering::Relaxed);
        next
    }

    fn claim(&self, t: u64) -> bool {
        self.ticket.compare_exchange(t, t | 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn sleep(&self) {
        let mut n = self.woken.lock().unwrap();
        while *n == 0 {
            n = self.bell.wait(n).unwrap();
        }
        *n -= 1;
    }

    fn wake(&self) {
        let mut n = self.woken.lock().unwrap();
        assert_eq!(*n, 0, "readied twice");
        *n = 1;
        self.bell.notify_one();
    }

    /// Nobody owes or has left a wake-up.
    fn assert_quiet(&self) {
        assert_eq!(*self.woken.lock().unwrap(), 0, "a wake-up too many");
    }
}

/// A socket with one waiter.
struct Stage {
    word: ParkWord<u64>,
    seq: UseSeq,
    sleeper: Sleeper,
    /// The kernel's queue. Relaxed throughout.
    queue: AtomicUsize,
    closing: AtomicBool,
    mutant: Mutant,
}

/// A waiter's address for the word. Only one waiter here, so any will do.
const WAITER: usize = 64;

impl Stage {
    fn new(mutant: Mutant) -> Arc<Stage> {
        Arc::new(Stage {
            word: ParkWord::new(),
            seq: UseSeq::new(),
            sleeper: Sleeper::new(),
            queue: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            mutant,
        })
    }

    fn deliver(&self, owed: Option<Owed<u64>>) {
        let Some(Owed { waiter, ticket }) = owed else { return };
        assert_eq!(waiter, WAITER);
        if ticket.is_none_or(|t| self.mutant == Mutant::WakesUnclaimed || self.sleeper.claim(t)) {
            self.sleeper.wake();
        }
    }

    /// Data comes, and the poller's thread hears of it.
    fn event(&self) {
        self.queue.fetch_add(1, Ordering::Relaxed);
        if self.mutant == Mutant::ReadyIsNotRewritten && self.word.peeks_ready() {
            return;
        }
        self.deliver(if self.mutant == Mutant::TicketLater {
            self.word.fire_and_look_for_the_ticket_later()
        } else {
            self.word.fire(true)
        });
    }

    fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.deliver(self.word.fire(false));
    }

    /// A deadline is moved: whoever waits looks again.
    fn nudge(&self) {
        self.deliver(self.word.fire(false));
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// PollDesc::wait without a limit. False: closing.
    fn wait(&self) -> bool {
        loop {
            if self.word.begin() == Begin::Ready {
                return true;
            }
            if self.mutant != Mutant::NoLookAfterBegin && self.is_closing() {
                self.word.cancel();
                return false;
            }
            if self.word.commit(WAITER, false) {
                self.sleeper.sleep();
            }
            if self.word.finish() {
                return true;
            }
            if self.is_closing() {
                return false;
            }
        }
    }

    /// One round of PollDesc::wait with a limit that passes at once. True: ready.
    fn wait_timed(&self) -> bool {
        if self.word.begin() == Begin::Ready {
            return true;
        }
        if self.is_closing() {
            self.word.cancel();
            return false;
        }
        let ticket = self.sleeper.open_ticket();
        self.word.lay_ticket(ticket);
        if self.word.commit(WAITER, true) {
            thread::yield_now();
            // The limit passes: gopark_timeout on a thread.
            if !self.sleeper.claim(ticket) && self.mutant != Mutant::TimeoutIgnoresClaim {
                self.sleeper.sleep();
            }
        }
        self.word.finish()
    }

    /// fd.rs's loop for one byte. False: closing.
    fn read(&self) -> bool {
        self.word.reset();
        loop {
            let n = self.queue.load(Ordering::Relaxed);
            if n > 0 {
                self.queue.fetch_sub(1, Ordering::Relaxed);
                return true;
            }
            if !self.wait() {
                return false;
            }
        }
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut b = loom::model::Builder::new();
    b.preemption_bound = Some(3);
    b.check(f);
}

// ----------------------------------------------------------------------------------- (a) a waiter and its event

/// Two bytes come, each with its event; the reader gets both. A wake-up that is lost is a deadlock.
fn reader_against_events(mutant: Mutant) {
    model(move || {
        let s = Stage::new(mutant);
        let poller = {
            let s = s.clone();
            thread::spawn(move || {
                s.event();
                s.event();
            })
        };
        assert!(s.read());
        assert!(s.read());
        poller.join().unwrap();
        s.sleeper.assert_quiet();
    });
}

#[test]
fn loom_an_event_is_never_lost_nor_delivered_twice() {
    reader_against_events(Mutant::None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_mutant_an_event_over_ready_must_write() {
    reader_against_events(Mutant::ReadyIsNotRewritten);
}

// ------------------------------------------------------------------- (b) event, close and deadline, one waiter

/// An event, a close and a deadline that is moved race with a waiter: it is woken once at most for each sleep, it
/// always comes back, and nothing is left over.
fn waiter_against_all(mutant: Mutant) {
    model(move || {
        let s = Stage::new(mutant);
        let event = {
            let s = s.clone();
            thread::spawn(move || s.event())
        };
        let close = {
            let s = s.clone();
            thread::spawn(move || {
                s.nudge();
                s.close();
            })
        };
        // Until the close is seen, however often it was ready.
        while s.wait() {}
        event.join().unwrap();
        close.join().unwrap();
        s.sleeper.assert_quiet();
    });
}

#[test]
fn loom_of_event_close_and_deadline_exactly_one_wakes() {
    waiter_against_all(Mutant::None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn loom_mutant_the_waiter_must_look_after_it_is_announced() {
    waiter_against_all(Mutant::NoLookAfterBegin);
}

/// The waiter's own limit passes while an event comes, and it goes on to wait once more: the waker of the first wait
/// must not wake the second.
fn limit_against_event(mutant: Mutant) {
    model(move || {
        let s = Stage::new(mutant);
        let event = {
            let s = s.clone();
            thread::spawn(move || {
                s.event();
                s.event();
            })
        };
        let mut ready = s.wait_timed();
        ready |= s.wait_timed();
        event.join().unwrap();
        // The event is in one of the waits, or still in the word.
        assert!(ready || s.word.reset(), "an event was lost");
        s.sleeper.assert_quiet();
    });
}

#[test]
fn loom_a_limit_and_an_event_end_a_wait_once() {
    limit_against_event(Mutant::None);
}

#[test]
#[should_panic(expected = "a wake-up too many")]
fn loom_mutant_a_timeout_must_wait_for_its_claimer() {
    limit_against_event(Mutant::TimeoutIgnoresClaim);
}

/// As before, with the two events on two threads: one poller may go out of netpoll while another goes in, and a close
/// may come from anywhere.
fn limits_against_two_wakers(mutant: Mutant) {
    model(move || {
        let s = Stage::new(mutant);
        let events = [0; 2].map(|_| {
            let s = s.clone();
            thread::spawn(move || s.event())
        });
        let mut ready = s.wait_timed();
        ready |= s.wait_timed();
        for e in events {
            e.join().unwrap();
        }
        assert!(ready || s.word.reset(), "an event was lost");
        s.sleeper.assert_quiet();
    });
}

#[test]
fn loom_two_wakers_never_mix_up_two_waits() {
    limits_against_two_wakers(Mutant::None);
}

#[test]
#[should_panic(expected = "a wake-up too many")]
fn loom_mutant_waiter_and_ticket_must_be_taken_out_together() {
    limits_against_two_wakers(Mutant::TicketLater);
}

#[test]
#[should_panic(expected = "a wake-up too many")]
fn loom_mutant_a_waker_must_claim() {
    limit_against_event(Mutant::WakesUnclaimed);
}

// --------------------------------------------------------------------------------------------- (c) stale events

/// A descriptor's memory goes to its next use. An event of the last use that is delivered once the next one is known
/// leaves no trace; one that races with the change may make it ready without cause, and no more than that.
fn stale_event(mutant: Mutant) {
    model(move || {
        let s = Stage::new(mutant);
        let old = s.seq.get();
        let opened = Arc::new(AtomicBool::new(false));
        let poller = {
            let (s, opened) = (s.clone(), opened.clone());
            thread::spawn(move || {
                let late = opened.load(Ordering::Acquire);
                if s.mutant == Mutant::NoTag || s.seq.admits(old, u32::MAX) {
                    assert!(!late, "an event of the last use was let in");
                    s.deliver(s.word.fire(true));
                }
            })
        };
        // Closed, and opened for somebody else, whose reader waits for the byte of its own.
        s.seq.retire();
        s.word.reset();
        opened.store(true, Ordering::Release);
        let own = s.seq.get();
        let kernel = {
            let s = s.clone();
            thread::spawn(move || {
                assert!(s.seq.admits(own, u32::MAX));
                s.event();
            })
        };
        assert!(s.read());
        poller.join().unwrap();
        kernel.join().unwrap();
        s.sleeper.assert_quiet();
    });
}

#[test]
fn loom_a_stale_event_is_rejected() {
    stale_event(Mutant::None);
}

#[test]
#[should_panic(expected = "an event of the last use was let in")]
fn loom_mutant_the_tag_must_be_looked_at() {
    stale_event(Mutant::NoTag);
}

// ------------------------------------------------------------------------------------------------- (d) the alarm

/// What is taken out of the alarm's protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AlarmMutant {
    None,
    /// The alarm looks at the word without writing to it.
    TouchOnlyLooks,
    /// It looks at the word before it says that it rings no more.
    RingsLater,
    /// The waiter covers its deadline before it is announced.
    CoversFirst,
}

/// A waiter with the deadline 2 meets an alarm that has been set for 1 and is ringing: somebody must ring at 2. Before that
/// it may have waited for something else, and moved on.
fn alarm_against_waiter(mutant: AlarmMutant, waits: u32) {
    model(move || {
        let s = Stage::new(Mutant::None);
        let alarm = Arc::new(Alarm::new());
        let start = |when: u64| when;
        alarm.cover(1, start, drop);
        let ringing = {
            let (s, alarm) = (s.clone(), alarm.clone());
            thread::spawn(move || {
                if mutant != AlarmMutant::RingsLater {
                    alarm.rings(1);
                }
                let waits = match mutant {
                    AlarmMutant::TouchOnlyLooks => s.word.is_waited_for(),
                    _ => s.word.touch(),
                };
                if mutant == AlarmMutant::RingsLater {
                    alarm.rings(1);
                }
                // It is 1: the deadline of whoever waits has not passed.
                if waits {
                    alarm.cover(2, start, drop);
                }
            })
        };
        for _ in 1..waits {
            assert_eq!(s.word.begin(), Begin::Waiting);
            alarm.cover(2, start, drop);
            assert!(s.word.commit(WAITER, false));
            let _ = s.word.finish();
        }
        if mutant == AlarmMutant::CoversFirst {
            alarm.cover(2, start, drop);
        }
        assert_eq!(s.word.begin(), Begin::Waiting);
        if mutant != AlarmMutant::CoversFirst {
            alarm.cover(2, start, drop);
        }
        assert!(s.word.commit(WAITER, false));
        ringing.join().unwrap();
        let at = alarm.rings_at().expect("a deadline is slept through");
        assert!(at <= 2, "a deadline is slept through");
        // And it does: the waiter is taken out, and woken.
        alarm.rings(at);
        assert!(s.word.touch());
        s.deliver(s.word.fire(false));
        s.sleeper.sleep();
        assert!(!s.word.finish());
    });
}

#[test]
fn loom_an_alarm_that_rings_too_early_rings_again() {
    alarm_against_waiter(AlarmMutant::None, 1);
    alarm_against_waiter(AlarmMutant::None, 2);
}

#[test]
#[should_panic(expected = "slept through")]
fn loom_mutant_the_alarm_must_write_to_the_word() {
    alarm_against_waiter(AlarmMutant::TouchOnlyLooks, 1);
}

#[test]
#[should_panic(expected = "slept through")]
fn loom_mutant_the_alarm_must_say_first_that_it_rings_no_more() {
    alarm_against_waiter(AlarmMutant::RingsLater, 1);
}

#[test]
#[should_panic(expected = "slept through")]
fn loom_mutant_the_waiter_must_be_announced_before_it_covers() {
    alarm_against_waiter(AlarmMutant::CoversFirst, 1);
}

/// Two alarms, of which the second was set for an earlier moment while the first was on its way: whoever waits is covered.
#[test]
fn loom_an_alarm_stopped_too_late_takes_nothing_away() {
    model(|| {
        let s = Stage::new(Mutant::None);
        let alarm = Arc::new(Alarm::new());
        let start = |when: u64| when;
        alarm.cover(2, start, drop);
        let ringing = {
            let (s, alarm) = (s.clone(), alarm.clone());
            thread::spawn(move || {
                alarm.rings(2);
                if s.word.touch() {
                    alarm.cover(1, start, drop); // the deadline as it is
                }
            })
        };
        assert_eq!(s.word.begin(), Begin::Waiting);
        alarm.cover(1, start, drop);
        assert!(s.word.commit(WAITER, false));
        ringing.join().unwrap();
        assert_eq!(alarm.rings_at(), Some(1), "a deadline is slept through");
        alarm.silence(drop);
        assert_eq!(alarm.rings_at(), None);
    });
}
