//! The slab: the address space of all goroutine stacks, and who runs on which.
//!
//! ```text
//!   one reservation, cut into slots of one size: 64 pages (256 KiB, unless Config says otherwise) and a guard
//!
//!   ┌───────────── slot i ─────────────┐┌──────── slot i+1 ────────┐
//!   │guard│   untouched, costs nothing   │used│colour│              …
//!   └─────┴──────────────────────────────┴────┴──────┘
//!    lowest page                     grows ◄── base
//!
//!   owners[i]: who runs on slot i. `owner_of(sp)`: range check, one multiplication, one load. That is how a goroutine
//!   finds itself without thread-local storage.
//! ```
//!
//! **Guard.** The lowest page of a slot faults on touch; `fault_in_guard` recognises the address. rustc probes every page
//! of a large frame, so one page is enough for Rust code.
//!
//! **Stride.** A slot is an *odd* number of pages. With a power of two the used pages of all stacks would differ only in
//! high bits of their page number, and the TLB, which is indexed by the low ones, would hold a few dozen of them
//! (measured on a busy machine, 1,000 goroutines that yield: 73 to 93 ns each with a stride of 64 pages, 54 to 57 with 65).
//!
//! A stack may be several slots in a row (stack.rs), with one owner and one guard, the lowest.

use crate::sys::faults::Point;
use crate::sys::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// The default size of a stack, in bytes. The colour takes up to 3 KiB of it.
pub(crate) const DEFAULT_SIZE: usize = 256 << 10;
const MIN_SIZE: usize = 64 << 10;
/// Slots in the reservation, where the address space allows: 4 TiB at the default size.
const MAX_SLOTS: usize = 16 << 20;

/// Constant after `init`; all zero before, when `owner_of` finds nobody. Relaxed everywhere: threads of ours are made
/// after `init`, and for others any answer but "nobody" is impossible.
#[repr(C)] // debuggers read it (debugger.rs)
pub(crate) struct Slab {
    base: AtomicUsize,
    len: AtomicUsize,
    /// Bytes from one slot to the next: an odd number of pages, the first of which is the guard.
    stride: AtomicUsize,
    /// ceil(2^64 / stride): the high half of a product with it is a division by `stride`. Exact for offsets up to 2^64 /
    /// stride, for the error of the reciprocal is below 1 and so that of the quotient below offset / 2^64.
    reciprocal: AtomicU64,
    page: AtomicUsize,
    owners: AtomicPtr<AtomicPtr<()>>,
}

pub(crate) static SLAB: Slab = Slab {
    base: AtomicUsize::new(0),
    len: AtomicUsize::new(0),
    stride: AtomicUsize::new(1),
    reciprocal: AtomicU64::new(0),
    page: AtomicUsize::new(4096),
    owners: AtomicPtr::new(std::ptr::null_mut()),
};

/// How many slots there are.
pub(crate) fn slots() -> usize {
    SLAB.len.load(Ordering::Relaxed) / stride()
}

/// Bytes from one slot to the next.
pub(crate) fn stride() -> usize {
    SLAB.stride.load(Ordering::Relaxed)
}

/// The page size.
pub(crate) fn page() -> usize {
    SLAB.page.load(Ordering::Relaxed)
}

/// The lowest address of a slot: its guard.
pub(crate) fn slot_addr(slot: u32) -> usize {
    SLAB.base.load(Ordering::Relaxed) + slot as usize * stride()
}

/// The slot at an offset into the slab.
#[inline(always)]
fn slot_at(offset: usize) -> u32 {
    ((offset as u128 * u128::from(SLAB.reciprocal.load(Ordering::Relaxed))) >> 64) as u32
}

/// Address space for `n` slots, and for the table of their owners.
fn reserve(n: usize, stride: usize) -> std::io::Result<(usize, usize)> {
    let base = mem::reserve(n * stride)?;
    let owners = mem::reserve(n * size_of::<AtomicPtr<()>>());
    if owners.is_err() {
        // SAFETY: reserved just now, used by nobody.
        unsafe { mem::release(base, n * stride) };
    }
    Ok((base, owners?))
}

/// # Safety
/// All came from `reserve`, and nothing is used.
unsafe fn release(base: usize, owners: usize, n: usize, stride: usize) {
    // SAFETY: as promised.
    unsafe {
        mem::release(base, n * stride);
        mem::release(owners, n * size_of::<AtomicPtr<()>>());
    }
}

