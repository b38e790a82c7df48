//! The handles: `Chan` (Go: `chan T`), `Sender` (`chan<- T`), `Receiver` (`<-chan T`).
//!
//! All three are one counted pointer to a channel, or nil. `Sender` and `Receiver` have the methods of their direction
//! and nothing else; the channel does not know them apart, so dropping all of one kind means nothing to it: a channel
//! closes by `close` only.

use crate::close::closechan;
use crate::error::{RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
use crate::hchan::{Block, Hchan, Ref, Timer};
use crate::recv::{Recvd, chanrecv1};
use crate::scase::{RecvCase, SendCase, send_on_closed};
use crate::send::{Sent, chansend1};
use gosched_runtime::park::point;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// Go's `chan T`. Cloning makes another handle on the same channel; `==` asks whether it is the same.
///
/// Values come out in the order in which they went in, and waiters of one kind are served in the order in which they
/// came. An unbuffered channel (`Chan::new(0)`) hands each value from a sender to a receiver, and both wait for each
/// other. Everything that is said here of a goroutine that parks is true of a plain thread that blocks.
///
/// Values still in the channel when the last handle goes are dropped. Dropping handles never closes a channel.
///
/// ```
/// use gosched_chan::Chan;
/// let c = Chan::new(2);
/// c.send("a");
/// c.send("b");
/// c.close();
/// assert_eq!(c.iter().collect::<Vec<_>>(), ["a", "b"]);
/// assert_eq!(c, c.clone());
/// assert_ne!(c, Chan::nil());
/// ```
pub struct Chan<T>(pub(crate) Ref<T>);

/// Go's `chan<- T`: the sending side of a [`Chan`], which can also close it.
///
/// ```
/// use gosched_chan::{Chan, Sender};
/// let c = Chan::new(1);
/// let tx: Sender<u8> = c.sender();
/// tx.send(1);
/// assert_eq!(c.recv(), Some(1));
/// ```
pub struct Sender<T>(pub(crate) Ref<T>);

/// Go's `<-chan T`: the receiving side of a [`Chan`].
///
/// ```
/// use gosched_chan::{Chan, Receiver};
/// let c = Chan::new(1);
/// let rx: Receiver<u8> = c.receiver();
/// c.send(1);
/// assert_eq!(rx.recv(), Some(1));
/// ```
pub struct Receiver<T>(pub(crate) Ref<T>);

impl<T> Chan<T> {
    /// Makes a channel with room for `cap` values; none for 0: unbuffered. Go: `make(chan T, cap)`, runtime/chan.go
    /// `makechan`. Never parks.
    ///
    /// # Panics
    /// With `makechan: size out of range` where so much memory cannot be.
    ///
    /// ```
    /// # use gosched_chan::Chan;
    /// let c = Chan::<u8>::new(3);
    /// assert_eq!((c.len(), c.cap()), (0, 3));
    /// ```
    #[track_caller]
    pub fn new(cap: usize) -> Self {
        Chan(Ref::makechan(cap, None))
    }

    /// The nil channel: a send or receive waits for ever, a poll finds it never ready, `close` panics. In a `select!` it
    /// switches a case off. Go: the zero value of `chan T`.
    ///
    /// ```
    /// # use gosched_chan::{Chan, select};
    /// static OFF: Chan<u8> = Chan::nil();
    /// assert!(OFF.is_nil());
    /// select! { recv(OFF) -> _ => unreachable!(), default => {} }
    /// ```
    pub const fn nil() -> Self {
        Chan(Ref::NIL)
    }

    /// The sending side, Go's conversion to `chan<- T`. Never parks.
    ///
    /// ```
    /// # use gosched_chan::Chan;
    /// let c = Chan::new(1);
    /// c.sender().send(1);
    /// assert_eq!(c.len(), 1);
    /// ```
    pub fn sender(&self) -> Sender<T> {
        Sender(self.0.clone())
    }

    /// The receiving side, Go's conversion to `<-chan T`. Never parks.
    ///
    /// ```
    /// # use gosched_chan::Chan;
    /// let c = Chan::new(1);
    /// c.send(1);
    /// assert_eq!(c.receiver().recv(), Some(1));
    /// ```
    pub fn receiver(&self) -> Receiver<T> {
        Receiver(self.0.clone())
    }
}

/// The methods, by direction: `Chan` has all of them, each half its own and the common ones.
macro_rules! methods {
    (send $name:ident) => {
        impl<T> $name<T> {
            /// Sends `v`: hands it to a waiting receiver, or puts it in the buffer, or **parks** until one of the two can be done.
            /// On the nil channel: for ever. Go: `ch <- v`, runtime/chan.go `chansend`.
            ///
            /// # Panics
            /// With `send on closed channel`, also where the channel is closed while the sender waits; `v` is dropped.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(1);
            /// c.send(5);
            /// assert_eq!(c.recv(), Some(5));
            /// ```
            #[inline]
            #[track_caller]
            pub fn send(&self, v: T) {
                point("chan send", self.0.as_ptr().cast());
                match self.send_block(v, Block::Forever) {
                    Ok(()) => {}
                    Err((_v, _)) => send_on_closed(),
                }
            }

            /// Sends `v` if that can be done now. Never panics, never parks.
            /// Go: `select { case ch <- v: default: }`, runtime/chan.go `selectnbsend`.
            ///
            /// # Errors
            /// `Full(v)` where there is no room and no waiting receiver, and on the nil channel; `Closed(v)` on a closed one.
            ///
            /// ```
            /// # use gosched_chan::{Chan, TrySendError};
            /// let c = Chan::new(1);
            /// assert_eq!(c.try_send(1), Ok(()));
            /// assert_eq!(c.try_send(2), Err(TrySendError::Full(2)));
            /// ```
            #[inline]
            pub fn try_send(&self, v: T) -> Result<(), TrySendError<T>> {
                point("chan try_send", self.0.as_ptr().cast());
                self.send_block(v, Block::No).map_err(|(v, sent)| match sent {
                    Sent::Closed => TrySendError::Closed(v),
                    _ => TrySendError::Full(v),
                })
            }

            /// [`send`](Self::send) that hands `v` back instead of panicking. **Parks** as that does.
            ///
            /// # Errors
            /// [`SendError`] where the channel is closed, or is closed while the sender waits.
            ///
            /// ```
            /// # use gosched_chan::{Chan, SendError};
            /// let c = Chan::new(1);
            /// assert_eq!(c.send_checked(1), Ok(()));
            /// c.close();
            /// assert_eq!(c.send_checked(2), Err(SendError(2)));
            /// ```
            #[inline]
            pub fn send_checked(&self, v: T) -> Result<(), SendError<T>> {
                point("chan send", self.0.as_ptr().cast());
                self.send_block(v, Block::Forever).map_err(|(v, _)| SendError(v))
            }

            /// [`send_checked`](Self::send_checked) that **parks** for `d` at most; for zero not at all.
            /// Go: `select { case ch <- v: case <-time.After(d): }`.
            ///
            /// # Errors
            /// `Timeout(v)` where nobody took it in time, and on the nil channel; `Closed(v)` where the channel is closed.
            ///
            /// ```
            /// # use gosched_chan::{Chan, SendTimeoutError};
            /// # use std::time::Duration;
            /// let c = Chan::new(0);
            /// let d = Duration::from_millis(1);
            /// assert_eq!(c.send_timeout(1, d), Err(SendTimeoutError::Timeout(1)));
            /// ```
            #[inline]
            pub fn send_timeout(&self, v: T, d: Duration) -> Result<(), SendTimeoutError<T>> {
                point("chan send_timeout", self.0.as_ptr().cast());
                self.send_block(v, Block::For(d)).map_err(|(v, sent)| match sent {
                    Sent::Closed => SendTimeoutError::Closed(v),
                    _ => SendTimeoutError::Timeout(v),
                })
            }

            #[inline]
            fn send_block(&self, v: T, block: Block) -> Result<(), (T, Sent)> {
                let mut v = ManuallyDrop::new(v);
                // SAFETY: a handle of T is on a channel of T.
                match unsafe { chansend1(self.0.hchan(), self.0.place(), &mut v, block) } {
                    Sent::Done => Ok(()), // it has moved out
                    sent => Err((ManuallyDrop::into_inner(v), sent)),
                }
            }

            /// Closes the channel: what is in the buffer can still be received, then receivers get `None`; senders panic. All who
            /// wait are woken. Never parks. Go: `close(ch)`, runtime/chan.go `closechan`. O(those who wait).
            ///
            /// # Panics
            /// With `close of closed channel`, `close of nil channel`.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(1);
            /// c.send(1);
            /// c.close();
            /// assert_eq!((c.recv(), c.recv()), (Some(1), None));
            /// ```
            #[track_caller]
            pub fn close(&self) {
                point("chan close", self.0.as_ptr().cast());
                let Some(h) = self.0.hchan() else { panic!("close of nil channel") };
                if !closechan(h) {
                    panic!("close of closed channel");
                }
            }

            #[doc(hidden)]
            #[inline]
            pub fn __send_case(&self, v: T) -> SendCase<'_, T> {
                // SAFETY: a handle of T is on a channel of T.
                unsafe { SendCase::new(self.0.hchan(), self.0.place(), v) }
            }
        }
    };
    (recv $name:ident) => {
        impl<T> $name<T> {
            /// Receives: takes the first value, or **parks** until there is one. `None`: the channel is closed and drained. On the
            /// nil channel: for ever. Go: `v, ok := <-ch`, runtime/chan.go `chanrecv`.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(1);
            /// c.send(5);
            /// c.close();
            /// assert_eq!((c.recv(), c.recv()), (Some(5), None));
            /// ```
            #[inline]
            pub fn recv(&self) -> Option<T> {
                point("chan recv", self.0.as_ptr().cast());
                // SAFETY: a handle of T is on a channel of T.
                unsafe { chanrecv1(self.0.hchan(), self.0.place(), Block::Forever) }.ok()
            }

            /// Receives if there is a value now. Never parks (but where the only sender is a [`Select`](crate::Select) that is to
            /// say what it sends: then until it has). Go: `select { case v := <-ch: default: }`, runtime/chan.go `selectnbrecv`.
            ///
            /// # Errors
            /// `Empty` where there is none, and on the nil channel; `Closed` where the channel is closed and drained.
            ///
            /// ```
            /// # use gosched_chan::{Chan, TryRecvError};
            /// let c = Chan::new(1);
            /// assert_eq!(c.try_recv(), Err(TryRecvError::Empty));
            /// c.send(1);
            /// assert_eq!(c.try_recv(), Ok(1));
            /// ```
            #[inline]
            pub fn try_recv(&self) -> Result<T, TryRecvError> {
                point("chan try_recv", self.0.as_ptr().cast());
                // SAFETY: a handle of T is on a channel of T.
                unsafe { chanrecv1(self.0.hchan(), self.0.place(), Block::No) }.map_err(|r| match r {
                    Recvd::Closed => TryRecvError::Closed,
                    _ => TryRecvError::Empty,
                })
            }

            /// [`recv`](Self::recv) that **parks** for `d` at most; for zero not at all.
            /// Go: `select { case v := <-ch: case <-time.After(d): }`.
            ///
            /// # Errors
            /// `Timeout` where no value came in time, and on the nil channel; `Closed` where the channel is closed and drained.
            ///
            /// ```
            /// # use gosched_chan::{Chan, RecvTimeoutError};
            /// # use std::time::Duration;
            /// let c = Chan::<u8>::new(1);
            /// assert_eq!(c.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
            /// ```
            #[inline]
            pub fn recv_timeout(&self, d: Duration) -> Result<T, RecvTimeoutError> {
                point("chan recv_timeout", self.0.as_ptr().cast());
                // SAFETY: a handle of T is on a channel of T.
                unsafe { chanrecv1(self.0.hchan(), self.0.place(), Block::For(d)) }.map_err(|r| match r {
                    Recvd::Closed => RecvTimeoutError::Closed,
                    _ => RecvTimeoutError::Timeout,
                })
            }

            #[doc(hidden)]
            #[inline]
            pub fn __recv_case<'a>(&'a self, out: &'a mut Option<T>) -> RecvCase<'a, T> {
                // SAFETY: a handle of T is on a channel of T.
                unsafe { RecvCase::new(self.0.hchan(), self.0.place(), out) }
            }
        }
    };
    (both $name:ident) => {
        impl<T> $name<T> {
            /// How many values are in the buffer. Go: `len(ch)`. 0 for nil, and where there is no buffer. Never parks.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(2);
            /// c.send(1);
            /// assert_eq!(c.len(), 1);
            /// ```
            #[inline]
            pub fn len(&self) -> usize {
                point("chan len", self.0.as_ptr().cast());
                self.0.hchan().map_or(0, |h| h.ring.len())
            }

            /// How many values the buffer holds. Go: `cap(ch)`. 0 for nil. Never parks.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::<u8>::new(2);
            /// assert_eq!(c.cap(), 2);
            /// ```
            #[inline]
            pub fn cap(&self) -> usize {
                self.0.hchan().map_or(0, |h| h.ring.dataqsiz)
            }

            /// Whether the buffer holds no value: `len() == 0`. Never parks.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::<u8>::new(2);
            /// assert!(c.is_empty());
            /// ```
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether the buffer holds all it can: `len() == cap()`; so also where there is none. Never parks.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::new(1);
            /// c.send(1);
            /// assert!(c.is_full());
            /// ```
            #[inline]
            pub fn is_full(&self) -> bool {
                self.len() == self.cap()
            }

            /// Whether the channel is closed. Values may still be in it. Never parks.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::<u8>::new(1);
            /// c.close();
            /// assert!(c.is_closed());
            /// ```
            #[inline]
            pub fn is_closed(&self) -> bool {
                point("chan is_closed", self.0.as_ptr().cast());
                self.0.hchan().is_some_and(Hchan::is_closed)
            }

            /// How many senders and receivers wait now. For tests, and for `Debug`.
            #[doc(hidden)]
            pub fn __waiting(&self) -> (usize, usize) {
                self.0.hchan().map_or((0, 0), Hchan::waiting)
            }

            /// Whether this is the nil channel. Never parks.
            ///
            /// ```
            /// # use gosched_chan::Chan;
            /// let c = Chan::<u8>::nil();
            /// assert!(c.is_nil());
            /// ```
            #[inline]
            pub fn is_nil(&self) -> bool {
                self.0.hchan().is_none()
            }
        }
    };
}
methods!(send Chan);
methods!(send Sender);
methods!(recv Chan);
methods!(recv Receiver);
methods!(both Chan);
methods!(both Sender);
methods!(both Receiver);

