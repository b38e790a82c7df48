//! `debug::trace`: what was written is a trace, and says what was done.

mod traced;

use gosched_runtime::debug::trace::FlightRecorder;
use gosched_runtime::debug::{self, trace};
use gosched_runtime::sync::{Semaphore, WaitGroup};
use gosched_runtime::{Builder, Config, go, num_goroutine, sleep, spawn, syscall, yield_now};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use traced::{Bytes, alone, read};

fn run<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: no goroutine of these tests borrows from a thread-local, or holds a thread's value while it parks.
    unsafe { gosched_runtime::run(f) }
}

/// What `work` does, traced.
fn traced<T>(work: impl FnOnce() -> T) -> (T, traced::Trace) {
    let bytes = Bytes::default();
    trace::start(bytes.clone()).unwrap();
    let result = work();
    trace::stop().unwrap();
    let text = std::mem::take(&mut *bytes.0.lock().unwrap());
    if let Ok(path) = std::env::var("TRACE_KEEP") {
        std::fs::write(path, &text).unwrap();
    }
    (result, read(&text))
}

#[test]
fn every_goroutine_has_its_slices() {
    let _one = alone();
    const N: usize = 500;
    let ((me, ids), t) = run(|| {
        // Those of other tests may be on their way out.
        until(|| num_goroutine() == 1);
        traced(|| {
            let handles: Vec<_> = (0..N)
                .map(|i| {
                    spawn(move || {
                        if i % 2 == 0 {
                            yield_now();
                        }
                        gosched_runtime::goid().unwrap()
                    })
                })
                .collect();
            let ids: Vec<u64> = handles.into_iter().map(|h| h.join().unwrap()).collect();
            // Joined, they may be on their way out still.
            until(|| num_goroutine() == 1);
            (gosched_runtime::goid().unwrap(), ids)
        })
    });
    assert_eq!(t.records_lost, 0);
    let want = ids.iter().copied().chain([me]).collect();
    assert_eq!(t.goroutines(), want);
    // Each was started and so has an arrow; each is named by this file.
    assert!(t.arrows >= N, "{}", t.arrows);
    assert!(t.runs("tests/trace.rs:").len() >= N + N / 2);
    let ended = |why: &str| t.runs("").iter().filter(|s| s.why == why).count();
    assert_eq!(ended("exit"), N);
    assert_eq!(ended("yield"), N / 2);
    assert!(t.counters.contains("goroutines") && t.counters.iter().any(|c| c.ends_with(" run queue")));
}

#[test]
fn a_name_is_shown_and_so_is_why_it_waited() {
    let _one = alone();
    let ((), t) = run(|| {
        traced(|| {
            let gate = Arc::new(Semaphore::new(0));
            let theirs = gate.clone();
            let named = Builder::new().name("a \"name\" that is longer than one record holds".into());
            let h = named.spawn(move || drop(theirs.acquire())).unwrap();
            until(|| debug::stacks().contains("[semacquire"));
            let sleeper = Builder::new().name("sleeper".into());
            sleeper.spawn(|| sleep(Duration::from_millis(1))).unwrap().join().unwrap();
            gate.add_permits(1);
            h.join().unwrap();
        })
    });
    let runs = t.runs("a \"name\" that is longer than one record holds");
    let why: Vec<&str> = runs.iter().map(|s| s.why.as_str()).collect();
    // (When another hears of the end, it may still be on its way out.)
    assert!(matches!(why[..], ["semacquire", "exit" | ""]), "{why:?}");
    let why: Vec<&str> = t.runs("sleeper").iter().map(|s| s.why.as_str()).collect();
    assert!(matches!(why[..], ["sleep", "exit" | ""]), "{why:?}");
    assert!(t.slices.iter().any(|s| s.name == "timer"));
}

