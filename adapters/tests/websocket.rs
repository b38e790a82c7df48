//! tungstenite on both ends of our sockets, and embedded-websocket, an implementation that shares nothing with it, on a
//! plain thread with std's sockets.
//!
//! Thread-locals: a client masks its frames with `rand::random`, and so names rand's generator, which is a
//! thread-local. rand takes its own counted handle on it, draws, and gives the handle back within that call
//! (rand/src/rngs/thread.rs); tungstenite calls it when a frame is put into its buffer (protocol/frame/mask.rs), writes
//! that buffer to the stream afterwards, and keeps the four bytes only. So no borrow is held across a write. Servers do
//! not mask. Nothing else of it, or of httparse, sha1 and http below it, has one.

use embedded_websocket::framer::{Framer, ReadResult};
use embedded_websocket::{
    WebSocketClient, WebSocketCloseStatusCode, WebSocketOptions, WebSocketSendMessageType,
};
use gosched::chan::Chan;
use gosched::net::TcpStream;
use gosched::sync::{Barrier, WaitGroup};
use gosched::{goid, spawn};
use gosched_adapters::{Server, WAITERS, data, on_goroutine, pair, patience, while_waiting};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket, accept, client};

/// Sends text and binary messages back until the peer closes.
fn echo(mut ws: WebSocket<TcpStream>) -> Error {
    assert!(goid().is_some(), "on a goroutine");
    loop {
        match ws.read() {
            Ok(m) if m.is_text() || m.is_binary() => {
                if let Err(e) = ws.send(m) {
                    return e;
                }
            }
            // Pings are answered, and the close is, with the next call: tungstenite does that itself.
            Ok(_) => {}
            Err(e) => return e,
        }
    }
}

/// An echo server; how its connections ended comes over the channel.
fn start() -> (Server, Chan<Error>) {
    let ends = Chan::new(200);
    let out = ends.clone();
    let server = Server::start(move |stream| {
        let end = match accept(stream) {
            Ok(ws) => echo(ws),
            Err(e) => Error::Io(std::io::Error::other(e.to_string())),
        };
        out.send(end);
    });
    (server, ends)
}

fn connect(addr: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(addr).unwrap();
    client(format!("ws://{addr}/chat"), stream).unwrap().0
}

