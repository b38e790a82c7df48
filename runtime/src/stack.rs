//! Goroutine stacks: big in address space, small in memory, always guarded (Go: runtime/stack.go, `stackalloc`,
//! `stackfree`). slab.rs has the address space, stackpool.rs what no P keeps.
//!
//! **Colour.** If all stacks began at the same offset in their page, the hot top lines of a thousand goroutines would
//! fight for the same few sets of the L1 cache. Slot i begins (i mod 24)·128 bytes lower. It leaves a parked
//! goroutine's few frames inside the top page.
//!
//! **Life of a slot.** fresh (never used) → in use → cached by a P, last in first out, dirty → back in the pool when the P
//! has too many → in use … A slot is given to a goroutine at its first run, not at `go`, so a burst of short goroutines
//! uses few. (A `Builder` takes it at once, from the pool: it can tell its caller that there is none.)
//!
//! **Memory.** A stack keeps the pages it touched. Most touch two or three. Now and then, at free, a look at the third
//! page from the top tells whether this one went deep (untouched memory reads as zero); then all but the top two
//! pages go back to the kernel. What a burst leaves in the pool the scavenger ages away.
//!
//! **Large stacks** (`Builder::stack_size`) are several slots in a row, given back to the kernel at free and kept by
//! length.
//!
//! What a `Stack` guarantees: it is the only one with these slots, they are committed and guarded, and the memory stays
//! mapped for the life of the process.

use crate::slab;
pub(crate) use crate::slab::{DEFAULT_SIZE, InGuard, fault_in_guard, owner_of, slots, usable};
use crate::slab::{owner, page, slot_addr, stride};
use crate::stackpool::{self, POOL};
pub(crate) use crate::stackpool::{age, has_surplus};
use crate::sys::mem;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

/// Reserves the address space, once, for stacks of at least `stack_size` bytes.
///
/// # Panics
/// Where the process has none left.
pub(crate) fn init(stack_size: usize) {
    slab::init(stack_size);
    stackpool::init();
}

const COLOURS: usize = 24;
const COLOUR_STEP: usize = 128;
/// How many stacks a P keeps, and how many move between it and the pool at a time.
const CACHE: usize = 64;
const CACHE_BATCH: usize = CACHE / 2;

/// A stack: one slot or several. Not dropped but given to `StackCache::stackfree`.
pub(crate) struct Stack {
    slot: u32,
    count: u32,
}

// SAFETY: base and limit are aligned to 128 and more; the lowest page of the range is a guard; the usable part is far
// more than a page; both are constant for the Stack's life (file head: "What a Stack guarantees").
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        let colour = self.slot as usize % COLOURS * COLOUR_STEP;
        NonZeroUsize::new(slot_addr(self.slot + self.count) - colour).expect("slab above address 0")
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(slot_addr(self.slot)).expect("slab above address 0")
    }
}

impl Stack {
    /// Says who runs on this stack from now on.
    pub(crate) fn set_owner(&self, who: *mut ()) {
        for slot in self.slot..self.slot + self.count {
            // Relaxed: asked by code that runs on this very stack.
            owner(slot).store(who, Ordering::Relaxed);
        }
    }

    /// Its slots, guard included, in bytes.
    fn len(&self) -> usize {
        self.count as usize * stride()
    }
}

/// The stacks that a P keeps. Owned by the P.
pub(crate) struct StackCache {
    slots: [u32; CACHE],
    len: usize,
    /// Counts frees, to look at every 16th stack only.
    frees: u32,
}

impl StackCache {
    pub(crate) const fn new() -> StackCache {
        StackCache { slots: [0; CACHE], len: 0, frees: 0 }
    }

    /// A stack of the standard size, the one last freed if possible: it is still in the cache.
    #[inline]
    pub(crate) fn stackalloc(&mut self) -> io::Result<Stack> {
        if self.len == 0 {
            self.refill_slow()?;
        }
        self.len -= 1;
        Ok(Stack { slot: self.slots[self.len], count: 1 })
    }

