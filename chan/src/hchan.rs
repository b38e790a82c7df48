//! The channel itself (Go: runtime/chan.go, `hchan`), and how one waits on it.
//!
//! One allocation holds the header and, behind it, the ring:
//!
//! ```text
//!   Chan ──┐                  ┌─ Hchan ────────────────────────────────┬─ ring ───────────────┐
//!   Sender ├─ NonNull<Hchan> ►│ refs lock closed ring sendq recvq timer│ T  T  T  …  dataqsiz │
//!   … ─────┘   (None: nil)    └────────────────────────────────────────┴──────────────────────┘
//! ```
//!
//! The header does not know `T` (the handles do), so that `select` is one function over channels of any type.
//!
//! ## Invariants, under the lock
//! 1. `recvq` has waiters only where the ring is empty; `sendq` only where it has no room.
//! 2. At most one of the queues has waiters, for each arrival looks at the other queue first (but one `select` may stand in
//!    both, and sudogs of waits that are over may still lie in either).
//! 3. A closed channel has no waiters.
//! 4. `ring.len() + reserved <= dataqsiz`. A reservation is room promised to a `Select` that has chosen to send and has
//!    yet to say what: senders count it as taken, receivers see only values. So a ring may be empty and without room.
//!
//! ## The lock
//! A raw one (the runtime's rawlock.rs), because it is not released by who took it: a waiter goes to sleep with the lock held,
//! and it is released by the park's commit (`chanparkcommit`), when the waiter has left its stack. From then on it may come
//! back and drop its handle: so the commit's unlock is the kind that touches nothing afterwards (`unlock_last`). All
//! others are done by somebody who has borrowed a handle. No user code ever runs under it: values are moved, never dropped,
//! compared or cloned.
//!
//! ## Without the lock
//! `empty` and `full` let a poll that finds nothing be two loads. Each looks at two things, one after the other, and
//! each is right about *some* moment between the call and the return, which is all that a poll can say anyway:
//! * `full`: first not closed, then no room. A closed channel does not open again; so at the moment when there was no
//!   room, either it was still open (Full is right), or it was closed in between, and then it was open and without room
//!   just before, since closing is no way from having room to having none.
//! * `empty`: first no value and no waiting sender, then not closed; open now means open then. (Values and senders are two
//!   looks. Both can be there at different moments only where room is reserved; then a poll may miss a sender who is just
//!   moving into the ring. The next one finds the value.)

use crate::buf::{Elemtype, Ring};
use crate::shuttle::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::shuttle::{Lock, sound};
use crate::sudog::{Sudog, WaitQ, Wake, WakeList};
use gosched_runtime::park::{self, Awaited, Awaits, WaitReason, Waiter, Woken};
use std::alloc::{self, Layout};
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// How long an operation may wait.
#[derive(Clone, Copy)]
pub(crate) enum Block {
    /// Not at all: the try_ operations, and select with a `default`.
    No,
    /// As long as it takes.
    Forever,
    /// That long, from when it is found to be necessary.
    For(Duration),
}

/// The end of the patience of an operation. The clock is read when it must wait and not before.
pub(crate) struct Limit {
    block: Block,
    /// Set at the first look at the clock; the inner None: beyond the end of time.
    deadline: Option<Option<Instant>>,
}

impl Limit {
    pub(crate) fn new(block: Block) -> Limit {
        Limit { block, deadline: None }
    }

    /// To be asked before each wait: `Err` if there is to be none, else its deadline.
    #[inline]
    pub(crate) fn wait_until(&mut self) -> Result<Option<Instant>, ()> {
        match self.block {
            Block::No => Err(()),
            Block::Forever => Ok(None),
            Block::For(d) => self.wait_for(d),
        }
    }

    #[inline(never)]
    fn wait_for(&mut self, d: Duration) -> Result<Option<Instant>, ()> {
        match self.deadline {
            _ if d.is_zero() => Err(()),
            None => {
                let deadline = park::now().checked_add(d);
                self.deadline = Some(deadline);
                Ok(deadline)
            }
            Some(Some(t)) if t <= park::now() => Err(()),
            Some(deadline) => Ok(deadline),
        }
    }
}

/// The earlier of two deadlines, where None is never.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

/// What a look at a channel, under its lock, came to. (`recv::look`, `send::look`)
pub(crate) enum Found {
    /// The value has passed. Others may have to be readied.
    Passed,
    /// The channel is closed (for a receiver: and drained).
    Closed,
    /// For a receiver: a sender who has yet to say what it sends. Dequeued, to be answered by `recv::await_promise`.
    Promise(*const Sudog),
    /// One would have to wait.
    Nothing,
}

