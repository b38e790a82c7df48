//! `Select`: the case list built at run time (Go: reflect/value.go, `Select`; the shape in Rust is crossbeam's).
//!
//! It selects in two steps, because its list knows no types: `select()` chooses, and the [`SelectedOperation`] that it
//! gives is then told the value to send, or asked for the one received. The choice is binding: what was chosen can be
//! carried out, at once, whatever others do in between. So choosing takes what the second step needs:
//!
//! ```text
//!   chosen                                      the operation holds                  carried out by
//!   recv, a value                               the value, in a slot of its own      handing it out
//!   recv, closed and drained                    nothing                              None
//!   send, a receiver waits                      the receiver's sudog, dequeued       value into its slot, goready
//!   send, room in the ring                      a reservation (hchan.rs, inv. 4)     value into the ring
//!   send, parked, and a receiver came           the receiver's sudog (recv.rs,       value into its slot, goready
//!                        (unbuffered)           "The promise")
//!   send, parked, and room came free            a reservation                        value into the ring
//!   send, closed                                nothing                              the panic of `send`
//! ```
//!
//! A channel that is closed between the two steps: a receiver who is held still gets its value (they had met before); a
//! reservation is void, and the send panics as one that comes after the close.
//!
//! An operation that is dropped gives back what it holds: the receiver looks again, first in its queue; the reserved room
//! goes to the next sender; a value received is dropped. Then it panics, for it is a bug.

use crate::error::{SelectTimeoutError, TrySelectError};
use crate::handle::{Chan, Receiver, Sender};
use crate::hchan::{Block, Hchan};
use crate::scase::{Dir, Fired, Scase, send_on_closed};
use crate::select::{__forever, How, Scratch, selectgo};
use crate::send::{Sent, chansend_reserved, release_reserved};
use crate::slot::Slot;
use crate::sudog::{Sudog, Wake};
use gosched_runtime::park;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::time::Duration;

mod sealed {
    use crate::hchan::Hchan;

    /// What is behind a handle, and where that lies, in a wrapping that users cannot open.
    pub struct Raw<'a>(pub(crate) Option<&'a Hchan>, pub(crate) *const ());

    /// Implementations promise: the channel is one of the handle's `Item`.
    pub trait Handle {
        fn raw(&self) -> Raw<'_>;
    }
}
use sealed::{Handle, Raw};

/// What can send in a [`Select`]: a [`Chan`], a [`Sender`], or a reference to one.
///
/// ```
/// use gosched_chan::{Chan, Select, SendHandle};
/// fn add<'a>(s: &mut Select<'a>, h: &'a impl SendHandle<Item = u8>) -> usize {
///     s.send(h)
/// }
/// let c = Chan::new(1);
/// let tx = c.sender();
/// let mut s = Select::new();
/// assert_eq!((add(&mut s, &c), add(&mut s, &tx)), (0, 1));
/// ```
pub trait SendHandle: Handle {
    /// What the channel carries.
    type Item;
}

/// What can receive in a [`Select`]: a [`Chan`], a [`Receiver`], or a reference to one.
///
/// ```
/// use gosched_chan::{Chan, RecvHandle, Select};
/// fn add<'a>(s: &mut Select<'a>, h: &'a impl RecvHandle<Item = u8>) -> usize {
///     s.recv(h)
/// }
/// let c = Chan::new(1);
/// let rx = c.receiver();
/// let mut s = Select::new();
/// assert_eq!((add(&mut s, &c), add(&mut s, &rx)), (0, 1));
/// ```
pub trait RecvHandle: Handle {
    /// What the channel carries.
    type Item;
}

macro_rules! handle {
    ($($name:ident: $($dir:ident)*;)*) => { $(
        impl<T> Handle for $name<T> {
            fn raw(&self) -> Raw<'_> {
                Raw(self.0.hchan(), self.0.place())
            }
        }
        $(impl<T> $dir for $name<T> {
            type Item = T;
        })*
    )* };
}
handle!(Chan: SendHandle RecvHandle; Sender: SendHandle; Receiver: RecvHandle;);

impl<H: Handle + ?Sized> Handle for &H {
    fn raw(&self) -> Raw<'_> {
        (**self).raw()
    }
}
impl<H: SendHandle + ?Sized> SendHandle for &H {
    type Item = H::Item;
}
impl<H: RecvHandle + ?Sized> RecvHandle for &H {
    type Item = H::Item;
}

