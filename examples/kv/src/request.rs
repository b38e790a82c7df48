//! Requests as they come off the wire: arrays of bulk strings, or a line of words.
//!
//! ```text
//!   *2\r\n $3\r\n GET\r\n $3\r\n key\r\n          what clients send
//!   GET key\r\n                                   what a person types (no quotes here)
//! ```
//! The parser copies nothing: a request is a list of places in the input. It goes on where it stopped when more input has
//! come, so that a request which arrives in a thousand pieces is looked at once and not a thousand times.
//!
//! A client may announce what it likes; memory is taken for what has arrived. What is too large is refused when it is
//! announced.

use std::fmt;

/// The longest single word.
pub const MAX_BULK: usize = 64 << 20;
/// The longest request.
pub const MAX_REQUEST: usize = 256 << 20;
/// The most words in one.
const MAX_WORDS: i64 = 1 << 20;
/// The longest line: of words, and of a number.
const MAX_INLINE: usize = 64 << 10;
const MAX_NUMBER: usize = 32;

/// The words of one request. Never empty where a command sees it.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    input: &'a [u8],
    words: &'a [(usize, usize)],
}

impl<'a> Args<'a> {
    pub fn new(input: &'a [u8], words: &'a [(usize, usize)]) -> Args<'a> {
        Args { input, words }
    }

    pub fn len(self) -> usize {
        self.words.len()
    }

    pub fn get(self, i: usize) -> &'a [u8] {
        let (start, end) = self.words[i];
        &self.input[start..end]
    }

    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.words.iter().map(move |&(start, end)| &self.input[start..end])
    }

    pub fn from(self, first: usize) -> impl Iterator<Item = &'a [u8]> {
        self.iter().skip(first)
    }

    /// Whether word `i` is `name`, in any case.
    pub fn is(self, i: usize, name: &str) -> bool {
        self.get(i).eq_ignore_ascii_case(name.as_bytes())
    }

    /// A copy that outlives the input.
    pub fn to_owned(self) -> Owned {
        let mut owned = Owned { input: Vec::new(), words: Vec::with_capacity(self.words.len()) };
        for word in self.iter() {
            let start = owned.input.len();
            owned.input.extend_from_slice(word);
            owned.words.push((start, owned.input.len()));
        }
        owned
    }
}

/// A request that is kept for later.
pub struct Owned {
    input: Vec<u8>,
    words: Vec<(usize, usize)>,
}

impl Owned {
    pub fn args(&self) -> Args<'_> {
        Args { input: &self.input, words: &self.words }
    }

    pub fn bytes(&self) -> usize {
        self.input.len() + size_of_val(&*self.words)
    }
}

/// What the client sent is no request; there is no telling where the next one begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Malformed {
    TooManyWords,
    NotANumber,
    NoDollar(u8),
    BulkLength,
    NoLineEnd,
    TooLarge,
    LongLine,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Malformed::TooManyWords | Malformed::NotANumber => f.write_str("invalid multibulk length"),
            Malformed::NoDollar(c) => write!(f, "expected '$', got '{}'", c.escape_ascii()),
            Malformed::BulkLength => f.write_str("invalid bulk length"),
            Malformed::NoLineEnd => f.write_str("bulk string without its line end"),
            Malformed::TooLarge => f.write_str("request too large"),
            Malformed::LongLine => f.write_str("too big inline request"),
        }
    }
}

/// Where in the current request the parser stands. Places count from the request's first byte.
#[derive(Default)]
pub struct Parser {
    words: Vec<(usize, usize)>,
    /// Everything before is understood.
    at: usize,
    /// Words still to come, in an array.
    missing: usize,
    /// The length of the word that begins at `at`, once it is known.
    bulk: Option<usize>,
    in_array: bool,
}

impl Parser {
    /// The words of the request that was found.
    pub fn words(&self) -> &[(usize, usize)] {
        &self.words
    }

