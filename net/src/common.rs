//! What all sockets have in common, as methods: written once here for those whose kinds differ in nothing but the name.

/// Methods of every socket. `$fd` is the shared `Fd`; `$this => $clone` makes a handle from it.
/// `$make`: an expression of the doctests that makes a socket.
macro_rules! socket_methods {
    ($ours:ident, $make:literal) => {
        impl $ours {
            pub(crate) fn from_fd(fd: $crate::fd::Fd) -> $ours {
                $ours { fd: std::sync::Arc::new(fd) }
            }

            /// Closes the socket at once, under every handle of it: parked and later calls fail with
            /// `use of closed network connection` (`ErrorKind::ConnectionAborted`). The descriptor's number stays
            /// reserved until the last handle is dropped. Parks until the calls that were under way have left.
            ///
            /// # Errors
            /// The same error, where it was closed before.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.close()?;
            ///     assert_eq!(s.close().unwrap_err().to_string(), "use of closed network connection");
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn close(&self) -> io::Result<()> {
                self.fd.close()
            }

            /// A new handle on the same socket: settings, limits and `close` are common to both. Unlike std's it takes
            /// no second descriptor. Never parks.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     let other = s.try_clone()?;
            ///     other.close()?;
            ///     assert!(s.try_clone().is_err(), "closed with it");
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn try_clone(&self) -> io::Result<$ours> {
                self.fd.with(|_| Ok($ours { fd: self.fd.clone() }))
            }

            /// Takes the error that is pending on the socket (SO_ERROR). Never parks.
            ///
            /// # Errors
            /// The system's, where the question itself fails.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     assert!(s.take_error()?.is_none());
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.fd.with(|s| SockRef::from(&s).take_error())
            }

            /// With `true`, calls on every handle that would park give `WouldBlock` instead. The descriptor itself is
            /// non-blocking in either case. Never parks, and does not reach calls that are parked already.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.set_nonblocking(true)?; // the next call that would park gives WouldBlock
            ///     s.set_nonblocking(false)?;
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.fd.set_nonblocking(nonblocking)
            }
        }
    };
}

/// Time limits and deadlines, for sockets that read and write.
/// `$make`: as above.
macro_rules! limit_methods {
    ($ours:ident, $make:literal) => {
        impl $ours {
            /// A limit on how long each call that reads may park, `None` for none. A call that runs into it fails with
            /// `WouldBlock`, which is what std gives on Unix. Counts from the moment the call parks. Setting it never
            /// parks.
            ///
            /// # Errors
            /// `InvalidInput` for a duration of zero; where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
            ///     assert!(s.set_read_timeout(Some(std::time::Duration::ZERO)).is_err());
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
                self.fd.set_timeout(Mode::Read, dur)
            }

            /// As `set_read_timeout`, for calls that write. Never parks.
            ///
            /// # Errors
            /// `InvalidInput` for a duration of zero; where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.set_write_timeout(Some(std::time::Duration::from_secs(5)))?;
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
                self.fd.set_timeout(Mode::Write, dur)
            }

            /// The limit on each call that reads. Never parks.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     assert_eq!(s.read_timeout()?, None);
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                self.fd.timeout(Mode::Read)
            }

            /// The limit on each call that writes. Never parks.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     assert_eq!(s.write_timeout()?, None);
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                self.fd.timeout(Mode::Write)
            }

            /// The moment after which calls that read or write fail with `TimedOut`, `None` for never. It holds for
            /// calls that are parked already and for all later ones, until it is moved; it wins over data that is ready.
            /// Setting it never parks.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.set_deadline(Some(std::time::Instant::now() + std::time::Duration::from_secs(5)))?;
            ///     s.set_deadline(None)?;
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
                self.fd.set_deadline(&[Mode::Read, Mode::Write], deadline)
            }

            /// As `set_deadline`, for calls that read. Never parks.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.set_read_deadline(Some(std::time::Instant::now()))?; // the next read fails with TimedOut
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
                self.fd.set_deadline(&[Mode::Read], deadline)
            }

            /// As `set_deadline`, for calls that write. Never parks.
            ///
            /// # Errors
            /// Where the socket is closed.
            ///
            /// # Examples
            /// ```
            /// # fn main() -> std::io::Result<()> {
            /// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
            /// unsafe { gosched_runtime::run(|| {
            #[doc = concat!("    let s = ", $make, ";")]
            ///     s.set_write_deadline(Some(std::time::Instant::now()))?; // the next write fails with TimedOut
            ///     Ok(())
            /// }) }
            /// # }
            /// ```
            pub fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
                self.fd.set_deadline(&[Mode::Write], deadline)
            }
        }
    };
}

/// `Read` and `Write` for a stream and for a reference to one.
macro_rules! stream_traits {
    ($ours:ident) => {
        impl Read for &$ours {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.fd.read(buf.len(), |fd| sys::recv(fd, buf, 0))
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let len = bufs.iter().take(sys::MAX_SLICES).map(|b| b.len()).sum();
                self.fd.read(len, |fd| sys::recv_vectored(fd, bufs))
            }
        }

        impl Write for &$ours {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.fd.write(buf.len(), |fd| sys::send(fd, buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                let len = bufs.iter().take(sys::MAX_SLICES).map(|b| b.len()).sum();
                self.fd.write(len, |fd| sys::send_vectored(fd, bufs))
            }

            /// Nothing is held back here.
            #[inline]
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $ours {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl Write for $ours {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            #[inline]
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(crate) use {limit_methods, socket_methods, stream_traits};
