//! Chat roulette as a process; its guests know nothing of goroutines.
#![cfg(target_os = "linux")]

mod common;

use common::{Server, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

fn start(bot_after: &str) -> Server {
    Server::start(env!("CARGO_BIN_EXE_roulette"), &["--bot-after", bot_after])
}

/// Nobody is alone for so long in these tests.
const NO_BOT: &str = "100000000";
const LOOKING: &str = "Looking for somebody ...";
const FOUND: &str = "Found somebody. Say hello!";
const LEFT: &str = "The other one has left.";

struct Guest(BufReader<TcpStream>);

impl Guest {
    /// Has been let in.
    fn of(server: &Server) -> Guest {
        let mut guest = Guest(BufReader::new(server.connect()));
        assert_eq!(guest.hears(), LOOKING);
        guest
    }

    #[track_caller]
    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn says(&mut self, what: &str) {
        self.0.get_mut().write_all(what.as_bytes()).unwrap();
    }
}

/// The descriptors of the server: a guest costs one at least.
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count()
}

#[test]
fn two_guests_talk_until_one_leaves() {
    let server = start(NO_BOT);
    let (mut a, mut b) = (Guest::of(&server), Guest::of(&server));
    assert_eq!((a.hears(), b.hears()), (FOUND.into(), FOUND.into()));
    a.says("hello\n");
    assert_eq!(b.hears(), "hello");
    b.says("who ");
    b.says("are you?\nme?\n");
    assert_eq!((a.hears(), a.hears()), ("who are you?".into(), "me?".into()));
    // More than fits anywhere, both ways at the same time.
    let long = "x".repeat(1 << 20) + "\n";
    std::thread::scope(|s| {
        for guest in [&mut a, &mut b] {
            let (long, mut writing) = (&long, guest.0.get_ref().try_clone().unwrap());
            s.spawn(move || writing.write_all(long.as_bytes()).unwrap());
            s.spawn(move || assert!(guest.hears().len() == 1 << 20));
        }
    });
    // Only one direction ends, and so does the chat.
    a.0.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!((b.hears(), b.hears()), (LEFT.into(), "".into()));
    assert_eq!(a.hears(), LEFT);
    assert_eq!(server.end(), ("2 guests, 1 chats, 0 with the bot\n".into(), "".into()));
}

#[test]
fn many_guests_are_paired_off() {
    let server = start(NO_BOT);
    let met = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for i in 0..40 {
            let (server, met) = (&server, &met);
            s.spawn(move || {
                let mut guest = Guest::of(server);
                // Also before there is anybody to hear it.
                guest.says(&format!("{i}\n"));
                assert_eq!(guest.hears(), FOUND);
                let other: usize = guest.hears().parse().unwrap();
                met.lock().unwrap().push((i, other));
                // Stays until the other one has heard it as well.
                guest.says("bye\n");
                assert_eq!(guest.hears(), "bye");
            });
        }
    });
    let met = met.into_inner().unwrap();
    assert_eq!(met.len(), 40);
    assert!(met.iter().all(|(a, b)| a != b && met.contains(&(*b, *a))), "{met:?}");
    assert!(server.end().0.starts_with("40 guests, 20 chats, "));
}

#[test]
fn who_hangs_up_while_he_waits_is_nobodys_partner() {
    let server = start(NO_BOT);
    let before = descriptors(&server);
    for _ in 0..5 {
        let guest = Guest::of(&server);
        drop(guest);
        eventually("he is forgotten", || descriptors(&server) == before);
    }
    let (mut a, mut b) = (Guest::of(&server), Guest::of(&server));
    a.says("is somebody there?\n");
    assert_eq!((b.hears(), b.hears()), (FOUND.into(), "is somebody there?".into()));
    drop((a, b));
    eventually("they are forgotten", || descriptors(&server) == before);
    assert_eq!(server.end().0, "7 guests, 1 chats, 0 with the bot\n");
}

#[test]
fn the_bot_says_what_it_has_heard() {
    let server = start("1");
    let before = descriptors(&server);
    let mut guest = Guest::of(&server);
    assert_eq!(guest.hears(), FOUND);
    guest.says("the quick brown fox jumps\n");
    let first = guest.hears();
    assert!(first == "I am listening." || first == "the quick brown fox jumps", "{first}");
    // From here on it has heard the line: the same goroutine reads the next one.
    for _ in 0..20 {
        guest.says("the quick brown dog sleeps\n");
        let said = guest.hears();
        let said: Vec<&str> = said.split(' ').collect();
        assert_eq!(said[..3], ["the", "quick", "brown"]);
        assert!(matches!(said[3..], ["fox", "jumps"] | ["dog", "sleeps"]), "{said:?}");
    }
    // No lines, no text, and the end.
    guest.says(&"\u{0}".repeat(100_000));
    guest.0.get_mut().shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = guest.0.read_to_end(&mut rest); // the bot may still have had something to say
    drop(guest);
    eventually("it is forgotten", || descriptors(&server) == before);
    assert_eq!(server.end().0, "1 guests, 1 chats, 1 with the bot\n");
}

#[test]
fn a_signal_ends_chats_and_waiting() {
    let server = start(NO_BOT);
    let (mut a, mut b) = (Guest::of(&server), Guest::of(&server));
    assert_eq!((a.hears(), b.hears()), (FOUND.into(), FOUND.into()));
    let mut alone = Guest::of(&server);
    assert!(server.end().0.starts_with("3 guests, 1 chats, "));
    assert_eq!(alone.hears(), "");
    assert!(["", LEFT].contains(&&*a.hears()) && ["", LEFT].contains(&&*b.hears()));
}

#[test]
fn an_address_that_is_taken() {
    let server = start(NO_BOT);
    let addr = server.addr.to_string();
    let (out, err, code) =
        common::run(std::process::Command::new(env!("CARGO_BIN_EXE_roulette")).args(["--addr", &addr]));
    assert!(out.is_empty() && code == 1 && err.contains(&addr) && err.contains("in use"), "{err}");
}
