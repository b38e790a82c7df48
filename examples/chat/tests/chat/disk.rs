//! A disk that is full, and has room again: a limit on the file's size stands for it, which the kernel applies exactly.

use crate::client::Client;
use crate::process::{Chat, Dir, eventually, set_up};
use std::fs::{self, File};
use std::process::Command;

/// A server whose files must not grow beyond `bytes`, until that is lifted.
fn limited(dir: &Dir, bytes: u64, stderr: Option<File>) -> Chat {
    // The soft limit alone: it can be lifted again. (In blocks of 512 bytes.)
    let mut command = Command::new("sh");
    let script = format!("ulimit -S -f {} && exec \"$0\" \"$@\"", bytes / 512);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_chat")]);
    set_up(&mut command, dir, &["--rate", "0", "--history-length", "5000"]);
    if let Some(stderr) = stderr {
        command.stderr(stderr);
    }
    Chat::from(dir, command)
}

fn lift(chat: &Chat) {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let pid = chat.child.id() as libc::pid_t;
    // SAFETY: the limit is read during the call, nothing is written; the child has not been waited for.
    let r = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &none, std::ptr::null_mut()) };
    assert_eq!(r, 0, "{}", std::io::Error::last_os_error());
}

/// How large the file of a history is before anything is in it.
fn empty() -> u64 {
    let dir = Dir::new();
    drop(Chat::start(&dir, &[]));
    fs::metadata(dir.history()).unwrap().len()
}

/// Says so many messages of 4 KB, and hears them.
fn say(c: &mut Client, n: usize) {
    for i in 0..n {
        c.text(&format!("{i:0>4000}"));
        assert_eq!(c.said().1.len(), 4000);
    }
}

#[test]
fn a_full_disk_stops_nobody() {
    let dir = Dir::new();
    let chat = limited(&dir, empty() + (1 << 20), None);
    let mut c = chat.member("r", "c");
    say(&mut c, 800);
    eventually("it says so", || dir.said().contains("the history cannot be written"));
    // Everything but the disk goes on: who comes hears all of it, and other rooms begin.
    let mut late = Client::enter(chat.connect(), "r", "late");
    assert_eq!(late.until_in().len(), 800);
    say(&mut late, 1);
    chat.lives();
    say(&mut c, 50);
    assert_eq!(dir.said().matches("cannot be written").count(), 1, "once: {}", dir.said());
    lift(&chat);
    eventually("it writes again", || dir.said().contains("can be written again; 0 messages are not in it"));
    c.leave();
    late.leave();
    assert_eq!(chat.stop().code(), Some(0), "{}", dir.said());
    let chat = Chat::start(&dir, &["--history-length", "5000"]);
    let mut c = Client::enter(chat.connect(), "r", "c");
    let ids: Vec<u64> = c.until_in().into_iter().map(|(id, _)| id).collect();
    assert!(ids.iter().copied().eq(1..=851), "{} {:?}", ids.len(), ids.last());
}

#[test]
fn and_nowhere_to_say_so() {
    let dir = Dir::new();
    let chat = limited(&dir, empty() + (1 << 20), Some(File::create("/dev/full").unwrap()));
    let mut c = chat.member("r", "c");
    say(&mut c, 800);
    chat.lives();
    // It ends with an error: what was said is not all kept.
    c.leave();
    assert_eq!(chat.stop().code(), Some(1));
    // What is in it is right, and the server starts from it.
    let chat = Chat::start(&dir, &["--history-length", "5000"]);
    let mut c = Client::enter(chat.connect(), "r", "c");
    let kept = c.until_in();
    assert!(!kept.is_empty() && kept.len() < 800, "{}", kept.len());
    assert!(kept.iter().map(|(id, _)| *id).eq(1..=kept.len() as u64));
}
