//! Random programs: 1 to 8 participants over 1 to 3 channels.
//!
//! A [`Program`] is what proptest makes and shrinks; any value of it means something. [`Program::plan`] says what: it
//! numbers the values, folds channel numbers into the range, leaves out what a participant cannot do because it has
//! dropped its handle, and sees to it that whatever waits for ever can be helped by the harness (run.rs):
//!
//! ```text
//!   plain      Send c0 ──► a plain send on c0           A wait on nil channels alone becomes a poll: nobody could end it.
//!   with stop  Send c0 ──► select { send c0, recv stop }  `stop` is one more channel, which the harness closes in the end.
//! ```
//! Both, because a plain operation and one in a select take different ways through the library.

use super::history::{Arm, Call, Form, Val, Wait};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt;

/// What a participant runs on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum On {
    Goroutine,
    Thread,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dir {
    Send,
    Recv,
}

/// One thing that a participant does. Channels are numbers that are taken modulo how many there are.
#[derive(Clone, Debug)]
pub enum Op {
    Comm {
        arms: Vec<(Dir, usize)>,
        wait: Wait,
        form: Form,
    },
    Close(usize),
    Len(usize),
    IsClosed(usize),
    /// Drops one of its handles; from then on it does nothing that would need it.
    Drop(Dir, usize),
    Yield,
    Spin(u8),
}

#[derive(Clone, Debug)]
pub struct Program {
    /// The channels' capacities; None: nil.
    pub caps: Vec<Option<usize>>,
    pub parts: Vec<(On, Vec<Op>)>,
    /// The participants wait for each other before they begin.
    pub gate: bool,
    /// See the file's head.
    pub stop: bool,
    /// How the harness helps who waits for ever: by the operation that it waits for; else by closing the channels.
    pub feed: bool,
    /// In the end the channels are closed and drained; else what is left in them is dropped with them.
    pub drain: bool,
}

/// What a participant does, without freedom.
#[derive(Clone, Debug)]
pub enum Step {
    Call(Call),
    Drop(Dir, usize),
    Yield,
    Spin(u8),
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// The stop channel, where there is one, is the last.
    pub caps: Vec<Option<usize>>,
    pub stop: Option<usize>,
    pub parts: Vec<(On, Vec<Step>)>,
    /// Values are numbered from 0; the harness goes on from here.
    pub values: usize,
    pub gate: bool,
    pub feed: bool,
    pub drain: bool,
}

impl Program {
    pub fn plan(&self) -> Plan {
        let n = self.caps.len();
        let mut caps = self.caps.clone();
        let stop = self.stop.then_some(n);
        caps.extend(stop.map(|_| Some(0)));
        let mut values = 0;
        let parts = self.parts.iter().map(|(on, ops)| {
            let (mut tx, mut rx) = (vec![true; n], vec![true; n]);
            let step = |op: &Op| {
                let has = |dir, c: usize| if dir == Dir::Send { tx[c % n] } else { rx[c % n] };
                Some(match op {
                    Op::Comm { arms, wait, form } => {
                        let has: Vec<_> = arms.iter().filter(|a| has(a.0, a.1)).collect();
                        let mut live: Vec<Arm> = (has.iter())
                            .map(|a| match a.0 {
                                Dir::Recv => Arm::Recv(a.1 % n),
                                Dir::Send => {
                                    values += 1;
                                    Arm::Send(a.1 % n, (values - 1) as Val)
                                }
                            })
                            .collect();
                        let (mut wait, mut form) = (*wait, *form);
                        if wait == Wait::Forever {
                            match stop {
                                Some(stop) => {
                                    live.push(Arm::Recv(stop));
                                    if matches!(form, Form::Plain | Form::Checked) {
                                        form = Form::Macro;
                                    }
                                }
                                None if live.iter().all(|a| caps[a.chan()].is_none()) => wait = Wait::No,
                                None => {}
                            }
                        }
                        if live.is_empty() {
                            return None;
                        }
                        Step::Call(Call::Comm { arms: live, wait, form })
                    }
                    Op::Close(c) if tx[c % n] => Step::Call(Call::Close(c % n)),
                    Op::Len(c) if rx[c % n] => Step::Call(Call::Len(c % n)),
                    Op::IsClosed(c) if rx[c % n] => Step::Call(Call::IsClosed(c % n)),
                    Op::Close(_) | Op::Len(_) | Op::IsClosed(_) => return None,
                    Op::Drop(dir, c) => {
                        let has = if *dir == Dir::Send { &mut tx } else { &mut rx };
                        has[c % n] = false;
                        Step::Drop(*dir, c % n)
                    }
                    Op::Yield => Step::Yield,
                    Op::Spin(k) => Step::Spin(*k),
                })
            };
            let mut step = step;
            (*on, ops.iter().filter_map(&mut step).collect())
        });
        let parts = parts.collect();
        Plan { caps, stop, parts, values, gate: self.gate, feed: self.feed, drain: self.drain }
    }
}

