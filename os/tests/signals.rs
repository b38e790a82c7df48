//! Signals on channels. Each test has a process of its own: dispositions are the whole process's.
mod common;
use common::*;
use gosched_chan::{Chan, select};
use gosched_os::signal::{self, SIGHUP, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, Signal};
use gosched_runtime::{sleep, spawn};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Sends to the process, as others do: any thread may be the one to handle it.
fn kill(s: Signal) {
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::kill(std::process::id() as i32, s.as_raw()) }, 0);
}

#[test]
fn main_may_wait_for_a_signal_alone_and_that_is_no_deadlock() {
    const NAME: &str = "main_may_wait_for_a_signal_alone_and_that_is_no_deadlock";
    if is_child() {
        run(|| {
            let rx = signal::notify(&[SIGTERM]);
            println!("ready");
            assert_eq!(rx.recv(), Some(SIGTERM));
            println!("got it");
        });
        return;
    }
    let mut child = alone_command(NAME).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("ready") {
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut text).unwrap(), 0, "{text}");
    }
    // Time for a deadlock to be seen, were it one.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(child.try_wait().unwrap(), None);
    // SAFETY: our child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    std::io::Read::read_to_string(&mut out, &mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    assert!(text.contains("got it"));
}

#[test]
fn each_signal_goes_to_every_channel_that_asked_for_it() {
    if !alone("each_signal_goes_to_every_channel_that_asked_for_it") {
        return;
    }
    run(|| {
        let one = signal::notify(&[SIGUSR1, SIGHUP]);
        let two = signal::notify(&[SIGUSR1, SIGUSR2]);
        for _ in 0..50 {
            kill(SIGUSR1);
            assert_eq!((one.recv(), two.recv()), (Some(SIGUSR1), Some(SIGUSR1)));
            kill(SIGUSR2);
            assert_eq!(two.recv(), Some(SIGUSR2));
            kill(SIGHUP);
            assert_eq!(one.recv(), Some(SIGHUP));
        }
        assert!(one.try_recv().is_err() && two.try_recv().is_err());
        let got = select! {
            recv(one) -> s => s,
            recv(two) -> s => s,
            default(Duration::from_millis(1)) => None,
        };
        assert_eq!(got, None);
    });
}

#[test]
fn a_channel_that_is_full_misses_and_holds_nobody_up() {
    if !alone("a_channel_that_is_full_misses_and_holds_nobody_up") {
        return;
    }
    run(|| {
        let full = Chan::new(1);
        signal::notify_on(&full, &[SIGUSR1]).unwrap();
        let unbuffered = Chan::new(0);
        signal::notify_on(&unbuffered, &[SIGUSR1]).unwrap();
        let other = signal::notify(&[SIGUSR1]);
        for _ in 0..20 {
            kill(SIGUSR1);
            assert_eq!(other.recv(), Some(SIGUSR1));
        }
        assert_eq!(full.try_recv(), Ok(SIGUSR1));
        // Both at once may share one delivery; nothing older is left over.
        assert!(full.try_recv().is_err());
        // A closed channel is passed over.
        full.close();
        kill(SIGUSR1);
        assert_eq!(other.recv(), Some(SIGUSR1));
    });
}

#[test]
fn sigquit_belongs_to_whoever_asks_for_it() {
    // Else the scheduler prints all stacks and ends the process.
    if !alone("sigquit_belongs_to_whoever_asks_for_it") {
        return;
    }
    run(|| {
        let rx = signal::notify(&[SIGQUIT]);
        for _ in 0..3 {
            kill(SIGQUIT);
            assert_eq!(rx.recv(), Some(SIGQUIT));
        }
    });
}

