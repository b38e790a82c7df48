//! A trace does not see what an exploration does, and does it no harm.

use gosched_runtime::debug::trace;
use gosched_runtime::{Builder, yield_now};
use gosched_testing::{Config, explore};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn program() {
    let lock = Arc::new(gosched_runtime::sync::Mutex::new(0));
    let add = |lock: Arc<gosched_runtime::sync::Mutex<i32>>| {
        move || {
            *lock.lock() += 1;
            yield_now();
        }
    };
    let named = |f| Builder::new().name("explored".into()).spawn(f).unwrap();
    let others = [named(add(lock.clone())), named(add(lock.clone()))];
    others.into_iter().for_each(|g| g.join().unwrap());
    gosched_runtime::syscall(|| ());
    assert_eq!(*lock.lock(), 2);
}

#[test]
fn an_exploration_leaves_no_trace_and_may_start_one() {
    // One around it: the exploration is on a plain thread, then on a goroutine.
    for on_goroutine in [false, true] {
        let bytes = Bytes::default();
        let writer = bytes.clone();
        let work = move || {
            trace::start(writer).unwrap();
            explore(Config::new(), program);
            trace::stop().unwrap();
        };
        if on_goroutine {
            // SAFETY: nothing of a thread is held while a goroutine parks.
            unsafe { gosched_runtime::run(work) };
        } else {
            work();
        }
        let text = String::from_utf8(bytes.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
        assert!(!text.contains("explored"), "a goroutine of the exploration: {text}");
    }
    // And one inside: each run of the program starts and stops its own.
    explore(Config::new(), || {
        trace::start(io::sink()).unwrap();
        program();
        trace::stop().unwrap();
    });
}
