//! What must be true of every history, and can be seen without a search: for programs that are too big for one.
//!
//! ```text
//!   conservation   what was received was sent, once, on that channel; what was sent is received or left; nothing else is
//!   order          of two values on one channel, the one that was sent before the other was called is not received after it
//!   close          one close goes through; after it no send does; the end is received only after a close was called, and
//!                  after the end nothing is
//!   waiting        what waits for ever does not return empty-handed; a poll of a nil channel does
//!   quiet          nobody is parked who could run: see the length and closedness of the channels, and who else is parked
//! ```

use super::history::{Arm, Call, Event, History, Outcome, Val, Wait};
use super::run::Run;
use std::collections::HashMap;

pub fn broken(run: &Run) -> Vec<String> {
    let mut wrong = run.wrong.clone();
    if run.left.is_empty() {
        return wrong; // it hangs: the history is not whole
    }
    let h = &run.history;
    conservation(h, &run.left, &mut wrong);
    close(h, &mut wrong);
    for e in &h.events {
        match (&e.call, e.out()) {
            (Call::Comm { wait: Wait::Forever, .. }, Some(Outcome::NotReady)) => {
                wrong.push(format!("returned without anything: {e}"));
            }
            (Call::Comm { .. }, Some(out)) if uses_nil(h, e, out) => {
                wrong.push(format!("went through on a nil channel: {e}"))
            }
            (Call::Quiet { parked, chans }, _) => quiet(h, e, parked, chans, &mut wrong),
            _ => {}
        }
    }
    wrong
}

fn uses_nil(h: &History, e: &Event, out: Outcome) -> bool {
    match out {
        Outcome::Sent(a) | Outcome::Got(a, _) | Outcome::Ended(a) | Outcome::Refused(Some(a)) => {
            h.caps[e.arms()[a].chan()].is_none()
        }
        _ => false,
    }
}

fn conservation(h: &History, left: &[Option<usize>], wrong: &mut Vec<String>) {
    let mut received: HashMap<Val, (usize, &Event)> = HashMap::new();
    for e in &h.events {
        if let Some((c, v)) = e.got()
            && let Some((_, before)) = received.insert(v, (c, e))
        {
            wrong.push(format!("v{v} was received twice:\n    {before}\n    {e}"));
        }
    }
    // Of each channel: who sent what, and who received it.
    type Passed<'a> = (&'a Event, Option<&'a Event>);
    let mut passed: Vec<Vec<Passed<'_>>> = vec![vec![]; h.caps.len()];
    for e in &h.events {
        let Some((c, v)) = e.sent() else { continue };
        match received.remove(&v) {
            Some((d, r)) if c != d => wrong.push(format!("v{v} has changed channels:\n    {e}\n    {r}")),
            Some((_, r)) if r.end() < e.inv => {
                wrong.push(format!("v{v} was received before it was sent:\n    {e}\n    {r}"))
            }
            r => passed[c].push((e, r.map(|r| r.1))),
        }
    }
    for (v, (_, r)) in received {
        wrong.push(format!("v{v} was received, and nobody has sent it:\n    {r}"));
    }
    for (c, passed) in passed.iter().enumerate() {
        let lost = passed.iter().filter(|p| p.1.is_none());
        if lost.clone().count() != left[c].unwrap_or(0) {
            wrong.push(format!("c{c}: {:?} values were left; not received were:", left[c]));
            wrong.extend(lost.map(|p| format!("    {}", p.0)));
        }
        for (s1, r1) in passed {
            for (s2, r2) in passed.iter().filter(|p| s1.end() < p.0.inv) {
                let out_of_order = match (r1, r2) {
                    (Some(r1), Some(r2)) => r2.end() < r1.inv,
                    (None, Some(_)) => true, // and the first is still in the channel
                    _ => false,
                };
                if out_of_order {
                    wrong.push(format!("out of order:\n    {s1}\n    {s2}\n    {r1:?}\n    {r2:?}"));
                }
            }
        }
    }
}

fn close(h: &History, wrong: &mut Vec<String>) {
    for (c, cap) in h.caps.iter().enumerate() {
        let on = |e: &&Event| e.call == Call::Close(c);
        let closes: Vec<_> =
            h.events.iter().filter(on).filter(|e| e.out() == Some(Outcome::Closed)).collect();
        if closes.len() > usize::from(cap.is_some()) {
            wrong.push(format!("c{c} was closed {} times", closes.len()));
        }
        let first = closes.first().map_or((u64::MAX, u64::MAX), |e| (e.inv, e.end()));
        let mut ended = u64::MAX;
        for e in &h.events {
            let arm = |a: usize| e.arms()[a].chan() == c;
            let strange = match e.out() {
                Some(Outcome::Sent(a)) => arm(a) && e.inv > first.1,
                Some(Outcome::Ended(a)) if arm(a) => {
                    ended = ended.min(e.end());
                    e.end() < first.0
                }
                Some(Outcome::Refused(Some(a))) => arm(a) && e.end() < first.0,
                Some(Outcome::Panicked) => on(&e) && cap.is_some() && e.end() < first.0,
                _ => false,
            };
            if strange {
                wrong.push(format!("closed at {first:?}, and yet: {e}"));
            }
        }
        for e in h.events.iter().filter(|e| e.inv > ended && e.got().is_some_and(|g| g.0 == c)) {
            wrong.push(format!("the end was received at {ended}, and yet: {e}"));
        }
    }
}

fn quiet(h: &History, q: &Event, parked: &[usize], chans: &[(usize, bool)], wrong: &mut Vec<String>) {
    let asleep = |e: &&Event| parked.contains(&e.who) && e.inv < q.inv && q.inv < e.end();
    let asleep: Vec<_> = h.events.iter().filter(asleep).collect();
    for e in &asleep {
        let others = || asleep.iter().filter(|o| o.who != e.who).flat_map(|o| o.arms());
        for arm in e.arms() {
            let c = arm.chan();
            let Some(cap) = h.caps[c] else { continue };
            let ready = match arm {
                Arm::Recv(_) => chans[c].0 > 0 || others().any(|o| matches!(o, Arm::Send(d, _) if *d == c)),
                Arm::Send(..) => chans[c].0 < cap || others().any(|o| *o == Arm::Recv(c)),
            };
            if ready || chans[c].1 {
                wrong.push(format!("parked, and {arm} is ready:\n    {e}\n    {q}"));
            }
        }
    }
}
