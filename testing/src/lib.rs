//! Tests of goroutine programs: schedules by search, exact replay, and a clock that jumps.
//!
//! A concurrent program is right if it is right under every order in which its goroutines may run; an ordinary test sees a
//! few of them. [`explore`] runs a program under as many as it is told to, chosen by a seed; the first that fails is
//! printed with its seed, and [`replay`] runs exactly that one again, as often as needed.
//!
//! ```should_panic
//! use gosched_testing::{Config, explore};
//! use std::sync::{Arc, atomic::{AtomicU32, Ordering::SeqCst}};
//!
//! explore(Config::new(), || {
//!     let n = Arc::new(AtomicU32::new(0));
//!     let add = |n: Arc<AtomicU32>| move || {
//!         let seen = n.load(SeqCst);
//!         gosched_runtime::yield_now();
//!         n.store(seen + 1, SeqCst); // somebody else's addition may be lost
//!     };
//!     let others = [gosched_runtime::spawn(add(n.clone())), gosched_runtime::spawn(add(n.clone()))];
//!     others.into_iter().for_each(|g| g.join().unwrap());
//!     assert_eq!(n.load(SeqCst), 2);
//! });
//! ```
//!
//! # What is explored
//! The program runs on one thread, one goroutine at a time. Who runs next is a choice at every operation of this project
//! that others can notice (on channels, locks, wait groups, contexts, timers; `go`, `join`, `yield_now`), and wherever a
//! goroutine must wait; what `select` picks among ready cases is a choice; so is the order of timers that are due together.
//! Between two such operations nobody else runs: a race on plain atomics is found only where one of them lies between.
//! [`point`] makes a place for it.
//!
//! A run fails where a goroutine panics and nobody joins it, where nobody can run (a deadlock), where goroutines still wait
//! when the program has ended (a leak), and where it does not come to an end.
//!
//! # The clock
//! It stands still while any goroutine can run, and jumps to the next timer when none can: a test of an hour's timeout takes
//! no time. [`now`] reads it; `std::time::Instant::now` is still the real one. [`virtual_time`] runs a program once with
//! such a clock, and nothing else changed.
//!
//! # What is not
//! Plain threads are outside: a goroutine that only a thread can wake counts as waiting for ever. Real sockets work, in real
//! time and in the order of the machine; [`net`] has some in memory that are part of the schedule. A goroutine that waits
//! while a panic unwinds it ends the run there. Other sources of chance in the program (hash maps with random keys, addresses, the
//! real clock) make a replay go another way; it is said where one does.

mod explore;
pub mod net;
mod seed;
mod strategy;

pub use explore::{
    Config, Failure, Report, Strategy, explore, replay, try_explore, try_replay, virtual_time,
};
pub use gosched_runtime::explore::End;
pub use seed::{ParseSeedError, Seed};

/// The clock of the exploration that the caller runs in; elsewhere the real one.
///
/// ```
/// use std::time::Duration;
/// gosched_testing::virtual_time(|| {
///     let start = gosched_testing::now();
///     gosched_runtime::sleep(Duration::from_secs(3600));
///     assert_eq!(gosched_testing::now() - start, Duration::from_secs(3600));
/// });
/// ```
pub fn now() -> std::time::Instant {
    gosched_runtime::park::now()
}

/// A place where others may run, for programs that share something without this project's help. `what` is shown in the
/// schedule.
///
/// ```
/// gosched_testing::point("look at the flag"); // nothing, outside of an exploration
/// ```
#[inline]
pub fn point(what: &'static str) {
    gosched_runtime::park::point(what, std::ptr::null());
}
