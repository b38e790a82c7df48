//! Model of timers against the poller (polltoken.rs), with the heap of timers.rs and the counters of spinning.rs: Ms that
//! go idle, one of which waits in the poller, and a thread that starts a timer.
//!
//! What is checked: whoever waits in the poller comes out by the time of the earliest timer, or is broken, or somebody else
//! was woken who comes to it; so the timer is called. Time stands at the new timer's: who waits until then or earlier comes
//! out by himself, who waits longer needs the break, and without it sleeps for ever, which loom reports as a deadlock.
//! What is not: descriptors, and so a holder who comes out with a goroutine in hand: then sysmon comes in (polltoken.rs).
//! What makes it fail: the starter's fence taken out; a holder that leaves its time behind.

use crate::model::fails;
use crate::polltoken::{Owes, PollToken};
use crate::spinning::Spinning;
use crate::timers::{NEVER, Timers};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::ptr::null_mut;
use std::sync::Arc; // not loom's: a model that fails must be able to unwind through it

/// The new timer's time, at which the clock stands.
const NOW: u64 = 5;

unsafe fn nothing(_: *mut (), _: u64) {}

/// What is under the scheduler's lock, and what the models' clock and end are made of.
#[derive(Default)]
struct Locked {
    idle_ps: u32,
    /// A break that nobody has taken yet.
    broken: bool,
    /// The timer was called.
    called: bool,
    /// All is over: whoever is in the poller comes out.
    over: bool,
}

struct World {
    spin: Spinning,
    poll: PollToken,
    timers: Timers,
    lock: Mutex<Locked>,
    /// Something under the lock has changed.
    bell: Condvar,
    /// Descriptors are registered: there is something to wait for without a timer.
    active: bool,
}

impl World {
    fn new(active: bool) -> Arc<World> {
        Arc::new(World {
            spin: Spinning::new(),
            poll: PollToken::new(),
            timers: Timers::new(),
            lock: Mutex::new(Locked::default()),
            bell: Condvar::new(),
            active,
        })
    }

    /// netpoll of IdlePoller (netpoll.rs). False: all is over.
    fn netpoll(&self, until: u64) -> bool {
        let mut locked = self.lock.lock().unwrap();
        while until > NOW && !locked.broken && !locked.over {
            locked = self.bell.wait(locked).unwrap();
        }
        locked.broken = false;
        !locked.over
    }

    fn netpoll_break(&self) {
        self.lock.lock().unwrap().broken = true;
        self.bell.notify_all();
    }

    fn take_idle_p(&self) -> bool {
        let mut locked = self.lock.lock().unwrap();
        let any = locked.idle_ps > 0;
        if any {
            locked.idle_ps -= 1;
            self.spin.p_busy();
        }
        any
    }

    /// An M with a P and nothing to run, until it goes to sleep for good (findrunnable.rs).
    fn findrunnable(&self, mut spinning: bool) {
        loop {
            if self.timers.take_due(NOW).is_some() {
                self.lock.lock().unwrap().called = true;
                self.bell.notify_all();
            }
            self.lock.lock().unwrap().idle_ps += 1;
            self.spin.p_idle();
            self.spin.went_idle(spinning);
            spinning = false;
            let until = self.timers.first();
            if (until != NEVER || self.active) && self.poll.take() {
                self.poll.waits_until(until);
                let goes_on = self.netpoll(until);
                self.poll.give_back(1);
                if goes_on && self.take_idle_p() {
                    continue;
                }
            } else if until != NEVER && self.poll.is_waiting_beyond(until) {
                self.netpoll_break();
            }
            return;
        }
    }

    /// A timer for `NOW` (starttimer.rs, wake.rs).
    fn start_timer(self: &Arc<World>) -> Option<thread::JoinHandle<()>> {
        let (_, earliest) = self.timers.add(NOW, nothing, null_mut(), 0);
        assert!(earliest);
        match self.poll.timer_started(NOW) {
            Owes::Nothing => {}
            Owes::Break => self.netpoll_break(),
            Owes::Wake if self.spin.must_wake() && self.spin.claim() => {
                if self.take_idle_p() {
                    let m = self.clone();
                    return Some(thread::spawn(move || m.findrunnable(true)));
                }
                self.spin.unclaim();
            }
            Owes::Wake => {}
        }
        None
    }

    /// Starts the timer while an M does `before` and then goes idle, and waits until somebody has called it.
    fn start_and_wait(self: &Arc<World>, before: impl FnOnce(&Arc<World>) + 'static) {
        let m = self.clone();
        let m = thread::spawn(move || {
            before(&m);
            m.findrunnable(false);
        });
        let woken = self.start_timer();
        let mut locked = self.lock.lock().unwrap();
        while !locked.called {
            locked = self.bell.wait(locked).unwrap();
        }
        locked.over = true;
        drop(locked);
        self.bell.notify_all();
        m.join().unwrap();
        woken.into_iter().for_each(|m| m.join().unwrap());
    }
}

fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut b = loom::model::Builder::new();
    b.preemption_bound = Some(preemptions);
    b.check(f);
}

/// A timer is started while an M goes idle. `later`: there is one for a later time already.
fn m_and_starter(active: bool, later: bool) {
    model(3, move || {
        let w = World::new(active);
        if later {
            let _ = w.timers.add(NOW + 5, nothing, null_mut(), 0);
        }
        w.start_and_wait(|_| ());
    });
}

/// As before, after this M has waited for an earlier timer; or while another does, comes out and looks again.
fn after_an_earlier_wait(by_another: bool) {
    model(if by_another { 2 } else { 3 }, move || {
        World::new(true).start_and_wait(move |w| {
            assert!(w.poll.take());
            w.poll.waits_until(NOW - 2);
            if by_another {
                let other = w.clone();
                thread::spawn(move || {
                    other.poll.give_back(1);
                    other.findrunnable(false);
                });
            } else {
                w.poll.give_back(1);
            }
        });
    });
}

#[test]
fn loom_no_timer_is_slept_through() {
    for (active, later) in [(false, false), (false, true), (true, false), (true, true)] {
        m_and_starter(active, later);
    }
}

#[test]
fn loom_nobody_believes_an_earlier_holder() {
    after_an_earlier_wait(false);
    after_an_earlier_wait(true);
}

#[test]
fn without_the_starters_fence_a_timer_is_slept_through() {
    let test = "models::loom_polltoken::without_the_starters_fence_a_timer_is_slept_through";
    fails(test, "poll token: the starter fences", "deadlock", || after_an_earlier_wait(false));
}

#[test]
fn what_an_earlier_holder_has_left_is_believed() {
    let test = "models::loom_polltoken::what_an_earlier_holder_has_left_is_believed";
    fails(test, "poll token: a holder clears what it has left", "deadlock", || after_an_earlier_wait(false));
}
