//! [`Command`]: std's, run through the scheduler.
//!
//! std decides what the standard streams are where the caller has said nothing: `spawn` and `status` inherit them,
//! `output` pipes the outputs and gives the child no stdin. std's command keeps what was said last and does not tell, so
//! it is noted here who has said something, and what `output` adds is taken back afterwards.

use super::{Child, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use gosched_runtime::syscall;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process as std_process;

/// A program to be run: [`std::process::Command`], whose `output` and `status` park the goroutine and whose children have
/// pipes that park.
///
/// # Examples
/// ```
/// use gosched_os::process::Command;
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
/// unsafe { gosched_runtime::run(|| {
///     let output = Command::new("echo").arg("hello").output()?;
///     assert!(output.status.success());
///     assert_eq!(output.stdout, b"hello\n");
///     let missing = Command::new("no-such-program").status().unwrap_err();
///     assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
///     Ok(())
/// }) }
/// # }
/// ```
#[derive(Debug)]
pub struct Command {
    command: std_process::Command,
    /// The caller has said what stdin, stdout, stderr are.
    said: [bool; 3],
}

impl Command {
    /// The program of this path, or of this name on the search path; without arguments, with this process's environment
    /// and directory. Nothing runs before [`spawn`](Command::spawn), [`status`](Command::status) or
    /// [`output`](Command::output): this and the setters never park.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(Command::new("pwd").current_dir("/").output()?.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command { command: std_process::Command::new(program), said: [false; 3] }
    }

    /// Adds an argument.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(Command::new("echo").arg("a b").output()?.stdout, b"a b\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(Command::new("echo").args(["a", "b"]).output()?.stdout, b"a b\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let output = Command::new("sh").args(["-c", "echo $GREETING; pwd"])
    ///     .env_clear().env("GREETING", "hello").current_dir("/").output()?;
    /// assert_eq!(output.stdout, b"hello\n/\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, key: K, value: V) -> &mut Command {
        self.command.env(key, value);
        self
    }

    /// Sets variables of the child's environment.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let output = Command::new("sh").args(["-c", "echo $A$B"]).envs([("A", "1"), ("B", "2")]).output()?;
    /// assert_eq!(output.stdout, b"12\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.command.envs(vars);
        self
    }

    /// Leaves a variable out of the child's environment.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let output = Command::new("sh").args(["-c", "echo $A"]).env("A", "1").env_remove("A").output()?;
    /// assert_eq!(output.stdout, b"\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.command.env_remove(key);
        self
    }

    /// Starts the child's environment from nothing.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let output = Command::new("env").env_clear().env("A", "1").output()?;
    /// assert_eq!(output.stdout, b"A=1\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.command.env_clear();
        self
    }

    /// The directory that the child starts in.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// assert_eq!(Command::new("pwd").current_dir("/").output()?.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.command.current_dir(dir);
        self
    }

    /// What the child's stdin is: inherited by default, nothing for [`output`](Command::output).
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// assert!(Command::new("cat").stdin(file).output()?.stdout.starts_with(b"[package]"));
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stdin<T: Into<Stdio>>(&mut self, stdin: T) -> &mut Command {
        self.said[0] = true;
        self.command.stdin(stdin);
        self
    }

    /// What the child's stdout is: inherited by default, a pipe for [`output`](Command::output).
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let output = Command::new("echo").arg("hello").stdout(std::process::Stdio::null()).output()?;
    /// assert!(output.stdout.is_empty());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stdout<T: Into<Stdio>>(&mut self, stdout: T) -> &mut Command {
        self.said[1] = true;
        self.command.stdout(stdout);
        self
    }

    /// What the child's stderr is: inherited by default, a pipe for [`output`](Command::output).
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo oh >&2"]).stderr(std::process::Stdio::null());
    /// assert!(command.output()?.stderr.is_empty());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stderr<T: Into<Stdio>>(&mut self, stderr: T) -> &mut Command {
        self.said[2] = true;
        self.command.stderr(stderr);
        self
    }

    /// Starts the program. Blocks the thread until it runs, or is known not to; announced.
    ///
    /// # Errors
    /// The system's: `NotFound` where there is no such program. Where the child runs already and its pipes cannot be
    /// watched, it is ended first.
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut child = Command::new("true").spawn()?;
    /// assert!(child.wait()?.success());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::adopt(syscall(|| crate::sys::spawn(&mut self.command))?)
    }

    /// Runs the program to its end, with the streams of this process; parks until then.
    ///
    /// # Errors
    /// As for [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// assert!(Command::new("true").status()?.success());
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Runs the program to its end and gives what it wrote; parks until then.
    ///
    /// # Errors
    /// As for [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Examples
    /// ```
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let output = Command::new("echo").arg("hello").output()?;
    /// assert_eq!(output.stdout, b"hello\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn output(&mut self) -> io::Result<Output> {
        let [stdin, stdout, stderr] = self.said;
        let set = |command: &mut std_process::Command, input: fn() -> Stdio, output: fn() -> Stdio| {
            if !stdin {
                command.stdin(input());
            }
            if !stdout {
                command.stdout(output());
            }
            if !stderr {
                command.stderr(output());
            }
        };
        set(&mut self.command, Stdio::null, Stdio::piped);
        let child = self.spawn();
        set(&mut self.command, Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// The program.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// let mut command = Command::new("ls");
    /// command.arg("-l").env("LANG", "C").current_dir("/");
    /// assert_eq!(command.get_program(), "ls");
    /// assert_eq!(command.get_args().collect::<Vec<_>>(), ["-l"]);
    /// assert_eq!(command.get_envs().count(), 1);
    /// assert_eq!(command.get_current_dir(), Some("/".as_ref()));
    /// ```
    pub fn get_program(&self) -> &OsStr {
        self.command.get_program()
    }

    /// The arguments.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// let mut command = Command::new("ls");
    /// assert_eq!(command.args(["-l", "/"]).get_args().count(), 2);
    /// ```
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.command.get_args()
    }

    /// The variables that were set or removed.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// let mut command = Command::new("ls");
    /// let vars: Vec<_> = command.env("A", "1").env_remove("B").get_envs().collect();
    /// assert_eq!(vars, [("A".as_ref(), Some("1".as_ref())), ("B".as_ref(), None)]);
    /// ```
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.command.get_envs()
    }

    /// The directory that was set.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// let mut command = Command::new("ls");
    /// assert_eq!(command.get_current_dir(), None);
    /// assert_eq!(command.current_dir("/").get_current_dir(), Some("/".as_ref()));
    /// ```
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.command.get_current_dir()
    }

    /// std's command, for what is special to a system (`std::os::unix::process::CommandExt`). Standard streams that are
    /// set through it are not known here: [`output`](Command::output) replaces them.
    ///
    /// ```
    /// use std::os::unix::process::CommandExt;
    /// # use gosched_os::process::Command;
    /// # unsafe { gosched_runtime::run(|| {
    /// let mut command = Command::new("sh");
    /// command.as_std_mut().arg0("renamed");
    /// assert_eq!(command.args(["-c", "echo $0"]).output()?.stdout, b"renamed\n");
    /// # Ok::<(), std::io::Error>(()) }) }?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_std_mut(&mut self) -> &mut std_process::Command {
        &mut self.command
    }

    /// std's command, to be looked at.
    ///
    /// ```
    /// # use gosched_os::process::Command;
    /// assert_eq!(Command::new("ls").as_std().get_program(), "ls");
    /// ```
    pub fn as_std(&self) -> &std_process::Command {
        &self.command
    }
}

impl From<std_process::Command> for Command {
    /// As [`as_std_mut`](Command::as_std_mut): what standard streams were set is not known here.
    fn from(command: std_process::Command) -> Command {
        Command { command, said: [false; 3] }
    }
}
