//! What std's traits make of a [`PollFd`]: reading and writing, by way of the value's own impls, and the descriptor.

use super::PollFd;
use crate::fderror::closed;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

impl<T: AsFd> PollFd<T> {
    /// What a read into an empty buffer gives, which waits for nothing.
    fn read_nothing(&self) -> io::Result<usize> {
        if self.fd.is_closed() { Err(closed()) } else { Ok(0) }
    }
}

impl<T: AsFd + Read> Read for PollFd<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.read_nothing();
        }
        self.read_with_mut(|io| io.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|b| b.is_empty()) {
            return self.read_nothing();
        }
        self.read_with_mut(|io| io.read_vectored(bufs))
    }
}

impl<T: AsFd> Read for &PollFd<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.read_nothing();
        }
        self.read_with(|mut io| io.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|b| b.is_empty()) {
            return self.read_nothing();
        }
        self.read_with(|mut io| io.read_vectored(bufs))
    }
}

impl<T: AsFd + Write> Write for PollFd<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with_mut(|io| io.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with_mut(|io| io.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_with_mut(|io| io.flush())
    }
}

impl<T: AsFd> Write for &PollFd<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|mut io| io.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|mut io| io.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_with(|mut io| io.flush())
    }
}

impl<T: AsFd> AsFd for PollFd<T> {
    /// The value's descriptor.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.holder().as_fd()
    }
}

impl<T: AsFd> AsRawFd for PollFd<T> {
    /// The value's descriptor.
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> From<PollFd<T>> for OwnedFd
where
    OwnedFd: From<T>,
{
    /// As [`PollFd::into_inner`].
    fn from(p: PollFd<T>) -> OwnedFd {
        OwnedFd::from(p.into_inner())
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for PollFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFd").field("io", self.get_ref()).finish()
    }
}