struct Case {
    index: usize,
    /// Null or alive for the Select's `'a`.
    c: *const Hchan,
    /// The handle's place.
    place: *const (),
    dir: Dir,
    /// A receiver's, once needed.
    slot: Option<Slot>,
}

/// A list of channel operations, built at run time, one of which is chosen. Go: `reflect.Select`.
///
/// Where the cases are known when the program is written, [`select!`](crate::select!) is simpler and faster. Cases are
/// chosen as there: by lot among those that can go. The list keeps its cases and can be used again.
///
/// ```
/// use gosched_chan::{Chan, Select};
/// let list: Vec<Chan<u32>> = (0..3).map(|_| Chan::new(1)).collect();
/// list[1].send(7);
/// let mut s = Select::new();
/// for c in &list {
///     s.recv(c);
/// }
/// let op = s.select();
/// let i = op.index();
/// assert_eq!((i, op.recv(&list[i])), (1, Some(7)));
/// ```
#[derive(Default)]
pub struct Select<'a> {
    cases: Vec<Case>,
    next: usize,
    pollorder: Vec<u32>,
    lockorder: Vec<u32>,
    sudogs: Vec<MaybeUninit<Sudog>>,
    _a: PhantomData<&'a ()>,
}

impl<'a> Select<'a> {
    /// An empty list.
    ///
    /// ```
    /// # use gosched_chan::Select;
    /// assert!(Select::new().try_select().is_err());
    /// ```
    pub const fn new() -> Self {
        Select {
            cases: Vec::new(),
            next: 0,
            pollorder: Vec::new(),
            lockorder: Vec::new(),
            sudogs: Vec::new(),
            _a: PhantomData,
        }
    }

    /// Adds a send on `ch`, a [`Chan`] or [`Sender`]; gives the case's index: 0, 1, 2 … in the order of adding. Never
    /// parks: nothing is sent before the case is chosen.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::new(1);
    /// let mut s = Select::new();
    /// assert_eq!(s.send(&c), 0);
    /// s.select().send(&c, "x");
    /// assert_eq!(c.recv(), Some("x"));
    /// ```
    pub fn send<H: SendHandle + ?Sized>(&mut self, ch: &'a H) -> usize {
        self.add(ch.raw(), Dir::Send)
    }

    /// Adds a receive on `ch`, a [`Chan`] or [`Receiver`]; gives the case's index. Never parks: nothing is received
    /// before the case is chosen.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::new(1);
    /// c.send("x");
    /// let mut s = Select::new();
    /// assert_eq!(s.recv(&c), 0);
    /// assert_eq!(s.select().recv(&c), Some("x"));
    /// ```
    pub fn recv<H: RecvHandle + ?Sized>(&mut self, ch: &'a H) -> usize {
        self.add(ch.raw(), Dir::Recv)
    }

    fn add(&mut self, Raw(c, place): Raw<'a>, dir: Dir) -> usize {
        let index = self.next;
        self.next += 1;
        self.cases.push(Case { index, c: c.map_or(ptr::null(), ptr::from_ref), place, dir, slot: None });
        index
    }

    /// Takes a case out. The others keep their indices. Never parks. O(cases).
    ///
    /// # Panics
    /// Where there is no case of that index.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let (a, b) = (Chan::new(1), Chan::new(1));
    /// a.send(1);
    /// b.send(2);
    /// let mut s = Select::new();
    /// let (i, j) = (s.recv(&a), s.recv(&b));
    /// s.remove(i);
    /// let op = s.select();
    /// assert_eq!((op.index(), op.recv(&b)), (j, Some(2)));
    /// ```
    #[track_caller]
    pub fn remove(&mut self, index: usize) {
        match self.cases.iter().position(|c| c.index == index) {
            Some(i) => drop(self.cases.remove(i)),
            None => panic!("no case with the index {index} in this Select"),
        }
    }

