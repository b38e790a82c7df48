//! What a channel is: a specification for one operation at a time, from the Go language specification ("Channel types",
//! "Send statements", "Receive operator", "Select statements", "Close").
//!
//! ```text
//!   a channel      nil, or open or closed, with a queue of at most cap values
//!   send v         open, room: v goes to the queue's end.       closed: refused (Go: panic).        nil: never
//!   receive        a value: the first one.  None left, closed: the end (Go: zero value, false).     nil: never
//!   send + receive unbuffered, open: both at once. The one step that takes two operations.
//!   close          open: closed.                                 closed or nil: panic
//!   select         one of its cases, as if it were alone; the default only where no case is ready
//!   ready          can go by the state alone, or with a partner who is known to wait
//! ```
//! A close says nothing to those who wait: they just find the channel closed when their turn comes, and that is the same.
//!
//! **What is ours, not Go's.** [`Select`](gosched::chan::Select) chooses first and is told the value to send then. Between
//! the two the room in the queue is *reserved* (chan's reflect.rs, hchan.rs): senders count it as taken, receivers see
//! nothing; a close makes it void. So such a send may take two steps here, and where all room is reserved and the queue is
//! empty, others may pass a value by both at once. It can be seen: a receive from a full queue frees room for a `Select`
//! that waits to send; in Go its value is in the queue from then on, here a poll may come before it.

use super::history::Val;

/// Channels and capacity at most. States are copied and hashed much.
pub const CHANS: usize = 4;
const CAP: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct One {
    closed: bool,
    len: u8,
    reserved: u8,
    /// Zero from `len` on, so that equal states are equal bits.
    buf: [Val; CAP],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct State([One; CHANS]);

/// The capacities; None: nil.
pub struct Spec {
    caps: [Option<usize>; CHANS],
}

impl Spec {
    pub fn new(caps: &[Option<usize>]) -> Spec {
        assert!(caps.len() <= CHANS && caps.iter().flatten().all(|&c| c <= CAP), "too big for the checker");
        let mut all = [None; CHANS];
        all[..caps.len()].copy_from_slice(caps);
        Spec { caps: all }
    }

    pub fn len(&self, s: &State, c: usize) -> usize {
        s.0[c].len.into()
    }

    pub fn is_closed(&self, s: &State, c: usize) -> bool {
        s.0[c].closed
    }

    fn has_room(&self, s: &State, c: usize) -> bool {
        let o = &s.0[c];
        self.caps[c].is_some_and(|cap| usize::from(o.len + o.reserved) < cap)
    }

    pub fn send_ready(&self, s: &State, c: usize, a_receiver_waits: bool) -> bool {
        self.caps[c].is_some() && (s.0[c].closed || self.has_room(s, c) || a_receiver_waits)
    }

    pub fn recv_ready(&self, s: &State, c: usize, a_sender_waits: bool) -> bool {
        self.caps[c].is_some() && (s.0[c].closed || s.0[c].len > 0 || a_sender_waits)
    }

    /// A send into the queue.
    #[must_use]
    pub fn send(&self, s: &State, c: usize, v: Val) -> Option<State> {
        (!s.0[c].closed && self.has_room(s, c)).then(|| {
            let mut s = *s;
            let o = &mut s.0[c];
            o.buf[usize::from(o.len)] = v;
            o.len += 1;
            s
        })
    }

    /// A receive of a value from the queue.
    #[must_use]
    pub fn recv(&self, s: &State, c: usize) -> Option<(State, Val)> {
        (s.0[c].len > 0).then(|| {
            let mut s = *s;
            let o = &mut s.0[c];
            let v = o.buf[0];
            o.buf.copy_within(1.., 0);
            o.buf[CAP - 1] = 0;
            o.len -= 1;
            (s, v)
        })
    }

    /// Whether a send and a receive can pass a value by both at once. It changes no state.
    pub fn meet(&self, s: &State, c: usize) -> bool {
        let o = &s.0[c];
        let ring_is_useless = self.caps[c] == Some(0) || (o.len == 0 && o.reserved > 0);
        self.caps[c].is_some() && !o.closed && ring_is_useless
    }

    /// Whether a receive finds the end.
    pub fn ended(&self, s: &State, c: usize) -> bool {
        s.0[c].closed && s.0[c].len == 0
    }

    /// None: it panics.
    #[must_use]
    pub fn close(&self, s: &State, c: usize) -> Option<State> {
        (self.caps[c].is_some() && !s.0[c].closed).then(|| {
            let mut s = *s;
            s.0[c].closed = true;
            s
        })
    }

    /// Room for a send whose value comes later.
    #[must_use]
    pub fn reserve(&self, s: &State, c: usize) -> Option<State> {
        (!s.0[c].closed && self.has_room(s, c)).then(|| {
            let mut s = *s;
            s.0[c].reserved += 1;
            s
        })
    }

    /// Gives the room back, as the first half of the send that it was for.
    #[must_use]
    pub fn release(&self, s: &State, c: usize) -> State {
        let mut s = *s;
        s.0[c].reserved -= 1;
        s
    }
}
