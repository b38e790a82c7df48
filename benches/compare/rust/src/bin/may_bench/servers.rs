//! Servers on loopback. HTTP is may_minihttp's.

use gosched_compare::{BODY, first_answer};
use may::go;
use may::net::TcpListener;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use std::io::{self, Read, Write};

/// Sends back what comes. After the first answer, four coroutines `hog` start, if there is one.
pub fn echo(addr: &str, hog: Option<fn()>) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    println!("ready");
    for stream in listener.incoming() {
        let mut stream = stream?;
        go!(move || {
            let _ = stream.set_nodelay(true);
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
                    for _ in 0..4 {
                        go!(hog);
                    }
                }
            }
        });
    }
    Ok(())
}

#[derive(Clone)]
struct Hello;

impl HttpService for Hello {
    fn call(&mut self, _: Request, answer: &mut Response) -> io::Result<()> {
        answer.header("Content-Type: text/plain").body(BODY);
        Ok(())
    }
}

/// Answers every request with a short text.
pub fn http(addr: &str) -> io::Result<()> {
    let server = HttpServer(Hello).start(addr)?;
    println!("ready");
    server.join().map_err(|_| io::Error::other("the server has panicked"))
}
