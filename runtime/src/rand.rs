//! The one source of chance (Go: runtime/rand.go, `cheaprand`).
//!
//! Every choice that the scheduler, `select` or a lock makes by lot draws from here, so that one seed fixes them all
//! (`GODEBUG=seed=N`). Each thread has its own stream: the n-th thread that asks is seeded from the seed and n. Not for
//! secrets.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

static SEED: AtomicU64 = AtomicU64::new(0);
static STREAMS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// splitmix64: spreads neighbouring seeds over the whole range.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Fixes the seed of all streams that start from now on.
pub(crate) fn seed(s: u64) {
    // Relaxed: a number, nothing hangs on it.
    SEED.store(s.max(1), Ordering::Relaxed);
}

#[cold]
fn start() -> u64 {
    let mut s = SEED.load(Ordering::Relaxed);
    if s == 0 {
        use std::hash::{BuildHasher, Hasher};
        s = std::collections::hash_map::RandomState::new().build_hasher().finish() | 1;
        // The first one sets it for all.
        s = SEED.compare_exchange(0, s, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|old| old, |_| s);
    }
    mix(s ^ mix(STREAMS.fetch_add(1, Ordering::Relaxed))) | 1
}

/// A random number. Its stream is the thread's. Never parks.
///
/// ```
/// let drawn: Vec<u32> = (0..8).map(|_| gosched_runtime::cheaprand()).collect();
/// assert!(drawn.iter().any(|n| *n != drawn[0]));
/// ```
#[inline]
pub fn cheaprand() -> u32 {
    (cheaprand64() >> 32) as u32
}

#[inline(never)] // reaches a thread-local, and a goroutine may change threads between two calls
fn cheaprand64() -> u64 {
    STATE.with(|state| {
        let mut x = state.get();
        if x == 0 {
            x = start();
        }
        // xorshift64*
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

/// A random number below `n`; 0 for 0. (hook.rs has the one for everybody.)
#[inline]
pub(crate) fn below(n: u32) -> u32 {
    ((u64::from(cheaprand()) * u64::from(n)) >> 32) as u32
}

/// How many [`shuffle`] takes: one draw has 64 bits, the orders of 16 are less than 2^45.
pub(crate) const AT_ONCE: usize = 16;

/// Puts up to [`AT_ONCE`] items into a random order with one draw: what a choice leaves of it, its fraction, is the draw
/// for the next. (Fisher and Yates; the draw used up like digits: Brackett-Rozinsky and Lemire, "Batched ranged random
/// integer generation", 2024, without their rejections.)
pub(crate) fn shuffle(items: &mut [u32]) {
    debug_assert!(items.len() <= AT_ONCE);
    if items.len() < 2 {
        return;
    }
    let mut fraction = cheaprand64();
    for i in 1..items.len() {
        let n = u128::from(fraction) * (i as u128 + 1);
        fraction = n as u64;
        items.swap(i, (n >> 64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_come_about_equally_often() {
        let mut seen = std::collections::HashMap::new();
        for _ in 0..120_000 {
            let mut order = [0, 1, 2, 3, 4];
            shuffle(&mut order);
            *seen.entry(order).or_insert(0u32) += 1;
        }
        assert_eq!(seen.len(), 120);
        assert!(seen.values().all(|c| (750..1_250).contains(c)), "{seen:?}");
        // And where each of sixteen comes to lie.
        let mut seen = [[0u32; 16]; 16];
        for _ in 0..160_000 {
            let mut order: [u32; 16] = std::array::from_fn(|i| i as u32);
            shuffle(&mut order);
            for (at, who) in order.into_iter().enumerate() {
                seen[at][who as usize] += 1;
            }
        }
        assert!(seen.iter().flatten().all(|c| (9_200..10_800).contains(c)), "{seen:?}");
    }

    #[test]
    fn all_values_below_n_come_about_equally_often() {
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&c| (9_000..11_000).contains(&c)), "{seen:?}");
        assert_eq!(below(0), 0);
        assert_eq!(below(1), 0);
    }
}