/// Reserves the slab, once, for stacks of at least `stack_size` bytes.
///
/// # Panics
/// Where the process has no address space left even for a small slab.
pub(crate) fn init(stack_size: usize) {
    let page = mem::page_size();
    // An even number of pages for the stack, and the guard makes it odd.
    let stride = stack_size.max(MIN_SIZE).next_multiple_of(2 * page) + page;
    let mut n = (MAX_SLOTS * DEFAULT_SIZE / stride).clamp(1024, MAX_SLOTS);
    let (base, owners) = loop {
        match reserve(n, stride) {
            Ok(both) => break both,
            Err(_) => n /= 2,
        }
        assert!(n >= 64, "gosched: no address space for goroutine stacks of {stack_size} bytes");
        if let Ok((base, owners)) = reserve(n, stride) {
            // The limit (ulimit -v) lies below twice this: half of it stays for everything else.
            // SAFETY: reserved just now, used by nobody.
            unsafe { release(base, owners, n, stride) };
            n /= 2;
        }
    };
    // SAFETY: the whole table was just reserved; page-aligned. It costs memory only where it is touched.
    unsafe { mem::commit(Point::Commit, owners, n * size_of::<AtomicPtr<()>>()) }
        .expect("gosched: no memory for the stack table");
    SLAB.page.store(page, Ordering::Relaxed);
    SLAB.stride.store(stride, Ordering::Relaxed);
    SLAB.reciprocal.store((u64::MAX / stride as u64) + 1, Ordering::Relaxed);
    SLAB.owners.store(owners as *mut _, Ordering::Relaxed);
    SLAB.base.store(base, Ordering::Relaxed);
    SLAB.len.store(n * stride, Ordering::Relaxed);
}

/// Whose stack the slot is.
pub(crate) fn owner(slot: u32) -> &'static AtomicPtr<()> {
    // SAFETY: `slot` is below the number of slots, for which the table has an entry each, zeroed (a null AtomicPtr),
    // mapped for ever.
    unsafe { &*SLAB.owners.load(Ordering::Relaxed).add(slot as usize) }
}

/// How many entries of the owners' table fill a page of it.
pub(crate) fn owners_in_a_page() -> usize {
    page() / size_of::<AtomicPtr<()>>()
}

/// Gives the memory of the table's page back that begins with the entry of slot `first`. The entries read as null
/// afterwards.
///
/// # Safety
/// None of these slots has an owner, or gets one meanwhile.
pub(crate) unsafe fn discard_owners(first: usize) {
    debug_assert!(first.is_multiple_of(owners_in_a_page()));
    let addr = SLAB.owners.load(Ordering::Relaxed).addr() + first * size_of::<AtomicPtr<()>>();
    // SAFETY: a page of the table, all null by the caller's promise.
    unsafe { mem::discard(addr, page()) };
}

/// The owner of the stack that `sp` lies in; null where it lies in none.
#[inline(always)]
pub(crate) fn owner_of(sp: usize) -> *mut () {
    let offset = sp.wrapping_sub(SLAB.base.load(Ordering::Relaxed));
    if offset >= SLAB.len.load(Ordering::Relaxed) {
        return std::ptr::null_mut();
    }
    owner(slot_at(offset)).load(Ordering::Relaxed)
}

/// The usable part of the stack that `addr` lies in.
pub(crate) fn usable(addr: usize) -> Option<Range<usize>> {
    let who = owner_of(addr);
    if who.is_null() {
        return None;
    }
    let slot = slot_at(addr - SLAB.base.load(Ordering::Relaxed)) as usize;
    let Range { start, end } = run_of(slot, who);
    Some(slot_addr(start as u32) + page()..slot_addr(start as u32) + (end - start) * stride())
}

/// The slots around `slot` that belong to `who`, as it does.
fn run_of(slot: usize, who: *mut ()) -> Range<usize> {
    let owns = |&slot: &usize| owner(slot as u32).load(Ordering::Relaxed) == who;
    let below = (0..slot).rev().take_while(owns).count();
    let above = (slot..slots()).take_while(owns).count();
    slot - below..slot + above
}

/// A fault in a guard: whose stack it is, and its size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InGuard {
    pub(crate) owner: *mut (),
    pub(crate) size: usize,
}

/// Where `addr` lies in the guard of a goroutine's stack: that stack. Async-signal-safe.
pub(crate) fn fault_in_guard(addr: usize) -> Option<InGuard> {
    let owner = owner_of(addr);
    if owner.is_null() {
        return None;
    }
    let slot = slot_at(addr - SLAB.base.load(Ordering::Relaxed)) as usize;
    let run = run_of(slot, owner);
    // The lowest page of the lowest slot of this owner.
    let in_guard = run.start == slot && addr - slot_addr(slot as u32) < page();
    in_guard.then(|| InGuard { owner, size: run.len() * stride() - page() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reciprocal_divides() {
        crate::stack::tests::setup();
        for slot in [0, 1, 2, 1000, 123_456, slots() - 1] {
            for within in [0, 1, stride() / 2, stride() - 1] {
                assert_eq!(slot_at(slot * stride() + within) as usize, slot);
            }
        }
    }
}