/// The clock of a timer channel: its only sender. Nothing runs when a tick is due; whoever looks at the channel finds
/// out by the clock whether there is something to receive, and who waits for it waits with the next tick as deadline.
/// So the timer sits in a heap exactly while somebody waits on the channel (Go 1.23's rule), and there is no callback.
///
/// ```text
///   looks ──►  when <= now?  ── yes: the value is `when`; next `when` = first of when + k·period after now, or None
///                    └ no: park until `when`, look again
/// ```
/// Under the lock. Whoever makes `when` earlier must [`Hchan::kick`] those who wait by the old one.
pub(crate) struct Timer {
    when: Cell<Option<Instant>>,
    period: Cell<Duration>,
}

impl Timer {
    pub(crate) fn new(when: Option<Instant>, period: Duration) -> Timer {
        Timer { when: Cell::new(when), period: Cell::new(period) }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.when.get()
    }

    /// Sets it anew; gives what was set before.
    pub(crate) fn set(&self, when: Option<Instant>, period: Duration) -> Option<Instant> {
        self.period.set(period);
        self.when.replace(when)
    }

    /// The tick that is due at `now`, if one is. Ticks that were missed since then are skipped, the rhythm is kept.
    pub(crate) fn take_due(&self, now: Instant) -> Option<Instant> {
        let when = self.when.get().filter(|&when| when <= now)?;
        let period = self.period.get();
        self.when.set(if period.is_zero() {
            None
        } else {
            // when + period * (1 + late/period), written so that nothing overflows: late % period < period.
            let late = (now - when).as_nanos() % period.as_nanos();
            let into = Duration::new((late / 1_000_000_000) as u64, (late % 1_000_000_000) as u32);
            now.checked_add(period - into)
        });
        Some(when)
    }
}

/// The header. Fields without a word on it are under `lock`.
pub(crate) struct Hchan {
    /// Handles. The last one to go frees.
    refs: AtomicUsize,
    lock: Lock,
    /// Written under the lock, once; read anywhere.
    closed: AtomicBool,
    pub(crate) ring: Ring,
    pub(crate) reserved: Cell<usize>,
    pub(crate) sendq: WaitQ,
    pub(crate) recvq: WaitQ,
    /// Some: a timer channel, unbuffered, of `Instant`s. Set at birth.
    pub(crate) timer: Option<Timer>,
}

impl Hchan {
    #[inline]
    pub(crate) fn lock(&self) {
        self.lock.lock();
    }

