//! A thread of the scheduler.
//!
//! The system may be short of what a thread needs for a moment only, while others end: it says so with EAGAIN, and as Go
//! does (`retryOnEAGAIN`) it is asked again, 20 times, after pauses that grow from 1 ms to 20 ms: 0.2 s in all. There is no
//! event to wait for.

use super::faults::{self, Point};
use std::io;
use std::time::Duration;

const TRIES: u64 = 20;

/// Starts a thread that runs `body`, on a stack of `stack` bytes (0: std's usual size).
///
/// # Errors
/// The system's, when it has said so for long enough.
pub(crate) fn start(name: &str, stack: usize, body: impl FnOnce() + Copy + Send + 'static) -> io::Result<()> {
    for tried in 1.. {
        let builder = std::thread::Builder::new().name(name.to_string());
        let builder = if stack == 0 { builder } else { builder.stack_size(stack) };
        match faults::check(Point::Thread).and_then(|()| builder.spawn(body)) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && tried < TRIES => {
                std::thread::sleep(Duration::from_millis(tried));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
