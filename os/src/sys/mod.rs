//! The platform: what the other files need beyond std and portable Unix.

use gosched_runtime::faults::{self, Point};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What the system call just made has left in errno. Never inlined: the compiler takes errno's address to be the same
/// throughout a function, and on the far side of a park it is another thread's.
#[inline(never)]
pub(crate) fn last_error() -> io::Error {
    io::Error::last_os_error()
}

/// fork and exec, by way of std. Blocks until the program runs, or is known not to.
pub(crate) fn spawn(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    faults::check(Point::Fork)?;
    command.spawn()
}

/// A pipe, in blocking mode.
pub(crate) fn pipe() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    faults::check(Point::Pipe)?;
    io::pipe()
}

/// A descriptor that can be read from once the child has ended: `Unsupported` where the system has no such thing. The
/// child must not have been waited for.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::fd::FromRawFd;
        faults::check(Point::Pidfd)?;
        let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: plain numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(last_error());
        }
        // SAFETY: just made, and nobody else knows it. A descriptor fits into an i32.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = pid;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The largest number of a signal.
pub(crate) fn max_signal() -> i32 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        libc::SIGRTMAX()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        31
    }
}

/// Whether the system itself ignores a signal. False also where it does not know the signal.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: a sigaction is integers and a pointer, for which zero is a value; the call only fills it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Does what the system does with a signal that nobody handles. In a signal handler: nothing but async-signal-safe calls.
pub(crate) fn act_by_default(signal: i32) {
    // SAFETY: async-signal-safe calls with plain numbers and a set of this stack. The signal is blocked while its handler
    // runs, so it is let in.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// Writes a byte, if there is room for it. In a signal handler.
pub(crate) fn write_byte(fd: RawFd) {
    // SAFETY: one byte of this stack; async-signal-safe. A bad number is an error, which concerns nobody.
    unsafe { libc::write(fd, [0u8].as_ptr().cast(), 1) };
}

/// read(2).
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buf` is writable for its length.
    let n = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    usize::try_from(n).map_err(|_| last_error())
}

pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain numbers; the descriptor is open.
    let ok = unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        flags >= 0 && libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) >= 0
    };
    if ok { Ok(()) } else { Err(last_error()) }
}
