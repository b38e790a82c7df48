//! Scripts of operations that do not wait, against a plain queue, and against crossbeam-channel where the two agree.
use gosched_chan::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Debug)]
enum Op {
    TrySend(u16),
    TryRecv,
    Len,
    Close,
    SelectSend(u16),
    SelectRecv,
    /// Both at once, on two channels' ends: whichever can.
    SelectEither(u16),
    ListSend(u16),
    ListRecv,
    /// Choose to send, let the second operation happen, then send.
    Reserve(u16, bool),
    DropReserved,
    Drain,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<u16>().prop_map(Op::TrySend),
        6 => Just(Op::TryRecv),
        2 => Just(Op::Len),
        1 => Just(Op::Close),
        3 => any::<u16>().prop_map(Op::SelectSend),
        3 => Just(Op::SelectRecv),
        2 => any::<u16>().prop_map(Op::SelectEither),
        3 => any::<u16>().prop_map(Op::ListSend),
        3 => Just(Op::ListRecv),
        2 => (any::<u16>(), any::<bool>()).prop_map(|(v, r)| Op::Reserve(v, r)),
        1 => Just(Op::DropReserved),
        1 => Just(Op::Drain),
    ]
}

/// What the channel is: a bounded queue that can be closed. Unbuffered, with nobody else there, it never takes anything.
struct Model {
    q: VecDeque<u16>,
    cap: usize,
    closed: bool,
}

impl Model {
    fn try_send(&mut self, v: u16) -> Result<(), TrySendError<u16>> {
        match (self.closed, self.q.len() < self.cap) {
            (true, _) => Err(TrySendError::Closed(v)),
            (_, false) => Err(TrySendError::Full(v)),
            _ => {
                self.q.push_back(v);
                Ok(())
            }
        }
    }
    fn try_recv(&mut self) -> Result<u16, TryRecvError> {
        self.q.pop_front().ok_or(if self.closed { TryRecvError::Closed } else { TryRecvError::Empty })
    }
}

/// A send in a select: `Some(true)` sent, `Some(false)` panicked, None: default.
fn sent(r: Result<(), TrySendError<u16>>) -> Option<bool> {
    match r {
        Ok(()) => Some(true),
        Err(TrySendError::Closed(_)) => Some(false),
        Err(TrySendError::Full(_)) => None,
    }
}

/// A receive in a select: None: default.
fn received(r: Result<u16, TryRecvError>) -> Option<Option<u16>> {
    match r {
        Ok(v) => Some(Some(v)),
        Err(TryRecvError::Closed) => Some(None),
        Err(TryRecvError::Empty) => None,
    }
}

fn quiet<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

