//! What a connection's bytes go through: a socket, or TLS over it. Deadlines are the socket's either way, and end a TLS
//! handshake as they end a read.

use gosched::fs::File;
use gosched::net::{TcpStream, send_file};
use rustls::{ServerConnection, StreamOwned};
use std::io::{self, Read, Write};

/// What is read of a file at a time, where the kernel cannot send it.
const PIECE: usize = 64 << 10;

pub(crate) trait Transport: Read + Write {
    /// Sends so much of a file, or less where the file ends. A part of `len` bytes is sent at the least.
    fn send_file(&mut self, file: &File, offset: u64, len: u64) -> io::Result<u64>;

    /// Tells the other end that nothing more will come.
    fn goodbye(&mut self) -> io::Result<()>;
}

impl Transport for TcpStream {
    fn send_file(&mut self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        // sendfile(2): from the page cache to the socket.
        send_file(file.as_std(), self, offset, len)
    }

    fn goodbye(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for StreamOwned<ServerConnection, TcpStream> {
    fn send_file(&mut self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        let piece = usize::try_from(len).map_or(PIECE, |len| len.min(PIECE));
        let mut buf = vec![0; piece];
        let n = file.read_at(&mut buf, offset)?;
        self.write_all(&buf[..n])?;
        self.flush()?;
        Ok(n as u64)
    }

    fn goodbye(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}
