//! Go's runtime for Rust, without `async`: goroutines, channels, `select!`, and sockets with `std`'s interface.
//!
//! Plain blocking Rust code runs on stackful coroutines that are scheduled as Go schedules its goroutines. A call that
//! would block a thread parks the goroutine instead; a goroutine that spins or blocks where the scheduler cannot see it
//! loses its right to run to the others, and goes on beside them.
//!
//! ```
//! use gosched::chan::{Chan, select};
//! use std::time::Duration;
//!
//! // SAFETY: no goroutine of this program holds a borrow of a thread-local, or a value tied to a thread, while it parks.
//! let sum = unsafe {
//!     gosched::run(|| {
//!         let jobs = Chan::new(0);
//!         let results = Chan::new(0);
//!         for _ in 0..4 {
//!             let (jobs, results) = (jobs.clone(), results.clone());
//!             gosched::go!({
//!                 for n in jobs.iter() {
//!                     results.send(n * n);
//!                 }
//!             });
//!         }
//!         let feed = jobs.clone();
//!         gosched::go!({
//!             (1..=10u64).for_each(|n| feed.send(n));
//!             feed.close();
//!         });
//!         let mut sum = 0;
//!         for _ in 0..10 {
//!             select! {
//!                 recv(results) -> r => sum += r.unwrap_or(0),
//!                 default(Duration::from_secs(5)) => panic!("too slow"),
//!             }
//!         }
//!         sum
//!     })
//! };
//! assert_eq!(sum, 385);
//! ```
//!
//! # Safety
//! [`run`] is the one `unsafe` of the interface: a goroutine may go on on another thread after it has parked, and rustc
//! may keep the address of a `thread_local!` across that. The caller of `run` promises for the whole program that no
//! goroutine holds a borrow of a thread-local, or a value tied to a thread, across a call that can park. The chapter
//! [`safety`] has the program that breaks, and the cures.

#[doc(inline)]
pub use gosched_chan::context;
pub use gosched_chan::select;
#[doc(inline)]
pub use gosched_runtime::{
    AccessError, Builder, Config, GoroutineId, JoinHandle, LocalKey, OsThreadLock, Scope, ScopedJoinHandle,
    go, goexit, goid, gomaxprocs, goroutine_local, lock_os_thread, num_cpu, num_goroutine, run, scope,
    set_gomaxprocs, spawn, syscall, yield_now,
};

#[doc = include_str!("../docs/safety.md")]
pub mod safety {}

#[doc = include_str!("../docs/walkthrough.md")]
pub mod walkthrough {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing_goroutines {}

#[doc = include_str!("../docs/coming-from-go.md")]
pub mod coming_from_go {}

#[doc = include_str!("../docs/coming-from-tokio-and-threads.md")]
pub mod coming_from_tokio_and_threads {}

/// Channels and `select!`.
pub mod chan {
    #[doc(inline)]
    pub use gosched_chan::{
        Chan, IntoIter, Iter, Receiver, RecvHandle, RecvTimeoutError, Select, SelectTimeoutError,
        SelectedOperation, SendError, SendHandle, SendTimeoutError, Sender, TimerChan, TryIter, TryRecvError,
        TrySelectError, TrySendError, after, never, select, tick,
    };
}

/// What the scheduler is doing: stacks, numbers, traces, and a server that shows them.
pub mod debug {
    #[doc(inline)]
    pub use gosched_debug::*;
    #[doc(inline)]
    pub use gosched_runtime::debug::*;
}

/// Sockets with `std`'s interface that park the goroutine.
pub mod net {
    #[doc(inline)]
    pub use gosched_net::*;
}

/// Child processes whose pipes and whose end park the goroutine.
pub mod process {
    #[doc(inline)]
    pub use gosched_os::process::*;
}

/// Signals on a channel.
pub mod signal {
    #[doc(inline)]
    pub use gosched_os::signal::*;
}

/// Files, with the blocking announced to the scheduler.
pub mod fs {
    #[doc(inline)]
    pub use gosched_os::fs::*;
}

/// The standard streams.
pub mod io {
    #[doc(inline)]
    pub use gosched_os::io::*;
}

/// Locks and other ways to wait for each other.
pub mod sync {
    #[doc(inline)]
    pub use gosched_chan::group::Group;
    #[doc(inline)]
    pub use gosched_runtime::sync::*;
}

/// Tests of goroutine programs: schedules by search, exact replay, and a clock that jumps.
pub mod testing {
    #[doc(inline)]
    pub use gosched_testing::*;
}

/// Sleeping, channels that receive the time, and functions called at a time.
pub mod time {
    #[doc(inline)]
    pub use gosched_chan::timer::{Ticker, Timer, after_func};
    #[doc(inline)]
    pub use gosched_chan::{after, tick};
    #[doc(inline)]
    pub use gosched_runtime::{sleep, sleep_until};
}

/// The README's program, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