#[test]
fn after_stop_nothing_comes_and_what_came_before_is_there() {
    if !alone("after_stop_nothing_comes_and_what_came_before_is_there") {
        return;
    }
    run(|| {
        // Something that keeps the process alive when the other one stops.
        let keeper = signal::notify(&[SIGUSR1]);
        for _ in 0..100 {
            let rx = signal::notify(&[SIGUSR1]);
            // Handled on this thread before `raise` returns.
            signal::raise(SIGUSR1).unwrap();
            signal::stop(&rx);
            assert_eq!(rx.try_recv(), Ok(SIGUSR1));
            // One, and nothing of the rounds before.
            assert!(rx.try_recv().is_err());
            signal::raise(SIGUSR1).unwrap();
            assert_eq!(keeper.recv(), Some(SIGUSR1));
            assert!(rx.try_recv().is_err());
            signal::stop(&rx);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_meets_a_stop_is_received_or_does_what_it_does_by_default() {
    const NAME: &str = "a_signal_that_meets_a_stop_is_received_or_does_what_it_does_by_default";
    const ROUNDS: usize = 1_000;
    if is_child() {
        // By default this one stops the process, which the parent sees and undoes.
        let s = Signal::SIGTSTP;
        let (now, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (go, raised) = (now.clone(), done.clone());
        std::thread::spawn(move || {
            for round in 1..=ROUNDS {
                while go.load(Ordering::Acquire) < round {
                    std::hint::spin_loop();
                }
                // Handled on this thread before `raise` returns.
                signal::raise(s).unwrap();
                raised.store(round, Ordering::Release);
            }
        });
        return run(move || {
            // Earlier where the stop was too late, later where it was too early: so that they meet.
            let (mut delay, mut missed) = (100usize, 0);
            for round in 1..=ROUNDS {
                let rx = signal::notify(&[s]);
                now.store(round, Ordering::Release);
                (0..delay).for_each(|_| std::hint::spin_loop());
                signal::stop(&rx);
                while done.load(Ordering::Acquire) < round {
                    std::thread::yield_now();
                }
                match rx.try_recv() {
                    Ok(_) => delay = delay.saturating_sub(1),
                    Err(_) => (delay, missed) = (delay + 3, missed + 1),
                }
            }
            println!("<{missed}>");
        });
    }
    let mut child = alone_command(NAME).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id() as i32;
    let mut stops = 0;
    loop {
        let mut status = 0;
        // SAFETY: our child, which is waited for here alone; an integer of this stack.
        unsafe {
            assert_eq!(libc::waitpid(pid, &mut status, libc::WUNTRACED), pid);
            if !libc::WIFSTOPPED(status) {
                break;
            }
            stops += 1;
            assert_eq!(libc::kill(pid, libc::SIGCONT), 0);
        }
    }
    assert!(child.wait().is_err(), "it has been waited for");
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    assert!(text.contains(&format!("<{stops}>")), "{stops} times stopped, else not received: {text}");
}

#[test]
fn reset_takes_a_signal_away_from_all_channels() {
    if !alone("reset_takes_a_signal_away_from_all_channels") {
        return;
    }
    run(|| {
        for round in 0..20 {
            let (one, two) = (signal::notify(&[SIGWINCH]), signal::notify(&[SIGWINCH, SIGUSR1]));
            signal::raise(SIGWINCH).unwrap();
            assert_eq!((one.recv(), two.recv()), (Some(SIGWINCH), Some(SIGWINCH)));
            if round % 2 == 0 {
                signal::reset(&[SIGWINCH]);
            } else {
                signal::ignore(&[SIGWINCH]).unwrap();
            }
            assert_eq!(signal::ignored(SIGWINCH), round % 2 == 1);
            // By default it does nothing.
            signal::raise(SIGWINCH).unwrap();
            // What comes after it and was not taken away has come, so it will not.
            signal::raise(SIGUSR1).unwrap();
            assert_eq!(two.recv(), Some(SIGUSR1));
            assert!(one.try_recv().is_err() && two.try_recv().is_err());
            [&one, &two].into_iter().for_each(signal::stop);
        }
    });
}

#[test]
fn the_last_stop_brings_the_default_back() {
    const NAME: &str = "the_last_stop_brings_the_default_back";
    if is_child() {
        return run(|| {
            for _ in 0..10 {
                let (one, two) = (signal::notify(&[SIGTERM]), signal::notify(&[SIGTERM]));
                signal::stop(&one);
                signal::raise(SIGTERM).unwrap();
                assert_eq!(two.recv(), Some(SIGTERM));
                signal::stop(&two);
            }
            println!("stopped");
            signal::raise(SIGTERM).unwrap();
            sleep(NEVER);
        });
    }
    let out = alone_command(NAME).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("stopped"));
    assert_eq!(out.status.signal(), Some(libc::SIGTERM));
}

#[test]
fn a_signal_that_signal_hook_does_not_know_ends_the_process_by_default_too() {
    const NAME: &str = "a_signal_that_signal_hook_does_not_know_ends_the_process_by_default_too";
    if is_child() {
        return run(|| {
            let s = Signal::from_raw(40).unwrap();
            let rx = signal::notify(&[s]);
            kill(s);
            assert_eq!(rx.recv(), Some(s));
            signal::reset(&[s]);
            kill(s);
            sleep(NEVER);
        });
    }
    if cfg!(target_os = "linux") {
        assert_eq!(alone_command(NAME).output().unwrap().status.signal(), Some(40));
    }
}

#[test]
fn ignored_signals_do_nothing_and_reset_undoes_it() {
    const NAME: &str = "ignored_signals_do_nothing_and_reset_undoes_it";
    if is_child() {
        return run(|| {
            assert!(!signal::ignored(SIGUSR1));
            let rx = signal::notify(&[SIGUSR1, SIGUSR2]);
            signal::ignore(&[SIGUSR1]).unwrap();
            assert!(signal::ignored(SIGUSR1) && !signal::ignored(SIGUSR2));
            signal::raise(SIGUSR1).unwrap();
            signal::raise(SIGUSR2).unwrap();
            assert_eq!(rx.recv(), Some(SIGUSR2));
            assert!(rx.try_recv().is_err());
            // Asked for again, it comes again.
            signal::notify_on(&Chan::new(1), &[SIGUSR1]).unwrap();
            assert!(!signal::ignored(SIGUSR1));
            signal::reset(&[]);
            assert!(!signal::ignored(SIGUSR1));
            println!("reset");
            signal::raise(SIGUSR1).unwrap();
            sleep(NEVER);
        });
    }
    let out = alone_command(NAME).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("reset"), "{out:?}");
    assert_eq!(out.status.signal(), Some(libc::SIGUSR1), "{out:?}");
}

#[test]
fn what_was_ignored_when_the_process_began_is_ignored_again() {
    const NAME: &str = "what_was_ignored_when_the_process_began_is_ignored_again";
    if is_child() {
        return run(|| {
            assert!(signal::ignored(SIGHUP));
            let rx = signal::notify(&[SIGHUP]);
            assert!(!signal::ignored(SIGHUP));
            signal::raise(SIGHUP).unwrap();
            assert_eq!(rx.recv(), Some(SIGHUP));
            signal::stop(&rx);
            signal::raise(SIGHUP).unwrap();
            assert!(signal::ignored(SIGHUP));
        });
    }
    // As nohup does.
    let command = alone_command(NAME);
    let mut sh = Command::new("sh");
    sh.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    for (k, v) in command.get_envs() {
        sh.env(k, v.unwrap());
    }
    let out = sh.output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn all_signals_can_be_asked_for() {
    if !alone("all_signals_can_be_asked_for") {
        return;
    }
    run(|| {
        let rx = signal::notify(&[]);
        for s in [SIGTERM, SIGWINCH, Signal::SIGTSTP, Signal::SIGQUIT, Signal::SIGABRT] {
            kill(s);
            assert_eq!(rx.recv(), Some(s));
        }
        signal::stop(&rx);
        signal::ignore(&[]).unwrap();
        // On this thread: it has been handled, and ignored, when this returns.
        signal::raise(SIGTERM).unwrap();
        signal::reset(&[]);
    });
}

#[test]
fn what_cannot_be_caught_is_refused() {
    run(|| {
        for s in [Signal::SIGKILL, Signal::SIGSTOP] {
            let panicked = spawn(move || signal::notify(&[s])).join().unwrap_err();
            let words = panicked.downcast_ref::<String>().unwrap();
            assert_eq!(*words, format!("gosched: {s} cannot be caught"));
        }
    });
}

#[test]
fn with_the_last_channel_the_deadlock_detector_sees_again() {
    const NAME: &str = "with_the_last_channel_the_deadlock_detector_sees_again";
    // The test harness has a thread of its own, which could still send: so that is only looked at from outside.
    if is_child() {
        return run(|| {
            let before = gosched_runtime::num_goroutine();
            for _ in 0..50 {
                let rx = signal::notify(&[SIGUSR1]);
                assert_eq!(gosched_runtime::num_goroutine(), before + 1);
                signal::stop(&rx);
                eventually("the watcher ends", || gosched_runtime::num_goroutine() == before);
            }
        });
    }
    let out = alone_command(NAME).output().unwrap();
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn a_storm_of_signals_from_threads_and_channels_that_come_and_go() {
    if !alone("a_storm_of_signals_from_threads_and_channels_that_come_and_go") {
        return;
    }
    run(|| {
        let keeper = Chan::new(1);
        signal::notify_on(&keeper, &[SIGUSR1, SIGUSR2]).unwrap();
        let senders: Vec<_> = (0..2)
            .map(|i| {
                std::thread::spawn(move || {
                    for _ in 0..500 {
                        kill([SIGUSR1, SIGUSR2][i]);
                        std::thread::sleep(Duration::from_micros(20));
                    }
                })
            })
            .collect();
        let users: Vec<_> = (0..4)
            .map(|_| {
                spawn(|| {
                    for _ in 0..50 {
                        let rx = signal::notify(&[SIGUSR1, SIGUSR2]);
                        let _ = rx.recv_timeout(Duration::from_micros(300));
                        signal::stop(&rx);
                    }
                })
            })
            .collect();
        users.into_iter().for_each(|u| u.join().unwrap());
        spawn(move || senders.into_iter().for_each(|t| t.join().unwrap())).join().unwrap();
        // Still alive: one more gets through.
        while keeper.try_recv().is_ok() {}
        let start = Instant::now();
        loop {
            kill(SIGUSR1);
            if keeper.recv_timeout(Duration::from_millis(50)) == Ok(SIGUSR1) {
                break;
            }
            assert!(start.elapsed() < NEVER);
        }
    });
}

#[test]
fn without_descriptors_there_is_an_error_and_later_none() {
    if !alone("without_descriptors_there_is_an_error_and_later_none") {
        return;
    }
    run(|| {
        {
            let _hoarded = hoard(0);
            assert_exhausted(signal::try_notify(&[SIGUSR1]));
        }
        let rx = signal::notify(&[SIGUSR1]);
        kill(SIGUSR1);
        assert_eq!(rx.recv(), Some(SIGUSR1));
    });
}
