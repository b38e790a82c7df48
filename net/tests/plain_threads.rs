//! Plain threads use sockets while every goroutine is parked: somebody polls for them all the same.

use gosched_net::{TcpListener, TcpStream};
use gosched_runtime::run;
use gosched_runtime::sync::Semaphore;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_parked_main_goroutine_does_not_keep_threads_from_their_sockets() {
    // SAFETY: no goroutine here parks while it holds a value tied to a thread.
    unsafe {
        run(|| {
            let done = Arc::new(Semaphore::new(0));
            let permits = done.clone();
            std::thread::spawn(move || {
                // Long enough for the scheduler to fall asleep altogether, before there is any socket.
                std::thread::sleep(Duration::from_millis(300));
                let l = TcpListener::bind("127.0.0.1:0").unwrap();
                let addr = l.local_addr().unwrap();
                let client = std::thread::spawn(move || {
                    let mut s = TcpStream::connect(addr).unwrap();
                    // The other side waits for each of these.
                    for n in 0..20u8 {
                        std::thread::sleep(Duration::from_millis(2));
                        s.write_all(&[n]).unwrap();
                        let mut b = [0];
                        s.read_exact(&mut b).unwrap();
                        assert_eq!(b[0], n);
                    }
                });
                let (mut s, _) = l.accept().unwrap();
                let mut b = [0];
                while s.read(&mut b).unwrap() == 1 {
                    s.write_all(&b).unwrap();
                }
                client.join().unwrap();
                permits.add_permits(1);
                // Gone only when main has it: a foreign thread that could still send.
                std::thread::sleep(Duration::from_millis(50));
            });
            drop(done.acquire()); // parks, without a timer
        })
    };
}
