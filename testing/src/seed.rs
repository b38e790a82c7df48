//! What a schedule is remembered by.
//!
//! ```text
//!   w5f3a         a random walk, and the seed of its dice
//!   p3.120.5f3a   PCT: depth, the length it reckons with, seed
//!   x0.0.1.2      the answers themselves, in order; the first of several after the last
//!   …+late        timers may come early (Config::late_timers)
//! ```

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// A schedule: everything that was chosen in a run. Written as a short word, which [`replay`](crate::replay) takes.
///
/// ```
/// use gosched_testing::Seed;
/// let seed: Seed = "p3.120.5f3a".parse().unwrap();
/// assert_eq!(seed.to_string(), "p3.120.5f3a");
/// assert!("what?".parse::<Seed>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seed {
    pub(crate) kind: Kind,
    pub(crate) late: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Walk(u64),
    Pct { depth: u32, len: u64, seed: u64 },
    Path(Vec<u32>),
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Walk(seed) => write!(f, "w{seed:x}")?,
            Kind::Pct { depth, len, seed } => write!(f, "p{depth}.{len}.{seed:x}")?,
            Kind::Path(path) => {
                let words: Vec<String> = path.iter().map(ToString::to_string).collect();
                write!(f, "x{}", words.join("."))?;
            }
        }
        f.write_str(if self.late { "+late" } else { "" })
    }
}

/// A word that is no [`Seed`].
///
/// ```
/// assert_eq!("?".parse::<gosched_testing::Seed>().unwrap_err().to_string(), "not the seed of a schedule: ?");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseSeedError(String);

impl fmt::Display for ParseSeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the seed of a schedule: {}", self.0)
    }
}

impl Error for ParseSeedError {}

impl FromStr for Seed {
    type Err = ParseSeedError;

    fn from_str(s: &str) -> Result<Seed, ParseSeedError> {
        let (word, late) = s.strip_suffix("+late").map_or((s, false), |word| (word, true));
        let kind = || {
            let rest = word.get(1..)?;
            match word.as_bytes()[0] {
                b'w' => Some(Kind::Walk(u64::from_str_radix(rest, 16).ok()?)),
                b'p' => {
                    let mut parts = rest.split('.');
                    let (depth, len) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                    let seed = u64::from_str_radix(parts.next()?, 16).ok()?;
                    parts.next().is_none().then_some(Kind::Pct { depth, len, seed })
                }
                b'x' if rest.is_empty() => Some(Kind::Path(Vec::new())),
                b'x' => Some(Kind::Path(rest.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?)),
                _ => None,
            }
        };
        match kind() {
            Some(kind) => Ok(Seed { kind, late }),
            None => Err(ParseSeedError(s.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_were() {
        let path = |p: &[u32]| Kind::Path(p.to_vec());
        let kinds = [
            Kind::Walk(0),
            Kind::Walk(u64::MAX),
            Kind::Pct { depth: 3, len: 1, seed: 0xabc },
            path(&[]),
            path(&[0, 1, 22]),
        ];
        for kind in kinds {
            for late in [false, true] {
                let seed = Seed { kind: kind.clone(), late };
                assert_eq!(seed.to_string().parse(), Ok(seed));
            }
        }
    }

    #[test]
    fn other_words_are_refused() {
        for word in ["", "w", "wg", "p1.2", "p1.2.3.4", "p.1.1", "x1..2", "x-1", "é", "+late", "q1", "w1+lat"]
        {
            assert!(word.parse::<Seed>().is_err(), "{word}");
        }
    }
}
