//! Whether a history can be explained: is there an order of its operations, each taking effect at one moment between its
//! call and its return, in which each does what the specification (spec.rs) says? That is linearizability (Herlihy, Wing).
//!
//! The search is that of J. Wing and C. Gong, "Testing and verifying concurrent objects" (1993): take any operation that
//! was called before the first return of those not yet taken; try it on the state; go on from there; else go back. With
//! the memory that G. Lowe, "Testing for linearizability" (2017) adds: a pair of (which operations are taken, the state)
//! that was searched in vain is not searched again. Ours is extended:
//!
//! * **A joint step** takes two operations at once, a send and a receive that meet on an unbuffered channel. Both must be
//!   takeable at that moment.
//! * **A select** is one operation. Its outcome says which arm it was; the step is that arm's.
//! * **A send by `Select`** may take an extra step before its own, the reservation (spec.rs).
//! * **An operation that has never returned** may be taken, with whatever effect it could have, or not.
//! * **Quiet**: a moment of the harness' when all who have not ended are known to stand in their queues, and the length of
//!   each queue is known. It can be taken only where none of them has been, and none of them is ready: nothing is parked
//!   that could run. From then on they are known to wait: as partners, they make others ready; and whoever is called after
//!   that does not overtake one who wants the same (waiters of one kind are served in their order; Go's implementation has
//!   that, too, its specification does not ask for it).
//!
//! **What "not ready" means** (full, empty, timed out, default). It must be true at the moment at which the operation takes
//! effect, which is any one between its call and its return. On a buffered or closed channel that is exact. On an
//! unbuffered one readiness is a matter of who waits, and from outside nobody can tell an operation that waits from one
//! that has been called and has not come that far. So there "not ready" is rejected only where the channel is closed or
//! where a partner is known to wait from the last Quiet.

use super::history::{Arm, Call, Event, Form, History, Outcome, Wait};
use super::spec::{Spec, State};
use std::collections::HashSet;
use std::fmt::Write;

/// Operations at most: they are bits.
pub const MOST: usize = 128;
type Set = u128;

fn bit(i: usize) -> Set {
    1 << i
}

fn each(mut s: Set) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let i = s.trailing_zeros() as usize;
        (s != 0).then(|| {
            s &= s - 1;
            i
        })
    })
}

/// The second half of a configuration of the search; the first is which operations are taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Config {
    state: State,
    /// Who has a reservation.
    reserved: Set,
    /// Who is known to wait. (Depends on which are taken, and only on that.)
    waits: Set,
}

struct Search<'h> {
    events: &'h [Event],
    spec: Spec,
    /// All that have returned.
    returned: Set,
    /// Of each Quiet: who was parked.
    parked: Vec<Set>,
    /// Of each operation: the first Quiet at which it was parked.
    since: Vec<u64>,
    seen: HashSet<(Set, Config)>,
    /// The steps so far: one operation or two.
    path: Vec<(usize, Option<usize>)>,
    /// The longest that path has been, and what could not be taken then.
    longest: Vec<(usize, Option<usize>)>,
}

/// How much there was to search, where an order was found. Else a report.
pub fn linearize(h: &History) -> Result<usize, String> {
    assert!(h.events.len() <= MOST, "too long for the checker");
    let events = &h.events[..];
    let parked: Vec<Set> = (events.iter())
        .map(|q| match &q.call {
            Call::Quiet { parked, .. } => {
                let of = |e: &Event| parked.contains(&e.who) && e.inv < q.inv && e.end() > q.inv;
                events.iter().enumerate().filter(|(_, e)| of(e)).fold(0, |s, (i, _)| s | bit(i))
            }
            _ => 0,
        })
        .collect();
    let returned =
        events.iter().enumerate().filter(|(_, e)| e.resp.is_some()).fold(0, |s, (i, _)| s | bit(i));
    let mut search = Search {
        events,
        spec: Spec::new(&h.caps),
        returned,
        since: (0..events.len())
            .map(|i| {
                let parks = events.iter().zip(&parked).filter(|q| q.1 & bit(i) != 0);
                parks.map(|q| q.0.inv).min().unwrap_or(u64::MAX)
            })
            .collect(),
        parked,
        seen: HashSet::new(),
        path: Vec::new(),
        longest: Vec::new(),
    };
    if search.from(0, Config { state: State::default(), reserved: 0, waits: 0 }) {
        return Ok(search.seen.len());
    }
    let mut report = String::from("not linearizable. The longest order that was found:\n");
    let mut taken = 0;
    for &(i, j) in &search.longest {
        taken |= bit(i);
        let _ = writeln!(report, "  {}", events[i]);
        if let Some(j) = j {
            taken |= bit(j);
            let _ = writeln!(report, "    with {}", events[j]);
        }
    }
    report.push_str("and none of these can be next:\n");
    for i in search.takeable(taken) {
        let _ = writeln!(report, "  {}", events[i]);
    }
    Err(report)
}

