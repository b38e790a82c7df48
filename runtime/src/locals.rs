//! The table of a goroutine's (or thread's) own values; local.rs has the keys and the essay.

use std::any::Any;
use std::cell::UnsafeCell;

/// A value in the table.
#[derive(Default)]
pub(crate) enum Slot {
    #[default]
    Empty,
    Alive(Box<dyn Any>),
    /// Being dropped, or dropped: not made again.
    Gone,
}

/// The values of one goroutine or thread, by the keys' ids.
#[derive(Default)]
pub(crate) struct Locals(pub(crate) UnsafeCell<Vec<Slot>>);

impl Locals {
    pub(crate) const fn new() -> Locals {
        Locals(UnsafeCell::new(Vec::new()))
    }

    /// Drops all values, round after round until none comes anew. The table is ready for another goroutine then.
    pub(crate) fn drop_all(&self) {
        loop {
            // SAFETY: only the owner is here (file head), and no reference into the table is held across a destructor.
            let alive = unsafe { &mut *self.0.get() }.iter_mut().rev().find(|s| matches!(s, Slot::Alive(_)));
            match alive {
                Some(slot) => drop(std::mem::replace(slot, Slot::Gone)),
                None => break,
            }
        }
        // SAFETY: as above.
        unsafe { &mut *self.0.get() }.clear();
    }
}

impl Drop for Locals {
    fn drop(&mut self) {
        self.drop_all();
    }
}
