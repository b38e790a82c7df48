//! `selectgo`: one of several channel operations, whichever can go first (Go: runtime/select.go).
//!
//! ```text
//!   pass 0  glance at the cases in a random order (pollorder), without a lock
//!           one that seems ready: lock its channel alone, look; if it can go, it goes         ──► done
//!   pass 1  lock all channels, in the order of their addresses (lockorder)
//!           look at the cases in pollorder: the first that can go, goes                       ──► done
//!           none, and there is a default                                                      ──► default
//!   pass 2  one sudog per case, into its channel's queue; all with the same ticket
//!           park; the commit (selparkcommit) unlocks all
//!   pass 3  take the sudogs that lost out of their queues, under the lock of each
//!           the one that the waker named has won                                              ──► done
//! ```
//!
//! Pass 0 is ours, not Go's: where a case is ready, the other channels are not locked, and no order is made of them. What
//! it finds ready was ready at that moment, under the lock; that is all a select has to be right about when it does not
//! wait. Only "none is ready" is a statement about all channels at one moment, and that is pass 1's.
//!
//! **Uniform.** A random permutation is walked until the first ready case: each ready case is first with the same chance.
//! The sudogs enter their queues in the same order: of several cases at one channel a waker finds each first alike.
//!
//! **No deadlock.** Every select that locks several channels locks them in the same order, and everything else locks one
//! channel at a time. A channel in several cases is locked once: its cases are neighbours in lockorder.
//!
//! **One winner.** From the first unlock of selparkcommit on, wakers at several channels may find the sudogs of this wait.
//! Each dequeues under its channel's lock and then must claim the ticket; one succeeds, the others pass us over. So at
//! most one value passes. A deadline claims the same ticket.
//!
//! **The stack stays until the last unlock.** A waker may have readied us while selparkcommit still unlocks the other
//! channels, and it reads the cases from our stack to do so. But when we wake we lock every channel, one after the other,
//! before we leave this frame; all but the winner's, which the waker has locked. That takes until the last of them is
//! unlocked; after which selparkcommit touches nothing.
//!
//! **Promises.** A case that sends without having a value yet (`Select`) does not complete, it commits: see [`How`].

use crate::hchan::{Block, Found, Hchan, Limit, earlier, nilparkcommit, wait_on_nil};
use crate::recv::{self, Recvd, chanrecv_raw};
use crate::scase::{Dir, Fired, Scase};
use crate::send::{self, Sent, chansend_raw};
use crate::shuttle::sound;
use crate::sudog::{Sudog, Wake, WakeList};
use gosched_runtime::cheapshuffle;
use gosched_runtime::park::{self, Awaited, Awaits, WaitReason, Waiter, Woken};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

/// What the chosen case has come to.
pub(crate) enum How {
    /// The value has passed.
    Done,
    /// The channel is closed.
    Closed,
    /// A send whose value comes later has a receiver: dequeued and claimed, it sleeps until it is served.
    Partner(*const Sudog),
    /// A send whose value comes later has a slot of the ring reserved.
    Reserved,
}

/// Room for `selectgo` to work in: as many places each as there are cases.
pub(crate) struct Scratch<'a> {
    pub(crate) pollorder: &'a mut [u32],
    pub(crate) lockorder: &'a mut [u32],
    pub(crate) sudogs: &'a mut [MaybeUninit<Sudog>],
}

/// The cases in lock order: what [`selparkcommit`] gets.
struct Locks<'a> {
    cases: &'a [Scase<'a>],
    lockorder: &'a [u32],
}

impl Locks<'_> {
    /// Calls `f` with each channel once, in lock order.
    #[inline]
    fn each(&self, mut f: impl FnMut(&Hchan)) {
        let mut last = ptr::null();
        for &i in self.lockorder {
            let case = &self.cases[i as usize];
            if case.c != last {
                last = case.c;
                case.hchan().into_iter().for_each(&mut f);
            }
        }
    }

    fn sellock(&self) {
        self.each(Hchan::lock);
    }

    /// # Safety
    /// All are locked, by us.
    unsafe fn selunlock(&self) {
        // SAFETY: the caller's promise.
        self.each(|c| unsafe { c.unlock() });
    }

    /// Unlocks all but one.
    ///
    /// # Safety
    /// All are locked, by us.
    unsafe fn selunlock_but(&self, kept: &Hchan) {
        self.each(|c| {
            if !ptr::eq(c, kept) {
                // SAFETY: the caller's promise.
                unsafe { c.unlock() }
            }
        });
    }
}

