//! Replies, in RESP2 or RESP3, gathered until the batch is through.
//!
//! Where a reply may only leave once its command is on disk, its place is marked: should the disk refuse, an error takes
//! its place ([`Out::refuse_marked`]), and the replies around it stay what they are.

use std::ops::Range;

#[derive(Default)]
pub struct Out {
    buf: Vec<u8>,
    /// Whether the client has said HELLO 3.
    pub resp3: bool,
    marks: Vec<Range<usize>>,
}

/// `n` in decimal, at the end of `buf`.
pub fn decimal(buf: &mut Vec<u8>, n: i64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, n.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        buf.push(b'-');
    }
    buf.extend_from_slice(&digits[at..]);
}

/// `n` with its mark, as a line.
pub fn header(buf: &mut Vec<u8>, mark: u8, n: i64) {
    buf.push(mark);
    decimal(buf, n);
    buf.extend_from_slice(b"\r\n");
}

/// A bulk string, at the end of `buf`.
pub fn bulk(buf: &mut Vec<u8>, value: &[u8]) {
    header(buf, b'$', value.len() as i64);
    buf.extend_from_slice(value);
    buf.extend_from_slice(b"\r\n");
}

impl Out {
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Forgets what has been sent, and gives memory back after a large reply.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.buf.clear();
        if self.buf.capacity() > 64 << 10 {
            self.buf = Vec::new();
        }
    }

    pub fn simple(&mut self, word: &str) {
        self.buf.push(b'+');
        self.buf.extend_from_slice(word.as_bytes());
        self.buf.extend_from_slice(b"\r\n");
    }

    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// `message` begins with its code. Line ends in it, which may be the client's own, become spaces.
    pub fn error(&mut self, message: &str) {
        self.buf.push(b'-');
        self.buf.extend(message.bytes().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        self.buf.extend_from_slice(b"\r\n");
    }

    pub fn int(&mut self, n: i64) {
        header(&mut self.buf, b':', n);
    }

    pub fn bulk(&mut self, value: &[u8]) {
        bulk(&mut self.buf, value);
    }

    pub fn bulk_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    pub fn null(&mut self) {
        self.buf.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// What RESP2 calls a null array.
    pub fn null_array(&mut self) {
        self.buf.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    pub fn array(&mut self, len: usize) {
        header(&mut self.buf, b'*', len as i64);
    }

    /// `len` pairs follow. RESP2 knows only the flat array.
    pub fn map(&mut self, len: usize) {
        match self.resp3 {
            true => header(&mut self.buf, b'%', len as i64),
            false => self.array(2 * len),
        }
    }

    /// What comes without having been asked for.
    pub fn push(&mut self, len: usize) {
        header(&mut self.buf, if self.resp3 { b'>' } else { b'*' }, len as i64);
    }

    /// Takes back what has been said since the reply was `len` bytes long.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
    }

    /// What has been written since `start` depends on the log.
    pub fn mark(&mut self, start: usize) {
        self.marks.push(start..self.buf.len());
    }

    /// Puts an error in the place of each marked reply.
    pub fn refuse_marked(&mut self, message: &str) {
        let old = std::mem::take(&mut self.buf);
        let mut at = 0;
        for mark in std::mem::take(&mut self.marks) {
            self.buf.extend_from_slice(&old[at..mark.start]);
            self.error(message);
            at = mark.end;
        }
        self.buf.extend_from_slice(&old[at..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for n in [0, 9, 10, -1, 1234567890, i64::MAX, i64::MIN] {
            let mut buf = Vec::new();
            decimal(&mut buf, n);
            assert_eq!(buf, n.to_string().into_bytes());
        }
    }

    #[test]
    fn an_error_takes_the_place_of_a_marked_reply_and_no_other() {
        let mut out = Out::default();
        out.int(1);
        for n in [2, 3] {
            let start = out.len();
            out.int(n);
            out.mark(start);
        }
        out.error("ERR a\r\nb");
        out.refuse_marked("MISCONF no");
        assert_eq!(out.bytes(), b":1\r\n-MISCONF no\r\n-MISCONF no\r\n-ERR a  b\r\n");
        out.refuse_marked("twice");
        assert_eq!(out.bytes(), b":1\r\n-MISCONF no\r\n-MISCONF no\r\n-ERR a  b\r\n");
    }
}
