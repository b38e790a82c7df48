//! Histories made by hand: five kinds of fault, that the checker must reject, each beside its near miss, a history that
//! differs in little and is right.

use super::check::linearize;
use super::history::Outcome::*;
use super::history::{Arm, Call, Event, Form, History, Outcome, Wait};

const NEVER: u64 = u64::MAX;

fn event(who: usize, time: (u64, u64), call: Call, out: Outcome) -> Event {
    Event { who, call, inv: time.0, resp: (time.1 != NEVER).then_some((time.1, out)) }
}

fn comm(who: usize, time: (u64, u64), wait: Wait, arms: &[Arm], out: Outcome) -> Event {
    event(who, time, Call::Comm { arms: arms.to_vec(), wait, form: Form::Macro }, out)
}

fn send(who: usize, time: (u64, u64), c: usize, v: u16) -> Event {
    comm(who, time, Wait::Forever, &[Arm::Send(c, v)], Sent(0))
}

fn recv(who: usize, time: (u64, u64), c: usize, v: u16) -> Event {
    comm(who, time, Wait::Forever, &[Arm::Recv(c)], Got(0, v))
}

fn end(who: usize, time: (u64, u64), c: usize) -> Event {
    comm(who, time, Wait::Forever, &[Arm::Recv(c)], Ended(0))
}

fn close(who: usize, time: (u64, u64), c: usize) -> Event {
    event(who, time, Call::Close(c), Closed)
}

fn poll(who: usize, time: (u64, u64), arms: &[Arm], out: Outcome) -> Event {
    comm(who, time, Wait::No, arms, out)
}

fn quiet(t: u64, parked: &[usize], chans: &[(usize, bool)]) -> Event {
    event(9, (t, t + 1), Call::Quiet { parked: parked.to_vec(), chans: chans.to_vec() }, Seen)
}

#[track_caller]
fn right(caps: &[Option<usize>], events: &[Event]) {
    if let Err(e) = linearize(&History::new(caps.to_vec(), 9, events.to_vec())) {
        panic!("{e}");
    }
}

#[track_caller]
fn wrong(caps: &[Option<usize>], events: &[Event]) {
    assert!(linearize(&History::new(caps.to_vec(), 9, events.to_vec())).is_err(), "accepted");
}

const UNBUFFERED: &[Option<usize>] = &[Some(0)];
const ONE: &[Option<usize>] = &[Some(1)];
const TWO: &[Option<usize>] = &[Some(2)];

#[test]
fn a_value_is_not_received_twice() {
    wrong(ONE, &[send(0, (0, 1), 0, 7), recv(1, (2, 3), 0, 7), recv(2, (4, 5), 0, 7)]);
    right(ONE, &[send(0, (0, 1), 0, 7), send(0, (4, 6), 0, 8), recv(1, (2, 3), 0, 7), recv(2, (5, 7), 0, 8)]);
    // Nor by two who meet the same sender; the second may still wait, for ever.
    wrong(UNBUFFERED, &[send(0, (0, 5), 0, 7), recv(1, (1, 3), 0, 7), recv(2, (2, 4), 0, 7)]);
    right(UNBUFFERED, &[send(0, (0, 5), 0, 7), recv(1, (1, 3), 0, 7), recv(2, (2, NEVER), 0, 7)]);
}

#[test]
fn values_keep_their_order() {
    wrong(TWO, &[send(0, (0, 1), 0, 7), send(0, (2, 3), 0, 8), recv(1, (4, 5), 0, 8), recv(1, (6, 7), 0, 7)]);
    // The two sends overlap; or the two receives do.
    right(TWO, &[send(0, (0, 3), 0, 7), send(2, (1, 2), 0, 8), recv(1, (4, 5), 0, 8), recv(1, (6, 7), 0, 7)]);
    right(TWO, &[send(0, (0, 1), 0, 7), send(0, (2, 3), 0, 8), recv(1, (4, 7), 0, 8), recv(2, (5, 6), 0, 7)]);
    // What no sender of its own can tell: a full buffer says that the first send has gone through.
    wrong(
        ONE,
        &[
            send(0, (0, 9), 0, 7),
            poll(1, (1, 2), &[Arm::Send(0, 8)], NotReady),
            recv(1, (3, 4), 0, 8),
            send(2, (5, 6), 0, 8),
        ],
    );
}

