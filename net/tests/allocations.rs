//! Reading, writing and parking on sockets take nothing from the allocator. Alone in its process, for it counts.
mod common;
use common::*;
use gosched_net::{TcpStream, UdpSocket, UnixStream};
use gosched_runtime::spawn;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The system's, counting.
struct Counting;

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; `at` came from the system's.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 1_000;

/// Less than one allocation in ten rounds: what others in the process do meanwhile does not count.
fn takes_nothing(what: &str, mut round: impl FnMut()) {
    (0..200).for_each(|_| round()); // what is made once is made
    let before = COUNT.load(Ordering::Relaxed);
    (0..ROUNDS).for_each(|_| round());
    let taken = COUNT.load(Ordering::Relaxed) - before;
    assert!(taken < ROUNDS / 10, "{what}: {taken} allocations in {ROUNDS} rounds");
}

/// Answers until the other end is gone.
fn echo(mut s: impl Read + Write + Send + 'static) {
    spawn(move || {
        let mut buf = [0; 128];
        while let Ok(n @ 1..) = s.read(&mut buf) {
            s.write_all(&buf[..n]).unwrap();
        }
    });
}

#[test]
fn sockets_take_nothing_from_the_allocator() {
    run(|| {
        let mut buf = [0; 128];
        let ask = |c: &mut dyn Write| c.write_all(&[1; 128]).unwrap();

        let (mut c, mut s) = connected();
        takes_nothing("written, then read", || {
            ask(&mut c);
            s.read_exact(&mut buf).unwrap();
        });
        echo(s);
        takes_nothing("parked on TCP", || {
            ask(&mut c);
            c.read_exact(&mut buf).unwrap();
        });
        takes_nothing("with a deadline and a limit", || {
            c.set_deadline(Some(Instant::now() + PATIENCE)).unwrap();
            TcpStream::set_read_timeout(&c, Some(PATIENCE)).unwrap();
            ask(&mut c);
            c.read_exact(&mut buf).unwrap();
        });
        c.set_deadline(None).unwrap();
        c.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
        takes_nothing("late", || assert!(c.read(&mut buf).is_err()));

        let (mut c, s) = UnixStream::pair().unwrap();
        echo(s);
        takes_nothing("parked on a Unix socket", || {
            ask(&mut c);
            c.read_exact(&mut buf).unwrap();
        });

        let u = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = u.local_addr().unwrap();
        takes_nothing("datagrams", || {
            u.send_to(&buf, to).unwrap();
            u.recv_from(&mut [0; 128]).unwrap();
        });
    });
}
