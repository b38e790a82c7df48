//! The local run queue of a P: a ring of 256 goroutines, and one goroutine that runs next
//! (Go: runtime/proc.go, `runqput`, `runqget`, `runqgrab`, `runqsteal`).
//!
//! One owner pushes and pops; any thief may take half.
//!
//! ```text
//!                 head                     tail
//!                  ▼                        ▼            head: moved on by CAS, by the owner or a thief
//!   ┌───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┐        tail: moved on by the owner only
//!   │   │   │   │ g │ g │ g │ g │ g │ g │ g │   │        both count up for ever; slot = count mod 256
//!   └───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┘
//!   runnext: ─► g        (the newest, most local: it runs before all of these)
//! ```
//!
//! **Who owns what.** Slots in `[head, tail)` hold goroutines that belong to the queue. A thief first *reads* the slots
//! it wants and then claims them by moving head; the CAS fails if anyone else took one of them meanwhile, and then what
//! it read is forgotten. A slot is written again only 256 pushes later, for which head must have passed it: so what a
//! successful claimer has read was not overwritten.
//!
//! **runnext** is taken by CAS as well: by the owner to run or replace it, by a thief as a last resort. It inherits its
//! predecessor's time slice, so that two goroutines that wake each other share one and cannot starve the rest.
//!
//! **Full?** The first half of the ring and the goroutine kicked out are handed back as one list, and the caller queues
//! it globally: this file knows no other queue.
//!
//! Models: tests/loom_runq.rs.

#[cfg(not(any(gosched_loom, gosched_shuttle)))]
use crate::g::G;
use crate::glist::{GQueue, Linked};
use crate::loom::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::loom::sound;
use std::ptr::{self, NonNull};

#[cfg(not(gosched_loom))]
pub(crate) const RUNQ_LEN: u32 = 256;
/// Small enough that a model reaches overflow and wrap-around.
#[cfg(gosched_loom)]
pub(crate) const RUNQ_LEN: u32 = 4;

pub(crate) struct RunQ<T: Linked> {
    head: AtomicU32,
    tail: AtomicU32,
    ring: [AtomicPtr<T>; RUNQ_LEN as usize],
    runnext: AtomicPtr<T>,
}

/// `RunQ::runqput` for goroutines: the one place through which they come into a P's queue. Not inlined and not generic, so
/// that a debugger stops here by name. Where the ring is full, `slow` gets half of it to queue globally.
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
#[inline(never)]
pub(crate) fn runqput(q: &RunQ<G>, gp: NonNull<G>, next: bool, slow: fn(GQueue<G>)) {
    if let Some(over) = q.runqput(gp, next) {
        slow(over);
    }
}

/// What `runqget` gives.
pub(crate) struct Got<T> {
    pub(crate) g: NonNull<T>,
    /// It came from runnext: it goes on in the time slice of the goroutine that made it runnable.
    pub(crate) inherit_time: bool,
    /// The two that stood behind it in the ring. A hint: a thief may have them already.
    pub(crate) coming: Option<[NonNull<T>; 2]>,
}

impl<T: Linked> RunQ<T> {
    pub(crate) fn new() -> RunQ<T> {
        RunQ {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            ring: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            runnext: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[inline]
    fn slot(&self, n: u32) -> &AtomicPtr<T> {
        &self.ring[(n % RUNQ_LEN) as usize]
    }

    /// Whether the queue was empty at some moment of the call. From any thread.
    pub(crate) fn runqempty(&self) -> bool {
        loop {
            // Acquire, all three: the looks must not be reordered, for runqput moves a goroutine from runnext to the
            // tail and would otherwise be seen at neither place. The tail is looked at twice to be sure that it did
            // not move in between.
            let head = self.head.load(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Acquire);
            let next = self.runnext.load(Ordering::Acquire);
            if tail == self.tail.load(Ordering::Acquire) {
                return head == tail && next.is_null();
            }
        }
    }

    /// How many goroutines stand in it, about. From any thread.
    #[cfg(any(test, not(gosched_loom)))]
    pub(crate) fn len(&self) -> u32 {
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Acquire);
        let next = u32::from(!self.runnext.load(Ordering::Relaxed).is_null());
        tail.wrapping_sub(head).min(RUNQ_LEN) + next
    }

    /// How many were ever taken from the ring, modulo 2^32; `None` where nobody stands in it. From any thread.
    #[cfg(any(test, not(gosched_loom)))]
    pub(crate) fn ring_head(&self) -> Option<u32> {
        // Relaxed: numbers, nothing is read through them.
        let head = self.head.load(Ordering::Relaxed);
        (self.tail.load(Ordering::Relaxed) != head).then_some(head)
    }

    /// Puts `g` in: as the next to run, kicking out the one before it, or at the tail. Owner only. Where the ring is
    /// full, half of it and the one goroutine too many come back, to be queued globally.
    #[inline]
    #[must_use = "the goroutines handed back are in no queue"]
    pub(crate) fn runqput(&self, g: NonNull<T>, next: bool) -> Option<GQueue<T>> {
        let g = if next {
            // Only the owner fills it: where it is empty it stays so, and a store will do, which costs less than a swap.
            if self.runnext.load(Ordering::Relaxed).is_null() {
                // Release: publishes g to the thief that takes it (AcqRel in runqgrab).
                let release =
                    if sound("runq: runnext published") { Ordering::Release } else { Ordering::Relaxed };
                self.runnext.store(g.as_ptr(), release);
                return None;
            }
            // AcqRel: publishes g to the thief that takes it (Acquire in runqgrab); acquires the kicked one, which a
            // failed thief may have looked at but nobody else wrote.
            let old = self.runnext.swap(g.as_ptr(), Ordering::AcqRel);
            NonNull::new(old)?
        } else {
            g
        };
        self.put_tail(g)
    }

    #[inline]
    fn put_tail(&self, g: NonNull<T>) -> Option<GQueue<T>> {
        // Acquire: pairs with the Release of the CAS that moved head, so that the taker's read of the slot comes before
        // our write to it.
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Relaxed); // our own
        if tail.wrapping_sub(head) < RUNQ_LEN {
            self.slot(tail).store(g.as_ptr(), Ordering::Relaxed);
            // Release: publishes the slot; pairs with the Acquire of tail in runqgrab.
            let release = if sound("runq: tail published") { Ordering::Release } else { Ordering::Relaxed };
            self.tail.store(tail.wrapping_add(1), release);
            return None;
        }
        self.put_slow(g, head, tail)
    }