    /// Chooses a case that can go; **parks** until there is one. For ever where there is no case, or only nil channels.
    /// O(n log n) in the cases, as are the two below.
    ///
    /// The operation must be carried out, soon: on the other side of it somebody may be waiting.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::new(0);
    /// std::thread::scope(|t| {
    ///     t.spawn(|| c.send(3));
    ///     let mut s = Select::new();
    ///     s.recv(&c);
    ///     assert_eq!(s.select().recv(&c), Some(3));
    /// });
    /// ```
    pub fn select(&mut self) -> SelectedOperation<'a> {
        if self.cases.is_empty() {
            __forever();
        }
        match self.run(Block::Forever) {
            Some(op) => op,
            None => unreachable!("a select without limit ends by one of its cases"),
        }
    }

    /// Chooses a case that can go now. Never parks. (As with [`Chan::try_recv`], but for a sender that is another
    /// `Select` and has yet to say what it sends.)
    ///
    /// # Errors
    /// Where there is none.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::new(1);
    /// let mut s = Select::new();
    /// s.send(&c);
    /// s.try_select().unwrap().send(&c, 1);
    /// assert!(s.try_select().is_err(), "full");
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.run(Block::No).ok_or(TrySelectError)
    }

    /// [`select`](Self::select) that **parks** for `d` at most.
    ///
    /// # Errors
    /// Where no case could go in time.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// # use std::time::Duration;
    /// let c = Chan::<u8>::new(1);
    /// let mut s = Select::new();
    /// s.recv(&c);
    /// assert!(s.select_timeout(Duration::from_millis(1)).is_err());
    /// ```
    pub fn select_timeout(&mut self, d: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Block::For(d)).ok_or(SelectTimeoutError)
    }

    fn run(&mut self, block: Block) -> Option<SelectedOperation<'a>> {
        park::point("select", ptr::null());
        let n = self.cases.len();
        self.pollorder.resize(n, 0);
        self.lockorder.resize(n, 0);
        self.sudogs.resize_with(n, MaybeUninit::uninit);
        // Not looked at: a Select learns from `How` what has become of its values.
        let mut fired = Fired::No;
        let scases: Vec<Scase<'_>> = (self.cases.iter_mut())
            .map(|case| {
                let elem = match (case.dir, case.c.is_null()) {
                    (Dir::Recv, false) => {
                        // SAFETY: not null, so alive.
                        let elemtype = unsafe { (*case.c).ring.elemtype };
                        case.slot.get_or_insert_with(|| Slot::new(elemtype)).place()
                    }
                    _ => ptr::null_mut(), // a sender whose value comes later
                };
                Scase {
                    c: case.c,
                    place: case.place,
                    elem,
                    dir: case.dir,
                    fired: &raw mut fired,
                    _a: PhantomData,
                }
            })
            .collect();
        let scratch = Scratch {
            pollorder: &mut self.pollorder,
            lockorder: &mut self.lockorder,
            sudogs: &mut self.sudogs[..n],
        };
        // SAFETY: the channels live for 'a; the slots stay where they are until selectgo returns.
        let (i, how) = unsafe { selectgo(&scases, scratch, block) }?;
        drop(scases);
        let case = &mut self.cases[i];
        let holds = match (how, case.slot.take()) {
            (How::Done, Some(slot)) => Holds::Value(slot),
            (How::Partner(sg), _) => Holds::Receiver(sg),
            (How::Reserved, _) => Holds::Room,
            (_, slot) => {
                case.slot = slot;
                Holds::Closed
            }
        };
        Some(SelectedOperation {
            index: case.index,
            dir: case.dir,
            c: case.c,
            holds: Some(holds),
            _a: PhantomData,
        })
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("cases", &self.cases.len()).finish_non_exhaustive()
    }
}

/// See the file's head.
enum Holds {
    /// The value received.
    Value(Slot),
    /// A receiver, claimed: it sleeps until it is served.
    Receiver(*const Sudog),
    /// A reservation.
    Room,
    /// Nothing: the channel is closed.
    Closed,
}

/// The case that a [`Select`] has chosen, to be carried out by [`send`](Self::send) or [`recv`](Self::recv).
///
/// # Panics
/// Where it is dropped without: `dropped SelectedOperation without completing the operation`. What it held is given back
/// first: a receiver that waits goes on waiting, but a value that was received is lost.
///
/// ```
/// use gosched_chan::{Chan, Select};
/// let (full, empty) = (Chan::new(1), Chan::<u8>::new(0));
/// full.send(1);
/// let mut s = Select::new();
/// let (a, _) = (s.recv(&full), s.recv(&empty));
/// let op = s.select();
/// assert_eq!(op.index(), a);
/// assert_eq!(op.recv(&full), Some(1)); // on the channel of that case
/// ```
#[must_use = "dropping a SelectedOperation panics"]
pub struct SelectedOperation<'a> {
    index: usize,
    dir: Dir,
    /// Alive for 'a.
    c: *const Hchan,
    /// None: carried out.
    holds: Option<Holds>,
    _a: PhantomData<&'a ()>,
}

