//! Goroutine stacks: big in address space, small in memory, always guarded.
//!
//! ```text
//!   one reservation (the slab), cut into slots of one size: 64 pages (256 KiB, unless Config says otherwise) and a guard
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
//! **Colour.** If all stacks began at the same offset in their page, the hot top lines of a thousand goroutines would
//! fight for the same few sets of the L1 cache. Slot i begins (i mod 24)·128 bytes lower. It leaves a parked
//! goroutine's few frames inside the top page.
//!
//! **Life of a slot.** fresh (never used, at and above `Pool.fresh`) → in use → cached by a P, last in first out, dirty
//! → back in the pool when the P has too many → in use … A slot is given to a goroutine at its first run, not at `go`,
//! so a burst of short goroutines uses few.
//!
//! **Memory.** A stack keeps the pages it touched. Most touch two or three. Now and then, at free, a look at the third
//! page from the top tells whether this one went deep (untouched memory reads as zero); then all but the top two
//! pages go back to the kernel.
//!
//! After a burst the pool holds many dirty stacks that nobody needs. sysmon ages them (`age`): once a second, those that
//! were not used for a second give all their pages back.
//!
//! **Large stacks** (`Builder::stack_size`) are several slots in a row, given back to the kernel at free and kept by
//! length.
//!
//! What a `Stack` guarantees: it is the only one with these slots, they are committed and guarded, and the memory stays
//! mapped for the life of the process.

use crate::sys::mem;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// The default size of a stack, in bytes. The colour takes up to 3 KiB of it.
pub(crate) const DEFAULT_SIZE: usize = 256 << 10;
const MIN_SIZE: usize = 64 << 10;
/// Slots in the reservation, where the address space allows: 4 TiB at the default size.
const MAX_SLOTS: usize = 16 << 20;
const COLOURS: usize = 24;
const COLOUR_STEP: usize = 128;
/// How many stacks a P keeps, and how many move between it and the pool at a time.
const CACHE: usize = 64;
const CACHE_BATCH: usize = CACHE / 2;

/// Constant after `init`; all zero before, when `owner_of` finds nobody. Relaxed everywhere: threads of ours are made
/// after `init`, and for others any answer but "nobody" is impossible.
struct Slab {
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

static SLAB: Slab = Slab {
    base: AtomicUsize::new(0),
    len: AtomicUsize::new(0),
    stride: AtomicUsize::new(1),
    reciprocal: AtomicU64::new(0),
    page: AtomicUsize::new(4096),
    owners: AtomicPtr::new(std::ptr::null_mut()),
};

/// The slots that no P has. Everything in it is guarded by its lock.
struct Pool {
    /// First slot never used.
    fresh: usize,
    /// First slot not committed and guarded yet.
    committed: usize,
    /// Single slots, last in first out.
    free: Vec<u32>,
    /// The fewest there were in `free` since the last `age`: as many, from the bottom, have not been used since.
    low: usize,
    /// As many, from the bottom of `free`, hold no memory.
    clean: usize,
    /// Runs of slots by their number, clean.
    large: BTreeMap<u32, Vec<u32>>,
    /// Slots to commit next time; grows with the burst.
    chunk: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    fresh: 0,
    committed: 0,
    free: Vec::new(),
    low: 0,
    clean: 0,
    large: BTreeMap::new(),
    chunk: 16,
});

fn slots() -> usize {
    SLAB.len.load(Ordering::Relaxed) / stride()
}

fn stride() -> usize {
    SLAB.stride.load(Ordering::Relaxed)
}

fn page() -> usize {
    SLAB.page.load(Ordering::Relaxed)
}

fn slot_addr(slot: u32) -> usize {
    SLAB.base.load(Ordering::Relaxed) + slot as usize * stride()
}

/// The slot at an offset into the slab.
#[inline(always)]
fn slot_at(offset: usize) -> u32 {
    ((offset as u128 * u128::from(SLAB.reciprocal.load(Ordering::Relaxed))) >> 64) as u32
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
        let space = mem::reserve(n * stride);
        let table = mem::reserve(n * size_of::<AtomicPtr<()>>());
        match (space, table) {
            (Ok(space), Ok(table)) => break (space, table),
            (space, table) => {
                // SAFETY: reserved just now, used by nobody.
                unsafe {
                    if let Ok(p) = space {
                        mem::release(p, n * stride);
                    }
                    if let Ok(p) = table {
                        mem::release(p, n * size_of::<AtomicPtr<()>>());
                    }
                }
                // An address space limit (ulimit -v): take less.
                n /= 2;
                assert!(n >= 64, "gosched: no address space for goroutine stacks of {stack_size} bytes");
            }
        }
    };
    // SAFETY: the whole table was just reserved; page-aligned. It costs memory only where it is touched.
    unsafe { mem::commit(owners, n * size_of::<AtomicPtr<()>>()) }
        .expect("gosched: no memory for the stack table");
    SLAB.page.store(page, Ordering::Relaxed);
    SLAB.stride.store(stride, Ordering::Relaxed);
    SLAB.reciprocal.store((u64::MAX / stride as u64) + 1, Ordering::Relaxed);
    SLAB.owners.store(owners as *mut _, Ordering::Relaxed);
    SLAB.base.store(base, Ordering::Relaxed);
    SLAB.len.store(n * stride, Ordering::Relaxed);
}

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
    fn owner(slot: u32) -> &'static AtomicPtr<()> {
        // SAFETY: `slot` is below the number of slots, for which the table has an entry each, zeroed (a null AtomicPtr),
        // mapped for ever.
        unsafe { &*SLAB.owners.load(Ordering::Relaxed).add(slot as usize) }
    }

    /// Says who runs on this stack from now on.
    pub(crate) fn set_owner(&self, owner: *mut ()) {
        for slot in self.slot..self.slot + self.count {
            // Relaxed: asked by code that runs on this very stack.
            Stack::owner(slot).store(owner, Ordering::Relaxed);
        }
    }

    /// Its slots, guard included, in bytes.
    fn len(&self) -> usize {
        self.count as usize * stride()
    }
}

