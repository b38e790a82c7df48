//! A place for one value of a type that is known by its [`Elemtype`] only: inline where it is small, else on the heap.
//!
//! It owns the place, not the value: whether there is one, and who drops it, is for the user to know.

use crate::buf::Elemtype;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr;

/// The place. Invariant: `heap` is memory of `layout()`, or null where that is None.
pub(crate) struct Slot {
    inline: MaybeUninit<Inline>,
    /// Null: inline.
    heap: *mut u8,
    elemtype: &'static Elemtype,
}

#[repr(align(16))]
struct Inline(#[allow(dead_code)] [u8; 32]);

impl Slot {
    pub(crate) fn new(elemtype: &'static Elemtype) -> Slot {
        let mut slot = Slot { inline: MaybeUninit::uninit(), heap: ptr::null_mut(), elemtype };
        if let Some(layout) = slot.layout() {
            // SAFETY: too large to be inline, so not of size 0, or with so large an alignment; both are checked there.
            slot.heap = unsafe { alloc(layout) };
            if slot.heap.is_null() {
                handle_alloc_error(layout);
            }
        }
        slot
    }

    /// Of the heap place; None: inline.
    fn layout(&self) -> Option<Layout> {
        let Elemtype { size, align, .. } = *self.elemtype;
        if size <= size_of::<Inline>() && align <= align_of::<Inline>() {
            return None;
        }
        // One byte at least: `alloc` wants that, and a type of size 0 may still be aligned beyond Inline.
        // SAFETY: a type's size and alignment.
        Some(unsafe { Layout::from_size_align_unchecked(size.max(1), align) })
    }

    /// The place. It moves with the slot.
    pub(crate) fn place(&mut self) -> *mut u8 {
        if self.heap.is_null() { self.inline.as_mut_ptr().cast() } else { self.heap }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(layout) = self.layout() {
            // SAFETY: allocated in new with this layout.
            unsafe { dealloc(self.heap, layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_inline_and_all_are_aligned() {
        #[repr(align(128))]
        struct Aligned;
        fn check<T>(inline: bool) {
            let mut slot = Slot::new(Elemtype::of::<T>());
            assert_eq!(slot.layout().is_none(), inline);
            assert!(slot.place().cast::<T>().is_aligned() && !slot.place().is_null());
        }
        check::<()>(true);
        check::<u128>(true);
        check::<[u8; 32]>(true);
        check::<[u8; 33]>(false);
        check::<Aligned>(false);
    }
}
