//! Runs a program and writes down what happened.
//!
//! Each participant does its steps and keeps its own record. The harness is one more participant; it starts the others,
//! and when they have all ended or wait for ever, it helps:
//!
//! ```text
//!   busy ──► quiet: each has ended, or stands in the queues of an operation that waits for ever
//!              │ all ended      ──► close and drain, or leave what is in the channels to be dropped
//!              └ some are parked ──► write that down (Quiet: it must be right that they wait), then
//!                                   close `stop`, or do what the first of them waits for, or close all  ──► busy
//! ```
//! So operations that wait for ever are tested as they are, and each program ends.
//!
//! **Quiet** is a fact, not a guess by time. Each participant has a phase: which operation it is in. The harness reads
//! the phases, then, under its lock, how many stand in the queues of each channel, then the phases again. If the phases
//! are the same, and each queue has as many as the operations of that phase must have in it, then all were parked at the
//! time of the last look: an operation enters its queues once, all at the same time, and leaves them in parts or whole
//! when it is woken, and who could wake it stands in queues, too. Channels that cannot be asked (crossbeam's) are
//! never found quiet; there the harness offers what they seem to wait for, until all have ended.
//!
//! How participants are started, and how the harness waits, is the caller's: [`World`].

use super::channels::{Channels, Live};
use super::history::{Arm, Call, Clock, Event, Form, History, Outcome, Val, Wait};
use super::program::{Dir, On, Plan, Step};
use super::values::Table;
use gosched::chan::Chan;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One operation of a participant: which step, and what came of it.
pub struct Record {
    step: usize,
    inv: u64,
    resp: u64,
    out: Outcome,
}

pub type Body = Box<dyn FnOnce() -> Vec<Record> + Send>;
/// Waits for the end of what was started.
pub type Join = Box<dyn FnOnce() -> std::thread::Result<Vec<Record>>>;

pub struct World<'a> {
    pub spawn: &'a dyn Fn(On, Body) -> Join,
    /// Lets the others run. Called with 0, 1, 2 … for as long as nothing has changed.
    pub pause: &'a dyn Fn(usize),
    /// How long nothing may change, in time and in pauses, before the program counts as hanging.
    pub patience: (Duration, usize),
    /// How many times a participant yields at most until all have come through the gate.
    pub rush: usize,
}

pub struct Run {
    pub history: History,
    /// What was wrong besides: values dropped twice or never, somebody asleep who is in no queue.
    pub wrong: Vec<String>,
    /// How many values were left in each channel; None where it was drained.
    pub left: Vec<Option<usize>>,
}

struct Shared {
    clock: Clock,
    table: Arc<Table>,
    /// Of each participant: 2 k + 1 while it is in step k, 2 k after it and before the next, DONE.
    phases: Vec<AtomicUsize>,
    /// How many have come through the gate.
    arrived: AtomicUsize,
}

const DONE: usize = usize::MAX;

/// A participant's handles.
struct Ends<C: Channels> {
    tx: Vec<Option<C::Tx>>,
    rx: Vec<Option<C::Rx>>,
}

impl<C: Channels> Ends<C> {
    fn perform(&mut self, call: &Call, shared: &Shared) -> (u64, Outcome, u64) {
        let (clock, rx) =
            (&shared.clock, |c: usize| self.rx[c].as_ref().expect("the plan knows the handles"));
        let timed = |f: &mut dyn FnMut() -> Outcome| {
            let inv = clock.tick();
            let out = f();
            (inv, out, clock.tick())
        };
        match call {
            Call::Comm { arms, wait, form } => {
                let live = |arm: &Arm| match *arm {
                    Arm::Send(c, v) => {
                        Live::Send(self.tx[c].as_ref().expect("the plan"), shared.table.make(v))
                    }
                    Arm::Recv(c) => Live::Recv(rx(c)),
                };
                let mut live: Option<Vec<_>> = Some(arms.iter().map(live).collect());
                timed(&mut || C::comm(live.take().unwrap_or_default(), *wait, *form))
            }
            Call::Close(c) => {
                let tx = &mut self.tx[*c];
                timed(&mut || C::close(tx))
            }
            Call::Len(c) => timed(&mut || Outcome::Len(C::len(rx(*c)))),
            Call::IsClosed(c) => timed(&mut || Outcome::IsClosed(C::is_closed(rx(*c)))),
            Call::Quiet { .. } => timed(&mut || Outcome::Seen),
        }
    }
}

