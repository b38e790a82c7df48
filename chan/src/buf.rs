//! The ring of a buffered channel, and what its elements are (Go: `hchan.buf`, `sendx`, `recvx`, `elemtype`).
//!
//! ```text
//!            recvx              sendx
//!              ▼                  ▼
//!   [ ]  [ ]  [3]  [4]  [5]  [6] [ ]  [ ]        qcount = 4, dataqsiz = 8
//!              └── initialised ──┘
//! ```
//!
//! Invariant: exactly the `qcount` slots from `recvx` on, modulo `dataqsiz`, hold a value. Both indices are below
//! `dataqsiz`, unless that is 0.
//!
//! The memory belongs to the channel, behind whose header it lies (hchan.rs). Each operation comes twice: for code that
//! knows `T`, where the copy is a few moves, and for `select`, which knows only the size.

use crate::shuttle::atomic::{AtomicUsize, Ordering};
use std::cell::Cell;
use std::ptr;

/// What code that does not know `T` must know of it.
pub(crate) struct Elemtype {
    pub(crate) size: usize,
    pub(crate) align: usize,
    /// Drops `n` values in a row.
    drop: unsafe fn(*mut u8, n: usize),
}

impl Elemtype {
    pub(crate) const fn of<T>() -> &'static Elemtype {
        unsafe fn drop_values<T>(p: *mut u8, n: usize) {
            // SAFETY: the caller's promise. As a slice: where one destructor panics, the others still run.
            unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(p.cast::<T>(), n)) };
        }
        const { &Elemtype { size: size_of::<T>(), align: align_of::<T>(), drop: drop_values::<T> } }
    }

    /// Moves one value.
    ///
    /// # Safety
    /// `src` and `dst` are places of this type, apart from each other; `src` holds a value, and counts as moved out of.
    #[inline]
    pub(crate) unsafe fn copy(&self, src: *const u8, dst: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy_nonoverlapping(src, dst, self.size) };
    }

    /// Drops `n` values in a row.
    ///
    /// # Safety
    /// `p` points to as many values of this type, and they are not used again.
    pub(crate) unsafe fn drop(&self, p: *mut u8, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { (self.drop)(p, n) };
    }
}

/// The ring. All methods but [`Ring::len`] want the channel's lock held.
pub(crate) struct Ring {
    /// Atomic only so that it may be read without the lock.
    qcount: AtomicUsize,
    pub(crate) dataqsiz: usize,
    sendx: Cell<usize>,
    recvx: Cell<usize>,
    buf: *mut u8,
    pub(crate) elemtype: &'static Elemtype,
}

impl Ring {
    /// # Safety
    /// `buf` has room for `dataqsiz` elements, and is the ring's alone for as long as the ring is used.
    pub(crate) const unsafe fn new(buf: *mut u8, dataqsiz: usize, elemtype: &'static Elemtype) -> Ring {
        let (sendx, recvx) = (Cell::new(0), Cell::new(0));
        Ring { qcount: AtomicUsize::new(0), dataqsiz, sendx, recvx, buf, elemtype }
    }

