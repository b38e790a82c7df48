//! A deadlock ends the process with Go's words and status 2, and nothing else is taken for one: what channels, timers and
//! sockets have to do with it. (Locks, threads and runs: `runtime/tests/deadlock.rs`.)

#[path = "../runtime/tests/child/mod.rs"]
mod child;

use child::Running;
use child::scenarios::{A_WHILE, Scenario, alive, deadlock};
use gosched::chan::{Chan, Select, after, never, select, tick};
use gosched::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use gosched::sync::{Condvar, Mutex, Semaphore, WaitGroup};
use gosched::{Builder, go, goexit, lock_os_thread, run, set_gomaxprocs, spawn, syscall, time};
use std::io::{ErrorKind, Read, Write};
use std::net;
use std::thread;
use std::time::{Duration, Instant};

/// Never reached by a machine that works.
const LONG: Duration = Duration::from_secs(80);

/// The main goroutine waits on a channel; `f`, on a goroutine of its own, will send.
fn wait_for(f: impl FnOnce() + Send + 'static) {
    let ch = Chan::new(0);
    let its = ch.sender();
    go(move || {
        f();
        its.send(());
    });
    ch.recv().unwrap();
}

/// The same, by a plain thread that has the sender all the time and does not touch it until the end.
fn wait_for_thread(f: impl FnOnce() + Send + 'static) {
    let ch = Chan::new(0);
    let its = ch.sender();
    thread::spawn(move || {
        f();
        its.send(());
    });
    ch.recv().unwrap();
}

/// Computes until `A_WHILE` is over.
fn spin() {
    let began = Instant::now();
    while began.elapsed() < A_WHILE {
        std::hint::spin_loop();
    }
}

/// The child: a listener whose address the parent is told.
fn listener() -> TcpListener {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("address {}", l.local_addr().unwrap());
    l
}

/// The parent: connects to the child after a while, when all there is asleep.
fn connect_later(child: &mut Running) {
    let addr = child.says("address ");
    thread::sleep(A_WHILE);
    net::TcpStream::connect(addr).unwrap();
}

/// The same, and after another while writes a byte.
fn write_later(child: &mut Running) {
    let mut s = net::TcpStream::connect(child.says("address ")).unwrap();
    thread::sleep(A_WHILE);
    s.write_all(b"x").unwrap();
}

/// A destructor that does something.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        self.0();
    }
}