    /// Looks at `input`, which begins with the current request's first byte. Gives the request's length once all of it
    /// is there; the words may be none (an empty line). The next call begins the next request.
    pub fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.at == 0 {
            self.words.clear();
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some((n, next)) = number(input, 1).map_err(|()| Malformed::NotANumber)? else {
                        return Ok(None);
                    };
                    if n > MAX_WORDS {
                        return Err(Malformed::TooManyWords);
                    }
                    self.missing = n.max(0) as usize;
                    self.at = next;
                    self.in_array = true;
                }
                Some(_) => return self.inline(input),
            }
        }
        while self.missing > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    match input.get(self.at) {
                        None => return Ok(None),
                        Some(b'$') => {}
                        Some(&c) => return Err(Malformed::NoDollar(c)),
                    }
                    let Some((n, next)) = number(input, self.at + 1).map_err(|()| Malformed::BulkLength)?
                    else {
                        return Ok(None);
                    };
                    let len = usize::try_from(n).ok().filter(|&n| n <= MAX_BULK);
                    let len = len.ok_or(Malformed::BulkLength)?;
                    if next + len > MAX_REQUEST {
                        return Err(Malformed::TooLarge);
                    }
                    self.at = next;
                    self.bulk = Some(len);
                    len
                }
            };
            let end = self.at + len;
            match input.get(end..end + 2) {
                None => return Ok(None),
                Some(b"\r\n") => {}
                Some(_) => return Err(Malformed::NoLineEnd),
            }
            self.words.push((self.at, end));
            self.at = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(Some(std::mem::take(&mut self.at)))
    }

    fn inline(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        let Some(end) = input.iter().take(MAX_INLINE).position(|&b| b == b'\n') else {
            return if input.len() < MAX_INLINE { Ok(None) } else { Err(Malformed::LongLine) };
        };
        let mut start = None;
        for (i, b) in input[..=end].iter().enumerate() {
            match (b.is_ascii_whitespace(), start) {
                (false, None) => start = Some(i),
                (true, Some(s)) => {
                    self.words.push((s, i));
                    start = None;
                }
                _ => {}
            }
        }
        Ok(Some(end + 1))
    }
}

/// The number in the line that begins at `from`, and where the next line begins.
fn number(input: &[u8], from: usize) -> Result<Option<(i64, usize)>, ()> {
    let line = &input[from..];
    let Some(end) = line.iter().take(MAX_NUMBER).position(|&b| b == b'\n') else {
        return if line.len() < MAX_NUMBER { Ok(None) } else { Err(()) };
    };
    let digits = line[..end].strip_suffix(b"\r").ok_or(())?;
    integer(digits).map(|n| Some((n, from + end + 1))).ok_or(())
}

/// A decimal number as Redis takes it: no plus, no space, no leading zero.
pub fn integer(digits: &[u8]) -> Option<i64> {
    match digits {
        b"0" => return Some(0),
        [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => {}
        _ => return None,
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], step: usize) -> Result<Vec<Vec<Vec<u8>>>, Malformed> {
        let (mut parser, mut start, mut requests) = (Parser::default(), 0, Vec::new());
        for end in (0..input.len()).step_by(step).chain([input.len()]) {
            while let Some(n) = parser.parse(&input[start.min(end)..end])? {
                let args = Args::new(&input[start..start + n], parser.words());
                if args.len() > 0 {
                    assert!(args.to_owned().args().iter().eq(args.iter()));
                    requests.push(args.iter().map(<[u8]>::to_vec).collect());
                }
                start += n;
            }
        }
        Ok(requests)
    }

    #[test]
    fn requests_arrive_in_pieces_of_any_size() {
        let input = b"*2\r\n$3\r\nGET\r\n$4\r\n\r\n\xff\0\r\nPING  a\tb\r\n\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n ECHO x \n";
        let expected: [&[&[u8]]; 4] =
            [&[b"GET", b"\r\n\xff\0"], &[b"PING", b"a", b"b"], &[b""], &[b"ECHO", b"x"]];
        for step in 1..=input.len() {
            assert_eq!(all(input, step).unwrap(), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn what_is_no_request() {
        let long = [b'a'; MAX_INLINE];
        // Its pages stay untouched, but for those of the lengths and line ends.
        let (head, word) = (b"*9\r\n".len(), b"$67108864\r\n".len() + MAX_BULK + 2);
        let mut large = vec![0; head + 4 * word];
        large[..head].copy_from_slice(b"*9\r\n");
        for word in large[head..].chunks_mut(word) {
            word[..11].copy_from_slice(b"$67108864\r\n");
            word[11 + MAX_BULK..].copy_from_slice(b"\r\n");
        }
        let cases: [(&[u8], Malformed); 12] = [
            (b"*x\r\n", Malformed::NotANumber),
            (b"*+1\r\n", Malformed::NotANumber),
            (b"*1\n$4\r\nPING\r\n", Malformed::NotANumber),
            (b"*2000000\r\n", Malformed::TooManyWords),
            (b"*99999999999999999999\r\n", Malformed::NotANumber),
            (b"*00000000000000000000000000000000000000001", Malformed::NotANumber),
            (b"*1\r\n+OK\r\n", Malformed::NoDollar(b'+')),
            (b"*1\r\n$-1\r\n", Malformed::BulkLength),
            (b"*1\r\n$99999999999\r\n", Malformed::BulkLength),
            (b"*1\r\n$1\r\nab\r\n", Malformed::NoLineEnd),
            (&large, Malformed::TooLarge),
            (&long, Malformed::LongLine),
        ];
        for (input, expected) in cases {
            let step = if input.len() > 1_000 { input.len() } else { 1 };
            assert_eq!(all(input, step).unwrap_err(), expected);
        }
    }

    #[test]
    fn integers() {
        for (text, n) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(integer(text.as_bytes()), Some(n));
        }
        for text in ["", "-", "-0", "+1", "01", " 1", "1 ", "1.0", "9223372036854775808", "\u{661}"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }
}
