//! Values of a goroutine's own: `goroutine_local!`, the safe replacement of `thread_local!` (std: `std::thread::LocalKey`).
//!
//! A goroutine moves between threads, and rustc may keep a thread-local's address across the move. A goroutine-local
//! moves with its goroutine: a reference into it may be held across anything that parks.
//!
//! ```text
//!   static KEY ── id (given at the first use) ──►  goroutine's table [ id ] ──► Box<T>, made at the first access
//!                                                 (on a plain thread: the thread's table)
//! ```
//! **Life of a value**: empty → alive (boxed, never moved) → dropped, when the goroutine's function has ended, on its own
//! stack, so that destructors may park and use other goroutine-locals. Values that destructors make anew are dropped in
//! further rounds. An access to a value that is being dropped or was, gives `AccessError`.
//!
//! Only the goroutine itself (or the thread) touches its table, so there is no lock; a reference into a value is bound by
//! the closure it is lent to, and values are dropped after all closures have returned.

use crate::locals::{Locals, Slot};
use crate::m;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static OF_THREAD: Locals = const { Locals::new() };
}

/// The table of the thread; `None` where its destructors have been.
#[inline(never)] // reaches a thread-local; a plain thread does not move
fn of_thread() -> Option<*const Locals> {
    OF_THREAD.try_with(|l| l as *const Locals).ok()
}

/// The value was dropped: its goroutine (or thread) is ending.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static REFUSED: AtomicBool = AtomicBool::new(false);
/// struct Last;
/// impl Drop for Last {
///     fn drop(&mut self) {
///         REFUSED.store(LAST.try_with(|_| ()).is_err(), Ordering::Relaxed);
///     }
/// }
/// gosched_runtime::goroutine_local! {
///     static LAST: Last = Last;
/// }
/// std::thread::spawn(|| LAST.with(|_| ())).join().unwrap();
/// assert!(REFUSED.load(Ordering::Relaxed));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessError")
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("already destroyed")
    }
}

impl std::error::Error for AccessError {}

/// A key made by [`goroutine_local!`](crate::goroutine_local): each goroutine has its own value, made by the initialiser
/// at the first access and dropped when the goroutine ends. On a plain thread it is the thread's own value. No method
/// parks by itself; a closure that a value is lent to, and an initialiser, may.
///
/// ```
/// use std::cell::Cell;
///
/// gosched_runtime::goroutine_local! {
///     static COUNT: Cell<u32> = const { Cell::new(7) };
/// }
/// # unsafe { gosched_runtime::run(|| {
/// COUNT.set(8);
/// assert_eq!(gosched_runtime::spawn(|| COUNT.get()).join().unwrap(), 7); // its own
/// assert_eq!(COUNT.get(), 8);
/// # }) };
/// ```
pub struct LocalKey<T: 'static> {
    /// Index in the tables plus one; 0: not given yet.
    id: AtomicUsize,
    init: fn() -> T,
}

static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