impl Plan {
    pub fn calls(&self) -> usize {
        self.parts.iter().flat_map(|p| &p.1).filter(|s| matches!(s, Step::Call(_))).count()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channels:")?;
        for (c, cap) in self.caps.iter().enumerate() {
            match cap {
                None => write!(f, " c{c} nil;")?,
                Some(0) => write!(f, " c{c} unbuffered;")?,
                Some(n) => write!(f, " c{c} of {n};")?,
            }
        }
        let (gate, feed, drain) = (self.gate, self.feed, self.drain);
        writeln!(f, " stop: {:?}; gate: {gate}, feed: {feed}, drain: {drain}", self.stop)?;
        for (who, (on, steps)) in self.parts.iter().enumerate() {
            writeln!(f, "p{who}, a {on:?}:")?;
            for step in steps {
                match step {
                    Step::Call(call) => writeln!(f, "    {call}")?,
                    other => writeln!(f, "    {other:?}")?,
                }
            }
        }
        Ok(())
    }
}

/// What programs are made of.
#[derive(Clone, Copy)]
pub struct Shape {
    pub parts: (usize, usize),
    pub ops: (usize, usize),
    pub nil: bool,
    pub close: bool,
    pub threads: bool,
}

/// For the search: few operations, each in the other's way.
pub const SMALL: Shape = Shape { parts: (2, 5), ops: (1, 6), nil: true, close: true, threads: true };

/// For all schedules that there are.
pub const TINY: Shape = Shape { parts: (2, 3), ops: (1, 2), nil: true, close: true, threads: false };

/// For what can be checked without a search.
pub const BIG: Shape = Shape { parts: (3, 8), ops: (5, 40), nil: true, close: true, threads: true };

/// What crossbeam-channel has too.
pub const COMMON: Shape = Shape { nil: false, close: false, ..SMALL };

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        8 => Just(Wait::Forever),
        3 => Just(Wait::No),
        2 => prop_oneof![Just(0), Just(20), Just(200)].prop_map(Wait::Micros),
    ]
}

fn op(shape: Shape) -> BoxedStrategy<Op> {
    let dir = || prop_oneof![Just(Dir::Send), Just(Dir::Recv)];
    let chan = || 0..3usize;
    let single = (dir(), chan(), wait(), any::<bool>()).prop_map(|(dir, c, wait, checked)| Op::Comm {
        arms: vec![(dir, c)],
        wait,
        // send or send_checked
        form: if checked { Form::Checked } else { Form::Plain },
    });
    let form = prop_oneof![4 => Just(Form::Macro), 3 => Just(Form::List), 2 => Just(Form::Lazy)];
    let select = (vec((dir(), chan()), 1..=4), wait(), form).prop_map(|(arms, wait, form)| Op::Comm {
        arms,
        wait,
        form,
    });
    prop_oneof![
        20 => single,
        16 => select,
        if shape.close { 3 } else { 0 } => chan().prop_map(Op::Close),
        1 => chan().prop_map(Op::Len),
        if shape.close { 1 } else { 0 } => chan().prop_map(Op::IsClosed),
        2 => (dir(), chan()).prop_map(|(dir, c)| Op::Drop(dir, c)),
        2 => Just(Op::Yield),
        1 => (1..100u8).prop_map(Op::Spin),
    ]
    .boxed()
}

pub fn program(shape: Shape) -> impl Strategy<Value = Program> {
    let cap = prop_oneof![
        5 => Just(Some(0)),
        3 => Just(Some(1)),
        2 => (2..4usize).prop_map(Some),
        if shape.nil { 1 } else { 0 } => Just(None),
    ];
    let on = prop_oneof![
        4 => Just(On::Goroutine),
        if shape.threads { 1 } else { 0 } => Just(On::Thread),
    ];
    let parts = vec((on, vec(op(shape), shape.ops.0..=shape.ops.1)), shape.parts.0..=shape.parts.1);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (vec(cap, 1..=3), parts, flags).prop_map(|(caps, parts, (gate, stop, feed, drain))| Program {
        caps,
        parts,
        gate,
        stop,
        feed,
        drain,
    })
}
