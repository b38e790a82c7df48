//! Servers on loopback, and the goroutines that get in their way.

use crate::http;
use gosched::net::{TcpListener, TcpStream};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn serve(addr: &str, connection: impl Fn(TcpStream) + Copy + Send + 'static) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    println!("ready");
    for stream in listener.incoming() {
        let stream = stream?;
        gosched::go(move || {
            // Where it has failed already, the first read says so.
            let _ = stream.set_nodelay(true);
            connection(stream);
        });
    }
    Ok(())
}

/// Sends back what comes. After the first answer, four goroutines `hog` start, if there is one.
pub fn echo(addr: &str, hog: Option<fn()>) -> io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    serve(addr, move |mut stream| {
        let mut buf = [0; 4096];
        loop {
            let n = match stream.read(&mut buf) {
                Ok(0) | Err(_) => return,
                Ok(n) => n,
            };
            if stream.write_all(&buf[..n]).is_err() {
                return;
            }
            if let Some(hog) = hog
                && !STARTED.swap(true, Ordering::Relaxed)
            {
                (0..4).for_each(|_| gosched::go(hog));
            }
        }
    })
}

/// 15 seconds of computing without a call that could yield.
pub fn spin() {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(15) {
        for i in 0..10_000 {
            std::hint::black_box(i);
        }
    }
}

const BLOCK: Duration = Duration::from_millis(50);
const BLOCKS: usize = 300;

/// 15 seconds of calls that block the thread, which nobody has told the scheduler of.
pub fn block() {
    (0..BLOCKS).for_each(|_| std::thread::sleep(BLOCK));
}

/// The same, told.
pub fn block_as_syscall() {
    (0..BLOCKS).for_each(|_| gosched::syscall(|| std::thread::sleep(BLOCK)));
}

/// Answers every request with a short text.
pub fn http(addr: &str) -> io::Result<()> {
    serve(addr, |stream| {
        // An error is the client's end of the matter.
        let _ = http::connection(stream);
    })
}
