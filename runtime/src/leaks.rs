//! Goroutines that nobody can wake any more, though the program goes on (Go 1.26: the `goroutineleak` profile).
//!
//! ## What can be known
//! Go marks from the goroutines that can run, by its collector, and what is not reached has leaked. Nobody here can tell
//! where a handle is that has moved. But a channel counts its handles, and a goroutine that waits says by which one it
//! does (awaits.rs); where that lies on its own stack, it is borrowed by the very call that waits, so it is there and
//! nowhere else. Hence:
//!
//! ```text
//!   handles of the channel  ==  handles by which stuck goroutines wait, each on its goroutine's own stack
//!         → nobody else has one, to send by, to receive by, to close, or to clone
//! ```
//! A wait can name several things (a `select`), and each must be like that. `WaitGroup`s count their handles as channels do.
//! A joiner waits for a goroutine's end; who waits for a lock waits for its owner, where that is watched (owners.rs). A wait
//! on nothing is for ever. One with a deadline, on a timer's channel, on a socket, a bare semaphore or a condition, may be
//! ended by anybody.
//!
//! "Stuck" is the largest set that agrees with this: all who wait in such a way are taken to be, and whoever waits for
//! something that one outside the set can serve is struck out, until nobody is. Of those who are left none is the first to be
//! woken.
//!
//! ## Why never too many
//! It is all read while nothing that rests is resumed (freeze.rs). A count may change meanwhile, but only by whoever has a
//! handle: a count that is matched has nobody to change it. A waker that has taken a goroutine out of its queue and has not
//! readied it yet has borrowed a handle of its own, which is counted.
//!
//! A handle that lies still can be *lent*. `scope` marks the goroutine that lends (`G::lend`), and such a one counts for
//! nothing; so does one in whose frames there is a scope of std, crossbeam or rayon. That takes line tables: in a build
//! without them (`debug = 0`) none is found of those that wait by handles. Left are programs that lend their locals to
//! threads by their own `unsafe`.
//!
//! ## What is not seen
//! A handle in an `Arc`, a `Box` or a static, and one that a stuck goroutine merely has while it waits by another: for all
//! that is known, somebody else gets at it. So a leak that is reported is one; of those that there are some are missed.

use crate::awaits::Awaited;
use crate::g::{G, Gstatus};
use crate::m::M;
use crate::reason::WaitReason;
use crate::traceback::{Pcs, Symbols};
use crate::waiter::WaiterKind;
use crate::{allgs, clock, freeze, stack, traceback};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::ptr;

/// A goroutine that nobody can wake any more; see [`leaks`](crate::debug::leaks). Its `Display` is an entry as
/// [`stacks`](crate::debug::stacks) writes it: `goroutine 18 "conn 10.0.0.7" [chan receive (leaked)]:`, and the stack.
///
/// ```
/// assert!(gosched_runtime::debug::leaks().iter().all(|l| l.id() > 0)); // none, most likely
/// ```
#[derive(Clone, Debug)]
pub struct Leak {
    id: u64,
    name: Option<Box<str>>,
    reason: WaitReason,
    text: String,
}

