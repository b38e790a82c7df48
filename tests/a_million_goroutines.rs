//! A burst of a million goroutines, all parked at once: they are started, woken and waited for, and when it is over their
//! memory goes back to the system. What it takes is printed (`--nocapture`). Alone in this file, for memory is counted by
//! process; without optimisation it would take minutes.

mod common;

use gosched::chan::Chan;
use gosched::sync::WaitGroup;
use gosched::{JoinHandle, go, num_goroutine, spawn, time};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long sysmon may take to give the memory back. (It does so some seconds after the end of the burst.)
const UNTIL_GIVEN_BACK: Duration = Duration::from_secs(60);

/// The tests measure one process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A line of `/proc/self/status`, in KiB.
fn status(key: &str) -> usize {
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = all.lines().find_map(|l| l.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn resident() -> usize {
    status("VmRSS")
}

/// Makes the peak (`VmHWM`) what is resident now.
fn forget_the_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Starts `n` goroutines by `start`, which all park on the channel it is given; wakes them when the last has, and waits
/// for their end by `wait`.
fn burst<H>(n: usize, start: impl Fn(&Chan<()>, &WaitGroup) -> H, wait: impl FnOnce(Vec<H>, &WaitGroup)) {
    let (gate, running) = (Chan::new(0), WaitGroup::new());
    running.add(n as isize);
    let mut handles = Vec::with_capacity(if size_of::<H>() == 0 { 0 } else { n });
    for _ in 0..n {
        handles.push(start(&gate, &running));
    }
    let began = Instant::now();
    // (Counting the waiters takes a while, so not too often.)
    while gate.__waiting().1 < n {
        assert!(began.elapsed() < 4 * common::patience(), "only {:?} have parked", gate.__waiting());
        time::sleep(Duration::from_millis(50));
    }
    assert!(num_goroutine() >= n);
    gate.close();
    wait(handles, &running);
}

/// A burst of `n`, with what it takes of memory, and whether that is given back.
fn measured<H: 'static>(
    what: &'static str,
    n: usize,
    start: fn(&Chan<()>, &WaitGroup) -> H,
    wait: fn(Vec<H>, &WaitGroup),
) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let main = move || {
        burst(1000, start, wait);
        let at_start = resident();
        forget_the_peak();
        let began = Instant::now();
        burst(n, start, wait);
        let (took, peak) = (began.elapsed(), status("VmHWM"));
        // What a handle needs comes from malloc, which keeps what it was given back until it is told.
        #[cfg(target_env = "gnu")]
        // SAFETY: no precondition.
        unsafe {
            libc::malloc_trim(0)
        };
        // A fifth; or, where that is next to nothing beside the burst, what malloc and a few more threads keep: 2 MiB.
        let (began, enough) = (Instant::now(), at_start + (at_start / 5).max(2048));
        while resident() > enough && began.elapsed() < UNTIL_GIVEN_BACK {
            time::sleep(Duration::from_millis(100));
        }
        let at_end = resident();
        let each = (peak - at_start) * 1024 / n;
        println!(
            "{n} {what}: {took:.1?}; resident at start {at_start} KiB, peak {peak} KiB, {each} bytes each,"
        );
        println!("    at the end {at_end} KiB, {:.1?} later", began.elapsed());
        assert!(each > 1000, "a goroutine has a stack: what was measured?");
        assert!(
            at_end <= enough,
            "{what}: {at_end} KiB stay resident, of {peak}; {at_start} were at the start"
        );
    };
    // SAFETY: no goroutine here holds a value tied to a thread while it parks.
    unsafe { gosched::run(main) }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
fn a_million_counted_by_a_wait_group() {
    measured(
        "goroutines",
        1_000_000,
        |gate, running| {
            let (gate, running) = (gate.clone(), running.clone());
            go(move || {
                gate.recv();
                running.done();
            });
        },
        |_, running| running.wait(),
    );
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
fn a_hundred_thousand_joined() {
    fn join_all(handles: Vec<JoinHandle<()>>, _: &WaitGroup) {
        handles.into_iter().for_each(|h| h.join().unwrap());
    }
    measured(
        "joined goroutines",
        100_000,
        |gate, _| {
            let gate = gate.clone();
            spawn(move || {
                gate.recv();
            })
        },
        join_all,
    );
}