    /// # Safety
    /// The lock is held, the caller acts for who holds it, and a handle stays until this returns.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock() };
    }

    /// As `unlock`, where the channel may be gone as soon as the lock is free.
    ///
    /// # Safety
    /// The lock is held, and the caller acts for who holds it.
    #[inline]
    pub(crate) unsafe fn unlock_last(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock_last() };
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with set_closed; who sees it closed sees what was before the close.
        self.closed.load(Ordering::Acquire)
    }

    /// Under the lock.
    pub(crate) fn set_closed(&self) {
        // Release: pairs with is_closed.
        self.closed.store(true, Ordering::Release);
    }

    /// Under the lock: whether the ring takes one more value.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.ring.len() + self.reserved.get() < self.ring.dataqsiz
    }

    /// Without the lock: a receive that must not wait would find nothing, and the channel is open. See the file's head.
    #[inline]
    pub(crate) fn empty(&self) -> bool {
        let none = self.ring.len() == 0 && self.sendq.looks_empty() && self.timer.is_none();
        // The Acquire of the look at the queue or the ring keeps this load behind it.
        none && !self.is_closed()
    }

    /// Without the lock: a send that must not wait would find no room, and the channel is open. See the file's head.
    /// Reservations are not counted: together with the ring's length they could be read only under the lock.
    #[inline]
    pub(crate) fn full(&self) -> bool {
        // The Acquire keeps the loads behind it.
        !self.is_closed()
            && if self.ring.dataqsiz == 0 {
                self.recvq.looks_empty()
            } else {
                self.ring.len() == self.ring.dataqsiz
            }
    }

    /// Gives the room that has come free to those who wait for it, in their order. Called whenever room has come free
    /// while `sendq` may have waiters.
    ///
    /// # Safety
    /// The lock is held; `wakes` is readied after it is released.
    pub(crate) unsafe fn settle(&self, wakes: &mut WakeList) {
        while self.has_room() {
            // SAFETY: the lock is held.
            let Some(sg) = (unsafe { self.sendq.dequeue() }) else { break };
            if sg.is_hollow() {
                self.reserved.set(self.reserved.get() + 1);
            } else {
                // SAFETY: there is room; sg.elem holds a value, whose sender sleeps and will count it as sent.
                unsafe { self.ring.put_raw(sg.elem) };
            }
            sg.complete(Wake::Done);
            wakes.push(sg);
        }
    }

    /// How many senders and receivers wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.lock();
        // SAFETY: the lock is held until the unlock.
        unsafe {
            let n = (self.sendq.count(), self.recvq.count());
            self.unlock();
            n
        }
    }

    /// Makes all who wait to receive look again: for a timer that was set anew.
    pub(crate) fn kick(&self) {
        let mut wakes = WakeList::new();
        self.lock();
        // SAFETY: the lock is held.
        while let Some(sg) = unsafe { self.recvq.dequeue() } {
            sg.complete(Wake::Again);
            wakes.push(sg);
        }
        // SAFETY: we hold it.
        unsafe { self.unlock() };
        // SAFETY: each was dequeued above, the lock is released.
        unsafe { wakes.ready() };
    }

    /// For `park::Awaits`: who can end a wait by the handle at `place`.
    ///
    /// # Safety
    /// `place` is a [`Ref::place`] that the parked waiter has borrowed.
    pub(crate) unsafe fn awaited(place: *const (), f: &mut dyn FnMut(Awaited)) {
        // SAFETY: the caller's promise; a handle keeps its channel alive.
        let h = unsafe { (*place.cast::<Option<NonNull<Hchan>>>()).map(|h| &*h.as_ptr()) };
        f(match h {
            None => return,
            Some(h) if h.timer.is_some() => Awaited::Anybody,
            // Relaxed: where nobody else has a handle there is nobody else to change it.
            Some(h) => {
                let handles = h.refs.load(Ordering::Relaxed);
                Awaited::Handle { what: ptr::from_ref(h).cast(), handles, place }
            }
        });
    }

    /// Stands in `q` until somebody comes, or until `deadline`. `Some`: what the waker said; the lock is *not* held.
    /// `None`: the time is up, the sudog is out of the queue; the lock *is* held.
    ///
    /// # Safety
    /// The lock is held; `q` is a queue of this channel; `elem` is this waiter's place for the value; `place` is its
    /// handle's.
    pub(crate) unsafe fn wait_on(
        &self,
        q: &WaitQ,
        elem: *mut u8,
        place: *const (),
        reason: WaitReason,
        deadline: Option<Instant>,
        front: bool,
    ) -> Option<Wake> {
        if !sound("channel: looks and queues under one hold of the lock") {
            // SAFETY: the lock is held.
            unsafe { self.unlock() };
            self.lock();
        }
        let w = park::current();
        let ticket = deadline.map(|_| w.open_ticket());
        let mut sg = Sudog::new(w, ticket, false, elem);
        sg.place = place;
        // SAFETY: the lock is held. sg is alive until this function returns, and then it is out of the queue: a waker
        // has dequeued it, or we remove it.
        unsafe { q.enqueue(&sg, front) };
        let arg = ptr::from_ref(self).cast_mut().cast();
        match ticket {
            None => {
                let awaits = Awaits::new(awaited_by, ptr::from_ref(&sg).cast());
                // SAFETY: record and sudog are on this stack until the wait is over. chanparkcommit gets the channel whose
                // lock is held, and its unlock is what makes us reachable. Who dequeues sg readies it, once.
                unsafe {
                    w.set_awaits(&awaits);
                    park::gopark(chanparkcommit, arg, reason);
                }
                w.awaits_nothing();
            }
            Some(t) => {
                // SAFETY: as above; and dequeue claims the ticket.
                if unsafe { park::gopark_timeout(chanparkcommit, arg, reason, t, deadline) }
                    == Woken::TimedOut
                {
                    self.lock();
                    // SAFETY: the lock is held, sg was put in q.
                    unsafe { q.remove(&sg) };
                    return None;
                }
            }
        }
        Some(sg.wake())
    }
}