fn participate<C: Channels>(me: usize, mut ends: Ends<C>, steps: &[Step], shared: &Shared) -> Vec<Record> {
    let phase = &shared.phases[me];
    let mut records = Vec::with_capacity(steps.len());
    for (step, todo) in steps.iter().enumerate() {
        match todo {
            Step::Call(call) => {
                // Release: pairs with the harness' Acquire; the steps before are over.
                phase.store(2 * step + 1, Ordering::Release);
                let (inv, out, resp) = ends.perform(call, shared);
                phase.store(2 * step + 2, Ordering::Release);
                records.push(Record { step, inv, resp, out });
            }
            Step::Drop(Dir::Send, c) => ends.tx[*c] = None,
            Step::Drop(Dir::Recv, c) => ends.rx[*c] = None,
            Step::Yield => gosched::yield_now(),
            Step::Spin(n) => (0..u32::from(*n) * 10).for_each(|_| std::hint::spin_loop()),
        }
    }
    records
}

struct Harness<'a, C: Channels> {
    plan: &'a Plan,
    world: &'a World<'a>,
    shared: Arc<Shared>,
    ends: Ends<C>,
    events: Vec<Event>,
    next_value: usize,
}

enum Quiet {
    AllDone,
    Parked(Vec<usize>),
    /// Nothing has changed for some time, and whether they are parked cannot be known.
    Unsure(Vec<usize>),
}

pub fn run_program<C: Channels>(plan: &Plan, world: &World<'_>) -> Run {
    let made: Vec<_> = plan.caps.iter().map(|&cap| C::make(cap)).collect();
    let (n, rush) = (plan.parts.len(), world.rush);
    let shared = Arc::new(Shared {
        clock: Clock::default(),
        // The harness may have to send one value for each call, and again where it cannot know.
        // Room for what the harness feeds, which on a slow machine may be a lot.
        table: Table::new(plan.values + 20_000),
        phases: (0..n).map(|_| AtomicUsize::new(0)).collect(),
        arrived: AtomicUsize::new(0),
    });
    let handles = |harness: bool| Ends::<C> {
        // Only the harness may close `stop`, also where it closes by dropping.
        tx: (made.iter().enumerate())
            .map(|(c, m)| (harness || plan.stop != Some(c)).then(|| m.0.clone()))
            .collect(),
        rx: made.iter().map(|m| Some(m.1.clone())).collect(),
    };
    let gate = plan.gate.then(|| Chan::<()>::new(0));
    let steps: Arc<Vec<_>> = Arc::new(plan.parts.iter().map(|p| p.1.clone()).collect());
    let joins: Vec<Join> = (plan.parts.iter().enumerate())
        .map(|(me, (on, _))| {
            let (ends, shared, steps, gate) = (handles(false), shared.clone(), steps.clone(), gate.clone());
            let body: Body = Box::new(move || {
                struct Done(Arc<Shared>, usize);
                impl Drop for Done {
                    fn drop(&mut self) {
                        self.0.phases[self.1].store(DONE, Ordering::Release);
                    }
                }
                let _done = Done(shared.clone(), me);
                if let Some(gate) = gate {
                    gate.recv();
                    shared.arrived.fetch_add(1, Ordering::Relaxed);
                    // As many at once as can be; but nobody waits for long, the program is right anyway.
                    let mut left = rush;
                    while left > 0 && shared.arrived.load(Ordering::Relaxed) < shared.phases.len() {
                        left -= 1;
                        gosched::yield_now();
                    }
                }
                participate(me, ends, &steps[me], &shared)
            });
            (world.spawn)(*on, body)
        })
        .collect();
    if let Some(gate) = gate {
        gate.close();
    }
    let ends = handles(true);
    drop(made);
    let mut h = Harness { plan, world, shared, ends, events: Vec::new(), next_value: plan.values };
    let mut wrong = Vec::new();
    if let Err(e) = h.until_all_have_ended() {
        // Whoever is asleep stays there; what it had done is not known, and what it holds is not dropped.
        wrong.push(e);
        let history = History::new(plan.caps.clone(), n, h.events);
        return Run { history, wrong, left: vec![] };
    }
    let left = (0..plan.caps.len()).map(|c| h.finish(c)).collect();
    let Harness { mut events, shared, ends, .. } = h;
    drop(ends);
    for (who, join) in joins.into_iter().enumerate() {
        match join() {
            Ok(records) => events.extend(records.into_iter().map(|r| {
                let Step::Call(call) = &plan.parts[who].1[r.step] else {
                    unreachable!("only calls are recorded")
                };
                Event { who, call: call.clone(), inv: r.inv, resp: Some((r.resp, r.out)) }
            })),
            Err(e) => wrong.push(format!("p{who} has panicked: {:?}", e.downcast_ref::<String>())),
        }
    }
    wrong.extend(shared.table.wrong());
    Run { history: History::new(plan.caps.clone(), n, events), wrong, left }
}

