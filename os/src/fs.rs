//! Files: [`std::fs`] with every call announced to the scheduler.
//!
//! A file on a disk makes no events, so nothing here can park for it. Each call blocks its thread, through
//! [`gosched_runtime::syscall`]: where it takes long, the scheduler gives the right to run to another thread at once, and
//! the goroutine waits for its turn when it comes back. The errors are std's own. For a pipe, a device or a terminal that
//! was opened by its path, [`PollFd`](gosched_net::PollFd) parks.
//!
//! A value borrowed for a call (a path, a buffer) is used where it is: nothing is copied to another thread.
//!
//! ```
//! use gosched_os::fs;
//!
//! # fn main() -> std::io::Result<()> {
//! // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
//! unsafe { gosched_runtime::run(|| {
//!     let path = std::env::temp_dir().join(format!("gosched-doc-{}-fs", std::process::id()));
//!     fs::write(&path, "hello")?;
//!     assert_eq!(fs::read_to_string(&path)?, "hello");
//!     fs::remove_file(&path)
//! }) }
//! # }
//! ```

use gosched_runtime::syscall;
use std::io;
use std::path::{Path, PathBuf};

mod file;
mod open_options;

pub use file::File;
pub use open_options::OpenOptions;
#[doc(no_inline)]
pub use std::fs::{DirEntry, FileTimes, FileType, Metadata, Permissions};