/// The owner of the stack that `sp` lies in; null where it lies in none.
#[inline(always)]
pub(crate) fn owner_of(sp: usize) -> *mut () {
    let offset = sp.wrapping_sub(SLAB.base.load(Ordering::Relaxed));
    if offset >= SLAB.len.load(Ordering::Relaxed) {
        return std::ptr::null_mut();
    }
    Stack::owner(slot_at(offset)).load(Ordering::Relaxed)
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
    let owns = |slot: usize| slot < slots() && Stack::owner(slot as u32).load(Ordering::Relaxed) == owner;
    // The lowest page of the lowest slot of this owner.
    if (slot > 0 && owns(slot - 1)) || addr - slot_addr(slot as u32) >= page() {
        return None;
    }
    let count = (slot..).take_while(|&s| owns(s)).count();
    Some(InGuard { owner, size: count * stride() - page() })
}

impl Pool {
    /// Makes slots usable until `end` is committed.
    fn commit_to(&mut self, end: usize) -> io::Result<()> {
        if end <= self.committed {
            return Ok(());
        }
        let cap = slots().min(mem::max_guards().unwrap_or(usize::MAX));
        let end = end.max((self.committed + self.chunk).min(cap));
        if end > cap {
            let why = if cap == slots() { "address space" } else { "memory mappings (vm.max_map_count)" };
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!("out of goroutine stacks: {cap} are in use, no {why} for more"),
            ));
        }
        let (page, size) = (page(), stride());
        let first = slot_addr(self.committed as u32);
        let count = end - self.committed;
        // SAFETY: these slots are reserved and not in use yet; page-aligned.
        unsafe {
            mem::commit(first, count * size)?;
            mem::guard(first, size, count, page)?;
        }
        self.committed = end;
        self.chunk = (self.chunk * 2).min(1024);
        Ok(())
    }

    fn pop(&mut self) -> Option<u32> {
        let slot = self.free.pop()?;
        self.low = self.low.min(self.free.len());
        self.clean = self.clean.min(self.free.len());
        Some(slot)
    }

    fn take_fresh(&mut self, count: u32) -> io::Result<u32> {
        self.commit_to(self.fresh + count as usize)?;
        let slot = self.fresh as u32;
        self.fresh += count as usize;
        Ok(slot)
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
        POOL.lock().free.extend_from_slice(&self.slots[..n]);
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

/// Whether a stack of `size` bytes can be had at all: 0 where the standard size does, else the size. (Before `init`
/// it does not matter: starting a goroutine will be refused.)
pub(crate) fn check_size(size: usize) -> io::Result<usize> {
    if slots() == 0 {
        return Ok(0);
    }
    if size / stride() >= slots() / 2 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a goroutine stack of {size} bytes is too large"),
        ));
    }
    Ok(if size <= stride() - page() { 0 } else { size })
}

/// A stack of at least `size` bytes, for those who asked for more than a slot.
pub(crate) fn stackalloc_large(size: usize) -> io::Result<Stack> {
    let size = check_size(size)?.max(1);
    let count = (size + page()).div_ceil(stride()) as u32;
    let mut pool = POOL.lock();
    let kept = pool.large.get_mut(&count).and_then(Vec::pop);
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
    POOL.lock().large.entry(stack.count).or_default().push(stack.slot);
}

/// Whether free stacks hold memory that `age` might give back.
pub(crate) fn has_surplus() -> bool {
    let pool = POOL.lock();
    pool.free.len() > pool.clean
}

/// Gives the memory of those stacks back that lay in the pool unused since the last call. By sysmon, every second or so.
pub(crate) fn age() {
    /// Stacks per hold of the pool's lock: some 0.1 ms.
    const BATCH: usize = 256;
    let unused = {
        let mut pool = POOL.lock();
        std::mem::replace(&mut pool.low, usize::MAX).min(pool.free.len())
    };
    loop {
        let pool = &mut *POOL.lock();
        let end = unused.min(pool.free.len()).min(pool.clean + BATCH);
        if pool.clean >= end {
            pool.low = pool.low.min(pool.free.len());
            return;
        }
        let batch = &mut pool.free[pool.clean..end];
        // The order within the bottom does not matter; neighbours go in one call. Guards are not affected.
        batch.sort_unstable();
        for run in batch.chunk_by(|a, b| a + 1 == *b) {
            // SAFETY: committed stacks that nothing runs on: they are in the pool, whose lock we hold.
            unsafe { mem::discard(slot_addr(run[0]), run.len() * stride()) };
        }
        pool.clean = end;
    }
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
mod tests {
    use super::*;
    use corosensei::stack::Stack as _;

    /// One slab per process: all stack tests share it.
    fn setup() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            init(DEFAULT_SIZE);
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
    fn the_reciprocal_divides() {
        setup();
        for slot in [0, 1, 2, 1000, 123_456, slots() - 1] {
            for within in [0, 1, stride() / 2, stride() - 1] {
                assert_eq!(slot_at(slot * stride() + within) as usize, slot);
            }
        }
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
        let s = stackalloc_large(1 << 20).unwrap();
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
        let again = stackalloc_large(1 << 20).unwrap();
        assert_eq!(again.slot, slot);
        // SAFETY: as above.
        assert_eq!(unsafe { ((low + 4096) as *const u64).read() }, 0);
        assert!(stackalloc_large(usize::MAX / 2).is_err());
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
