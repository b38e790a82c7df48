//! `OnceLock` and `LazyLock`: a value that is written once and then only read.
//!
//! The value belongs to who runs the initialisation while that runs, and from `done` on (once.rs) to all readers: no
//! lock is taken to read. An initialisation that panics leaves it as it was, and the next caller tries again.

use super::once::RawOnce;
use crate::park::point;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A cell that can be written once: `std::sync::OnceLock`'s shape.
///
/// Reading a written cell is one load. Initialising it from within its own initialisation is a deadlock.
///
/// ```
/// use gosched_runtime::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
/// assert_eq!(NAME.get(), None);
/// assert_eq!(NAME.get_or_init(|| "gopher".to_string()), "gopher");
/// assert_eq!(NAME.get_or_init(|| unreachable!()), "gopher");
/// ```
pub struct OnceLock<T> {
    once: RawOnce,
    /// Initialised where `once` is done.
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the cell owns its T and goes where that may go.
unsafe impl<T: Send> Send for OnceLock<T> {}
// SAFETY: readers share the T, hence Sync; one thread may write it and another take or drop it, hence Send.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    ///
    /// ```
    /// assert!(gosched_runtime::sync::OnceLock::<u8>::new().get().is_none());
    /// ```
    pub const fn new() -> OnceLock<T> {
        OnceLock { once: RawOnce::new(), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// The value, where there is one. Never parks.
    ///
    /// ```
    /// let cell = gosched_runtime::sync::OnceLock::from(1);
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        point("OnceLock get", std::ptr::from_ref(self).cast());
        // SAFETY: it is done, so the value is there, and nobody writes it while it is shared.
        self.once.is_done().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value for changing, where there is one.
    ///
    /// ```
    /// let mut cell = gosched_runtime::sync::OnceLock::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: it is done, so the value is there.
        self.once.is_done_mut().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Writes the value where there is none. Parks while another is making one.
    ///
    /// # Errors
    /// `value`, where there is one already, or another has made one meanwhile.
    ///
    /// ```
    /// let cell = gosched_runtime::sync::OnceLock::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("an initialisation runs at most once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; where there is none, makes it with `f`. Parks while another is making it.
    ///
    /// # Panics
    /// Where `f` does; the cell stays empty, and one of those who wait tries with its own closure.
    ///
    /// ```
    /// let cell = gosched_runtime::sync::OnceLock::new();
    /// assert_eq!(cell.get_or_init(|| 92), &92);
    /// ```
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        point("OnceLock get_or_init", std::ptr::from_ref(self).cast());
        if !self.once.is_done() {
            self.once.run_slow(false, || {
                let value = f();
                // SAFETY: it is not done, so nobody reads, and of those who would write only one at a time runs this.
                unsafe { (*self.value.get()).write(value) };
            });
        }
        // SAFETY: as in get; run_slow has returned, so it is done, and we were ordered after that by its lock.
        unsafe { (*self.value.get()).assume_init_ref() }
    }

    /// The value; parks until somebody else has written it.
    ///
    /// ```
    /// use gosched_runtime::sync::OnceLock;
    /// static CELL: OnceLock<u8> = OnceLock::new();
    /// let t = std::thread::spawn(|| CELL.set(1));
    /// assert_eq!(CELL.wait(), &1);
    /// # t.join().unwrap().unwrap();
    /// ```
    pub fn wait(&self) -> &T {
        point("OnceLock wait", std::ptr::from_ref(self).cast());
        self.once.wait();
        // SAFETY: as in get; `wait` returns when it is done, and after what was done.
        unsafe { (*self.value.get()).assume_init_ref() }
    }

    /// The value, where there is one; the cell is used up.
    ///
    /// ```
    /// assert_eq!(gosched_runtime::sync::OnceLock::from(1).into_inner(), Some(1));
    /// ```
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out, where there is one; the cell is empty then.
    ///
    /// ```
    /// let mut cell = gosched_runtime::sync::OnceLock::from(1);
    /// assert_eq!((cell.take(), cell.take()), (Some(1), None));
    /// ```
    pub fn take(&mut self) -> Option<T> {
        // SAFETY: it was done, so the value was there; now it is not, so nobody reads it again.
        self.once.reset().then(|| unsafe { self.value.get_mut().assume_init_read() })
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let cell = OnceLock::new();
        let _ = cell.set(value); // nobody else has it yet
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get().map_or_else(OnceLock::new, |value| OnceLock::from(value.clone()))
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}

/// A value that is made when it is first used: `std::sync::LazyLock`'s shape.
///
/// ```
/// use gosched_runtime::sync::LazyLock;
///
/// static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| "a b c".split(' ').collect());
/// assert_eq!(WORDS.len(), 3);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    /// Touched by the initialisation of `cell` only, which runs once at a time.
    init: UnsafeCell<Option<F>>,
}

// SAFETY: the T as in OnceLock; the F is called by whoever comes first, thus sent there, and never shared.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    ///
    /// ```
    /// let lazy = gosched_runtime::sync::LazyLock::new(|| 1 + 1);
    /// assert_eq!(*lazy, 2);
    /// ```
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock { cell: OnceLock::new(), init: UnsafeCell::new(Some(f)) }
    }

    /// The value, made now where it has not been. Parks while another makes it.
    ///
    /// # Panics
    /// Where the closure does. It is used up then: every later call panics too, as with `std`.
    ///
    /// ```
    /// use gosched_runtime::sync::LazyLock;
    /// let lazy = LazyLock::new(|| 5);
    /// assert_eq!(LazyLock::force(&lazy), &5);
    /// ```
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.cell.get_or_init(|| {
            // SAFETY: initialisations of one cell run one at a time, and nothing else touches this. The reference ends
            // before `f` runs.
            match unsafe { (*this.init.get()).take() } {
                Some(f) => f(),
                None => panic!("LazyLock instance has previously been poisoned"),
            }
        })
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("LazyLock");
        match self.cell.get() {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}
