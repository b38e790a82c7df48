//! Semaphores on bare words: sleep until a word is above zero and take one off it; add one and wake a sleeper
//! (Go: runtime/sema.go). Every lock of `sync` waits here.
//!
//! ## What a lock pays for it
//! A lock that nobody waits for is one `AtomicU32` and nothing else. Its queue exists only while somebody waits, in a
//! table shared by the whole process and found by the word's address, and is made of records on the waiters' own
//! stacks: waiting allocates nothing.
//!
//! ```text
//!   TABLE   [Root; 251]      root = address / 8 mod 251, each with its own lock
//!             │
//!             ▼ tree: one node per address that has waiters
//!           ( a )            a, b, c: the first waiter of an address, on its own stack
//!          0/   \1           its `next` leads through the others, first come first served
//!       ( b )   ( c ) ─next─► c₂ ─► c₃
//! ```
//!
//! The tree is a digital search tree: the way down at depth d is bit d of the address's scrambled form. Scrambling maps
//! no two addresses to one, so they part after 64 steps at the latest, and after about log2 of their number as a rule;
//! nothing is ever rebalanced. (Go keeps a treap here for the same end: a hundred thousand goroutines on a hundred
//! thousand different locks must not make each other slow.) Whatever hangs below a node shares the bits that led to
//! it, so that any leaf below can take its place: that is all of the removal.
//!
//! ## Why no wake-up is lost
//! ```text
//!   semacquire                              semrelease
//!   lock the root                           word += 1              (R1)
//!   waiters += 1                   (A1)     waiters == 0? done     (R2)
//!   word > 0? take one, done       (A2)     lock the root, take the first waiter of the word out, unlock
//!   put the record in                       ready it
//!   park, unlocking the root
//! ```
//! All four steps are sequentially consistent. Should A2 miss the unit of R1, then A1 and A2 come before R1 and so before
//! R2: the releaser sees the waiter, takes the root's lock, which it gets only when the waiter has left its stack, and
//! finds the record.
//!
//! ## Handoff
//! A plain release puts the unit in the word, and the waiter that it wakes competes for it with whoever comes by; where
//! it loses it goes back to sleep. That keeps running goroutines running, and it is what `Mutex` wants, mostly. With
//! `handoff` the unit does not pass through the word at all: under the root's lock it goes straight to the first waiter
//! (`granted`), and nobody can come between. It is for a `Mutex` that starves, and wherever each waiter has one unit
//! coming. (Go lets the unit touch the word, where an arrival can still snatch it, and then yields the processor to
//! the heir; nothing is yielded here.)

use crate::loom::atomic::{AtomicU32, Ordering};
use crate::loom::lock::{Mutex, MutexGuard};
use crate::loom::{per_run, seq_cst, sound};
use crate::park::{WaitReason, Waiter, current, gopark, goready};
use parking_lot::lock_api::GuardNoSend;
use std::ptr::{NonNull, null_mut};

/// The number of roots: a prime, so that the strides of allocators do not fall together.
const ROOTS: usize = if cfg!(any(gosched_loom, gosched_shuttle)) { 1 } else { 251 };

per_run! {
    static TABLE: Table = Table::new();
}

struct Table([Root; ROOTS]);

impl Table {
    #[cfg(not(gosched_loom))]
    const fn new() -> Table {
        Table([const { Root::new() }; ROOTS])
    }

    #[cfg(gosched_loom)]
    fn new() -> Table {
        Table([Root::new()])
    }
}

/// One slot of the table. Aligned to two cache lines, which processors fetch in pairs.
#[repr(align(128))]
struct Root {
    tree: Mutex<Tree>,
    /// How many records are in `tree`. Written under the lock of `tree`, read without it by `semrelease`.
    waiters: AtomicU32,
}

impl Root {
    #[cfg(not(gosched_loom))]
    const fn new() -> Root {
        Root { tree: Mutex::new(Tree { top: null_mut() }), waiters: AtomicU32::new(0) }
    }