#[test]
fn a_syscall_that_lasts_loses_its_p() {
    let _one = alone();
    // One P, and the goroutine that ends the call wants it: it must be taken from the one that blocks.
    let main = || {
        traced(|| {
            let blocks = Builder::new().name("blocks".into()).spawn(|| {
                let (send, recv) = mpsc::channel();
                go(move || send.send(()).unwrap());
                syscall(|| recv.recv().unwrap());
            });
            blocks.unwrap().join().unwrap();
        })
    };
    // SAFETY: as in `run`.
    let ((), t) = unsafe { Config::new().procs(1).run(main) };
    let run = t.runs("blocks")[0].clone();
    let call = t.slices.iter().find(|s| s.name == "syscall" && s.track == run.track);
    let call = call.expect("a slice of the call");
    assert!(run.start < call.start && call.end <= run.end);
    assert!(t.instants.contains_key("retake") && t.instants.contains_key("handoff"), "{:?}", t.instants);
    // While it was in the call, it had the P no more.
    let on_p = t.slices.iter().find(|s| s.track.0 == traced::PS && s.g == run.g).expect("it had a P");
    assert!(on_p.end < call.end, "{on_p:?} {call:?}");
}

/// Rounds of the load, of all tests.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);

/// Work that keeps all Ps busy: started, woken, stolen, asleep, until told to stop.
fn load(stop: &Arc<AtomicBool>) -> WaitGroup {
    let wg = WaitGroup::new();
    for _ in 0..4 {
        let stop = stop.clone();
        wg.go(move || {
            let (a, b) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
            let (c, d, theirs) = (a.clone(), b.clone(), stop.clone());
            let other = spawn(move || {
                while !theirs.load(Ordering::Relaxed) {
                    c.acquire().forget();
                    d.add_permits(1);
                }
                d.add_permits(1);
            });
            while !stop.load(Ordering::Relaxed) {
                a.add_permits(1);
                b.acquire().forget();
                let some: Vec<_> = (0..8).map(|_| spawn(yield_now)).collect();
                some.into_iter().for_each(|h| h.join().unwrap());
                ROUNDS.fetch_add(1, Ordering::Relaxed);
            }
            a.add_permits(1);
            other.join().unwrap();
        });
    }
    wg
}

/// Waits until something has happened often, however slow the machine is.
fn until(mut what: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < patience, "it does not happen");
        sleep(Duration::from_millis(1));
    }
}

/// Waits for so many rounds of the load, from now on: within a trace, for its start may take longer than they do.
fn rounds(n: usize) {
    let before = ROUNDS.load(Ordering::Relaxed);
    until(|| ROUNDS.load(Ordering::Relaxed) > before + n);
}

