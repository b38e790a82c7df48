//! An HTTP/1.1 server on goroutines, small enough to read in one sitting: plain code over `Read + Write`, one goroutine for
//! each connection.
//!
//! ```
//! use gosched_example_http::{Exchange, Limits, Router, Server, TEXT};
//! use gosched::{context::Context, net::{TcpListener, TcpStream}, spawn};
//! use std::io::{Read, Write};
//!
//! fn hello(x: &mut Exchange) -> std::io::Result<()> {
//!     let name = x.head().query("name").unwrap_or("whoever you are");
//!     x.respond(200, TEXT, format!("Hello, {name}!\n").as_bytes())
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! // SAFETY: no goroutine here keeps anything of its thread across a call that parks.
//! unsafe { gosched::run(|| {
//!     let (ctx, cancel) = Context::background().with_cancel();
//!     let server = Server::new(Router::default().get("/hello", hello), Limits::default(), None, ctx);
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let addr = listener.local_addr()?;
//!     let serving = spawn(move || server.serve(listener, &Context::background()));
//!
//!     let mut client = TcpStream::connect(addr)?;
//!     client.write_all(b"GET /hello?name=Gopher HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer)?;
//!     assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nHello, Gopher!\n"));
//!
//!     cancel.cancel();
//!     assert_eq!(serving.join().unwrap()?.requests, 1);
//!     Ok(())
//! }) }
//! # }
//! ```
//! # The map
//! A file uses only those before it in this list.
//!
//! ```text
//!   limits     what a client may ask for       refused    statuses, and refusals as errors
//!   head       a request's head, and what is wrong with it: where its body ends
//!   opening    an answer's first lines         input      bytes that have come
//!   peer       who may be let go               transport  a socket, or TLS over it
//!   conn       bytes in, bytes out: deadlines, pipelining, the end
//!   body       a request's body: lengths, chunks, 100-continue
//!   exchange   a request and its answer, for a handler
//!   router     which handler                   files      the files of a directory
//!   tls        certificates, and who does not speak TLS
//!   server     accepting, connections, the access log, the end
//!   app        the handlers of this server
//! ```

pub mod app;
mod body;
mod conn;
mod exchange;
mod files;
mod head;
mod input;
mod limits;
mod opening;
mod peer;
mod refused;
mod router;
mod server;
pub mod tls;
mod transport;

pub use exchange::{Exchange, TEXT};
pub use files::Files;
pub use head::Head;
pub use limits::Limits;
pub use refused::Refused;
pub use router::Router;
pub use server::{Served, Server};