fn run(cap: usize, script: &[Op]) {
    let c = Chan::new(cap);
    let mut m = Model { q: VecDeque::new(), cap, closed: false };
    let nil = Chan::<u16>::nil();
    for op in script {
        match *op {
            Op::TrySend(v) => assert_eq!(c.try_send(v), m.try_send(v)),
            Op::TryRecv => assert_eq!(c.try_recv(), m.try_recv()),
            Op::Len => {}
            Op::Close => {
                assert_eq!(quiet(|| c.close()).is_some(), !m.closed);
                m.closed = true;
            }
            Op::SelectSend(v) => {
                let got = match quiet(
                    || select! { send(c, v) => true, recv(nil) -> _ => panic!(), default => false },
                ) {
                    Some(false) => None,
                    other => Some(other.is_some()),
                };
                assert_eq!(got, sent(m.try_send(v)));
            }
            Op::SelectRecv => {
                let got = select! { send(nil, 1) => panic!(), recv(c) -> v => Some(v), default => None };
                assert_eq!(got, received(m.try_recv()));
            }
            Op::SelectEither(v) => {
                let (can_send, can_recv) = (m.closed || m.q.len() < cap, m.closed || !m.q.is_empty());
                enum E {
                    Sent,
                    Got(Option<u16>),
                    Default,
                }
                match quiet(
                    || select! { send(c, v) => E::Sent, recv(c) -> v => E::Got(v), default => E::Default },
                ) {
                    Some(E::Sent) => assert_eq!(m.try_send(v), Ok(())),
                    Some(E::Got(got)) => assert_eq!(Some(got), received(m.try_recv())),
                    Some(E::Default) => assert!(!can_send && !can_recv),
                    None => assert!(m.closed),
                }
            }
            Op::ListSend(v) => {
                let mut s = Select::new();
                s.send(&c);
                s.recv(&nil);
                let got = s.try_select().ok().map(|op| quiet(|| op.send(&c, v)).is_some());
                assert_eq!(got, sent(m.try_send(v)));
            }
            Op::ListRecv => {
                let mut s = Select::new();
                s.recv(&nil);
                s.recv(&c);
                assert_eq!(s.try_select().ok().map(|op| op.recv(&c)), received(m.try_recv()));
            }
            Op::Reserve(v, recv) => {
                let mut s = Select::new();
                s.send(&c);
                if let Ok(op) = s.try_select() {
                    if !m.closed {
                        m.cap -= 1;
                        if recv {
                            assert_eq!(c.try_recv(), m.try_recv());
                        } else {
                            assert_eq!(c.try_send(v), m.try_send(v));
                        }
                        m.cap += 1;
                    }
                    assert_eq!(quiet(|| op.send(&c, v)).is_some(), m.try_send(v).is_ok());
                } else {
                    assert!(!m.closed && m.q.len() == cap);
                }
            }
            Op::DropReserved => {
                let mut s = Select::new();
                s.send(&c);
                if let Ok(op) = s.try_select() {
                    assert!(quiet(|| drop(op)).is_none());
                }
            }
            Op::Drain => assert_eq!(c.try_iter().collect::<Vec<_>>(), m.q.drain(..).collect::<Vec<_>>()),
        }
        assert_eq!((c.len(), c.is_empty(), c.is_full()), (m.q.len(), m.q.is_empty(), m.q.len() == cap));
        assert_eq!((c.cap(), c.is_closed()), (cap, m.closed));
    }
}

/// The two agree on a channel that stays open: the same answers to the same polls.
fn beside_crossbeam(cap: usize, script: &[Op]) {
    let c = Chan::new(cap);
    let (tx, rx) = crossbeam_channel::bounded(cap);
    for op in script {
        match *op {
            Op::TrySend(v)
            | Op::SelectSend(v)
            | Op::ListSend(v)
            | Op::Reserve(v, _)
            | Op::SelectEither(v) => {
                let theirs = tx.try_send(v).is_ok();
                let ours = match *op {
                    Op::TrySend(_) => c.try_send(v).is_ok(),
                    Op::SelectSend(_) => select! { send(c, v) => true, default => false },
                    _ => {
                        let mut s = Select::new();
                        s.send(&c);
                        s.try_select().map(|op| op.send(&c, v)).is_ok()
                    }
                };
                assert_eq!(ours, theirs);
            }
            Op::TryRecv => assert_eq!(c.try_recv().ok(), rx.try_recv().ok()),
            Op::SelectRecv => assert_eq!(select! { recv(c) -> v => v, default => None }, rx.try_recv().ok()),
            Op::ListRecv => {
                let mut s = Select::new();
                s.recv(&c);
                assert_eq!(s.try_select().ok().and_then(|op| op.recv(&c)), rx.try_recv().ok());
            }
            Op::Drain => assert!(c.try_iter().eq(rx.try_iter())),
            Op::Len | Op::Close | Op::DropReserved => {}
        }
        assert_eq!((c.len(), c.is_full(), c.is_empty()), (rx.len(), rx.is_full(), rx.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_script_does_what_a_queue_does(cap in 0usize..5, script in prop::collection::vec(op(), 0..60)) {
        std::panic::set_hook(Box::new(|_| {})); // the panics are part of the script; a failure reaches proptest by itself
        run(cap, &script);
    }

    #[test]
    fn any_script_does_what_crossbeam_does(cap in 0usize..5, script in prop::collection::vec(op(), 0..60)) {
        beside_crossbeam(cap, &script);
    }
}