impl Receiver<Instant> {
    /// A timer channel: unbuffered, with a clock for its sender.
    pub(crate) fn of_timer(timer: Timer) -> Self {
        Receiver(Ref::makechan(0, Some(timer)))
    }

    /// Sets the clock anew; gives when it was due before. Nothing of the old time can be received afterwards.
    pub(crate) fn set_timer(&self, when: Option<Instant>, period: Duration) -> Option<Instant> {
        let h = self.0.hchan()?;
        let timer = h.timer.as_ref()?;
        h.lock();
        let old = timer.set(when, period);
        // SAFETY: we hold it.
        unsafe { h.unlock() };
        h.kick();
        old
    }
}

macro_rules! handles {
    ($($name:ident)*) => { $(
        impl<T> Clone for $name<T> {
            #[inline]
            fn clone(&self) -> Self {
                $name(self.0.clone())
            }
        }

        impl<T> PartialEq for $name<T> {
            /// Whether both are handles on the same channel.
            fn eq(&self, other: &Self) -> bool {
                std::ptr::eq(self.0.as_ptr(), other.0.as_ptr())
            }
        }

        impl<T> Eq for $name<T> {}

        impl<T> Hash for $name<T> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.as_ptr().hash(state);
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_nil() {
                    return f.write_str(concat!(stringify!($name), "(nil)"));
                }
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("cap", &self.cap())
                    .field("closed", &self.is_closed())
                    .field("senders_waiting", &self.__waiting().0)
                    .field("receivers_waiting", &self.__waiting().1)
                    .finish_non_exhaustive()
            }
        }
    )* };
}
handles!(Chan Sender Receiver);

impl<T> From<Chan<T>> for Sender<T> {
    fn from(c: Chan<T>) -> Self {
        Sender(c.0)
    }
}

impl<T> From<&Chan<T>> for Sender<T> {
    fn from(c: &Chan<T>) -> Self {
        c.sender()
    }
}

impl<T> From<Chan<T>> for Receiver<T> {
    fn from(c: Chan<T>) -> Self {
        Receiver(c.0)
    }
}

impl<T> From<&Chan<T>> for Receiver<T> {
    fn from(c: &Chan<T>) -> Self {
        c.receiver()
    }
}
