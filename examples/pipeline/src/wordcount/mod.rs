//! The word count: map and reduce over files.
//!
//! ```text
//!                                             ┌─batches─► reduce: words with hash % r == 0   ─┐
//!   walk ──paths──► map (n): read, cut, count ┼─batches─► reduce: …                      == 1 ├─tops──► sorted, cut off
//!    │                │                       └─batches─► reduce: …                           ─┘
//!    └────problems────┴──► report: a line on stderr each
//! ```
//! A mapper counts in a table of its own, one for each reducer, and hands them over when they have grown to a mebibyte. All
//! occurrences of a word meet at one reducer, so nobody shares anything, and the sums do not depend on who did what.
//!
//! ## Memory
//! Files are read in pieces, tables and channels are bounded: what grows is the reducers' tables, with the number of
//! different words. A word's first 64 KiB count.
//!
//! ## What goes wrong
//! A file that cannot be read, or not to its end, is a problem and not an error: it is reported, and the others are counted.
//! What was read of it before counts.

mod map;
mod reduce;
mod walk;
mod words;

pub use reduce::{Count, Top};

use crate::stage::{Error, Pipeline};
use gosched::context::Context;
use indicatif::ProgressBar;
use map::{Batch, Mapper};
use std::collections::hash_map::RandomState;
use std::io::Write;
use std::path::PathBuf;

/// What to count, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Follow symbolic links below a directory; those named are followed in any case.
    pub follow: bool,
    /// Take upper-case ASCII letters as lower-case ones.
    pub fold: bool,
    /// How many words to give; 0: all.
    pub top: usize,
    /// So many files are read at the same time.
    pub mappers: usize,
    /// So many add up.
    pub reducers: usize,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All words, and how many different ones.
    pub all: Top,
    /// How many files were read to their ends.
    pub files: u64,
    /// How many files or directories were not.
    pub problems: u64,
}

/// Counts the words of files. Problems go to stderr, above the bar. **Parks** until all is done.
///
/// # Errors
/// `ctx` is done.
pub fn count(ctx: &Context, options: Options, bar: &ProgressBar) -> Result<Counts, Error> {
    let Options { paths, follow, fold, top, mappers, reducers } = options;
    let pipeline = Pipeline::new(ctx);
    let (problems, reported) = pipeline.channel::<String>(16);

    // A file may be long: where one is waiting for each mapper, that will do.
    let (paths_out, paths_in) = pipeline.channel::<PathBuf>(mappers);
    let (out, progress) = (problems.clone(), bar.clone());
    pipeline.stage(1, move || walk::walk(paths, follow, &paths_out, &out, &progress));

    let (tops, results) = pipeline.channel::<Top>(reducers);
    let mut shards = Vec::new();
    for _ in 0..reducers {
        let (shard, batches) = pipeline.channel::<Batch>(1);
        shards.push(shard);
        let tops = tops.clone();
        pipeline.stage(1, move || Ok(tops.send(reduce::reduce(&batches, top)?)?));
    }
    drop(tops);

    let (files_out, files) = pipeline.channel::<u64>(mappers);
    let (ctx, hasher, progress) = (pipeline.ctx().clone(), RandomState::new(), bar.clone());
    pipeline.stage(mappers, move || {
        let mut mapper = Mapper::new(ctx, shards, hasher, fold);
        let mut read = 0;
        while let Some(path) = paths_in.recv()? {
            match mapper.file(&path, &progress)? {
                None => read += 1,
                Some(problem) => problems.send(format!("{}: {problem}", path.display()))?,
            }
        }
        mapper.finish()?;
        Ok(files_out.send(read)?)
    });

    let (count, problems) = pipeline.channel::<u64>(1);
    let bar = bar.clone();
    pipeline.stage(1, move || {
        let mut n = 0;
        while let Some(problem) = reported.recv()? {
            // Nobody may be there to read it; it is counted even so.
            bar.suspend(|| drop(writeln!(std::io::stderr(), "pipeline: {problem}")));
            n += 1;
        }
        Ok(count.send(n)?)
    });

    pipeline.wait()?;
    // All stages have ended, and so the channels are closed; there was room in them for what each had to say.
    let tops: Vec<Top> = results.receiver().iter().collect();
    Ok(Counts {
        all: reduce::together(tops, top),
        files: files.receiver().iter().sum(),
        problems: problems.receiver().iter().sum(),
    })
}