/// The closing handshake, begun by this end.
fn close(mut ws: WebSocket<TcpStream>) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    ws.close(Some(frame.clone())).unwrap();
    assert_eq!(ws.read().unwrap(), Message::Close(Some(frame)));
    assert!(matches!(ws.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn a_hundred_connections_at_once() {
    const N: usize = 100;
    on_goroutine(|| {
        let (server, ends) = start();
        let addr = server.addr;
        let (all_open, done) = (Arc::new(Barrier::new(N)), WaitGroup::new());
        for c in 0..N {
            let all_open = all_open.clone();
            done.go(move || {
                let mut ws = connect(addr);
                all_open.wait();
                for i in 0..5 {
                    let text = Message::text(format!("{c} says {i} ♥"));
                    ws.send(text.clone()).unwrap();
                    assert_eq!(ws.read().unwrap(), text);
                    let binary = Message::binary(data(c, 1 << (3 * i)));
                    ws.send(binary.clone()).unwrap();
                    assert_eq!(ws.read().unwrap(), binary);
                    ws.send(Message::Ping(vec![i as u8; 5].into())).unwrap();
                    assert_eq!(ws.read().unwrap(), Message::Pong(vec![i as u8; 5].into()));
                }
                close(ws);
            });
        }
        done.wait();
        for _ in 0..N {
            let end = ends.recv().unwrap();
            assert!(matches!(end, Error::ConnectionClosed), "{end:?}");
        }
    });
}

#[test]
fn a_message_in_fragments_is_put_together() {
    on_goroutine(|| {
        let (server, _ends) = start();
        let mut ws = connect(server.addr);
        let sent = data(5, 300_000);
        let pieces: Vec<_> = sent.chunks(1_111).collect();
        // The writer and the reader are one goroutine: the echo comes only when the last piece is there.
        for (i, piece) in pieces.iter().enumerate() {
            let opcode = OpCode::Data(if i == 0 { Data::Binary } else { Data::Continue });
            let last = i == pieces.len() - 1;
            ws.send(Message::Frame(Frame::message(piece.to_vec(), opcode, last))).unwrap();
            if i == 7 {
                // A control frame may come in between.
                ws.send(Message::Ping(vec![1].into())).unwrap();
                assert_eq!(ws.read().unwrap(), Message::Pong(vec![1].into()));
            }
        }
        assert!(ws.read().unwrap().into_data() == sent);
        close(ws);
    });
}

#[test]
fn one_goroutine_reads_and_one_writes() {
    // A WebSocket is one value; two of them over two handles of one stream are its two directions.
    on_goroutine(|| {
        let (server, _ends) = start();
        let ws = connect(server.addr);
        let handle = ws.get_ref().try_clone().unwrap();
        let mut reader = WebSocket::from_raw_socket(handle, Role::Client, None);
        let mut writer = ws;
        let w = spawn(move || {
            for i in 0..300 {
                writer.send(Message::text(format!("{i:0>4000}"))).unwrap();
            }
            writer.close(None).unwrap();
        });
        for i in 0..300 {
            assert_eq!(reader.read().unwrap(), Message::text(format!("{i:0>4000}")));
        }
        assert!(reader.read().unwrap().is_close());
        w.join().unwrap();
    });
}

#[test]
fn a_read_deadline_ends_a_read_and_the_connection_goes_on() {
    on_goroutine(|| {
        let (server, _ends) = start();
        let mut ws = connect(server.addr);
        for round in 0..5 {
            let soon = Instant::now() + Duration::from_millis(5);
            ws.get_ref().set_read_deadline(Some(soon)).unwrap();
            let e = ws.read().unwrap_err();
            assert!(matches!(&e, Error::Io(e) if e.kind() == ErrorKind::TimedOut), "{e:?}");
            assert!(Instant::now() >= soon);
            ws.get_ref().set_read_deadline(None).unwrap();
            let text = Message::text(format!("round {round}"));
            ws.send(text.clone()).unwrap();
            assert_eq!(ws.read().unwrap(), text);
        }
        close(ws);
        // A peer that never answers the handshake.
        let (client_end, _silent) = pair();
        client_end.set_read_deadline(Some(Instant::now() + Duration::from_millis(5))).unwrap();
        let e = client("ws://localhost/", client_end).unwrap_err();
        assert!(
            matches!(&e, tungstenite::HandshakeError::Failure(Error::Io(e)) if e.kind() == ErrorKind::TimedOut)
        );
    });
}

#[test]
fn bad_peers_get_clear_errors() {
    on_goroutine(|| {
        let (server, ends) = start();
        // No WebSocket.
        let mut plain = TcpStream::connect(server.addr).unwrap();
        std::io::Write::write_all(&mut plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let e = ends.recv().unwrap().to_string();
        assert!(e.contains("Connection"), "{e}");
        // Gone without a closing handshake.
        drop(connect(server.addr));
        let e = ends.recv().unwrap();
        assert!(matches!(e, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)), "{e:?}");
        // Too long a message for a reader that says so.
        let mut ws = connect(server.addr);
        ws.set_config(|c| *c = WebSocketConfig::default().max_message_size(Some(100)));
        ws.send(Message::binary(vec![0; 101])).unwrap();
        let e = ws.read().unwrap_err();
        assert!(matches!(e, Error::Capacity(CapacityError::MessageTooLong { .. })), "{e:?}");
    });
}

#[test]
fn another_implementation_on_a_plain_thread() {
    /// It wants a generator for its masks; any will do here.
    struct Counter(u64);
    impl rand_core::RngCore for Counter {
        fn next_u32(&mut self) -> u32 {
            self.next_u64() as u32
        }
        fn next_u64(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            self.0 >> 32
        }
        fn fill_bytes(&mut self, dest: &mut [u8]) {
            dest.iter_mut().for_each(|b| *b = self.next_u32() as u8);
        }
        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(dest);
            Ok(())
        }
    }
    use WebSocketSendMessageType::{Binary, Ping, Text};

    fn talk(addr: SocketAddr, seed: u64) {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let (mut read, mut cursor, mut write) = (vec![0; 4096], 0, vec![0; 20_000]);
        let mut ws = WebSocketClient::new_client(Counter(seed));
        let mut framer = Framer::new(&mut read, &mut cursor, &mut write, &mut ws);
        let options = WebSocketOptions {
            path: "/chat",
            host: "localhost",
            origin: "http://localhost",
            sub_protocols: None,
            additional_headers: None,
        };
        framer.connect(&mut stream, &options).unwrap();
        let mut buf = vec![0; 20_000];
        for round in 0..10 {
            let text = format!("{seed} in round {round}");
            framer.write(&mut stream, Text, true, text.as_bytes()).unwrap();
            let Ok(ReadResult::Text(got)) = framer.read(&mut stream, &mut buf) else { panic!("no text") };
            assert_eq!(got, text);
            // In two fragments; the echo is one message.
            let bytes = data(seed as usize, 10_000);
            framer.write(&mut stream, Binary, false, &bytes[..4_000]).unwrap();
            framer.write(&mut stream, Binary, true, &bytes[4_000..]).unwrap();
            let Ok(ReadResult::Binary(got)) = framer.read(&mut stream, &mut buf) else { panic!("no bytes") };
            assert!(got == bytes);
            framer.write(&mut stream, Ping, true, b"there?").unwrap();
            let Ok(ReadResult::Pong(got)) = framer.read(&mut stream, &mut buf) else { panic!("no pong") };
            assert_eq!(got, b"there?");
        }
        framer.close(&mut stream, WebSocketCloseStatusCode::NormalClosure, None).unwrap();
        assert!(matches!(framer.read(&mut stream, &mut buf), Ok(ReadResult::Closed)));
    }

    on_goroutine(|| {
        let (server, ends) = start();
        let addr = server.addr;
        let threads: Vec<_> = (0..8).map(|i| std::thread::spawn(move || talk(addr, i))).collect();
        for t in threads {
            gosched::syscall(|| t.join()).unwrap();
        }
        for _ in 0..8 {
            let end = ends.recv().unwrap();
            assert!(matches!(end, Error::ConnectionClosed), "{end:?}");
        }
    });
}

#[test]
fn connections_that_wait_are_parked() {
    on_goroutine(|| {
        let gate = Chan::<()>::new(0);
        let opened = gate.receiver();
        let server = Server::start(move |stream| {
            let mut ws = accept(stream).unwrap();
            let m = ws.read().unwrap();
            opened.recv();
            ws.send(m).unwrap();
            // Until the peer closes.
            while ws.read().is_ok() {}
        });
        let waits = (0..WAITERS)
            .map(|i| {
                let mut ws = connect(server.addr);
                ws.send(Message::text(i.to_string())).unwrap();
                move || {
                    let m = ws.read().unwrap().into_text().unwrap().parse::<usize>().unwrap();
                    close(ws);
                    m
                }
            })
            .collect();
        let got = while_waiting(waits, move || gate.close());
        assert!(got.into_iter().eq(0..WAITERS));
    });
}
