//! What a goroutine is doing, for people: its header and its stack (Go: runtime/traceback.go).
//!
//! ```text
//!   goroutine 18 "conn 10.0.0.7" [chan receive, 3 minutes]:     id, name, wait reason, for how long (from a minute on)
//!   server::handle                                              its frames, innermost first, from the saved registers
//!           src/server.rs:41
//!   created by goroutine 1 at src/main.rs:12:9                  where `go` was called
//! ```
//! A stack is unwound where it lies, by the unwind tables that every Rust program carries (framehop reads them): the
//! goroutine is not run for it, and nothing is read outside its stack. Where there are no tables there are no frames.
//! Frames inside the scheduler and the channels, and of the way from the goroutine's start to its function, are left out, unless
//! `GOTRACEBACK=system` asks for them.
//!
//! **In two steps**, because the second allocates: `pcs` unwinds, in fixed memory, so that a signal handler can do it;
//! `Symbols` finds names and lines. `init` prepares the first, at start.

use crate::clock;
use crate::g::{G, Gstatus};
use crate::stack;
use crate::sys::Regs;
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The most frames that are shown of one stack, half of them from each end.
pub(crate) const MAX_FRAMES: usize = 100;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod unwinder {
    use super::*;
    use crate::sys::modules::modules;
    use framehop::{
        CacheNative, ExplicitModuleSectionInfo, Module, MustNotAllocateDuringUnwind, UnwindRegsNative,
        Unwinder as _, UnwinderNative,
    };
    use parking_lot::Mutex;
    use std::sync::OnceLock;

    struct Tables {
        unwinder: UnwinderNative<&'static [u8], MustNotAllocateDuringUnwind>,
        cache: Mutex<CacheNative<MustNotAllocateDuringUnwind>>,
    }

    static TABLES: OnceLock<Tables> = OnceLock::new();

    /// Notes what is loaded now. A library that is loaded later has no frames.
    pub(crate) fn init() {
        TABLES.get_or_init(|| {
            let mut unwinder = UnwinderNative::new();
            for m in modules() {
                let range = |s: &'static [u8]| {
                    let start = (s.as_ptr().addr() - m.bias) as u64;
                    start..start + s.len() as u64
                };
                let text = m.text.start as u64..m.text.end as u64;
                let sections = ExplicitModuleSectionInfo {
                    text_svma: Some(text.start - m.bias as u64..text.end - m.bias as u64),
                    eh_frame_svma: Some(range(m.eh_frame)),
                    eh_frame: Some(m.eh_frame),
                    eh_frame_hdr_svma: Some(range(m.eh_frame_hdr)),
                    eh_frame_hdr: Some(m.eh_frame_hdr),
                    ..Default::default()
                };
                unwinder.add_module(Module::new(String::new(), text, m.bias as u64, sections));
            }
            Tables { unwinder, cache: Mutex::new(CacheNative::new_in()) }
        });
    }

    #[cfg(target_arch = "x86_64")]
    fn native(r: Regs) -> UnwindRegsNative {
        UnwindRegsNative::new(r.pc as u64, r.sp as u64, r.fp as u64)
    }
    #[cfg(target_arch = "aarch64")]
    fn native(r: Regs) -> UnwindRegsNative {
        // The link register counts in a leaf only, and a goroutine that waits is not in one.
        UnwindRegsNative::new(0, r.sp as u64, r.fp as u64)
    }

    /// See [`super::pcs`].
    ///
    /// # Safety
    /// As for that.
    pub(super) unsafe fn each_pc(regs: Regs, wait: bool, mut f: impl FnMut(usize)) {
        let (Some(tables), Some(stack)) = (TABLES.get(), stack::usable(regs.sp)) else { return };
        let cache = if wait { Some(tables.cache.lock()) } else { tables.cache.try_lock() };
        let Some(mut cache) = cache else { return };
        let mut read = |addr: u64| {
            let addr = addr as usize;
            let inside = addr >= stack.start && addr < stack.end && addr.is_multiple_of(8);
            // SAFETY: an aligned word of a goroutine's stack, which stays mapped and, by the caller's promise, at rest. Any
            // bits are a valid u64.
            inside.then(|| unsafe { (addr as *const u64).read_volatile() }).ok_or(())
        };
        let mut frames = tables.unwinder.iter_frames(regs.pc as u64, native(regs), &mut cache, &mut read);
        while let Ok(Some(frame)) = frames.next() {
            f(frame.address_for_lookup() as usize);
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod unwinder {
    use super::*;

    pub(crate) fn init() {}

    pub(super) unsafe fn each_pc(_: Regs, _: bool, _: impl FnMut(usize)) {}
}

pub(crate) use unwinder::init;

/// The places that a stack's frames are at, innermost first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pcs {
    first: [usize; MAX_FRAMES / 2],
    /// A ring: the last ones.
    last: [usize; MAX_FRAMES / 2],
    /// How many there are.
    len: usize,
}

impl Default for Pcs {
    fn default() -> Pcs {
        Pcs { first: [0; MAX_FRAMES / 2], last: [0; MAX_FRAMES / 2], len: 0 }
    }
}

impl Pcs {
    fn push(&mut self, pc: usize) {
        const HALF: usize = MAX_FRAMES / 2;
        match self.first.get_mut(self.len) {
            Some(slot) => *slot = pc,
            None => self.last[(self.len - HALF) % HALF] = pc,
        }
        self.len += 1;
    }

    /// How many in the middle are not known any more.
    pub(crate) fn elided(&self) -> usize {
        self.len.saturating_sub(MAX_FRAMES)
    }

    /// The innermost ones, and the outermost ones.
    pub(crate) fn ends(&self) -> (&[usize], impl Iterator<Item = usize>) {
        const HALF: usize = MAX_FRAMES / 2;
        let n = self.len.saturating_sub(HALF).min(HALF);
        let start = self.len.saturating_sub(n).saturating_sub(HALF);
        (&self.first[..self.len.min(HALF)], (start..start + n).map(|i| self.last[i % HALF]))
    }
}

/// Unwinds a goroutine's stack; empty where it cannot be done. Waits for nothing but other unwindings.
///
/// # Safety
/// The code with these registers does not run meanwhile: its goroutine waits or is runnable and is not resumed, or it is
/// interrupted by the signal that the caller handles.
pub(crate) unsafe fn pcs(regs: Regs) -> Pcs {
    let mut out = Pcs::default();
    // SAFETY: handed on.
    unsafe { unwinder::each_pc(regs, true, |pc| out.push(pc)) };
    out
}

/// As `pcs`, for a signal handler, which may have interrupted an unwinding: allocates nothing and waits for nothing.
///
/// # Safety
/// As for `pcs`.
pub(crate) unsafe fn pcs_in_handler(regs: Regs) -> Pcs {
    let mut out = Pcs::default();
    // SAFETY: handed on.
    unsafe { unwinder::each_pc(regs, false, |pc| out.push(pc)) };
    out
}

/// Names and lines of frames, each found once.
pub(crate) struct Symbols {
    /// All frames, `GOTRACEBACK=system`.
    all: bool,
    known: HashMap<usize, Vec<String>>,
}

/// Whether a frame lies between the scheduler and the goroutine's own function, or on the way into a park. Told by its
/// file, because an inlined function has no path to its name where there are line tables only; where there is no file
/// either, by its name.
fn is_ours(name: &str, file: Option<&str>) -> bool {
    let Some(file) = file else {
        return ["gosched_runtime::", "corosensei::", "stack_init_trampoline", "__rust_try", "std::panic"]
            .iter()
            .any(|h| name.starts_with(h));
    };
    const STD: &[&str] = &[
        "library/core/src/ops/function.rs",
        "library/core/src/panic/unwind_safe.rs",
        "library/std/src/panic.rs",
        "library/std/src/panicking.rs",
        "library/std/src/sys/backtrace.rs",
        "library/alloc/src/boxed.rs",
    ];
    const RUNTIME: &[&str] = &[
        "boot",
        "coro",
        "g",
        "newproc",
        "note",
        "park",
        "scope",
        "sema",
        "sleep",
        "sync/queue",
        "syscall",
        "world",
        "sys/regs",
        "sys/futex_linux",
        "sys/futex_portable",
        "wake",
    ];
    const CHAN: &[&str] = &["hchan", "send", "recv", "scase", "select", "sudog"];
    const NET: &[&str] = &["parkword", "polldesc", "fdmutex"];
    if file.contains("/corosensei-") || name == "stack_init_trampoline" {
        return true;
    }
    if file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/") {
        return STD.iter().any(|f| file.ends_with(f));
    }
    match of_project(file) {
        Some(("runtime", module)) => RUNTIME.contains(&module),
        Some(("chan", module)) => CHAN.contains(&module),
        Some(("net", module)) => NET.contains(&module),
        Some(("testing", module)) => module == "explore",
        _ => false,
    }
}