    /// The ring is full: takes the first half out, together with `g`. A thief may get in between; then there is room.
    #[cold]
    fn put_slow(&self, g: NonNull<T>, mut head: u32, tail: u32) -> Option<GQueue<T>> {
        loop {
            let n = tail.wrapping_sub(head) / 2;
            if n < RUNQ_LEN / 2 {
                return self.put_tail(g);
            }
            let batch: [*mut T; RUNQ_LEN as usize / 2] =
                std::array::from_fn(|i| self.slot(head.wrapping_add(i as u32)).load(Ordering::Relaxed));
            // Release: our reads above come before anyone sees the slots free. Acquire on failure: as in put_tail.
            match self.head.compare_exchange(head, head.wrapping_add(n), Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => {
                    let mut out = GQueue::new();
                    for p in batch {
                        out.push_back(NonNull::new(p).expect("a claimed slot holds a goroutine"));
                    }
                    out.push_back(g);
                    return Some(out);
                }
                Err(now) => head = now,
            }
        }
    }

    /// Puts a whole list at the tail, as far as there is room; the rest stays in the list. Owner only.
    pub(crate) fn runqputbatch(&self, list: &mut GQueue<T>) {
        let head = self.head.load(Ordering::Acquire); // as in put_tail
        let mut tail = self.tail.load(Ordering::Relaxed);
        while tail.wrapping_sub(head) < RUNQ_LEN {
            let Some(g) = list.pop_front() else { break };
            self.slot(tail).store(g.as_ptr(), Ordering::Relaxed);
            tail = tail.wrapping_add(1);
        }
        self.tail.store(tail, Ordering::Release); // as in put_tail
    }

    /// Takes the next goroutine to run. Owner only.
    #[inline]
    pub(crate) fn runqget(&self) -> Option<Got<T>> {
        // Only the owner sets runnext to something, so a null stays null until we change it.
        if !self.runnext.load(Ordering::Relaxed).is_null() {
            // Acquire: a thief that looked and failed is behind us; the goroutine itself is our own.
            let next = self.runnext.swap(ptr::null_mut(), Ordering::Acquire);
            if let Some(g) = NonNull::new(next) {
                return Some(Got { g, inherit_time: true, coming: None });
            }
        }
        loop {
            let head = self.head.load(Ordering::Acquire); // orders our claim after the other takers'
            let tail = self.tail.load(Ordering::Relaxed); // our own
            if tail == head {
                return None;
            }
            let g = self.slot(head).load(Ordering::Relaxed); // our own write
            // Release: the read above comes before anyone sees the slot free.
            if self
                .head
                .compare_exchange(head, head.wrapping_add(1), Ordering::Release, Ordering::Relaxed)
                .is_ok()
            {
                let g = NonNull::new(g).expect("a claimed slot holds a goroutine");
                // With the numbers at hand: to read `head` again would wait for the exchange.
                let coming = if tail.wrapping_sub(head) > 2 {
                    // Relaxed: as above.
                    let at = |i| NonNull::new(self.slot(head.wrapping_add(i)).load(Ordering::Relaxed));
                    at(1).zip(at(2)).map(|(a, b)| [a, b])
                } else {
                    None
                };
                return Some(Got { g, inherit_time: false, coming });
            }
        }
    }

