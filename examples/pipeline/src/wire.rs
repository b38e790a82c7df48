//! Bytes as they come from a connection, a head at their front: what a client and a server of HTTP both need.

use std::io::{self, Read};

/// The longest head, and the longest line of a chunk.
pub const MAX_HEAD: usize = 64 << 10;
/// The most fields in a head.
pub const MAX_FIELDS: usize = 100;

/// What has been read and not been used.
pub struct Wire<R> {
    stream: R,
    /// The unused bytes.
    pub buf: Vec<u8>,
}

impl<R: Read> Wire<R> {
    /// Nothing read yet.
    pub fn new(stream: R) -> Wire<R> {
        Wire { stream, buf: Vec::new() }
    }

    /// Reads some more, **parks** for it; false at the end.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn more(&mut self) -> io::Result<bool> {
        let old = self.buf.len();
        self.buf.resize(old + (16 << 10), 0);
        let read = loop {
            match self.stream.read(&mut self.buf[old..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buf.truncate(old + *read.as_ref().unwrap_or(&0));
        read.map(|n| n > 0)
    }

    /// Reads until `parse` has found in the buffer what it looks for, and takes that out; `parse` gives its length.
    ///
    /// # Errors
    /// Those of the stream and of `parse`; `UnexpectedEof` where it ends before, `InvalidData` where there is no end to it.
    pub fn take<T>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> io::Result<Option<(usize, T)>>,
    ) -> io::Result<T> {
        loop {
            if let Some((len, found)) = parse(&self.buf)? {
                self.buf.drain(..len);
                return Ok(found);
            }
            if self.buf.len() > MAX_HEAD {
                return Err(invalid("a head that is too long"));
            }
            if !self.more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads until there are `len` bytes in the buffer.
    ///
    /// # Errors
    /// Those of the stream; `UnexpectedEof` where it ends before.
    pub fn need(&mut self, len: usize) -> io::Result<()> {
        while self.buf.len() < len {
            if !self.more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// An error that says what is wrong with what was read.
pub fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
