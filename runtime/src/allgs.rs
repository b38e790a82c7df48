//! Where Gs live (Go: runtime/proc.go, `allgs`, `malg`).
//!
//! ```text
//!   one reservation, cut into chunks of 64 Gs (16 KiB)
//!
//!   ┌──────── chunk 0 ────────┐┌──────── chunk 1 ────────┐┌──── chunk 2 ─ ─ ─
//!   │ G G G G G … G           ││ (no memory)             ││ G G │ not yet
//!   └─────────────────────────┘└─────────────────────────┘└─────┴─ ─ ─ ─ ─ ─
//!     made: 64                    made: 0, in `empty`        made: 2, `current`
//! ```
//! A G is made once and then recycled through the free lists (the P's, the scheduler's). What is left over after a burst
//! goes back to the kernel: `give_back` gets Gs that are dead and in no list any more, finds the chunks that are all among
//! them, drops the memory of those, and returns the others.
//!
//! **Why not malloc and free.** A stale pointer to a G's head must find a head, however late (waiter.rs). Here the address
//! stays mapped and reads as zero until another G is made there. It also costs a third less than malloc for 256 bytes
//! aligned to 64, and all Gs can be listed without a list.
//!
//! **Ownership.** A G that `malg` made belongs to its caller. The lock guards the bookkeeping, not the Gs.

use crate::g::G;
use crate::glist::GQueue;
use crate::sys::faults::Point;
use crate::sys::mem;
use parking_lot::Mutex;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Gs in a chunk.
const CHUNK: usize = 64;
/// Bytes of a chunk.
pub(crate) const CHUNK_BYTES: usize = CHUNK * size_of::<G>();
/// Chunks that become usable at a time: a mebibyte.
const COMMIT: usize = 64;
/// Gs that there can be for each stack that there can be: goroutines that have not run yet need none.
const PER_STACK: usize = 4;

#[derive(Clone, Copy, Default)]
struct Chunk {
    /// Gs made in it, from its start.
    made: u8,
    /// Counted by `give_back`, zero otherwise.
    dead: u8,
}

struct Allgs {
    base: usize,
    /// Chunks in the reservation, and how many of them are usable.
    max: usize,
    committed: usize,
    /// Every chunk ever used.
    chunks: Vec<Chunk>,
    /// Those whose memory went back.
    empty: Vec<u32>,
    /// The one in which Gs are being made.
    current: Option<u32>,
}

static ALLGS: Mutex<Allgs> =
    Mutex::new(Allgs { base: 0, max: 0, committed: 0, chunks: Vec::new(), empty: Vec::new(), current: None });

/// The same once more, for debuggers (debugger.rs): where the chunks begin, and how many were ever used.
#[repr(C)]
pub(crate) struct InUse {
    base: AtomicUsize,
    chunks: AtomicUsize,
}

pub(crate) static IN_USE: InUse = InUse { base: AtomicUsize::new(0), chunks: AtomicUsize::new(0) };

/// Reserves the address space, once, for as many goroutines as `stacks` stacks call for.
///
/// # Panics
/// Where the process has no address space left even for a few.
pub(crate) fn init(stacks: usize) {
    let mut max = (stacks * PER_STACK).div_ceil(CHUNK);
    let all = &mut *ALLGS.lock();
    all.base = loop {
        match mem::reserve(max * CHUNK_BYTES) {
            Ok(base) => break base,
            Err(_) if max > COMMIT => max /= 2,
            Err(e) => panic!("gosched: no address space for goroutines: {e}"),
        }
    };
    all.max = max;
    IN_USE.base.store(all.base, Ordering::Relaxed);
}

impl Allgs {
    fn addr(&self, chunk: usize) -> usize {
        self.base + chunk * CHUNK_BYTES
    }

    fn chunk_of(&self, g: NonNull<G>) -> usize {
        (g.addr().get() - self.base) / CHUNK_BYTES
    }

    /// A place for a new G, in the chunk at hand or another.
    fn place(&mut self) -> NonNull<G> {
        let chunk = match self.current.filter(|&c| usize::from(self.chunks[c as usize].made) < CHUNK) {
            Some(c) => c as usize,
            None => self.next_chunk(),
        };
        let made = &mut self.chunks[chunk].made;
        let at = usize::from(*made) * size_of::<G>();
        *made += 1;
        NonNull::new((self.addr(chunk) + at) as *mut G).expect("a mapping is not at address 0")
    }

    fn next_chunk(&mut self) -> usize {
        let chunk = self.empty.pop().map_or(self.chunks.len(), |c| c as usize);
        if chunk == self.chunks.len() {
            if chunk == self.committed {
                self.commit();
            }
            self.chunks.push(Chunk::default());
            IN_USE.chunks.store(self.chunks.len(), Ordering::Relaxed);
        }
        self.current = Some(chunk as u32);
        chunk
    }

    #[cold]
    fn commit(&mut self) {
        let n = COMMIT.min(self.max - self.committed);
        let got = match n {
            0 => Err(std::io::Error::other("no address space for more")),
            // SAFETY: the next part of the reservation, whole pages.
            n => unsafe { mem::commit(Point::Goroutines, self.addr(self.committed), n * CHUNK_BYTES) },
        };
        if let Err(e) = got {
            let n = self.chunks.len() * CHUNK;
            crate::fatal::fatal_with(
                format_args!("runtime: cannot allocate a goroutine: {n} exist: {e}"),
                "out of memory",
            );
        }
        self.committed += n;
    }
}

