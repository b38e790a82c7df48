//! Faults on demand: makes a chosen call of the system fail, or do less than it was asked for. For this project's tests.
//!
//! What happens when memory, threads or descriptors run out is seen by nobody until it happens to a user. So every place
//! that calls the system asks here first, by the name of its [`Point`]:
//!
//! ```text
//!   sys/mem.rs          check(Point::Commit)?;  mprotect(…)          Err: as if the call had failed so
//!   net's sys/unix.rs   let n = len(Point::Send, buf.len())?;  send(…, n)      a smaller n: as if no more had fitted
//!
//!   a test              let planned = plan(Point::Accept, 3, 1, Fault::Errno(EMFILE));     the third call from now, once
//!                       …; planned.hits()                            disarmed when `planned` is dropped
//! ```
//! It is there with the feature `faults` only. Without it `check` and `len` are inline and do nothing, and no call of theirs
//! is left in the program.
//!
//! A point counts the calls of the whole process: tests that plan run one at a time, or in a process of their own.

use std::io;

/// A place where the system is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// Address space: mmap.
    Reserve,
    /// Making it usable, for stacks and what belongs to them: mprotect.
    Commit,
    /// The same for goroutines.
    Goroutines,
    /// The same for the stack of a thread's signal handlers, which can be done without.
    SignalStack,
    /// Guards between stacks: madvise, or mprotect.
    Guard,
    /// A thread of the scheduler: clone, by way of std.
    Thread,
    /// A thread that looks names up.
    Resolver,
    /// The poller itself: epoll_create1 and eventfd.
    Poller,
    /// A descriptor into the poller's care: epoll_ctl.
    Register,
    /// The poller's wait: epoll_wait.
    Wait,
    /// A socket.
    Socket,
    /// connect.
    Connect,
    /// accept4.
    Accept,
    /// recv and its kin.
    Recv,
    /// send and its kin.
    Send,
    /// A pipe.
    Pipe,
    /// A copy inside the kernel: splice, sendfile.
    Transfer,
    /// pidfd_open.
    Pidfd,
    /// A child process: fork and exec, by way of std.
    Fork,
}

#[cfg(feature = "faults")]
const POINTS: usize = Point::Fork as usize + 1;

/// Whether this call shall fail.
///
/// # Errors
/// The planned one.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn check(_: Point) -> io::Result<()> {
    Ok(())
}

/// How many of `n` bytes this call shall be asked for.
///
/// # Errors
/// The planned one.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn len(_: Point, n: usize) -> io::Result<usize> {
    Ok(n)
}

#[cfg(feature = "faults")]
pub use on::{Fault, Planned, check, len, plan};

#[cfg(feature = "faults")]
mod on {
    use super::{POINTS, Point, io};
    use parking_lot::Mutex;

    /// What shall happen.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Fault {
        /// The call fails with this errno, and does nothing.
        Errno(i32),
        /// The call is asked for so many bytes at most; where it moves none, it is left alone.
        Short(usize),
    }

    /// What is planned at one point.
    struct Site {
        /// Calls since the plan was made.
        calls: u64,
        /// The first call, from 1, that is hit, and how many in a row.
        first: u64,
        count: u64,
        fault: Fault,
        hits: u64,
    }

    static SITES: [Mutex<Option<Site>>; POINTS] = [const { Mutex::new(None) }; POINTS];

    /// A plan that is in force; lifted when dropped.
    #[must_use]
    pub struct Planned(Point);

    /// From now on call number `first` (from 1) at `point`, and those that follow it, `count` in all, meet `fault`. One
    /// plan for a point at a time. With a count of 0 calls are counted only.
    ///
    /// # Panics
    /// Where there is a plan for this point.
    pub fn plan(point: Point, first: u64, count: u64, fault: Fault) -> Planned {
        let old = SITES[point as usize].lock().replace(Site { calls: 0, first, count, fault, hits: 0 });
        assert!(old.is_none(), "two plans for {point:?}");
        Planned(point)
    }

    impl Planned {
        fn site<T>(&self, f: impl FnOnce(&Site) -> T) -> T {
            f(SITES[self.0 as usize].lock().as_ref().expect("in force"))
        }

        /// Calls so far.
        pub fn calls(&self) -> u64 {
            self.site(|s| s.calls)
        }

        /// How many of them met the fault.
        pub fn hits(&self) -> u64 {
            self.site(|s| s.hits)
        }
    }

    impl Drop for Planned {
        fn drop(&mut self) {
            *SITES[self.0 as usize].lock() = None;
        }
    }

    /// Counts a call, and tells what it meets.
    fn met(point: Point) -> Option<Fault> {
        let mut site = SITES[point as usize].lock();
        let s = site.as_mut()?;
        s.calls += 1;
        let hit = s.calls >= s.first && s.calls - s.first < s.count;
        s.hits += u64::from(hit);
        hit.then_some(s.fault)
    }

    /// Whether this call shall fail.
    ///
    /// # Errors
    /// The planned one.
    pub fn check(point: Point) -> io::Result<()> {
        len(point, 0).map(|_| ())
    }

    /// How many of `n` bytes this call shall be asked for.
    ///
    /// # Errors
    /// The planned one.
    pub fn len(point: Point, n: usize) -> io::Result<usize> {
        match met(point) {
            None => Ok(n),
            Some(Fault::Short(less)) => Ok(n.min(less)),
            Some(Fault::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_planned_calls_meet_the_fault_and_no_others() {
            let errno = |r: io::Result<()>| r.err().and_then(|e| e.raw_os_error());
            assert_eq!(errno(check(Point::Fork)), None);
            let planned = plan(Point::Fork, 2, 2, Fault::Errno(libc::ENOMEM));
            let seen: Vec<_> = (0..5).map(|_| errno(check(Point::Fork))).collect();
            assert_eq!(seen, [None, Some(libc::ENOMEM), Some(libc::ENOMEM), None, None]);
            assert_eq!((planned.calls(), planned.hits()), (5, 2));
            drop(planned);
            let _planned = plan(Point::Fork, 1, 1, Fault::Short(3));
            assert_eq!((len(Point::Fork, 8).unwrap(), len(Point::Fork, 8).unwrap()), (3, 8));
        }
    }
}
