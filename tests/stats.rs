//! `debug::stats`: what it counts of the network and of stacks.

mod common;
use common::*;

use gosched::chan::Chan;
use gosched::net::UnixStream;
use gosched::{debug, spawn, yield_now};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::thread;

/// Held by a test: the numbers are the whole process's.
static ALONE: Mutex<()> = Mutex::new(());

/// A goroutine that waits for a socket is woken by the poller, and by nothing else.
#[test]
fn wake_ups_by_the_network_are_counted() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    rt(|| {
        let before = debug::stats().netpoll_wakeups;
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut byte = [0];
            (&theirs).read_exact(&mut byte).unwrap();
            byte[0]
        });
        // It is parked, and so the byte comes too late to be found at once.
        while debug::stats().waiting == 0 {
            yield_now();
        }
        ours.write_all(&[7]).unwrap();
        assert_eq!(reader.join().unwrap(), 7);
        assert!(debug::stats().netpoll_wakeups > before);
    });
}

#[test]
fn stacks_are_counted_where_they_are() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    rt(|| {
        const N: usize = 2_000;
        let (gate, ready) = (Chan::<()>::new(0), Chan::new(0));
        let all: Vec<_> = (0..N)
            .map(|_| {
                let (gate, ready) = (gate.clone(), ready.clone());
                spawn(move || {
                    ready.send(());
                    gate.recv();
                })
            })
            .collect();
        (0..N).for_each(|_| assert!(ready.recv().is_some()));
        let full = debug::stats().stacks;
        assert!(full >= N, "{full}");
        gate.close();
        all.into_iter().for_each(|g| g.join().unwrap());
        // Joined, they may be on their way out; then Ps keep a few of their stacks, and the pool has the rest.
        loop {
            let now = debug::stats();
            if now.stacks < full - N / 2 {
                break;
            }
            thread::yield_now();
            yield_now();
        }
    });
}