/// The crate of this project that a source file is of, and its module. This crate is `…/runtime/src/` in its workspace,
/// `…/gosched-runtime-1.2.3/src/` elsewhere; its siblings stand beside it.
fn of_project(file: &str) -> Option<(&'static str, &str)> {
    let (dir, rest) = file.rsplit_once("/src/")?;
    let here = file!().rsplit_once("/src/").map_or("", |(dir, _)| dir);
    let is = |name: &&str| match here.strip_suffix("runtime") {
        Some(workspace) => dir.ends_with(&format!("{workspace}{name}")),
        None => dir.rsplit('/').next().is_some_and(|d| d.starts_with(&format!("gosched-{name}-"))),
    };
    let name = ["runtime", "chan", "net", "os", "testing", "debug"].into_iter().find(is)?;
    Some((name, rest.trim_end_matches(".rs")))
}

impl Symbols {
    pub(crate) fn new() -> Symbols {
        let all = std::env::var("GOTRACEBACK").is_ok_and(|v| v == "system");
        Symbols { all, known: HashMap::new() }
    }

    /// With the frames that are left out for people.
    pub(crate) fn all() -> Symbols {
        Symbols { all: true, known: HashMap::new() }
    }

    /// Writes the frames at `pc`: one, or several where functions were inlined.
    pub(crate) fn write(&mut self, out: &mut dyn Write, pc: usize) -> fmt::Result {
        let all = self.all;
        let frames = self.known.entry(pc).or_insert_with(|| {
            let mut frames = Vec::new();
            backtrace::resolve(pc as *mut _, |s| {
                let name = s.name().map_or_else(|| format!("{pc:#x}"), |n| format!("{n:#}"));
                let file = s.filename().map(|f| f.to_string_lossy().into_owned());
                if !all && is_ours(&name, file.as_deref()) {
                    return;
                }
                let mut frame = name;
                if let Some(file) = file {
                    let _ = write!(frame, "\n\t{file}:{}", s.lineno().unwrap_or(0));
                }
                frames.push(frame);
            });
            frames
        });
        frames.iter().try_for_each(|f| writeln!(out, "{f}"))
    }

