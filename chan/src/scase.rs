//! The cases of a select (Go: runtime/select.go, `scase`).
//!
//! `select!` makes one [`SendCase`] or [`RecvCase`] per case, in source order, on the caller's stack: it holds the
//! channel's borrow, and the value to be sent or the place for the one received. For `selectgo`, which knows no types,
//! each shows itself as a [`Scase`]:
//!
//! ```text
//!   RecvCase<T>{ channel, slot: T, fired, out: &mut Option<T> }  ◄── Scase{ channel, elem ──► slot, fired ──► fired }
//!   SendCase<T>{ channel, value: T, fired }                       ◄── Scase{ channel, elem ──► value, fired ──► fired }
//! ```
//!
//! `fired` says who owns the bytes behind `elem`: `No`: a sender's value is the case's, a receiver's slot is empty;
//! `Done`: the value has moved out of the sender's case, or into the receiver's; `Closed`: as `No`, and the channel was
//! found closed. It is set by `selectgo` and read by the case's own destructor and `__finish`, so that a case is right
//! whatever happens to it between its making and its end: a `?` in the next case's expression, a panic, a default.
//!
//! The types are public for the macro's sake only.

use crate::hchan::Hchan;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

/// What has become of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fired {
    No,
    Done,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dir {
    Send,
    Recv,
}

/// A case as `selectgo` sees it.
///
/// Invariants: `c` is null (nil channel) or alive for `'a`. `elem` is, for `'a`, a value (`Send`) or a place (`Recv`) of
/// the channel's type; null in a `Send` case whose value comes later. `fired` is writable for `'a`.
#[doc(hidden)]
pub struct Scase<'a> {
    pub(crate) c: *const Hchan,
    /// The handle's place, for as long (`Ref::place`).
    pub(crate) place: *const (),
    pub(crate) elem: *mut u8,
    pub(crate) dir: Dir,
    pub(crate) fired: *mut Fired,
    pub(crate) _a: PhantomData<&'a mut ()>,
}

impl Scase<'_> {
    /// The channel; None for nil.
    #[inline]
    pub(crate) fn hchan(&self) -> Option<&Hchan> {
        // SAFETY: the type's invariant.
        unsafe { self.c.as_ref() }
    }

    /// Says what has become of the case; which is a nil case from then on, so that it cannot fire twice.
    ///
    /// # Safety
    /// `f` is true of the bytes behind `elem`.
    #[inline]
    pub(crate) unsafe fn fire(&mut self, f: Fired) {
        self.c = ptr::null();
        // SAFETY: the type's invariant.
        unsafe { self.fired.write(f) };
    }
}

/// A case that sends.
#[doc(hidden)]
pub struct SendCase<'a, T> {
    c: Option<&'a Hchan>,
    place: *const (),
    /// Initialised unless fired is Done.
    value: ManuallyDrop<T>,
    fired: Fired,
}

impl<'a, T> SendCase<'a, T> {
    /// # Safety
    /// `c` is a channel of `T`, `place` the `Ref::place` of a handle on it, for `'a`.
    #[inline]
    pub(crate) unsafe fn new(c: Option<&'a Hchan>, place: *const (), value: T) -> Self {
        SendCase { c, place, value: ManuallyDrop::new(value), fired: Fired::No }
    }

    /// The case for `selectgo`. One that has fired is a nil case from then on.
    #[inline]
    pub fn __scase(&mut self) -> Scase<'_> {
        let c = if self.fired == Fired::No { self.c } else { None };
        Scase {
            c: c.map_or(ptr::null(), ptr::from_ref),
            place: self.place,
            elem: (&raw mut *self.value).cast(),
            dir: Dir::Send,
            fired: &raw mut self.fired,
            _a: PhantomData,
        }
    }

    /// After the select: panics where this case was chosen because its channel is closed.
    #[inline]
    #[track_caller]
    pub fn __finish(&mut self) {
        if self.fired == Fired::Closed {
            send_on_closed();
        }
    }
}

impl<T> Drop for SendCase<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.fired != Fired::Done {
            // SAFETY: not Done: the value is still ours.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

/// A case that receives.
#[doc(hidden)]
pub struct RecvCase<'a, T> {
    c: Option<&'a Hchan>,
    place: *const (),
    /// Initialised where fired is Done.
    slot: MaybeUninit<T>,
    fired: Fired,
    out: &'a mut Option<T>,
}

impl<'a, T> RecvCase<'a, T> {
    /// # Safety
    /// `c` is a channel of `T`, `place` the `Ref::place` of a handle on it, for `'a`.
    #[inline]
    pub(crate) unsafe fn new(c: Option<&'a Hchan>, place: *const (), out: &'a mut Option<T>) -> Self {
        RecvCase { c, place, slot: MaybeUninit::uninit(), fired: Fired::No, out }
    }

    /// The case for `selectgo`. One that has fired is a nil case from then on.
    #[inline]
    pub fn __scase(&mut self) -> Scase<'_> {
        let c = if self.fired == Fired::No { self.c } else { None };
        Scase {
            c: c.map_or(ptr::null(), ptr::from_ref),
            place: self.place,
            elem: self.slot.as_mut_ptr().cast(),
            dir: Dir::Recv,
            fired: &raw mut self.fired,
            _a: PhantomData,
        }
    }

    /// After the select: puts what was received where the arm finds it.
    #[inline]
    pub fn __finish(&mut self) {
        if self.fired == Fired::Done {
            self.fired = Fired::Closed;
            // SAFETY: Done: the slot is initialised; and it is not any more.
            *self.out = Some(unsafe { self.slot.assume_init_read() });
        }
    }
}

impl<T> Drop for RecvCase<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.__finish();
    }
}

/// Go's words.
#[cold]
#[track_caller]
pub(crate) fn send_on_closed() -> ! {
    panic!("send on closed channel");
}