/// Makes `n` Gs. They are the caller's.
pub(crate) fn malg(n: usize) -> GQueue<G> {
    let mut out = GQueue::new();
    let mut all = ALLGS.lock();
    for _ in 0..n {
        let place = all.place();
        // SAFETY: usable memory, aligned (chunks begin at pages), and no G is there: `place` gives each place once until its
        // chunk is emptied.
        unsafe { place.write(G::new()) };
        out.push_back(place);
    }
    out
}

/// Calls `f` with every G, dead ones included. No other can be made or given back meanwhile.
pub(crate) fn for_each(mut f: impl FnMut(&'static G)) {
    let all = ALLGS.lock();
    for (i, chunk) in all.chunks.iter().enumerate() {
        let first = all.addr(i) as *mut G;
        // SAFETY: `made` Gs stand there, and stay while we have the lock.
        (0..usize::from(chunk.made)).for_each(|k| f(unsafe { &*first.add(k) }));
    }
}

/// Gives the memory of dead Gs back, by whole chunks. The caller owns those in `list`; he gets the ones that share a
/// chunk with others back.
pub(crate) fn give_back(mut list: GQueue<G>) -> GQueue<G> {
    /// Gs per hold of the lock: below 0.1 ms, most of it cache misses.
    const BATCH: usize = 512;
    let mut counted = GQueue::new();
    while !list.is_empty() {
        let mut all = ALLGS.lock();
        for _ in 0..BATCH {
            let Some(g) = list.pop_front() else { break };
            let chunk = all.chunk_of(g);
            all.chunks[chunk].dead += 1;
            counted.push_back(g);
        }
    }
    let mut kept = GQueue::new();
    let mut whole = Vec::new();
    while !counted.is_empty() {
        let mut all = ALLGS.lock();
        for _ in 0..BATCH {
            let Some(g) = counted.pop_front() else { break };
            let chunk = all.chunk_of(g);
            let all = &mut *all;
            let c = &mut all.chunks[chunk];
            if usize::from(c.dead) == CHUNK {
                // All 64 are in our hands: nobody uses one there, and from now on nobody makes one. Noted at the first of
                // them.
                c.made = 0;
                whole.push(chunk as u32);
                all.current = all.current.filter(|&c| c as usize != chunk);
            }
            if c.made == 0 {
                // Counted down, so that it is zero again at the last.
                c.dead -= 1;
                // SAFETY: ours, and never used again.
                unsafe { g.drop_in_place() };
                continue;
            }
            c.dead = 0;
            kept.push_back(g);
        }
    }
    whole.sort_unstable();
    for run in whole.chunk_by(|a, b| a + 1 == *b) {
        let mut all = ALLGS.lock();
        let len = run.len() * CHUNK_BYTES;
        // SAFETY: chunks without a G; committed, whole pages.
        unsafe { mem::discard(all.addr(run[0] as usize), len) };
        all.empty.extend(run.iter().rev());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_chunks_go_back_and_are_used_again() {
        crate::stack::tests::setup();
        // A partly used chunk of another test stays out of it.
        let mut gs = malg(CHUNK * 40);
        let mut alive = GQueue::new();
        // One of about every fourth chunk stays.
        let mut list = GQueue::new();
        for i in 0..CHUNK * 40 {
            let g = gs.pop_front().unwrap();
            if i % (4 * CHUNK) == 7 { alive.push_back(g) } else { list.push_back(g) }
        }
        let before = list.len();
        let kept = give_back(list);
        let gone = before - kept.len();
        assert!(gone >= CHUNK * 28 && gone.is_multiple_of(CHUNK), "{gone} of {before}");
        let mut seen = 0;
        for_each(|g| {
            assert_eq!(g.status(), crate::g::Gstatus::Dead);
            seen += 1;
        });
        assert!(seen >= alive.len() + kept.len());
        // What was kept can be given back once the others are dead, too.
        let mut rest = kept;
        rest.append(&mut alive);
        let rest = give_back(rest);
        assert!(rest.len() < 2 * CHUNK, "{}", rest.len());
        // And the same places come again.
        let used = ALLGS.lock().chunks.len();
        let again = malg(CHUNK * 38);
        assert!(ALLGS.lock().chunks.len() <= used + 2);
        give_back(again);
    }

    #[test]
    fn a_stale_ticket_does_not_fit_a_later_g_at_the_same_place() {
        crate::stack::tests::setup();
        let mut gs = malg(3 * CHUNK);
        let places: Vec<NonNull<G>> = std::iter::from_fn(|| gs.pop_front()).collect();
        let tickets: Vec<_> = places.iter().map(|&p| G::of(p).waiter().open_ticket()).collect();
        let old: Vec<_> = places.iter().map(|&p| G::of(p).waiter()).collect();
        let mut list = GQueue::new();
        places.iter().for_each(|&p| list.push_back(p));
        let kept = give_back(list);
        assert!(kept.len() < 3 * CHUNK);
        let freed = |w: &crate::waiter::Waiter| w.claim(tickets[old.iter().position(|o| o == w).unwrap()]);
        let mut kept_ones = std::collections::HashSet::new();
        let mut k = kept;
        while let Some(g) = k.pop_front() {
            kept_ones.insert(g);
        }
        let gone = || old.iter().filter(|w| !kept_ones.contains(&w.0.cast()));
        assert!(gone().count() >= CHUNK);
        assert!(gone().all(|w| !freed(w)), "memory without a G");
        let mut again = malg(2 * CHUNK);
        while let Some(g) = again.pop_front() {
            G::of(g).waiter().open_ticket();
        }
        assert!(gone().all(|w| !freed(w)), "another G");
    }
}