    #[cold]
    fn refill_slow(&mut self) -> io::Result<()> {
        let mut pool = POOL.lock();
        while self.len < CACHE_BATCH {
            let slot = match pool.pop() {
                Some(slot) => slot,
                None => match pool.take_fresh(1) {
                    Ok(slot) => slot,
                    Err(e) if self.len == 0 => return Err(e),
                    Err(_) => break,
                },
            };
            self.slots[self.len] = slot;
            self.len += 1;
        }
        // Lowest slot first, so that a fresh process fills its slab from the start.
        self.slots[..self.len].reverse();
        Ok(())
    }

    /// Takes back a stack that nothing runs on any more.
    #[inline]
    pub(crate) fn stackfree(&mut self, stack: Stack) {
        if stack.count != 1 {
            return stackfree_large_slow(stack);
        }
        self.frees = self.frees.wrapping_add(1);
        if self.frees.is_multiple_of(16) {
            trim(&stack);
        }
        if self.len == CACHE {
            self.flush_slow(CACHE_BATCH);
        }
        self.slots[self.len] = stack.slot;
        self.len += 1;
    }

    /// Hands the `n` longest unused stacks to the pool.
    #[cold]
    fn flush_slow(&mut self, n: usize) {
        POOL.lock().put(&self.slots[..n]);
        self.slots.copy_within(n..self.len, 0);
        self.len -= n;
    }

    /// Hands all stacks to the pool: the P goes away.
    pub(crate) fn flush(&mut self) {
        self.flush_slow(self.len);
    }
}

/// Takes back a stack where there is no P to keep it.
#[cold]
pub(crate) fn stackfree_to_pool(stack: Stack) {
    let mut cache = StackCache::new();
    cache.stackfree(stack);
    cache.flush();
}

/// A stack of at least `size` bytes from the pool: 0 for the standard size.
pub(crate) fn stackalloc_sized(size: usize) -> io::Result<Stack> {
    if size / stride() >= slots() / 2 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a goroutine stack of {size} bytes is too large"),
        ));
    }
    let count = (size + page()).div_ceil(stride()) as u32;
    let mut pool = POOL.lock();
    let kept = if count == 1 { pool.pop() } else { pool.pop_large(count) };
    let slot = match kept {
        Some(slot) => slot,
        None => pool.take_fresh(count)?,
    };
    let stack = Stack { slot, count };
    if kept.is_none() {
        unguard_inner(&stack);
    }
    Ok(stack)
}

/// Lifts the guards of all slots of a run but the first; they stay lifted, a run is never split.
fn unguard_inner(stack: &Stack) {
    let page = page();
    for slot in stack.slot + 1..stack.slot + stack.count {
        // SAFETY: the run is ours and nothing runs on it.
        unsafe { mem::unguard(slot_addr(slot), page) };
    }
}

#[cold]
fn stackfree_large_slow(stack: Stack) {
    let page = page();
    // SAFETY: committed, ours, nothing runs on it; all but the guard page.
    unsafe { mem::discard(slot_addr(stack.slot) + page, stack.len() - page) };
    POOL.lock().put_large(stack.slot, stack.count);
}

