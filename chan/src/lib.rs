//! Go's channels and `select` for gosched.
//!
//! [`Chan`] is Go's `chan T`, [`Sender`] and [`Receiver`] its two directions; [`select!`] is the statement, [`Select`] the
//! case list built at run time; [`after`], [`tick`] and [`never()`] are channels of the clock. On top of them there are
//! timers and tickers ([`timer`]), contexts ([`context`]), and groups of goroutines that may fail ([`group`]). Every
//! operation works on a goroutine, which parks where it must wait, and on any other thread, which blocks. The user's crate
//! is `gosched`, which has all of this as `gosched::chan`, `time`, `context` and `sync`.
//!
//! ```
//! use gosched_chan::{Chan, select};
//!
//! let (work, done) = (Chan::new(0), Chan::new(0));
//! let worker = std::thread::spawn({
//!     let (work, done) = (work.clone(), done.clone());
//!     move || {
//!         for n in work {
//!             done.send(n * n); // unbuffered: waits until the other side has it
//!         }
//!         done.close();
//!     }
//! });
//! work.send(7);
//! let square: Option<i32> = select! { recv(done) -> v => v };
//! assert_eq!(square, Some(49));
//! work.close(); // ends the worker's loop
//! assert_eq!(done.recv(), None);
//! worker.join().unwrap();
//! ```
//!
//! ## The map
//! A file uses only files above it.
//! ```text
//! shuttle.rs  std's primitives or shuttle's
//! error.rs    what an operation says when it does not go through
//! sudog.rs    a waiter in a queue: Sudog, WaitQ, WakeList
//! buf.rs      the ring
//! hchan.rs    the channel, its lock, how one waits on it; its invariants
//! send.rs     chansend
//! recv.rs     chanrecv
//! close.rs    closechan
//! scase.rs    the cases of a select
//! select.rs   selectgo
//! macros.rs   select!
//! handle.rs   Chan, Sender, Receiver
//! iter.rs     their iterators
//! slot.rs     a place for a value of unknown type
//! reflect.rs  Select
//! time.rs     after, tick, never, TimerChan
//! timer.rs    Timer, Ticker, after_func
//! slab.rs     places for values that come and go
//! cause.rs    why a context is done
//! heirs.rs    what waits for the end of a context
//! walk.rs     ways down that tree: who comes second waits
//! tree.rs     the tree of contexts: how it is cancelled and freed
//! context.rs  Context
//! group.rs    Group
//! ```
//! A value's journey: handle → send → hchan → sudog → (park) → recv.

// A model uses what it needs.
#![cfg_attr(gosched_shuttle, allow(dead_code))]

mod buf;
mod cause;
mod close;
pub mod context;
mod error;
pub mod group;
mod handle;
mod hchan;
mod heirs;
mod iter;
mod macros;
mod recv;
mod reflect;
mod scase;
mod select;
mod send;
mod shuttle;
mod slab;
mod slot;
mod sudog;
mod time;
pub mod timer;
mod tree;
mod walk;

pub use error::{
    RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySelectError,
    TrySendError,
};
pub use handle::{Chan, Receiver, Sender};
pub use iter::{IntoIter, Iter, TryIter};
pub use reflect::{RecvHandle, Select, SelectedOperation, SendHandle};
pub use time::{TimerChan, after, never, tick};

// The shuttle models: RUSTFLAGS="--cfg gosched_shuttle" cargo test -p gosched-runtime -p gosched-chan --release --lib shuttle
#[cfg(all(test, gosched_shuttle))]
#[path = "tests"]
mod models {
    mod shuttle_chan;
    mod shuttle_context;
    mod shuttle_select;
}

// For the expansion of select! only.
#[doc(hidden)]
pub use select::{__default, __forever, __no_default, __selectgo, __wait};
