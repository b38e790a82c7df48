//! Signals, processes, files and foreign descriptors by the names that users know, together with channels.
mod common;
use common::*;
use gosched::chan::{Chan, select};
use gosched::net::{PollFd, TcpListener, TcpStream, UnixStream, copy, send_file};
use gosched::process::{Command, Stdio};
use gosched::signal::{self, SIGUSR1, SIGUSR2, Signal};
use gosched::{fs, io, spawn, time};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

#[test]
fn a_signal_is_one_case_of_a_select() {
    rt(|| {
        let signals = signal::notify(&[SIGUSR1]);
        let work = Chan::<u32>::new(0);
        spawn(|| {
            settle();
            signal::raise(Signal::SIGUSR1).unwrap();
        });
        let got = select! {
            recv(signals) -> s => s,
            recv(work) -> _ => None,
            default(Duration::from_secs(60)) => None,
        };
        assert_eq!(got, Some(SIGUSR1));
        signal::stop(&signals);
    });
}

/// Signals interrupt the system calls in which idle threads wait for the next timer. No sleep gets shorter by that.
#[test]
fn signals_cut_no_sleep_short() {
    rt(|| {
        let signals = signal::notify(&[SIGUSR2]);
        let stop = Chan::<()>::new(0);
        let (over, from) = (stop.clone(), signals.clone());
        let storm = spawn(move || {
            let mut sent = 0;
            while select! { recv(over) -> _ => false, default(Duration::from_micros(300)) => true } {
                signal::raise(SIGUSR2).unwrap();
                sent += 1;
                from.try_iter().for_each(drop);
            }
            sent
        });
        let gs: Vec<_> = (1..=8u64)
            .map(|i| {
                spawn(move || {
                    let d = Duration::from_millis(i * 5);
                    let nobody = Chan::<()>::new(0);
                    for _ in 0..3 {
                        let start = Instant::now();
                        time::sleep(d);
                        assert!(start.elapsed() >= d);
                        let start = Instant::now();
                        assert!(nobody.recv_timeout(d).is_err());
                        assert!(start.elapsed() >= d);
                    }
                })
            })
            .collect();
        let start = Instant::now();
        let d = Duration::from_millis(40);
        std::thread::spawn(move || time::sleep(d)).join().unwrap();
        assert!(start.elapsed() >= d);
        gs.into_iter().for_each(|g| g.join().unwrap());
        stop.close();
        assert!(storm.join().unwrap() > 0);
        signal::stop(&signals);
    });
}

#[test]
fn a_child_behind_a_proxy_answers_over_the_network() {
    rt(|| {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = l.local_addr().unwrap();
        let served = spawn(move || {
            let (mut s, _) = l.accept().unwrap();
            let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let mut back = s.try_clone().unwrap();
            let answering = spawn(move || std::io::copy(&mut from, &mut back).unwrap());
            assert_eq!(std::io::copy(&mut s, &mut to).unwrap(), 100_000);
            drop(to);
            assert_eq!(answering.join().unwrap(), 100_000);
            child.wait().unwrap().success()
        });
        let (near, far) = UnixStream::pair().unwrap();
        let c = TcpStream::connect(addr).unwrap();
        let up = {
            let (far, c) = (far.try_clone().unwrap(), c.try_clone().unwrap());
            spawn(move || {
                copy(&far, &c).unwrap();
                c.shutdown(std::net::Shutdown::Write).unwrap();
            })
        };
        let down = spawn(move || copy(&c, &far).unwrap());
        let data = data_of(100_000);
        (&near).write_all(&data).unwrap();
        near.shutdown(std::net::Shutdown::Write).unwrap();
        let mut got = vec![0; data.len()];
        (&near).read_exact(&mut got).unwrap();
        assert!(got == data);
        up.join().unwrap();
        assert!(served.join().unwrap());
        assert_eq!(down.join().unwrap(), 100_000);
    });
}

fn data_of(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 253) as u8).collect()
}

#[test]
fn a_file_goes_out_over_a_socket_and_a_pipe_comes_in() {
    rt(|| {
        let path = std::env::temp_dir().join(format!("gosched-os-facade-{}", std::process::id()));
        let data = data_of(300_000);
        fs::write(&path, &data).unwrap();
        let file = fs::File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (out, mut inbound) = UnixStream::pair().unwrap();
        let sending = spawn(move || send_file(file.as_std(), &out, 0, u64::MAX).unwrap());
        let mut got = Vec::new();
        inbound.read_to_end(&mut got).unwrap();
        assert_eq!(sending.join().unwrap(), 300_000);
        assert!(got == data);
        let (r, mut w) = std::io::pipe().unwrap();
        let mut r = PollFd::new(r).unwrap();
        spawn(move || w.write_all(b"hello"));
        got.clear();
        r.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"hello");
        writeln!(io::stdout(), "and so on").unwrap();
    });
}
