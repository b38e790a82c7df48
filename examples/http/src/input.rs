//! What has come in and was not yet read: one buffer for heads and bodies, because a request ends wherever its bytes say, and
//! the next one may have come with it.
//!
//! ```text
//!   0        start            end            buf.len()
//!   | read   | data()         | room()       |
//! ```
//! It begins small, since most connections are idle most of the time, and grows where a head needs it.

/// The buffer's first size.
const FIRST: usize = 4 << 10;

pub(crate) struct Input {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn new() -> Input {
        Input { buf: vec![0; FIRST], start: 0, end: 0 }
    }

    /// What is there.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The first `n` bytes of it are done with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Where to put more. Never empty; how much it is at the most is for the caller to limit.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end == self.buf.len() {
            if self.start > 0 {
                self.buf.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                self.buf.resize(self.buf.len() * 2, 0);
            }
        }
        &mut self.buf[self.end..]
    }

    /// So much was put there.
    pub(crate) fn added(&mut self, n: usize) {
        self.end += n;
        debug_assert!(self.end <= self.buf.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (mut input, mut next, mut expected) = (Input::new(), 0u8, 0u8);
        for round in 1..2000 {
            let room = input.room();
            let n = room.len().min(round % 37 + 1);
            for byte in &mut room[..n] {
                *byte = next;
                next = next.wrapping_add(1);
            }
            input.added(n);
            let taken = input.data().len().min(round % 36);
            for &byte in &input.data()[..taken] {
                assert_eq!(byte, expected);
                expected = expected.wrapping_add(1);
            }
            input.consume(taken);
        }
        // What is not consumed makes it grow, and stays in order.
        while input.data().len() < 3 * FIRST {
            let room = input.room();
            room[0] = next;
            next = next.wrapping_add(1);
            input.added(1);
        }
        for &byte in input.data() {
            assert_eq!(byte, expected);
            expected = expected.wrapping_add(1);
        }
    }
}
