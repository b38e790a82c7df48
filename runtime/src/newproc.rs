//! Starting goroutines, and what becomes of their results (Go: runtime/proc.go, `newproc`, `gfget`, `Goexit`).
//!
//! ```text
//!   go f ──► gfget: a dead G of this P, or of all, or a new one ──► init: f moved into it ──► runqput(runnext) ──► wakep
//!                                                                                  (no P here: the global queue)
//!   first run:  bind a stack ──► base: catch_unwind(f) ──► back into the runtime ──► goexit0
//! ```
//! A panic ends the goroutine, not the thread: it is caught at the base, after the panic hook has named the goroutine
//! (boot.rs). `goexit` is a panic too, one that no hook sees.

use crate::allgs::malg;
use crate::g::{Extra, G};
use crate::hook::{self, point};
use crate::idle::enter_with_p;
use crate::m;
use crate::p::P;
use crate::packet::Packet;
pub(crate) use crate::packet::discard;
use crate::park::{self, Awaited, Awaits};
use crate::sched::SCHED;
use crate::trace::point as trace;
use crate::wake::ready_on;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Goroutine ids that a P takes at a time.
const GOID_BATCH: u64 = 16;
/// Dead Gs that a P takes at a time.
const GFREE_BATCH: usize = 32;

/// The payload of `goexit`'s unwinding.
pub(crate) struct GoExit;

/// Starts a goroutine (Go: `go f()`): it runs concurrently, on a stack of its own, on any thread of the scheduler.
/// Nothing comes back from it; [`spawn`] gives a handle. The cheapest way to start one: no allocation where the closure
/// fits 64 bytes.
///
/// A panic in it ends it alone, after the panic hook has printed its id. The starter keeps running (never parks); the
/// new goroutine is the next to run on this P.
///
/// # Panics
/// On a plain thread, where no [`run`](crate::run) is in progress.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let wg = gosched_runtime::sync::WaitGroup::new();
/// wg.add(1);
/// let done = wg.clone();
/// gosched_runtime::go(move || done.done());
/// wg.wait();
/// # }) };
/// ```
#[track_caller]
#[inline]
pub fn go<F: FnOnce() + Send + 'static>(f: F) {
    // SAFETY: the closure borrows nothing.
    unsafe { newproc(f, None, Location::caller()) };
}

/// `go`, for a goroutine that is to be shown as started elsewhere.
pub(crate) fn go_at<F: FnOnce() + Send + 'static>(site: &'static Location<'static>, f: F) {
    // SAFETY: the closure borrows nothing.
    unsafe { newproc(f, None, site) };
}

/// Go's `go` statement: `go!({ block })` or `go!(move || expression)`. The block moves what it names. Never parks.
///
/// # Panics
/// As [`go`](fn@crate::go).
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let wg = gosched_runtime::sync::WaitGroup::new();
/// wg.add(2);
/// let (a, b) = (wg.clone(), wg.clone());
/// gosched_runtime::go!({ a.done() });
/// gosched_runtime::go!(move || b.done());
/// wg.wait();
/// # }) };
/// ```
#[macro_export]
macro_rules! go {
    ({ $($body:tt)* }) => {
        $crate::go(move || { $($body)* })
    };
    ($f:expr) => {
        $crate::go($f)
    };
}

/// The one way to start a goroutine. Gives its id.
///
/// # Safety
/// Everything `f` borrows outlives the goroutine.
#[inline]
unsafe fn newproc<F: FnOnce() + Send>(
    f: F,
    extra: Option<Box<Extra>>,
    site: &'static Location<'static>,
) -> u64 {
    point("go", ptr::null());
    match m::getg() {
        Some(me) => {
            let m = enter_with_p(me);
            // SAFETY: handed on; inside the runtime the M's P is ours.
            let goid = unsafe { newproc_on(m.p(), f, extra, site, me.goid()) };
            m::leave(m);
            goid
        }
        None => {
            let p = m::current_m().and_then(m::M::p);
            assert_in_a_run();
            // SAFETY: handed on; on g0 the M's P is ours.
            unsafe { newproc_on(p, f, extra, site, 0) }
        }
    }
}

