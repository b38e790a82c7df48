//! Unix. Where Linux does in one call what others do in two, both are here.

use gosched_runtime::faults::{self, Point};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

/// What the system call just made has left in errno. Never inlined: the compiler takes errno's address to be the same
/// throughout a function, and on the far side of a park it is another thread's.
#[inline(never)]
pub(crate) fn last_error() -> io::Error {
    io::Error::last_os_error()
}

/// -1 means errno.
fn cvt(r: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(r).map_err(|_| last_error())
}

// ------------------------------------------------------------------------------------------------------ polling

/// Urgent data is asked for too where it can be: a read stops at it (fd.rs, the drained mark).
#[cfg(any(target_os = "linux", target_os = "android"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Whether a short read proves that the socket was empty: only where urgent data shows in events.
pub(crate) const SHORT_READS_COUNT: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(crate) fn register(registry: &Registry, fd: RawFd, token: Token) -> io::Result<()> {
    faults::check(Point::Register)?;
    registry.register(&mut SourceFd(&fd), token, INTEREST)
}

pub(crate) fn deregister(registry: &Registry, fd: RawFd) -> io::Result<()> {
    registry.deregister(&mut SourceFd(&fd))
}

/// Waits up to `d`, to the nanosecond, for the poller to have events. True: waited, poll now. False: cannot, mio shall
/// wait.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn wait_readable(poll: &Poll, d: Duration) -> bool {
    let mut fds = libc::pollfd { fd: poll.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ts =
        libc::timespec { tv_sec: d.as_secs() as libc::time_t, tv_nsec: d.subsec_nanos() as libc::c_long };
    // SAFETY: one pollfd and one timespec, both on this stack for the length of the call. However it ends (events,
    // time, a signal), the poll that follows is right.
    unsafe { libc::ppoll(&mut fds, 1, &ts, std::ptr::null()) };
    true
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn wait_readable(_: &Poll, _: Duration) -> bool {
    false
}

/// Whether `register` refused because the file never has to be waited for: a regular file, a directory, /dev/null.
pub(crate) fn cannot_be_watched(e: &io::Error) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        e.raw_os_error() == Some(libc::EPERM)
    }
    // kqueue's word for it is EINVAL, on some systems ENODEV.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        matches!(e.raw_os_error(), Some(libc::EPERM | libc::EINVAL | libc::ENODEV))
    }
}

/// Whether a call would have to wait now: `WouldBlock` where it would.
pub(crate) fn ready_now(fd: BorrowedFd<'_>, write: bool) -> io::Result<()> {
    let events = if write { libc::POLLOUT } else { libc::POLLIN };
    let mut fds = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one pollfd on this stack; no time to wait.
    match unsafe { libc::poll(&mut fds, 1, 0) } {
        1 if fds.revents & libc::POLLNVAL != 0 => Err(io::Error::from_raw_os_error(libc::EBADF)),
        // An end or an error counts: the call itself will say which.
        1 => Ok(()),
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Err(last_error()),
    }
}

// ---------------------------------------------------------------------------------------------------- transfers

#[cfg(any(target_vendor = "apple", target_os = "solaris"))]
const NO_SIGNAL: libc::c_int = 0; // socket2 sets SO_NOSIGPIPE on the sockets that it makes
#[cfg(not(any(target_vendor = "apple", target_os = "solaris")))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;

/// MSG_DONTWAIT although the descriptor is non-blocking: O_NONBLOCK belongs to the open file, which a duplicate handed
/// out to std, or to another process, shares and may have set back.
const RECV: libc::c_int = libc::MSG_DONTWAIT;
const SEND: libc::c_int = libc::MSG_DONTWAIT | NO_SIGNAL;

/// recv(2) and send(2) past the C library's own: to glibc they are places where a thread can be cancelled, which costs two
/// locked instructions and 30 ns a call in a process with threads.
#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
mod call {
    use libc::{SYS_recvfrom, SYS_sendto, c_int, c_long, ssize_t, syscall};

