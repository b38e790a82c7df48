//! What a debugger reads: a map of the runtime's memory (gosched-gdb.py, which stands beside this crate's Cargo.toml).
//!
//! A program built with line tables only says nothing of types, and a debugger could not find a field in it. So the places of
//! the few fields that it needs are data, and the data has a name. Whoever changes a field changes the map with it, for the
//! compiler fills it in; whoever changes its shape changes `version`, and the script.
//!
//! ```text
//!   MAP ── allgs ──► G G G … │ G G …    all Gs, dead ones (status 0) and untouched memory (zeroes) included
//!       ── g ──────► offsets: goid, status, reason, where it left its stack
//!       ── slab ───► whose stack an address lies in
//! ```
//! The script is embedded in programs that have debug information, and gdb loads it by itself from where it is told to trust
//! them (`add-auto-load-safe-path`).

use crate::allgs::{CHUNK_BYTES, IN_USE, InUse};
use crate::g::{G, OffsetsOfG};
use crate::reason::WaitReason;
use crate::slab::{SLAB, Slab};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};

/// In the order in which the script reads it.
#[repr(C)]
struct Map {
    version: u32,
    g: OffsetsOfG,
    /// Of std's `Location`; found out at start, for std does not say.
    location_file: AtomicU32,
    location_line: AtomicU32,
    /// Bytes of a chunk of Gs.
    chunk: u32,
    allgs: &'static InUse,
    slab: &'static Slab,
    reasons: &'static [&'static str; WaitReason::COUNT],
    reason_count: usize,
}

#[used]
static MAP: Map = Map {
    version: 1,
    g: G::OFFSETS,
    location_file: AtomicU32::new(0),
    location_line: AtomicU32::new(0),
    chunk: CHUNK_BYTES as u32,
    allgs: &IN_USE,
    slab: &SLAB,
    reasons: &WaitReason::WORDS,
    reason_count: WaitReason::COUNT,
};

/// Fills in what std does not say. Once, at start.
pub(crate) fn init() {
    let here = Location::caller();
    let (file, line) = (here.file().as_ptr().addr(), here.line());
    let at = |offset: usize, len: usize| {
        let bytes = std::ptr::from_ref(here).cast::<u8>();
        // SAFETY: inside the Location (see the steps below), which has no padding: a reference to a str and two u32.
        (0..len).rev().fold(0, |n, i| n << 8 | unsafe { bytes.add(offset + i).read() } as usize)
    };
    let find = |step: usize, value: usize| {
        (0..size_of_val(here)).step_by(step).find(|&o| at(o, step) == value).unwrap_or(0) as u32
    };
    MAP.location_file.store(find(size_of::<usize>(), file), Ordering::Relaxed);
    MAP.location_line.store(find(size_of::<u32>(), line as usize), Ordering::Relaxed);
}
