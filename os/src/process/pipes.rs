//! A child's standard streams, seen from here: std's pipes in a [`PollFd`].

use gosched_net::PollFd;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::time::Instant;

macro_rules! pipes {
    ($($(#[$doc:meta])* $ours:ident($std:ty), $field:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $ours(PollFd<$std>);

        impl $ours {
            pub(super) fn new(pipe: $std) -> io::Result<$ours> {
                PollFd::new(pipe).map($ours)
            }

            /// The moment after which calls fail with `TimedOut`, those that are parked already included; `None` for
            /// never. Setting it never parks.
            ///
            /// # Errors
            /// Where it is closed.
            ///
            /// # Examples
            /// ```
            /// # use gosched_os::process::{Command, Stdio};
            /// # unsafe { gosched_runtime::run(|| {
            /// # let (i, o, e) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
            /// let mut child = Command::new("cat").stdin(i).stdout(o).stderr(e).spawn()?; // all three are pipes
            #[doc = concat!("let pipe = child.", $field, ".take().unwrap();")]
            /// pipe.set_deadline(Some(std::time::Instant::now()))?; // the next call fails with TimedOut
            /// pipe.set_deadline(None)?;
            /// # drop(pipe);
            /// # child.wait()
            /// # }) }?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
                self.0.set_deadline(deadline)
            }

            /// Closes this end at once, under those who are parked on it: their calls and all later ones fail with
            /// `use of closed network connection`. Parks until the calls that were under way have left.
            ///
            /// # Errors
            /// The same error, where it was closed before.
            ///
            /// # Examples
            /// ```
            /// # use gosched_os::process::{Command, Stdio};
            /// # unsafe { gosched_runtime::run(|| {
            /// # let (i, o, e) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
            /// let mut child = Command::new("cat").stdin(i).stdout(o).stderr(e).spawn()?; // all three are pipes
            #[doc = concat!("let pipe = child.", $field, ".take().unwrap();")]
            /// pipe.close()?;
            /// assert_eq!(pipe.close().unwrap_err().to_string(), "use of closed network connection");
            /// # drop(pipe);
            /// # child.wait()
            /// # }) }?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn close(&self) -> io::Result<()> {
                self.0.close()
            }
        }

        impl AsFd for $ours {
            /// The descriptor is non-blocking.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $ours {
            /// The descriptor is non-blocking.
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl From<$ours> for $std {
            /// std's pipe, in blocking mode.
            fn from(pipe: $ours) -> $std {
                pipe.0.into_inner()
            }
        }

        impl From<$ours> for OwnedFd {
            /// The descriptor, in blocking mode.
            fn from(pipe: $ours) -> OwnedFd {
                pipe.0.into()
            }
        }

        impl IntoRawFd for $ours {
            /// The descriptor, in blocking mode.
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl From<$ours> for Stdio {
            /// For another child, in blocking mode.
            fn from(pipe: $ours) -> Stdio {
                pipe.0.into_inner().into()
            }
        }

        impl TryFrom<$std> for $ours {
            type Error = io::Error;
            /// Fails where the poller has no room for it.
            fn try_from(pipe: $std) -> io::Result<$ours> {
                $ours::new(pipe)
            }
        }
    )*};
}

pipes! {
    /// What the child reads as its stdin: see [`Child::stdin`](super::Child). Writes park while the pipe is full; dropping
    /// it is the end for the child.
    ///
    /// ```
    /// # use gosched_os::process::{Command, Stdio};
    /// # use std::io::Write;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    /// let stdin = child.stdin.as_ref().unwrap();
    /// stdin.set_deadline(Some(std::time::Instant::now()))?;
    /// assert!((&*stdin).write(b"x").is_err(), "too late");
    /// stdin.close()?;
    /// child.wait()
    /// # }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ChildStdin(std::process::ChildStdin), "stdin";
    /// What the child writes to its stdout: see [`Child::stdout`](super::Child). Reads park until there is some.
    ///
    /// ```
    /// # use gosched_os::process::{Command, Stdio};
    /// # unsafe { gosched_runtime::run(|| {
    /// // A pipeline: what one child writes is what the other reads.
    /// let mut one = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    /// let two = Command::new("tr").args(["a-z", "A-Z"]).stdin(one.stdout.take().unwrap()).output()?;
    /// one.wait()?;
    /// assert_eq!(two.stdout, b"HELLO\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ChildStdout(std::process::ChildStdout), "stdout";
    /// What the child writes to its stderr: see [`Child::stderr`](super::Child). As [`ChildStdout`].
    ///
    /// ```
    /// # use gosched_os::process::{Command, Stdio};
    /// # use std::io::Read;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("sh").args(["-c", "echo oh >&2"]).stderr(Stdio::piped()).spawn()?;
    /// let mut text = String::new();
    /// child.stderr.take().unwrap().read_to_string(&mut text)?;
    /// assert_eq!(text, "oh\n");
    /// child.wait()?;
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ChildStderr(std::process::ChildStderr), "stderr";
}

macro_rules! reads {
    ($($ours:ident),*) => {$(
        impl Read for $ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }
    )*};
}

reads!(ChildStdout, ChildStderr);

impl Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
