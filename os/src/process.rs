//! Child processes: [`std::process`] whose pipes park, and whose `wait` parks.
//!
//! ```text
//!   Command ─ spawn (fork and exec, announced) ─► Child { stdin, stdout, stderr: pipes in a PollFd }
//!                                                  wait: pidfd in a PollFd, made at the first wait
//!                                                        no pidfd: waitpid, announced; with a time limit, asked
//!                                                        again and again after growing pauses
//! ```
//! The pipes' other ends are the child's, in blocking mode as it expects: the two ends of a pipe are two open files.
//!
//! As in std, dropping a [`Child`] neither ends it nor waits for it. A child that nobody waits for stays a zombie until
//! this process ends.
//!
//! Nothing is left behind by a failure: where the pipes of a child that runs already cannot be watched (the poller has no
//! room), the child is killed and waited for before the error is returned.

use gosched_net::PollFd;
use gosched_runtime::{scope, sleep, syscall};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process as std_process;
use std::time::{Duration, Instant};

mod command;
mod pipes;

pub use command::Command;
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
#[doc(no_inline)]
pub use std::process::{CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, abort, exit, id};

/// The first pause between two looks at a child where the system makes no event of its end, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How this child's end is waited for.
#[derive(Debug)]
enum Watch {
    /// Nobody has waited yet.
    NotYet,
    /// Readable once the child has ended.
    Pidfd(PollFd<OwnedFd>),
    /// The system has none, or had no descriptor left.
    Unavailable,
}

/// A running child, or one that has ended: [`std::process::Child`].
///
/// Dropping it does not end the child.
///
/// # Examples
/// ```
/// use gosched_os::process::{Command, Stdio};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
///     child.stdin.take().unwrap().write_all(b"meow")?; // and dropped: cat sees the end
///     let mut said = String::new();
///     child.stdout.as_mut().unwrap().read_to_string(&mut said)?;
///     assert_eq!(said, "meow");
///     assert!(child.wait()?.success());
///     Ok(())
/// }) }
/// # }
/// ```
#[derive(Debug)]
pub struct Child {
    /// The child's stdin, if it was piped.
    pub stdin: Option<ChildStdin>,
    /// The child's stdout, if it was piped.
    pub stdout: Option<ChildStdout>,
    /// The child's stderr, if it was piped.
    pub stderr: Option<ChildStderr>,
    child: std_process::Child,
    watch: Watch,
}

impl Child {
    /// Takes a child of std's over, with its pipes.
    fn adopt(mut child: std_process::Child) -> io::Result<Child> {
        let pipes = (|| {
            Ok((
                child.stdin.take().map(ChildStdin::new).transpose()?,
                child.stdout.take().map(ChildStdout::new).transpose()?,
                child.stderr.take().map(ChildStderr::new).transpose()?,
            ))
        })();
        match pipes {
            Ok((stdin, stdout, stderr)) => Ok(Child { stdin, stdout, stderr, child, watch: Watch::NotYet }),
            Err(e) => {
                // The caller will never know of it. An error of these two says that it has ended.
                let _ = child.kill();
                let _ = syscall(|| child.wait());
                Err(e)
            }
        }
    }

    /// The process's number.
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("true").spawn()?;
    /// assert_ne!(child.id(), gosched_os::process::id());
    /// child.wait()
    /// # }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the child with SIGKILL; still to be waited for. Nothing happens where it has been waited for.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// child.kill()?;
    /// assert!(!child.wait()?.success());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Parks until the child has ended; closes its stdin first, so that it does not wait for us. Gives the same answer
    /// when asked again.
    ///
    /// # Errors
    /// The system's: `ECHILD` where somebody else has waited for the child, as a process that ignores SIGCHLD does.
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        if let Watch::Pidfd(pidfd) = self.watch() {
            // Without a limit it cannot fail, but for a system out of memory; then as below.
            let _ = pidfd.set_deadline(None).and_then(|()| pidfd.wait_readable());
        }
        syscall(|| self.child.wait())
    }

    /// As [`wait`](Child::wait), for `limit` at most: `None` where the child still runs then. It goes on running.
    ///
    /// # Errors
    /// As for that.
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # use std::time::Duration;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(20))?, None);
    /// child.kill()?;
    /// assert!(child.wait_timeout(Duration::MAX)?.is_some());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let Some(deadline) = Instant::now().checked_add(limit) else {
            return self.wait().map(Some);
        };
        drop(self.stdin.take());
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let waited = match self.watch() {
                Watch::Pidfd(pidfd) => {
                    pidfd.set_deadline(Some(deadline)).and_then(|()| pidfd.wait_readable())
                }
                Watch::NotYet | Watch::Unavailable => Err(io::ErrorKind::Unsupported.into()),
            };
            match waited {
                Ok(()) => {}
                // Asked once more: it may have ended at this moment.
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {}
                Err(_) => {
                    sleep(pause.min(left));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// How the child has ended; `None` while it runs. Does not park.
    ///
    /// # Errors
    /// As for [`wait`](Child::wait).
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("cat").stdin(gosched_os::process::Stdio::piped()).spawn()?;
    /// assert!(child.try_wait()?.is_none());
    /// child.wait()?; // closes its stdin
    /// assert!(child.try_wait()?.is_some());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Parks until the child has ended, and gives what it wrote to those of its outputs that are piped. Both are read at
    /// once, so that a child that writes much to each is not held up. Closes its stdin first.
    ///
    /// # Errors
    /// Of the reading, and as for [`wait`](Child::wait).
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::{Command, Stdio};
    /// # unsafe { gosched_runtime::run(|| {
    /// let child = Command::new("sh").args(["-c", "echo out; echo err >&2"])
    ///     .stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    /// let output = child.wait_with_output()?;
    /// assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        fn all(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
            let mut buf = Vec::new();
            pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut buf)).map(|_| buf)
        }
        drop(self.stdin.take());
        let (out, err) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = if err.is_none() {
            (all(out), Ok(Vec::new()))
        } else {
            scope(|s| {
                let err = s.spawn(move || all(err));
                let out = all(out);
                (out, err.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        };
        let status = self.wait()?;
        Ok(Output { status, stdout: stdout?, stderr: stderr? })
    }

    fn watch(&mut self) -> &Watch {
        if matches!(self.watch, Watch::NotYet) {
            self.watch = crate::sys::pidfd_open(self.child.id())
                .and_then(PollFd::new)
                .map_or(Watch::Unavailable, Watch::Pidfd);
        }
        &self.watch
    }
}
