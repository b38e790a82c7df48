//! A goroutine for each kind of wait, and what the runtime says of them.
//!
//! ```text
//! $ cargo run --example waits -- 2
//! goroutine 1 [running]:
//! …
//! goroutine 2 "chan receive" [chan receive]:
//! waits::waits::{{closure}}
//!         examples/waits.rs:…
//! created by goroutine 1 at examples/waits.rs:…
//! …
//! ```
//! With a number, so many of each but of the last, which keeps a thread.
//!
//! Where a goroutine waits it stands in the queue of what it waits for: of a channel (as a sudog, because `select` stands in
//! several at once), of the timers, of a socket, of the semaphores' table. No thread waits with it, except in a system call,
//! where the thread is what waits: all that the scheduler can do is to run the others on another one.
//!
//! In a debugger: stop in `all_wait`, and `info goroutines` lists them, `goroutine all bt` shows their stacks
//! (runtime/gosched-gdb.py).

use gosched::chan::{Chan, select};
use gosched::net::TcpListener;
use gosched::sync::{Condvar, Mutex, RwLock, Semaphore, WaitGroup};
use gosched::{Builder, debug, syscall, time};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Long enough for whoever looks.
const LONG: Duration = Duration::from_secs(600);

struct Everything {
    never: Chan<u32>,
    /// The guards are held by main.
    mutex: Mutex<()>,
    lock: RwLock<()>,
    cond: Condvar,
    wg: WaitGroup,
    semaphore: Semaphore,
    /// Somebody is in a system call.
    blocks: AtomicBool,
}

/// `n` goroutines of each kind; then shows them all.
pub fn waits(n: usize) {
    let all = Arc::new(Everything {
        never: Chan::new(0),
        mutex: Mutex::new(()),
        lock: RwLock::new(()),
        cond: Condvar::new(),
        wg: WaitGroup::new(),
        semaphore: Semaphore::new(0),
        blocks: AtomicBool::new(false),
    });
    all.wg.add(1);
    let (_locked, _written) = (all.mutex.lock(), all.lock.write());

    let start = |what: &str, f: Box<dyn FnOnce(Arc<Everything>) + Send>| {
        let all = all.clone();
        let name = what.to_string();
        Builder::new().name(name).spawn(move || f(all)).expect("memory for a stack")
    };
    for _ in 0..n {
        start(
            "chan receive",
            Box::new(|all| {
                let _ = all.never.recv();
            }),
        );
        start(
            "select",
            Box::new(|all| {
                let other: Chan<u32> = Chan::new(0);
                select! {
                    recv(all.never) -> _v => (),
                    recv(other) -> _v => (),
                }
            }),
        );
        start("sleep", Box::new(|_| time::sleep(LONG)));
        start(
            "IO wait",
            Box::new(|_| {
                let nobody_calls = TcpListener::bind("127.0.0.1:0").expect("a port");
                drop(nobody_calls.accept());
            }),
        );
        start("sync.Mutex.Lock", Box::new(|all| drop(all.mutex.lock())));
        start("sync.RWMutex.RLock", Box::new(|all| drop(all.lock.read())));
        start(
            "sync.Cond.Wait",
            Box::new(|all| {
                let other = Mutex::new(());
                drop(all.cond.wait(other.lock()));
            }),
        );
        start("sync.WaitGroup.Wait", Box::new(|all| all.wg.wait()));
        start("semacquire", Box::new(|all| drop(all.semaphore.acquire())));
    }
    start(
        "syscall",
        Box::new(|all| {
            syscall(|| {
                all.blocks.store(true, Relaxed);
                std::thread::sleep(LONG);
            })
        }),
    );

    // Runnable now; waiting soon.
    while debug::stats().waiting < 9 * n || !all.blocks.load(Relaxed) {
        time::sleep(Duration::from_millis(1));
    }
    all_wait();
    println!("{}", debug::stacks());
}

/// A place for a breakpoint.
#[inline(never)]
fn all_wait() {
    std::hint::black_box(());
}

fn main() {
    let n = std::env::args().nth(1).map_or(1, |n| n.parse().expect("a number"));
    // SAFETY: no goroutine of this program borrows from a thread-local, or holds a value tied to a thread, while it parks.
    unsafe { gosched::run(move || waits(n)) }
}