impl<C: Channels> Harness<'_, C> {
    fn perform(&mut self, call: Call) -> Outcome {
        let (inv, out, resp) = self.ends.perform(&call, &self.shared);
        self.events.push(Event { who: self.plan.parts.len(), call, inv, resp: Some((resp, out)) });
        out
    }

    fn poll(&mut self, arm: Arm) -> Outcome {
        self.perform(Call::Comm { arms: vec![arm], wait: Wait::No, form: Form::Plain })
    }

    fn phases(&self) -> Vec<usize> {
        self.shared.phases.iter().map(|p| p.load(Ordering::Acquire)).collect()
    }

    /// The operation that waits for ever in which a participant is.
    fn waits(&self, who: usize, phase: usize) -> Option<&[Arm]> {
        match &self.plan.parts[who].1.get(phase / 2) {
            Some(Step::Call(Call::Comm { arms, wait: Wait::Forever, .. })) if phase % 2 == 1 => Some(arms),
            _ => None,
        }
    }

    /// See the file's head. None: busy.
    fn look(&self) -> Option<Quiet> {
        let before = self.phases();
        let mut parked = Vec::new();
        let mut expected = vec![(0, 0); self.plan.caps.len()];
        for (who, &phase) in before.iter().enumerate().filter(|p| *p.1 != DONE) {
            for arm in self.waits(who, phase)? {
                match *arm {
                    Arm::Send(c, _) => expected[c].0 += 1,
                    Arm::Recv(c) => expected[c].1 += 1,
                }
            }
            parked.push(who);
        }
        if parked.is_empty() {
            return Some(Quiet::AllDone);
        }
        for (c, expected) in expected.into_iter().enumerate().filter(|e| self.plan.caps[e.0].is_some()) {
            match self.ends.rx[c].as_ref().map(C::waiting)? {
                None => return Some(Quiet::Unsure(parked)),
                Some(n) if n != expected => return None,
                Some(_) => {}
            }
        }
        (before == self.phases()).then_some(Quiet::Parked(parked))
    }

    fn until_quiet(&self) -> Result<Quiet, String> {
        let (time, pauses) = self.world.patience;
        let (mut since, mut last, mut rounds) = (Instant::now(), vec![], 0);
        loop {
            let phases = self.phases();
            let look = self.look();
            if phases != last {
                (since, last, rounds) = (Instant::now(), phases, 0);
            }
            match look {
                Some(Quiet::Unsure(_)) if rounds < 4 => {}
                Some(quiet) => return Ok(quiet),
                None if since.elapsed() > time && rounds >= pauses => return Err(self.asleep()),
                None => {}
            }
            (self.world.pause)(rounds);
            rounds += 1;
        }
    }

    /// What is known when the program hangs.
    fn asleep(&self) -> String {
        let mut s = String::from("it hangs: somebody has not ended and stands not in all its queues\n");
        for (who, phase) in self.phases().into_iter().enumerate() {
            let step = self.plan.parts[who].1.get(phase / 2);
            s += &match phase {
                DONE => format!("  p{who} has ended\n"),
                _ if phase % 2 == 1 => format!("  p{who} is in {step:?}\n"),
                _ => format!("  p{who} is before {step:?}\n"),
            };
        }
        for (c, rx) in self.ends.rx.iter().flatten().enumerate() {
            let (waiting, len, closed) = (C::waiting(rx), C::len(rx), C::is_closed(rx));
            s += &format!("  c{c}: senders and receivers {waiting:?}, len {len}, closed: {closed}\n");
        }
        s
    }

    fn until_all_have_ended(&mut self) -> Result<(), String> {
        let mut helps = 0;
        loop {
            let (parked, sure) = match self.until_quiet()? {
                Quiet::AllDone => return Ok(()),
                Quiet::Unsure(parked) => (parked, false),
                Quiet::Parked(parked) => {
                    let chans =
                        self.ends.rx.iter().flatten().map(|rx| (C::len(rx), C::is_closed(rx))).collect();
                    self.perform(Call::Quiet { parked: parked.clone(), chans });
                    (parked, true)
                }
            };
            // Each help ends a wait, of which there are not so many.
            helps += usize::from(sure);
            if helps > 2 * self.plan.calls() + 10 {
                return Err(format!("it hangs, though helped\n{}", self.asleep()));
            }
            self.help(&parked, sure);
        }
    }

    fn open(&self, c: usize) -> bool {
        let ends = (&self.ends.tx[c], &self.ends.rx[c]);
        self.plan.caps[c].is_some() && matches!(ends, (Some(_), Some(rx)) if !C::is_closed(rx))
    }

    /// Ends the wait of at least one of the parked (where they are sure to be). See the file's head.
    fn help(&mut self, parked: &[usize], sure: bool) {
        if let Some(stop) = self.plan.stop.filter(|&c| self.open(c)) {
            self.perform(Call::Close(stop));
            return;
        }
        if self.plan.feed || !sure {
            for &who in parked {
                // The phase may have moved on, where they were not sure to be parked. That is no harm.
                let phase = self.shared.phases[who].load(Ordering::Acquire);
                let arms = self.waits(who, phase).unwrap_or_default();
                let Some(&arm) = arms.iter().find(|a| self.open(a.chan())) else { continue };
                let out = self.poll(match arm {
                    Arm::Send(c, _) => Arm::Recv(c),
                    Arm::Recv(c) => Arm::Send(c, self.next_value as Val),
                });
                if out != Outcome::NotReady {
                    self.next_value += 1;
                    return;
                }
                if sure {
                    break; // which is wrong, and in the history
                }
                self.events.pop(); // it was not parked; nothing has happened
            }
            if !sure {
                return;
            }
        }
        for c in 0..self.plan.caps.len() {
            if self.open(c) {
                self.perform(Call::Close(c));
            }
        }
    }

    /// Nobody is left. How many values stay in the channel; None: it is closed and drained.
    fn finish(&mut self, c: usize) -> Option<usize> {
        if !self.plan.drain || self.plan.caps[c].is_none() {
            let len = self.perform(Call::Len(c));
            let Outcome::Len(n) = len else { unreachable!("len gives a length") };
            return Some(n);
        }
        if self.open(c) {
            self.perform(Call::Close(c));
        }
        // Not by a receive that waits: a channel with a fault may not be closed now.
        while let Outcome::Got(..) = self.poll(Arm::Recv(c)) {}
        None
    }
}
