//! Runs every command of docs/walkthrough.md and compares what it prints. `…` in a line stands for anything, a line with
//! nothing else for any lines.
#![cfg(all(debug_assertions, target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::tool;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A command, and the lines that it shall print.
struct Step {
    command: String,
    lines: Vec<String>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.into(), lines: Vec::new() }),
                (None, Some(step)) => step.lines.push(line.into()),
                (None, None) => panic!("output without a command: {line}"),
            },
            _ => {}
        }
    }
    steps
}

/// Whether a line is like a pattern with `…` in it.
fn is_like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    // What follows the last `…` is the end of the line.
    last.map_or(rest.is_empty(), |part| line.ends_with(part))
}

fn are_like(patterns: &[String], lines: &[&str]) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((p, more)) if p == "…" => (0..=lines.len()).any(|skip| are_like(more, &lines[skip..])),
        Some((p, more)) => lines.split_first().is_some_and(|(l, rest)| is_like(p, l) && are_like(more, rest)),
    }
}

#[test]
fn patterns() {
    assert!(is_like("a…c", "abbc") && is_like("…", "x") && is_like("x…", "x") && is_like("abc", "abc"));
    assert!(!is_like("a…c", "abcd") && !is_like("abc", "abcd") && !is_like("a…b…c", "acb"));
    let all = |p: &[&str], l: &[&str]| are_like(&p.iter().map(|s| s.to_string()).collect::<Vec<_>>(), l);
    assert!(all(&["…", "b", "…"], &["a", "b"]) && all(&["a", "…"], &["a"]) && all(&["…"], &[]));
    assert!(!all(&["a", "…", "b"], &["a", "b", "c"]) && !all(&["a"], &[]));
}

#[test]
fn each_command_prints_what_the_walkthrough_says() {
    if ["bash", "gdb", "readelf"].into_iter().any(|name| tool(name).is_none()) {
        return;
    }
    // …/debug/deps/walkthrough-… stands beside …/debug/examples/.
    let built: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().into();
    let built = built.to_str().unwrap();
    assert!(PathBuf::from(built).join("examples/walk").is_file(), "the examples are not built");
    // Built they are; and what cargo would run is run.
    let mut script = format!(
        "cargo() {{ case \"$*\" in 'build -q --examples') ;; 'run -q --example '*) name=$4; shift 4; [ \"$1\" = -- ] && shift;
         \"{built}/examples/$name\" \"$@\";; *) echo \"cargo $*?\"; esac; }}\n"
    );
    let text = include_str!("../docs/walkthrough.md");
    let steps = steps(text);
    assert!(steps.len() > 20);
    for step in &steps {
        script += &step.command.replace("target/debug", built);
        script += "\necho '---- end ----'\n";
    }
    let out = Command::new("timeout")
        .args(["-k", "5", "240", "bash", "-c", &script])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("GOMAXPROCS")
        .env_remove("GODEBUG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let mut wrong = String::new();
    let printed: Vec<&str> = said.split("---- end ----\n").collect();
    assert_eq!(printed.len(), steps.len() + 1, "{said}\n{}", String::from_utf8_lossy(&out.stderr));
    for (step, printed) in steps.iter().zip(printed) {
        if !are_like(&step.lines, &printed.lines().collect::<Vec<_>>()) {
            wrong += &format!("$ {}\nprints:\n{printed}\n", step.command);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
