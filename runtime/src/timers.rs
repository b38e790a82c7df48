//! The timer heap of a P (Go: runtime/time.go).
//!
//! ```text
//!   heap    [ when │ slot ] [ when │ slot ] …     four-ary, by `when`: a wide node is one or two cache lines
//!   slots   [ f │ arg │ seq │ generation ] …      what to call; a slot's place never changes
//! ```
//! The heap moves 16-byte entries only; the slots stay put, so that sifting touches no other memory. Stopping a timer
//! marks its slot dead and leaves the entry in the heap: it is dropped when it comes to the top, or when half of the
//! heap is dead. A `TimerId` names slot and generation; a slot's generation goes up when its timer fires or dies, so a
//! stale id finds nothing.
//!
//! Guarded by the lock in `Timers`. Others read `Timers::first` without it to see whether there is something to do.
//! Any thread may take out a due timer: that is how another P's timers are "stolen".
//!
//! A timer's function is called with no lock held, so it may use channels and start or stop timers.

use crate::loom::atomic::{AtomicU64, Ordering};
use crate::loom::lock::Mutex;

/// What a timer does when it is due: called with the two words given at its start, on the scheduler's stack, with no
/// lock held. It must not park, block or panic.
///
/// ```
/// use gosched_runtime::timer::TimerFn;
/// let due: TimerFn = |_arg, seq| println!("{seq}");
/// // SAFETY: it looks at nothing.
/// unsafe { due(std::ptr::null_mut(), 1) };
/// ```
pub type TimerFn = unsafe fn(arg: *mut (), seq: u64);

/// No timer: later than any.
pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy)]
struct Entry {
    /// Nanoseconds on the runtime's clock (`nanotime`).
    when: u64,
    slot: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    f: TimerFn,
    arg: *mut (),
    seq: u64,
    generation: u64,
    live: bool,
}

// SAFETY: `arg` is a word for `f`, which whoever started the timer allowed to be called from any thread.
unsafe impl Send for Slot {}

/// A due timer, taken out of its heap: to be called by whoever took it.
pub(crate) struct Due {
    pub(crate) f: TimerFn,
    pub(crate) arg: *mut (),
    pub(crate) seq: u64,
}

/// Where a timer is: its slot and the generation of that slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SlotId {
    pub(crate) slot: u32,
    pub(crate) generation: u64,
}

struct Heap {
    entries: Vec<Entry>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Entries whose timer was stopped.
    dead: usize,
}

/// A heap with its lock and its earliest time.
pub(crate) struct Timers {
    heap: Mutex<Heap>,
    /// `when` of the earliest entry, NEVER where there is none. Written under the lock, read without.
    first: AtomicU64,
}

const ARITY: usize = 4;

impl Heap {
    fn sift_up(&mut self, mut i: usize) {
        let e = self.entries[i];
        while i > 0 {
            let parent = (i - 1) / ARITY;
            if self.entries[parent].when <= e.when {
                break;
            }
            self.entries[i] = self.entries[parent];
            i = parent;
        }
        self.entries[i] = e;
    }

    fn sift_down(&mut self, mut i: usize) {
        let e = self.entries[i];
        let n = self.entries.len();
        loop {
            let first = i * ARITY + 1;
            if first >= n {
                break;
            }
            let mut least = first;
            for c in first + 1..(first + ARITY).min(n) {
                if self.entries[c].when < self.entries[least].when {
                    least = c;
                }
            }
            if self.entries[least].when >= e.when {
                break;
            }
            self.entries[i] = self.entries[least];
            i = least;
        }
        self.entries[i] = e;
    }

    /// Takes the top entry out.
    fn pop(&mut self) -> Option<Entry> {
        let last = self.entries.pop()?;
        let Some(top) = self.entries.first_mut() else { return Some(last) };
        let top = std::mem::replace(top, last);
        self.sift_down(0);
        Some(top)
    }

    /// Ends the timer of a slot: the slot is free, its ids are stale.
    fn retire(&mut self, slot: u32) {
        let s = &mut self.slots[slot as usize];
        s.generation += 1;
        s.live = false;
        self.free.push(slot);
    }

    /// Drops stopped timers from the top, and all of them once they are the greater part.
    fn clean(&mut self) {
        if self.dead > self.entries.len() / 2 && self.dead > 16 {
            let entries = std::mem::take(&mut self.entries);
            for e in entries {
                if self.slots[e.slot as usize].live {
                    self.entries.push(e);
                } else {
                    self.retire(e.slot);
                }
            }
            self.dead = 0;
            for i in (0..self.entries.len() / ARITY + 1).rev() {
                if i < self.entries.len() {
                    self.sift_down(i);
                }
            }
        }
        while let Some(e) = self.entries.first() {
            let slot = e.slot;
            if self.slots[slot as usize].live {
                break;
            }
            self.pop();
            self.retire(slot);
            self.dead -= 1;
        }
    }
}

impl Timers {
    pub(crate) fn new() -> Timers {
        let heap = Heap { entries: Vec::new(), slots: Vec::new(), free: Vec::new(), dead: 0 };
        Timers { heap: Mutex::new(heap), first: AtomicU64::new(NEVER) }
    }

