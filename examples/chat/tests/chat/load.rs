//! Many clients at once: chat-load, a process of its own.

use crate::process::{Chat, Dir};
use std::process::{Command, Output};

fn load(chat: &Chat, args: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-load"));
    let out = command.args(["--addr", &chat.addr.to_string()]).args(args).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out, text)
}

#[test]
fn a_thousand_clients_hear_all_of_it_once_and_in_order() {
    let dir = Dir::new();
    let chat = Chat::start(&dir, &["--rate", "0"]);
    let (out, text) = load(&chat, &["--connections", "1000", "--rooms", "20", "--messages", "4"]);
    assert!(out.status.success(), "{text}\n{}", dir.said());
    // 20 rooms of 50, in which 50 say 4 messages each.
    assert!(text.contains(&format!("{} messages were heard", 20 * 50 * 50 * 4)), "{text}");
    // The clients are gone without a word.
    chat.lives();
    assert_eq!(chat.stop().code(), Some(0), "{}", dir.said());
}

#[test]
fn a_thousand_idle_clients_cost_little() {
    let chat = Chat::start(&Dir::new(), &[]);
    let pid = chat.child.id().to_string();
    let args = ["--connections", "1000", "--rooms", "20", "--settle", "1", "--pid", &pid];
    let (out, text) = load(&chat, &args);
    assert!(out.status.success(), "{text}");
    let each = text
        .lines()
        .find_map(|l| l.strip_suffix(" KiB per connection")?.rsplit(' ').next()?.parse::<f64>().ok());
    // README.md has the number of a release build.
    assert!(each.is_some_and(|kib| kib > 1.0 && kib < 40.0), "{text}");
    chat.lives();
}

#[test]
fn the_load_tells_what_goes_wrong() {
    let chat = Chat::start(&Dir::new(), &["--rate", "1"]);
    let (out, text) = load(&chat, &["--connections", "2", "--rooms", "1", "--messages", "50"]);
    assert!(out.status.code() == Some(1) && text.contains("too many messages"), "{text}");
    let (out, text) = load(&chat, &["--connections", "many"]);
    assert!(out.status.code() == Some(1) && text.contains("--connections many: "), "{text}");
    let addr = chat.addr;
    drop(chat);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-load"));
    let out = command.args(["--addr", &addr.to_string(), "--connections", "1"]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
}