/// On a plain thread a goroutine may be started only while a `run` is in progress.
fn assert_in_a_run() {
    // Relaxed: whoever may call has synchronised with the `run` that allows it.
    assert!(
        m::getg().is_some()
            || m::current_m().is_some_and(|m| m.p().is_some())
            || SCHED.runs.load(Ordering::Relaxed) > 0,
        "gosched: go outside of a run: start the scheduler with gosched::run first"
    );
}

/// # Safety
/// As for `newproc`; the caller owns `p`.
#[inline]
pub(crate) unsafe fn newproc_on<F: FnOnce() + Send>(
    p: Option<&'static P>,
    f: F,
    extra: Option<Box<Extra>>,
    site: &'static Location<'static>,
    parent: u64,
) -> u64 {
    let (g, goid) = match p {
        // SAFETY: the caller owns it.
        Some(p) => unsafe {
            p.gcount_add(1);
            (gfget(p), next_goid(p))
        },
        None => {
            SCHED.gcount.fetch_add(1, Ordering::Relaxed);
            let free = SCHED.lock().gfget(1).pop_front();
            (G::of(free.or_else(|| malg(1).pop_front()).expect("one")), SCHED.goids(1))
        }
    };
    // SAFETY: a dead G that we took out of a free list.
    unsafe { g.init(goid, parent, site, extra, move || base(g, f)) };
    g.set_runnable();
    trace::go(g, goid);
    ready_on(p, g);
    goid
}

/// A dead G of this P.
///
/// # Safety
/// The caller owns `p`.
#[inline]
unsafe fn gfget(p: &'static P) -> &'static G {
    // SAFETY: as promised; the reference ends here.
    match unsafe { p.local() }.gfree.pop_front() {
        Some(g) => G::of(g),
        // SAFETY: as promised.
        None => unsafe { gfget_slow(p) },
    }
}

/// # Safety
/// As for `gfget`.
#[cold]
unsafe fn gfget_slow(p: &'static P) -> &'static G {
    let mut some = SCHED.lock().gfget(GFREE_BATCH);
    if some.is_empty() {
        some = malg(GFREE_BATCH);
    }
    let g = some.pop_front().expect("some");
    // SAFETY: as promised.
    unsafe { p.local() }.gfree.append(&mut some);
    G::of(g)
}

/// # Safety
/// The caller owns `p`.
#[inline]
unsafe fn next_goid(p: &'static P) -> u64 {
    // SAFETY: as promised; the reference ends with this function.
    let local = unsafe { p.local() };
    if local.goid_next == local.goid_end {
        local.goid_next = SCHED.goids(GOID_BATCH);
        local.goid_end = local.goid_next + GOID_BATCH;
    }
    local.goid_next += 1;
    local.goid_next - 1
}

/// The first and last frame of every goroutine.
fn base<F: FnOnce()>(g: &'static G, f: F) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        if !payload.is::<GoExit>() {
            hook::unseen(&*payload);
        }
        discard(payload);
    }
    // A destructor that panics has had its turn: the others follow.
    // SAFETY: on the goroutine.
    let locals = unsafe { g.locals() };
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| locals.drop_all())) {
        discard(payload);
    }
    // Back into the runtime; the switch to g0 follows.
    m::enter(g);
}

/// Ends the calling goroutine, running its destructors (Go: `runtime.Goexit`). No panic hook is called; a `join` on it
/// gives `Err`. Code that catches panics may catch it, as it would a panic. On the main goroutine, `run` panics in its
/// caller.
///
/// # Panics
/// On a plain thread: it has nothing to end there.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let h = gosched_runtime::spawn(|| {
///     if true {
///         gosched_runtime::goexit()
///     }
/// });
/// assert!(h.join().is_err());
/// # }) };
/// ```
pub fn goexit() -> ! {
    assert!(m::getg().is_some(), "goexit called outside of a goroutine");
    resume_unwind(Box::new(GoExit))
}