    /// The innermost frame that is not of this project or of std: `file:line (function)`.
    pub(crate) fn user_frame(&mut self, pcs: &Pcs) -> Option<String> {
        let (first, last) = pcs.ends();
        first.iter().copied().chain(last).find_map(|pc| {
            let mut text = String::new();
            self.write(&mut text, pc).ok()?;
            let mut frames = text.lines().peekable();
            while let Some(name) = frames.next() {
                let place = frames.next_if(|line| line.starts_with('\t'))?.trim_start();
                let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
                let of_std = file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/");
                if !of_std && of_project(file).is_none() {
                    return Some(format!("{place} ({name})"));
                }
            }
            None
        })
    }

    /// Writes a whole stack.
    pub(crate) fn write_stack(&mut self, out: &mut dyn Write, pcs: &Pcs) -> fmt::Result {
        let (first, last) = pcs.ends();
        first.iter().try_for_each(|&pc| self.write(out, pc))?;
        if pcs.elided() > 0 {
            writeln!(out, "...{} frames elided...", pcs.elided())?;
        }
        last.into_iter().try_for_each(|pc| self.write(out, pc))
    }
}

pub(crate) fn header(out: &mut dyn Write, goid: u64, name: Option<&str>, doing: &str) -> fmt::Result {
    write!(out, "goroutine {goid}")?;
    if let Some(name) = name {
        write!(out, " \"{name}\"")?;
    }
    writeln!(out, " [{doing}]:")
}

pub(crate) fn creator(
    out: &mut dyn Write,
    site: Option<&std::panic::Location<'_>>,
    parent: Option<u64>,
) -> fmt::Result {
    let Some(site) = site else { return Ok(()) };
    out.write_str("created ")?;
    if let Some(parent) = parent {
        write!(out, "by goroutine {parent} ")?;
    }
    writeln!(out, "at {}:{}:{}", site.file(), site.line(), site.column())
}

