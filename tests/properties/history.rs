//! What happened: which operation was called when, and when it returned with what.
//!
//! Stamps come from one counter that all participants count up, before an operation and after it: `[inv, resp]`. If one
//! operation's `resp` is less than another's `inv`, then it was over before the other began; else the two overlap, and
//! their order is for the checker to find. The counting is the one thing that the participants do together; the records
//! themselves are each participant's own until it has ended. (The counter is an acquire and a release, so it orders what
//! the participants do more than the channels alone would: a missing ordering in the library might not show here.)

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value, unlike all others of its program.
pub type Val = u16;

/// How long an operation waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    Forever,
    /// A `try_` operation, or a select with a default.
    No,
    Micros(u32),
}

/// Which function of the library it is. The meaning is the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// `send`, `recv`, and what there is with `try_` and `_timeout`.
    Plain,
    /// The same with `send_checked` for `send`.
    Checked,
    /// `select!`
    Macro,
    /// `Select`
    List,
    /// `Select`, with a yield before what was chosen is carried out.
    Lazy,
}

/// One case of a select; the only one, of a plain operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arm {
    Send(usize, Val),
    Recv(usize),
}

impl Arm {
    pub fn chan(self) -> usize {
        match self {
            Arm::Send(c, _) | Arm::Recv(c) => c,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Comm {
        arms: Vec<Arm>,
        wait: Wait,
        form: Form,
    },
    Close(usize),
    Len(usize),
    IsClosed(usize),
    /// The harness found that everybody who has not ended stands in the queues of the operation that it is in (run.rs). Who
    /// they are, and what the channels were: len and is_closed.
    Quiet {
        parked: Vec<usize>,
        chans: Vec<(usize, bool)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The arm of that number has sent.
    Sent(usize),
    Got(usize, Val),
    /// It has received the end: the channel is closed and drained.
    Ended(usize),
    /// It was to send on a closed channel: the value is back, or there was a panic. (`select!` does not say which arm.)
    Refused(Option<usize>),
    /// Full, empty, timed out, default.
    NotReady,
    /// A close has closed; it has panicked.
    Closed,
    Panicked,
    Len(usize),
    IsClosed(bool),
    /// Of Quiet.
    Seen,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Event {
    pub who: usize,
    pub call: Call,
    pub inv: u64,
    /// None: it has never returned.
    pub resp: Option<(u64, Outcome)>,
}

impl Event {
    pub fn out(&self) -> Option<Outcome> {
        self.resp.map(|r| r.1)
    }
    /// When it returned; after everything, where it has not.
    pub fn end(&self) -> u64 {
        self.resp.map_or(u64::MAX, |r| r.0)
    }
    pub fn arms(&self) -> &[Arm] {
        if let Call::Comm { arms, .. } = &self.call { arms } else { &[] }
    }
    /// What it sent, and where.
    pub fn sent(&self) -> Option<(usize, Val)> {
        match self.out() {
            Some(Outcome::Sent(a)) => match self.arms()[a] {
                Arm::Send(c, v) => Some((c, v)),
                Arm::Recv(_) => None,
            },
            _ => None,
        }
    }
    /// What it received, and where.
    pub fn got(&self) -> Option<(usize, Val)> {
        match self.out() {
            Some(Outcome::Got(a, v)) => Some((self.arms()[a].chan(), v)),
            _ => None,
        }
    }
}

/// All of it, in the order of the calls.
#[derive(Clone, Debug)]
pub struct History {
    pub caps: Vec<Option<usize>>,
    /// Who from this number on is the harness.
    pub parts: usize,
    pub events: Vec<Event>,
}

impl History {
    pub fn new(caps: Vec<Option<usize>>, parts: usize, mut events: Vec<Event>) -> History {
        events.sort_by_key(|e| e.inv);
        History { caps, parts, events }
    }
}

/// The counter.
#[derive(Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn tick(&self) -> u64 {
        // AcqRel: who draws a later number sees what was before the earlier one; so the operation before a stamp is over for
        // whoever draws the next, and the one after it has not begun.
        self.0.fetch_add(1, Ordering::AcqRel)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arm::Send(c, v) => write!(f, "send(c{c}, v{v})"),
            Arm::Recv(c) => write!(f, "recv(c{c})"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Comm { arms, wait, form } => {
                let arms: Vec<_> = arms.iter().map(Arm::to_string).collect();
                let arms = arms.join(", ");
                match form {
                    Form::Plain => write!(f, "{arms}")?,
                    Form::Checked => write!(f, "checked {arms}")?,
                    Form::Macro => write!(f, "select! {{ {arms} }}")?,
                    Form::List => write!(f, "Select [ {arms} ]")?,
                    Form::Lazy => write!(f, "lazy Select [ {arms} ]")?,
                }
                match wait {
                    Wait::Forever => Ok(()),
                    Wait::No => write!(f, " or not"),
                    Wait::Micros(us) => write!(f, " within {us} us"),
                }
            }
            Call::Close(c) => write!(f, "close(c{c})"),
            Call::Len(c) => write!(f, "len(c{c})"),
            Call::IsClosed(c) => write!(f, "is_closed(c{c})"),
            Call::Quiet { parked, chans } => write!(f, "parked: {parked:?}; len and closed: {chans:?}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resp {
            None => write!(f, "[{:3}, ...] p{}: {}", self.inv, self.who, self.call),
            Some((t, out)) => write!(f, "[{:3}, {t:3}] p{}: {} -> {out:?}", self.inv, self.who, self.call),
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "(p{} is the harness)", self.parts)?;
        self.events.iter().try_for_each(|e| writeln!(f, "  {e}"))
    }
}
