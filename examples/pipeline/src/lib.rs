//! Two pipelines after the manner of Go: goroutines in stages, joined by channels, that end together. See README.md.
//!
//! ```text
//!   stage.rs        the pieces: Pipeline, Out, In; how stages end
//!   web.rs          a small web of pages to crawl, made from a seed         wire.rs: bytes of HTTP, for both sides
//!   crawl/          the crawler, whose channels form a ring
//!     frontier.rs     what to visit next, what has been seen, what it comes to
//!     fetch.rs        one page: dial, ask, read          links.rs: where a page leads
//!   wordcount/      the word count: map and reduce
//!     walk.rs         which files        words.rs: where a word begins and ends
//!     map.rs          read and count     reduce.rs: add up, and the top
//!   main.rs         the command line, signals, exit codes
//! ```

pub mod crawl;
pub mod stage;
pub mod web;
pub mod wire;
pub mod wordcount;