impl<T: 'static> LocalKey<T> {
    /// For the macro.
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { id: AtomicUsize::new(0), init }
    }

    fn index(&self) -> usize {
        // Relaxed: a number that is set once; whoever loses the race takes the winner's.
        let id = self.id.load(Ordering::Relaxed);
        if id != 0 {
            return id - 1;
        }
        let new = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        match self.id.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new - 1,
            Err(first) => first - 1,
        }
    }

    /// The caller's value, made by `init` where there is none yet.
    fn get_or_make(&'static self, init: impl FnOnce() -> T) -> Result<*const T, AccessError> {
        let table = match m::getg() {
            // SAFETY: called by the goroutine itself.
            Some(g) => unsafe { g.locals() },
            None => of_thread().ok_or(AccessError)?,
        };
        let i = self.index();
        // SAFETY: the table of the caller, which only the caller touches; no reference into it is held across `init`.
        let table = || unsafe { &mut *(*table).0.get() };
        match table().get(i) {
            Some(Slot::Alive(v)) => return Ok(v.downcast_ref::<T>().expect("one type a key")),
            Some(Slot::Gone) => return Err(AccessError),
            _ => {}
        }
        let made: Box<dyn Any> = Box::new(init());
        let slots = table();
        if slots.len() <= i {
            slots.resize_with(i + 1, Slot::default);
        }
        // `init` may have used this very key: then its value stays, and ours goes, as in std's lazy initialisation.
        let old = std::mem::replace(&mut slots[i], Slot::Alive(made));
        let v: *const T = match &slots[i] {
            Slot::Alive(v) => v.downcast_ref::<T>().expect("one type a key"),
            _ => unreachable!("just put there"),
        };
        drop(old);
        Ok(v)
    }

    /// Lends the caller's value to `f`. Never parks; `f` may.
    ///
    /// # Panics
    /// Where the value has been dropped already: in a destructor of another goroutine-local.
    ///
    /// ```
    /// gosched_runtime::goroutine_local! {
    ///     static NAME: String = "nobody".to_string();
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(NAME.with(|name| name.len()), 6);
    /// # }) };
    /// ```
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.try_with(f).expect("cannot access a goroutine-local value during or after destruction")
    }

    /// As [`with`](Self::with), but gives an error where the value has been dropped.
    ///
    /// # Errors
    /// [`AccessError`] in that case.
    ///
    /// ```
    /// gosched_runtime::goroutine_local! {
    ///     static NAME: String = "nobody".to_string();
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(NAME.try_with(|name| name.len()), Ok(6));
    /// # }) };
    /// ```
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let v = self.get_or_make(self.init)?;
        // SAFETY: boxed, and dropped only after the goroutine's function has returned, and so `f`; or, while another
        // value's destructor runs `f`, after that destructor.
        Ok(f(unsafe { &*v }))
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value; the initialiser is not run.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static COUNT: Cell<u32> = const { Cell::new(7) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// COUNT.set(8);
    /// assert_eq!(COUNT.get(), 8);
    /// # }) };
    /// ```
    pub fn set(&'static self, value: T) {
        let mut value = Some(value);
        let cell = self
            .get_or_make(|| Cell::new(value.take().expect("called once")))
            .expect("cannot access a goroutine-local value during or after destruction");
        if let Some(value) = value {
            // SAFETY: as in try_with.
            unsafe { &*cell }.set(value);
        }
    }

    /// A copy of the value.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static COUNT: Cell<u32> = const { Cell::new(7) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(COUNT.get(), 7);
    /// # }) };
    /// ```
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value and leaves the default.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static COUNT: Cell<u32> = const { Cell::new(7) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!((COUNT.take(), COUNT.get()), (7, 0));
    /// # }) };
    /// ```
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the value and gives the old one.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static COUNT: Cell<u32> = const { Cell::new(7) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!((COUNT.replace(8), COUNT.get()), (7, 8));
    /// # }) };
    /// ```
    pub fn replace(&'static self, value: T) -> T {
        self.with(|c| c.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Lends the borrowed value to `f`.
    ///
    /// # Panics
    /// As [`with`](Self::with), and where it is mutably borrowed.
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert!(LOG.with_borrow(|log| log.is_empty()));
    /// # }) };
    /// ```
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|c| f(&c.borrow()))
    }

    /// Lends the mutably borrowed value to `f`.
    ///
    /// # Panics
    /// As [`with`](Self::with), and where it is borrowed.
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// LOG.with_borrow_mut(|log| {
    ///     gosched_runtime::yield_now(); // a borrow may last across a park
    ///     log.push(1);
    /// });
    /// assert_eq!(LOG.take(), [1]);
    /// # }) };
    /// ```
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|c| f(&mut c.borrow_mut()))
    }

    /// Sets the value; the initialiser is not run.
    ///
    /// # Panics
    /// As [`with`](Self::with), and where it is borrowed.
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// LOG.set(vec![1]);
    /// assert_eq!(LOG.take(), [1]);
    /// # }) };
    /// ```
    pub fn set(&'static self, value: T) {
        let mut value = Some(value);
        let cell = self
            .get_or_make(|| RefCell::new(value.take().expect("called once")))
            .expect("cannot access a goroutine-local value during or after destruction");
        if let Some(value) = value {
            // SAFETY: as in try_with.
            *unsafe { &*cell }.borrow_mut() = value;
        }
    }

    /// Takes the value and leaves the default.
    ///
    /// # Panics
    /// As [`with`](Self::with), and where it is borrowed.
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// LOG.set(vec![1]);
    /// assert_eq!((LOG.take(), LOG.take()), (vec![1], vec![]));
    /// # }) };
    /// ```
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets the value and gives the old one.
    ///
    /// # Panics
    /// As [`with`](Self::with), and where it is borrowed.
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// gosched_runtime::goroutine_local! {
    ///     static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// }
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(LOG.replace(vec![1]), []);
    /// assert_eq!(LOG.take(), [1]);
    /// # }) };
    /// ```
    pub fn replace(&'static self, value: T) -> T {
        self.with(|c| c.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Declares values of which each goroutine has its own, with `thread_local!`'s syntax. See [`LocalKey`].
///
/// ```
/// use std::cell::RefCell;
///
/// gosched_runtime::goroutine_local! {
///     static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
/// }
///
/// # unsafe { gosched_runtime::run(|| {
/// LOG.with(|log| {
///     let mut log = log.borrow_mut();
///     log.push(1);
///     gosched_runtime::yield_now(); // a borrow may last across a park
///     log.push(2);
/// });
/// assert_eq!(LOG.take(), [1, 2]);
/// assert!(gosched_runtime::spawn(|| LOG.take()).join().unwrap().is_empty());
/// # }) };
/// ```
#[macro_export]
macro_rules! goroutine_local {
    () => {};
    ($(#[$a:meta])* $v:vis static $name:ident: $t:ty = const $init:block $(; $($rest:tt)*)?) => {
        $(#[$a])* $v static $name: $crate::LocalKey<$t> = {
            fn __init() -> $t {
                const __INIT: $t = $init;
                __INIT
            }
            $crate::LocalKey::new(__init)
        };
        $($crate::goroutine_local! { $($rest)* })?
    };
    ($(#[$a:meta])* $v:vis static $name:ident: $t:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$a])* $v static $name: $crate::LocalKey<$t> = {
            fn __init() -> $t {
                $init
            }
            $crate::LocalKey::new(__init)
        };
        $($crate::goroutine_local! { $($rest)* })?
    };
}
