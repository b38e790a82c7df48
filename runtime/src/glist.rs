//! Intrusive lists of goroutines (Go: runtime/proc.go, `gQueue`, `gList`).
//!
//! A goroutine that is runnable or dead stands in at most one list at a time, linked through its own `schedlink`; moving
//! a thousand of them costs a few stores and no memory.
//!
//! ```text
//!   GQueue   head ─► g ─► g ─► g ◄─ tail      FIFO: push_back, push_front, pop_front, append
//! ```
//! Whoever holds the list owns its members; the list of a shared structure is guarded by that structure's lock.

use std::ptr::{self, NonNull};

/// A member: gives access to its own link.
///
/// # Safety
/// `link` gives the same, writable place for the same member each time, and nothing but the list that holds the member
/// writes it.
pub(crate) unsafe trait Linked {
    /// The place of the link to the next member.
    fn link(this: NonNull<Self>) -> *mut *mut Self;
}

/// A FIFO queue of members.
pub(crate) struct GQueue<T: Linked> {
    head: *mut T,
    tail: *mut T,
    len: usize,
}

// SAFETY: the queue owns its members (file head), and members are G's, which move between threads.
unsafe impl<T: Linked> Send for GQueue<T> {}

impl<T: Linked> Default for GQueue<T> {
    fn default() -> Self {
        GQueue::new()
    }
}

impl<T: Linked> GQueue<T> {
    pub(crate) const fn new() -> Self {
        GQueue { head: ptr::null_mut(), tail: ptr::null_mut(), len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push_back(&mut self, t: NonNull<T>) {
        let link = T::link(t);
        // SAFETY: `t` belongs to the caller until now and to this queue from now on, so its link is ours to write; the
        // tail is a member.
        unsafe {
            *link = ptr::null_mut();
            match NonNull::new(self.tail) {
                Some(tail) => *T::link(tail) = t.as_ptr(),
                None => self.head = t.as_ptr(),
            }
        }
        self.tail = t.as_ptr();
        self.len += 1;
    }

    pub(crate) fn push_front(&mut self, t: NonNull<T>) {
        // SAFETY: as in push_back.
        unsafe { *T::link(t) = self.head };
        self.head = t.as_ptr();
        if self.tail.is_null() {
            self.tail = t.as_ptr();
        }
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self) -> Option<NonNull<T>> {
        let t = NonNull::new(self.head)?;
        // SAFETY: the head is a member, its link is ours.
        self.head = unsafe { *T::link(t) };
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        self.len -= 1;
        Some(t)
    }

    /// Calls `f` with each, in order.
    #[cfg(not(gosched_loom))]
    pub(crate) fn for_each(&self, f: impl FnMut(NonNull<T>)) {
        // SAFETY: all in the chain are members.
        std::iter::successors(NonNull::new(self.head), |&t| NonNull::new(unsafe { *T::link(t) })).for_each(f);
    }

    /// Moves all of `other` to the end of this queue.
    pub(crate) fn append(&mut self, other: &mut GQueue<T>) {
        let Some(first) = NonNull::new(other.head) else { return };
        match NonNull::new(self.tail) {
            // SAFETY: the tail is a member.
            Some(tail) => unsafe { *T::link(tail) = first.as_ptr() },
            None => self.head = first.as_ptr(),
        }
        self.tail = other.tail;
        self.len += other.len;
        *other = GQueue::new();
    }

    /// Moves all of `other` to the front of this queue.
    pub(crate) fn prepend(&mut self, other: &mut GQueue<T>) {
        std::mem::swap(self, other);
        self.append(other);
    }

    /// Takes the first `n` out, as a queue of their own.
    pub(crate) fn split_front(&mut self, n: usize) -> GQueue<T> {
        let mut out = GQueue::new();
        while out.len < n {
            match self.pop_front() {
                Some(t) => out.push_back(t),
                None => break,
            }
        }
        out
    }
}

#[cfg(test)]
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

    fn drain(q: &mut GQueue<N>) -> Vec<u32> {
        let mut out = vec![];
        while let Some(n) = q.pop_front() {
            // SAFETY: leaked above, popped once.
            out.push(unsafe { Box::from_raw(n.as_ptr()) }.1);
        }
        out
    }

    #[test]
    fn fifo_append_and_split_keep_order_and_length() {
        let mut a = GQueue::new();
        (0..5).for_each(|v| a.push_back(node(v)));
        let mut b = GQueue::new();
        (5..9).for_each(|v| b.push_back(node(v)));
        a.append(&mut b);
        assert_eq!(b.len(), 0);
        a.push_front(node(100));
        assert_eq!(a.len(), 10);
        let mut front = a.split_front(4);
        assert_eq!((front.len(), a.len()), (4, 6));
        assert_eq!(drain(&mut front), [100, 0, 1, 2]);
        assert_eq!(drain(&mut a), [3, 4, 5, 6, 7, 8]);
        assert!(a.is_empty());
        a.append(&mut front);
        assert!(a.pop_front().is_none());
        a.push_front(node(1));
        a.push_back(node(2));
        b.push_back(node(3));
        a.prepend(&mut b);
        assert!(b.is_empty());
        a.prepend(&mut b);
        assert_eq!(drain(&mut a), [3, 1, 2]);
    }
}
