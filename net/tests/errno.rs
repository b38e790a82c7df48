//! An error is what the call has left on the thread that made it, although the goroutine was on another one before it
//! parked. What goes wrong otherwise goes wrong in an optimised build alone, where errno's address is looked up once.
//!
//! Several listeners on one socket: each connection wakes all who wait, one gets it, and to the others the system says
//! once more that they shall wait: in errno, after a park. (The listener fails so without `apart` in fd.rs. The foreign
//! descriptor does not, as compilers are today; it is here for what they may do tomorrow.)
#![cfg(target_os = "linux")]
mod common;
use common::*;
use gosched_net::{PollFd, TcpListener, TcpStream};
use gosched_runtime::{set_gomaxprocs, spawn, yield_now};
use std::io;
use std::net::TcpListener as StdListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Nobody's errno.
const NOISE: i32 = 4242;

#[inline(never)]
fn spoil() {
    // SAFETY: this thread's own errno, an integer.
    unsafe { *libc::__errno_location() = NOISE };
}

/// Eight goroutines wait for connections, each by its own `accept` on a duplicate of one socket, while others spoil errno
/// on every thread.
fn all_are_served<A>(listen: impl Fn(StdListener) -> A)
where
    A: FnMut() -> io::Result<()> + Send + 'static,
{
    const CONNECTIONS: usize = 40;
    let before = set_gomaxprocs(4);
    let l = StdListener::bind("127.0.0.1:0").unwrap();
    l.set_nonblocking(true).unwrap();
    let addr = l.local_addr().unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let noise: Vec<_> = (0..6)
        .map(|_| {
            let over = over.clone();
            spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    spoil();
                    yield_now();
                }
            })
        })
        .collect();
    let (said, heard) = std::sync::mpsc::channel();
    for _ in 0..8 {
        let mut accept = listen(l.try_clone().unwrap());
        let (said, over) = (said.clone(), over.clone());
        spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if said.send(accept()).is_err() {
                    break;
                }
            }
        });
    }
    for n in 0..CONNECTIONS {
        let _client = TcpStream::connect(addr).unwrap();
        let accepted = loop {
            match heard.try_recv() {
                Ok(r) => break r,
                Err(_) => yield_now(),
            }
        };
        accepted.unwrap_or_else(|e| panic!("connection {n}: {e}"));
    }
    over.store(true, Ordering::Relaxed);
    noise.into_iter().for_each(|n| n.join().unwrap());
    set_gomaxprocs(before);
}

#[test]
fn a_listener_says_what_its_own_call_said() {
    let _alone = alone();
    run(|| {
        all_are_served(|l| {
            let l = TcpListener::from(l);
            move || l.accept().map(drop)
        });
    });
}

#[test]
fn so_does_a_foreign_descriptor() {
    let _alone = alone();
    run(|| {
        all_are_served(|l| {
            let l = PollFd::new(l).unwrap();
            move || {
                l.read_with(|l| {
                    // SAFETY: the descriptor is open; no address is asked for.
                    let fd =
                        unsafe { libc::accept(l.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
                    if fd < 0 {
                        return Err(io::Error::last_os_error());
                    }
                    // SAFETY: just made, and nobody else knows it.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                    Ok(())
                })
            }
        });
    });
}