const DEADLOCKS: &[Scenario] = &[
    deadlock("receive_that_nobody_sends", &["chan receive"], || {
        Chan::<u8>::new(0).recv();
    }),
    deadlock("send_that_nobody_receives", &["chan send"], || Chan::new(0).send(1)),
    deadlock("full_buffer", &["chan send"], || {
        let ch = Chan::new(2);
        (0..3).for_each(|i| ch.send(i));
    }),
    deadlock("drained_buffer", &["chan receive"], || {
        let ch = Chan::new(2);
        (0..2).for_each(|i| ch.send(i));
        while ch.recv().is_some() {}
    }),
    deadlock("iteration_over_a_channel_never_closed", &["chan receive"; 3], || {
        let ch = Chan::new(0);
        for _ in 0..2 {
            let ch = ch.receiver();
            go(move || ch.iter().for_each(|()| ()));
        }
        ch.send(());
        ch.iter().for_each(|()| ());
    }),
    deadlock("nil_channel_send", &["chan send (nil chan)"], || Chan::nil().send(1)),
    deadlock("nil_channel_receive", &["chan receive (nil chan)"], || {
        Chan::<u8>::nil().recv();
    }),
    deadlock("never", &["chan receive (nil chan)"], || {
        never::<u8>().recv();
    }),
    deadlock("select_without_cases", &["select (no cases)"], || select! {}),
    deadlock("select_of_two", &["select"], || {
        let (a, b) = (Chan::<u8>::new(0), Chan::new(0));
        select! {
            recv(a) -> _ => {},
            send(b, 1) => {},
        }
    }),
    deadlock("select_of_nil_channels", &["select"], || {
        let (a, b) = (Chan::<u8>::nil(), Chan::nil());
        select! {
            recv(a) -> _ => {},
            send(b, 1) => {},
        }
    }),
    deadlock("list_of_cases", &["select"], || {
        let chans: Vec<_> = (0..5).map(|_| Chan::<u8>::new(0)).collect();
        let mut s = Select::new();
        chans.iter().for_each(|c| {
            s.recv(c);
        });
        drop(s.select());
    }),
    deadlock("each_waits_for_the_other", &["chan receive", "chan send"], || {
        let (a, b) = (Chan::new(0), Chan::new(0));
        let (a2, b2) = (a.clone(), b.clone());
        let worker = Builder::new().name("worker [1, 2]: \"x\"".into());
        drop(worker.spawn(move || {
            b2.send(1);
            a2.send(2);
        }));
        a.recv();
        b.recv();
    }),
    deadlock(
        "one_of_each",
        &["chan receive", "chan send", "join", "select", "semacquire", "sync.Cond.Wait"],
        || {
            go(|| Chan::new(0).send(1));
            go(|| drop(Semaphore::new(0).acquire()));
            go(|| drop(Condvar::new().wait(Mutex::new(()).lock())));
            go(|| {
                let (a, b) = (Chan::<u8>::new(0), Chan::<u8>::new(0));
                select! { recv(a) -> _ => {}, recv(b) -> _ => {} }
            });
            let _ = spawn(|| Chan::<u8>::new(0).recv()).join();
        },
    ),
    // Who could have woken somebody is gone:
    deadlock("after_the_listener_was_closed", &["chan receive"], || {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let l2 = l.try_clone().unwrap();
        let accepting = spawn(move || l2.accept().is_err());
        time::sleep(Duration::from_millis(5));
        l.close().unwrap();
        assert!(accepting.join().unwrap());
        Chan::<u8>::new(0).recv();
    }),
    deadlock("with_a_connection_that_nobody_reads", &["chan receive"], || {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(l.local_addr().unwrap()).unwrap();
        let (mut server, _) = l.accept().unwrap();
        let reading = spawn(move || {
            server.read_exact(&mut [0]).unwrap();
            server
        });
        client.write_all(b"x").unwrap();
        let _open = (reading.join().unwrap(), client, l);
        Chan::<u8>::new(0).recv();
    }),
    deadlock("after_a_deadline", &["chan receive"], || {
        let (mut a, _b) = UnixStream::pair().unwrap();
        a.set_read_deadline(Some(Instant::now() + Duration::from_millis(20))).unwrap();
        assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        Chan::<u8>::new(0).recv();
    }),
    deadlock("after_a_timeout", &["chan receive"], || {
        let ch = Chan::<u8>::new(0);
        assert!(ch.recv_timeout(Duration::from_millis(20)).is_err());
        ch.recv();
    }),
    deadlock("with_tickers_that_nobody_waits_for", &["chan receive"], || {
        let (ticks, once) = (tick(Duration::from_millis(5)), after(LONG));
        ticks.recv();
        select! {
            recv(ticks) -> _ => {},
            recv(once) -> _ => {},
        }
        Chan::<u8>::new(0).recv();
        drop((ticks, once));
    }),
    deadlock("after_the_foreign_sender_ended", &["chan receive"], || {
        let ch = Chan::<u8>::new(0);
        let its = ch.sender();
        thread::spawn(move || {
            thread::sleep(A_WHILE);
            drop(its);
        });
        ch.recv();
    }),
    deadlock("after_a_foreign_thread_sent_all_it_had", &["chan receive"], || {
        let ch = Chan::new(0);
        let its = ch.sender();
        thread::spawn(move || (0..1000).for_each(|i| its.send(i)));
        ch.iter().for_each(drop::<u32>);
    }),
    deadlock("without_membarrier", &["chan receive", "chan send"], || {
        go(|| Chan::new(0).send(1));
        Chan::<u8>::new(0).recv();
    })
    .with_godebug("membarrier=0"),
];