/// Writes `goroutine 18 "name" [running]:`.
///
/// # Safety
/// The goroutine is the caller, or interrupted by it.
pub(crate) unsafe fn write_header(out: &mut dyn Write, g: &'static G) -> fmt::Result {
    // SAFETY: as promised.
    header(out, g.goid(), unsafe { g.name() }, "running")
}

/// Writes where the goroutine was started, and by whom.
pub(crate) fn write_creator(out: &mut dyn Write, g: &'static G) -> fmt::Result {
    creator(out, g.site(), g.parent())
}

/// What a goroutine is doing: `chan receive, 3 minutes`.
struct Doing(&'static G);

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = self.0;
        match g.status() {
            Gstatus::Waiting => write!(f, "{}", g.reason())?,
            Gstatus::Runnable => return f.write_str("runnable"),
            Gstatus::Running => return f.write_str("running"),
            Gstatus::Dead => return f.write_str("dead"),
        }
        match clock::coarse().saturating_sub(g.since()) / 60 {
            0 => Ok(()),
            minutes => write!(f, ", {minutes} minutes"),
        }
    }
}

/// All goroutines that are to be shown, those that do the same in the same place together.
#[derive(Default)]
pub(crate) struct Dump {
    groups: Vec<Group>,
    known: HashMap<Key, usize>,
}

/// What makes goroutines alike. Their names and who started them do not.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    doing: String,
    pcs: Pcs,
    site: Option<&'static std::panic::Location<'static>>,
}

struct Group {
    key: Key,
    /// All of them, as they were found.
    members: Vec<Member>,
}

struct Member {
    goid: u64,
    name: Option<Box<str>>,
    parent: Option<u64>,
}

/// From this many on they are shown once, with the ids of all.
const ALIKE: usize = 1000;

impl Dump {
    /// Takes a goroutine in, with its stack where that is at rest.
    ///
    /// # Safety
    /// The goroutine is alive and stays so for this call; where `at_rest`, nobody runs it meanwhile.
    pub(crate) unsafe fn add(&mut self, g: &'static G, at_rest: bool) {
        // SAFETY: handed on.
        let (pcs, name) = unsafe { (pcs(if at_rest { g.regs() } else { Regs::NONE }), g.name()) };
        let member = Member { goid: g.goid(), name: name.map(Into::into), parent: g.parent() };
        let key = Key { doing: Doing(g).to_string(), pcs, site: g.site() };
        let i = *self.known.entry(key.clone()).or_insert_with(|| {
            self.groups.push(Group { key, members: Vec::new() });
            self.groups.len() - 1
        });
        self.groups[i].members.push(member);
    }

    /// Writes them all, in the order in which they were taken in, but that those alike stand together.
    pub(crate) fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let mut symbols = Symbols::new();
        for Group { key, members } in &self.groups {
            let shown = if members.len() < ALIKE { members.len() } else { 1 };
            for m in &members[..shown] {
                out.write_char('\n')?;
                header(out, m.goid, m.name.as_deref(), &key.doing)?;
                symbols.write_stack(out, &key.pcs)?;
                creator(out, key.site, m.parent)?;
            }
            if shown < members.len() {
                writeln!(
                    out,
                    "{} more goroutines are at the same place: {}",
                    members.len() - shown,
                    Ids(&members[shown..])
                )?;
            }
        }
        Ok(())
    }
}

/// Ids, those that follow each other as a range: `7, 9-1007`.
struct Ids<'a>(&'a [Member]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids: Vec<u64> = self.0.iter().map(|m| m.goid).collect();
        ids.sort_unstable();
        for (i, run) in ids.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match run {
                [one] => write!(f, "{comma}{one}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_ends_of_a_long_stack_are_kept() {
        // SAFETY: no stack.
        let mut p = unsafe { pcs(Regs::NONE) };
        assert_eq!((p.ends().0.len(), p.ends().1.count(), p.elided()), (0, 0, 0));
        (0..70).for_each(|pc| p.push(pc));
        assert_eq!(p.ends().0, (0..50).collect::<Vec<_>>());
        assert_eq!((p.ends().1.collect::<Vec<_>>(), p.elided()), ((50..70).collect(), 0));
        (70..1234).for_each(|pc| p.push(pc));
        assert_eq!(p.ends().0, (0..50).collect::<Vec<_>>());
        assert_eq!((p.ends().1.collect::<Vec<_>>(), p.elided()), ((1184..1234).collect(), 1134));
    }
}
