//! gdb with runtime/gosched-gdb.py: it lists the goroutines of a program, shows the stack of one of each kind of wait, and
//! stops where the runtime's functions are named.

mod common;
#[path = "../examples/waits.rs"]
#[allow(dead_code)]
mod waits;

use common::tool;
use std::path::Path;
use std::process::{Command, Stdio};

/// In the environment of the program that is looked at: what it shall do.
const CHILD: &str = "GOSCHED_DEBUGGED";

/// The program: a test of this file, in a process of its own.
#[test]
fn the_program() {
    let Ok(what) = std::env::var(CHILD) else { return };
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(90));
        eprintln!("it hangs");
        std::process::exit(3);
    });
    match what.as_str() {
        // SAFETY: no goroutine of these programs borrows from a thread-local, or holds a value tied to a thread, while it
        // parks.
        "waits" => unsafe { gosched::run(|| waits::waits(112)) },
        // SAFETY: as above.
        "sends" => unsafe { gosched::run(sends) },
        other => panic!("no program {other}"),
    }
}

/// Again and again: a goroutine is made runnable, somebody sends, and who comes first parks. (Which of it comes next when the
/// debugger sets a breakpoint is nobody's to say: it stops all threads, and sysmon sees that time has passed.)
fn sends() {
    for _ in 0..1000 {
        let ch = gosched::chan::Chan::new(0);
        let to = ch.clone();
        gosched::go(move || to.send(7));
        assert_eq!(ch.recv(), Some(7));
    }
}

/// What gdb prints when it runs `program` and these commands; `None` where there is no gdb.
fn gdb(program: &str, commands: &[&str]) -> Option<String> {
    let mut gdb = Command::new(tool("gdb")?);
    // The script is in the program. Debug information from elsewhere is not asked for.
    gdb.args(["-nx", "-batch", "-iex", "add-auto-load-safe-path /", "-iex", "set debuginfod enabled off"]);
    for c in commands {
        gdb.args(["-ex", c]);
    }
    let test = std::env::current_exe().unwrap();
    gdb.arg("--args").arg(Path::new(&test)).args([
        "--exact",
        "the_program",
        "--nocapture",
        "--test-threads=1",
    ]);
    let out = gdb.env(CHILD, program).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    Some(format!("{said}\n{}", String::from_utf8_lossy(&out.stderr)))
}

/// A function's name for `break`: gdb knows the path where more than line tables are there.
fn name(path: &str) -> String {
    let last = path.rsplit("::").next().unwrap_or(path);
    format!("break {}", if cfg!(debug_assertions) { path } else { last })
}

#[test]
fn a_thousand_goroutines_are_listed_and_one_of_each_kind_is_shown() {
    let stop = name("debugger::waits::all_wait");
    let commands = [
        "set pagination off",
        "set width 0",
        &stop,
        "run",
        "info goroutines",
        // The first of each name. (Ids are given out by Ps, some at a time: they have gaps.)
        "python first = {g.name: g for g in reversed(goroutines(Map())) if g.name}",
        "python [(print('STACK', n), gdb.execute('goroutine %d bt' % g.goid)) for n, g in first.items()]",
    ];
    let Some(said) = gdb("waits", &commands) else { return };
    let mut parts = said.split("STACK ");
    let list = parts.next().unwrap();
    let line = |start: &str| {
        list.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start}: {said}"))
    };
    assert!(line("* goroutine 1 [running]").contains(" thread "));
    // Each: its innermost frames first, down to its own function and no further.
    let mut kinds = 0;
    for part in parts {
        let (name, stack) = part.split_once('\n').unwrap();
        let through = match name {
            "chan receive" => "recv.rs",
            "select" => "select.rs",
            "sleep" => "sleep.rs",
            "IO wait" => "accept.rs",
            "sync.Mutex.Lock" => "mutex.rs",
            "sync.RWMutex.RLock" => "rwlock.rs",
            "sync.Cond.Wait" => "condvar.rs",
            "sync.WaitGroup.Wait" => "waitgroup.rs",
            "semacquire" => "semaphore.rs",
            "syscall" => "syscall.rs",
            other => panic!("{other}: {said}"),
        };
        let listed = list.matches(&format!("\"{name}\" [{name}]")).count();
        assert_eq!(listed, if name == "syscall" { 1 } else { 112 }, "{name}: {list}");
        assert!(stack.starts_with("#0 "), "{stack}");
        let at = |what: &str| stack.find(what).unwrap_or_else(|| panic!("no {what}: {stack}"));
        assert!(stack.rfind("waits.rs:").is_some_and(|own| at(through) < own), "{stack}");
        if name != "syscall" {
            assert!(at("gopark") < at(through), "{stack}");
            assert!(!stack.contains("mstart") && !stack.contains("#60 "), "{stack}");
        }
        kinds += 1;
    }
    assert_eq!(kinds, 10, "{said}");
    assert!(
        list.lines().any(|l| l.starts_with("* goroutine ") && l.contains("\"syscall\" [syscall] thread ")),
        "{list}"
    );
}

#[test]
fn it_stops_where_a_goroutine_becomes_runnable_parks_and_sends() {
    let stops =
        ["gosched_runtime::runq::runqput", "gosched_runtime::park::gopark", "gosched_chan::send::chansend"]
            .map(name);
    let mut commands = vec!["set pagination off", "set width 0"];
    for (i, stop) in stops.iter().enumerate() {
        commands.extend([
            "delete",
            stop,
            if i == 0 { "run" } else { "continue" },
            "bt 3",
            "info goroutines",
            "echo NEXT\\n",
        ]);
    }
    commands.push("kill");
    let Some(said) = gdb("sends", &commands) else { return };
    let seen: Vec<&str> = said.split("NEXT\n").collect();
    assert_eq!(seen.len(), 4, "{said}");
    for (seen, what) in seen.iter().zip(["runqput", "gopark", "chansend"]) {
        let innermost = seen.lines().find(|l| l.starts_with("#0 ")).unwrap_or_else(|| panic!("{said}"));
        assert!(innermost.contains(what), "{said}");
        assert!(seen.contains("goroutine 1 ["), "{seen}");
    }
}
