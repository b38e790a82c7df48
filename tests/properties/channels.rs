//! What the programs run on: our channels, and crossbeam-channel's, behind one face.

use super::history::{Form, Outcome, Wait};
use super::values::Value;
use gosched::chan::{
    Chan, Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError, select,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

pub trait Channels: 'static {
    type Tx: Clone + Send + 'static;
    type Rx: Clone + Send + 'static;
    /// None: nil.
    fn make(cap: Option<usize>) -> (Self::Tx, Self::Rx);
    /// One of the arms.
    fn comm(arms: Vec<Live<'_, Self>>, wait: Wait, form: Form) -> Outcome;
    /// Closes. Who closes by dropping is given the last sender.
    fn close(tx: &mut Option<Self::Tx>) -> Outcome;
    fn len(rx: &Self::Rx) -> usize;
    fn is_closed(rx: &Self::Rx) -> bool;
    /// How many senders and receivers stand in its queues, where that can be known.
    fn waiting(rx: &Self::Rx) -> Option<(usize, usize)>;
}

/// An arm about to be tried.
pub enum Live<'a, C: Channels + ?Sized> {
    Send(&'a C::Tx, Value),
    Recv(&'a C::Rx),
}

fn micros(us: u32) -> Duration {
    Duration::from_micros(us.into())
}

/// A value that comes back must be the one that was to be sent.
fn back(v: Value, id: u16) {
    assert_eq!(v.id(), id, "another value came back than the one that was to be sent");
}

fn got(arm: usize, v: Option<Value>) -> Outcome {
    v.map_or(Outcome::Ended(arm), |v| Outcome::Got(arm, v.id()))
}

/// The panics of channels: the ones that a program may cause.
pub const PANICS: [&str; 3] = ["send on closed channel", "close of closed channel", "close of nil channel"];

/// None where `f` has panicked with one of those.
fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(r) => Some(r),
        Err(e) if e.downcast_ref::<&str>().is_some_and(|m| PANICS.contains(m)) => None,
        Err(e) => resume_unwind(e),
    }
}

pub struct Ours;

impl Channels for Ours {
    type Tx = Sender<Value>;
    type Rx = Receiver<Value>;

    fn make(cap: Option<usize>) -> (Self::Tx, Self::Rx) {
        let c = cap.map_or(Chan::nil(), Chan::new);
        (c.sender(), c.receiver())
    }

    fn comm(mut arms: Vec<Live<'_, Self>>, wait: Wait, form: Form) -> Outcome {
        match form {
            Form::Plain | Form::Checked => {
                assert_eq!(arms.len(), 1);
                match arms.remove(0) {
                    Live::Send(tx, v) => send(tx, v, wait, form),
                    Live::Recv(rx) => recv(rx, wait),
                }
            }
            Form::List => list(arms, wait, false),
            Form::Lazy => list(arms, wait, true),
            Form::Macro => statement(arms, wait),
        }
    }

    fn close(tx: &mut Option<Self::Tx>) -> Outcome {
        caught(|| tx.as_ref().expect("a sender").close()).map_or(Outcome::Panicked, |()| Outcome::Closed)
    }

    fn len(rx: &Self::Rx) -> usize {
        rx.len()
    }
    fn is_closed(rx: &Self::Rx) -> bool {
        rx.is_closed()
    }
    fn waiting(rx: &Self::Rx) -> Option<(usize, usize)> {
        Some(rx.__waiting())
    }
}

