//! Moving bytes between descriptors inside the kernel. Where a system cannot, `Unsupported` says so, and the caller takes
//! the bytes through its own memory.

use super::last_error;
#[cfg(any(target_os = "linux", target_os = "android"))]
use gosched_runtime::faults::{self, Point};
use std::io;
use std::os::fd::{OwnedFd, RawFd};

/// A pipe for [`splice`]: bytes go in at `write` and come out at `read`. Empty unless its user says otherwise.
pub(crate) struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
}

/// Whether an error of [`splice`], [`send_file`] or [`pipe`] means that the kernel will not do it for these descriptors,
/// which has moved nothing: the bytes can still be read and written.
pub(crate) fn is_refused(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::Unsupported
        || matches!(
            e.raw_os_error(),
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM | libc::EOVERFLOW)
        )
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use super::*;
    use std::os::fd::FromRawFd;

    fn cvt(r: libc::ssize_t) -> io::Result<usize> {
        usize::try_from(r).map_err(|_| last_error())
    }

    /// A new pipe that holds `size` bytes if the system lets it.
    pub(crate) fn pipe(size: usize) -> io::Result<Pipe> {
        faults::check(Point::Pipe)?;
        let mut fds = [0; 2];
        // SAFETY: room for two descriptors.
        if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
            return Err(last_error());
        }
        // SAFETY: just made, and nobody else knows them.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) };
        // An error leaves the pipe at its usual size: the limit of pipe memory per user is reached.
        // SAFETY: plain numbers.
        unsafe { libc::fcntl(fds[1], libc::F_SETPIPE_SZ, size as libc::c_int) };
        Ok(Pipe { read, write })
    }

    /// Moves up to `len` bytes; one of the two is a pipe's end. 0: the source is at its end.
    pub(crate) fn splice(from: RawFd, to: RawFd, len: usize) -> io::Result<usize> {
        let len = faults::len(Point::Transfer, len)?;
        let null = std::ptr::null_mut();
        // SAFETY: plain numbers, and no offsets.
        cvt(unsafe { libc::splice(from, null, to, null, len, libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE) })
    }

    /// Sends up to `len` bytes of a file from `offset` on. 0: the file ends there.
    pub(crate) fn send_file(file: RawFd, to: RawFd, offset: u64, len: usize) -> io::Result<usize> {
        let Ok(mut at) = libc::off64_t::try_from(offset) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        let len = faults::len(Point::Transfer, len)?;
        // SAFETY: `at` is a place to write the new offset to, which nobody reads.
        cvt(unsafe { libc::sendfile64(to, file, &mut at, len) })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use super::*;

    pub(crate) fn pipe(_: usize) -> io::Result<Pipe> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn splice(_: RawFd, _: RawFd, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn send_file(_: RawFd, _: RawFd, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub(crate) use imp::{pipe, send_file, splice};
