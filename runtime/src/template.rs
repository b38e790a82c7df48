//! The thread that makes threads, once a goroutine has locked one (Go: runtime/proc.go, `templateThread`).
//!
//! A new thread inherits from the one that makes it: the CPUs it may run on, the signals that it blocks, and more. A goroutine
//! that locks its thread often does so to change just these (`lock_os_thread`), and must not pass them on to the threads of
//! everybody else. So the first lock, before anything can have been changed, starts a thread that does nothing but make
//! others, and from then on it makes all of them.
//!
//! Where there can be no such thread they are made as before, by whoever needs one.

use crate::sys;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::OnceLock;

type Birth = Box<dyn FnOnce() + Send>;

struct Template {
    births: Mutex<Vec<Birth>>,
    more: Condvar,
}

/// `None` inside: there is no thread.
static TEMPLATE: OnceLock<Option<&'static Template>> = OnceLock::new();

/// How many threads this file has: for those who count the process's.
pub(crate) fn threads() -> usize {
    usize::from(TEMPLATE.get().is_some_and(Option::is_some))
}

/// A goroutine locks its thread.
#[inline]
pub(crate) fn start() {
    TEMPLATE.get_or_init(|| make().ok());
}

#[cold]
fn make() -> io::Result<&'static Template> {
    let t: &'static Template =
        Box::leak(Box::new(Template { births: Mutex::default(), more: Condvar::new() }));
    sys::thread::start("gosched-template", 256 << 10, move || t.bear())?;
    Ok(t)
}

/// Calls `birth`, which makes a thread, on a thread of which nothing is inherited that a goroutine has changed.
pub(crate) fn on_template(birth: impl FnOnce() + Send + 'static) {
    match TEMPLATE.get() {
        Some(Some(t)) => {
            t.births.lock().push(Box::new(birth));
            t.more.notify_one();
        }
        _ => birth(),
    }
}

impl Template {
    fn bear(&self) {
        let _never_dropped = crate::fatal::FatalOnUnwind;
        let mut births = self.births.lock();
        loop {
            while let Some(birth) = births.pop() {
                drop(births);
                birth();
                births = self.births.lock();
            }
            self.more.wait(&mut births);
        }
    }
}