impl Leak {
    /// The goroutine's id, as [`goid`](crate::goid) gives it.
    ///
    /// ```
    /// let _ids: Vec<u64> = gosched_runtime::debug::leaks().iter().map(|l| l.id()).collect();
    /// ```
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name, where its [`Builder`](crate::Builder) gave it one.
    ///
    /// ```
    /// assert!(!gosched_runtime::debug::leaks().iter().any(|l| l.name() == Some("worker")));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it waits for.
    ///
    /// ```
    /// use gosched_runtime::park::WaitReason;
    /// let in_select = |l: &gosched_runtime::debug::Leak| l.reason() == WaitReason::Select;
    /// assert!(!gosched_runtime::debug::leaks().iter().any(in_select));
    /// ```
    pub fn reason(&self) -> WaitReason {
        self.reason
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A goroutine that waits in a way of which something is known.
#[derive(Default)]
struct Waits {
    goid: u64,
    /// Things by their handles, each once, and goroutines.
    things: Vec<*const ()>,
    goroutines: Vec<u64>,
    /// Not known to be stuck.
    alive: bool,
    /// Struck out: what it has is not counted any more.
    struck: bool,
}

/// A thing that is waited for by its handles.
#[derive(Default)]
struct Thing {
    handles: usize,
    /// Of those: the ones by which goroutines wait that are not known to be alive.
    idle: usize,
    waiters: Vec<usize>,
}

/// Who waits for what; by indices into `all`.
#[derive(Default)]
struct Graph {
    all: Vec<Waits>,
    things: HashMap<*const (), Thing>,
    of_goid: HashMap<u64, usize>,
    joiners: HashMap<u64, Vec<usize>>,
}

impl Graph {
    /// Takes in a goroutine that waits until one of `awaited` ends its wait. `own`: whether a handle at that place is
    /// certainly the goroutine's own, and nobody else's.
    fn add(&mut self, goid: u64, awaited: &[Awaited], own: impl Fn(*const ()) -> bool) {
        let i = self.all.len();
        let mut waits = Waits { goid, ..Waits::default() };
        let mut places = HashSet::new();
        for a in awaited {
            match *a {
                Awaited::Handle { what, handles, place } => {
                    let thing = self.things.entry(what).or_default();
                    // It may grow while we look: then somebody else has one.
                    thing.handles = thing.handles.max(handles);
                    if places.insert(place) && own(place) {
                        thing.idle += 1;
                        waits.things.push(what);
                    } else if !own(place) {
                        waits.alive = true;
                    }
                    if thing.waiters.last() != Some(&i) {
                        thing.waiters.push(i);
                    }
                }
                Awaited::Goroutine(id) => {
                    waits.goroutines.push(id);
                    self.joiners.entry(id).or_default().push(i);
                }
                Awaited::Anybody => waits.alive = true,
            }
        }
        self.of_goid.insert(goid, i);
        self.all.push(waits);
    }

    /// Strikes out whoever can be woken; those of `also` who wait by handles can, in addition.
    fn settle(&mut self, also: &HashSet<u64>) {
        let mut alive: Vec<usize> = Vec::new();
        for i in 0..self.all.len() {
            let w = &self.all[i];
            let unmatched = |t: &*const ()| self.things[t].idle < self.things[t].handles;
            let others = w.goroutines.iter().any(|id| !self.of_goid.contains_key(id));
            if w.alive
                || others
                || (also.contains(&w.goid) && !w.things.is_empty())
                || w.things.iter().any(unmatched)
            {
                alive.push(i);
            }
        }
        while let Some(i) = alive.pop() {
            if std::mem::replace(&mut self.all[i].struck, true) {
                continue;
            }
            self.all[i].alive = true;
            // Its handles can be used by it, once it is awake; its end can be awaited.
            for what in &self.all[i].things {
                let thing = self.things.get_mut(what).expect("taken in with its waiters");
                thing.idle -= 1;
                alive.extend(&thing.waiters);
            }
            alive.extend(self.joiners.get(&self.all[i].goid).into_iter().flatten());
        }
    }

    fn stuck(&self) -> impl Iterator<Item = u64> {
        self.all.iter().filter(|w| !w.alive).map(|w| w.goid)
    }
}

/// What is said of a goroutine that may have leaked.
struct Suspect {
    goid: u64,
    name: Option<Box<str>>,
    reason: WaitReason,
    since: u32,
    parent: Option<u64>,
    site: Option<&'static Location<'static>>,
    pcs: Pcs,
}

/// All who wait in a way of which something is known, and the stacks of those that may be stuck.
fn look() -> (Graph, Vec<Suspect>) {
    let _frozen = freeze::freeze();
    let mut current: HashSet<*const G> = HashSet::new();
    M::for_each(|m| current.extend(m.curg().filter(|_| !m.quiet()).map(ptr::from_ref)));
    let mut graph = Graph::default();
    let mut gs: HashMap<u64, &'static G> = HashMap::new();
    let mut awaited = Vec::new();
    allgs::for_each(|g| {
        let parked = g.status() == Gstatus::Waiting && !current.contains(&ptr::from_ref(g));
        if !parked || g.waiter().head().kind() != WaiterKind::Goroutine {
            return;
        }
        // SAFETY: it waits, is no M's current one, and nothing is resumed now.
        let sp = unsafe { g.regs() }.sp;
        let Some(slot) = stack::usable(sp) else { return };
        let in_use = sp..slot.end;
        let waiter = g.waiter();
        // SAFETY: as above.
        let Some(awaits) = (unsafe { waiter.awaits(&in_use) }) else { return };
        awaited.clear();
        // SAFETY: as above.
        unsafe { awaits.each(&mut |a| awaited.push(a)) };
        let lent = g.is_lent();
        graph.add(g.goid(), &awaited, |place| !lent && in_use.contains(&place.addr()));
        gs.insert(g.goid(), g);
    });
    graph.settle(&HashSet::new());
    let suspects = graph.stuck().map(|goid| {
        let g = gs[&goid];
        // SAFETY: it is alive, and at rest still.
        let (name, pcs) = unsafe { (g.name().map(Into::into), traceback::pcs(g.regs())) };
        let (reason, since, parent, site) = (g.reason(), g.since(), g.parent(), g.site());
        Suspect { goid, name, reason, since, parent, site, pcs }
    });
    let suspects = suspects.collect();
    (graph, suspects)
}

/// Whether one of the frames is a scope in which threads may borrow, of std, crossbeam or rayon; or may be, for where it is
/// inlined in a frame without its file nobody can tell.
fn lends_to_threads(frames: &str) -> bool {
    /// On every goroutine's stack, and of nobody's file.
    const BARE: &[&str] = &["stack_init_trampoline", "__rust_try"];
    let mut lines = frames.lines().peekable();
    while let Some(name) = lines.next() {
        if lines.next_if(|line| line.starts_with('\t')).is_none() && !BARE.contains(&name) {
            return true;
        }
    }
    const SCOPES: &[&str] = &[
        "std/src/thread/scoped.rs",
        "std::thread::scoped::",
        "/crossbeam-utils-",
        "crossbeam_utils::thread::",
        "/rayon-core-",
        "rayon_core::",
    ];
    SCOPES.iter().any(|s| frames.contains(s))
}

/// The leaked goroutines, by id.
pub(crate) fn leaks() -> Vec<Leak> {
    let (mut graph, mut suspects) = look();
    if suspects.is_empty() {
        return Vec::new();
    }
    let (mut every, mut shown) = (Symbols::all(), Symbols::new());
    let lend = |s: &&Suspect| {
        let mut frames = String::new();
        let _ = every.write_stack(&mut frames, &s.pcs);
        lends_to_threads(&frames)
    };
    let lenders: HashSet<u64> = suspects.iter().filter(lend).map(|s| s.goid).collect();
    if !lenders.is_empty() {
        graph.settle(&lenders);
        let stuck: HashSet<u64> = graph.stuck().collect();
        suspects.retain(|s| stuck.contains(&s.goid));
    }
    suspects.sort_by_key(|s| s.goid);
    suspects.into_iter().map(|s| s.leak(&mut shown)).collect()
}

impl Suspect {
    fn leak(self, symbols: &mut Symbols) -> Leak {
        let mut doing = format!("{} (leaked)", self.reason);
        match clock::coarse().saturating_sub(self.since) / 60 {
            0 => {}
            minutes => doing += &format!(", {minutes} minutes"),
        }
        let mut text = String::new();
        let _ = traceback::header(&mut text, self.goid, self.name.as_deref(), &doing);
        let _ = symbols.write_stack(&mut text, &self.pcs);
        let _ = traceback::creator(&mut text, self.site, self.parent);
        Leak { id: self.goid, name: self.name, reason: self.reason, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handle on thing `what`, of `handles`, at `place`; places below 100 are the waiter's own.
    fn handle(what: usize, handles: usize, place: usize) -> Awaited {
        Awaited::Handle { what: what as *const (), handles, place: place as *const () }
    }

    fn stuck(waits: &[(u64, &[Awaited])], also_alive: &[u64]) -> Vec<u64> {
        let mut g = Graph::default();
        waits.iter().for_each(|&(id, awaited)| g.add(id, awaited, |place| place.addr() < 100));
        g.settle(&HashSet::new());
        if !also_alive.is_empty() {
            g.settle(&also_alive.iter().copied().collect());
        }
        g.stuck().collect()
    }

    #[test]
    fn who_has_all_handles_is_stuck() {
        assert_eq!(stuck(&[(1, &[handle(7, 1, 10)])], &[]), [1]);
        assert_eq!(stuck(&[(1, &[handle(7, 2, 10)])], &[]), []);
        assert_eq!(stuck(&[(1, &[handle(7, 2, 10)]), (2, &[handle(7, 2, 20)])], &[]), [1, 2]);
        assert_eq!(stuck(&[(1, &[handle(7, 2, 10)]), (2, &[handle(7, 3, 20)])], &[]), [], "it grew");
        assert_eq!(stuck(&[(1, &[])], &[]), [1]);
        assert_eq!(stuck(&[(1, &[Awaited::Anybody])], &[]), []);
        assert_eq!(stuck(&[(1, &[handle(7, 1, 100)])], &[]), [], "not on its own stack");
        // One of two does not count.
        let mixed: &[(u64, &[Awaited])] = &[(1, &[handle(7, 2, 100)]), (2, &[handle(7, 2, 20)])];
        assert_eq!(stuck(mixed, &[]), []);
    }

    #[test]
    fn a_select_is_stuck_when_all_its_cases_are() {
        assert_eq!(stuck(&[(1, &[handle(7, 1, 10), handle(8, 1, 11)])], &[]), [1]);
        assert_eq!(stuck(&[(1, &[handle(7, 1, 10), handle(8, 2, 11)])], &[]), []);
        assert_eq!(stuck(&[(1, &[handle(7, 1, 10), handle(7, 1, 10)])], &[]), [1], "one handle in two cases");
        assert_eq!(stuck(&[(1, &[handle(7, 1, 10), handle(7, 1, 100)])], &[]), []);
        // 1 can be woken by 8, and can then serve 2 by 7.
        assert_eq!(
            stuck(
                &[
                    (1, &[handle(7, 2, 10), handle(8, 2, 11)]),
                    (2, &[handle(7, 2, 20)]),
                    (3, &[handle(9, 1, 30)])
                ],
                &[]
            ),
            [3]
        );
    }

    #[test]
    fn what_lends_to_threads_is_told_by_its_frames() {
        let own = "a::f\n\tsrc/a.rs:7\n__rust_try\nstack_init_trampoline\n";
        assert!(!lends_to_threads(own));
        assert!(lends_to_threads(&format!(
            "std::thread::scoped::scope\n\t/rustc/1/library/std/src/thread/scoped.rs:9\n{own}"
        )));
        assert!(lends_to_threads(&format!("a::g\n{own}")), "anything may be inlined there");
    }

    #[test]
    fn who_waits_for_a_goroutine_shares_its_fate() {
        let chain: &[(u64, &[Awaited])] = &[
            (3, &[Awaited::Goroutine(2)]),
            (2, &[Awaited::Goroutine(1)]),
            (1, &[handle(7, 1, 10)]),
            (4, &[Awaited::Goroutine(5)]),
        ];
        assert_eq!(stuck(chain, &[]), [3, 2, 1], "5 does not wait");
        assert_eq!(stuck(chain, &[1]), []);
        assert_eq!(stuck(chain, &[2]), [3, 2, 1], "it waits by no handle: lending makes no difference");
        let ring: &[(u64, &[Awaited])] = &[(1, &[Awaited::Goroutine(2)]), (2, &[Awaited::Goroutine(1)])];
        assert_eq!(stuck(ring, &[]), [1, 2]);
    }
}