fn send(tx: &Sender<Value>, v: Value, wait: Wait, form: Form) -> Outcome {
    let id = v.id();
    let refused = |v| {
        back(v, id);
        Outcome::Refused(Some(0))
    };
    let full = |v| {
        back(v, id);
        Outcome::NotReady
    };
    match (wait, form) {
        (Wait::Forever, Form::Plain) => {
            caught(|| tx.send(v)).map_or(Outcome::Refused(Some(0)), |()| Outcome::Sent(0))
        }
        (Wait::Forever, _) => tx.send_checked(v).map_or_else(|e| refused(e.0), |()| Outcome::Sent(0)),
        (Wait::No, _) => match tx.try_send(v) {
            Ok(()) => Outcome::Sent(0),
            Err(TrySendError::Full(v)) => full(v),
            Err(TrySendError::Closed(v)) => refused(v),
        },
        (Wait::Micros(us), _) => match tx.send_timeout(v, micros(us)) {
            Ok(()) => Outcome::Sent(0),
            Err(SendTimeoutError::Timeout(v)) => full(v),
            Err(SendTimeoutError::Closed(v)) => refused(v),
        },
    }
}

fn recv(rx: &Receiver<Value>, wait: Wait) -> Outcome {
    match wait {
        Wait::Forever => got(0, rx.recv()),
        Wait::No => match rx.try_recv() {
            Ok(v) => got(0, Some(v)),
            Err(TryRecvError::Closed) => got(0, None),
            Err(TryRecvError::Empty) => Outcome::NotReady,
        },
        Wait::Micros(us) => match rx.recv_timeout(micros(us)) {
            Ok(v) => got(0, Some(v)),
            Err(RecvTimeoutError::Closed) => got(0, None),
            Err(RecvTimeoutError::Timeout) => Outcome::NotReady,
        },
    }
}

/// By `Select`.
fn list(mut arms: Vec<Live<'_, Ours>>, wait: Wait, lazy: bool) -> Outcome {
    let mut values: Vec<Option<Value>> = Vec::new();
    for arm in &mut arms {
        values.push(match arm {
            Live::Send(_, v) => Some(std::mem::replace(v, Value::none())),
            Live::Recv(_) => None,
        });
    }
    let mut s = Select::new();
    for arm in &arms {
        match arm {
            Live::Send(tx, _) => s.send(*tx),
            Live::Recv(rx) => s.recv(*rx),
        };
    }
    let op = match wait {
        Wait::Forever => Some(s.select()),
        Wait::No => s.try_select().ok(),
        Wait::Micros(us) => s.select_timeout(micros(us)).ok(),
    };
    let Some(op) = op else { return Outcome::NotReady };
    let i = op.index();
    if lazy {
        gosched::yield_now(); // what was chosen is binding
    }
    match (&arms[i], values[i].take()) {
        (Live::Recv(rx), _) => got(i, op.recv(*rx)),
        (Live::Send(tx, _), Some(v)) => {
            caught(|| op.send(*tx, v)).map_or(Outcome::Refused(Some(i)), |()| Outcome::Sent(i))
        }
        (Live::Send(..), None) => unreachable!("a value for each send"),
    }
}

/// By `select!`, which has its cases when it is compiled: two for each arm, and one of them is nil.
fn statement(arms: Vec<Live<'_, Ours>>, wait: Wait) -> Outcome {
    let (no_tx, no_rx) = (Chan::nil().sender(), Chan::nil().receiver());
    let (mut tx, mut rx) = ([&no_tx; 5], [&no_rx; 5]);
    let mut values = [(); 5].map(|()| Value::none());
    for (i, arm) in arms.into_iter().enumerate() {
        match arm {
            Live::Send(c, v) => (tx[i], values[i]) = (c, v),
            Live::Recv(c) => rx[i] = c,
        }
    }
    let [a, b, c, d, e] = values;
    macro_rules! ten {
        ($($default:tt)*) => { select! {
            recv(rx[0]) -> v => got(0, v),
            send(tx[0], a) => Outcome::Sent(0),
            recv(rx[1]) -> v => got(1, v),
            send(tx[1], b) => Outcome::Sent(1),
            recv(rx[2]) -> v => got(2, v),
            send(tx[2], c) => Outcome::Sent(2),
            recv(rx[3]) -> v => got(3, v),
            send(tx[3], d) => Outcome::Sent(3),
            recv(rx[4]) -> v => got(4, v),
            send(tx[4], e) => Outcome::Sent(4),
            $($default)*
        } };
    }
    let chosen = caught(|| match wait {
        Wait::Forever => ten!(),
        Wait::No => ten!(default => Outcome::NotReady),
        Wait::Micros(us) => ten!(default(micros(us)) => Outcome::NotReady),
    });
    chosen.unwrap_or(Outcome::Refused(None))
}

