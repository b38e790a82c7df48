//! A timer is called in time though the one who waited for it in the poller came out with a goroutine that never lets go.
//!
//! The last M that goes idle waits in the poller, until the earliest timer of all. Data comes first: it takes any idle P, and
//! runs the reader, which computes for long. The timer is in the heap of another P, which is idle; somebody must come by it.

use gosched::net::{TcpListener, TcpStream};
use gosched::{Config, spawn};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{hint, net, thread};

const SLEEP: Duration = Duration::from_millis(100);
/// The reader gives up by then; a timer that was forgotten comes after it.
const TOO_LATE: Duration = Duration::from_secs(5);

/// One sleeps; some end at different times, so that the last P to be idle is any; one reads, and computes until the sleeper
/// is awake. Whether it was before the reader gave up.
fn round(mut conn: TcpStream, data_comes: impl FnOnce()) -> (TcpStream, bool) {
    let awake = Arc::new(AtomicBool::new(false));
    let says = awake.clone();
    let sleeper = spawn(move || {
        gosched::time::sleep(SLEEP);
        says.store(true, Ordering::Relaxed);
    });
    let others: Vec<_> = (1..=8)
        .map(|ms| {
            spawn(move || {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_millis(ms) {
                    hint::spin_loop();
                }
            })
        })
        .collect();
    let reader = spawn(move || {
        conn.read_exact(&mut [0]).unwrap();
        let begin = Instant::now();
        while !awake.load(Ordering::Relaxed) && begin.elapsed() < TOO_LATE {
            hint::spin_loop();
        }
        (conn, begin.elapsed() < TOO_LATE)
    });
    others.into_iter().for_each(|h| h.join().unwrap());
    data_comes();
    let end = reader.join().unwrap();
    sleeper.join().unwrap();
    end
}

#[test]
fn the_poller_may_come_out_with_a_hog() {
    let main = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let client = thread::spawn(move || {
            let mut conn = net::TcpStream::connect(addr).unwrap();
            while told.recv().is_ok() {
                thread::sleep(SLEEP / 2);
                conn.write_all(&[0]).unwrap();
            }
        });
        let (mut conn, _) = listener.accept().unwrap();
        for _ in 0..6 {
            let in_time;
            (conn, in_time) = round(conn, || tell.send(()).unwrap());
            assert!(in_time, "the sleeper slept until the reader let go");
        }
        drop(tell);
        client.join().unwrap();
    };
    // SAFETY: no goroutine of this program holds a value tied to a thread while it parks.
    unsafe { Config::new().procs(4).run(main) };
}
