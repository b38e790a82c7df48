//! The soak runs for two seconds and says at its end what it did; what it does not understand it refuses.

use std::process::{Command, Output};

fn soak(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_soak")).args(args).output().unwrap()
}

#[test]
fn two_seconds_pass() {
    let out = soak(&["--seconds", "2", "--seed", "3"]);
    let (text, err) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{text}{err}");
    let totals = text.split_once("soak: passed").map(|(_, totals)| totals);
    let totals = totals.unwrap_or_else(|| panic!("no totals: {text}"));
    // Every load has come to the end of a round.
    let loads = totals.lines().filter_map(|l| l.split_once(" rounds")).map(|(l, _)| l.trim());
    let rounds: Vec<u64> = loads.map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(rounds.len(), 11, "{totals}");
    assert!(rounds.iter().all(|&n| n > 0), "{totals}");
    // A line a second. The second one may fall together with the end.
    assert!(text.lines().any(|l| l.starts_with("    1 s  spawn ")), "{text}");
}

#[test]
fn a_check_that_does_not_hold_is_loud() {
    let out = soak(&["--seconds", "2", "--only", "spawn", "--fail-after", "1"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(err.contains("soak: FAILED: as it was asked to"), "{err}");
    assert!(err.contains("goroutine 1 ["), "no stacks: {err}");
}

#[test]
fn a_word_that_it_does_not_know_is_refused() {
    for args in [&["--hours", "1"][..], &["--seconds"], &["--seconds", "many"], &["--only", "nothing"]] {
        assert_eq!(soak(args).status.code(), Some(2), "{args:?}");
    }
}
