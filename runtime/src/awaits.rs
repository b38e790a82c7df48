//! What a parked goroutine waits for: told by whoever parks it, asked by whoever looks for goroutines that nobody can
//! wake any more (leaks.rs).
//!
//! ```text
//!   waiter                                          looker, while nothing at rest is resumed (freeze.rs)
//!   Awaits{ each, of } on its own stack             finds the record by the head's word and the stack it lies on
//!   head.awaits = where that is                     each(of, …) names what can end the wait
//!   gopark … woken                                    a handle: whoever has one on that thing
//!   head.awaits = 0                                   a goroutine: its end
//! ```
//! It costs a waiter five stores and is read by nobody else. A wait without a record may be ended by anybody: that is what
//! is said of one with a deadline, and of primitives that know nothing of this.

use crate::waiter::Waiter;
use std::sync::atomic::Ordering;

/// Something that can end a wait.
///
/// ```
/// use gosched_runtime::park::Awaited;
/// assert!(matches!(Awaited::Goroutine(7), Awaited::Goroutine(_)));
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Awaited {
    /// Whoever has a handle on the thing at `what`. `handles` are counted at this moment, and the one by which the waiter
    /// waits lies at `place`.
    Handle {
        /// The thing, by its address.
        what: *const (),
        /// How many handles there are.
        handles: usize,
        /// Where the waiter's own lies.
        place: *const (),
    },
    /// The end of the goroutine of this id.
    Goroutine(u64),
    /// Anybody.
    Anybody,
}

/// Names what can end a wait, one after the other. Gets the record's word. It runs on another stack while the waiter is
/// parked: it only reads, and neither parks nor panics.
///
/// ```
/// use gosched_runtime::park::{Awaited, EachAwaited};
/// // The end of goroutine 7, or of goroutine 8.
/// let each: EachAwaited = |_, f| [7, 8].into_iter().for_each(|id| f(Awaited::Goroutine(id)));
/// let mut n = 0;
/// // SAFETY: it does not look at its word.
/// unsafe { each(std::ptr::null(), &mut |_| n += 1) };
/// assert_eq!(n, 2);
/// ```
pub type EachAwaited = unsafe fn(*const (), &mut dyn FnMut(Awaited));

/// The record: what can end a wait. Where it names nothing, nothing can.
///
/// ```
/// use gosched_runtime::park::{Awaits, current};
/// let never = Awaits::new(|_, _| {}, std::ptr::null());
/// // SAFETY: the record lies on this stack until it is taken back.
/// unsafe { current().set_awaits(&never) };
/// // … a gopark that nobody ends …
/// current().awaits_nothing();
/// ```
pub struct Awaits {
    each: EachAwaited,
    of: *const (),
}

impl Awaits {
    /// A record of what `each` says of `of`.
    ///
    /// ```
    /// let _never = gosched_runtime::park::Awaits::new(|_, _| {}, std::ptr::null());
    /// ```
    #[inline]
    pub fn new(each: EachAwaited, of: *const ()) -> Awaits {
        Awaits { each, of }
    }

    /// Calls `f` with all that can end the wait.
    ///
    /// # Safety
    /// The waiter is parked and stays so meanwhile.
    #[cfg(not(any(gosched_loom, gosched_shuttle)))]
    pub(crate) unsafe fn each(&self, f: &mut dyn FnMut(Awaited)) {
        // SAFETY: the caller's promise: what `of` points to is the parked waiter's.
        unsafe { (self.each)(self.of, f) }
    }
}

impl Waiter {
    /// Says what the wait that is about to begin can be ended by.
    ///
    /// # Safety
    /// Called by the waiter itself. The record, and what `each` reads, stay where they are, the record on the waiter's own
    /// stack, until [`awaits_nothing`](Self::awaits_nothing); and that is called as soon as the wait is over.
    ///
    /// ```
    /// use gosched_runtime::park::{Awaits, current};
    /// let never = Awaits::new(|_, _| {}, std::ptr::null());
    /// // SAFETY: the record lies on this stack until it is taken back.
    /// unsafe { current().set_awaits(&never) };
    /// current().awaits_nothing();
    /// ```
    #[inline]
    pub unsafe fn set_awaits(&self, awaits: &Awaits) {
        // Relaxed: whoever reads it has come after the park (freeze.rs). The low half of the address: a stack is smaller.
        self.head().awaits.store(std::ptr::from_ref(awaits).expose_provenance() as u32, Ordering::Relaxed);
    }

    /// The wait is over. By the waiter.
    ///
    /// ```
    /// gosched_runtime::park::current().awaits_nothing();
    /// ```
    #[inline]
    pub fn awaits_nothing(&self) {
        self.head().awaits.store(0, Ordering::Relaxed);
    }

    /// The record of a parked waiter whose stack, as far as it is in use, is `stack`.
    ///
    /// # Safety
    /// The waiter is a goroutine, parked, and stays so as long as the record is looked at.
    #[cfg(not(any(gosched_loom, gosched_shuttle)))]
    pub(crate) unsafe fn awaits(&self, stack: &std::ops::Range<usize>) -> Option<&Awaits> {
        let low = self.head().awaits.load(Ordering::Relaxed);
        if low == 0 {
            return None;
        }
        let at = stack.start + (low.wrapping_sub(stack.start as u32)) as usize;
        // SAFETY: set by the waiter before it parked, to a record on this stack, which is not shorter by now.
        (at < stack.end).then(|| unsafe { &*std::ptr::with_exposed_provenance::<Awaits>(at) })
    }
}
