//! The rest of the operating system for gosched: signals, child processes, files, the standard streams.
//!
//! What the system offers an event for parks the goroutine; what blocks and cannot help it is announced to the scheduler,
//! so that the right to run goes to others meanwhile. The user's crate is `gosched`, which has these modules at its root.
//!
//! ```text
//!   signal     handler ─► a mark and a byte in a pipe ─► one goroutine, parked there ─► channels
//!   process    pipes: PollFd          the end: pidfd in a PollFd, waitpid announced where there is none
//!   io         stdin: poll first, then an announced read: its mode is not ours to change
//!   fs         every call announced (a file on a disk makes no events)
//! ```
//! A file uses only those before it in this list: sys, fs, io, process, signal.

pub mod fs;
pub mod io;
pub mod process;
pub mod signal;
mod sys;
