//! Iterating over a channel (Go: `for v := range ch`).

use crate::handle::{Chan, Receiver};
use std::fmt;
use std::iter::FusedIterator;

/// Receives until the channel is closed and drained; **parks** where it must wait. From [`Chan::iter`].
///
/// ```
/// use gosched_chan::Chan;
/// let c = Chan::new(2);
/// c.send(1);
/// c.send(2);
/// c.close();
/// assert_eq!(c.iter().sum::<i32>(), 3);
/// ```
pub struct Iter<'a, T>(Source<'a, T>);

/// Receives until there is no value now; never parks. From [`Chan::try_iter`].
///
/// ```
/// use gosched_chan::Chan;
/// let c = Chan::new(2);
/// c.send(1);
/// assert_eq!(c.try_iter().collect::<Vec<_>>(), [1]);
/// ```
pub struct TryIter<'a, T>(Source<'a, T>);

/// [`Iter`] with a handle of its own. From `for v in ch`.
///
/// ```
/// use gosched_chan::Chan;
/// let c = Chan::new(1);
/// c.send(1);
/// c.close();
/// for v in c {
///     assert_eq!(v, 1);
/// }
/// ```
pub struct IntoIter<T>(Receiver<T>);

/// What is borrowed: a whole channel or its receiving side.
enum Source<'a, T> {
    Chan(&'a Chan<T>),
    Receiver(&'a Receiver<T>),
}

impl<T> Clone for Source<'_, T> {
    fn clone(&self) -> Self {
        match *self {
            Source::Chan(c) => Source::Chan(c),
            Source::Receiver(r) => Source::Receiver(r),
        }
    }
}

macro_rules! iterable {
    ($name:ident) => {
        impl<T> $name<T> {
            /// Receives until the channel is closed and drained. Go: `for v := range ch`. `next` **parks** where it must
            /// wait.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(2);
            /// c.send(1);
            /// c.close();
            /// assert_eq!(c.iter().collect::<Vec<_>>(), [1]);
            /// ```
            pub fn iter(&self) -> Iter<'_, T> {
                Iter(Source::$name(self))
            }

            /// Receives as long as [`try_recv`](Self::try_recv) finds a value. Never parks, with the one exception of
            /// that method.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(2);
            /// c.send(1);
            /// assert_eq!(c.try_iter().count(), 1);
            /// ```
            pub fn try_iter(&self) -> TryIter<'_, T> {
                TryIter(Source::$name(self))
            }
        }

        impl<'a, T> IntoIterator for &'a $name<T> {
            type Item = T;
            type IntoIter = Iter<'a, T>;
            fn into_iter(self) -> Iter<'a, T> {
                self.iter()
            }
        }

        impl<T> IntoIterator for $name<T> {
            type Item = T;
            type IntoIter = IntoIter<T>;
            fn into_iter(self) -> IntoIter<T> {
                IntoIter(self.into())
            }
        }
    };
}
iterable!(Chan);
iterable!(Receiver);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        match self.0 {
            Source::Chan(c) => c.recv(),
            Source::Receiver(r) => r.recv(),
        }
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        match self.0 {
            Source::Chan(c) => c.try_recv().ok(),
            Source::Receiver(r) => r.try_recv().ok(),
        }
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.0.recv()
    }
}

// A closed channel stays closed.
impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Iter(self.0.clone())
    }
}

impl<T> Clone for TryIter<'_, T> {
    fn clone(&self) -> Self {
        TryIter(self.0.clone())
    }
}

impl<T> Clone for IntoIter<T> {
    fn clone(&self) -> Self {
        IntoIter(self.0.clone())
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntoIter").field(&self.0).finish()
    }
}
