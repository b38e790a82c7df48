//! The standard streams.
//!
//! ## stdin
//! O_NONBLOCK belongs to the open file, and descriptor 0's is shared with whoever started this process: a shell that finds
//! its terminal non-blocking afterwards is broken. So the mode stays as it is. A read asks poll(2) first and parks while
//! there is nothing; when there is something it reads, announced as a call that may block, because another process on the
//! same terminal or pipe may have been faster. A stdin that is a file is read straight away.
//!
//! There is one buffer for the process, under a lock at which goroutines park. It is not the buffer of `std::io::stdin`:
//! a program uses one of the two.
//!
//! ## stdout, stderr
//! They are std's own, buffer and lock, so that the order with `println!` is kept; a write is announced. std's lock is held
//! only inside one call, never while a goroutine parks.

use gosched_net::PollFd;
use gosched_runtime::sync::{Mutex, MutexGuard, OnceLock};
use gosched_runtime::syscall;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};

/// Descriptor 0 without a buffer.
struct Raw {
    /// `None` where the poller has no room for it, or it is not open.
    polled: Option<PollFd<BorrowedFd<'static>>>,
}

/// A file object for a descriptor that is not ours to close.
fn stdin_file() -> std::mem::ManuallyDrop<std::fs::File> {
    // SAFETY: never dropped, so never closed by us; where somebody has closed descriptor 0, reading is an error at worst.
    std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(libc::STDIN_FILENO) })
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let file = stdin_file();
        let read = match &self.polled {
            Some(polled) => polled.read_with(|_| (&*file).read(buf)),
            None => syscall(|| (&*file).read(buf)),
        };
        match read {
            // A process without a stdin reads nothing, as with std.
            Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(0),
            read => read,
        }
    }
}

fn buffer() -> &'static Mutex<BufReader<Raw>> {
    static STDIN: OnceLock<Mutex<BufReader<Raw>>> = OnceLock::new();
    STDIN.get_or_init(|| {
        // SAFETY: descriptor 0 is open for the process's life by convention, and nothing here depends on it: see `Raw`.
        let fd = unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) };
        let polled = PollFd::new_blocking(fd).ok();
        Mutex::new(BufReader::new(Raw { polled }))
    })
}

/// The standard input: [`std::io::stdin`] whose reads park the goroutine.
///
/// # Examples
/// ```no_run
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe {
///     gosched_runtime::run(|| {
///         for line in gosched_os::io::stdin().lines() {
///             println!("{}", line.unwrap().to_uppercase());
///         }
///     })
/// }
/// ```
pub fn stdin() -> Stdin {
    Stdin(())
}

/// A handle on the standard input: see [`stdin`]. All handles share one buffer, and all of them wait for a goroutine that
/// is inside.
///
/// # Examples
/// ```
/// use std::io::Read;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     assert_eq!(gosched_os::io::stdin().read(&mut [])?, 0);
///     Ok(())
/// }) }
/// # }
/// ```
#[derive(Debug)]
pub struct Stdin(());

impl Stdin {
    /// Takes the input for this goroutine alone, until the guard is dropped. Parks until others have let go of it.
    ///
    /// ```no_run
    /// use std::io::BufRead;
    /// let mut first = Vec::new();
    /// gosched_os::io::stdin().lock().read_until(b',', &mut first)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock(&self) -> StdinLock {
        StdinLock(buffer().lock())
    }

    /// Appends a line, its end included, to `buf`; gives its length in bytes, 0 at the end of the input. Parks.
    ///
    /// # Errors
    /// `InvalidData` where it is not UTF-8; the system's.
    ///
    /// # Examples
    /// ```no_run
    /// let mut name = String::new();
    /// gosched_os::io::stdin().read_line(&mut name)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// The lines, without their ends. Takes the input for as long as the iterator lives: parks until others have let go
    /// of it, and for each line.
    ///
    /// # Examples
    /// ```no_run
    /// for line in gosched_os::io::stdin().lines() {
    ///     println!("{}", line?.to_uppercase());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lines(self) -> io::Lines<StdinLock> {
        self.lock().lines()
    }
}

/// The standard input, for one goroutine alone: see [`Stdin::lock`].
///
/// ```
/// use std::io::Read;
/// let mut input = gosched_os::io::stdin().lock();
/// assert_eq!(input.read(&mut [])?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct StdinLock(MutexGuard<'static, BufReader<Raw>>);

impl std::fmt::Debug for StdinLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}

impl Read for StdinLock {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.0.read(buf)
    }
}

impl BufRead for StdinLock {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

/// Reading takes the lock for each call, as in std.
macro_rules! read_stdin {
    ($($ours:ty),*) => {$(
        impl Read for $ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.lock().read(buf)
            }
            fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
                self.lock().read_to_end(buf)
            }
            fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
                self.lock().read_to_string(buf)
            }
            fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                self.lock().read_exact(buf)
            }
        }
    )*};
}

read_stdin!(Stdin, &Stdin);

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: as in `buffer`; std gives it out on the same ground.
        unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        libc::STDIN_FILENO
    }
}

/// All of the standard input, as text. Parks.
///
/// # Errors
/// `InvalidData` where it is not UTF-8; the system's.
///
/// # Examples
/// ```no_run
/// let text = gosched_os::io::read_to_string(gosched_os::io::stdin())?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_to_string<R: Read>(mut reader: R) -> io::Result<String> {
    let mut text = String::new();
    reader.read_to_string(&mut text).map(|_| text)
}

/// Output streams that go to std's.
macro_rules! outputs {
    ($($(#[$doc:meta])* $make:ident -> $(#[$type_doc:meta])* $ours:ident;)*) => {$(
        $(#[$doc])*
        pub fn $make() -> $ours {
            $ours(())
        }

        $(#[$type_doc])*
        #[derive(Debug)]
        pub struct $ours(());

        impl Write for &$ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                syscall(|| io::$make().write(buf))
            }
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                syscall(|| io::$make().write_vectored(bufs))
            }
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                syscall(|| io::$make().write_all(buf))
            }
            /// One write, so that what others write does not come in between. Formatted before std's lock is taken: it
            /// may park.
            fn write_fmt(&mut self, args: std::fmt::Arguments<'_>) -> io::Result<()> {
                match args.as_str() {
                    Some(text) => self.write_all(text.as_bytes()),
                    None => self.write_all(args.to_string().as_bytes()),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                syscall(|| io::$make().flush())
            }
        }

        impl Write for $ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }
            fn write_fmt(&mut self, args: std::fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(args)
            }
            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }
        }
    )*};
}

outputs! {
    /// The standard output: [`std::io::stdout`] with its writes announced. Order with `println!` is kept: the buffer is the
    /// same.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    /// writeln!(gosched_os::io::stdout(), "hello")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    stdout ->
    /// A handle on the standard output: see [`stdout`].
    ///
    /// ```
    /// use std::io::Write;
    /// let mut out = gosched_os::io::stdout();
    /// out.write_all(b"hello\n")?;
    /// out.flush()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    Stdout;
    /// The standard error: [`std::io::stderr`] with its writes announced.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    /// writeln!(gosched_os::io::stderr(), "hello")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    stderr ->
    /// A handle on the standard error: see [`stderr`].
    ///
    /// ```
    /// use std::io::Write;
    /// gosched_os::io::stderr().write_all(b"hello\n")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    Stderr;
}