/// The number of a goroutine; its `Debug` shows it.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let h = gosched_runtime::spawn(|| gosched_runtime::goid());
/// let shown = format!("{:?}", h.id());
/// let goid = h.join().unwrap().unwrap();
/// assert_eq!(shown, format!("GoroutineId({goid})"));
/// # }) };
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoroutineId(u64);

impl fmt::Debug for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoroutineId({})", self.0)
    }
}

/// A handle on a goroutine, from [`spawn`]. Dropping it detaches: the goroutine runs on.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let handles: Vec<_> = (0..3).map(|n| gosched_runtime::spawn(move || n * n)).collect();
/// let squares: Vec<i32> = handles.into_iter().map(|h| h.join().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4]);
/// # }) };
/// ```
pub struct JoinHandle<T> {
    packet: Arc<Packet<T>>,
    id: GoroutineId,
}

impl<T> JoinHandle<T> {
    /// Waits for the goroutine's end (parks; a plain thread blocks) and gives its result.
    ///
    /// # Errors
    /// The panic's payload, where it panicked. After [`goexit`] it is an `Err` as well.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(gosched_runtime::spawn(|| 1).join().unwrap(), 1);
    /// let payload = gosched_runtime::spawn(|| panic!("oh")).join().unwrap_err();
    /// assert_eq!(payload.downcast_ref(), Some(&"oh"));
    /// # }) };
    /// ```
    pub fn join(self) -> std::thread::Result<T> {
        /// What a joiner waits for.
        unsafe fn end(of: *const (), f: &mut dyn FnMut(Awaited)) {
            // SAFETY: the id in the handle of the joiner, who is parked.
            f(Awaited::Goroutine(unsafe { *of.cast::<GoroutineId>() }.0));
        }
        point("join", ptr::null());
        if !self.packet.is_done() {
            let (me, awaits) = (park::current(), Awaits::new(end, (&raw const self.id).cast()));
            // SAFETY: record and id are on this stack until the wait is over.
            unsafe { me.set_awaits(&awaits) };
            self.packet.wait();
            me.awaits_nothing();
        }
        self.packet.take()
    }

    /// Whether it has ended. Never parks.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let h = gosched_runtime::spawn(|| 1);
    /// while !h.is_finished() {
    ///     gosched_runtime::yield_now();
    /// }
    /// assert_eq!(h.join().unwrap(), 1); // at once
    /// # }) };
    /// ```
    pub fn is_finished(&self) -> bool {
        point("ask whether finished", ptr::null());
        self.packet.is_done()
    }

