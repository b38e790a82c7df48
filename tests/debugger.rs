//! gdb with runtime/gosched-gdb.py: it lists the goroutines of a program, shows the stack of one of each kind of wait, and
//! stops where the runtime's functions are named.

#[path = "../examples/waits.rs"]
#[allow(dead_code)]
mod waits;

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

/// A goroutine is made runnable; somebody parks; somebody sends.
fn sends() {
    let ch = gosched::chan::Chan::new(0);
    let to = ch.clone();
    gosched::go(move || to.send(7));
    assert_eq!(ch.recv(), Some(7));
}

/// What gdb prints when it runs `program` and these commands; `None` where there is no gdb.
fn gdb(program: &str, commands: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|dir| dir.join("gdb").is_file()) {
        assert!(std::env::var_os("GOSCHED_CI").is_none(), "this machine has no gdb");
        println!("skipped: this machine has no gdb");
        return None;
    }
    let mut gdb = Command::new("gdb");
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
    let ids: Vec<String> = (2..11).map(|id| format!("goroutine {id} bt")).collect();
    let mut commands = vec!["set pagination off", "set width 0", &stop, "run", "info goroutines"];
    commands.push("echo STACKS\\n");
    ids.iter().for_each(|c| commands.extend([c.as_str(), "echo NEXT\\n"]));
    // The last one started; it has a thread.
    commands.push("goroutine 1010 bt");
    let Some(said) = gdb("waits", &commands) else { return };
    let (list, stacks) = said.split_once("STACKS\n").unwrap_or_else(|| panic!("{said}"));
    for what in ["chan receive", "select", "sleep", "IO wait", "sync.Mutex.Lock", "semacquire"] {
        let n = list.matches(&format!("\"{what}\" [{what}], started at ")).count();
        assert_eq!(n, 112, "{what}: {list}");
    }
    let line = |start: &str| {
        list.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start}: {list}"))
    };
    assert!(line("* goroutine 1 [running]").contains(" thread "));
    assert!(line("* goroutine 1010 \"syscall\" [syscall]").contains(" thread "));
    // Each innermost frames first, down to its own function and no further.
    let through = [
        "recv.rs",
        "select.rs",
        "sleep.rs",
        "accept.rs",
        "mutex.rs",
        "rwlock.rs",
        "condvar.rs",
        "waitgroup.rs",
        "semaphore.rs",
    ];
    let stacks: Vec<&str> = stacks.split("NEXT\n").collect();
    assert_eq!(stacks.len(), through.len() + 1, "{said}");
    for (stack, through) in stacks.iter().zip(through) {
        assert!(stack.starts_with("#0 "), "{stack}");
        let at = |what: &str| stack.find(what).unwrap_or_else(|| panic!("no {what}: {stack}"));
        assert!(at("gopark") < at(through) && at(through) < at("waits.rs:"), "{stack}");
        assert!(!stack.contains("mstart") && !stack.contains("#60 "), "{stack}");
    }
    let last = stacks.last().unwrap();
    assert!(last.contains("nanosleep") && last.contains("waits.rs:"), "{last}");
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
