//! The third stage: add up what belongs together, and the most frequent words.

use super::map::Batch;
use crate::stage::{Error, In};

/// A word, and how often it came.
pub type Count = (Box<[u8]>, u64);

/// Some words, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// The most frequent ones, those first; of the same number, by their bytes.
    pub top: Vec<Count>,
    /// How many words there were.
    pub words: u64,
    /// How many different ones.
    pub different: u64,
}

/// Adds up a shard to its end; keeps the `n` most frequent words (0: all).
pub fn reduce(batches: &In<Batch>, n: usize) -> Result<Top, Error> {
    let mut sums = Batch::new();
    while let Some(batch) = batches.recv()? {
        if sums.is_empty() {
            sums = batch;
            continue;
        }
        for (word, n) in batch {
            *sums.entry(word).or_default() += n;
        }
    }
    let (words, different) = (sums.values().sum(), sums.len() as u64);
    Ok(Top { top: first(sums.into_iter().collect(), n), words, different })
}

/// The shards have no word in common: their tops give the top of all.
pub fn together(shards: Vec<Top>, n: usize) -> Top {
    let mut all = Top::default();
    for shard in shards {
        all.words += shard.words;
        all.different += shard.different;
        all.top.extend(shard.top);
    }
    all.top = first(all.top, n);
    all
}

fn first(mut counts: Vec<Count>, n: usize) -> Vec<Count> {
    let before = |a: &Count, b: &Count| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if 0 < n && n < counts.len() {
        counts.select_nth_unstable_by(n, before);
        counts.truncate(n);
        counts.shrink_to_fit();
    }
    counts.sort_unstable_by(before);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_those_of_the_whole_order() {
        let all: Vec<Count> = (0..50u64).map(|i| (i.to_string().into_bytes().into(), i * 7 % 5)).collect();
        let sorted = first(all.clone(), 0);
        assert!(sorted.windows(2).all(|w| w[0].1 > w[1].1 || (w[0].1 == w[1].1 && w[0].0 < w[1].0)));
        for n in 1..=51 {
            assert_eq!(first(all.clone(), n), sorted[..n.min(50)]);
        }
    }
}