    #[cfg(gosched_loom)]
    fn new() -> Root {
        Root { tree: Mutex::new(Tree { top: null_mut() }), waiters: AtomicU32::new(0) }
    }

    fn of(word: &AtomicU32) -> &'static Root {
        &TABLE.0[(address(word) >> 3) % ROOTS]
    }

    /// Takes the first waiter of `word` out of the tree, which the caller has locked. The record is the caller's then,
    /// and so is the duty to wake its waiter.
    fn take_first(&self, tree: &mut MutexGuard<'_, Tree>, word: &AtomicU32) -> Option<NonNull<Sudog>> {
        // SAFETY: the lock is held, and records stay in the tree only while their waiters are parked.
        let s = NonNull::new(unsafe { tree.pop(address(word)) })?;
        // Relaxed: made under the lock, like A1; a releaser that misses it only looks in vain.
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        Some(s)
    }
}

/// The record of one waiter, on the waiter's stack for the length of one `semacquire`.
///
/// While it is in the tree all of it belongs to the root's lock; once a releaser has taken it out it belongs to that
/// releaser, until its `goready`; then to the waiter again.
struct Sudog {
    waiter: Waiter,
    addr: usize,
    /// The next waiter of the same address.
    next: *mut Sudog,
    /// The last waiter of the same address. Kept in the first one only.
    tail: *mut Sudog,
    /// The way on in the tree, by the next bit. Kept in the first one only.
    child: [*mut Sudog; 2],
    /// The releaser took a unit for this waiter.
    granted: bool,
}

/// The waiters of one root, by address and, of one address, in order. The records belong to parked waiters.
struct Tree {
    top: *mut Sudog,
}

// SAFETY: the pointers lead to records that belong to whoever holds the lock around the tree (see Sudog).
unsafe impl Send for Tree {}

/// Spreads addresses over the 64 bits without mapping two to one (an odd factor can be undone); best at the top.
fn scramble(addr: usize) -> u64 {
    (addr as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}

impl Tree {
    /// The place in the tree that holds the first waiter of `addr`, or that is null and would.
    ///
    /// # Safety
    /// The records in the tree are alive and the caller's (it holds the lock).
    unsafe fn place(&mut self, addr: usize) -> *mut *mut Sudog {
        let mut place = &raw mut self.top;
        let mut bits = scramble(addr);
        // SAFETY: `place` is the top or a field of a record in the tree; the caller's promise.
        unsafe {
            while !(*place).is_null() && (**place).addr != addr {
                place = &raw mut (**place).child[(bits >> 63) as usize];
                bits <<= 1;
            }
        }
        place
    }

    /// Puts `new` in, behind the waiters of its address, or with `lifo` before them.
    ///
    /// # Safety
    /// As for `place`; `new` is alive, in no tree, and stays where it is until `pop` gives it back.
    unsafe fn push(&mut self, new: *mut Sudog, lifo: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            (*new).next = null_mut();
            (*new).tail = new;
            (*new).child = [null_mut(); 2];
            let place = self.place((*new).addr);
            let first = *place;
            if first.is_null() {
                *place = new;
            } else if lifo {
                (*new).next = first;
                (*new).tail = (*first).tail;
                (*new).child = (*first).child;
                *place = new;
            } else {
                (*(*first).tail).next = new;
                (*first).tail = new;
            }
        }
    }

    /// Takes the first waiter of `addr` out; null where there is none.
    ///
    /// # Safety
    /// As for `place`.
    unsafe fn pop(&mut self, addr: usize) -> *mut Sudog {
        // SAFETY: the caller's promise; every pointer followed is of a record in the tree.
        unsafe {
            let place = self.place(addr);
            let first = *place;
            if first.is_null() {
                return first;
            }
            let next = (*first).next;
            if !next.is_null() {
                (*next).tail = (*first).tail;
                (*next).child = (*first).child;
                *place = next;
                return first;
            }
            // The address goes out of the tree; some leaf below it moves up.
            let mut leaf = place;
            loop {
                let [zero, one] = &mut (**leaf).child;
                leaf = match (zero.is_null(), one.is_null()) {
                    (false, _) => zero,
                    (true, false) => one,
                    (true, true) => break,
                };
            }
            let stand_in = *leaf;
            *leaf = null_mut();
            if stand_in != first {
                (*stand_in).child = (*first).child;
                *place = stand_in;
            }
            first
        }
    }
}

