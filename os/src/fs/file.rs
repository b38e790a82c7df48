//! [`File`]: std's, with every call announced.

use super::{FileTimes, Metadata, Permissions};
use gosched_runtime::syscall;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

/// An open file: [`std::fs::File`], whose calls block the thread, announced to the scheduler; after that they park
/// where no P is free.
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
pub struct File(pub(super) std::fs::File);

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// assert!(gosched_os::fs::File::open("Cargo.toml").is_ok());
    /// ```
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        syscall(|| std::fs::File::open(path)).map(File)
    }

    /// Opens a file for writing: made if need be, emptied if it is there.
    ///
    /// # Errors
    /// The system's.
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
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-new", std::process::id()));
    /// let file = File::create_new(&path)?;
    /// assert!(File::create_new(&path).is_err(), "it is there");
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        syscall(|| std::fs::File::create_new(path)).map(File)
    }

    /// Waits until content and metadata are on the disk.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-syncall", std::process::id()));
    /// let file = File::create(&path)?;
    /// std::io::Write::write_all(&mut &file, b"x")?;
    /// file.sync_all()?;
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sync_all(&self) -> io::Result<()> {
        syscall(|| self.0.sync_all())
    }

    /// Waits until the content is on the disk.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-syncdata", std::process::id()));
    /// let file = File::create(&path)?;
    /// std::io::Write::write_all(&mut &file, b"x")?;
    /// file.sync_data()?;
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sync_data(&self) -> io::Result<()> {
        syscall(|| self.0.sync_data())
    }

    /// Cuts the file off at `size` bytes, or extends it with zeroes.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-setlen", std::process::id()));
    /// let file = File::create(&path)?;
    /// file.set_len(10)?;
    /// assert_eq!(file.metadata()?.len(), 10);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        syscall(|| self.0.set_len(size))
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// assert!(gosched_os::fs::File::open("Cargo.toml")?.metadata()?.is_file());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metadata(&self) -> io::Result<Metadata> {
        syscall(|| self.0.metadata())
    }

    /// A second descriptor of the same open file: the position is common to both. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// let file = gosched_os::fs::File::open("Cargo.toml")?;
    /// let other = file.try_clone()?;
    /// assert_eq!(other.metadata()?.len(), file.metadata()?.len());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<File> {
        self.0.try_clone().map(File)
    }

    /// Changes its permissions.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-fperm", std::process::id()));
    /// let file = File::create(&path)?;
    /// let mut permissions = file.metadata()?.permissions();
    /// permissions.set_readonly(true);
    /// file.set_permissions(permissions)?;
    /// assert!(file.metadata()?.permissions().readonly());
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        syscall(|| self.0.set_permissions(permissions))
    }

    /// Changes its times.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-times", std::process::id()));
    /// let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    /// let file = File::create(&path)?;
    /// file.set_times(gosched_os::fs::FileTimes::new().set_modified(then))?;
    /// assert_eq!(file.metadata()?.modified()?, then);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        syscall(|| self.0.set_times(times))
    }

    /// Changes the time of its last modification.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-modified", std::process::id()));
    /// let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    /// let file = File::create(&path)?;
    /// file.set_modified(then)?;
    /// assert_eq!(file.metadata()?.modified()?, then);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        syscall(|| self.0.set_modified(time))
    }

    /// Locks the file for this handle alone, against other processes and handles; blocks the thread, announced, until it
    /// can.
    ///
    /// # Errors
    /// The system's.
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

    /// Locks the file together with others that do the same; blocks the thread, announced, until it can. See
    /// [`lock`](File::lock).
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-lsh", std::process::id()));
    /// File::create(&path)?;
    /// let (one, two) = (File::open(&path)?, File::open(&path)?);
    /// one.lock_shared()?;
    /// two.lock_shared()?;
    /// assert!(one.try_lock().is_err(), "not alone");
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock_shared(&self) -> io::Result<()> {
        syscall(|| self.0.lock_shared())
    }

    /// As [`lock`](File::lock), where that is possible now. Neither blocks nor parks.
    ///
    /// # Errors
    /// `WouldBlock` where another has it; the system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-tl", std::process::id()));
    /// File::create(&path)?;
    /// let (one, two) = (File::open(&path)?, File::open(&path)?);
    /// one.try_lock().unwrap();
    /// assert!(two.try_lock().is_err());
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<(), std::fs::TryLockError> {
        self.0.try_lock()
    }

    /// As [`lock_shared`](File::lock_shared), where that is possible now. Neither blocks nor parks.
    ///
    /// # Errors
    /// `WouldBlock` where another has it alone; the system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-tls", std::process::id()));
    /// File::create(&path)?;
    /// let (one, two) = (File::open(&path)?, File::open(&path)?);
    /// one.try_lock_shared().unwrap();
    /// assert!(two.try_lock_shared().is_ok());
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_lock_shared(&self) -> Result<(), std::fs::TryLockError> {
        self.0.try_lock_shared()
    }

    /// Ends a lock of this handle. Never parks.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-ul", std::process::id()));
    /// File::create(&path)?;
    /// let (one, two) = (File::open(&path)?, File::open(&path)?);
    /// one.lock()?;
    /// one.unlock()?;
    /// two.try_lock().unwrap();
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }

    /// Reads from an offset in bytes; the position stays. 0: the file ends there.
    ///
    /// # Errors
    /// The system's.
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

    /// Fills `buf` from an offset in bytes. See [`read_at`](File::read_at).
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends before; the system's.
    ///
    /// ```
    /// let mut word = [0; 7];
    /// gosched_os::fs::File::open("Cargo.toml")?.read_exact_at(&mut word, 1)?;
    /// assert_eq!(&word, b"package");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        syscall(|| self.0.read_exact_at(buf, offset))
    }

    /// Writes at an offset in bytes; the position stays. Gives how many bytes were written.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-wat", std::process::id()));
    /// let file = File::create(&path)?;
    /// assert_eq!(file.write_at(b"hello", 3)?, 5);
    /// assert_eq!(file.metadata()?.len(), 8);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        syscall(|| self.0.write_at(buf, offset))
    }

    /// Writes all of `buf` at an offset in bytes; the position stays.
    ///
    /// # Errors
    /// The system's.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-waat", std::process::id()));
    /// let file = File::create(&path)?;
    /// file.write_all_at(b"hello", 3)?;
    /// assert_eq!(file.metadata()?.len(), 8);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