    /// # Safety
    /// As recv(2).
    #[inline]
    pub(super) unsafe fn recv(fd: c_int, buf: *mut u8, len: usize, flags: c_int) -> ssize_t {
        // SAFETY: handed on. Nobody asks for the sender's address.
        unsafe {
            syscall(SYS_recvfrom, c_long::from(fd), buf, len, c_long::from(flags), 0usize, 0usize) as ssize_t
        }
    }

    /// # Safety
    /// As send(2).
    #[inline]
    pub(super) unsafe fn send(fd: c_int, buf: *const u8, len: usize, flags: c_int) -> ssize_t {
        // SAFETY: handed on. There is no receiver's address.
        unsafe {
            syscall(SYS_sendto, c_long::from(fd), buf, len, c_long::from(flags), 0usize, 0usize) as ssize_t
        }
    }
}

#[cfg(not(all(
    any(target_os = "linux", target_os = "android"),
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
)))]
mod call {
    use libc::{c_int, ssize_t};

    /// # Safety
    /// As recv(2).
    #[inline]
    pub(super) unsafe fn recv(fd: c_int, buf: *mut u8, len: usize, flags: c_int) -> ssize_t {
        // SAFETY: handed on.
        unsafe { libc::recv(fd, buf.cast(), len, flags) }
    }

    /// # Safety
    /// As send(2).
    #[inline]
    pub(super) unsafe fn send(fd: c_int, buf: *const u8, len: usize, flags: c_int) -> ssize_t {
        // SAFETY: handed on.
        unsafe { libc::send(fd, buf.cast(), len, flags) }
    }
}

#[inline]
pub(crate) fn recv(fd: RawFd, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let len = faults::len(Point::Recv, buf.len())?;
    // SAFETY: `buf` is writable for its length during the call.
    cvt(unsafe { call::recv(fd, buf.as_mut_ptr(), len, RECV | flags) })
}

pub(crate) fn peek(fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
    recv(fd, buf, libc::MSG_PEEK)
}

#[inline]
pub(crate) fn send(fd: RawFd, buf: &[u8]) -> io::Result<usize> {
    let len = faults::len(Point::Send, buf.len())?;
    // SAFETY: `buf` is readable for its length during the call.
    cvt(unsafe { call::send(fd, buf.as_ptr(), len, SEND) })
}

/// The most slices that a vectored transfer takes at once.
pub(crate) const MAX_SLICES: usize = 1024;

fn message(iov: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a msghdr is integers and pointers, for which zero is a value.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = iov;
    msg.msg_iovlen = count as _;
    msg
}

pub(crate) fn recv_vectored(fd: RawFd, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    faults::check(Point::Recv)?;
    let mut msg = message(bufs.as_mut_ptr().cast(), bufs.len().min(MAX_SLICES));
    // SAFETY: IoSliceMut has iovec's layout (std promises it), and the buffers are writable during the call.
    cvt(unsafe { libc::recvmsg(fd, &mut msg, RECV) })
}

pub(crate) fn send_vectored(fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    faults::check(Point::Send)?;
    let msg = message(bufs.as_ptr().cast_mut().cast(), bufs.len().min(MAX_SLICES));
    // SAFETY: IoSlice has iovec's layout (std promises it); sendmsg only reads through it.
    cvt(unsafe { libc::sendmsg(fd, &msg, SEND) })
}

/// A datagram, or the start of one, with its sender's address.
pub(crate) fn recv_from(fd: RawFd, buf: &mut [u8], peek: bool) -> io::Result<(usize, SockAddr)> {
    faults::check(Point::Recv)?;
    let flags = if peek { RECV | libc::MSG_PEEK } else { RECV };
    // SAFETY: the closure fills storage and length as recvfrom defines it (a length of 0 for a sender without address);
    // `buf` is writable for its length.
    unsafe {
        SockAddr::try_init(|storage, len| {
            cvt(libc::recvfrom(fd, buf.as_mut_ptr().cast(), buf.len(), flags, storage.cast(), len))
        })
    }
}