#[test]
fn eight_ps_under_load_and_goroutines_that_run_at_the_end() {
    let _one = alone();
    // SAFETY: as in `run`.
    let t = unsafe {
        Config::new().procs(8).run(|| {
            let stop = Arc::new(AtomicBool::new(false));
            let wg = load(&stop);
            // One that only spins: its slice ends with the trace, wherever its P is.
            let spins = stop.clone();
            let spinning = Arc::new(AtomicBool::new(false));
            let seen = spinning.clone();
            wg.go(move || {
                seen.store(true, Ordering::Relaxed);
                while !spins.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            until(|| spinning.load(Ordering::Relaxed));
            let ((), t) = traced(|| rounds(20));
            stop.store(true, Ordering::Relaxed);
            wg.wait();
            t
        })
    };
    assert!(t.goroutines().len() > 10 && t.arrows > 10);
    // The one that spins has one slice, from the start to the end.
    let longest = t.runs("tests/trace.rs").into_iter().max_by_key(|s| s.end - s.start).unwrap();
    assert_eq!((longest.start, longest.why.as_str()), (0, ""));
}

#[test]
fn one_at_a_time() {
    let _one = alone();
    assert_eq!(trace::stop().unwrap_err().kind(), ErrorKind::NotFound);
    trace::start(io::sink()).unwrap();
    assert_eq!(trace::start(io::sink()).unwrap_err().kind(), ErrorKind::ResourceBusy);
    trace::stop().unwrap();
    assert_eq!(trace::stop().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_writer_that_fails_is_told_of_and_stops_nobody() {
    let _one = alone();
    struct Fails(usize);
    impl Write for Fails {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::Error::new(ErrorKind::StorageFull, "full"))?;
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::new(ErrorKind::BrokenPipe, "gone"))
        }
    }
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("the writer's own fault")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let work = || (0..100).for_each(|_| spawn(yield_now).join().unwrap());
    run(|| {
        for good in [0, 1, 2] {
            trace::start(Fails(good)).unwrap();
            work();
            assert_eq!(trace::stop().unwrap_err().kind(), ErrorKind::StorageFull);
        }
        trace::start(Fails(usize::MAX)).unwrap();
        assert_eq!(trace::stop().unwrap_err().kind(), ErrorKind::BrokenPipe);
        trace::start(Panics).unwrap();
        work();
        assert_eq!(trace::stop().unwrap_err().kind(), ErrorKind::Other);
        // And the next trace is a whole one.
        let (n, t) = traced(|| {
            work();
            100
        });
        assert_eq!((t.records_lost, t.goroutines().len()), (0, n + 1));
    });
}

#[test]
fn a_writer_that_blocks_holds_up_nobody_and_what_is_missing_is_counted() {
    let _one = alone();
    /// Waits for the word with its first write.
    struct Waits(Option<mpsc::Receiver<()>>, Bytes);
    impl Write for Waits {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            if let Some(word) = self.0.take() {
                word.recv().unwrap();
            }
            self.1.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bytes = Bytes::default();
    let (word, waits) = mpsc::channel();
    run(|| {
        trace::start(Waits(Some(waits), bytes.clone())).unwrap();
        // More than the rings hold, of however many Ms there are.
        let ms = gosched_runtime::debug::stats().threads + 2;
        for _ in 0..ms * 20_000 {
            yield_now();
        }
        word.send(()).unwrap();
        trace::stop().unwrap();
    });
    let t = read(&bytes.0.lock().unwrap());
    assert!(t.records_lost > 0);
}

#[test]
fn it_starts_and_stops_under_load_again_and_again() {
    let _one = alone();
    run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let wg = load(&stop);
        let (mut slices, mut arrows) = (0, 0);
        for i in 0..20 {
            // One in ten is read, which takes longer than to write it.
            let once = || {
                let work = || {
                    if i % 2 == 0 {
                        yield_now()
                    }
                };
                if i % 20 < 2 {
                    return Some(traced(|| rounds(4)).1);
                }
                trace::start(io::sink()).unwrap();
                work();
                trace::stop().unwrap();
                None
            };
            let from_a_thread = i % 3 == 0;
            let t = if from_a_thread {
                syscall(|| std::thread::scope(|s| s.spawn(once).join().unwrap()))
            } else {
                once()
            };
            if let Some(t) = t {
                slices += t.slices.len();
                arrows += t.arrows;
            }
        }
        stop.store(true, Ordering::Relaxed);
        wg.wait();
        assert!(slices > 6 && arrows > 0, "{slices} {arrows}");
    });
}

#[test]
fn the_flight_recorder_has_what_just_happened_and_not_what_is_long_over() {
    let _one = alone();
    run(|| {
        let recorder = FlightRecorder::start(Duration::from_millis(150), 64 << 20).unwrap();
        assert_eq!(trace::start(io::sink()).unwrap_err().kind(), ErrorKind::ResourceBusy);
        let named = |name: &str| Builder::new().name(name.into()).spawn(yield_now).unwrap().join().unwrap();
        // Not `read`: half an arrow is no mistake here.
        let runs = |name: &str| {
            let mut text = Vec::new();
            recorder.write_to(&mut text).unwrap();
            let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let events = all["traceEvents"].as_array().unwrap().iter();
            let of_it =
                |e: &&serde_json::Value| e["cat"] == "run" && e["name"].as_str().unwrap().contains(name);
            events.filter(of_it).count()
        };
        // Two runs, each on a track of the P and one of the M. Where they were over before it came to asking, or sysmon cut
        // one in two, another goroutine, of another name.
        let mut tried = 0;
        let mut seen = |name: &str| {
            tried += 1;
            let name = format!("{name}, {tried}");
            named(&name);
            runs(&name) == 4
        };
        until(|| seen("the first"));
        // Until that is older than what is kept, by pieces that have come.
        until(|| runs("the first") == 0);
        until(|| seen("the last"));
        // Somebody else stops it and starts another trace, which is not the recorder's to stop.
        trace::stop().unwrap();
        trace::start(io::sink()).unwrap();
        drop(recorder);
        trace::stop().unwrap();
    });
}