    /// How many values are in it; exact under the lock.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Acquire: pairs with the Release in put and take. For readers without the lock (hchan.rs, `empty`).
        self.qcount.load(Ordering::Acquire)
    }

    #[inline]
    fn step(&self, x: &Cell<usize>) -> usize {
        let at = x.get();
        x.set(if at + 1 == self.dataqsiz { 0 } else { at + 1 });
        at
    }

    #[inline]
    fn claim_slot(&self) -> usize {
        let n = self.len();
        debug_assert!(n < self.dataqsiz);
        // Release: pairs with len.
        self.qcount.store(n + 1, Ordering::Release);
        self.step(&self.sendx)
    }

    #[inline]
    fn free_slot(&self) -> usize {
        let n = self.len();
        debug_assert!(n > 0);
        // Release: pairs with len.
        self.qcount.store(n - 1, Ordering::Release);
        self.step(&self.recvx)
    }

    /// Appends the value at `src`.
    ///
    /// # Safety
    /// The lock is held, the ring has room, `T` is its element type; `*src` counts as moved out of.
    #[inline]
    pub(crate) unsafe fn put<T>(&self, src: *const T) {
        let at = self.claim_slot();
        // SAFETY: slot `at` is inside (the file's invariant) and holds no value.
        unsafe { ptr::copy_nonoverlapping(src, self.buf.cast::<T>().add(at), 1) };
    }

    /// Takes the first value.
    ///
    /// # Safety
    /// The lock is held, the ring is not empty, `T` is its element type.
    #[inline]
    pub(crate) unsafe fn take<T>(&self) -> T {
        let at = self.free_slot();
        // SAFETY: slot `at` is inside and holds a value, which is nobody's from now on but ours.
        unsafe { self.buf.cast::<T>().add(at).read() }
    }

    /// [`Ring::put`] where `T` is not known.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(crate) unsafe fn put_raw(&self, src: *const u8) {
        let at = self.claim_slot();
        // SAFETY: as in put.
        unsafe { self.elemtype.copy(src, self.buf.add(at * self.elemtype.size)) };
    }

    /// [`Ring::take`] where `T` is not known.
    ///
    /// # Safety
    /// As there; `dst` is a place for one element.
    #[inline]
    pub(crate) unsafe fn take_raw(&self, dst: *mut u8) {
        let at = self.free_slot();
        // SAFETY: as in take.
        unsafe { self.elemtype.copy(self.buf.add(at * self.elemtype.size), dst) };
    }

    /// Drops what is in it. A destructor that panics does not keep the others from running.
    pub(crate) fn drop_values(&mut self) {
        struct Rest<'a>(&'a Ring, usize);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                // SAFETY: the part that wrapped around: slots 0..n hold values (the file's invariant).
                unsafe { self.0.elemtype.drop(self.0.buf, self.1) };
            }
        }
        let n = std::mem::take(self.qcount.get_mut());
        let head = n.min(self.dataqsiz - self.recvx.get());
        let rest = Rest(self, n - head);
        // SAFETY: slots recvx..recvx+head hold values; qcount is 0 already, so nobody drops them again.
        unsafe { self.elemtype.drop(self.buf.add(self.recvx.get() * self.elemtype.size), head) };
        drop(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::rc::Rc;

    #[test]
    fn goes_round_as_a_queue_does_typed_or_not() {
        let mut mem = [0u32; 3];
        // SAFETY: three places, for the life of the ring.
        let ring = unsafe { Ring::new(mem.as_mut_ptr().cast(), 3, Elemtype::of::<u32>()) };
        let mut model = VecDeque::new();
        for i in 0..200u32 {
            // Fill and drain in an uneven rhythm, so that every pair of indices comes about.
            let fill = (i / 3) % 2 == 0;
            // SAFETY: room and content are checked; u32 is the type.
            unsafe {
                if fill && ring.len() < 3 {
                    if i % 2 == 0 {
                        ring.put(&i)
                    } else {
                        ring.put_raw((&raw const i).cast())
                    }
                    model.push_back(i);
                } else if ring.len() > 0 {
                    let mut got = 0u32;
                    if i % 2 == 0 {
                        got = ring.take()
                    } else {
                        ring.take_raw((&raw mut got).cast())
                    }
                    assert_eq!(Some(got), model.pop_front());
                }
            }
            assert_eq!(ring.len(), model.len());
        }
    }

    #[test]
    fn drops_both_parts_of_a_wrapped_ring() {
        let alive = Rc::new(());
        let mut mem = [const { std::mem::MaybeUninit::<Rc<()>>::uninit() }; 3];
        // SAFETY: three places, for the life of the ring.
        let mut ring = unsafe { Ring::new(mem.as_mut_ptr().cast(), 3, Elemtype::of::<Rc<()>>()) };
        for round in 0..5 {
            // SAFETY: at most three at a time.
            unsafe {
                let v = std::mem::ManuallyDrop::new(alive.clone());
                ring.put::<Rc<()>>(&*v);
                if round < 2 {
                    drop(ring.take::<Rc<()>>());
                }
            }
        }
        assert_eq!((ring.len(), Rc::strong_count(&alive)), (3, 4));
        ring.drop_values();
        assert_eq!((ring.len(), Rc::strong_count(&alive)), (0, 1));
    }
}
