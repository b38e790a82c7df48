//! Model of the ticket (waiter.rs) and of a wait with a deadline (park/until.rs, over the heap of timers.rs): Go's
//! `selectDone`.
//!
//! What is checked: of several wakers of one wait exactly one is let through, and the waiter knows which; the timer of a
//! wait that is over, which may come at any time, wakes no later wait.
//! What makes it fail: a ticket that is used again for the next wait (as a flag would be); a deadline that does not
//! claim.

use crate::loom::with_bug;
use crate::newproc::settle;
use crate::park::{Ticket, WaitReason, Waiter, Woken, assert_quiet, current, gopark_timeout, goready, now};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc; // not loom's: a model that fails must be able to unwind through it
use std::time::Duration;

/// Where one waiter stands until a waker takes it out: a channel's queue.
#[derive(Default)]
struct Queue(Mutex<Option<(Waiter, Ticket)>>);

impl Queue {
    fn stand(&self, ticket: Ticket) {
        *self.0.lock().unwrap() = Some((current(), ticket));
    }

    /// Takes the waiter out; true where its wait was still to be had, and is ended with `word`.
    fn wake(&self, word: *mut ()) -> bool {
        let Some((w, ticket)) = self.0.lock().unwrap().take() else { return false };
        let won = w.claim(ticket);
        if won {
            w.set_param(word);
            // SAFETY: claimed.
            unsafe { goready(w) };
        }
        won
    }
}

/// The queues are open anyway: whoever stands in them may be woken before it is asleep.
unsafe fn nothing_to_unlock(_: Waiter, _: *mut ()) -> bool {
    true
}

fn wait(ticket: Ticket, limit: Option<Duration>) -> Woken {
    let (reason, deadline) = (WaitReason::Select, limit.map(|d| now() + d));
    // SAFETY: whoever takes the ticket claims it, and readies once.
    unsafe { gopark_timeout(nothing_to_unlock, std::ptr::null_mut(), reason, ticket, deadline) }
}

/// Two queues and perhaps a deadline: one wakes.
fn several_wakers(limit: Option<Duration>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let queues: Arc<[Queue; 2]> = Arc::default();
        let ticket = current().open_ticket();
        queues.iter().for_each(|q| q.stand(ticket));
        let wakers = [1, 2].map(|n| {
            let queues = queues.clone();
            thread::spawn(move || queues[n - 1].wake(std::ptr::without_provenance_mut(n * 16)))
        });
        let woken = wait(ticket, limit);
        let word = current().take_param().addr();
        let won: Vec<bool> = wakers.into_iter().map(|t| t.join().unwrap()).collect();
        settle();
        assert_quiet();
        match woken {
            Woken::Readied => assert_eq!((won[0], won[1]), (word == 16, word == 32)),
            Woken::TimedOut => assert_eq!((won[0], won[1], word), (false, false, 0)),
        }
        assert_eq!(won.iter().filter(|&&w| w).count(), usize::from(woken == Woken::Readied));
    });
}

/// A wait with a deadline, and one after it that only its own waker may end.
fn a_wait_and_the_next() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let queues: Arc<[Queue; 2]> = Arc::default();
        let first = current().open_ticket();
        queues[0].stand(first);
        let theirs = queues.clone();
        let waker = thread::spawn(move || theirs[0].wake(std::ptr::null_mut()));
        let woken = wait(first, Some(Duration::from_millis(1)));
        assert_eq!(current().take_param().addr(), 0, "a word of another wait");

        let second = current().open_ticket();
        queues[1].stand(second);
        let theirs = queues.clone();
        let next_waker = thread::spawn(move || assert!(theirs[1].wake(std::ptr::without_provenance_mut(16))));
        assert_eq!(wait(second, None), Woken::Readied);
        assert_eq!(current().take_param().addr(), 16, "woken by another than its waker");

        next_waker.join().unwrap();
        assert_eq!(waker.join().unwrap(), woken == Woken::Readied);
        settle();
        assert_quiet();
    });
}

#[test]
fn loom_of_several_wakers_one_is_let_through() {
    several_wakers(None);
    several_wakers(Some(Duration::from_millis(1)));
}

#[test]
fn loom_a_late_timer_wakes_no_later_wait() {
    a_wait_and_the_next();
}

#[test]
#[should_panic(expected = "woken by another than its waker")]
fn a_ticket_that_is_used_again_lets_a_late_timer_in() {
    with_bug("ticket: no value comes twice", a_wait_and_the_next);
}

#[test]
#[should_panic(expected = "woken by another than its waker")]
fn a_deadline_that_does_not_claim_wakes_twice() {
    with_bug("deadline: it claims the ticket", a_wait_and_the_next);
}