#[test]
fn a_close_loses_nothing() {
    wrong(ONE, &[send(0, (0, 1), 0, 7), close(0, (2, 3), 0), end(1, (4, 5), 0)]);
    right(ONE, &[send(0, (0, 1), 0, 7), close(0, (2, 3), 0), recv(1, (4, 5), 0, 7), end(1, (6, 7), 0)]);
    // A receiver who waits gets the end only if no value is before the close.
    wrong(ONE, &[end(1, (0, 5), 0), send(0, (1, 2), 0, 7), close(0, (3, 4), 0)]);
    right(ONE, &[recv(1, (0, 5), 0, 7), send(0, (1, 2), 0, 7), close(0, (3, 4), 0)]);
    // No end without a close, no send after it, and one close.
    wrong(ONE, &[end(1, (0, 1), 0), close(0, (2, 3), 0)]);
    right(ONE, &[end(1, (0, 2), 0), close(0, (1, 3), 0)]);
    wrong(ONE, &[close(0, (0, 1), 0), send(1, (2, 3), 0, 7)]);
    right(ONE, &[close(0, (0, 2), 0), send(1, (1, 3), 0, 7)]);
    wrong(ONE, &[close(0, (0, 2), 0), close(1, (1, 3), 0)]);
    right(ONE, &[close(0, (0, 2), 0), event(1, (1, 3), Call::Close(0), Panicked)]);
    wrong(ONE, &[event(1, (0, 1), Call::Close(0), Panicked), close(0, (2, 3), 0)]);
    right(&[None], &[event(1, (0, 1), Call::Close(0), Panicked)]);
}

#[test]
fn a_waiter_is_woken_once() {
    // A sender goes on without a receiver, for the receiver before had woken it twice.
    wrong(UNBUFFERED, &[send(0, (0, 3), 0, 7), recv(1, (1, 2), 0, 7), send(0, (4, 5), 0, 8)]);
    right(
        UNBUFFERED,
        &[send(0, (0, 3), 0, 7), recv(1, (1, 2), 0, 7), send(0, (4, 7), 0, 8), recv(1, (5, NEVER), 0, 8)],
    );
    // A sender on a full buffer returns before there is room.
    wrong(ONE, &[send(0, (0, 1), 0, 7), send(1, (2, 3), 0, 8), recv(2, (4, 5), 0, 7)]);
    right(ONE, &[send(0, (0, 1), 0, 7), send(1, (2, 4), 0, 8), recv(2, (3, 5), 0, 7)]);
    // A receiver returns with the end, and the channel is open.
    wrong(UNBUFFERED, &[end(1, (0, 1), 0)]);
    // What waits for ever returns with nothing.
    wrong(ONE, &[comm(0, (0, 1), Wait::Forever, &[Arm::Recv(0)], NotReady)]);
    right(ONE, &[comm(0, (0, 1), Wait::Micros(20), &[Arm::Recv(0)], NotReady)]);
}

#[test]
fn a_select_fires_one_arm() {
    let two = &[Some(1), Some(1)];
    let both = &[Arm::Send(0, 7), Arm::Send(1, 8)];
    let select = comm(0, (0, 1), Wait::Forever, both, Sent(0));
    wrong(two, &[select.clone(), recv(1, (2, 3), 0, 7), recv(1, (4, 5), 1, 8)]);
    right(
        two,
        &[
            select.clone(),
            recv(1, (2, 3), 0, 7),
            poll(1, (4, 5), &[Arm::Recv(1)], NotReady),
            recv(1, (6, NEVER), 1, 8),
        ],
    );
    wrong(two, &[select, recv(1, (2, 3), 1, 8)]);
    // Nor does it meet itself.
    let itself = &[Arm::Send(0, 7), Arm::Recv(0)];
    wrong(UNBUFFERED, &[comm(0, (0, 1), Wait::Forever, itself, Sent(0))]);
    wrong(UNBUFFERED, &[comm(0, (0, 1), Wait::Forever, itself, Got(1, 7))]);
    right(
        UNBUFFERED,
        &[
            comm(0, (0, 2), Wait::Forever, itself, Got(1, 8)),
            comm(1, (1, 3), Wait::Forever, &[Arm::Recv(0), Arm::Send(0, 8)], Sent(1)),
        ],
    );
}