const NONE: &[Scenario] = &[
    // Timers:
    alive("after_in_a_select", || {
        let ch = Chan::<u8>::new(0);
        select! {
            recv(ch) -> _ => unreachable!(),
            recv(after(A_WHILE)) -> _ => {},
        }
    }),
    alive("tick_in_a_select", || {
        let (ch, ticks) = (Chan::<u8>::new(0), tick(A_WHILE / 2));
        for _ in 0..3 {
            select! {
                recv(ch) -> _ => unreachable!(),
                recv(ticks) -> _ => {},
            }
        }
    }),
    alive("a_timeout_of_a_select", || {
        let ch = Chan::<u8>::new(0);
        select! {
            recv(ch) -> _ => unreachable!(),
            default(A_WHILE) => {},
        }
    }),
    alive("a_timeout_of_a_list_of_cases", || {
        let ch = Chan::<u8>::new(0);
        let mut s = Select::new();
        s.recv(&ch);
        assert!(s.select_timeout(A_WHILE).is_err());
    }),
    alive("a_timeout_of_a_receive", || {
        assert!(Chan::<u8>::new(0).recv_timeout(A_WHILE).is_err());
    }),
    alive("a_timeout_of_a_send", || {
        assert!(Chan::new(0).send_timeout(1, A_WHILE).is_err());
    }),
    alive("a_sleeper_that_will_send", || wait_for(|| time::sleep(A_WHILE))),
    alive("a_deadline_of_an_accept", || {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        l.set_deadline(Some(Instant::now() + A_WHILE)).unwrap();
        assert_eq!(l.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    }),
    // Sockets. Nothing in this process will end the wait.
    alive("a_listener", || drop(listener().accept().unwrap())).meanwhile(connect_later),
    alive("a_listener_of_a_goroutine", || wait_for(|| drop(listener().accept().unwrap())))
        .meanwhile(connect_later),
    alive("a_listener_of_a_locked_goroutine", || {
        wait_for(|| {
            let _lock = lock_os_thread();
            drop(listener().accept().unwrap());
        });
    })
    .meanwhile(connect_later),
    alive("a_listener_of_a_goroutine_that_unwinds", || {
        let h = spawn(|| {
            let _accepts = Finally(|| drop(listener().accept().unwrap()));
            goexit();
        });
        assert!(h.join().is_err());
    })
    .meanwhile(connect_later),
    alive("a_connection_that_is_read", || {
        let (l, wg) = (listener(), WaitGroup::new());
        let (mut s, _) = l.accept().unwrap();
        wg.go(move || s.read_exact(&mut [0]).unwrap());
        wg.wait();
    })
    .meanwhile(write_later),
    alive("a_datagram_socket", || {
        wait_for(|| {
            let s = UdpSocket::bind("127.0.0.1:0").unwrap();
            println!("address {}", s.local_addr().unwrap());
            assert_eq!(s.recv(&mut [0; 8]).unwrap(), 1);
        });
    })
    .meanwhile(|child| {
        let (addr, s) = (child.says("address "), net::UdpSocket::bind("127.0.0.1:0").unwrap());
        thread::sleep(A_WHILE);
        s.send_to(b"x", addr).unwrap();
    }),
    alive("a_connection_that_nobody_drains_yet", || {
        wait_for(|| {
            let (mut s, _) = listener().accept().unwrap();
            s.write_all(&vec![7; 16 << 20]).unwrap();
        });
    })
    .meanwhile(|child| {
        let s = net::TcpStream::connect(child.says("address ")).unwrap();
        thread::sleep(A_WHILE);
        let _ = (&s).read_to_end(&mut Vec::new());
    }),
    // Goroutines that are away:
    alive("a_blocking_call_that_nobody_announced", || wait_for(|| thread::sleep(A_WHILE))),
    alive("a_syscall", || wait_for(|| syscall(|| thread::sleep(A_WHILE)))),
    alive("a_blocking_call_of_a_locked_goroutine", || {
        wait_for(|| {
            let _lock = lock_os_thread();
            thread::sleep(A_WHILE);
        });
    }),
    alive("a_spinning_goroutine_that_will_send", || wait_for(spin)),
    alive("a_goroutine_that_changes_gomaxprocs", || {
        wait_for(|| {
            for n in (1..=9).cycle().take(50) {
                set_gomaxprocs(n);
                thread::sleep(A_WHILE / 50);
            }
        });
    }),
    // Threads that are not the scheduler's:
    alive("a_foreign_thread_that_sleeps_and_sends", || wait_for_thread(|| thread::sleep(A_WHILE))),
    alive("a_foreign_thread_that_works_and_sends", || wait_for_thread(spin)),
    alive("a_foreign_thread_that_starts_a_goroutine", || {
        let ch = Chan::new(0);
        let its = ch.sender();
        thread::spawn(move || {
            thread::sleep(A_WHILE);
            go(move || {
                thread::sleep(A_WHILE);
                its.send(());
            });
        });
        ch.recv().unwrap();
    }),
    alive("a_foreign_thread_in_a_select", || {
        // It waits as a thread: for a timer, which nobody but it waits for.
        wait_for_thread(|| {
            let ch = Chan::<u8>::new(0);
            select! {
                recv(ch) -> _ => unreachable!(),
                recv(after(A_WHILE)) -> _ => {},
            }
        });
    }),
    alive("a_run_elsewhere", || {
        let ch = Chan::new(0);
        let its = ch.sender();
        // SAFETY: no goroutine of these programs parks while it holds a value tied to a thread.
        thread::spawn(move || unsafe {
            run(move || {
                thread::sleep(A_WHILE);
                its.send(());
            })
        });
        ch.recv().unwrap();
    }),
    alive("short_waits_again_and_again", || {
        // Between one and the next all is asleep for a moment.
        for i in 0..300 {
            let short = Duration::from_micros(100);
            match i % 3 {
                0 => wait_for(move || assert!(after(short).recv().is_some())),
                1 => wait_for(move || assert!(Chan::<u8>::new(0).recv_timeout(short).is_err())),
                _ => wait_for(move || {
                    let (mut a, _b) = UnixStream::pair().unwrap();
                    a.set_read_deadline(Some(Instant::now() + short)).unwrap();
                    a.read(&mut [0]).unwrap_err();
                }),
            }
        }
    }),
];

fn main() {
    let all: Vec<Scenario> = DEADLOCKS.iter().chain(NONE).copied().collect();
    child::scenarios::main(&all);
}