    /// Moves the goroutine in runnext to the ring's tail: the slice that it would inherit is over. Owner only.
    #[cold]
    #[must_use = "the goroutines handed back are in no queue"]
    pub(crate) fn demote_runnext(&self) -> Option<GQueue<T>> {
        let next = self.runnext.swap(ptr::null_mut(), Ordering::Acquire); // as in runqget
        self.put_tail(NonNull::new(next)?)
    }

    /// Takes half of this queue (n − n/2) into the ring of `to`, behind its tail, not published yet. Called by the owner
    /// of `to`; gives how many. Where the ring is empty and `runnext` allows it, takes that one.
    fn runqgrab(&self, to: &RunQ<T>, to_tail: u32, runnext: impl FnOnce() -> bool) -> u32 {
        let mut runnext = Some(runnext);
        loop {
            let head = self.head.load(Ordering::Acquire); // orders us after the other takers
            let tail = self.tail.load(Ordering::Acquire); // pairs with the owner's Release: the slots are written
            let n = tail.wrapping_sub(head);
            let n = n - n / 2;
            if n == 0 {
                // The owner is likely to run it in a moment: only when the caller says so.
                if !self.runnext.load(Ordering::Relaxed).is_null() && runnext.take().is_some_and(|f| f()) {
                    // AcqRel: takes over what the owner published.
                    let g = self.runnext.swap(ptr::null_mut(), Ordering::AcqRel);
                    if g.is_null() {
                        continue;
                    }
                    to.slot(to_tail).store(g, Ordering::Relaxed);
                    return 1;
                }
                return 0;
            }
            if n > RUNQ_LEN / 2 {
                continue; // head and tail were not of one moment
            }
            for i in 0..n {
                let g = self.slot(head.wrapping_add(i)).load(Ordering::Relaxed); // valid if the CAS succeeds
                to.slot(to_tail.wrapping_add(i)).store(g, Ordering::Relaxed);
            }
            // Release: our reads come before the owner sees the slots free (Acquire of head in put_tail).
            let claimed =
                self.head.compare_exchange(head, head.wrapping_add(n), Ordering::Release, Ordering::Relaxed);
            if claimed.is_ok() || !sound("runq: claim checked") {
                return n;
            }
        }
    }

    /// Steals half of `victim` into this queue and gives one of them to run. Called by this queue's owner, whose ring
    /// is empty. `runnext` is asked only where the victim has nothing else, and should wait a moment first.
    pub(crate) fn runqsteal(&self, victim: &RunQ<T>, runnext: impl FnOnce() -> bool) -> Option<NonNull<T>> {
        let tail = self.tail.load(Ordering::Relaxed); // our own
        let n = victim.runqgrab(self, tail, runnext);
        if n == 0 {
            return None;
        }
        // The last one runs, the others are queued.
        let g = self.slot(tail.wrapping_add(n - 1)).load(Ordering::Relaxed);
        if n > 1 {
            self.tail.store(tail.wrapping_add(n - 1), Ordering::Release); // as in put_tail
        }
        Some(NonNull::new(g).expect("a stolen slot holds a goroutine"))
    }
}

#[cfg(all(test, not(gosched_loom)))]
mod tests {
    use super::*;

    struct N(*mut N, u32);
    // SAFETY: field 0 is the link, written by lists only.
    unsafe impl Linked for N {
        fn link(this: NonNull<N>) -> *mut *mut N {
            // SAFETY: `this` points to a live N in these tests.
            unsafe { &raw mut (*this.as_ptr()).0 }
        }
    }

    fn node(v: u32) -> NonNull<N> {
        NonNull::from(Box::leak(Box::new(N(ptr::null_mut(), v))))
    }
    fn val(n: NonNull<N>) -> u32 {
        // SAFETY: leaked, so alive.
        unsafe { n.as_ref() }.1
    }
    fn drain(q: &RunQ<N>) -> Vec<u32> {
        std::iter::from_fn(|| q.runqget().map(|got| val(got.g))).collect()
    }