    /// Its id. Never parks.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let (a, b) = (gosched_runtime::spawn(|| ()), gosched_runtime::spawn(|| ()));
    /// assert_ne!(a.id(), b.id());
    /// # }) };
    /// ```
    pub fn id(&self) -> GoroutineId {
        self.id
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Starts a goroutine and gives a handle to wait for its result: `std::thread::spawn` for goroutines. Never parks.
///
/// # Panics
/// On a plain thread, where no [`run`](crate::run) is in progress.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let h = gosched_runtime::spawn(|| 6 * 7);
/// assert_eq!(h.join().unwrap(), 42);
/// # }) };
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: it borrows nothing.
    unsafe { spawn_unchecked(f, None, Location::caller(), None, ()) }
}

/// `spawn` for borrowing closures. `end` is dropped as the goroutine's last step; `unseen_panic` is set where it panicked
/// and nobody joined it.
///
/// # Safety
/// Everything that `f` and its result borrow outlives the drop of `end`, and the handle.
pub(crate) unsafe fn spawn_unchecked<F, T, E>(
    f: F,
    extra: Option<Box<Extra>>,
    site: &'static Location<'static>,
    unseen_panic: Option<Arc<AtomicBool>>,
    end: E,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
    E: Send,
{
    let packet = Arc::new(Packet::new(unseen_panic));
    let theirs = packet.clone();
    let body = move || {
        let _end = end; // dropped last
        let theirs = theirs;
        let r = catch_unwind(AssertUnwindSafe(f));
        theirs.complete(r);
    };
    // SAFETY: handed on.
    let id = unsafe { newproc(body, extra, site) };
    JoinHandle { packet, id: GoroutineId(id) }
}

/// Properties of a goroutine to be started: `std::thread::Builder` for goroutines.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// let h = gosched_runtime::Builder::new().name("deep".into()).stack_size(1 << 20).spawn(|| 1).unwrap();
/// assert_eq!(h.join().unwrap(), 1);
/// # }) };
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: usize,
}

impl Builder {
    /// A goroutine without a name, on a stack of the standard size. Nothing here parks.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let h = gosched_runtime::Builder::new().spawn(|| 1).unwrap();
    /// assert_eq!(h.join().unwrap(), 1);
    /// # }) };
    /// ```
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Its name, shown in reports.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let worker = gosched_runtime::Builder::new().name("worker 1".into());
    /// let h = worker.spawn(gosched_runtime::debug::stacks).unwrap();
    /// assert!(h.join().unwrap().contains("worker 1"));
    /// # }) };
    /// ```
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// The size of its stack in bytes, rounded up to whole slots of the standard size. It costs address space at once,
    /// memory only as far as it is used.
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let deep = gosched_runtime::Builder::new().stack_size(8 << 20);
    /// let h = deep.spawn(|| std::hint::black_box([0u8; 1 << 20])[1]).unwrap();
    /// assert_eq!(h.join().unwrap(), 0);
    /// # }) };
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    /// Starts it. Never parks.
    ///
    /// # Errors
    /// `InvalidInput` where the stack asked for is larger than all that can be reserved, `OutOfMemory` where there is none
    /// left. ([`spawn`] and [`go`](fn@crate::go) end the process then: their goroutines get a stack when they first run.)
    ///
    /// # Panics
    /// As [`spawn`].
    ///
    /// ```
    /// # unsafe { gosched_runtime::run(|| {
    /// let h = gosched_runtime::Builder::new().name("sum".into()).spawn(|| 1 + 1).unwrap();
    /// assert_eq!(h.join().unwrap(), 2);
    /// assert!(gosched_runtime::Builder::new().stack_size(usize::MAX).spawn(|| ()).is_err());
    /// # }) };
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        assert_in_a_run();
        let stack = Some(crate::stack::stackalloc_sized(self.stack_size)?);
        let extra = Some(Box::new(Extra { name: self.name.map(String::into_boxed_str), stack }));
        // SAFETY: it borrows nothing.
        Ok(unsafe { spawn_unchecked(f, extra, Location::caller(), None, ()) })
    }
}

/// Lets the others run: the calling goroutine goes to the end of its P's queue, behind all that wait there (Go:
/// `runtime.Gosched`, which puts it at the end of the global one). Nothing has to wake it, but it counts as parking: it may
/// go on on another thread. On a plain thread it is `std::thread::yield_now`.
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// gosched_runtime::yield_now();
/// # }) };
/// ```
#[inline]
pub fn yield_now() {
    let Some(g) = m::getg() else { return std::thread::yield_now() };
    m::enter(g);
    if crate::syscall::pinned(g) {
        return crate::syscall::yield_on_thread_slow(g);
    }
    // SAFETY: on g's stack, inside the runtime, nothing tied to the thread held.
    unsafe { g.suspend(crate::g::Order::Yield) };
}

/// The id of the calling goroutine; `None` on a plain thread. Ids are never used twice. Never parks.
///
/// ```
/// assert_eq!(gosched_runtime::goid(), None);
/// # unsafe { gosched_runtime::run(|| {
/// assert!(gosched_runtime::goid().is_some());
/// # }) };
/// ```
pub fn goid() -> Option<u64> {
    m::getg().map(G::goid)
}

/// How many goroutines there are now: started and not ended. Counts while others start and end, so it may be off by
/// those. Never parks. O(GOMAXPROCS).
///
/// ```
/// # unsafe { gosched_runtime::run(|| {
/// assert!(gosched_runtime::num_goroutine() >= 1);
/// # }) };
/// ```
pub fn num_goroutine() -> usize {
    if let Some(n) = hook::count() {
        return n;
    }
    let local: i64 = SCHED.allp().iter().map(|p| p.gcount()).sum();
    usize::try_from(local + SCHED.gcount.load(Ordering::Relaxed)).unwrap_or(0)
}
