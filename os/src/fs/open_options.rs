//! [`OpenOptions`]: std's, with the opening announced.

use super::File;
use gosched_runtime::syscall;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

impl File {
    /// How to open a file, in detail. See the [type](File)'s example.
    ///
    /// ```
    /// # use gosched_os::fs::{File, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-options", std::process::id()));
    /// let mut file = File::options().append(true).create(true).open(&path)?;
    /// std::io::Write::write_all(&mut file, b"end")?;
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }
}

/// How to open a file: [`std::fs::OpenOptions`], with `open` announced. The setters never park.
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
    ///
    /// ```
    /// let file = gosched_os::fs::OpenOptions::new().read(true).open("Cargo.toml")?;
    /// assert_eq!(file.read_at(&mut [0; 1], 0)?, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read: bool;
    /// For writing.
    ///
    /// ```
    /// # use gosched_os::fs::{OpenOptions, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-ow", std::process::id()));
    /// let file = OpenOptions::new().write(true).create(true).open(&path)?;
    /// file.write_all_at(b"x", 0)?;
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    write: bool;
    /// For writing, always at the end.
    ///
    /// ```
    /// # use gosched_os::fs::{OpenOptions, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-oa", std::process::id()));
    /// # gosched_os::fs::write(&path, b"one ")?;
    /// let mut file = OpenOptions::new().append(true).open(&path)?;
    /// std::io::Write::write_all(&mut file, b"two")?;
    /// assert_eq!(gosched_os::fs::read(&path)?, b"one two");
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    append: bool;
    /// Empty it.
    ///
    /// ```
    /// # use gosched_os::fs::{OpenOptions, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-ot", std::process::id()));
    /// # gosched_os::fs::write(&path, b"old")?;
    /// let file = OpenOptions::new().write(true).truncate(true).open(&path)?;
    /// assert_eq!(file.metadata()?.len(), 0);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    truncate: bool;
    /// Make it if it is not there.
    ///
    /// ```
    /// # use gosched_os::fs::{OpenOptions, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-oc", std::process::id()));
    /// OpenOptions::new().write(true).create(true).open(&path)?;
    /// OpenOptions::new().write(true).create(true).open(&path)?; // it is there
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create: bool;
    /// Make it; it must not be there yet.
    ///
    /// ```
    /// # use gosched_os::fs::{OpenOptions, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-ocn", std::process::id()));
    /// OpenOptions::new().write(true).create_new(true).open(&path)?;
    /// assert!(OpenOptions::new().write(true).create_new(true).open(&path).is_err());
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_new: bool;
    /// The permissions of a file that is made.
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// # use gosched_os::fs::{OpenOptions, remove_file};
    /// # let path = std::env::temp_dir().join(format!("gosched-doc-{}-om", std::process::id()));
    /// let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    /// assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
    /// # remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    mode: u32;
    /// Further flags of open(2).
    ///
    /// ```
    /// let nofollow = libc::O_NOFOLLOW; // no symbolic link at the end of the path
    /// gosched_os::fs::OpenOptions::new().read(true).custom_flags(nofollow).open("Cargo.toml")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    custom_flags: i32;
}

impl OpenOptions {
    /// All off.
    ///
    /// ```
    /// assert!(gosched_os::fs::OpenOptions::new().open("Cargo.toml").is_err(), "neither read nor write");
    /// ```
    pub fn new() -> OpenOptions {
        OpenOptions(std::fs::OpenOptions::new())
    }

    /// Opens a file so. Blocks the thread, announced (for as long as it takes the other side of a FIFO to come).
    ///
    /// # Errors
    /// The system's; `InvalidInput` for switches that do not go together.
    ///
    /// ```
    /// let mut options = gosched_os::fs::OpenOptions::new();
    /// let file = options.read(true).open("Cargo.toml")?;
    /// assert!(file.metadata()?.is_file());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        syscall(|| self.0.open(path)).map(File)
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions(options)
    }
}