    #[test]
    fn ten_started_in_a_row_come_out_9_0_to_8() {
        let q = RunQ::new();
        (0..10).for_each(|i| assert!(q.runqput(node(i), true).is_none()));
        assert_eq!(q.len(), 10);
        assert_eq!(drain(&q), [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(q.runqempty());
    }

    #[test]
    fn empty_is_where_nobody_is_in_the_ring_and_nobody_next() {
        let q = RunQ::new();
        let seen = |q: &RunQ<N>| (q.runqempty(), q.len(), q.ring_head());
        assert_eq!(seen(&q), (true, 0, None));
        assert!(q.runqput(node(1), true).is_none());
        assert_eq!(seen(&q), (false, 1, None));
        assert!(q.runqput(node(2), false).is_none());
        assert_eq!(seen(&q), (false, 2, Some(0)));
        assert_eq!(q.runqget().map(|got| val(got.g)), Some(1));
        assert!(q.runqput(node(3), false).is_none());
        assert_eq!(seen(&q), (false, 2, Some(0)));
        assert_eq!(q.runqget().map(|got| val(got.g)), Some(2));
        assert_eq!(seen(&q), (false, 1, Some(1)));
        assert_eq!(q.runqget().map(|got| val(got.g)), Some(3));
        assert_eq!(seen(&q), (true, 0, None));
    }

    #[test]
    fn a_demoted_runnext_comes_last() {
        let q = RunQ::new();
        (0..3).for_each(|i| assert!(q.runqput(node(i), true).is_none()));
        assert!(q.demote_runnext().is_none());
        assert_eq!(drain(&q), [0, 1, 2]);
        assert!(q.demote_runnext().is_none());
    }

    #[test]
    fn overflow_hands_back_the_first_half_and_the_new_one() {
        let q = RunQ::new();
        (0..RUNQ_LEN).for_each(|i| assert!(q.runqput(node(i), false).is_none()));
        let mut over = q.runqput(node(1000), false).expect("full");
        let out: Vec<u32> = std::iter::from_fn(|| over.pop_front().map(val)).collect();
        assert_eq!(out, (0..RUNQ_LEN / 2).chain([1000]).collect::<Vec<_>>());
        assert_eq!(drain(&q), (RUNQ_LEN / 2..RUNQ_LEN).collect::<Vec<_>>());
    }

    #[test]
    fn a_thief_takes_half_and_runs_the_last() {
        let (a, b) = (RunQ::new(), RunQ::new());
        (0..7).for_each(|i| assert!(a.runqput(node(i), false).is_none()));
        assert_eq!(b.runqsteal(&a, || false).map(val), Some(3)); // 4 of 7: 0 1 2 3
        assert_eq!(drain(&b), [0, 1, 2]);
        assert_eq!(drain(&a), [4, 5, 6]);
        assert!(a.runqput(node(9), true).is_none());
        assert!(b.runqsteal(&a, || false).is_none());
        assert_eq!(b.runqsteal(&a, || true).map(val), Some(9));
        assert!(b.runqsteal(&a, || true).is_none());
    }

    #[test]
    fn a_thief_takes_half_of_a_full_ring() {
        let (a, b) = (RunQ::new(), RunQ::new());
        (0..RUNQ_LEN).for_each(|i| assert!(a.runqput(node(i), false).is_none()));
        assert_eq!(b.runqsteal(&a, || false).map(val), Some(RUNQ_LEN / 2 - 1));
        assert_eq!(drain(&b), (0..RUNQ_LEN / 2 - 1).collect::<Vec<_>>());
        assert_eq!(drain(&a), (RUNQ_LEN / 2..RUNQ_LEN).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_fills_the_ring_and_leaves_the_rest() {
        let q = RunQ::new();
        let mut list = GQueue::new();
        (0..RUNQ_LEN + 5).for_each(|i| list.push_back(node(i)));
        q.runqputbatch(&mut list);
        assert_eq!(list.len(), 5);
        assert_eq!(drain(&q), (0..RUNQ_LEN).collect::<Vec<_>>());
    }

    /// One owner, two thieves, many goroutines: each is taken once.
    #[test]
    fn nothing_is_lost_or_taken_twice_under_theft() {
        use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::*};
        const COUNT: usize = 200_000;
        let q = RunQ::new();
        let seen: Vec<AtomicU8> = (0..COUNT).map(|_| AtomicU8::new(0)).collect();
        let (count, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let take = |n: NonNull<N>| {
            // SAFETY: leaked, so alive.
            let v = unsafe { n.as_ref() }.1 as usize;
            assert_eq!(seen[v].fetch_add(1, Relaxed), 0, "{v} taken twice");
            count.fetch_add(1, Relaxed);
        };
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let mine = RunQ::new();
                    while !done.load(Acquire) || !q.runqempty() {
                        if let Some(n) = mine.runqsteal(&q, || true) {
                            take(n);
                            while let Some(got) = mine.runqget() {
                                take(got.g);
                            }
                        }
                    }
                });
            }
            for i in 0..COUNT {
                if let Some(mut over) = q.runqput(node(i as u32), i % 3 == 0) {
                    while let Some(n) = over.pop_front() {
                        take(n);
                    }
                }
                if i % 5 == 0
                    && let Some(got) = q.runqget()
                {
                    take(got.g);
                }
            }
            while let Some(got) = q.runqget() {
                take(got.g);
            }
            done.store(true, Release);
        });
        assert_eq!(count.load(Relaxed), COUNT);
    }
}
