//! The second stage: read files, cut them into words, count.

use super::words::{MAX_WORD, Words};
use crate::stage::{Error, Out, ended};
use gosched::context::Context;
use gosched::fs::File;
use indicatif::ProgressBar;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Read};
use std::path::Path;

/// Some words with a number each, all of one shard.
pub type Batch = HashMap<Box<[u8]>, u64>;

/// What is read at once.
const PIECE: usize = 64 << 10;
/// As much a mapper keeps before it hands over: about so many bytes, of words and of what keeping one costs.
const ENOUGH: usize = 1 << 20;
const PER_WORD: usize = 48;

/// One goroutine's part.
pub struct Mapper {
    ctx: Context,
    out: Vec<Out<Batch>>,
    hasher: RandomState,
    fold: bool,
    batches: Vec<Batch>,
    size: usize,
    piece: Vec<u8>,
    folded: Vec<u8>,
}

impl Mapper {
    /// `hasher` is the same for all, so that a word comes to the same shard from each.
    pub fn new(ctx: Context, out: Vec<Out<Batch>>, hasher: RandomState, fold: bool) -> Mapper {
        let batches = out.iter().map(|_| Batch::new()).collect();
        Mapper { ctx, out, hasher, fold, batches, size: 0, piece: vec![0; PIECE], folded: Vec::new() }
    }

    /// Counts a file; gives what is wrong with it. An error is the pipeline's.
    pub fn file(&mut self, path: &Path, bar: &ProgressBar) -> Result<Option<io::Error>, Error> {
        let mut words = Words::default();
        let mut piece = std::mem::take(&mut self.piece);
        let result = self.read(path, &mut piece, &mut words, bar);
        self.piece = piece;
        words.finish(|w| self.add(w));
        let problem = result?;
        let too_long = || io::Error::other(format!("a word is longer than {MAX_WORD} bytes, and cut off"));
        Ok(problem.or_else(|| words.too_long.then(too_long)))
    }

    fn read(
        &mut self,
        path: &Path,
        piece: &mut [u8],
        words: &mut Words,
        bar: &ProgressBar,
    ) -> Result<Option<io::Error>, Error> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) => return Ok(Some(e)),
        };
        loop {
            if self.ctx.err().is_some() {
                return Err(ended(&self.ctx).into());
            }
            let n = match file.read(piece) {
                Ok(0) => return Ok(None),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Some(e)),
            };
            words.feed(&piece[..n], |w| self.add(w));
            bar.inc(n as u64);
            if self.size > ENOUGH {
                self.hand_over()?;
            }
        }
    }

    /// Hands over what is left.
    pub fn finish(mut self) -> Result<(), Error> {
        self.hand_over()
    }

    fn add(&mut self, word: &[u8]) {
        let word = if self.fold {
            self.folded.clear();
            self.folded.extend(word.iter().map(u8::to_ascii_lowercase));
            &self.folded
        } else {
            word
        };
        let shard = self.hasher.hash_one(word) % self.batches.len() as u64;
        let batch = &mut self.batches[shard as usize];
        match batch.get_mut(word) {
            Some(n) => *n += 1,
            None => {
                batch.insert(word.into(), 1);
                self.size += word.len() + PER_WORD;
            }
        }
    }

    /// Parks where a reducer is behind.
    fn hand_over(&mut self) -> Result<(), Error> {
        for (batch, out) in self.batches.iter_mut().zip(&self.out) {
            if !batch.is_empty() {
                out.send(std::mem::take(batch))?;
            }
        }
        self.size = 0;
        Ok(())
    }
}
