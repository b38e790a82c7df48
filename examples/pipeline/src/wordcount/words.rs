//! Where a word begins and ends, in bytes that come in pieces.
//!
//! A word is a run of ASCII letters, digits, and bytes from 0x80 on: so the words of a text in UTF-8 stay whole, and bytes that
//! are no UTF-8 do no harm. All else lies between words: spaces, punctuation, NULs. In the words of tr, with `LC_ALL=C`:
//! `tr -cs 'A-Za-z0-9\200-\377' '\n'`.

/// The most that counts of a word; the rest of it is passed over.
pub const MAX_WORD: usize = 64 << 10;

fn in_word(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || *b >= 0x80
}

/// Cuts pieces into words. A word that lies across pieces is put together here.
#[derive(Default)]
pub struct Words {
    begun: Vec<u8>,
    /// There was a word that is too long.
    pub too_long: bool,
}

impl Words {
    /// Gives `word` each word that ends in this piece.
    pub fn feed(&mut self, piece: &[u8], mut word: impl FnMut(&[u8])) {
        let mut rest = piece;
        if !self.begun.is_empty() {
            let end = rest.iter().position(|b| !in_word(b));
            self.add(&rest[..end.unwrap_or(rest.len())]);
            let Some(end) = end else { return };
            rest = &rest[end..];
            self.finish(&mut word);
        }
        while let Some(begin) = rest.iter().position(in_word) {
            rest = &rest[begin..];
            let Some(end) = rest.iter().position(|b| !in_word(b)) else { return self.add(rest) };
            let whole = &rest[..end];
            rest = &rest[end..];
            if whole.len() <= MAX_WORD {
                word(whole);
            } else {
                self.too_long = true;
                word(&whole[..MAX_WORD]);
            }
        }
    }

    /// The pieces have ended, and so has the word that was begun.
    pub fn finish(&mut self, mut word: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            word(&self.begun);
            self.begun.clear();
        }
    }

    fn add(&mut self, more: &[u8]) {
        let room = MAX_WORD - self.begun.len();
        self.too_long |= more.len() > room;
        self.begun.extend_from_slice(&more[..more.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let (mut words, mut found) = (Words::default(), Vec::new());
        for piece in pieces {
            words.feed(piece, |w| found.push(w.to_vec()));
        }
        words.finish(|w| found.push(w.to_vec()));
        (found, words.too_long)
    }

    #[test]
    fn cut_anywhere_the_words_are_the_same() {
        let text = b" one\0two,,three\xff\xfe \xc3\xa4rger 4x4\n\na ";
        let expected = [&b"one"[..], b"two", b"three\xff\xfe", b"\xc3\xa4rger", b"4x4", b"a"];
        for i in 0..=text.len() {
            for j in i..=text.len() {
                assert_eq!(words(&[&text[..i], &text[i..j], &text[j..]]).0, expected, "{i} {j}");
            }
        }
    }

    #[test]
    fn no_words() {
        for text in [&b""[..], b" ", b"\0\0\0", b"--\n"] {
            assert_eq!(words(&[text, text]), (vec![], false));
        }
    }

    #[test]
    fn a_word_that_is_too_long_counts_by_its_beginning() {
        let long = vec![b'x'; MAX_WORD + 1];
        let expected = vec![long[1..].to_vec(), b"y".to_vec()];
        let then = [&long[..], b" y"].concat();
        assert_eq!(words(&[&then]), (expected.clone(), true));
        for at in [1, MAX_WORD - 1, MAX_WORD, MAX_WORD + 1] {
            assert_eq!(words(&[&then[..at], &then[at..]]), (expected.clone(), true));
        }
        assert_eq!(words(&[&long[1..]]), (vec![long[1..].to_vec()], false));
    }
}