#[test]
fn two_who_start_and_stop_at_once_do_not_meet() {
    let _one = alone();
    run(|| {
        let started = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicUsize::new(0));
        let wg = WaitGroup::new();
        for _ in 0..4 {
            let (started, stopped) = (started.clone(), stopped.clone());
            wg.go(move || {
                for _ in 0..25 {
                    if trace::start(io::sink()).is_ok() {
                        started.fetch_add(1, Ordering::Relaxed);
                    }
                    yield_now();
                    if trace::stop().is_ok() {
                        stopped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        wg.wait();
        let left = usize::from(trace::stop().is_ok());
        assert_eq!(started.load(Ordering::Relaxed), stopped.load(Ordering::Relaxed) + left);
    });
}

#[test]
fn a_hog_over_the_threshold_is_recorded_while_it_runs() {
    let _one = alone();
    /// A file to be, that says when it is whole.
    struct Dump(Bytes, Arc<AtomicBool>);
    impl Write for Dump {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.1.store(true, Ordering::Release);
            Ok(())
        }
    }
    run(|| {
        until(|| num_goroutine() == 1);
        let mut recorder = FlightRecorder::start(Duration::from_secs(10), 64 << 20).unwrap();
        let (bytes, written) = (Bytes::default(), Arc::new(AtomicBool::new(false)));
        let (to, whole, hogs) = (bytes.clone(), written.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let seen = hogs.clone();
        recorder
            .dump_on_hog(Duration::from_millis(30), move |hog| {
                seen.lock().unwrap().push(hog.clone());
                Ok(Dump(to.clone(), whole.clone()))
            })
            .unwrap();
        let before = Builder::new().name("before the hog".into());
        before.spawn(|| ()).unwrap().join().unwrap();
        let hog = spawn(move || {
            // It is the dump that ends it.
            let late = Instant::now() + Duration::from_secs(30);
            while !written.load(Ordering::Acquire) {
                assert!(Instant::now() < late, "nobody has noticed");
                std::hint::spin_loop();
            }
            gosched_runtime::goid().unwrap()
        });
        let id = hog.join().unwrap();
        drop(recorder);
        let hogs = hogs.lock().unwrap();
        let found = hogs.iter().find(|h| h.id == id).unwrap_or_else(|| panic!("{id}: {hogs:?}"));
        assert!(found.ran >= Duration::from_millis(30), "{found:?}");
        assert!(found.started_at.unwrap().file().ends_with("trace.rs"));
        let text = std::mem::take(&mut *bytes.0.lock().unwrap());
        // The first of them: it may have been told of others since.
        let all: serde_json::Value =
            serde_json::Deserializer::from_slice(&text).into_iter().next().unwrap().unwrap();
        let named = |e: &serde_json::Value| {
            e["cat"] == "run" && e["name"].as_str().unwrap().contains(" before the hog")
        };
        assert!(all["traceEvents"].as_array().unwrap().iter().any(named), "what came before is in it");
        // It is over with the recorder: another one can be asked for the same.
        let mut next = FlightRecorder::start(Duration::from_secs(1), 1 << 20).unwrap();
        next.dump_on_hog(Duration::from_secs(3600), |_| Ok(io::sink())).unwrap();
    });
}
