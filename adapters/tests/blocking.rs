//! Locks and channels that block the thread, used from goroutines: parking_lot and crossbeam-channel.
//!
//! They know nothing of the scheduler. A goroutine that waits in one of them keeps its thread; the scheduler sees after
//! a while (10 ms) that the P stands still, takes it and goes on on another thread. So nothing stops, it only costs a
//! thread for each that waits, and the while. Between goroutines `gosched::sync` and `gosched::chan` are the choice;
//! these here are for what is shared with code that has them already.
//!
//! Thread-locals: both hold a borrow of one (parking_lot_core's `THREAD_DATA`, crossbeam's `Context`) while they wait.
//! The thread waits then, not the goroutine, and nothing of ours is called inside: the goroutine cannot move. A
//! parking_lot guard may even be held across a park: the lock is one byte that anybody may clear, without an owner.
//! (Not so a `ReentrantMutex`, which knows its thread, nor any lock under its feature `deadlock_detection`, nor a std
//! guard.)

use gosched::chan::Chan;
use gosched::net::TcpStream;
use gosched::{spawn, yield_now};
use gosched_adapters::{Server, eventually, on_goroutine, pair, threads};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// How many block their thread at once: more than there are Ps in any of these tests.
const BLOCKED: usize = 12;

/// While `blocked` stand still: computing, channels, timers and sockets go on.
fn others_go_on() {
    let server = Server::start(|stream| {
        let _ = io::copy(&mut &stream, &mut &stream);
    });
    let mut stream = TcpStream::connect(server.addr).unwrap();
    for round in 0..20u8 {
        let (ping, pong) = (Chan::new(0), Chan::new(0));
        let (incoming, outgoing) = (ping.clone(), pong.clone());
        spawn(move || outgoing.send(incoming.recv().unwrap() + 1u8));
        ping.send(round);
        assert_eq!(pong.recv(), Some(round + 1));
        stream.write_all(&[round]).unwrap();
        let mut got = [0];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, [round]);
        gosched::time::sleep(Duration::from_micros(100));
        yield_now();
    }
}

#[test]
fn a_parking_lot_mutex_blocks_its_threads_only() {
    on_goroutine(|| {
        let (lock, inside) = (Arc::new(parking_lot::Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
        let guard = lock.lock();
        let blocked: Vec<_> = (0..BLOCKED)
            .map(|_| {
                let (lock, inside) = (lock.clone(), inside.clone());
                spawn(move || {
                    inside.fetch_add(1, SeqCst);
                    *lock.lock() += 1;
                })
            })
            .collect();
        while inside.load(SeqCst) < BLOCKED {
            yield_now();
        }
        others_go_on();
        assert!(blocked.iter().all(|h| !h.is_finished()));
        // It was held across all these parks, and this may be another thread than the one that locked it.
        drop(guard);
        blocked.into_iter().for_each(|h| h.join().unwrap());
        assert_eq!(*lock.lock(), BLOCKED);
    });
}

#[test]
fn a_parking_lot_condvar_and_rwlock() {
    on_goroutine(|| {
        let state = Arc::new((parking_lot::Mutex::new(false), parking_lot::Condvar::new()));
        let map = Arc::new(parking_lot::RwLock::new(vec![0usize; BLOCKED]));
        let blocked: Vec<_> = (0..BLOCKED)
            .map(|i| {
                let (state, map) = (state.clone(), map.clone());
                spawn(move || {
                    let mut go = state.0.lock();
                    while !*go {
                        state.1.wait(&mut go);
                    }
                    drop(go);
                    map.write()[i] = i;
                    map.read().iter().sum::<usize>()
                })
            })
            .collect();
        others_go_on();
        *state.0.lock() = true;
        state.1.notify_all();
        let most = blocked.into_iter().map(|h| h.join().unwrap()).max();
        assert_eq!(most, Some((0..BLOCKED).sum()));
    });
}

#[test]
fn crossbeam_receivers_block_their_threads_only() {
    on_goroutine(|| {
        let (tx, rx) = crossbeam_channel::bounded::<usize>(1);
        let blocked: Vec<_> = (0..BLOCKED)
            .map(|_| {
                let rx = rx.clone();
                spawn(move || rx.iter().sum::<usize>())
            })
            .collect();
        others_go_on();
        assert!(blocked.iter().all(|h| !h.is_finished()));
        if cfg!(target_os = "linux") {
            eventually("each holds a thread", || threads() >= BLOCKED);
        }
        (1..=1_000).for_each(|n| tx.send(n).unwrap());
        drop(tx);
        assert_eq!(blocked.into_iter().map(|h| h.join().unwrap()).sum::<usize>(), 500_500);
    });
}

#[test]
fn crossbeam_between_a_goroutine_and_a_thread() {
    on_goroutine(|| {
        let (to_thread, questions) = crossbeam_channel::unbounded::<Vec<u8>>();
        let (answers, from_thread) = crossbeam_channel::bounded::<usize>(0);
        let thread = std::thread::spawn(move || {
            for q in questions {
                answers.send(q.len()).unwrap();
            }
        });
        // From a socket to the thread and back; `syscall` says beforehand that the wait blocks.
        let (mut client, mut server) = pair();
        let relay = spawn(move || {
            let mut buf = [0; 64];
            loop {
                let n = server.read(&mut buf).unwrap();
                if n == 0 {
                    return;
                }
                to_thread.send(buf[..n].to_vec()).unwrap();
                let answer = gosched::syscall(|| from_thread.recv()).unwrap();
                writeln!(server, "{answer:03}").unwrap();
            }
        });
        let busy = Arc::new(AtomicBool::new(true));
        let watch = busy.clone();
        let steps = spawn(move || {
            let mut n = 0u64;
            while watch.load(SeqCst) {
                n += 1;
                yield_now();
            }
            n
        });
        for n in 1..=20 {
            client.write_all(&vec![7; n]).unwrap();
            let mut line = [0; 4];
            client.read_exact(&mut line).unwrap();
            assert_eq!(String::from_utf8_lossy(&line), format!("{n:03}\n"));
        }
        client.shutdown(std::net::Shutdown::Write).unwrap();
        relay.join().unwrap();
        busy.store(false, SeqCst);
        assert!(steps.join().unwrap() > 0);
        gosched::syscall(|| thread.join()).unwrap();
    });
}