#[test]
fn default_only_where_nothing_is_ready() {
    let two = &[Some(1), Some(0)];
    let select = |out| poll(0, (2, 4), &[Arm::Recv(0), Arm::Recv(1)], out);
    wrong(two, &[send(1, (0, 1), 0, 7), select(NotReady), recv(1, (5, 6), 0, 7)]);
    right(two, &[send(1, (0, 3), 0, 7), select(NotReady), recv(1, (5, 6), 0, 7)]);
    right(two, &[send(1, (0, 1), 0, 7), select(Got(0, 7))]);
    wrong(two, &[close(1, (0, 1), 1), select(NotReady)]);
    right(two, &[close(1, (0, 1), 1), select(Ended(1))]);
    // A send on a closed channel is ready, too.
    wrong(two, &[close(1, (0, 1), 1), poll(0, (2, 3), &[Arm::Send(1, 7)], NotReady)]);
    right(two, &[close(1, (0, 1), 1), poll(0, (2, 3), &[Arm::Send(1, 7)], Refused(None))]);
    // And one with a receiver who is known to wait.
    let (waits, poll) = (recv(1, (0, 9), 1, 7), poll(0, (4, 5), &[Arm::Send(1, 8)], NotReady));
    let later = send(2, (7, 8), 1, 7);
    wrong(two, &[waits.clone(), quiet(1, &[1], &[(0, false), (0, false)]), poll.clone(), later.clone()]);
    right(two, &[waits, poll, later]);
}

#[test]
fn nobody_is_parked_who_could_run() {
    let waits = || recv(1, (2, 9), 0, 7);
    wrong(ONE, &[send(0, (0, 1), 0, 7), waits(), quiet(3, &[1], &[(1, false)])]);
    right(ONE, &[send(0, (5, 6), 0, 7), waits(), quiet(3, &[1], &[(0, false)])]);
    wrong(ONE, &[send(0, (5, 6), 0, 7), waits(), quiet(3, &[1], &[(1, false)])]);
    // Two who could meet, and do not.
    wrong(UNBUFFERED, &[send(0, (0, 8), 0, 7), waits(), quiet(3, &[0, 1], &[(0, false)])]);
    right(UNBUFFERED, &[send(0, (5, 8), 0, 7), waits(), quiet(3, &[1], &[(0, false)])]);
    // A close wakes all.
    wrong(ONE, &[close(0, (0, 1), 0), end(1, (2, 9), 0), quiet(3, &[1], &[(0, true)])]);
    right(ONE, &[close(0, (5, 6), 0), end(1, (2, 9), 0), quiet(3, &[1], &[(0, false)])]);
}

#[test]
fn waiters_are_served_in_their_order() {
    // p0 waits, then p1 is called, and gets the first value.
    let history = |quiet_at, first, second| {
        [
            recv(0, (0, 20), 0, second),
            quiet(quiet_at, &[0], &[(0, false)]),
            recv(1, (3, 19), 0, first),
            send(2, (11, 12), 0, first),
            send(2, (13, 14), 0, second),
        ]
    };
    for caps in [UNBUFFERED, ONE] {
        wrong(caps, &history(1, 7, 8));
        right(caps, &history(5, 7, 8)); // perhaps p1 was there first
    }
    right(
        UNBUFFERED,
        &history(1, 7, 8).map(|mut e| {
            e.resp = e.resp.map(|(t, out)| (t, if let Got(a, v) = out { Got(a, 15 - v) } else { out }));
            e
        }),
    );
}

#[test]
fn room_may_be_reserved_by_select_and_by_nothing_else() {
    // Room for one. While p0 sends, it is neither full nor has it a value.
    let history = |form| {
        let call = Call::Comm { arms: vec![Arm::Send(0, 7)], wait: Wait::Forever, form };
        [
            event(0, (0, 9), call, Sent(0)),
            poll(1, (1, 2), &[Arm::Send(0, 8)], NotReady),
            poll(1, (3, 4), &[Arm::Recv(0)], NotReady),
            recv(1, (10, 11), 0, 7),
        ]
    };
    right(ONE, &history(Form::List));
    wrong(ONE, &history(Form::Macro));
    // Nor where it is known to have waited, and has been woken.
    let history = |form| {
        let call = Call::Comm { arms: vec![Arm::Send(0, 7)], wait: Wait::Forever, form };
        [
            send(1, (0, 1), 0, 8),
            event(0, (2, 20), call, Sent(0)),
            quiet(3, &[0], &[(1, false)]),
            recv(1, (5, 6), 0, 8),
            poll(1, (7, 8), &[Arm::Recv(0)], NotReady),
            recv(1, (9, 21), 0, 7),
        ]
    };
    right(ONE, &history(Form::List));
    wrong(ONE, &history(Form::Macro));
}