/// Gives back what a stack used below its top two pages, if it ever went there.
fn trim(stack: &Stack) {
    let page = page();
    let top = slot_addr(stack.slot + stack.count);
    let third = (top - 3 * page) as *const u64;
    // A frame that reached beyond this page wrote something at its upper end: look at one cache line there.
    // SAFETY: committed memory of a stack that nothing runs on; any bits are a valid u64, untouched ones are zero.
    let deep = (1..9).any(|i| unsafe { third.add(page / 8 - i).read_volatile() } != 0);
    if deep {
        // SAFETY: as above; page-aligned, between the guard and the top two pages.
        unsafe { mem::discard(slot_addr(stack.slot) + page, stack.len() - 3 * page) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use corosensei::stack::Stack as _;

    /// One slab per process: all stack tests share it.
    pub(crate) fn setup() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            init(DEFAULT_SIZE);
            crate::allgs::init(slots());
        });
    }

    #[test]
    fn a_stack_is_writable_above_its_guard_and_knows_its_owner() {
        setup();
        let mut cache = StackCache::new();
        let s = cache.stackalloc().unwrap();
        let me = 0x1000 as *mut ();
        s.set_owner(me);
        let (low, high) = (s.limit().get(), s.base().get());
        assert!(high - low > 100 << 10);
        // SAFETY: inside the usable part of a stack that is ours.
        unsafe {
            ((high - 8) as *mut u64).write(7);
            ((low + 4096) as *mut u64).write(7);
        }
        assert_eq!(owner_of(high - 8), me);
        assert_eq!(fault_in_guard(low + 100), Some(InGuard { owner: me, size: DEFAULT_SIZE }));
        assert_eq!(fault_in_guard(low + 4096), None);
        assert!(owner_of(&raw const s as usize).is_null());
        s.set_owner(std::ptr::null_mut());
        cache.stackfree(s);
    }

    #[test]
    fn the_last_freed_comes_first_and_neighbours_differ_in_colour() {
        setup();
        let mut cache = StackCache::new();
        let a = cache.stackalloc().unwrap();
        let b = cache.stackalloc().unwrap();
        assert_ne!(a.base().get() % 4096, b.base().get() % 4096);
        let slot = a.slot;
        cache.stackfree(b);
        cache.stackfree(a);
        assert_eq!(cache.stackalloc().unwrap().slot, slot);
    }

    #[test]
    fn many_stacks_are_distinct_and_come_back() {
        setup();
        let mut cache = StackCache::new();
        let all: Vec<Stack> = (0..1000).map(|_| cache.stackalloc().unwrap()).collect();
        let mut slots: Vec<u32> = all.iter().map(|s| s.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 1000);
        all.into_iter().for_each(|s| cache.stackfree(s));
        assert!(cache.len <= CACHE);
        cache.flush();
        assert_eq!(cache.len, 0);
    }

    #[test]
    fn a_large_stack_has_one_guard_and_is_zero_when_it_comes_again() {
        setup();
        let s = stackalloc_sized(1 << 20).unwrap();
        assert!(s.len() > 1 << 20);
        s.set_owner(0x2000 as *mut ());
        let (low, high) = (s.limit().get(), s.base().get());
        for at in (low + 4096..high - 8).step_by(4096) {
            // SAFETY: inside the usable part of a stack that is ours.
            unsafe { (at as *mut u64).write(1) };
            assert_eq!(fault_in_guard(at), None);
        }
        assert_eq!(fault_in_guard(low).map(|f| f.size), Some(s.len() - page()));
        s.set_owner(std::ptr::null_mut());
        let slot = s.slot;
        StackCache::new().stackfree(s);
        let again = stackalloc_sized(1 << 20).unwrap();
        assert_eq!(again.slot, slot);
        // SAFETY: as above.
        assert_eq!(unsafe { ((low + 4096) as *const u64).read() }, 0);
        assert!(stackalloc_sized(usize::MAX / 2).is_err());
    }

    #[test]
    fn a_stack_unused_for_a_whole_round_is_emptied_and_keeps_its_guard() {
        setup();
        let mut cache = StackCache::new();
        let all: Vec<Stack> = (0..300).map(|_| cache.stackalloc().unwrap()).collect();
        let tops: Vec<usize> = all.iter().map(|s| s.base().get() - 8).collect();
        // SAFETY: the top word of stacks that are ours.
        tops.iter().for_each(|&t| unsafe { (t as *mut u64).write(7) });
        all.into_iter().for_each(|s| cache.stackfree(s));
        cache.flush();
        // Other tests use the pool meanwhile, so some may be in use again: most are not.
        for _ in 0..3 {
            age();
        }
        // SAFETY: committed memory; any bits are a valid u64.
        let emptied = tops.iter().filter(|&&t| unsafe { (t as *const u64).read_volatile() } == 0).count();
        assert!(emptied > 100, "{emptied} of 300");
    }

    #[test]
    fn a_deep_stack_is_trimmed() {
        setup();
        let mut cache = StackCache::new();
        let s = cache.stackalloc().unwrap();
        let top = slot_addr(s.slot + 1);
        for depth in (8..100 << 10).step_by(64) {
            // SAFETY: inside the usable part of a stack that is ours.
            unsafe { ((top - depth) as *mut u64).write(9) };
        }
        trim(&s);
        // SAFETY: as above.
        let at = |depth: usize| unsafe { ((top - depth) as *const u64).read() };
        assert_eq!((at(8), at(4096 + 8), at(50 << 10)), (9, 9, 0));
        cache.stackfree(s);
    }
}