impl SelectedOperation<'_> {
    /// The index of the case.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::new(1);
    /// let mut s = Select::new();
    /// let i = s.send(&c);
    /// let op = s.select();
    /// assert_eq!(op.index(), i);
    /// op.send(&c, ());
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// Sends `v`. `ch` is the channel of the case. Never parks.
    ///
    /// # Panics
    /// With `send on closed channel` where it was chosen because the channel is closed, or where it has been closed since;
    /// and where the case chosen is not a send on `ch`.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::new(1);
    /// let mut s = Select::new();
    /// s.send(&c);
    /// s.select().send(&c, 4);
    /// assert_eq!(c.recv(), Some(4));
    /// ```
    #[track_caller]
    pub fn send<H: SendHandle + ?Sized>(mut self, ch: &H, v: H::Item) {
        let c = self.check(ch.raw().0, Dir::Send);
        let mut v = ManuallyDrop::new(v);
        let src: *mut u8 = (&raw mut *v).cast();
        match self.holds.take() {
            // SAFETY: the receiver is ours to serve; `src` is a value of the channel's type (Handle), and forgotten.
            Some(Holds::Receiver(sg)) => unsafe { serve(c, sg, Some(src)) },
            // SAFETY: the reservation is ours; the value as above.
            Some(Holds::Room) if unsafe { chansend_reserved(c, src) } == Sent::Done => {}
            _ => {
                // It has not moved out.
                let _v = ManuallyDrop::into_inner(v);
                send_on_closed()
            }
        }
    }

    /// What was received; `None`: the channel is closed and drained. `ch` is the channel of the case. Never parks.
    ///
    /// # Panics
    /// Where the case chosen is not a receive on `ch`.
    ///
    /// ```
    /// # use gosched_chan::{Chan, Select};
    /// let c = Chan::<u8>::new(1);
    /// c.close();
    /// let mut s = Select::new();
    /// s.recv(&c);
    /// assert_eq!(s.select().recv(&c), None);
    /// ```
    #[track_caller]
    pub fn recv<H: RecvHandle + ?Sized>(mut self, ch: &H) -> Option<H::Item> {
        self.check(ch.raw().0, Dir::Recv);
        match self.holds.take() {
            // SAFETY: the slot holds a value of the channel's type (Handle), and is gone after this.
            Some(Holds::Value(mut slot)) => Some(unsafe { slot.place().cast::<H::Item>().read() }),
            _ => None,
        }
    }

    #[track_caller]
    fn check<'c>(&self, c: Option<&'c Hchan>, dir: Dir) -> &'c Hchan {
        match c {
            Some(c) if ptr::eq(c, self.c) && dir == self.dir => c,
            _ => panic!("the case that was selected is not a {dir:?} on this channel"),
        }
    }
}

/// Gives the receiver that was held its value; or sends it back to look again.
///
/// # Safety
/// `sg` was dequeued from a queue of `c` and claimed by the caller, or left by `await_promise`; it is served here. `src`
/// is a value of the channel's type, and counts as moved out of.
unsafe fn serve(c: &Hchan, sg: *const Sudog, src: Option<*const u8>) {
    // A receiver that was promised a value may still be on its way to sleep: it is there when its commit has released the
    // lock (recv.rs, `await_promise`).
    c.lock();
    // SAFETY: we hold it.
    unsafe { c.unlock() };
    // SAFETY: sg's waiter sleeps until the goready, so sg and its slot are alive; after that they are not touched.
    unsafe {
        let waiter = (*sg).waiter;
        match src {
            Some(src) => {
                c.ring.elemtype.copy(src, (*sg).elem);
                (*sg).complete(Wake::Done);
            }
            None => (*sg).complete(Wake::Again),
        }
        park::goready(waiter);
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        let Some(holds) = self.holds.take() else { return };
        // SAFETY: alive for 'a.
        let c = unsafe { &*self.c };
        match holds {
            Holds::Value(mut slot) => {
                let place = slot.place();
                // SAFETY: the slot holds a value, and is gone after this.
                unsafe { c.ring.elemtype.drop(place, 1) };
            }
            // SAFETY: the receiver is ours to serve.
            Holds::Receiver(sg) => unsafe { serve(c, sg, None) },
            // SAFETY: the reservation is ours.
            Holds::Room => unsafe { release_reserved(c) },
            Holds::Closed => {}
        }
        if !std::thread::panicking() {
            panic!("dropped SelectedOperation without completing the operation");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectedOperation").field("index", &self.index).finish_non_exhaustive()
    }
}