/// The last step before a select sleeps: unlocks all its channels.
///
/// # Safety
/// `arg` is the `Locks` of the waiter, all locked, at least one. It is not touched after the last unlock (the file's
/// head says why that is soon enough).
unsafe fn selparkcommit(_: Waiter, arg: *mut ()) -> bool {
    // The channel to unlock is kept one step behind, so that after the last unlock nothing is left to read.
    let mut last: *const Hchan = ptr::null();
    {
        // SAFETY: the waiter's stack stays until the last unlock, which is below this block.
        let locks = unsafe { &*arg.cast::<Locks<'_>>() };
        locks.each(|c| {
            // SAFETY: locked by the waiter, for whom we act.
            if let Some(l) = unsafe { last.as_ref() } {
                // SAFETY: as above; `c` is still locked, so the waiter stays.
                unsafe { l.unlock() };
            }
            last = c;
        });
    }
    // SAFETY: locked by the waiter; its handle keeps the channel until the lock is released.
    if let Some(l) = unsafe { last.as_ref() } {
        // SAFETY: as above; and then no longer.
        unsafe { l.unlock_last() };
    }
    true
}

/// Who can end a select's wait.
///
/// # Safety
/// `locks` is the `Locks` of the parked waiter.
unsafe fn awaited_by(locks: *const (), f: &mut dyn FnMut(Awaited)) {
    // SAFETY: the caller's promise: the cases are not written while their select waits.
    let locks = unsafe { &*locks.cast::<Locks<'_>>() };
    for case in locks.cases.iter().filter(|case| !case.c.is_null()) {
        // SAFETY: the handle is borrowed for as long as the case is there.
        unsafe { Hchan::awaited(case.place, f) };
    }
}

/// Selects. `None`: none was ready (in time). Else the index of the case, and what it came to.
///
/// # Safety
/// The cases' own invariants, for as long as this runs.
pub(crate) unsafe fn selectgo(cases: &[Scase<'_>], s: Scratch<'_>, block: Block) -> Option<(usize, How)> {
    // Nil cases are left out: they are never ready, and wait nowhere.
    let mut n = 0;
    for (i, case) in cases.iter().enumerate() {
        if !case.c.is_null() {
            s.pollorder[n] = i as u32;
            n += 1;
        }
    }
    let (pollorder, lockorder) = (&mut s.pollorder[..n], &mut s.lockorder[..n]);
    cheapshuffle(pollorder);
    let mut front = false;
    // Pass 0.
    for &i in pollorder.iter() {
        let i = i as usize;
        // SAFETY: the cases' invariants.
        match unsafe { glance(&cases[i]) } {
            Ok(None) => {}
            Ok(Some(how)) => return Some((i, how)),
            Err(TakenBack) => {
                front = true;
                break;
            }
        }
    }
    lockorder.copy_from_slice(pollorder);
    if sound("select: one order of locks") {
        sort_by_address(lockorder, cases);
    }
    let locks = Locks { cases, lockorder };
    let mut limit = Limit::new(block);
    locks.sellock();
    'again: loop {
        // Pass 1.
        for &i in pollorder.iter() {
            let i = i as usize;
            let case = &cases[i];
            let Some(c) = case.hchan() else { continue };
            let mut wakes = WakeList::new();
            // SAFETY: all are locked; wakes is readied, the promise answered, below.
            let how = match unsafe { look(c, case, &mut wakes) } {
                Ok(None) => continue,
                Ok(Some(how)) => how,
                Err(promise) => {
                    // SAFETY: all are locked, and afterwards c alone is.
                    let wake = unsafe {
                        locks.selunlock_but(c);
                        recv::await_promise(c, promise, case.elem, WaitReason::Select)
                    };
                    if wake == Wake::Done {
                        return Some((i, How::Done));
                    }
                    front = true;
                    locks.sellock();
                    continue 'again;
                }
            };
            // SAFETY: all are locked; who is in wakes was dequeued by look.
            unsafe {
                locks.selunlock();
                wakes.ready();
            }
            return Some((i, how));
        }
        let Ok(deadline) = limit.wait_until() else {
            // SAFETY: all are locked.
            unsafe { locks.selunlock() };
            return None;
        };

        // Pass 2.
        if !sound("select: looks and queues under one hold of the locks") {
            // SAFETY: all are locked.
            unsafe { locks.selunlock() };
            locks.sellock();
        }
        let due = |case: &Scase<'_>| case.hchan()?.timer.as_ref()?.next_due();
        let deadline = cases.iter().fold(deadline, |d, case| earlier(d, due(case)));
        let w = park::current();
        let ticket = w.open_ticket();
        for &i in pollorder.iter() {
            let case = &cases[i as usize];
            let Some(c) = case.hchan() else { continue };
            let sg = s.sudogs[i as usize].write(Sudog::new(w, Some(ticket), true, case.elem));
            let q = if case.dir == Dir::Send { &c.sendq } else { &c.recvq };
            // SAFETY: c is locked; the sudog stays until pass 3 has it out of the queue.
            unsafe { q.enqueue(sg, front) };
        }
        let (commit, arg): (park::Commit, _) = match n {
            0 => (nilparkcommit, ptr::null_mut()),
            _ => (selparkcommit, ptr::from_ref(&locks).cast_mut().cast()),
        };
        let awaits = Awaits::new(awaited_by, ptr::from_ref(&locks).cast());
        if deadline.is_none() {
            // SAFETY: record and cases are on this stack until the wait is over.
            unsafe { w.set_awaits(&awaits) };
        }
        // SAFETY: selparkcommit gets our locks, all locked, and its unlocks are what makes us reachable. Who dequeues one
        // of the sudogs claims the ticket and then readies us, once. With no channel nobody does but the deadline.
        let woken = unsafe { park::gopark_timeout(commit, arg, WaitReason::Select, ticket, deadline) };
        w.awaits_nothing();

        // Pass 3.
        let won: *const Sudog = w.take_param().cast();
        debug_assert_eq!(won.is_null(), woken == Woken::TimedOut);
        let mut winner = None;
        for &i in pollorder.iter() {
            let case = &cases[i as usize];
            let Some(c) = case.hchan() else { continue };
            // SAFETY: pass 2 initialised it.
            let sg = unsafe { s.sudogs[i as usize].assume_init_ref() };
            if ptr::eq(sg, won) {
                winner = Some((i as usize, sg));
                continue;
            }
            let q = if case.dir == Dir::Send { &c.sendq } else { &c.recvq };
            c.lock();
            // SAFETY: c is locked; the sudog was put in this queue.
            unsafe {
                q.remove(sg);
                c.unlock();
            }
        }
        if let Some((i, sg)) = winner {
            match sg.wake() {
                Wake::Done if !sg.is_hollow() => return Some((i, How::Done)),
                Wake::Done if sg.partner.get().is_null() => return Some((i, How::Reserved)),
                Wake::Done => return Some((i, How::Partner(sg.partner.get()))),
                Wake::Closed => return Some((i, How::Closed)),
                Wake::Again | Wake::Waiting => front = true,
            }
        }
        locks.sellock(); // one more look, also at a deadline
    }
}

/// Sorts case numbers by the addresses of their channels. (What a `select!` has is too few for more than insertion.)
fn sort_by_address(order: &mut [u32], cases: &[Scase<'_>]) {
    let addr = |i: u32| cases[i as usize].c.addr();
    if order.len() > 16 {
        return order.sort_unstable_by_key(|&i| addr(i));
    }
    for end in 1..order.len() {
        let (moved, mut at) = (order[end], end);
        while at > 0 && addr(order[at - 1]) > addr(moved) {
            order[at] = order[at - 1];
            at -= 1;
        }
        order[at] = moved;
    }
}

/// A sender has promised a value and then taken the promise back.
struct TakenBack;

/// Whether `case` can go now, its channel alone locked, and that only where there is a chance; if so, it has gone.
///
/// # Safety
/// The case's own invariants.
#[inline]
unsafe fn glance(case: &Scase<'_>) -> Result<Option<How>, TakenBack> {
    let Some(c) = case.hchan() else { return Ok(None) };
    let hopeless = if case.dir == Dir::Send { c.full() } else { c.empty() };
    if hopeless {
        return Ok(None);
    }
    let mut wakes = WakeList::new();
    c.lock();
    // SAFETY: c is locked, and nothing else; who is in wakes was dequeued by look.
    unsafe {
        match look(c, case, &mut wakes) {
            Ok(how) => {
                c.unlock();
                wakes.ready();
                Ok(how)
            }
            Err(promise) => match recv::await_promise(c, promise, case.elem, WaitReason::Select) {
                Wake::Done => Ok(Some(How::Done)),
                _ => Err(TakenBack),
            },
        }
    }
}

/// Whether `case` can go now; if so, it has gone. `Err`: a sender's promise (`recv::await_promise`).
///
/// # Safety
/// As for `send::look` and `recv::look`.
#[inline]
unsafe fn look(c: &Hchan, case: &Scase<'_>, wakes: &mut WakeList) -> Result<Option<How>, *const Sudog> {
    if case.dir == Dir::Send && case.elem.is_null() {
        // SAFETY: handed on.
        return Ok(unsafe { look_hollow(c) });
    }
    // SAFETY: handed on; elem is what the case's direction needs (its invariant).
    match unsafe {
        match case.dir {
            Dir::Send => send::look(c, case.elem, wakes),
            Dir::Recv => recv::look(c, case.elem, wakes),
        }
    } {
        Found::Passed => Ok(Some(How::Done)),
        Found::Closed => Ok(Some(How::Closed)),
        Found::Promise(s) => Err(s),
        Found::Nothing => Ok(None),
    }
}

/// For a send whose value comes later: whether it could go now; if so, the way is kept free for it.
///
/// # Safety
/// The lock is held.
unsafe fn look_hollow(c: &Hchan) -> Option<How> {
    if c.is_closed() {
        return Some(How::Closed);
    }
    // SAFETY: the lock is held. The receiver sleeps until the send is carried out or withdrawn.
    if let Some(r) = unsafe { c.recvq.dequeue() } {
        return Some(How::Partner(r));
    }
    if c.has_room() {
        c.reserved.set(c.reserved.get() + 1);
        return Some(How::Reserved);
    }
    None
}

/// How long a `select!` waits before it goes to its default: evaluated in its place among the cases.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Patience(Block);

/// No default: wait for ever.
#[doc(hidden)]
#[inline]
pub fn __wait() -> Patience {
    Patience(Block::Forever)
}

/// `default => …` with `[]`, `default(duration) => …` with `[duration]`.
#[doc(hidden)]
#[inline]
pub fn __default<const N: usize>(d: [Duration; N]) -> Patience {
    Patience(d.first().map_or(Block::No, |&d| Block::For(d)))
}

/// What `select!` calls: the index of the case, or `N` for the default.
#[doc(hidden)]
pub fn __selectgo<const N: usize>(cases: &mut [Scase<'_>; N], patience: Patience) -> usize {
    park::point("select", ptr::null());
    let block = patience.0;
    if N == 1 {
        // One case: the operation itself, as Go's compiler has it.
        return one(&mut cases[0], block);
    }
    let scratch = Scratch {
        pollorder: &mut [0; N],
        lockorder: &mut [0; N],
        sudogs: &mut [const { MaybeUninit::uninit() }; N],
    };
    // SAFETY: the cases are borrowed from SendCases and RecvCases for as long as they live (Scase's invariant).
    match unsafe { selectgo(cases, scratch, block) } {
        None => N,
        Some((i, how)) => {
            let fired = if matches!(how, How::Closed) { Fired::Closed } else { Fired::Done };
            // SAFETY: that is what has become of the value. (Cases of select! are never hollow.)
            unsafe { cases[i].fire(fired) };
            i
        }
    }
}

fn one(case: &mut Scase<'_>, block: Block) -> usize {
    // SAFETY: elem is what the case's direction needs (Scase's invariant).
    let fired = unsafe {
        match case.dir {
            Dir::Send => match chansend_raw(case.hchan(), case.place, case.elem, block) {
                Sent::Done => Fired::Done,
                Sent::Closed => Fired::Closed,
                Sent::Full => return 1,
            },
            Dir::Recv => match chanrecv_raw(case.hchan(), case.place, case.elem, block) {
                Recvd::Done => Fired::Done,
                Recvd::Closed => Fired::Closed,
                Recvd::Empty => return 1,
            },
        }
    };
    // SAFETY: as in __selectgo.
    unsafe { case.fire(fired) };
    0
}

/// `select! {}`
#[doc(hidden)]
#[cold]
pub fn __forever() -> ! {
    loop {
        wait_on_nil(Block::Forever, WaitReason::SelectNoCases);
    }
}

/// After the last case of a `select!` without default.
#[doc(hidden)]
#[cold]
pub fn __no_default() -> ! {
    unreachable!("a select without default chose none of its cases");
}
