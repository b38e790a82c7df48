//! What was said is there again after a restart, whichever way the server has ended.

use crate::client::Client;
use crate::process::{Chat, Dir, eventually, set_up, wait};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

fn history(chat: &Chat, room: &str) -> Vec<(u64, String)> {
    let mut c = Client::enter(chat.connect(), room, "reader");
    let history = c.until_in();
    c.leave();
    history
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|w| w == part)
}

#[test]
fn the_last_messages_are_there_after_a_restart() {
    let dir = Dir::new();
    let mut expected = Vec::new();
    for round in 0..3 {
        let chat = Chat::start(&dir, &["--history-length", "30", "--rate", "0"]);
        assert_eq!(history(&chat, "r"), expected);
        let mut c = chat.member("r", "c");
        for i in 0..20 {
            c.text(&format!("é {round} {i}"));
            assert_eq!(c.said().1, format!("é {round} {i}"));
            expected.push((round * 20 + i + 1, format!("é {round} {i}")));
        }
        expected.drain(..expected.len().saturating_sub(30));
        // Another room has its own.
        let mut d = chat.member("r2", "d");
        d.text(&round.to_string());
        d.said();
        c.leave();
        d.leave();
        assert_eq!(chat.stop().code(), Some(0), "{}", dir.said());
    }
    // Fewer are asked for; none are kept from now on.
    let chat = Chat::start(&dir, &["--history-length", "3"]);
    assert_eq!(history(&chat, "r"), expected[27..]);
    assert_eq!(history(&chat, "r2"), [(1, "0".into()), (2, "1".into()), (3, "2".into())]);
    assert_eq!(history(&chat, "r3"), []);
    assert!(chat.stop().success());
    let chat = Chat::start(&dir, &["--history-length", "0"]);
    let mut c = chat.member("r", "c");
    c.text("not kept");
    assert_eq!(c.said().1, "not kept");
    c.leave();
    assert_eq!(history(&chat, "r"), []);
}

#[test]
fn a_crash_loses_at_most_the_end() {
    let dir = Dir::new();
    let mut said: Vec<String> = Vec::new();
    for round in 0..5 {
        let chat = Chat::start(&dir, &["--history-length", "100000", "--rate", "0"]);
        let kept = history(&chat, "r");
        // In order, without a gap, and of the messages that were said.
        let texts: Vec<String> = kept.iter().map(|(_, text)| text.clone()).collect();
        assert!(said.starts_with(&texts), "{} are kept of {}", texts.len(), said.len());
        assert!(kept.iter().map(|(id, _)| *id).eq(1..=kept.len() as u64));
        let marks: Vec<String> = (0..round).map(|r| format!("first of {r}")).collect();
        assert!(marks.iter().all(|mark| texts.contains(mark)), "{marks:?}");
        said = texts;
        let mut c = chat.member("r", "c");
        // There is one commit at a time. When the second message is in the file, the first one's commit is through.
        for mark in ["first", "second"] {
            let text = format!("{mark} of {round}");
            c.text(&text);
            c.said();
            eventually("it is in the file", || contains(&fs::read(dir.history()).unwrap(), text.as_bytes()));
            said.push(text);
        }
        for i in 0..200 {
            let text = format!("{round} {i}");
            c.text(&text);
            said.push(text);
        }
        for _ in 0..150 {
            c.said();
        }
        // In the middle of it, at another place each time.
        chat.kill();
    }
}

#[test]
fn a_file_that_is_no_history_is_not_touched() {
    let dir = Dir::new();
    let fails = |dir: &Dir| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        set_up(&mut command, dir, &[]);
        let mut child = command.spawn().unwrap();
        assert_eq!(wait(&mut child).code(), Some(1), "{}", dir.said());
        dir.said()
    };
    let note = b"this is something else, and longer than a header would be\n".repeat(100);
    fs::write(dir.history(), &note).unwrap();
    let said = fails(&dir);
    assert!(said.contains("chat.redb: "), "{said}");
    assert_eq!(fs::read(dir.history()).unwrap(), note);
    fs::remove_file(dir.history()).unwrap();
    // Nor is one that another server has.
    let other = Dir::new();
    let chat = Chat::start(&dir, &[]);
    symlink(dir.history(), other.history()).unwrap();
    let said = fails(&other);
    assert!(said.contains("already open"), "{said}");
    chat.lives();
    // A directory that is not there.
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    let out = command.args(["--addr", "127.0.0.1:0", "--history", "/nowhere/chat.redb"]).output().unwrap();
    assert!(
        out.status.code() == Some(1) && String::from_utf8_lossy(&out.stderr).contains("/nowhere/chat.redb: ")
    );
}
