//! A thousand connections at once from a client in another language, byte for byte, with one and with two Ps; and short
//! ones one after the other.
//!
//! The server is this test binary, started again with its GOMAXPROCS; the client is `scripts/echo_client.py`.
//! `GOSCHED_TEST_CONNS` (1,000) and `GOSCHED_TEST_BYTES` (65,536 each way, on each) scale it: 1048576 for the full size.

use gosched::go;
use gosched::net::TcpListener;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::{Child, Command, Stdio};

const CLIENT: &str = include_str!("scripts/echo_client.py");
const CHILD: &str = "GOSCHED_TEST_CHILD";

/// As many descriptors as the system lets us have.
fn raise_the_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both take a pointer to an rlimit that lives across the call.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

/// The child: an echo server until stdin ends.
fn be_the_server() -> ! {
    raise_the_limit();
    let server = || {
        let l = TcpListener::builder().nodelay(true).bind("127.0.0.1:0").unwrap();
        println!("\nlistening on {}", l.local_addr().unwrap());
        let accepting = l.try_clone().unwrap();
        go!({
            while let Ok((stream, _)) = accepting.accept() {
                go!({
                    if let Err(e) = io::copy(&mut &stream, &mut &stream) {
                        eprintln!("echo: {e}");
                    }
                    let _ = stream.shutdown(Shutdown::Write);
                });
            }
        });
        // Blocks a thread, and not the P: the scheduler takes that away from whoever keeps it too long.
        let _ = io::stdin().read(&mut [0]);
        l.close().unwrap();
    };
    // SAFETY: no goroutine here holds a borrow of a thread-local, or a value tied to a thread, while it parks.
    unsafe { gosched::run(server) };
    std::process::exit(0);
}

/// Ends with the test, also where that fails.
struct Server(Child, String);

impl Server {
    fn start(test: &str, procs: usize) -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .env("GOMAXPROCS", procs.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let addr = lines.filter_map(|l| l.strip_prefix("listening on ").map(String::from)).next();
        Server(child, addr.expect("it says where it listens"))
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client(args: &[&str]) {
    let out =
        Command::new("python3").arg("-c").arg(CLIENT).args(args).output().expect("this test needs python3");
    io::stdout().write_all(&out.stdout).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn size(name: &str, default: usize) -> String {
    std::env::var(name).unwrap_or(default.to_string())
}

fn many_at_once(test: &str, procs: usize) {
    if std::env::var_os(CHILD).is_some() {
        be_the_server();
    }
    let server = Server::start(test, procs);
    let (conns, bytes) = (size("GOSCHED_TEST_CONNS", 1_000), size("GOSCHED_TEST_BYTES", 64 << 10));
    client(&[&server.1, &conns, &bytes]);
    client(&["--short", &server.1, "300"]);
    server.end();
}

#[test]
fn a_thousand_at_once_on_one_p() {
    many_at_once("a_thousand_at_once_on_one_p", 1);
}

#[test]
fn a_thousand_at_once_on_two_ps() {
    many_at_once("a_thousand_at_once_on_two_ps", 2);
}