    /// `when` of the earliest timer, or NEVER.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        // Acquire: pairs with the Release in publish; a last look before sleeping is ordered by the fence of the
        // spinning protocol (idle.rs).
        self.first.load(Ordering::Acquire)
    }

    fn publish(&self, heap: &Heap) {
        self.first.store(heap.entries.first().map_or(NEVER, |e| e.when), Ordering::Release);
    }

    /// Starts a timer. The second value: it is now the earliest of this heap.
    pub(crate) fn add(&self, when: u64, f: TimerFn, arg: *mut (), seq: u64) -> (SlotId, bool) {
        self.add_with(when, f, arg, seq, |_| {})
    }

    /// As `add`; `note` gets the id under the lock, before the timer can fire.
    pub(crate) fn add_with(
        &self,
        when: u64,
        f: TimerFn,
        arg: *mut (),
        seq: u64,
        note: impl FnOnce(SlotId),
    ) -> (SlotId, bool) {
        let heap = &mut *self.heap.lock();
        let slot = match heap.free.pop() {
            Some(slot) => {
                let s = &mut heap.slots[slot as usize];
                *s = Slot { f, arg, seq, generation: s.generation, live: true };
                slot
            }
            None => {
                heap.slots.push(Slot { f, arg, seq, generation: 0, live: true });
                (heap.slots.len() - 1) as u32
            }
        };
        heap.entries.push(Entry { when, slot });
        heap.sift_up(heap.entries.len() - 1);
        let id = SlotId { slot, generation: heap.slots[slot as usize].generation };
        note(id);
        let earliest = heap.entries[0].slot == slot;
        if earliest {
            self.publish(heap);
        }
        (id, earliest)
    }

    /// Stops a timer; false where it has fired already (or is firing).
    pub(crate) fn del(&self, id: SlotId) -> bool {
        let heap = &mut *self.heap.lock();
        match heap.slots.get_mut(id.slot as usize) {
            Some(s) if s.generation == id.generation && s.live => s.live = false,
            _ => return false,
        }
        heap.dead += 1;
        heap.clean();
        self.publish(heap);
        true
    }

    /// Takes out one timer that is due at `now`.
    pub(crate) fn take_due(&self, now: u64) -> Option<Due> {
        if self.first() > now {
            return None;
        }
        let heap = &mut *self.heap.lock();
        heap.clean();
        let due = match heap.entries.first() {
            Some(e) if e.when <= now => {
                let slot = e.slot;
                heap.pop();
                let s = heap.slots[slot as usize];
                heap.retire(slot);
                Some(Due { f: s.f, arg: s.arg, seq: s.seq })
            }
            _ => None,
        };
        heap.clean();
        self.publish(heap);
        due
    }

    /// How many timers run.
    pub(crate) fn len(&self) -> usize {
        let heap = self.heap.lock();
        heap.entries.len() - heap.dead
    }
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    unsafe fn nothing(_: *mut (), _: u64) {}

    #[test]
    fn due_ones_come_in_order_and_only_when_due() {
        let t = Timers::new();
        for when in [50, 10, 30, 20, 40] {
            t.add(when, nothing, std::ptr::null_mut(), when);
        }
        assert_eq!(t.first(), 10);
        assert!(t.take_due(9).is_none());
        let got: Vec<u64> = std::iter::from_fn(|| t.take_due(35)).map(|d| d.seq).collect();
        assert_eq!(got, [10, 20, 30]);
        assert_eq!((t.first(), t.len()), (40, 2));
    }

    #[test]
    fn a_stale_id_stops_nothing() {
        let t = Timers::new();
        let (a, earliest) = t.add(5, nothing, std::ptr::null_mut(), 1);
        assert!(earliest);
        assert!(t.del(a) && !t.del(a));
        assert_eq!(t.first(), NEVER);
        let (b, _) = t.add(6, nothing, std::ptr::null_mut(), 2);
        assert_eq!(a.slot, b.slot);
        assert!(!t.del(a));
        assert_eq!(t.take_due(6).map(|d| d.seq), Some(2));
        assert!(!t.del(b));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Add(u64),
        Del(usize),
        Fire(u64),
    }

    proptest! {
        /// Against a BTreeMap that is obviously right.
        #[test]
        fn behaves_like_a_sorted_map(ops in proptest::collection::vec(prop_oneof![
            4 => (0u64..1000).prop_map(Op::Add),
            3 => any::<usize>().prop_map(Op::Del),
            2 => (0u64..1000).prop_map(Op::Fire),
        ], 1..400)) {
            let t = Timers::new();
            let mut model: BTreeMap<(u64, u64), SlotId> = BTreeMap::new();
            let mut ids: Vec<(u64, u64, SlotId)> = vec![];
            for (n, op) in ops.into_iter().enumerate() {
                let n = n as u64;
                match op {
                    Op::Add(when) => {
                        let (id, earliest) = t.add(when, nothing, std::ptr::null_mut(), n);
                        let first = model.keys().next().map_or(NEVER, |k| k.0);
                        prop_assert_eq!(earliest, when < first);
                        model.insert((when, n), id);
                        ids.push((when, n, id));
                    }
                    Op::Del(i) if !ids.is_empty() => {
                        let (when, n, id) = ids[i % ids.len()];
                        prop_assert_eq!(t.del(id), model.remove(&(when, n)).is_some());
                    }
                    Op::Del(_) => {}
                    Op::Fire(now) => {
                        let mut got: Vec<u64> = std::iter::from_fn(|| t.take_due(now)).map(|d| d.seq).collect();
                        let mut want: Vec<u64> = vec![];
                        while let Some((&k, _)) = model.first_key_value() {
                            if k.0 > now { break }
                            model.remove(&k);
                            want.push(k.1);
                        }
                        got.sort_unstable();
                        want.sort_unstable();
                        prop_assert_eq!(got, want);
                    }
                }
                prop_assert_eq!(t.first(), model.keys().next().map_or(NEVER, |k| k.0));
                prop_assert_eq!(t.len(), model.len());
            }
        }
    }
}