/// crossbeam-channel. It has no nil, and closes by dropping: the harness keeps a handle of each kind until the end.
pub struct Theirs;

impl Channels for Theirs {
    type Tx = crossbeam_channel::Sender<Value>;
    type Rx = crossbeam_channel::Receiver<Value>;

    fn make(cap: Option<usize>) -> (Self::Tx, Self::Rx) {
        crossbeam_channel::bounded(cap.expect("crossbeam-channel has no nil channel to send on"))
    }

    fn comm(mut arms: Vec<Live<'_, Self>>, wait: Wait, form: Form) -> Outcome {
        use crossbeam_channel::{
            RecvTimeoutError as Rt, Select, SendTimeoutError as St, TryRecvError as Tr, TrySendError as Ts,
        };
        let refused = Outcome::Refused(Some(0));
        let value = |v: Value| Outcome::Got(0, v.id());
        if matches!(form, Form::Plain | Form::Checked) {
            return match (arms.remove(0), wait) {
                (Live::Send(tx, v), Wait::Forever) => tx.send(v).map_or(refused, |()| Outcome::Sent(0)),
                (Live::Send(tx, v), Wait::No) => match tx.try_send(v) {
                    Ok(()) => Outcome::Sent(0),
                    Err(Ts::Full(_)) => Outcome::NotReady,
                    Err(Ts::Disconnected(_)) => refused,
                },
                (Live::Send(tx, v), Wait::Micros(us)) => match tx.send_timeout(v, micros(us)) {
                    Ok(()) => Outcome::Sent(0),
                    Err(St::Timeout(_)) => Outcome::NotReady,
                    Err(St::Disconnected(_)) => refused,
                },
                (Live::Recv(rx), Wait::Forever) => rx.recv().map_or(Outcome::Ended(0), value),
                (Live::Recv(rx), Wait::No) => match rx.try_recv() {
                    Ok(v) => value(v),
                    Err(Tr::Empty) => Outcome::NotReady,
                    Err(Tr::Disconnected) => Outcome::Ended(0),
                },
                (Live::Recv(rx), Wait::Micros(us)) => match rx.recv_timeout(micros(us)) {
                    Ok(v) => value(v),
                    Err(Rt::Timeout) => Outcome::NotReady,
                    Err(Rt::Disconnected) => Outcome::Ended(0),
                },
            };
        }
        let mut s = Select::new();
        for arm in &arms {
            match arm {
                Live::Send(tx, _) => s.send(tx),
                Live::Recv(rx) => s.recv(rx),
            };
        }
        let op = match wait {
            Wait::Forever => Some(s.select()),
            Wait::No => s.try_select().ok(),
            Wait::Micros(us) => s.select_timeout(micros(us)).ok(),
        };
        let Some(op) = op else { return Outcome::NotReady };
        let i = op.index();
        drop(s);
        match arms.remove(i) {
            Live::Recv(rx) => got(i, op.recv(rx).ok()),
            Live::Send(tx, v) => op.send(tx, v).map_or(Outcome::Refused(Some(i)), |()| Outcome::Sent(i)),
        }
    }

    fn close(tx: &mut Option<Self::Tx>) -> Outcome {
        drop(tx.take().expect("the last sender"));
        Outcome::Closed
    }

    fn len(rx: &Self::Rx) -> usize {
        rx.len()
    }
    fn is_closed(_: &Self::Rx) -> bool {
        false
    }
    fn waiting(_: &Self::Rx) -> Option<(usize, usize)> {
        None
    }
}
