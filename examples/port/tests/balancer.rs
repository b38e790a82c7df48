//! The balancer and the sieve as processes.

mod common;

use common::run;
use std::process::Command;

const BALANCER: &str = env!("CARGO_BIN_EXE_balancer");

/// Columns of the table: handled, most pending; and the last line.
fn table(out: &str) -> (Vec<(u64, u64)>, &str) {
    let rows = out.lines().skip(1).filter_map(|l| {
        let columns: Vec<u64> = l.split_whitespace().map_while(|w| w.parse().ok()).collect();
        (columns.len() == 3).then(|| (columns[1], columns[2]))
    });
    (rows.collect(), out.lines().last().unwrap_or_default())
}

#[test]
fn every_request_is_answered_and_everybody_has_his_share() {
    for procs in ["1", "2", "8"] {
        let args = ["--requesters", "103", "--workers", "10", "--requests", "20", "--spoilt", "6"];
        let (out, err, code) = run(Command::new(BALANCER).args(args).env("GOMAXPROCS", procs));
        let (workers, last) = table(&out);
        assert_eq!((last, code), ("asked 2060, right 1751, panics 309", 0), "{err}");
        assert_eq!(workers.len(), 10);
        assert_eq!(workers.iter().map(|w| w.0).sum::<u64>(), 2060);
        assert!(workers.iter().all(|(handled, most)| *handled > 0 && *most <= 11 + 1), "{out}");
        assert_eq!(err.matches("0 has no factors").count(), 309, "the panics are printed");
    }
}

#[test]
fn it_shows_what_is_pending() {
    let args = ["--requesters", "20", "--workers", "3", "--requests", "2000", "--show", "1"];
    let (out, err, code) = run(Command::new(BALANCER).args(args));
    assert!(code == 0 && out.ends_with("asked 40000, right 40000, panics 0\n"), "{out}{err}");
    let shown: Vec<&str> = err.lines().collect();
    assert!(shown.iter().all(|l| l.starts_with("pending ") && l.contains("   average ")), "{err}");
    assert!(!shown.is_empty());
}

#[test]
fn nobody_asks_and_bad_arguments() {
    let (out, _, code) = run(Command::new(BALANCER).args(["--requests", "0", "--workers", "1"]));
    assert!(
        code == 0 && out.ends_with("     0         0              0\nasked 0, right 0, panics 0\n"),
        "{out}"
    );
    for bad in [["--workers", "0"], ["--requesters", "0"], ["--requests", "2000000000"]] {
        let (_, err, code) = run(Command::new(BALANCER).args(bad));
        assert!(code == 2 && err.contains(bad[0]), "{bad:?}: {err}");
    }
}

#[test]
fn the_sieve_is_the_one_of_the_examples() {
    let (out, _, code) = run(Command::new(env!("CARGO_BIN_EXE_sieve")).arg("12"));
    assert_eq!((&*out, code), ("2 3 5 7 11 13 17 19 23 29 31 37\n", 0));
}