impl Search<'_> {
    /// Those that were called before the first return of all not taken.
    fn takeable(&self, taken: Set) -> impl Iterator<Item = usize> + use<> {
        let left = || self.events.iter().enumerate().filter(|(i, _)| taken & bit(*i) == 0);
        let bound = left().map(|(_, e)| e.end()).min().unwrap_or(0);
        each(left().take_while(|(_, e)| e.inv < bound).fold(0, |s, (i, _)| s | bit(i)))
    }

    /// Whether there is an order for all that is not taken.
    fn from(&mut self, taken: Set, at: Config) -> bool {
        if self.returned & !taken == 0 {
            return true;
        }
        if !self.seen.insert((taken, at)) {
            return false;
        }
        if self.path.len() > self.longest.len() {
            self.longest.clone_from(&self.path);
        }
        let takeable: Vec<usize> = self.takeable(taken).collect();
        for &i in &takeable {
            for next in self.alone(i, taken, &at) {
                if self.step(taken | bit(i), next, (i, None)) {
                    return true;
                }
            }
            if let Some(c) = self.reserves(i)
                && at.reserved & bit(i) == 0
                && let Some(state) = self.spec.reserve(&at.state, c)
                && self.from(taken, Config { state, reserved: at.reserved | bit(i), ..at })
            {
                return true;
            }
        }
        for &i in &takeable {
            for &j in &takeable {
                if i != j && self.meet(i, j, &at) && self.step(taken | bit(i) | bit(j), at, (i, Some(j))) {
                    return true;
                }
            }
        }
        false
    }

    fn step(&mut self, taken: Set, mut next: Config, which: (usize, Option<usize>)) -> bool {
        next.waits &= !taken;
        self.path.push(which);
        let found = self.from(taken, next);
        self.path.pop();
        found
    }

    /// The channel in which `i` may have reserved room.
    fn reserves(&self, i: usize) -> Option<usize> {
        let e = &self.events[i];
        match (&e.call, e.out()) {
            (
                Call::Comm { arms, form: Form::List | Form::Lazy, .. },
                Some(Outcome::Sent(a) | Outcome::Refused(Some(a))),
            ) => Some(arms[a].chan()),
            _ => None,
        }
    }

    /// Whether `arm`, of `who`, is ready.
    fn ready(&self, who: usize, arm: Arm, at: &Config) -> bool {
        let partner = |want: fn(Arm) -> bool| {
            let fits = |&a: &Arm| a.chan() == arm.chan() && want(a);
            // Who has reserved room waits no more: it has been woken to fill it.
            each(at.waits & !at.reserved & !bit(who)).any(|p| self.events[p].arms().iter().any(fits))
        };
        match arm {
            Arm::Send(c, _) => self.spec.send_ready(&at.state, c, partner(|a| matches!(a, Arm::Recv(_)))),
            Arm::Recv(c) => self.spec.recv_ready(&at.state, c, partner(|a| matches!(a, Arm::Send(..)))),
        }
    }

    /// Whether somebody is known to have waited for the same before `i` was called, and waits still. (The partner of `i` in
    /// a joint step is served as well, whatever other arms it has.)
    fn overtakes(&self, i: usize, arm: Arm, partner: Set, at: &Config) -> bool {
        let same = |&a: &Arm| {
            a.chan() == arm.chan()
                && matches!((a, arm), (Arm::Send(..), Arm::Send(..)) | (Arm::Recv(_), Arm::Recv(_)))
        };
        each(at.waits & !at.reserved & !bit(i) & !partner)
            .any(|p| self.since[p] < self.events[i].inv && self.events[p].arms().iter().any(same))
    }

    /// What can be after `i` has taken effect, by itself.
    fn alone(&self, i: usize, taken: Set, at: &Config) -> Vec<Config> {
        let (e, s, spec) = (&self.events[i], &at.state, &self.spec);
        let with = |state: State| Config { state, ..*at };
        let unchanged_if = |b: bool| if b { vec![*at] } else { vec![] };
        let arms = e.arms();
        let put = |a: usize| match arms[a] {
            arm if self.overtakes(i, arm, 0, at) => None,
            Arm::Send(c, v) if at.reserved & bit(i) != 0 => {
                let mut next = with(spec.send(&spec.release(s, c), c, v)?);
                next.reserved &= !bit(i);
                Some(next)
            }
            Arm::Send(c, v) => spec.send(s, c, v).map(with),
            Arm::Recv(_) => None,
        };
        let take = |a: usize| match arms[a] {
            arm if self.overtakes(i, arm, 0, at) => None,
            Arm::Recv(c) => spec.recv(s, c),
            Arm::Send(..) => None,
        };
        match (&e.call, e.out()) {
            (_, Some(Outcome::Sent(a))) => put(a).into_iter().collect(),
            (_, Some(Outcome::Got(a, v))) => {
                take(a).filter(|t| t.1 == v).map(|t| with(t.0)).into_iter().collect()
            }
            (_, Some(Outcome::Ended(a))) => unchanged_if(matches!(arms[a], Arm::Recv(c) if spec.ended(s, c))),
            (_, Some(Outcome::Refused(a))) => {
                let refuses = |arm: &Arm| matches!(*arm, Arm::Send(c, _) if spec.is_closed(s, c));
                unchanged_if(match a {
                    Some(a) => refuses(&arms[a]),
                    None => arms.iter().any(refuses),
                })
            }
            (Call::Comm { wait, .. }, Some(Outcome::NotReady)) => {
                unchanged_if(*wait != Wait::Forever && !arms.iter().any(|&arm| self.ready(i, arm, at)))
            }
            // It has not returned.
            (Call::Comm { .. }, None) => {
                let takes = (0..arms.len()).filter_map(|a| take(a).map(|t| with(t.0)));
                (0..arms.len()).filter_map(put).chain(takes).collect()
            }
            (Call::Close(c), None) => spec.close(s, *c).map(with).into_iter().collect(),
            (Call::Close(c), Some(Outcome::Closed)) => spec.close(s, *c).map(with).into_iter().collect(),
            (Call::Close(c), Some(Outcome::Panicked)) => unchanged_if(spec.close(s, *c).is_none()),
            (Call::Len(c), Some(Outcome::Len(n))) => unchanged_if(spec.len(s, *c) == n),
            (Call::IsClosed(c), Some(Outcome::IsClosed(b))) => unchanged_if(spec.is_closed(s, *c) == b),
            (Call::Quiet { chans, .. }, Some(Outcome::Seen)) => {
                let parked = Config { waits: self.parked[i], ..*at };
                let asleep = |p: usize| !self.events[p].arms().iter().any(|&a| self.ready(p, a, &parked));
                let as_seen = |(c, &(len, closed)): (usize, &(usize, bool))| {
                    spec.len(s, c) == len && spec.is_closed(s, c) == closed
                };
                let nobody_is_on_the_way = self.parked[i] & (taken | at.reserved) == 0;
                let holds = nobody_is_on_the_way
                    && chans.iter().enumerate().all(as_seen)
                    && each(self.parked[i]).all(asleep);
                if holds { vec![parked] } else { vec![] }
            }
            _ => vec![],
        }
    }

    /// Whether `i` and `j` can take effect together: a value goes from the one to the other.
    fn meet(&self, i: usize, j: usize, at: &Config) -> bool {
        let (from, to) = (&self.events[i], &self.events[j]);
        let sends = |a: usize| match (from.out(), from.arms()[a]) {
            (None, Arm::Send(c, v)) => Some((c, v)),
            (Some(Outcome::Sent(b)), Arm::Send(c, v)) if a == b => Some((c, v)),
            _ => None,
        };
        let receives = |c: usize, v| match to.out() {
            None => to.arms().contains(&Arm::Recv(c)),
            Some(_) => to.got() == Some((c, v)),
        };
        at.reserved & bit(i) == 0
            && (0..from.arms().len()).filter_map(sends).any(|(c, v)| {
                self.spec.meet(&at.state, c)
                    && receives(c, v)
                    && !self.overtakes(i, Arm::Send(c, v), bit(j), at)
                    && !self.overtakes(j, Arm::Recv(c), bit(i), at)
            })
    }
}