/// Who can end a wait on one channel.
///
/// # Safety
/// `sg` is the sudog of the parked waiter.
unsafe fn awaited_by(sg: *const (), f: &mut dyn FnMut(Awaited)) {
    // SAFETY: the caller's promise. Only `place` is looked at, which nobody writes; and a waiter has borrowed its handle.
    unsafe { Hchan::awaited((&raw const (*sg.cast::<Sudog>()).place).read(), f) };
}

/// Nobody can end a wait on nothing.
///
/// # Safety
/// None of its own.
unsafe fn awaited_by_none(_: *const (), _: &mut dyn FnMut(Awaited)) {}

/// The last step before a waiter sleeps on one channel: unlocks it. (Go: `chanparkcommit`.)
///
/// # Safety
/// `arg` is an `Hchan` whose lock the waiter holds. From the unlock on the waiter may be awake again and the channel
/// gone: it is the last thing that is done.
pub(crate) unsafe fn chanparkcommit(_: Waiter, arg: *mut ()) -> bool {
    // SAFETY: the caller's promise. The waiter's handle keeps the channel until the lock is released.
    unsafe { (*arg.cast::<Hchan>()).unlock_last() };
    true
}

/// The last step before a wait on nothing. It touches nothing.
///
/// # Safety
/// None of its own; the signature is the seam's.
pub(crate) unsafe fn nilparkcommit(_: Waiter, _: *mut ()) -> bool {
    true
}

/// Waits on the nil channel: until the limit is reached, or for ever.
#[cold]
pub(crate) fn wait_on_nil(block: Block, reason: WaitReason) {
    let mut limit = Limit::new(block);
    while let Ok(deadline) = limit.wait_until() {
        let w = park::current();
        let t = w.open_ticket();
        let awaits = Awaits::new(awaited_by_none, ptr::null());
        if deadline.is_none() {
            // SAFETY: the record is on this stack until the wait is over.
            unsafe { w.set_awaits(&awaits) };
        }
        // SAFETY: the commit touches nothing and makes nobody see this wait: only its deadline ends it.
        unsafe { park::gopark_timeout(nilparkcommit, ptr::null_mut(), reason, t, deadline) };
        w.awaits_nothing();
    }
}

/// A handle on a channel of `T`, or nil. `Chan`, `Sender` and `Receiver` are this.
pub(crate) struct Ref<T> {
    h: Option<NonNull<Hchan>>,
    /// Invariant in T: what goes in at one handle comes out at another. And not Send by itself.
    _t: PhantomData<*mut T>,
}

// SAFETY: all a handle does to the header is under its lock or atomic, and a channel gives each value to one receiver;
// so sharing handles between threads moves values of T between them, and nothing more. T itself is never shared.
unsafe impl<T: Send> Send for Ref<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ref<T> {}
// A panic never leaves a channel half changed: no user code runs under the lock.
impl<T> UnwindSafe for Ref<T> {}
impl<T> RefUnwindSafe for Ref<T> {}

impl<T> Ref<T> {
    pub(crate) const NIL: Ref<T> = Ref { h: None, _t: PhantomData };

    /// Go: `makechan`.
    #[track_caller]
    pub(crate) fn makechan(dataqsiz: usize, timer: Option<Timer>) -> Ref<T> {
        let Some((layout, offset)) = layout(Elemtype::of::<T>(), dataqsiz) else {
            panic!("makechan: size out of range");
        };
        // SAFETY: the layout is not empty, a header is in it.
        let mem = unsafe { alloc::alloc(layout) };
        let Some(h) = NonNull::new(mem.cast::<Hchan>()) else { alloc::handle_alloc_error(layout) };
        // SAFETY: `layout` put `dataqsiz` elements at `offset`, and nobody else uses them.
        let ring = unsafe { Ring::new(mem.add(offset), dataqsiz, Elemtype::of::<T>()) };
        // SAFETY: fresh memory, laid out for a header.
        unsafe {
            h.write(Hchan {
                refs: AtomicUsize::new(1),
                lock: Lock::new(),
                closed: AtomicBool::new(false),
                ring,
                reserved: Cell::new(0),
                sendq: WaitQ::new(),
                recvq: WaitQ::new(),
                timer,
            });
        }
        Ref { h: Some(h), _t: PhantomData }
    }

    /// The channel; None for nil.
    #[inline]
    pub(crate) fn hchan(&self) -> Option<&Hchan> {
        // SAFETY: this handle is counted, so the channel is alive as long as it.
        self.h.map(|h| unsafe { h.as_ref() })
    }

