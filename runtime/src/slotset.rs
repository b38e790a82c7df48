//! Two containers of slot numbers, for the stack pool: a stack and a set.
//!
//! They hold up to millions after a burst, so their memory comes from the system directly, untouched until used, and
//! the stack's `trim` gives it back. (A `Vec` would copy itself twenty times on the way up, and malloc would keep what it
//! once had.) The set is small: an eighth of a megabyte for a million.
//!
//! ```text
//!   SlotStack   last in, first out; the first in can be looked at and taken out, too
//!   SlotSet     a bit for each slot; the lowest comes out first
//! ```
//! Neither synchronises: the pool's lock does.

use crate::sys::faults::Point;
use crate::sys::mem;
use std::io;

/// Words of zeroes, from the system.
struct Words<T> {
    addr: usize,
    len: usize,
    _of: std::marker::PhantomData<T>,
}

impl<T: Copy> Words<T> {
    const fn none() -> Words<T> {
        Words { addr: 0, len: 0, _of: std::marker::PhantomData }
    }

    fn new(len: usize) -> io::Result<Words<T>> {
        let addr = mem::reserve(len * size_of::<T>())?;
        // SAFETY: the whole reservation.
        unsafe { mem::commit(Point::Commit, addr, len * size_of::<T>()) }?;
        Ok(Words { addr, len, _of: std::marker::PhantomData })
    }

    fn slice(&mut self) -> &mut [T] {
        match self.len {
            0 => &mut [],
            // SAFETY: `len` zeroed words that live for ever, behind `self` only; T is u32 or u64.
            len => unsafe { std::slice::from_raw_parts_mut(self.addr as *mut T, len) },
        }
    }

    /// Gives the memory of the words in between back, as far as they fill pages. They read as zero then.
    fn trim(&mut self, from: usize, to: usize) {
        let page = mem::page_size();
        let start = (self.addr + from * size_of::<T>()).next_multiple_of(page);
        let end = (self.addr + to * size_of::<T>()).next_multiple_of(page);
        if start < end {
            // SAFETY: whole pages of ours; the reservation is whole pages as well.
            unsafe { mem::discard(start, end - start) };
        }
    }
}

/// What it holds stands at `start..end`.
pub(crate) struct SlotStack {
    words: Words<u32>,
    /// Moves up as the first are taken out; taking them out so costs nothing for those that stay.
    start: usize,
    end: usize,
    /// The highest `end` since the last `trim`.
    high: usize,
}

impl SlotStack {
    /// Without room for any.
    pub(crate) const fn none() -> SlotStack {
        SlotStack { words: Words::none(), start: 0, end: 0, high: 0 }
    }

    /// Room for `max`.
    pub(crate) fn new(max: usize) -> io::Result<SlotStack> {
        Ok(SlotStack { words: Words::new(max)?, ..SlotStack::none() })
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn push_all(&mut self, slots: &[u32]) {
        if self.end + slots.len() > self.words.len {
            self.close_up();
        }
        let end = self.end + slots.len();
        self.words.slice()[self.end..end].copy_from_slice(slots);
        self.end = end;
        self.high = self.high.max(end);
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        if self.len() == 0 {
            return None;
        }
        self.end -= 1;
        let end = self.end;
        Some(self.words.slice()[end])
    }

    /// The `n` that came in first, to be put in order.
    pub(crate) fn first(&mut self, n: usize) -> &mut [u32] {
        let start = self.start;
        &mut self.words.slice()[start..start + n]
    }

    /// Takes out the `n` that came in first.
    pub(crate) fn remove_first(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// Moves what it holds to the start of its room.
    fn close_up(&mut self) {
        let (start, end) = (self.start, self.end);
        self.words.slice().copy_within(start..end, 0);
        (self.start, self.end) = (0, end - start);
    }

    pub(crate) fn trim(&mut self) {
        self.close_up();
        self.words.trim(self.end, self.high);
        self.high = self.end;
    }
}

pub(crate) struct SlotSet {
    words: Words<u64>,
    len: usize,
    /// All words below are zero.
    lowest: usize,
}

impl SlotSet {
    /// Without room for any.
    pub(crate) const fn none() -> SlotSet {
        SlotSet { words: Words::none(), len: 0, lowest: 0 }
    }

    /// Room for the slots below `max`.
    pub(crate) fn new(max: usize) -> io::Result<SlotSet> {
        Ok(SlotSet { words: Words::new(max.div_ceil(64))?, len: 0, lowest: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, slot: u32) {
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        let w = &mut self.words.slice()[word];
        debug_assert_eq!(*w & bit, 0);
        *w |= bit;
        self.len += 1;
        self.lowest = self.lowest.min(word);
    }

    /// Whether all of these are in it; both ends are multiples of 64, or beyond its room.
    pub(crate) fn contains_all(&mut self, slots: std::ops::Range<usize>) -> bool {
        let words = self.words.slice();
        let (start, end) = (slots.start / 64, slots.end / 64);
        end <= words.len() && words[start..end].iter().all(|&w| w == u64::MAX)
    }

    /// Takes the lowest out. Looks at each empty word below it once, until an insert makes it look again.
    pub(crate) fn pop_lowest(&mut self) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let from = self.lowest;
        let words = self.words.slice();
        let word = from + words[from..].iter().position(|&w| w != 0)?;
        let bit = words[word].trailing_zeros();
        self.lowest = word;
        self.words.slice()[word] &= !(1 << bit);
        self.len -= 1;
        Some(word as u32 * 64 + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_gives_the_last_and_its_first_can_be_taken_out() {
        let mut s = SlotStack::new(100_000).unwrap();
        assert_eq!(s.pop(), None);
        s.push_all(&(0..50_000).collect::<Vec<_>>());
        assert_eq!((s.pop(), s.pop(), s.len()), (Some(49_999), Some(49_998), 49_998));
        assert_eq!(s.first(3), [0, 1, 2]);
        s.remove_first(49_990);
        s.trim();
        assert_eq!(s.len(), 8);
        assert_eq!((0..9).map(|_| s.pop()).collect::<Vec<_>>()[6..], [Some(49_991), Some(49_990), None]);
        s.push_all(&[7]);
        assert_eq!(s.pop(), Some(7));
        // The room of those taken out comes again.
        let mut small = SlotStack::new(4).unwrap();
        for round in 0..10 {
            small.push_all(&[round, round + 1, round + 2]);
            assert_eq!(small.first(2), [round, round + 1]);
            small.remove_first(2);
            assert_eq!((small.len(), small.pop(), small.pop()), (1, Some(round + 2), None));
        }
        assert_eq!(SlotStack::none().pop(), None);
    }

    #[test]
    fn a_set_gives_the_lowest() {
        let mut s = SlotSet::new(1_000_000).unwrap();
        assert_eq!(s.pop_lowest(), None);
        for slot in [999_999, 70_000, 3, 64, 63] {
            s.insert(slot);
        }
        assert_eq!((s.pop_lowest(), s.pop_lowest()), (Some(3), Some(63)));
        s.insert(5);
        let rest: Vec<_> = std::iter::from_fn(|| s.pop_lowest()).collect();
        assert_eq!((rest, s.len()), (vec![5, 64, 70_000, 999_999], 0));
        (128..640).for_each(|slot| s.insert(slot));
        assert!(s.contains_all(128..640) && !s.contains_all(64..640) && !s.contains_all(128..704));
        assert!(!s.contains_all(999_936..1_000_512), "beyond its room");
        assert_eq!(s.pop_lowest(), Some(128));
        assert!(!s.contains_all(128..640));
        assert_eq!(SlotSet::none().pop_lowest(), None);
    }
}
