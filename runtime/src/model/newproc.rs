//! newproc.rs for models: a goroutine is a thread of the checker (mod.rs).

use crate::loom::{per_run, thread};
use std::panic::Location;
use std::sync::Mutex;

#[derive(Default)]
struct Threads(Mutex<Vec<thread::JoinHandle<()>>>);

// A lock of std's: no step.
per_run! {
    static THREADS: Threads = Threads::default();
}

/// Starts a goroutine.
pub fn go<F: FnOnce() + Send + 'static>(f: F) {
    let t = thread::spawn(f);
    THREADS.0.lock().unwrap().push(t);
}

/// `go`, for a goroutine that is shown as started elsewhere.
pub(crate) fn go_at<F: FnOnce() + Send + 'static>(_site: &'static Location<'static>, f: F) {
    go(f);
}

/// Waits for the end of all goroutines that were started, the hands of timers among them.
pub fn settle() {
    loop {
        let next = THREADS.0.lock().unwrap().pop();
        match next {
            Some(t) => t.join().unwrap(),
            None => break,
        }
    }
}
