//! [`File`] and [`OpenOptions`]: std's, with every call announced.

use super::{FileTimes, Metadata, Permissions};
use gosched_runtime::syscall;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

/// An open file: [`std::fs::File`], whose calls block the thread, announced to the scheduler.
///
/// `Read`, `Write` and `Seek` are there for the file and for `&File`; reading and writing at an offset through
/// [`read_at`](File::read_at) and [`write_at`](File::write_at).
///
/// # Examples
/// ```
/// use gosched_os::fs::{self, File};
/// use std::io::{Read, Seek, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let path = std::env::temp_dir().join(format!("gosched-doc-{}-file", std::process::id()));
///     let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
///     file.write_all(b"hello")?;
///     file.sync_all()?;
///     file.rewind()?;
///     let mut text = String::new();
///     file.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     file.set_len(2)?;
///     assert_eq!(file.metadata()?.len(), 2);
///     fs::remove_file(&path)
/// }) }
/// # }
/// ```
pub struct File(std::fs::File);

impl File {
    /// Opens a file for reading.
    ///
    /// ```
    /// assert!(gosched_os::fs::File::open("Cargo.toml").is_ok());
    /// ```
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        syscall(|| std::fs::File::open(path)).map(File)
    }

    /// Opens a file for writing: made if need be, emptied if it is there.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// let path = std::env::temp_dir().join(format!("gosched-doc-{}-create", std::process::id()));
    /// File::create(&path)?;
    /// assert!(File::create_new(&path).is_err());
    /// remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        syscall(|| std::fs::File::create(path)).map(File)
    }

    /// Makes a file that must not be there yet, for reading and writing. See [`create`](File::create).
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        syscall(|| std::fs::File::create_new(path)).map(File)
    }

    /// How to open a file, in detail. See the [type](File)'s example.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until content and metadata are on the disk.
    pub fn sync_all(&self) -> io::Result<()> {
        syscall(|| self.0.sync_all())
    }

    /// Waits until the content is on the disk.
    pub fn sync_data(&self) -> io::Result<()> {
        syscall(|| self.0.sync_data())
    }

    /// Cuts the file off, or extends it with zeroes.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        syscall(|| self.0.set_len(size))
    }

    /// What the system knows of it.
    pub fn metadata(&self) -> io::Result<Metadata> {
        syscall(|| self.0.metadata())
    }

    /// A second descriptor of the same open file: the position is common to both.
    pub fn try_clone(&self) -> io::Result<File> {
        self.0.try_clone().map(File)
    }

    /// Changes its permissions.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        syscall(|| self.0.set_permissions(permissions))
    }

    /// Changes its times.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        syscall(|| self.0.set_times(times))
    }

    /// Changes the time of its last modification.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        syscall(|| self.0.set_modified(time))
    }

    /// Locks the file for this handle alone, against other processes and handles; blocks the thread, announced, until it
    /// can.
    ///
    /// ```
    /// # use gosched_os::fs::File;
    /// let (one, two) = (File::open("Cargo.toml")?, File::open("Cargo.toml")?);
    /// one.lock()?;
    /// assert!(two.try_lock().is_err());
    /// one.unlock()?;
    /// two.lock_shared()?;
    /// one.try_lock_shared()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock(&self) -> io::Result<()> {
        syscall(|| self.0.lock())
    }

    /// Locks the file together with others that do the same. See [`lock`](File::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        syscall(|| self.0.lock_shared())
    }

    /// As [`lock`](File::lock), where that is possible now.
    pub fn try_lock(&self) -> Result<(), std::fs::TryLockError> {
        self.0.try_lock()
    }

    /// As [`lock_shared`](File::lock_shared), where that is possible now.
    pub fn try_lock_shared(&self) -> Result<(), std::fs::TryLockError> {
        self.0.try_lock_shared()
    }

    /// Ends a lock of this handle.
    pub fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    /// Reads from an offset; the position stays. 0: the file ends there.
    ///
    /// ```
    /// # use gosched_os::fs::File;
    /// let mut word = [0; 7];
    /// assert_eq!(File::open("Cargo.toml")?.read_at(&mut word, 1)?, 7);
    /// assert_eq!(&word, b"package");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        syscall(|| self.0.read_at(buf, offset))
    }

    /// Fills `buf` from an offset. See [`read_at`](File::read_at).
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        syscall(|| self.0.read_exact_at(buf, offset))
    }

    /// Writes at an offset; the position stays.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        syscall(|| self.0.write_at(buf, offset))
    }

    /// Writes all of `buf` at an offset.
    pub fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        syscall(|| self.0.write_all_at(buf, offset))
    }

    /// std's file, whose calls are not announced; for [`send_file`](gosched_net::send_file), for one.
    ///
    /// ```
    /// # use gosched_os::fs::File;
    /// let file = File::open("Cargo.toml")?;
    /// assert!(file.as_std().metadata()?.is_file());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_std(&self) -> &std::fs::File {
        &self.0
    }
}

/// `Read`, `Write` and `Seek` by way of `&std::fs::File`.
macro_rules! by_reference {
    ($($ours:ty),*) => {$(
        impl Read for $ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                syscall(|| (&self.0).read(buf))
            }
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                syscall(|| (&self.0).read_vectored(bufs))
            }
            // std knows the file's size, and reads the whole without growing the buffer step by step.
            fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
                syscall(|| (&self.0).read_to_end(buf))
            }
            fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
                syscall(|| (&self.0).read_to_string(buf))
            }
        }
        impl Write for $ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                syscall(|| (&self.0).write(buf))
            }
            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                syscall(|| (&self.0).write_vectored(bufs))
            }
            /// Nothing is held back here.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Seek for $ours {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                // Moves a number in the kernel; never waits.
                (&self.0).seek(to)
            }
        }
    )*};
}

by_reference!(File, &File);

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File(file)
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.0
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File(fd.into())
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.0.into()
    }
}

impl From<File> for std::process::Stdio {
    fn from(file: File) -> std::process::Stdio {
        file.0.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: the caller's promise, the same as ours.
        File(unsafe { std::fs::File::from_raw_fd(fd) })
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How to open a file: [`std::fs::OpenOptions`], with `open` announced.
///
/// # Examples
/// ```
/// use gosched_os::fs::OpenOptions;
///
/// assert!(OpenOptions::new().read(true).open("Cargo.toml").is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

/// A switch of std's.
macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident: $t:ty;)*) => {
        impl OpenOptions {$(
            $(#[$doc])*
            pub fn $name(&mut self, $name: $t) -> &mut OpenOptions {
                self.0.$name($name);
                self
            }
        )*}
    };
}

switches! {
    /// For reading.
    read: bool;
    /// For writing.
    write: bool;
    /// For writing, always at the end.
    append: bool;
    /// Empty it.
    truncate: bool;
    /// Make it if it is not there.
    create: bool;
    /// Make it; it must not be there yet.
    create_new: bool;
    /// The permissions of a file that is made.
    mode: u32;
    /// Further flags of open(2).
    custom_flags: i32;
}

impl OpenOptions {
    /// All off.
    pub fn new() -> OpenOptions {
        OpenOptions(std::fs::OpenOptions::new())
    }

    /// Opens a file so. Blocks the thread, announced (for as long as it takes the other side of a FIFO to come).
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        syscall(|| self.0.open(path)).map(File)
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions(options)
    }
}