pub(crate) fn send_to(fd: RawFd, buf: &[u8], to: &SockAddr) -> io::Result<usize> {
    faults::check(Point::Send)?;
    // SAFETY: `buf` and the address are readable for their lengths.
    cvt(unsafe { libc::sendto(fd, buf.as_ptr().cast(), buf.len(), SEND, to.as_ptr().cast(), to.len()) })
}

/// An address of Unix sockets, as std has it. A socket without a name has the empty one.
pub(crate) fn to_unix_addr(a: &SockAddr) -> io::Result<UnixAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = a.as_abstract_namespace() {
        return <UnixAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    a.as_unix().map_or_else(|| UnixAddr::from_pathname(""), Ok)
}

pub(crate) fn from_unix_addr(a: &UnixAddr) -> io::Result<SockAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(a) {
        use std::os::unix::ffi::OsStrExt;
        let path = [&[0], name].concat();
        return SockAddr::unix(std::ffi::OsStr::from_bytes(&path));
    }
    match a.as_pathname() {
        Some(path) => SockAddr::unix(path),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket without a name cannot be addressed"))
        }
    }
}

pub(crate) fn is_would_block(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}

// ---------------------------------------------------------------------------------------------- opening, closing

/// A socket: non-blocking, close-on-exec.
pub(crate) fn socket(domain: Domain, ty: Type) -> io::Result<Socket> {
    faults::check(Point::Socket)?;
    Socket::new(domain, ty.nonblocking(), None)
}

/// connect(2), on a socket that is ours or not yet.
pub(crate) fn connect(socket: &impl AsFd, addr: &SockAddr) -> io::Result<()> {
    faults::check(Point::Connect)?;
    socket2::SockRef::from(socket).connect(addr)
}

/// connect(2) that does not go on by itself when a signal interrupts it: that of Unix sockets, which is done when it
/// returns.
pub(crate) fn connect_whole(socket: &impl AsFd, addr: &SockAddr) -> io::Result<()> {
    loop {
        match connect(socket, addr) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The file that a bind has made; it goes again with this, unless it is kept.
#[must_use]
pub(crate) struct Bound<'a>(Option<&'a std::path::Path>);

impl Bound<'_> {
    /// The socket is in use now.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        // Where it is gone already, that is as well.
        self.0.map(std::fs::remove_file);
    }
}

/// bind(2) of a Unix socket. An address with a path makes a file, which would be in the way of the next attempt where the
/// socket comes to nothing.
pub(crate) fn bind_path<'a>(socket: &Socket, addr: &'a SockAddr) -> io::Result<Bound<'a>> {
    socket.bind(addr)?;
    Ok(Bound(addr.as_pathname()))
}

/// Accepts a connection: non-blocking, close-on-exec.
pub(crate) fn accept(fd: RawFd) -> io::Result<(OwnedFd, SockAddr)> {
    faults::check(Point::Accept)?;
    // SAFETY: the closure fills storage and length as accept defines it.
    unsafe {
        SockAddr::try_init(|storage, len| {
            let fd = accept_raw(fd, storage.cast(), len)?;
            // SAFETY: accept has just made it, and nobody else knows it.
            Ok(OwnedFd::from_raw_fd(fd))
        })
    }
}

/// # Safety
/// `addr` and `len` as accept(2) wants them.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
))]
unsafe fn accept_raw(fd: RawFd, addr: *mut libc::sockaddr, len: *mut libc::socklen_t) -> io::Result<RawFd> {
    // SAFETY: handed on.
    let r = unsafe { libc::accept4(fd, addr, len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) };
    if r < 0 { Err(last_error()) } else { Ok(r) }
}