    /// Where this handle lies, for `Hchan::awaited`.
    #[inline]
    pub(crate) fn place(&self) -> *const () {
        ptr::from_ref(&self.h).cast()
    }

    /// Whether there are other handles on the channel. "No" stays true as long as nobody clones this one.
    pub(crate) fn is_shared(&self) -> bool {
        // Relaxed: nothing is concluded about the channel but that nobody else has it.
        self.hchan().is_some_and(|h| h.refs.load(Ordering::Relaxed) > 1)
    }

    /// Identity.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const Hchan {
        self.h.map_or(ptr::null(), |h| h.as_ptr())
    }
}

fn layout(elemtype: &Elemtype, dataqsiz: usize) -> Option<(Layout, usize)> {
    let ring = Layout::from_size_align(elemtype.size.checked_mul(dataqsiz)?, elemtype.align).ok()?;
    Layout::new::<Hchan>().extend(ring).ok()
}

impl<T> Clone for Ref<T> {
    #[inline]
    fn clone(&self) -> Self {
        if let Some(h) = self.hchan() {
            // Relaxed: a handle is made from a handle; nothing can be freed meanwhile.
            if h.refs.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
                std::process::abort(); // only by forgetting handles; before the count wraps
            }
        }
        Ref { h: self.h, _t: PhantomData }
    }
}

impl<T> Drop for Ref<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(h) = self.h {
            // Release: pairs with the Acquire in free; what was done through this handle is done before.
            // SAFETY: counted, so alive.
            if unsafe { h.as_ref() }.refs.fetch_sub(1, Ordering::Release) == 1 {
                // SAFETY: that was the last handle.
                unsafe { free(h) };
            }
        }
    }
}

/// # Safety
/// No handle is left.
#[cold]
unsafe fn free(h: NonNull<Hchan>) {
    struct Mem(NonNull<Hchan>, Layout);
    impl Drop for Mem {
        fn drop(&mut self) {
            // SAFETY: allocated in makechan with this layout. The header has no destructor.
            unsafe { alloc::dealloc(self.0.as_ptr().cast(), self.1) };
        }
    }
    // Acquire: pairs with the Release of each handle's end. (A load, not a fence: thread sanitizers follow it.)
    // SAFETY: not freed yet.
    unsafe { h.as_ref() }.refs.load(Ordering::Acquire);
    // SAFETY: no handle is left, so nobody waits either: a waiter has a handle.
    let hchan = unsafe { &mut *h.as_ptr() };
    let (elemtype, dataqsiz) = (hchan.ring.elemtype, hchan.ring.dataqsiz);
    // The memory goes even when a value's destructor panics.
    let _mem = layout(elemtype, dataqsiz).map(|(l, _)| Mem(h, l));
    hchan.ring.drop_values();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_keeps_its_rhythm_and_has_one_tick_pending_at_most() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let t = Timer::new(Some(start + ms(10)), ms(10));
        assert_eq!(t.take_due(start + ms(9)), None);
        assert_eq!(t.take_due(start + ms(10)), Some(start + ms(10)));
        assert_eq!(t.take_due(start + ms(57)), Some(start + ms(20)));
        assert_eq!(t.next_due(), Some(start + ms(60)));
        assert_eq!(t.take_due(start + ms(59)), None);
        assert_eq!(t.take_due(start + ms(60)), Some(start + ms(60)));
        assert_eq!(t.next_due(), Some(start + ms(70)));
    }

    #[test]
    fn a_timer_without_a_period_fires_once() {
        let start = Instant::now();
        let t = Timer::new(Some(start), Duration::ZERO);
        assert_eq!(t.take_due(start), Some(start));
        assert_eq!(t.take_due(start + Duration::from_secs(1)), None);
        let far = Timer::new(Some(start), Duration::MAX);
        assert_eq!(far.take_due(start), Some(start));
        assert_eq!(far.next_due(), None);
    }

    #[test]
    fn limits() {
        assert!(Limit::new(Block::No).wait_until().is_err());
        assert!(Limit::new(Block::For(Duration::ZERO)).wait_until().is_err());
        assert_eq!(Limit::new(Block::Forever).wait_until(), Ok(None));
        assert_eq!(Limit::new(Block::For(Duration::MAX)).wait_until(), Ok(None));
        let mut short = Limit::new(Block::For(Duration::from_nanos(1)));
        assert!(short.wait_until().is_ok());
        while short.wait_until().is_ok() {}
    }
}
