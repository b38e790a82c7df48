//! The program as a process.
#![allow(dead_code)]

#[path = "../../../../tests/common/programs.rs"]
mod programs;
#[allow(unused_imports)]
pub use programs::{
    Dir, Killed, Rng, all::eventually, finish, loopback, patience, rt, run, said, signal, tool,
};

use std::process::{Command, Stdio};

/// The program, with its output caught.
pub fn pipeline(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
