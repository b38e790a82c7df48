//! Servers on loopback, with a thread for each connection. HTTP is gosched-bench's, the same file: it is no framework's.

use crate::answer;
use gosched_compare::first_answer;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

fn serve(addr: &str, connection: impl Fn(TcpStream) + Copy + Send + 'static) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    println!("ready");
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            let _ = stream.set_nodelay(true);
            connection(stream);
        });
    }
    Ok(())
}

/// Sends back what comes. After the first answer, four threads `hog` start, if there is one.
pub fn echo(addr: &str, hog: Option<fn()>) -> io::Result<()> {
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
                && first_answer()
            {
                (0..4).for_each(|_| drop(thread::spawn(hog)));
            }
        }
    })
}

pub fn http(addr: &str) -> io::Result<()> {
    serve(addr, |stream| {
        // An error is the client's end of the matter.
        let _ = answer::connection(stream);
    })
}