/// Takes one off `word` where it is above zero.
#[inline]
fn try_take(word: &AtomicU32) -> bool {
    // SeqCst: this load is step A2 of the file's head. At success it is also the Acquire that pairs with R1: what was
    // done before the release of the unit is seen by who takes it.
    let mut n = word.load(Ordering::SeqCst);
    while n != 0 {
        match word.compare_exchange_weak(n, n - 1, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            Err(now) => n = now,
        }
    }
    false
}

/// Waits until `word` is above zero and takes one off it. Go: `semacquire1`.
///
/// Waiters of one word are served in the order in which they came; with `lifo` the caller goes before all of them.
/// Parks the goroutine (blocks a plain thread), for which `reason` is shown. What came before the [`semrelease`] of the
/// unit is seen after this.
#[inline]
pub(crate) fn semacquire(word: &AtomicU32, lifo: bool, reason: WaitReason) {
    if !try_take(word) {
        semacquire_slow(word, lifo, reason);
    }
}

#[cold]
fn semacquire_slow(word: &AtomicU32, lifo: bool, reason: WaitReason) {
    let root = Root::of(word);
    let mut record = Sudog {
        waiter: current(),
        addr: address(word),
        next: null_mut(),
        tail: null_mut(),
        child: [null_mut(); 2],
        granted: false,
    };
    // From here on the record is reached through this pointer alone.
    let me = &raw mut record;
    loop {
        let mut tree = root.tree.lock();
        root.waiters.fetch_add(1, Ordering::SeqCst); // A1
        seq_cst("sema: one order of all four steps");
        if sound("sema: looks once more when counted") && try_take(word) {
            // Relaxed: a releaser that still sees the 1 only looks in vain.
            root.waiters.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // SAFETY: we hold the lock; the record is on this stack, which stays until gopark below returns, and that it
        // does only after a releaser has popped it.
        unsafe { tree.push(me, lifo) };
        std::mem::forget(tree); // unlock_root unlocks
        // SAFETY: unlock_root makes the record reachable as its last step. The one who pops the record readies it, once.
        // Nothing here is tied to the thread: a lock of parking_lot may be released by another one.
        unsafe { gopark(unlock_root, std::ptr::from_ref(root).cast_mut().cast(), reason) };
        // SAFETY: the releaser readied us, so the record is ours again.
        if unsafe { (*me).granted } || try_take(word) {
            return;
        }
    }
}

/// The commit of `semacquire`.
///
/// # Safety
/// `root` is the root whose lock the waiter holds.
unsafe fn unlock_root(_: Waiter, root: *mut ()) -> bool {
    // SAFETY: the caller's promise; its guard was forgotten.
    unsafe { (*root.cast::<Root>()).tree.force_unlock(GuardNoSend::new()) };
    true
}

/// Adds one to `word` and wakes its first waiter, if there is any. Go: `semrelease1`.
///
/// With `handoff` the unit is the first waiter's when it wakes; otherwise whoever comes first takes it. Never parks.
#[inline]
pub(crate) fn semrelease(word: &AtomicU32, handoff: bool) {
    if handoff {
        return semrelease_handoff(word);
    }
    word.fetch_add(1, Ordering::SeqCst); // R1
    seq_cst("sema: one order of all four steps");
    let root = Root::of(word);
    // R2. The waiters of other words of the root count too.
    if root.waiters.load(Ordering::SeqCst) != 0 {
        semrelease_slow(root, word);
    }
}

#[cold]
fn semrelease_slow(root: &Root, word: &AtomicU32) {
    let mut tree = root.tree.lock();
    if let Some(s) = root.take_first(&mut tree, word) {
        drop(tree);
        // SAFETY: we took the record out, and ready its waiter this once.
        unsafe { wake(s, false) };
    }
}

#[cold]
fn semrelease_handoff(word: &AtomicU32) {
    let root = Root::of(word);
    let mut tree = root.tree.lock();
    match root.take_first(&mut tree, word) {
        Some(s) => {
            drop(tree);
            // SAFETY: as in semrelease_slow.
            unsafe { wake(s, true) };
        }
        // The heir has not got as far as its sleep: it finds the unit. R1; under the lock, as A1 and A2 are, so that
        // there is nobody left to look for.
        None => _ = word.fetch_add(1, Ordering::SeqCst),
    }
}

/// Ends the wait of a waiter that was taken out of its queue.
///
/// # Safety
/// The caller took the record out, and calls this once; it does not touch the record afterwards.
unsafe fn wake(s: NonNull<Sudog>, granted: bool) {
    // SAFETY: the record is the caller's and its waiter parked, its stack alive, until this goready, the only one for
    // this park.
    unsafe {
        (*s.as_ptr()).granted = granted && sound("sema: a handed unit is marked as such");
        let waiter = (*s.as_ptr()).waiter;
        goready(waiter);
    }
}

/// How many waiters `word` has. For tests, which must know that a thread has got as far as its sleep.
#[cfg(not(any(gosched_loom, gosched_shuttle)))]
pub(crate) fn waiting(word: &AtomicU32) -> usize {
    let mut tree = Root::of(word).tree.lock();
    // SAFETY: the lock is held.
    let mut s = unsafe { *tree.place(address(word)) };
    let mut n = 0;
    while !s.is_null() {
        n += 1;
        // SAFETY: as above.
        s = unsafe { (*s).next };
    }
    n
}

#[cfg(all(test, not(any(gosched_loom, gosched_shuttle))))]
mod tests {
    use super::*;
    use crate::hook::cheaprandn;
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::{Arc, Mutex as StdMutex};
    use std::thread;

    fn record(addr: usize) -> *mut Sudog {
        Box::into_raw(Box::new(Sudog {
            waiter: current(),
            addr,
            next: null_mut(),
            tail: null_mut(),
            child: [null_mut(); 2],
            granted: false,
        }))
    }

    #[test]
    fn the_tree_is_a_fifo_per_address_whatever_the_mix() {
        let mut tree = Tree { top: null_mut() };
        let mut model: BTreeMap<usize, VecDeque<*mut Sudog>> = BTreeMap::new();
        let steps = if cfg!(miri) { 2_000 } else { 200_000 };
        for step in 0..steps {
            // Now many addresses with few waiters, now few with many; with the strides of a root's addresses.
            let spread = if step / 1_000 % 2 == 0 { 300 } else { 5 };
            let addr = 0x7f00_0000_0000 + cheaprandn(spread) as usize * 8 * ROOTS;
            let of_addr = model.entry(addr).or_default();
            // SAFETY: the tree is this test's own; records are freed only when popped.
            unsafe {
                match cheaprandn(4) {
                    0 => {
                        let s = record(addr);
                        tree.push(s, true);
                        of_addr.push_front(s);
                    }
                    1 => {
                        let s = record(addr);
                        tree.push(s, false);
                        of_addr.push_back(s);
                    }
                    _ => {
                        let s = tree.pop(addr);
                        assert_eq!(s, of_addr.pop_front().unwrap_or(null_mut()));
                        if !s.is_null() {
                            drop(Box::from_raw(s));
                        }
                    }
                }
            }
        }
        for (addr, of_addr) in model {
            for expected in of_addr {
                // SAFETY: as above.
                unsafe {
                    let s = tree.pop(addr);
                    assert_eq!(s, expected);
                    drop(Box::from_raw(s));
                }
            }
        }
        assert!(tree.top.is_null());
    }

    #[test]
    fn no_two_addresses_share_a_scrambled_form_and_a_roots_addresses_stay_shallow() {
        let mut tree = Tree { top: null_mut() };
        let all: Vec<_> = (0..4096).map(|i| record(0x5555_0000_0000 + i * 8 * ROOTS)).collect();
        // SAFETY: the tree is this test's own.
        unsafe {
            for &s in &all {
                tree.push(s, false);
            }
            let depth = |s: *mut Sudog| -> u32 {
                let (mut n, mut bits, mut depth) = (tree.top, scramble((*s).addr), 0);
                while n != s {
                    n = (*n).child[(bits >> 63) as usize];
                    bits <<= 1;
                    depth += 1;
                }
                depth
            };
            let deepest = all.iter().map(|&s| depth(s)).max();
            assert!(deepest < Some(30), "{deepest:?} steps for 4096 addresses, where 12 are the least");
            for s in all {
                assert_eq!(tree.pop((*s).addr), s);
                drop(Box::from_raw(s));
            }
        }
        assert!(tree.top.is_null());
    }

    /// Starts a waiter that notes its number, and returns when it is in the queue.
    fn waiter(
        word: &Arc<AtomicU32>,
        order: &Arc<StdMutex<Vec<u32>>>,
        n: u32,
        lifo: bool,
    ) -> thread::JoinHandle<()> {
        let before = waiting(word);
        let (w, order) = (Arc::clone(word), Arc::clone(order));
        let t = thread::spawn(move || {
            semacquire(&w, lifo, WaitReason::Semacquire);
            order.lock().unwrap().push(n);
        });
        while waiting(word) == before {
            thread::yield_now();
        }
        t
    }

    #[test]
    fn handed_units_go_to_the_waiters_in_order_and_lifo_goes_first() {
        for _ in 0..50 {
            let word = Arc::new(AtomicU32::new(0));
            let order = Arc::default();
            let threads: Vec<_> = (1..=6).map(|n| waiter(&word, &order, n, n > 4)).collect();
            for served in 1..=6 {
                semrelease(&word, true);
                // The unit never was in the word: a passer-by gets nothing.
                assert!(!try_take(&word));
                while order.lock().unwrap().len() < served {
                    thread::yield_now();
                }
            }
            for t in threads {
                t.join().unwrap();
            }
            assert_eq!(*order.lock().unwrap(), [6, 5, 1, 2, 3, 4]);
            assert_eq!(word.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_passer_by_may_take_the_unit_of_a_plain_release_and_the_waiter_waits_on() {
        let word = Arc::new(AtomicU32::new(0));
        let order = Arc::default();
        let mut stolen = 0;
        for _ in 0..200 {
            let t = waiter(&word, &order, 0, false);
            semrelease(&word, false);
            while try_take(&word) {
                // Give it back: the waiter has gone, or goes, back to sleep, and must be woken again.
                stolen += 1;
                semrelease(&word, false);
            }
            t.join().unwrap();
        }
        assert_eq!(order.lock().unwrap().len(), 200);
        assert!(stolen > 0, "the waking thread was never overtaken in 200 rounds");
    }

    #[test]
    fn words_of_one_root_do_not_wake_each_others_waiters() {
        // An array longer than a root's stride: two words of it meet in one root.
        let words: Arc<Vec<AtomicU32>> = Arc::new((0..4 * ROOTS).map(|_| AtomicU32::new(0)).collect());
        let (a, b) = (0, 2 * ROOTS);
        assert!(std::ptr::eq(Root::of(&words[a]), Root::of(&words[b])));
        let threads = [a, b].map(|i| {
            let words = Arc::clone(&words);
            thread::spawn(move || semacquire(&words[i], false, WaitReason::Semacquire))
        });
        while waiting(&words[a]) + waiting(&words[b]) < 2 {
            thread::yield_now();
        }
        semrelease(&words[b], true);
        assert_eq!((waiting(&words[a]), waiting(&words[b])), (1, 0));
        semrelease(&words[a], true);
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}