/// # Safety
/// `addr` and `len` as accept(2) wants them.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
unsafe fn accept_raw(fd: RawFd, addr: *mut libc::sockaddr, len: *mut libc::socklen_t) -> io::Result<RawFd> {
    // SAFETY: handed on.
    let r = unsafe { libc::accept(fd, addr, len) };
    if r < 0 {
        return Err(last_error());
    }
    // SAFETY: accept has just made it; given away again below.
    let socket = socket2::Socket::from(unsafe { OwnedFd::from_raw_fd(r) });
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    #[cfg(target_vendor = "apple")]
    socket.set_nosigpipe(true)?;
    Ok(std::os::fd::IntoRawFd::into_raw_fd(socket))
}

/// What accept's error means for the one who waits for connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptError {
    /// This connection came to nothing, the next one is as good as any.
    TryNext,
    /// Something has run out, descriptors, memory, or places in the poller (ENOSPC): it comes back when others give
    /// theirs back.
    Exhausted,
    /// The listener is of no use.
    Real,
}

pub(crate) fn accept_error(e: &io::Error) -> AcceptError {
    match e.raw_os_error() {
        // accept(2): Linux passes on errors that the new connection already has.
        Some(
            libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EINTR
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::ETIMEDOUT,
        ) => AcceptError::TryNext,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => {
            AcceptError::Exhausted
        }
        _ => AcceptError::Real,
    }
}

/// Whether a connect(2) that gave this error goes on by itself.
pub(crate) fn connect_goes_on(e: &io::Error) -> bool {
    // EINTR: the connection is made in the background all the same.
    matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR | libc::EALREADY))
}

pub(crate) fn is_not_connected(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::ENOTCONN)
}

/// What std's socket methods give when a time limit of theirs passes.
pub(crate) fn timed_out_like_std() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// Makes the number `fd` stand for `placeholder` and lets go of the socket it stood for, in one step: no other thread
/// can be given the number in between.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn replace(fd: BorrowedFd<'_>, placeholder: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        // SAFETY: both are open. Whoever borrows `fd` keeps an open descriptor.
        let r = unsafe { libc::dup3(placeholder.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
        let e = last_error();
        match e.raw_os_error() {
            _ if r >= 0 => return Ok(()),
            // EBUSY: a race with another thread's open, says dup(2).
            Some(libc::EINTR | libc::EBUSY) => {}
            _ => return Err(e),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn replace(fd: BorrowedFd<'_>, placeholder: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open. Whoever borrows `fd` keeps an open descriptor.
    if unsafe { libc::dup2(placeholder.as_raw_fd(), fd.as_raw_fd()) } < 0 {
        return Err(last_error());
    }
    socket2::SockRef::from(&fd).set_cloexec(true)
}

/// A descriptor on which every operation fails: an unconnected socket of no address.
pub(crate) fn placeholder() -> io::Result<OwnedFd> {
    faults::check(Point::Socket)?;
    Ok(Socket::new(Domain::UNIX, Type::STREAM, None)?.into())
}

pub(crate) fn shutdown_both(fd: BorrowedFd<'_>) {
    // An error says that there is no connection to end.
    let _ = socket2::SockRef::from(&fd).shutdown(std::net::Shutdown::Both);
}

/// Whether `fd` is a TCP stream with nothing in between.
pub(crate) fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let s = socket2::SockRef::from(&fd);
        matches!(s.protocol(), Ok(Some(socket2::Protocol::TCP)))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = fd;
        false
    }
}

/// The length of a listener's queue where the caller names none (Go: maxListenerBacklog).
pub(crate) fn default_backlog() -> i32 {
    static BACKLOG: std::sync::OnceLock<i32> = std::sync::OnceLock::new();
    *BACKLOG.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/net/core/somaxconn")
            .ok()
            .and_then(|s| s.trim().parse::<i32>().ok())
            .filter(|&n| n > 0)
            .unwrap_or(libc::SOMAXCONN)
    })
}

/// std's habit, and the reason for it: a server that restarts must not wait for the old connections' TIME_WAIT.
pub(crate) const REUSE_ADDRESS_BY_DEFAULT: bool = true;

pub(crate) fn to_socket_addr(a: &SockAddr) -> io::Result<SocketAddr> {
    a.as_socket().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an internet address"))
}