/// Functions that differ from std's only in the announcement.
macro_rules! announced {
    ($($(#[$doc:meta])* $name:ident<$($p:ident: $of:ty),+>($($a:ident: $t:ty),+) -> $r:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// Blocks the thread, announced; then parks where no P is free.
        ///
        /// # Errors
        /// Those of the function of this name in [`std::fs`].
        pub fn $name<$($p: AsRef<$of>),+>($($a: $t),+) -> io::Result<$r> {
            syscall(|| std::fs::$name($($a),+))
        }
    )*};
}

announced! {
    /// The whole of a file.
    ///
    /// ```
    /// assert!(!gosched_os::fs::read("Cargo.toml")?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read<P: Path>(path: P) -> Vec<u8>;
    /// The whole of a file, as text.
    ///
    /// ```
    /// assert!(gosched_os::fs::read_to_string("Cargo.toml")?.contains("[package]"));
    /// assert_eq!(gosched_os::fs::read_to_string("no-such").unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read_to_string<P: Path>(path: P) -> String;
    /// Makes a file's content `contents`; the file is made if need be, and emptied first.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let path = std::env::temp_dir().join(format!("gosched-doc-{}-write", std::process::id()));
    /// fs::write(&path, b"data")?;
    /// assert_eq!(fs::read(&path)?, b"data");
    /// fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    write<P: Path, C: [u8]>(path: P, contents: C) -> ();
    /// Copies a file with its permissions; gives the number of bytes.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let to = std::env::temp_dir().join(format!("gosched-doc-{}-copy", std::process::id()));
    /// assert_eq!(fs::copy("Cargo.toml", &to)?, fs::metadata("Cargo.toml")?.len());
    /// fs::remove_file(&to)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    copy<P: Path, Q: Path>(from: P, to: Q) -> u64;
    /// Gives a file another name, on the same file system.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let path = std::env::temp_dir().join(format!("gosched-doc-{}-rename", std::process::id()));
    /// fs::write(&path, b"x")?;
    /// fs::rename(&path, path.with_extension("new"))?;
    /// assert!(!fs::exists(&path)?);
    /// fs::remove_file(path.with_extension("new"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    rename<P: Path, Q: Path>(from: P, to: Q) -> ();
    /// A second name for a file.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let path = std::env::temp_dir().join(format!("gosched-doc-{}-link", std::process::id()));
    /// fs::write(&path, b"x")?;
    /// fs::hard_link(&path, path.with_extension("2"))?;
    /// fs::remove_file(&path)?;
    /// assert_eq!(fs::read(path.with_extension("2"))?, b"x");
    /// fs::remove_file(path.with_extension("2"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    hard_link<P: Path, Q: Path>(original: P, link: Q) -> ();
    /// What a symbolic link points to.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let link = std::env::temp_dir().join(format!("gosched-doc-{}-symlink", std::process::id()));
    /// std::os::unix::fs::symlink("there", &link)?;
    /// assert_eq!(fs::read_link(&link)?, std::path::Path::new("there"));
    /// fs::remove_file(&link)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read_link<P: Path>(path: P) -> PathBuf;
    /// The absolute path, with all links followed.
    ///
    /// ```
    /// assert!(gosched_os::fs::canonicalize("src/../Cargo.toml")?.is_absolute());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    canonicalize<P: Path>(path: P) -> PathBuf;
    /// What the system knows of a file, links followed.
    ///
    /// ```
    /// assert!(gosched_os::fs::metadata("src")?.is_dir());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    metadata<P: Path>(path: P) -> Metadata;
    /// What the system knows of a file, or of a link itself.
    ///
    /// ```
    /// assert!(gosched_os::fs::symlink_metadata("src")?.is_dir());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    symlink_metadata<P: Path>(path: P) -> Metadata;
    /// Whether there is a file of this name.
    ///
    /// ```
    /// assert!(gosched_os::fs::exists("Cargo.toml")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    exists<P: Path>(path: P) -> bool;
    /// Removes a file's name, and the file with its last one.
    ///
    /// ```
    /// assert!(gosched_os::fs::remove_file("no-such").is_err());
    /// ```
    remove_file<P: Path>(path: P) -> ();
    /// Makes a directory in one that is there.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let dir = std::env::temp_dir().join(format!("gosched-doc-{}-dir", std::process::id()));
    /// fs::create_dir(&dir)?;
    /// fs::remove_dir(&dir)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_dir<P: Path>(path: P) -> ();
    /// Makes a directory, and those that lead to it.
    ///
    /// ```
    /// # use gosched_os::fs;
    /// let dir = std::env::temp_dir().join(format!("gosched-doc-{}-dirs", std::process::id()));
    /// fs::create_dir_all(dir.join("a/b"))?;
    /// fs::remove_dir_all(&dir)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_dir_all<P: Path>(path: P) -> ();
    /// Removes an empty directory.
    ///
    /// ```
    /// assert!(gosched_os::fs::remove_dir("src").is_err(), "not empty");
    /// ```
    remove_dir<P: Path>(path: P) -> ();
    /// Removes a directory with all that is in it.
    ///
    /// ```
    /// assert!(gosched_os::fs::remove_dir_all("no-such").is_err());
    /// ```
    remove_dir_all<P: Path>(path: P) -> ();
}

/// Changes a file's permissions. Blocks the thread, announced.
///
/// # Errors
/// The system's.
///
/// ```
/// # use gosched_os::fs;
/// let path = std::env::temp_dir().join(format!("gosched-doc-{}-perm", std::process::id()));
/// fs::write(&path, b"x")?;
/// let mut permissions = fs::metadata(&path)?.permissions();
/// permissions.set_readonly(true);
/// fs::set_permissions(&path, permissions)?;
/// assert!(fs::metadata(&path)?.permissions().readonly());
/// fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    syscall(|| std::fs::set_permissions(path, permissions))
}

/// The entries of a directory, in no order: an iterator whose every step blocks the thread, announced. The methods of a
/// [`DirEntry`] that ask the system are std's own, unannounced.
///
/// # Errors
/// The system's.
///
/// ```
/// let names: Vec<_> = gosched_os::fs::read_dir(".")?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
/// assert!(names.iter().any(|n| n == "Cargo.toml"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    syscall(|| std::fs::read_dir(path)).map(ReadDir)
}

/// See [`read_dir`].
///
/// ```
/// let mut names = Vec::new();
/// for entry in gosched_os::fs::read_dir("src")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.iter().any(|n| n == "lib.rs"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadDir(std::fs::ReadDir);

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;
    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        syscall(|| self.0.next())
    }
}
